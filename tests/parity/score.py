"""score against the published definitions of its metrics, written here with exact fractions and Python's own regular
expressions, and against NLTK where it is installed."""
import math
import os
import random
import re
import string
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter
from fractions import Fraction

SCORE = os.path.join(os.environ["PIPEFORMER_BIN"], "score")
failures = 0


def check(name, ok, detail=""):
    global failures
    failures += not ok
    print(("ok" if ok else "FAILED") + ": " + name + ("" if ok else f" {detail}"))


def tokens_13a(line):
    """NIST mteval-v13a's normalisation for Western languages."""
    for entity, character in (("<skipped>", ""), ("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        line = line.replace(entity, character)
    line = f" {line} "
    line = re.sub(r"([\x20-\x26\x28-\x2b\x3a-\x40\x5b-\x60\x7b-\x7e/])", r" \1 ", line)
    line = re.sub(r"([^0-9])([.,])", r"\1 \2 ", line)
    line = re.sub(r"([.,])([^0-9])", r" \1 \2", line)
    line = re.sub(r"([0-9])(-)", r"\1 \2 ", line)
    return line.split()


def tokens_intl(line):
    """mteval-v14's: a mark apart from what is no digit before it or after it, and every symbol apart."""
    kind = lambda c: unicodedata.category(c)[0]

    def pairs(line, first, second, made):
        out, at = [], 0
        while at < len(line):
            hit = at + 1 < len(line) and first(line[at]) and second(line[at + 1])
            out.append(made(line[at], line[at + 1]) if hit else line[at])
            at += 2 if hit else 1
        return "".join(out)

    line = pairs(line, lambda c: kind(c) != "N", lambda c: kind(c) == "P", lambda a, b: f"{a} {b} ")
    line = pairs(line, lambda c: kind(c) == "P", lambda c: kind(c) != "N", lambda a, b: f" {a} {b}")
    return "".join(f" {c} " if kind(c) == "S" else c for c in line).split()


def grams(items, n):
    return Counter(tuple(items[i:i + n]) for i in range(len(items) - n + 1))


def bleu(hypotheses, references, tokenize, smooth="exp", value=0, effective=False):
    """references: one list for each file."""
    matches, totals, length, wanted = [0] * 4, [0] * 4, 0, 0
    for h, *rs in zip(hypotheses, *references):
        h, rs = tokenize(h), [tokenize(r) for r in alternatives(rs)]
        length += len(h)
        wanted += min((abs(len(r) - len(h)), len(r)) for r in rs)[1]
        for n in range(4):
            counts, most = grams(h, n + 1), Counter()
            for r in rs:
                most |= grams(r, n + 1)
            matches[n] += sum((counts & most).values())
            totals[n] += sum(counts.values())
    if not any(matches):
        return 0.0
    precisions, zeros = [], 0
    for n, (m, t) in enumerate(zip(matches, totals)):
        if smooth == "add-k" and n:
            m, t = m + Fraction(value), t + Fraction(value)
        if t == 0:
            if effective:
                break
            return 0.0
        if m == 0:
            zeros += 1
            m = {"exp": Fraction(1, 2 ** zeros), "floor": Fraction(value), "add-k": 0, "none": 0}[smooth]
        precisions.append(Fraction(m) / t)
    if not all(precisions):
        return 0.0
    logs = [math.log(p.numerator) - math.log(p.denominator) for p in precisions]
    return 100 * (1.0 if length >= wanted else math.exp(1 - Fraction(wanted, length))) * math.exp(sum(logs) / len(logs))


def alternatives(references):
    """A line's references: empty ones are none, unless all are."""
    return [r for r in references if r] or [""]


def chrf_words(line):
    marks = set(string.punctuation)
    for word in line.split():
        if len(word) > 1 and word[-1] in marks:
            yield from (word[:-1], word[-1])
        elif len(word) > 1 and word[0] in marks:
            yield from (word[0], word[1:])
        else:
            yield word


def chrf_score(statistics, beta, eps):
    if eps:
        f = []
        for h, r, m in statistics:
            p, q = m / h if h else 1e-16, m / r if r else 1e-16
            f.append((1 + beta * beta) * p * q / (beta * beta * p + q) if p + q else 1e-16)
        return 100 * sum(f) / len(f)
    pairs = [(Fraction(m, h), Fraction(m, r)) for h, r, m in statistics if h and r]
    if not pairs:
        return 0.0
    p, r = (sum(x) / len(pairs) for x in zip(*pairs))
    b = Fraction(beta) ** 2
    return float(100 * (1 + b) * p * r / (b * p + r)) if p + r else 0.0


def chrf(hypotheses, references, characters=6, words=0, beta=2, whitespace=False, eps=False):
    sums = [[0, 0, 0] for _ in range(characters + words)]
    for h, *rs in zip(hypotheses, *references):
        best = None
        for r in alternatives(rs):
            statistics = []
            for make, orders in ((str if whitespace else lambda x: "".join(x.split()), characters), (lambda x: list(chrf_words(x)), words)):
                a, b = make(h), make(r)
                for n in range(1, orders + 1):
                    x, y = grams(a, n), grams(b, n)
                    statistics.append((sum(x.values()) if y else 0, sum(y.values()), sum((x & y).values())))
            score = chrf_score(statistics, beta, eps)
            if best is None or score > best[0]:
                best = score, statistics
        for s, new in zip(sums, best[1]):
            for i in range(3):
                s[i] += new[i]
    return chrf_score(sums, beta, eps)


def edit_table(a, b):
    """Edit distances of the beginnings of a and b, in Tercom's beam; each with how it was reached: 'm'atch, 's'ubstitution, 'd'eletion of a's
    word, 'i'nsertion of b's; the first of equal ones in that order."""
    far = 10 ** 9
    table = [[(far, None)] * (len(b) + 1) for _ in range(len(a) + 1)]
    table[0] = [(j, "i") for j in range(len(b) + 1)]
    slope = len(b) / len(a) if a else 1
    beam = 25 if 25 >= slope / 2 else math.ceil(slope / 2 + 25)
    for i in range(1, len(a) + 1):
        middle = math.floor(i * slope)
        for j in range(max(0, middle - beam), len(b) + 1 if i == len(a) else min(len(b) + 1, middle + beam)):
            ways = [(table[i - 1][j][0] + 1, "d")]
            if j:
                same = a[i - 1] == b[j - 1]
                ways = [(table[i - 1][j - 1][0] + (not same), "m" if same else "s"), ways[0], (table[i][j - 1][0] + 1, "i")]
            table[i][j] = min(ways, key=lambda way: way[0])
    return table


def ter_edits(h, r):
    """Snover et al. 2006, section 2, with Tercom's limits."""
    if not r:
        return len(h)
    shifts = tried = 0
    while True:
        table = edit_table(h, r)
        distance = table[-1][-1][0]
        i, j, steps = len(h), len(r), []
        while i or j:
            step = table[i][j][1]
            steps.append(step)
            i, j = i - (step != "i"), j - (step != "d")
        at, aligned, wrong_h, wrong_r = -1, [], [], []
        for step in reversed(steps):
            if step != "i":
                at += 1
                wrong_h.append(step != "m")
            if step != "d":
                aligned.append(at)
                wrong_r.append(step != "m")
        best = None
        for start, place in ((s, p) for s in range(len(h)) for p in range(len(r)) if abs(s - p) <= 50):
            for length in range(1, 11):
                if h[start:start + length] != r[place:place + length] or len(h) < start + length or len(r) < place + length:
                    break
                if not any(wrong_h[start:start + length]) or not any(wrong_r[place:place + length]) or start <= aligned[place] < start + length:
                    continue
                before = None
                for k in range(place - 1, place + length):
                    if k >= len(r):
                        break
                    target = 0 if k < 0 else aligned[k] + 1
                    if target == before:
                        continue
                    before = target
                    run, rest = h[start:start + length], h[:start] + h[start + length:]
                    # A target behind the run counts without it; one inside it moves the run on by what it reaches in.
                    goes = target if target <= start + length and target >= start else target - (length if target > start else 0)
                    moved = rest[:goes] + run + rest[goes:]
                    tried += 1
                    rank = (distance - edit_table(moved, r)[-1][-1][0], length, -start, -target)
                    if best is None or rank > best[0]:
                        best = rank, moved
                if tried >= 1000:
                    return shifts + distance
        if best is None or best[0][0] <= 0:
            return shifts + distance
        shifts, h = shifts + 1, best[1]


def ter(hypotheses, references, prepare=str.lower):
    edits, length = 0, Fraction(0)
    for h, *rs in zip(hypotheses, *references):
        rs = [prepare(r).split() for r in alternatives(rs)]
        edits += min(ter_edits(prepare(h).split(), r) for r in rs)
        length += Fraction(sum(map(len, rs)), len(rs))
    return float(100 * edits / length) if length else 100.0 * (edits > 0)


def ter_normal(line):
    line = line.lower()
    for entity, character in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        line = line.replace(entity, character)
    line = re.sub(r"([{-~[-` -&(-+:-@/])", r" \1 ", f" {line} ").replace("'s ", " 's ")
    line = re.sub(r"([^0-9])([.,])", r"\1 \2 ", line)
    line = re.sub(r"([.,])([^0-9])", r" \1 \2", line)
    return re.sub(r"([0-9])(-)", r"\1 \2 ", line)


def write(name, lines):
    with open(name, "w", newline="\n") as out:
        out.writelines(line + "\n" for line in lines)
    return name


def score(hypotheses, references, *options):
    """The numbers that score writes; references: one list for each file."""
    write("hyp.txt", hypotheses)
    files = [part for i, lines in enumerate(references) for part in ("--reference", write(f"ref{i}.txt", lines))]
    out = subprocess.run([SCORE, "--quiet", *files, *options, "hyp.txt"], stdout=subprocess.PIPE, check=True).stdout
    return [float(x) for x in out.split()]


def run(hypotheses, references, *options):
    return score(hypotheses, [references], "--metric", "all", *options)


def same(name, got, want):
    check(name, len(got) == len(want) and all(abs(a - b) < 1e-6 for a, b in zip(got, want)), f"got {got}, want {want}")


def compare(name, hypotheses, references):
    for options, tokenize, change in (([], tokens_13a, str), (["--tokenize", "none"], str.split, str), (["--lowercase"], tokens_13a, str.lower)):
        h, r = [change(x) for x in hypotheses], [change(x) for x in references]
        want = [bleu(h, [r], tokenize), chrf(h, [r]), 100 * sum(a == b for a, b in zip(h, r)) / len(h)]
        same(f"{name} {' '.join(options)}", run(hypotheses, references, *options), want)


def shuffled(line, rng):
    """Parts of the line in another order."""
    words = line.split(" ")
    for _ in range(rng.randint(0, 3)):
        a, b, c = sorted(rng.randint(0, len(words)) for _ in range(3))
        words = words[:a] + words[b:c] + words[a:b] + words[c:]
    return " ".join(words)


def translation_metrics(rng, words):
    """Several references, sentence level, smoothing, chrF++, TER."""
    references = [" ".join(rng.choices(words, k=rng.randint(1, 20))) for _ in range(200)]
    hypotheses = [noisy(line, rng, words) for line in references]
    several = [references, [rng.choice(["", noisy(line, rng, words)]) for line in references], [noisy(line, rng, words) for line in references]]
    for files in ([references], several):
        name = f"{len(files)} references"
        same(f"bleu, {name}", score(hypotheses, files), [bleu(hypotheses, files, tokens_13a)])
        for smooth, value in (("none", 0), ("floor", 0.1), ("floor", 0.5), ("add-k", 1), ("add-k", 2.5)):
            options = ["--smooth", smooth] + (["--smooth-value", str(value)] if value else [])
            got = score(hypotheses, files, "--sentence-level", *options)
            want = [bleu([h], [[r] for r in rs], tokens_13a, smooth, value, True) for h, *rs in zip(hypotheses, *files)]
            same(f"bleu of sentences, {smooth} {value}, {name}", got, want)
        same(f"bleu of international words, {name}", score(hypotheses, files, "--tokenize", "intl"), [bleu(hypotheses, files, tokens_intl)])
        same(f"bleu of characters, {name}", score(hypotheses, files, "--tokenize", "char"), [bleu(hypotheses, files, lambda x: list("".join(x.split())))])
        for options, how in (([], {}), (["--word-order", "2"], {"words": 2}), (["--char-order", "3", "--beta", "1.5"], {"characters": 3, "beta": 1.5}),
                             (["--whitespace"], {"whitespace": True}), (["--eps-smoothing", "--word-order", "1"], {"eps": True, "words": 1})):
            same(f"chrf {options}, {name}", score(hypotheses, files, "--metric", "chrf", *options), [chrf(hypotheses, files, **how)])
            want = [chrf([h], [[r] for r in rs], **how) for h, *rs in zip(hypotheses, *files)]
            same(f"chrf of sentences {options}, {name}", score(hypotheses, files, "--metric", "chrf", "--sentence-level", *options), want)
        for options, prepare in (([], str.lower), (["--case-sensitive"], str), (["--normalized"], ter_normal), (["--no-punct"], lambda x: re.sub(r'[.,?:;!"()]', "", x.lower()))):
            h, fs = hypotheses[:40], [lines[:40] for lines in files]
            same(f"ter {options}, {name}", score(h, fs, "--metric", "ter", *options), [ter(h, fs, prepare)])
    few = "a b c d e f g the of".split()
    references = [" ".join(rng.choices(few + words, k=rng.choice([3, 10, 25, 40]))) for _ in range(40)]
    hypotheses = [shuffled(noisy(line, rng, few), rng) for line in references]
    want = [ter([h], [[r]]) for h, r in zip(hypotheses, references)]
    same("ter of sentences with shifts", score(hypotheses, [references], "--metric", "ter", "--sentence-level"), want)
    lengths = [(60, 3), (3, 60), (1, 200), (200, 1), (90, 70), (0, 5), (5, 0), (64, 65)]
    references = [" ".join(rng.choices(few, k=r)) for _, r in lengths]
    hypotheses = [" ".join(rng.choices(few, k=h)) for h, _ in lengths]
    want = [ter([h], [[r]]) for h, r in zip(hypotheses, references)]
    same("ter of odd lengths", score(hypotheses, [references], "--metric", "ter", "--sentence-level"), want)


def noisy(line, rng, words):
    out = []
    for word in line.split(" "):
        roll = rng.random()
        if roll < 0.1:
            continue
        out.append(rng.choice(words) if roll < 0.25 else word)
        if roll > 0.95:
            out.append(rng.choice(words))
    return " ".join(out)


def lcs(a, b):
    row = [0] * (len(b) + 1)
    for x in a:
        row = lcs_row(row, x, b)
    return row[-1]


def lcs_row(above, x, b):
    row = [0]
    for j, y in enumerate(b):
        row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
    return row


def lcs_places(a, b):
    """The words of a in one longest common subsequence, found from the end: back along a first."""
    table = [[0] * (len(b) + 1)]
    for x in a:
        table.append(lcs_row(table[-1], x, b))
    places, i, j = set(), len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            places.add(i - 1)
            i, j = i - 1, j - 1
        elif table[i][j - 1] > table[i - 1][j]:
            j -= 1
        else:
            i -= 1
    return places


def f1(p, r):
    return 2 * p * r / (p + r) if p + r else 0


def summaries(rng, words):
    """ROUGE (Lin 2004), with rouge_score's words."""
    references = [" ".join(rng.choices(words, k=rng.choice([0, 5, 30, 90]))) for _ in range(60)]
    files = [references, [noisy(line, rng, words) for line in references]]
    hypotheses = [shuffled(noisy(line, rng, words), rng) for line in references]
    rouge_words = lambda line: re.findall("[a-z0-9]+", line.lower())
    for name, count in (("rouge-1", 1), ("rouge-2", 2), ("rouge-l", 0)):
        want = []
        for h, *rs in zip(hypotheses, *files):
            h, best = rouge_words(h), 0
            for r in map(rouge_words, alternatives(rs)):
                shared = sum((grams(h, count) & grams(r, count)).values()) if count else lcs(h, r)
                sizes = [max(0, len(x) - max(count, 1) + 1) for x in (h, r)]
                best = max(best, f1(*(shared / s if s else 0 for s in sizes)))
            want.append(100 * best)
        same(f"{name} of lines", score(hypotheses, files, "--metric", name, "--sentence-level"), want)
        same(name, score(hypotheses, files, "--metric", name), [sum(want) / len(want)])
    # By sentences: words of the reference that are in a longest common subsequence with any sentence, each as often as both have it.
    breaks = [[line.replace(" the ", " \\n ") for line in side] for side in (hypotheses, *files)]
    want = []
    for h, *rs in zip(*breaks):
        h, best = [rouge_words(s) for s in h.split("\\n")], 0
        for r in alternatives(rs):
            r = [rouge_words(s) for s in r.split("\\n")]
            left = [Counter(word for s in side for word in s) for side in (h, r)]
            sizes, shared = [sum(c.values()) for c in left], 0
            for right in r:
                for at in sorted(set().union(*(lcs_places(right, s) for s in h))):
                    if all(c[right[at]] > 0 for c in left):
                        shared += 1
                        for c in left:
                            c[right[at]] -= 1
            best = max(best, f1(*(shared / s if s else 0 for s in sizes)))
        want.append(100 * best)
    got = score(breaks[0], breaks[1:], "--metric", "rouge-lsum", "--sentence-level", "--sentence-break", "\\n")
    same("rouge-lsum of lines", got, want)
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError:
        return print("skipped: NLTK is not installed")
    parts = [["re", "un", "", "", "ag", "sk", "tr", "y"], ["form", "act", "hop", "fall", "ply", "y", "agre", "log", "sens", "tri", "analog", "ies"],
             ["", "", "al", "ation", "ational", "iv", "iz", "ful", "at", "ll", "bl", "e", "i", "ement", "ion"],
             ["", "s", "ed", "ing", "ies", "eed", "ly", "alli", "ness", "ity", "iviti", "er", "ied", "y", "e", "sses", "ogi", "bli", "fulli", "ism", "ous"]]
    made = sorted({"".join(map(rng.choice, parts)) for _ in range(6000)} | {"dying", "news", "skies", "innings", "proceed", "ties", "died", "by", "say"})
    stems = [PorterStemmer().stem(w) if len(w) > 3 else w for w in made]
    got = score(made, [stems], "--metric", "rouge-1", "--stemmer", "--sentence-level")
    # Stems are stems of themselves nearly always: those that are not compare with what they become.
    wrong = [w for w, s, x in zip(made, stems, got) if x < 50 and (PorterStemmer().stem(s) if len(s) > 3 else s) == s]
    check(f"stems of {len(made)} words", not wrong, wrong[:10])


def answers(rng, words):
    """Exact match and F1 of SQuAD's evaluation script, version 2.0: several right answers, none, and those of articles and marks alone."""
    words = words + "The AN a an the theory the_end the- (the) U.S. ’s — ² x² one’s the\u0301 a.m. Ⅷ 五 ٣".split(" ")

    def normal(text):
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    short = lambda: " ".join(rng.choices(words, k=rng.choice([0, 1, 1, 2, 3, 6])))
    files = [[short() for _ in range(500)], [rng.choice(["", "the", short()]) for _ in range(500)]]
    hypotheses = [rng.choice([r, noisy(r, rng, words), r.upper(), short(), "", "A"]) for r in files[0]]
    exact, f = [], []
    for h, *rs in zip(hypotheses, *files):
        h, rs = normal(h), [normal(r) for r in rs if normal(r)] or [[]]
        exact.append(max(h == r for r in rs))
        shared = lambda r: sum((Counter(h) & Counter(r)).values())
        f.append(max(f1(shared(r) / len(h), shared(r) / len(r)) if h and r else float(h == r) for r in rs))
    mean = lambda x: 100 * sum(x) / len(x)
    same("answers", score(hypotheses, files, "--metric", "squad"), [mean(exact), mean(f)])
    same("answers one by one", score(hypotheses, files, "--metric", "answer-f1", "--sentence-level"), [100 * x for x in f])


def entities(rng):
    """conlleval's rules, chunk by chunk: where one begins and ends, from two labels that follow each other."""

    def chunks(labels):
        found, begun, before, kind_before = set(), None, "O", ""
        for at, label in enumerate([*labels, "O"]):
            letter, kind = (label[0], label[2:]) if label != "O" else ("O", "")
            pair = before + letter
            changed = before != "O" and kind_before != kind
            ended = pair in {"BB", "BS", "BO", "IB", "IS", "IO"} or before in "ES" or changed
            if begun is not None and ended:
                found.add((begun, at, kind_before))
                begun = None
            starts = letter in "BS" or pair in {"EE", "EI", "SE", "SI", "OE", "OI"} or (letter != "O" and kind_before != kind)
            if starts and begun is None:
                begun = at
            before, kind_before = letter, kind
        return found

    for letters in ("BI", "I", "BIES", "IE"):
        make = lambda: rng.choice(["O"] + [f"{x}-{kind}" for x in letters for kind in ("PER", "LOC", "a-b")])
        right = [[make() for _ in range(rng.choice([0, 1, 5, 20]))] for _ in range(300)]
        predicted = [[x if rng.random() < 0.8 else make() for x in line] for line in right]
        counts = [0, 0, 0]
        for p, r in zip(predicted, right):
            p, r = chunks(p), chunks(r)
            counts = [a + b for a, b in zip(counts, (len(p & r), len(p), len(r)))]
        got = score([" ".join(x) for x in predicted], [[" ".join(x) for x in right]], "--metric", "entity")
        same(f"entities of {letters}", got, [100 * f1(counts[0] / counts[1], counts[0] / counts[2])])


def numbers(rng):
    """Classification, calibration and regression, against scikit-learn and SciPy where they are installed."""
    right = [rng.randrange(4) for _ in range(500)]
    logits = [[rng.gauss(0, 2) + 2 * (k == y) for k in range(4)] for y in right]
    softmax = lambda z, t=1.0: [math.exp((x - max(z)) / t) / sum(math.exp((y - max(z)) / t) for y in z) for x in z]
    probabilities = [softmax(z) for z in logits]
    nll = lambda t: -sum(math.log(softmax(z, t)[y]) for z, y in zip(logits, right)) / len(right)
    bins = [[0, 0, 0] for _ in range(15)]
    for p, y in zip(probabilities, right):
        b = bins[min(14, math.ceil(max(p) * 15) - 1)]
        b[0], b[1], b[2] = b[0] + max(p), b[1] + (p.index(max(p)) == y), b[2] + 1
    low, high = 0.05, 20.0
    while high - low > 1e-10:  # golden section: the nll has one lowest point
        a, b = high - (high - low) * 0.6180339887498949, low + (high - low) * 0.6180339887498949
        low, high = (low, b) if nll(a) < nll(b) else (a, high)
    want = [100 * sum(abs(b[0] - b[1]) for b in bins) / len(right), nll(1), sum(sum((x - (k == y)) ** 2 for k, x in enumerate(p)) for p, y in zip(probabilities, right)) / len(right)]
    lines = [" ".join(map(repr, z)) for z in logits]
    labels = [[str(y) for y in right]]
    got = score(lines, labels, "--metric", "calibration", "--logits")
    same("calibration", got[:3], want)
    check("temperature", abs(got[3] - low) < 1e-4, f"got {got[3]}, want {low}")
    same("calibration of probabilities", score([" ".join(map(repr, p)) for p in probabilities], labels, "--metric", "calibration")[:3], want)
    predicted = [p.index(max(p)) for p in probabilities]
    a, b = [round(rng.gauss(0, 1), 1) for _ in right], [round(rng.gauss(1, 3), 1) for _ in right]
    b = [x + y for x, y in zip(a, b)]
    got = score([repr(x) for x in a], [[repr(x) for x in b]], "--metric", "regression")
    mse = sum((x - y) ** 2 for x, y in zip(a, b)) / len(a)
    same("errors", got[2:], [mse, mse ** 0.5, sum(abs(x - y) for x, y in zip(a, b)) / len(a)])
    try:
        from scipy import stats
        from sklearn import metrics
    except ImportError:
        return print("skipped: scikit-learn and SciPy are not installed")
    same("correlations", got[:2], [stats.pearsonr(a, b)[0], stats.spearmanr(a, b)[0]])
    same("classification", score(list(map(str, predicted)), labels, "--metric", "classification"), [100 * metrics.f1_score(right, predicted, average="macro")])
    sets = [[[rng.random() < 0.3 for _ in range(5)] for _ in right] for _ in range(2)]
    lines = [[" ".join(f"l{k}" for k in range(5) if row[k]) for row in rows] for rows in sets]
    same("several labels a line", score(lines[0], [lines[1]], "--metric", "multi-label"), [100 * metrics.f1_score(sets[1], sets[0], average="micro")])
    jaccard = 100 * metrics.jaccard_score(right, predicted, average="macro")
    same("mean IoU", score([" ".join(map(str, predicted))], [[" ".join(map(str, right))]], "--metric", "mean-iou"), [jaccard])


with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    rng = random.Random(1)
    words = ("the a cat dog house Haus Straße größer 3 3.14 1,000 2005. U.S. 5-6 x-y e.g., \"quoted\" (in) [out] {set} don't it's £5 $7.50 5% "
             "&quot;x&quot; &amp; &lt;b&gt; &amp;lt; … „so“ — 日本語 naïve e\u0301 ÉCOLE a\u00a0b \u3000 \u2028 ... ,, .5 5. -5 10-20 a/b c:d; #tag "
             "@you ^ ~ `tick` \\ | _ = + * ! ? <skipped> ΟΔΟΣ İstanbul ﬁ").split(" ")
    references = [" ".join(rng.choices(words, k=rng.randint(1, 20))) for _ in range(400)]
    compare("noisy copies", [noisy(line, rng, words) for line in references], references)
    compare("unrelated lines", references[::-1], references)
    compare("identical", references, references)
    compare("half empty", [line if i % 2 else "" for i, line in enumerate(references)], references)
    compare("empty references", references, [line if i % 2 else "" for i, line in enumerate(references)])
    compare("short lines", [" ".join(line.split(" ")[:3]) for line in references], references)
    compare("longer than the reference", [line + " and more words" for line in references], references)
    compare("all too short for four words", ["a b c", "x"], ["a b c", "x y"])
    compare("no match at all", ["a b c d e"], ["v w x y z"])
    compare("words match, pairs never", ["a x b y c z"], ["c b a"])
    compare("pairs match, triples never", ["a b x c d y e f"], ["e f c d a b"])
    compare("empty everywhere", ["", ""], ["", ""])
    compare("empty hypotheses", ["", ""], ["a b c d", "e"])
    for i, line in enumerate(["Hello, world!", "\"A.B.\" 3.5,4 1.2.3 a,b 5,a a.5 --- 3-4-5 -", "a..b,,c ., 1., ,1 .1 1.", "x&quot;y&#39;z &amp;amp;quot; &nbsp;"]):
        compare(f"tricky line {i}", [line + " one two three"], ["one two " + line + " three"])

    translation_metrics(rng, words)
    summaries(rng, words)
    answers(rng, words)
    entities(rng)
    numbers(rng)

    # Lower case of every letter there is. Python 3.11 and the C library may know different versions of Unicode.
    codes = [c for c in range(0x21, 0x30000) if not 0xD800 <= c < 0xE000 and chr(c).lower() != chr(c)]
    share = run([chr(c) for c in codes], [chr(c).lower() for c in codes], "--lowercase")[2]
    check(f"lower case of {len(codes)} letters", share > 99, f"{share} %")

    try:
        from nltk.translate.bleu_score import corpus_bleu
        # NLTK counts one n-gram for a sentence that is too short to have any: such ones are left out.
        pairs = [(h, r) for h, r in ((noisy(line, rng, words), line) for line in references) if len(h.split()) >= 4]
        want = 100 * corpus_bleu([[r.split()] for _, r in pairs], [h.split() for h, _ in pairs])
        got = run(*zip(*pairs), "--tokenize", "none")[0]
        check("corpus_bleu of NLTK", abs(got - want) < 1e-6, f"got {got}, want {want}")
    except ImportError:
        print("skipped: NLTK is not installed")

sys.exit(failures > 0)
