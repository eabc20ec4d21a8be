"""Encoders and heads of which testdata has no checkpoint: random checkpoints are written in the reference library's layout, and what they give is computed
here, in float64, from the families' definitions (the papers; transformers' modeling_*). Each is imported, run, unfolded, exported and imported again: the model
file and the tensors are the same bytes."""
import json
import math
import os
import subprocess
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
import safetensors
from tools import bin_directory, check, finish, identical, path, run, save

generator = torch.Generator().manual_seed(12)
scripts = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")
gelu_new = lambda x: F.gelu(x, approximate="tanh")
activations = {"gelu": F.gelu, "gelu_new": gelu_new, "gelu_accurate": gelu_new, "gelu_fast": gelu_new, "relu": F.relu, "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x), "silu": F.silu,
               "swish": F.silu, "tanh": torch.tanh}


class Weights(dict):
    """name -> float32; layers are drawn and computed by their names."""

    def draw(self, name, *shape, scale=0.25):
        self[name] = torch.randn(*shape, generator=generator) * scale

    def linear(self, name, out, into, bias=True):
        self.draw(name + ".weight", out, into)
        if bias:
            self.draw(name + ".bias", out)

    def norm(self, name, width):
        self[name + ".weight"] = 1 + 0.3 * torch.randn(width, generator=generator)
        self.draw(name + ".bias", width)

    def of(self, name):
        return self[name].double()

    def apply(self, name, x):
        return F.linear(x, self.of(name + ".weight"), self.of(name + ".bias") if name + ".bias" in self else None)

    def normalize(self, name, x, epsilon):
        return F.layer_norm(x, x.shape[-1:], self.of(name + ".weight"), self.of(name + ".bias"), epsilon)


def attend(q, k, v, heads, scale=None, bias=0, causal=False):
    """(T, width) each"""
    split = lambda x: x.reshape(len(x), heads, -1).transpose(0, 1)
    q, k, v = split(q), split(k), split(v)
    scores = q @ k.transpose(1, 2) * (scale or q.shape[-1] ** -0.5) + bias
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores[0]).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


# BERT, RoBERTa, ELECTRA, DistilBERT: where each has its layers, and its heads.
NAMES = {
    "bert": ("encoder.layer.{}.", "attention.self.query attention.self.key attention.self.value attention.output.dense".split(), "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
    "distilbert": ("transformer.layer.{}.", "attention.q_lin attention.k_lin attention.v_lin attention.out_lin".split(), "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm")}


def sizes(c):
    if c["model_type"] == "distilbert":
        return c["dim"], c["n_layers"], c["n_heads"], c["hidden_dim"], c["activation"], 1e-12
    return c["hidden_size"], c["num_hidden_layers"], c["num_attention_heads"], c["intermediate_size"], c["hidden_act"], c["layer_norm_eps"]


def bert_tensors(c, prefix, pooler=False):
    w, kind = Weights(), c["model_type"]
    width, layers, _, inner, _, _ = sizes(c)
    narrow = c.get("embedding_size", width)
    w.draw(prefix + "embeddings.word_embeddings.weight", c["vocab_size"], narrow)
    w.draw(prefix + "embeddings.position_embeddings.weight", c["max_position_embeddings"], narrow)
    if kind != "distilbert":
        w.draw(prefix + "embeddings.token_type_embeddings.weight", c["type_vocab_size"], narrow)
    w.norm(prefix + "embeddings.LayerNorm", narrow)
    if narrow != width:
        w.linear(prefix + "embeddings_project", width, narrow)
    layer, parts, norm1, one, two, norm2 = NAMES.get(kind, NAMES["bert"])
    for i in range(layers):
        p = prefix + layer.format(i)
        for part in parts:
            w.linear(p + part, width, width)
        w.norm(p + norm1, width), w.norm(p + norm2, width)
        w.linear(p + one, inner, width), w.linear(p + two, width, inner)
    if pooler:
        w.linear(prefix + "pooler.dense", width, width)
    if kind in ("roberta", "xlm-roberta", "camembert"):  # rows of padding, which nothing reads and no import keeps
        w[prefix + "embeddings.position_embeddings.weight"][:c["pad_token_id"] + 1] = 0
    return w


def bert_hidden(c, w, prefix, ids, types=None):
    kind = c["model_type"]
    _, layers, n, _, act, epsilon = sizes(c)
    first = c["pad_token_id"] + 1 if kind in ("roberta", "xlm-roberta", "camembert") else 0
    x = w.of(prefix + "embeddings.word_embeddings.weight")[ids] + w.of(prefix + "embeddings.position_embeddings.weight")[first:first + len(ids)]
    if kind != "distilbert":
        x = x + w.of(prefix + "embeddings.token_type_embeddings.weight")[types if types is not None else torch.zeros_like(ids)]
    x = w.normalize(prefix + "embeddings.LayerNorm", x, epsilon)
    if prefix + "embeddings_project.weight" in w:
        x = w.apply(prefix + "embeddings_project", x)
    layer, (q, k, v, o), norm1, one, two, norm2 = NAMES.get(kind, NAMES["bert"])
    for i in range(layers):
        p = prefix + layer.format(i)
        y = attend(w.apply(p + q, x), w.apply(p + k, x), w.apply(p + v, x), n)
        x = w.normalize(p + norm1, x + w.apply(p + o, y), epsilon)
        x = w.normalize(p + norm2, x + w.apply(p + two, activations[act](w.apply(p + one, x))), epsilon)
    return x


def masked(w, dense, norm, table, bias, act, epsilon, width, narrow, vocabulary):
    """Draws a masked language model's head; returns hidden -> logits."""
    w.linear(dense, narrow, width), w.norm(norm, narrow), w.draw(bias, vocabulary)
    return lambda x: F.linear(w.normalize(norm, act(w.apply(dense, x)), epsilon), w.of(table), w.of(bias))


def stacked(w, steps):
    """Draws linear layers with activations after them; returns x -> y."""
    for name, out, into, _ in steps:
        w.linear(name, out, into)

    def forward(x):
        for name, _, _, act in steps:
            x = act(w.apply(name, x))
        return x
    return forward


def write_folder(name, config, tensors, more=None):
    folder = path(name)
    os.makedirs(folder)
    for file, content in {"config.json": config, **(more or {})}.items():
        with open(os.path.join(folder, file), "w") as out:
            json.dump(content, out)
    rows = {key: ("F32", list(t.shape), np.ascontiguousarray(t.numpy(), "<f4").tobytes()) for key, t in tensors.items()}
    safetensors.write(os.path.join(folder, "model.safetensors"), rows)
    return folder


def close(name, ours, theirs):
    theirs = [t.numpy() for t in theirs]
    worst = max(float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b)))) if a.shape == b.shape else math.inf for a, b in zip(ours, theirs))
    check(f"{name}: {worst:.1e}", worst <= 1e-4 and len(ours) == len(theirs))


def script(*words):
    done = subprocess.run([os.path.join(scripts, words[0]), *words[1:]], env={**os.environ, "PATH": bin_directory + ":" + os.environ["PATH"]}, capture_output=True, text=True)
    return run("convert", words[3]) if done.returncode == 0 else done.stderr


def round_trip(name, folder, tensors, towers=("",), options=()):
    """Imports, exports and imports again. Returns the model."""
    model, again, out = path("model.h5"), path("again.h5"), folder + "-out"
    run("model", "import", folder, "-o", model)
    run("model", "export", model, "-o", out, *options)
    run("model", "import", out, "-o", again)
    with open(model, "rb") as a, open(again, "rb") as b:
        check(f"{name}: import of the export is the same file", a.read() == b.read())
    back = safetensors.read(os.path.join(out, "model.safetensors"))
    theirs = {key: ("F32", list(t.shape), np.ascontiguousarray(t.numpy(), "<f4").tobytes()) for key, t in tensors.items()}
    different = sorted(key for key in set(back) | set(theirs) if back.get(key) != theirs.get(key))
    check(f"{name}: the tensors of the original {different[:3]}", not different)
    with open(os.path.join(out, "config.json")) as a, open(os.path.join(folder, "config.json")) as b:
        check(f"{name}: the architecture of the original", json.load(a)["architectures"] == json.load(b)["architectures"])
    return model


ids = [torch.randint(5, 90, (n,), generator=generator) for n in (6, 1, 11)]
records = [x.numpy().astype("<i4") for x in ids]


def encoder(name, config, prefix="", head=None, pooler=False):
    """head(w, width) draws the head and returns what gives the logits of hidden states, and the tool that writes them."""
    tensors = bert_tensors(config, prefix, pooler)
    logits, tool = head(tensors, sizes(config)[0]) if head else (None, None)
    folder = write_folder(name.replace(" ", "-").replace(",", ""), config, tensors)
    model, source = round_trip(name, folder, tensors), save("ids.npy", records)
    hidden = [bert_hidden(config, tensors, prefix, x) for x in ids]
    close(f"{name}: hidden states", run("encode", "-m", model, source), hidden)
    check(f"{name}: unfolded", identical(run("encode", "-m", model, source), script("unfold-encode", model, source, path("parts.npy"))))
    if logits:
        close(f"{name}: logits", run(tool, "-m", model, source, "--give", "logits"), [logits(x) for x in hidden])
    if pooler and not logits:
        close(f"{name}: pooled", run("encode", "-m", model, source, "--pool", "model"), [torch.tanh(tensors.apply(prefix + "pooler.dense", x[0])) for x in hidden])


small = dict(vocab_size=99, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, hidden_act="gelu", layer_norm_eps=1e-12, max_position_embeddings=20,
             type_vocab_size=2, pad_token_id=0)
names = lambda n: dict(id2label={str(i): f"name {i}" for i in range(n)}, label2id={f"name {i}": i for i in range(n)})
per_position = lambda layer, n: lambda w, width: (stacked(w, [(layer, n, width, lambda x: x)]), "encode")


def of_first(*steps):
    """A classifier that reads the first hidden state. steps: (name, width or number of classes or None, activation)."""
    def head(w, width):
        forward = stacked(w, [(name, n or width, width, act) for name, n, act in steps])
        return (lambda x: forward(x[0])), "classify"
    return head


same = lambda x: x
bert = lambda architecture, **more: dict(small, model_type="bert", architectures=["Bert" + architecture], **more)
encoder("bert", bert("Model"), pooler=True)
encoder("bert without pooler", bert("Model"))
encoder("bert, masked, no pooler, gelu_accurate", bert("ForMaskedLM", hidden_act="gelu_accurate"), "bert.", lambda w, width: (
    masked(w, "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "bert.embeddings.word_embeddings.weight", "cls.predictions.bias", gelu_new, 1e-12, width, width, 99), "encode"))
encoder("bert, classes", bert("ForSequenceClassification", **names(4)), "bert.", of_first(("bert.pooler.dense", None, torch.tanh), ("classifier", 4, same)))
encoder("bert, tags", bert("ForTokenClassification", **names(5)), "bert.", per_position("classifier", 5))
encoder("bert, answers", bert("ForQuestionAnswering"), "bert.", per_position("qa_outputs", 2))
roberta = lambda kind, architecture, **more: dict(small, model_type=kind, architectures=[architecture], **{"pad_token_id": 1, "type_vocab_size": 1, "layer_norm_eps": 1e-5, **more})
encoder("roberta, tags", roberta("roberta", "RobertaForTokenClassification", **names(3)), "roberta.", per_position("classifier", 3))
encoder("roberta, classes", roberta("roberta", "RobertaForSequenceClassification", **names(3)), "roberta.", of_first(("classifier.dense", None, torch.tanh), ("classifier.out_proj", 3, same)))
encoder("roberta, one class and no names", roberta("roberta", "RobertaForSequenceClassification", num_labels=1), "roberta.", of_first(("classifier.dense", None, torch.tanh), ("classifier.out_proj", 1, same)))
encoder("xlm-roberta, answers", roberta("xlm-roberta", "XLMRobertaForQuestionAnswering"), "roberta.", per_position("qa_outputs", 2))
encoder("xlm-roberta, masked", roberta("xlm-roberta", "XLMRobertaForMaskedLM"), "roberta.", lambda w, width: (
    masked(w, "lm_head.dense", "lm_head.layer_norm", "roberta.embeddings.word_embeddings.weight", "lm_head.bias", F.gelu, 1e-5, width, width, 99), "encode"))
encoder("camembert", roberta("camembert", "CamembertModel"), pooler=True)
distil = lambda architecture, **more: dict(vocab_size=99, dim=24, n_layers=2, n_heads=4, hidden_dim=40, activation="gelu", max_position_embeddings=20, model_type="distilbert", pad_token_id=0,
                                           architectures=["DistilBert" + architecture], sinusoidal_pos_embds=False, tie_weights_=True, **more)
encoder("distilbert", distil("Model"))
encoder("distilbert, classes", distil("ForSequenceClassification", **names(2)), "distilbert.", of_first(("pre_classifier", None, F.relu), ("classifier", 2, same)))
encoder("distilbert, masked, relu", {**distil("ForMaskedLM"), "activation": "relu"}, "distilbert.", lambda w, width: (
    masked(w, "vocab_transform", "vocab_layer_norm", "distilbert.embeddings.word_embeddings.weight", "vocab_projector.bias", F.relu, 1e-12, width, width, 99), "encode"))
electra = lambda architecture, narrow=16, **more: dict(small, model_type="electra", architectures=["Electra" + architecture], embedding_size=narrow, **more)
for narrow in 16, 24, 36:
    generates = lambda w, width: (masked(w, "generator_predictions.dense", "generator_predictions.LayerNorm", "electra.embeddings.word_embeddings.weight", "generator_lm_head.bias", F.gelu,
                                         1e-12, width, narrow, 99), "encode")
    encoder(f"electra, a generator, embeddings of {narrow}", electra("ForMaskedLM", narrow, hidden_act="relu"), "electra.", generates)
    replaced = lambda w, width: (stacked(w, [("discriminator_predictions.dense", width, width, F.silu), ("discriminator_predictions.dense_prediction", 1, width, lambda x: x[..., 0])]), "encode")
    encoder(f"electra, a discriminator, embeddings of {narrow}", electra("ForPreTraining", narrow, hidden_act="silu"), "electra.", replaced)
encoder("electra", electra("Model"))
encoder("electra, classes", electra("ForSequenceClassification", **names(3)), "electra.", of_first(("classifier.dense", None, F.gelu), ("classifier.out_proj", 3, same)))
encoder("electra, tags", electra("ForTokenClassification", **names(3)), "electra.", per_position("classifier", 3))


# T5's encoder alone, which sentence vectors are made with.
def t5_encoder(name, config):
    w, D, n, d = Weights(), config["d_model"], config["num_heads"], config["d_kv"]
    gated, act = config["feed_forward_proj"].startswith("gated"), {"relu": F.relu, "gated-gelu": gelu_new, "gated-silu": F.silu}[config["feed_forward_proj"]]
    w.draw("shared.weight", config["vocab_size"], D)
    w.draw("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", config["relative_attention_num_buckets"], n)
    gain = lambda key: w.__setitem__(key, 1 + 0.3 * torch.randn(D, generator=generator))
    gain("encoder.final_layer_norm.weight")
    for i in range(config["num_layers"]):
        p = f"encoder.block.{i}.layer."
        for part, out, into in ("q", n * d, D), ("k", n * d, D), ("v", n * d, D), ("o", D, n * d):
            w.linear(p + "0.SelfAttention." + part, out, into, False)
        for part in ("wi_0", "wi_1") if gated else ("wi",):
            w.linear(p + "1.DenseReluDense." + part, config["d_ff"], D, False)
        w.linear(p + "1.DenseReluDense.wo", D, config["d_ff"], False)
        gain(p + "0.layer_norm.weight"), gain(p + "1.layer_norm.weight")
    rms = lambda x, key: x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * w.of(key + ".weight")

    def bucket(distance):
        """Of the key's place less the query's (Raffel et al. 2020; both directions)."""
        half = config["relative_attention_num_buckets"] // 2
        first, away, exact = half if distance > 0 else 0, abs(distance), half // 2
        if away < exact:
            return first + away
        return first + min(half - 1, exact + int(math.log(away / exact) / math.log(config["relative_attention_max_distance"] / exact) * (half - exact)))

    def forward(x):
        table = w.of("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
        bias = torch.stack([torch.stack([table[bucket(k - q)] for k in range(len(x))]) for q in range(len(x))]).permute(2, 0, 1)
        x = w.of("shared.weight")[x]
        for i in range(config["num_layers"]):
            p = f"encoder.block.{i}.layer."
            h = rms(x, p + "0.layer_norm")
            q, k, v = (w.apply(p + "0.SelfAttention." + part, h) for part in "qkv")
            x = x + w.apply(p + "0.SelfAttention.o", attend(q, k, v, n, 1.0, bias))
            h, dense = rms(x, p + "1.layer_norm"), p + "1.DenseReluDense."
            h = act(w.apply(dense + "wi_0", h)) * w.apply(dense + "wi_1", h) if gated else act(w.apply(dense + "wi", h))
            x = x + w.apply(dense + "wo", h)
        return rms(x, "encoder.final_layer_norm")

    model, source = round_trip(name, write_folder(name.replace(" ", "-").replace(",", ""), config, w), w), save("ids.npy", records)
    close(f"{name}: hidden states", run("encode", "-m", model, source), [forward(x) for x in ids])
    close(f"{name}: mean", run("encode", "-m", model, source, "--pool", "mean"), [forward(x).mean(0) for x in ids])
    check(f"{name}: unfolded", identical(run("encode", "-m", model, source), script("unfold-encode", model, source, path("parts.npy"))))


t5 = dict(vocab_size=99, d_model=24, d_kv=10, d_ff=40, num_layers=2, num_heads=3, relative_attention_num_buckets=8, relative_attention_max_distance=9, layer_norm_epsilon=1e-6, model_type="t5",
          architectures=["T5EncoderModel"], feed_forward_proj="relu", is_encoder_decoder=True, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
t5_encoder("t5, the encoder", t5)
t5_encoder("t5 v1.1, the encoder", dict(t5, feed_forward_proj="gated-gelu", is_gated_act=True, dense_act_fn="gelu_new", tie_word_embeddings=False, n_positions=512))
t5_encoder("mt5, the encoder, silu", dict(t5, model_type="mt5", architectures=["MT5EncoderModel"], feed_forward_proj="gated-silu"))

# Images: ViT, DeiT, DINOv2.
square = [torch.randn(3, 12, 12, generator=generator) for _ in range(3)]


def patches(image, size):
    """(C, H, W) -> (T, C * size * size), as a convolution's weight has its columns."""
    c, h, w = image.shape
    return image.double().reshape(c, h // size, size, w // size, size).permute(1, 3, 0, 2, 4).reshape(-1, c * size * size)


def vit(name, config, prefix="", pooler=False, classes=0, tokens=1):
    w, D, P, dino = Weights(), config["hidden_size"], config["patch_size"], config["model_type"] == "dinov2"
    count, bias = (config["image_size"] // P) ** 2, config.get("qkv_bias", True)
    w.draw(prefix + "embeddings.cls_token", 1, 1, D)
    if tokens == 2:
        w.draw(prefix + "embeddings.distillation_token", 1, 1, D)
    w.draw(prefix + "embeddings.position_embeddings", 1, count + tokens, D)
    w.draw(prefix + "embeddings.patch_embeddings.projection.weight", D, 3, P, P), w.draw(prefix + "embeddings.patch_embeddings.projection.bias", D)
    w.norm(prefix + "layernorm", D)
    gated = config.get("use_swiglu_ffn", False)
    inner = int(D * config["mlp_ratio"]) if dino else config["intermediate_size"]
    if gated:
        inner = (int(inner * 2 / 3) + 7) // 8 * 8
    norms = ("norm1", "norm2") if dino else ("layernorm_before", "layernorm_after")
    one, two = (("mlp.weights_in", "mlp.weights_out") if gated else ("mlp.fc1", "mlp.fc2")) if dino else ("intermediate.dense", "output.dense")
    for i in range(config["num_hidden_layers"]):
        p = f"{prefix}encoder.layer.{i}."
        for part in "query", "key", "value":
            w.linear(f"{p}attention.attention.{part}", D, D, bias)
        w.linear(p + "attention.output.dense", D, D)
        w.norm(p + norms[0], D), w.norm(p + norms[1], D)
        w.linear(p + one, inner * (2 if gated else 1), D), w.linear(p + two, D, inner)
        if dino:
            w.draw(p + "layer_scale1.lambda1", D), w.draw(p + "layer_scale2.lambda1", D)
    if pooler:
        w.linear(prefix + "pooler.dense", D, D)
    if classes:
        w.linear("classifier", classes, D * (2 if dino else 1))
    epsilon, act = config["layer_norm_eps"], activations[config["hidden_act"]]

    def hidden(image):
        x = patches(image, P) @ w.of(prefix + "embeddings.patch_embeddings.projection.weight").reshape(D, -1).T + w.of(prefix + "embeddings.patch_embeddings.projection.bias")
        first = [w.of(prefix + f"embeddings.{token}")[0] for token in ("cls_token", "distillation_token")[:tokens]]
        x = torch.cat(first + [x]) + w.of(prefix + "embeddings.position_embeddings")[0]
        for i in range(config["num_hidden_layers"]):
            p = f"{prefix}encoder.layer.{i}."
            scale = lambda n, y: y * w.of(f"{p}layer_scale{n}.lambda1") if dino else y
            h = w.normalize(p + norms[0], x, epsilon)
            q, k, v = (w.apply(f"{p}attention.attention.{part}", h) for part in ("query", "key", "value"))
            x = x + scale(1, w.apply(p + "attention.output.dense", attend(q, k, v, config["num_attention_heads"])))
            h = w.apply(p + one, w.normalize(p + norms[1], x, epsilon))
            h = F.silu(h[:, :inner]) * h[:, inner:] if gated else act(h)
            x = x + scale(2, w.apply(p + two, h))
        return w.normalize(prefix + "layernorm", x, epsilon)

    model, source = round_trip(name, write_folder(name.replace(" ", "-").replace(",", ""), config, w), w), save("pixels.npy", [x.numpy() for x in square])
    states = [hidden(x) for x in square]
    close(f"{name}: hidden states", run("encode", "-m", model, source), states)
    check(f"{name}: unfolded", identical(run("encode", "-m", model, source), script("unfold-encode", model, source, path("parts.npy"))))
    if classes:
        read = lambda x: torch.cat([x[0], x[1:].mean(0)]) if dino else x[0]
        close(f"{name}: logits", run("classify", "-m", model, source, "--give", "logits"), [w.apply("classifier", read(x)) for x in states])
    if pooler:
        close(f"{name}: pooled", run("encode", "-m", model, source, "--pool", "model"), [activations[config.get("pooler_act", "tanh")](w.apply(prefix + "pooler.dense", x[0])) for x in states])


image = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, hidden_act="gelu", layer_norm_eps=1e-12, image_size=12, patch_size=4, num_channels=3, qkv_bias=True,
             model_type="vit", architectures=["ViTModel"])
vit("vit", image, pooler=True)
vit("vit, another pooler", dict(image, pooler_act="relu", pooler_output_size=24), pooler=True)
vit("vit without pooler", image)
vit("vit, classes, no biases of queries", dict(image, architectures=["ViTForImageClassification"], qkv_bias=False, hidden_act="gelu_new", **names(5)), "vit.", classes=5)
vit("deit, classes", dict(image, model_type="deit", architectures=["DeiTForImageClassification"], **names(3)), "deit.", classes=3, tokens=2)
dino = dict({key: value for key, value in image.items() if key not in ("intermediate_size",)}, model_type="dinov2", architectures=["Dinov2Model"], layer_norm_eps=1e-6, mlp_ratio=2)
vit("dinov2", dino)
vit("dinov2, classes", dict(dino, architectures=["Dinov2ForImageClassification"], **names(6)), "dinov2.", classes=6)
vit("dinov2, gated, classes", dict(dino, architectures=["Dinov2ForImageClassification"], use_swiglu_ffn=True, mlp_ratio=4, **names(2)), "dinov2.", classes=2)
# A ratio that rounds to one column less: 28 * (61 / 28) < 61.
vit("dinov2, an odd width", dict(dino, hidden_size=28, num_attention_heads=4, mlp_ratio=math.nextafter(61 / 28, 3)))


# CLIP: both towers of one file, each alone, with and without what compares them.
def clip_layers(w, base, c):
    D = c["hidden_size"]
    for i in range(c["num_hidden_layers"]):
        p = f"{base}encoder.layers.{i}."
        for part in "q_proj", "k_proj", "v_proj", "out_proj":
            w.linear(p + "self_attn." + part, D, D)
        w.norm(p + "layer_norm1", D), w.norm(p + "layer_norm2", D)
        w.linear(p + "mlp.fc1", c["intermediate_size"], D), w.linear(p + "mlp.fc2", D, c["intermediate_size"])

    def forward(x, causal):
        for i in range(c["num_hidden_layers"]):
            p = f"{base}encoder.layers.{i}."
            h = w.normalize(p + "layer_norm1", x, c["layer_norm_eps"])
            y = attend(*(w.apply(f"{p}self_attn.{part}_proj", h) for part in "qkv"), c["num_attention_heads"], causal=causal)
            x = x + w.apply(p + "self_attn.out_proj", y)
            h = activations[c["hidden_act"]](w.apply(p + "mlp.fc1", w.normalize(p + "layer_norm2", x, c["layer_norm_eps"])))
            x = x + w.apply(p + "mlp.fc2", h)
        return x
    return forward


def clip_text(w, c, projection):
    layers = clip_layers(w, "text_model.", c)
    w.draw("text_model.embeddings.token_embedding.weight", c["vocab_size"], c["hidden_size"])
    w.draw("text_model.embeddings.position_embedding.weight", c["max_position_embeddings"], c["hidden_size"])
    w.norm("text_model.final_layer_norm", c["hidden_size"])
    if projection:
        w.linear("text_projection", projection, c["hidden_size"], False)

    def forward(x):
        y = w.of("text_model.embeddings.token_embedding.weight")[x] + w.of("text_model.embeddings.position_embedding.weight")[:len(x)]
        y = w.normalize("text_model.final_layer_norm", layers(y, True), c["layer_norm_eps"])
        y = y[int(torch.argmax(x)) if c["eos_token_id"] == 2 else (x == c["eos_token_id"]).nonzero()[0, 0]]
        return w.apply("text_projection", y) if projection else y
    return forward


def clip_image(w, c, projection):
    D, P = c["hidden_size"], c["patch_size"]
    layers, base = clip_layers(w, "vision_model.", c), "vision_model.embeddings."
    w.draw(base + "class_embedding", D), w.draw(base + "patch_embedding.weight", D, 3, P, P), w.draw(base + "position_embedding.weight", (c["image_size"] // P) ** 2 + 1, D)
    w.norm("vision_model.pre_layrnorm", D), w.norm("vision_model.post_layernorm", D)
    if projection:
        w.linear("visual_projection", projection, D, False)

    def forward(x):
        y = patches(x, P) @ w.of(base + "patch_embedding.weight").reshape(D, -1).T
        y = torch.cat([w.of(base + "class_embedding")[None], y]) + w.of(base + "position_embedding.weight")
        y = w.normalize("vision_model.post_layernorm", layers(w.normalize("vision_model.pre_layrnorm", y, c["layer_norm_eps"]), False)[0], c["layer_norm_eps"])
        return w.apply("visual_projection", y) if projection else y
    return forward


clip_base = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, hidden_act="quick_gelu", layer_norm_eps=1e-5)
text_config = dict(clip_base, vocab_size=99, max_position_embeddings=20, eos_token_id=2, model_type="clip_text_model")
image_config = dict(clip_base, hidden_size=32, num_attention_heads=4, num_hidden_layers=1, image_size=12, patch_size=4, num_channels=3, model_type="clip_vision_model")
unit = lambda x: x / x.norm()
preparation = {"preprocessor_config.json": {"size": {"shortest_edge": 12}, "crop_size": {"height": 12, "width": 12}, "do_center_crop": True, "do_normalize": True, "do_rescale": True,
                                            "do_resize": True, "rescale_factor": 1 / 255, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "image_processor_type": "CLIPImageProcessor"}}
for end in 2, 98:
    w = Weights()
    config = dict(model_type="clip", architectures=["CLIPModel"], projection_dim=20, text_config=dict(text_config, eos_token_id=end), vision_config=image_config, logit_scale_init_value=2.6592)
    text, picture = clip_text(w, config["text_config"], 20), clip_image(w, image_config, 20)
    w["logit_scale"] = torch.tensor(2.5)
    folder = write_folder(f"clip-{end}", config, w, preparation)
    model = round_trip(f"clip, end {end}", folder, w)
    lines = [torch.cat([x, torch.tensor([98])]) for x in ids]
    close(f"clip, end {end}: texts", run("encode", "-m", model + ":text", save("lines.npy", [x.numpy().astype("<i4") for x in lines]), "--pool", "model"), [unit(text(x)) for x in lines])
    close(f"clip, end {end}: images", run("encode", "-m", model + ":image", save("pixels.npy", [x.numpy() for x in square]), "--pool", "model"), [unit(picture(x)) for x in square])
# From photographs: patchify prepares them as the tower says, also from a PPM file.
photographs = np.random.default_rng(5).integers(0, 256, (2, 12, 12, 3)).astype("u1")
mean, std = (np.array(preparation["preprocessor_config.json"][key]) for key in ("image_mean", "image_std"))
prepared = [torch.from_numpy(((x / 255 - mean) / std).transpose(2, 0, 1).copy()) for x in photographs]
with open(path("photographs.ppm"), "wb") as file:
    file.write(b"".join(b"P6 12 12 255\n" + x.tobytes() for x in photographs))
for source in save("photographs.npy", list(photographs)), path("photographs.ppm"):
    save("patches.npy", run("patchify", "-m", model + ":image", source))
    close(f"clip: photographs of {os.path.basename(source)}", run("encode", "-m", model + ":image", path("patches.npy"), "--pool", "model"), [unit(picture(x)) for x in prepared])


def datasets(name):
    found = {}
    with h5py.File(path(name)) as file:
        file.visititems(lambda key, item: found.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def same_after_export(name, model):
    run("model", "export", path(model + ".h5"), "-o", path(model))
    run("model", "import", path(model), "-o", path("again.h5"))
    a, b = datasets(model + ".h5"), datasets("again.h5")
    different = [key for key in sorted(set(a) | set(b)) if key not in a or key not in b or a[key].dtype != b[key].dtype or a[key].tobytes() != b[key].tobytes()]
    check(f"{name}: the same after export and import {different[:3]}", not different)


# A file that other tools wrote goes out as well, and one fine-tuned here, of which PyTorch computes the same from the exported files.
run("model", "quantize", model, "--weights", "f16", "-o", path("narrow.h5"))
same_after_export("clip of 16 bits", "narrow")
pairs = save("texts.npy", [x.numpy().astype("<i4") for x in lines[:2]])
run("train", "--task", "contrastive", "--from", model, "--source", path("patches.npy"), "--target", pairs, "--steps", 3, "--warmup", 1, "--learning-rate", 0.01, "-q", "-o", path("tuned.h5"))
same_after_export("clip, fine-tuned", "tuned")
before = [unit(text(x)) for x in lines[:2]]
w.update({key: torch.from_numpy(safetensors.floats(t).copy()) for key, t in safetensors.read(os.path.join(path("tuned"), "model.safetensors")).items()})
check("clip, fine-tuned: training changed the vectors", max(float((unit(text(x)) - y).abs().max()) for x, y in zip(lines, before)) > 1e-3)
close("clip, fine-tuned: texts", run("encode", "-m", path("tuned.h5") + ":text", pairs, "--pool", "model"), [unit(text(x)) for x in lines[:2]])
close("clip, fine-tuned: photographs", run("encode", "-m", path("tuned.h5") + ":image", path("patches.npy"), "--pool", "model"), [unit(picture(x)) for x in prepared])
for kind, one, name, forward, source in (("text", text_config, "CLIPTextModel", clip_text, lines), ("vision", image_config, "CLIPVisionModel", clip_image, square)):
    for projection in 0, 20:
        w = Weights()
        vector = forward(w, one, projection)
        config = dict(one, model_type=f"clip_{kind}_model", architectures=[name + ("WithProjection" if projection else "")], projection_dim=20)
        model = round_trip(f"{name}, projection {projection}", write_folder(f"{kind}-{projection}", config, w), w)
        arrays = save("arrays.npy", [x.numpy().astype("<i4" if kind == "text" else "<f4") for x in source])
        close(f"{name}, projection {projection}", run("encode", "-m", model, arrays, "--pool", "model"), [unit(vector(x)) for x in source])

finish()
