"""tokenize against SentencePiece's own library: encoding, decoding and training, and char and byte against Python's own."""
import io
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
