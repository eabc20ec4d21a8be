"""tokenize against SentencePiece's own library: encoding, decoding and training, and char and byte against Python's own."""
import collections
import io
import math
import os
import random
import subprocess
import sys
import tempfile

import numpy as np
import sentencepiece as spm

TOKENIZE = os.path.join(os.environ["PIPEFORMER_BIN"], "tokenize")
failures = 0


def check(name, ok):
    global failures
    failures += not ok
    print(("ok" if ok else "FAILED") + ": " + name)


def run(*arguments, data=b""):
    return subprocess.run([TOKENIZE, *arguments], input=data, stdout=subprocess.PIPE, check=True).stdout


def records(data):
    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        yield np.lib.format.read_array(stream)


def stream(lists):
    out = io.BytesIO()
    for ids in lists:
        np.lib.format.write_array(out, np.array(ids, "<i4"), version=(1, 0))
    return out.getvalue()


def sentences(count, seed):
    """Lines of made-up words over several scripts, with the odd punctuation, digits, runs of spaces and empty lines."""
    rng = random.Random(seed)
    syllables = "ba be bi bo da de di do ka ke ki ko la le li lo ma me mi mo st ng sch tr än öl üb ñe ça жи во да ση το 日本 語".split()
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(400)]
    lines = []
    for _ in range(count):
        line = " ".join(words[min(int(rng.expovariate(0.02)), 399)] for _ in range(rng.randint(0, 14)))
        if rng.random() < 0.3:
            line += rng.choice([".", "!", " ?", ", 12,345.6", " (x)", "  two  spaces ", "\ttab", "ﬁ ½ Ａ", " <s> </s> <unk>", " ▁"])
        lines.append(line)
    return lines


def compare(name, path, lines):
    """Encoding and decoding with the model file at `path`, against SentencePiece."""
    processor = spm.SentencePieceProcessor(model_file=path)
    text = "".join(line + "\n" for line in lines).encode()
    expected = processor.encode(lines)
    data = run("-m", path, data=text)
    got = [ids.tolist() for ids in records(data)]
    check(f"{name}: ids of {len(lines)} lines", got == expected)
    check(f"{name}: text of ids", run("-m", path, "--decode", data=data).decode().split("\n")[:-1] == processor.decode(expected))
    rng = random.Random(3)
    size = processor.get_piece_size()
    # Bytes are left out: a byte piece can be a newline.
    usable = [i for i in range(size) if not processor.is_byte(i)]
    noise = [[rng.choice(usable) for _ in range(rng.randint(0, 20))] for _ in range(200)]
    check(f"{name}: text of random ids", run("-m", path, "--decode", data=stream(noise)).decode().split("\n")[:-1] == processor.decode(noise))
    pieces = [[processor.id_to_piece(i) for i in ids] for ids in expected]
    check(f"{name}: pieces", run("-m", path, "--pieces", data=text).decode().split("\n")[:-1] == [" ".join(p) for p in pieces])
    if processor.bos_id() >= 0 and processor.eos_id() >= 0:
        got = [ids.tolist() for ids in records(run("-m", path, "--begin", "--end", data=text))]
        check(f"{name}: --begin --end", got == processor.encode(lines, add_bos=True, add_eos=True))


def vocabulary(path):
    processor = spm.SentencePieceProcessor(model_file=path)
    return [(processor.id_to_piece(i), processor.get_score(i), processor.is_control(i), processor.is_unknown(i), processor.is_byte(i))
            for i in range(processor.get_piece_size())]


with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    lines = sentences(3000, 1)
    other = sentences(500, 2) + ["", " ", "never seen: ж𝄞😀", "a\u00a0b\u3000c\u200bd", "e\u0301 = é", "\u0085 \u2028 x"]
    with open("corpus.txt", "w", newline="\n") as out:
        out.writelines(line + "\n" for line in lines)

    # Training: SentencePiece's defaults but for the coverage, and no limit on the length of lines.
    same = dict(input="corpus.txt", character_coverage=1.0, max_sentence_length=1073741824, num_threads=16, minloglevel=3)
    cases = [("bpe", 400, False, []), ("unigram", 250, False, []), ("bpe", 700, True, ["--byte-fallback"]),
             ("unigram", 500, True, ["--byte-fallback"])]
    for kind, size, fallback, options in cases:
        name = f"{kind} {size}{' with byte fallback' if fallback else ''}"
        run("--quiet", "--train", "--type", kind, "--vocab-size", str(size), *options, "-o", "ours.model", "corpus.txt")
        spm.SentencePieceTrainer.train(model_prefix="theirs", model_type=kind, vocab_size=size, byte_fallback=fallback, **same)
        check(f"{name}: trained model", vocabulary("ours.model") == vocabulary("theirs.model"))
        compare(f"{name}, ours", "ours.model", other)
    run("--quiet", "--train", "--vocab-size", "300", "--character-coverage", "0.98", "-o", "ours.model", "corpus.txt")
    spm.SentencePieceTrainer.train(model_prefix="theirs", model_type="bpe", vocab_size=300, **{**same, "character_coverage": 0.98})
    check("coverage 0.98: trained model", vocabulary("ours.model") == vocabulary("theirs.model"))

    # Models made elsewhere, with other settings.
    elsewhere = {
        "other ids and padding": dict(model_type="bpe", vocab_size=400, pad_id=0, unk_id=3, bos_id=1, eos_id=2),
        "no begin, no end": dict(model_type="unigram", vocab_size=400, bos_id=-1, eos_id=-1),
        "identity, no prefix": dict(model_type="unigram", vocab_size=500, normalization_rule_name="identity", add_dummy_prefix=False,
                                    remove_extra_whitespaces=False),
        "user symbols": dict(model_type="bpe", vocab_size=400, user_defined_symbols=["<2de>", "@@"], control_symbols=["<ctl>"]),
        "unigram with bytes": dict(model_type="unigram", vocab_size=700, byte_fallback=True, split_digits=True, pad_id=3),
        "their char": dict(model_type="char", vocab_size=80),
        "their word": dict(model_type="word", vocab_size=300),
    }
    for name, settings in elsewhere.items():
        spm.SentencePieceTrainer.train(model_prefix="theirs", **{**same, **settings, "hard_vocab_limit": settings["model_type"] == "bpe"})
        compare(name, "theirs.model", other + ["<2de> hello@@ <ctl>"])

    # Sampling: how often each segmentation of a line is drawn, against its probability (within 5 standard deviations).
    def frequencies(name, model, line, options, expected, count=20000):
        data = run("-m", model, "--sample", *options, data=(line + "\n").encode() * count)
        drawn = collections.Counter(tuple(r.tolist()) for r in records(data))
        worst = max(abs(drawn[ids] - p * count) / math.sqrt(p * (1 - p) * count) for ids, p in expected.items() if p * count > 10)
        check(f"{name}: {len(expected)} segmentations, at most {worst:.1f} standard deviations off",
              worst < 5 and (sum(expected.values()) < 0.999 or set(drawn) <= set(expected)))

    line = next(line for line in lines if 20 < len(line) < 40)
    spm.SentencePieceTrainer.train(model_prefix="theirs", **{**same, "model_type": "unigram", "vocab_size": 250})
    theirs = spm.SentencePieceProcessor(model_file="theirs.model")
    for alpha, nbest in [(0.2, 4), (1.0, 4), (0.0, 3)]:
        scored = [(tuple(p.id for p in n.pieces), alpha * n.score) for n in theirs.nbest_encode(line, nbest_size=nbest, out_type="immutable_proto").nbests]
        total = sum(math.exp(score - scored[0][1]) for _, score in scored)
        frequencies(f"unigram, alpha {alpha}, {nbest} best", "theirs.model", line, [str(alpha), "--nbest", str(nbest)],
                    {ids: math.exp(score - scored[0][1]) / total for ids, score in scored})
    # All segmentations of a short word: P(x)^alpha over their sum.
    scores = {theirs.id_to_piece(i): theirs.get_score(i) for i in range(3, theirs.get_piece_size())}
    def segmentations(text):
        return [[]] if not text else [[text[:n]] + rest for n in range(1, len(text) + 1) if text[:n] in scores for rest in segmentations(text[n:])]
    word = max((w for line in lines for w in line.split() if 3 < len(w) < 8), key=lambda w: len(segmentations("\u2581" + w)))
    for alpha in [0.1, 0.5]:
        weights = {tuple(map(theirs.piece_to_id, s)): math.exp(alpha * sum(scores[p] for p in s)) for s in segmentations("\u2581" + word)}
        frequencies(f"unigram, alpha {alpha}, all", "theirs.model", word, [str(alpha)], {ids: w / sum(weights.values()) for ids, w in weights.items()})
    with open("merges.txt", "w") as out:
        out.write("ab ab ab ab ab a\n" * 10)
    spm.SentencePieceTrainer.train(model_prefix="theirs", **{**same, "input": "merges.txt", "model_type": "bpe", "vocab_size": 8})
    theirs = spm.SentencePieceProcessor(model_file="theirs.model")
    # Its two merges for this line: a pair first, then all of it; each is left out with probability 0.3.
    whole, parts = theirs.encode("ab", out_type=str), theirs.sample_encode_as_pieces("ab", -1, 1.0)
    first = next(p for p in ["\u2581a", "ab"] if theirs.piece_to_id(p) != theirs.unk_id())
    check("bpe: two merges", whole == ["\u2581ab"] and parts == ["\u2581", "a", "b"])
    split = [first, "b"] if first == "\u2581a" else ["\u2581", first]
    ids = lambda pieces: tuple(map(theirs.piece_to_id, pieces))
    frequencies("bpe, dropout 0.3", "theirs.model", "ab", ["0.3"], {ids(whole): 0.49, ids(split): 0.21, ids(parts): 0.3})
    for kind in ["word", "char"]:
        spm.SentencePieceTrainer.train(model_prefix="theirs", **{**same, "model_type": kind, "vocab_size": 80, "hard_vocab_limit": False})
        refused = subprocess.run([TOKENIZE, "-m", "theirs.model", "--sample", "0.1"], input=b"a\n", stderr=subprocess.PIPE)
        check(f"their {kind}: no sampling", refused.returncode == 2 and b"needs a bpe or unigram tokenizer" in refused.stderr)

    # char: the sorted code points of the corpus, newline among them, after three control ids.
    run("--train", "--type", "char", "-o", "char.model", "corpus.txt")
    codes = sorted(set("".join(lines)) | {"\n"})
    ids = {code: i + 3 for i, code in enumerate(codes)}
    text = "".join(line + "\n" for line in other)
    expected = [[ids.get(c, 0) for c in line] for line in other]
    data = run("-m", "char.model", data=text.encode())
    check("char: ids", [r.tolist() for r in records(data)] == expected)
    check("char: text of ids", run("-m", "char.model", "--decode", data=data).decode() ==
          "".join("".join(c if c in ids else "\ufffd" for c in line) + "\n" for line in other))
    data = run("-m", "char.model", "--document", data=text.encode())
    check("char: a document", [r.tolist() for r in records(data)] == [[ids.get(c, 0) for c in text]])

    # byte, and text that is not UTF-8.
    run("--train", "--type", "byte", "-o", "byte.model", "corpus.txt")
    rng = random.Random(5)
    noise = bytes(rng.randrange(256) for _ in range(20000))
    data = run("-m", "byte.model", data=noise)
    parts = noise.split(b"\n")
    check("byte: ids of noise", [r.tolist() for r in records(data)] == [[b + 3 for b in part] for part in parts])
    check("byte: noise of ids", run("-m", "byte.model", "--decode", data=data) == noise + b"\n")
    # Few kinds of bytes, so that long invalid sequences of all sorts occur.
    noise = bytes(rng.choice(b"a\x80\xbf\x9f\xa0\xc0\xc2\xe0\xe1\xed\xf0\xf1\xf4\xf5\xff") for _ in range(50000))
    data = run("-m", "byte.model", "--invalid-utf8", "replace", data=noise)
    check("U+FFFD as Python puts it", run("-m", "byte.model", "--decode", data=data).decode() == noise.decode(errors="replace") + "\n")

sys.exit(failures > 0)
