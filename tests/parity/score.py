"""score against the published definitions of BLEU and chrF, written here with exact fractions and Python's own regular
expressions, and against NLTK where it is installed."""
import math
import os
import random
import re
import subprocess
import sys
import tempfile
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


def grams(items, n):
    return Counter(tuple(items[i:i + n]) for i in range(len(items) - n + 1))


def bleu(hypotheses, references, tokenize):
    matches, totals, length, wanted = [0] * 4, [0] * 4, 0, 0
    for h, r in zip(hypotheses, references):
        h, r = tokenize(h), tokenize(r)
        length += len(h)
        wanted += len(r)
        for n in range(4):
            counts = grams(h, n + 1)
            matches[n] += sum((counts & grams(r, n + 1)).values())
            totals[n] += sum(counts.values())
    if not any(matches) or not all(totals):
        return 0.0
    product, zeros = Fraction(1), 0
    for m, t in zip(matches, totals):
        if m == 0:
            zeros += 1
        product *= Fraction(m, t) if m else Fraction(1, 2 ** zeros * t)
    penalty = 1.0 if length >= wanted else math.exp(1 - Fraction(wanted, length))
    return 100 * penalty * math.exp((math.log(product.numerator) - math.log(product.denominator)) / 4)


def chrf(hypotheses, references):
    statistics = [[0, 0, 0] for _ in range(6)]
    for h, r in zip(hypotheses, references):
        h, r = "".join(h.split()), "".join(r.split())
        for n, s in enumerate(statistics, 1):
            hc, rc = grams(h, n), grams(r, n)
            if not rc:
                continue
            s[0] += sum(hc.values())
            s[1] += sum(rc.values())
            s[2] += sum((hc & rc).values())
    pairs = [(Fraction(m, h), Fraction(m, r)) for h, r, m in statistics if h and r]
    if not pairs:
        return 0.0
    p, r = (sum(x) / len(pairs) for x in zip(*pairs))
    return float(100 * 5 * p * r / (4 * p + r)) if p + r else 0.0


def run(hypotheses, references, *options):
    for name, lines in (("hyp.txt", hypotheses), ("ref.txt", references)):
        with open(name, "w", newline="\n") as out:
            out.writelines(line + "\n" for line in lines)
    out = subprocess.run([SCORE, "--quiet", "--metric", "all", "--reference", "ref.txt", *options, "hyp.txt"],
                         stdout=subprocess.PIPE, check=True).stdout
    return [float(x) for x in out.split()]


def compare(name, hypotheses, references):
    for options, tokenize, change in (([], tokens_13a, str), (["--tokenize", "none"], str.split, str), (["--lowercase"], tokens_13a, str.lower)):
        h, r = [change(x) for x in hypotheses], [change(x) for x in references]
        want = [bleu(h, r, tokenize), chrf(h, r), 100 * sum(a == b for a, b in zip(h, r)) / len(h)]
        got = run(hypotheses, references, *options)
        check(f"{name} {' '.join(options)}", all(abs(a - b) < 0.6e-4 for a, b in zip(got, want)), f"got {got}, want {want}")


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

    # Lower case of every letter there is. Python 3.11 and the C library may know different versions of Unicode.
    codes = [c for c in range(0x21, 0x30000) if not 0xD800 <= c < 0xE000 and chr(c).lower() != chr(c)]
    share = run([chr(c) for c in codes], [chr(c).lower() for c in codes], "--lowercase")[2]
    check(f"lower case of {len(codes)} letters", share > 99, f"{share} %")

    try:
        from nltk.translate.bleu_score import corpus_bleu
        hypotheses = [noisy(line, rng, words) for line in references]
        want = 100 * corpus_bleu([[r.split()] for r in references], [h.split() for h in hypotheses])
        got = run(hypotheses, references, "--tokenize", "none")[0]
        check("corpus_bleu of NLTK", abs(got - want) < 0.6e-4, f"got {got}, want {want}")
    except ImportError:
        print("skipped: NLTK is not installed")

sys.exit(failures > 0)
