"""Decoder-only families of which testdata has no checkpoint, and other shapes of those of which it has one: random checkpoints are written in the reference
library's layout, and their logits are computed here, in float64, from the families' definitions (the papers; transformers' modeling_rope_utils and modeling_*).
Each is imported, run in one pass and step by step, unfolded, exported and imported again."""
import json
import math
import os
import subprocess
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
import safetensors
from tools import bin_directory, check, finish, identical, path, run, save

generator = torch.Generator().manual_seed(11)
scripts = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")
activations = {"silu": F.silu, "gelu_new": lambda x: F.gelu(x, approximate="tanh"), "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
               "gelu": F.gelu, "relu": F.relu}


def write_folder(name, config, tensors, kind="F32"):
    folder = path(name)
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    rows = {}
    for key, tensor in tensors.items():
        values = np.ascontiguousarray(tensor.numpy(), "<f4")
        rows[key] = (kind, list(values.shape), values.tobytes() if kind == "F32" else safetensors.rounded(values, kind))
        tensors[key] = torch.from_numpy(safetensors.floats(rows[key]).copy())
    safetensors.write(os.path.join(folder, "model.safetensors"), rows)
    return folder


# Rotary positions: angles of all positions of a sequence of this length, and what sines and cosines are multiplied by.
def rotary(config, width, length, local=False):
    base, scaling = config.get("rope_theta", 10000.0), config.get("rope_scaling") or config.get("rope_parameters") or {}
    if local:
        base, scaling = config["rope_local_base_freq"], {}
    base = scaling.get("rope_theta", base)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    exponents = torch.arange(0, width, 2).double() / width
    whole = config["max_position_embeddings"]
    original = scaling.get("original_max_position_embeddings") or config.get("original_max_position_embeddings") or whole
    factor, times = scaling.get("factor", whole / original), 1.0
    if kind == "dynamic":
        longest = max(length, whole)
        base = base * (factor * longest / whole - (factor - 1)) ** (width / (width - 2))
    frequencies = base ** -exponents
    if kind == "linear":
        frequencies = frequencies / factor
    elif kind == "longrope":
        factor = whole / original
        frequencies = frequencies / torch.tensor(scaling["long_factor" if length > original else "short_factor"], dtype=torch.float64)
        times = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    elif kind == "yarn":
        fast, slow = scaling.get("beta_fast", 32), scaling.get("beta_slow", 1)
        dimension = lambda rotations: width * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))
        first, last = max(math.floor(dimension(fast)), 0), min(math.ceil(dimension(slow)), width - 1)
        ramp = torch.clamp((torch.arange(width // 2).double() - first) / (last - first if last != first else 0.001), 0, 1)
        frequencies = frequencies / factor * ramp + frequencies * (1 - ramp)
        scale = lambda m: 1.0 if factor <= 1 else 0.1 * m * math.log(factor) + 1
        both = scaling.get("mscale") and scaling.get("mscale_all_dim")
        times = scale(scaling["mscale"]) / scale(scaling["mscale_all_dim"]) if both else scale(1)
    times = scaling.get("attention_factor") or times
    return torch.arange(length).double()[:, None] * frequencies, times


def turned(x, angles, times):
    """x (heads, T, head width)"""
    width = 2 * angles.shape[-1]
    a, b = x[..., :width].chunk(2, -1)
    cosine, sine = angles.cos() * times, angles.sin() * times
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine, x[..., width:]], -1)


def rms(x, weight, epsilon):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon) * weight


def attend(q, k, v, scale, window=0, cap=None):
    """q (heads, T, width), k and v (kv heads, T, width)"""
    k, v = (t.repeat_interleave(len(q) // len(t), 0) for t in (k, v))
    scores = q @ k.transpose(1, 2) * scale
    if cap:
        scores = torch.tanh(scores / cap) * cap
    away = torch.arange(scores.shape[-1])[None] - torch.arange(scores.shape[-1])[:, None]
    seen = (away <= 0) & ((away > -window) if window else True)
    y = scores.masked_fill(~seen, -math.inf).softmax(-1) @ v
    return y.transpose(0, 1).flatten(1)


def heads(x, n):
    return x.reshape(len(x), n, -1).transpose(0, 1)


def llama_hidden(config, w, ids):
    """Llama, Mistral, Qwen, Gemma 1 to 3, Phi-3: what the output reads."""
    kind, epsilon, T = config["model_type"], config["rms_norm_eps"], len(ids)
    gemma, later, phi3 = kind.startswith("gemma"), kind in ("gemma2", "gemma3_text"), kind == "phi3"
    n, kv, width = config["num_attention_heads"], config["num_key_value_heads"], config["hidden_size"]
    d = config.get("head_dim") or width // n
    one = 1.0 if gemma else 0.0
    norm = lambda x, name: rms(x, w[name].double() + one, epsilon)
    linear = lambda x, name: F.linear(x, w[name + ".weight"].double(), w[name + ".bias"].double() if name + ".bias" in w else None)
    act = activations[config.get("hidden_activation") or config["hidden_act"]]
    x = w["model.embed_tokens.weight"].double()[ids] * (math.sqrt(width) if gemma else 1)
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        types = config.get("layer_types")
        windowed = {"mistral": True, "phi3": True, "llama": False, "gemma": False, "gemma2": i % 2 == 0, "gemma3_text": (i + 1) % config.get("sliding_window_pattern", 6) != 0}.get(
            kind, config.get("use_sliding_window", False) and i >= config.get("max_window_layers", 28))
        if types:
            windowed = types[i] == "sliding_attention"
        window = (config.get("sliding_window") or 0) if windowed else 0
        h = norm(x, p + "input_layernorm.weight")
        if phi3:
            q, k, v = linear(h, p + "self_attn.qkv_proj").split([n * d, kv * d, kv * d], -1)
        else:
            q, k, v = (linear(h, p + f"self_attn.{part}_proj") for part in "qkv")
        q, k, v = heads(q, n), heads(k, kv), heads(v, kv)
        if kind in ("qwen3", "gemma3_text"):
            q, k = norm(q, p + "self_attn.q_norm.weight"), norm(k, p + "self_attn.k_norm.weight")
        angles, times = rotary(config, int(d * config.get("partial_rotary_factor", 1.0)), T, kind == "gemma3_text" and windowed)
        scale = config["query_pre_attn_scalar"] ** -0.5 if later else d ** -0.5
        y = linear(attend(turned(q, angles, times), turned(k, angles, times), v, scale, window, config.get("attn_logit_softcapping")), p + "self_attn.o_proj")
        x = x + (norm(y, p + "post_attention_layernorm.weight") if later else y)
        h = norm(x, p + ("pre_feedforward_layernorm" if later else "post_attention_layernorm") + ".weight")
        gate, up = linear(h, p + "mlp.gate_up_proj").chunk(2, -1) if phi3 else (linear(h, p + "mlp.gate_proj"), linear(h, p + "mlp.up_proj"))
        y = linear(act(gate) * up, p + "mlp.down_proj")
        x = x + (norm(y, p + "post_feedforward_layernorm.weight") if later else y)
    return norm(x, "model.norm.weight")


def llama_logits(config, w, ids):
    logits = F.linear(llama_hidden(config, w, ids), w.get("lm_head.weight", w["model.embed_tokens.weight"]).double())
    cap = config.get("final_logit_softcapping")
    return torch.tanh(logits / cap) * cap if cap else logits


def gpt2_hidden(config, w, ids):
    n, width, of = config["n_head"], config["n_embd"], lambda name: w["transformer." + name].double()
    norm = lambda x, name: F.layer_norm(x, (width,), of(name + ".weight"), of(name + ".bias"), config["layer_norm_epsilon"])
    linear = lambda x, name: x @ of(name + ".weight") + of(name + ".bias")
    x = of("wte.weight")[ids] + of("wpe.weight")[: len(ids)]
    for i in range(config["n_layer"]):
        q, k, v = (heads(t, n) for t in linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").chunk(3, -1))
        x = x + linear(attend(q, k, v, (width // n) ** -0.5), f"h.{i}.attn.c_proj")
        x = x + linear(activations["gelu_new"](linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")), f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f")


def phi_hidden(config, w, ids):
    n, kv, d = config["num_attention_heads"], config["num_key_value_heads"], config["hidden_size"] // config["num_attention_heads"]
    norm = lambda x, name: F.layer_norm(x, x.shape[-1:], w[name + ".weight"].double(), w[name + ".bias"].double(), config["layer_norm_eps"])
    linear = lambda x, name: F.linear(x, w[name + ".weight"].double(), w[name + ".bias"].double())
    x = w["model.embed_tokens.weight"].double()[ids]
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = norm(x, p + "input_layernorm")
        q, k, v = heads(linear(h, p + "self_attn.q_proj"), n), heads(linear(h, p + "self_attn.k_proj"), kv), heads(linear(h, p + "self_attn.v_proj"), kv)
        angles, times = rotary(config, int(d * config["partial_rotary_factor"]), len(ids))
        y = linear(attend(turned(q, angles, times), turned(k, angles, times), v, d ** -0.5), p + "self_attn.dense")
        x = x + y + linear(activations[config["hidden_act"]](linear(h, p + "mlp.fc1")), p + "mlp.fc2")
    return norm(x, "model.final_layernorm")


def phi_logits(config, w, ids):
    return F.linear(phi_hidden(config, w, ids), w["lm_head.weight"].double(), w["lm_head.bias"].double())


def neo_hidden(config, w, ids):
    n = config["num_heads"]
    norm = lambda x, name: F.layer_norm(x, x.shape[-1:], w[name + ".weight"].double(), w[name + ".bias"].double(), config["layer_norm_epsilon"])
    linear = lambda x, name: F.linear(x, w[name + ".weight"].double(), w[name + ".bias"].double() if name + ".bias" in w else None)
    kinds = [k for names, count in config["attention_types"] for _ in range(count) for k in names]
    x = w["transformer.wte.weight"].double()[ids] + w["transformer.wpe.weight"].double()[:len(ids)]
    for i, kind in enumerate(kinds):
        p = f"transformer.h.{i}."
        h = norm(x, p + "ln_1")
        q, k, v = (heads(linear(h, p + f"attn.attention.{part}_proj"), n) for part in "qkv")
        x = x + linear(attend(q, k, v, 1.0, config["window_size"] if kind == "local" else 0), p + "attn.attention.out_proj")
        x = x + linear(activations[config["activation_function"]](linear(norm(x, p + "ln_2"), p + "mlp.c_fc")), p + "mlp.c_proj")
    return norm(x, "transformer.ln_f")


def neo_logits(config, w, ids):
    return F.linear(neo_hidden(config, w, ids), w["transformer.wte.weight"].double())


def normal(*shape, scale=0.25):
    return torch.randn(*shape, generator=generator) * scale


def llama_tensors(c):
    kind, D, inner, n, kv = c["model_type"], c["hidden_size"], c["intermediate_size"], c["num_attention_heads"], c["num_key_value_heads"]
    d = c.get("head_dim") or D // n
    later = kind in ("gemma2", "gemma3_text")
    gain = lambda size: normal(size, scale=0.3) + (0 if kind.startswith("gemma") else 1)
    w = {"model.embed_tokens.weight": normal(c["vocab_size"], D), "model.norm.weight": gain(D)}
    if not c["tie_word_embeddings"]:
        w["lm_head.weight"] = normal(c["vocab_size"], D)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        if kind == "phi3":
            w[p + "self_attn.qkv_proj.weight"], w[p + "mlp.gate_up_proj.weight"] = normal((n + 2 * kv) * d, D), normal(2 * inner, D)
        else:
            for part, size in ("q", n * d), ("k", kv * d), ("v", kv * d):
                w[p + f"self_attn.{part}_proj.weight"] = normal(size, D)
                if kind == "qwen2" or c.get("attention_bias"):
                    w[p + f"self_attn.{part}_proj.bias"] = normal(size)
            w[p + "mlp.gate_proj.weight"], w[p + "mlp.up_proj.weight"] = normal(inner, D), normal(inner, D)
        w[p + "self_attn.o_proj.weight"], w[p + "mlp.down_proj.weight"] = normal(D, n * d), normal(D, inner)
        if c.get("attention_bias"):
            w[p + "self_attn.o_proj.bias"] = normal(D)
        if c.get("mlp_bias"):
            w |= {p + f"mlp.{part}_proj.bias": normal(size) for part, size in (("gate", inner), ("up", inner), ("down", D))}
        norms = ["input_layernorm", "post_attention_layernorm"] + (["pre_feedforward_layernorm", "post_feedforward_layernorm"] if later else [])
        w |= {p + name + ".weight": gain(D) for name in norms}
        if kind in ("qwen3", "gemma3_text"):
            w[p + "self_attn.q_norm.weight"], w[p + "self_attn.k_norm.weight"] = gain(d), gain(d)
    return w


def gpt2_tensors(c):
    D = c["n_embd"]
    w = {"wte.weight": normal(c["vocab_size"], D), "wpe.weight": normal(c["n_positions"], D)}
    norms = ["ln_f"] + [f"h.{i}.ln_{k}" for i in range(c["n_layer"]) for k in (1, 2)]
    w |= {name + ".weight": normal(D) + 1 for name in norms} | {name + ".bias": normal(D) for name in norms}
    for i in range(c["n_layer"]):
        for name, size in ("attn.c_attn", (D, 3 * D)), ("attn.c_proj", (D, D)), ("mlp.c_fc", (D, 4 * D)), ("mlp.c_proj", (4 * D, D)):
            w |= {f"h.{i}.{name}.weight": normal(*size), f"h.{i}.{name}.bias": normal(size[1])}
    return {"transformer." + name: t for name, t in w.items()}


def phi_tensors(c):
    D, inner, d = c["hidden_size"], c["intermediate_size"], c["hidden_size"] // c["num_attention_heads"]
    w = {"model.embed_tokens.weight": normal(c["vocab_size"], D)}
    both = lambda name, out, into: {name + ".weight": normal(out, into), name + ".bias": normal(out)}
    norm = lambda name: {name + ".weight": normal(D, scale=0.3) + 1, name + ".bias": normal(D)}
    w |= norm("model.final_layernorm") | both("lm_head", c["vocab_size"], D)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        kv = c["num_key_value_heads"] * d
        w |= norm(p + "input_layernorm") | both(p + "mlp.fc1", inner, D) | both(p + "mlp.fc2", D, inner) | both(p + "self_attn.dense", D, D)
        w |= both(p + "self_attn.q_proj", D, D) | both(p + "self_attn.k_proj", kv, D) | both(p + "self_attn.v_proj", kv, D)
    return w


def neo_tensors(c):
    D, inner = c["hidden_size"], c["intermediate_size"] or 4 * c["hidden_size"]
    w = {"transformer.wte.weight": normal(c["vocab_size"], D), "transformer.wpe.weight": normal(c["max_position_embeddings"], D)}
    both = lambda name, out, into: {name + ".weight": normal(out, into), name + ".bias": normal(out)}
    norm = lambda name: {name + ".weight": normal(D, scale=0.3) + 1, name + ".bias": normal(D)}
    w |= norm("transformer.ln_f")
    for i in range(c["num_layers"]):
        p = f"transformer.h.{i}."
        w |= norm(p + "ln_1") | norm(p + "ln_2") | both(p + "mlp.c_fc", inner, D) | both(p + "mlp.c_proj", D, inner) | both(p + "attn.attention.out_proj", D, D)
        w |= {p + f"attn.attention.{part}_proj.weight": normal(D, D) for part in "qkv"}
    return w


def close(name, ours, theirs):
    worst = max(float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b)))) if a.shape == b.shape else math.inf for a, b in zip(ours, theirs))
    check(f"{name}: {worst:.1e}", worst <= 1e-4 and len(ours) == len(theirs))


forms = {"phi": (phi_tensors, phi_logits), "gpt_neo": (neo_tensors, neo_logits)}


def family(name, config, lengths=(5, 1, 13), kind="F32", stale=False):
    """stale: beyond the original context the steps of generation are not one pass (dynamic scaling)."""
    tensors, logits = forms.get(config["model_type"], (llama_tensors, llama_logits))
    folder = name.replace(" ", "-").replace(",", "")
    w = tensors(config)
    source = write_folder(folder, config, w, kind)
    model, again = path(folder + ".h5"), path(folder + "-again.h5")
    run("model", "import", source, "-o", model)
    ids = [torch.randint(3, config["vocab_size"], (n,), generator=generator) for n in lengths]
    begun = save("begun.npy", [x.numpy().astype("<i4") for x in ids])
    first, rest = save("first.npy", [x[:1].numpy().astype("<i4") for x in ids]), save("rest.npy", [x[1:].numpy().astype("<i4") for x in ids])
    ours = run("decode", "-m", model, first, "--target", rest, "--give", "logits", "--beyond-context")
    close(name, ours, [logits(config, w, x).numpy() for x in ids])
    # Greedy, step by step: each id is the largest logit of one pass over what is before it.
    new = 8
    found = run("decode", "-m", model, begun, "--max-length", new, "--beyond-context")
    good = True
    for x, y in zip(ids, found):
        good &= len(y) > len(x) and list(y[:len(x)]) == x.tolist()
        for t in range(len(x), len(y)):
            if not stale:
                scores = logits(config, w, torch.from_numpy(y[:t].astype("int64")))[-1]
                best = float(scores.max())
                good &= best - float(scores[y[t]]) <= 1e-4 * max(1, abs(best))
    check(f"{name}: greedy ids", good)
    check(f"{name}: one by one", identical(found, [run("decode", "-m", model, save("one.npy", [x.numpy().astype("<i4")]), "--max-length", new, "--beyond-context")[0] for x in ids]))
    whole = run("decode", "-m", model, first, "--target", rest, "--give", "hidden", "--beyond-context")
    environment = {**os.environ, "PATH": bin_directory + ":" + os.environ["PATH"]}
    done = subprocess.run([os.path.join(scripts, "unfold-decode"), model, begun, path("parts.npy")], env=environment, capture_output=True, text=True)
    parts = run("convert", path("parts.npy")) if done.returncode == 0 else []
    check(f"{name}: unfolded {done.stderr}", identical(whole, parts))
    done = subprocess.run([os.path.join(scripts, "unfold-logits"), model, path("parts.npy"), path("unfolded.npy")], env=environment, capture_output=True, text=True)
    check(f"{name}: unfolded logits {done.stderr}", done.returncode == 0 and identical(ours, run("convert", path("unfolded.npy"))))
    run("model", "export", model, "-o", path(folder + "-out"))
    run("model", "import", path(folder + "-out"), "-o", again)
    with open(model, "rb") as a, open(again, "rb") as b:
        check(f"{name}: import of the export is the same file", a.read() == b.read())
    back = safetensors.read(os.path.join(path(folder + "-out"), "model.safetensors"))
    check(f"{name}: the tensors of the original", set(back) == set(w))


small = dict(vocab_size=101, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, intermediate_size=40, hidden_act="silu",
             rms_norm_eps=1e-5, max_position_embeddings=64, rope_theta=10000.0, tie_word_embeddings=False, eos_token_id=2, bos_token_id=1)
llama = dict(small, model_type="llama", architectures=["LlamaForCausalLM"])
family("llama", llama)
family("llama of one layer, wide heads, biases, tied", dict(llama, num_hidden_layers=1, head_dim=10, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, vocab_size=37))
family("llama in F16", llama, kind="F16")
family("llama in BF16, one key head", dict(llama, num_key_value_heads=1), kind="BF16")
family("llama, linear", dict(llama, rope_scaling={"type": "linear", "factor": 4.0}))
family("llama, yarn", dict(llama, rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}, max_position_embeddings=64))
family("llama, yarn with its settings", dict(llama, head_dim=16, rope_scaling={"rope_type": "yarn", "factor": 8.0, "beta_fast": 4.0, "beta_slow": 0.5, "attention_factor": 1.5}))
family("llama, yarn with mscale", dict(llama, rope_theta=500.0, rope_scaling={"type": "yarn", "factor": 40.0, "mscale": 0.707, "mscale_all_dim": 1.0, "original_max_position_embeddings": 4},
                                       max_position_embeddings=160))
family("llama, dynamic", dict(llama, max_position_embeddings=8, rope_scaling={"type": "dynamic", "factor": 4.0}), stale=True)
family("llama, dynamic, within", dict(llama, max_position_embeddings=32, rope_scaling={"type": "dynamic", "factor": 2.0}))
longrope = {"type": "longrope", "short_factor": [1.0, 1.25, 1.5], "long_factor": [1.0, 4.0, 30.5]}
family("llama, longrope", dict(llama, original_max_position_embeddings=9, rope_scaling=longrope), lengths=(5, 1, 13, 9, 8))
mistral = dict(small, model_type="mistral", architectures=["MistralForCausalLM"])
family("mistral, window", dict(mistral, sliding_window=3))
family("mistral without window", dict(mistral, sliding_window=None, num_hidden_layers=1))
qwen2 = dict(small, model_type="qwen2", architectures=["Qwen2ForCausalLM"], use_sliding_window=True, sliding_window=4)
family("qwen2, windows from the second layer on", dict(qwen2, max_window_layers=1))
family("qwen2, windows everywhere", dict(qwen2, max_window_layers=0))
family("qwen2, windows nowhere", dict(qwen2, max_window_layers=3))
family("qwen2, yarn", dict(qwen2, use_sliding_window=False, rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}))
qwen3 = dict(small, model_type="qwen3", architectures=["Qwen3ForCausalLM"], head_dim=10)
family("qwen3, kinds of layers", dict(qwen3, use_sliding_window=True, sliding_window=4, max_window_layers=0, layer_types=["sliding_attention", "full_attention", "full_attention"]))
gemma2 = dict(small, model_type="gemma2", architectures=["Gemma2ForCausalLM"], head_dim=8, hidden_activation="gelu_pytorch_tanh", tie_word_embeddings=True,
              query_pre_attn_scalar=12, attn_logit_softcapping=1.5, final_logit_softcapping=2.5, sliding_window=4, cache_implementation="hybrid")
family("gemma2", gemma2)
family("gemma2 in BF16, no caps", dict(gemma2, attn_logit_softcapping=None, final_logit_softcapping=None, query_pre_attn_scalar=8), kind="BF16")
gemma3 = dict(small, model_type="gemma3_text", architectures=["Gemma3ForCausalLM"], head_dim=8, hidden_activation="gelu_pytorch_tanh", tie_word_embeddings=True,
              query_pre_attn_scalar=8, sliding_window=4, rope_theta=1000000.0, rope_local_base_freq=100.0, num_hidden_layers=5)
family("gemma3", dict(gemma3, sliding_window_pattern=2, rope_scaling={"rope_type": "linear", "factor": 8.0}))
family("gemma3, five layers before a full one", dict(gemma3, num_hidden_layers=7))
family("gemma3, as newer files call it", dict(gemma3, num_hidden_layers=3, _sliding_window_pattern=6))
phi3 = dict(small, model_type="phi3", architectures=["Phi3ForCausalLM"], original_max_position_embeddings=64, sliding_window=None)
family("phi3", phi3)
family("phi3, window, part of a head turned", dict(phi3, sliding_window=5, partial_rotary_factor=0.76, num_attention_heads=3, num_key_value_heads=3))
family("phi3, longrope", dict(phi3, original_max_position_embeddings=7, rope_scaling=longrope), lengths=(5, 1, 13, 7, 6))
bare = {key: value for key, value in small.items() if key != "rms_norm_eps"}
plain_phi = dict(bare, model_type="phi", architectures=["PhiForCausalLM"], partial_rotary_factor=0.5, hidden_act="gelu_new", layer_norm_eps=1e-5, num_attention_heads=3, num_key_value_heads=3)
family("phi", plain_phi)
neo = dict(vocab_size=53, hidden_size=24, num_layers=4, num_heads=4, intermediate_size=None, window_size=4, attention_types=[[["global", "local"], 2]], activation_function="gelu_new",
           layer_norm_epsilon=1e-5, max_position_embeddings=40, model_type="gpt_neo", architectures=["GPTNeoForCausalLM"], eos_token_id=2, bos_token_id=1)
family("gpt-neo", neo)
family("gpt-neo, with what the library makes of it", dict(neo, attention_layers=["global", "local"] * 2))


def architecture(config, ending):
    return [config["architectures"][0].replace("LMHeadModel", ending).replace("ForCausalLM", ending)]


def there_and_back(name, folder, model, config, w):
    """Export and import again: the same file, and the tensors and the architecture of the original."""
    again = path(folder + "-again.h5")
    run("model", "export", model, "-o", path(folder + "-out"))
    run("model", "import", path(folder + "-out"), "-o", again)
    with open(model, "rb") as a, open(again, "rb") as b:
        check(f"{name}: import of the export is the same file", a.read() == b.read())
    with open(os.path.join(path(folder + "-out"), "config.json")) as file:
        out = json.load(file)
    check(f"{name}: the architecture", out["architectures"] == config["architectures"])
    check(f"{name}: the tensors of the original", set(safetensors.read(os.path.join(path(folder + "-out"), "model.safetensors"))) == set(w))
    return out


# Classifiers of sequences: a linear layer without bias on the last row (transformers' ...ForSequenceClassification).
def classifier(name, config, width, tensors, hidden, said, problem="single-label", read=None):
    """said: what config.json says of the classes; read: how logits become what classify writes."""
    config = dict(config, architectures=architecture(config, "ForSequenceClassification"), **said)
    w = {key: tensor for key, tensor in tensors(config).items() if not key.startswith("lm_head.")}
    classes = len(said.get("id2label", {})) or said["num_labels"]
    w["score.weight"] = normal(classes, width)
    folder = name.replace(" ", "-").replace(",", "")
    source, model = write_folder(folder, config, w), path(folder + ".h5")
    run("model", "import", source, "-o", model)
    ids = [torch.randint(3, config["vocab_size"], (n,), generator=generator) for n in (5, 1, 13)]
    begun = save("begun.npy", [x.numpy().astype("<i4") for x in ids])
    logits = [(hidden(config, w, x)[-1] @ w["score.weight"].double().T) for x in ids]
    close(f"{name}: logits", run("classify", "-m", model, begun, "--give", "logits"), [x.numpy() for x in logits])
    read = read or (lambda x: torch.softmax(x, -1))
    close(f"{name}: what they say", run("classify", "-m", model, begun), [read(x).numpy() for x in logits])
    described = subprocess.run([os.path.join(bin_directory, "model"), "describe", model], capture_output=True, text=True).stdout
    check(f"{name}: problem type", any(line.split() == ["problem_type", problem] for line in described.split("\n")))
    out = there_and_back(name, folder, model, config, w)
    check(f"{name}: config.json {out.get('problem_type')}", out.get("problem_type") == said.get("problem_type", "regression" if problem == "regression" else None))


# Classifiers of positions: a linear layer with a bias on each row (...ForTokenClassification, ...ForQuestionAnswering).
def tagger(name, config, width, tensors, hidden, head, ending="ForTokenClassification"):
    said = {} if head == "qa_outputs" else labels(4)
    config = dict(config, architectures=architecture(config, ending), **said)
    w = {key: tensor for key, tensor in tensors(config).items() if not key.startswith("lm_head.")}
    w |= {head + ".weight": normal(4 if said else 2, width), head + ".bias": normal(4 if said else 2)}
    folder = name.replace(" ", "-").replace(",", "")
    source, model = write_folder(folder, config, w), path(folder + ".h5")
    run("model", "import", source, "-o", model)
    ids = [torch.randint(3, config["vocab_size"], (n,), generator=generator) for n in (5, 1, 13)]
    begun = save("begun.npy", [x.numpy().astype("<i4") for x in ids])
    close(f"{name}: logits", run("encode", "-m", model, begun, "--give", "logits"), [F.linear(hidden(config, w, x), w[head + ".weight"].double(), w[head + ".bias"].double()).numpy() for x in ids])
    there_and_back(name, folder, model, config, w)


labels = lambda n: dict(id2label={str(i): f"name {i}" for i in range(n)})
gpt2 = dict(model_type="gpt2", architectures=["GPT2LMHeadModel"], vocab_size=101, n_embd=24, n_layer=2, n_head=4, n_positions=32, layer_norm_epsilon=1e-5,
            activation_function="gelu_new", eos_token_id=2, bos_token_id=1)
classifier("gpt2, classes", gpt2, 24, gpt2_tensors, gpt2_hidden, labels(4))
classifier("gpt2, one value", gpt2, 24, gpt2_tensors, gpt2_hidden, dict(num_labels=1), "regression", lambda x: x)
classifier("llama, classes", llama, 24, llama_tensors, llama_hidden, labels(3))
classifier("llama, labels", llama, 24, llama_tensors, llama_hidden, dict(labels(3), problem_type="multi_label_classification"), "multi-label", torch.sigmoid)
classifier("qwen2, values", dict(qwen2, max_window_layers=1), 24, llama_tensors, llama_hidden, dict(labels(2), problem_type="regression"), "regression", lambda x: x)
classifier("gemma, one class", dict(small, model_type="gemma", architectures=["GemmaForCausalLM"], hidden_activation="gelu_pytorch_tanh", head_dim=8, tie_word_embeddings=True), 24,
           llama_tensors, llama_hidden, dict(labels(1), problem_type="single_label_classification"))
classifier("gemma2, classes", gemma2, 24, llama_tensors, llama_hidden, labels(3))
classifier("gemma3, classes", dict(gemma3, architectures=["Gemma3TextForCausalLM"]), 24, llama_tensors, llama_hidden, labels(3))
classifier("gpt-neo, classes", neo, 24, neo_tensors, neo_hidden, labels(3))
classifier("phi, classes", plain_phi, 24, phi_tensors, phi_hidden, labels(2))
tagger("gpt2, tags", gpt2, 24, gpt2_tensors, gpt2_hidden, "classifier")
tagger("gpt2, spans", gpt2, 24, gpt2_tensors, gpt2_hidden, "qa_outputs", "ForQuestionAnswering")
tagger("gpt-neo, tags", neo, 24, neo_tensors, neo_hidden, "classifier")
tagger("llama, tags", llama, 24, llama_tensors, llama_hidden, "score")
tagger("gemma2, tags", gemma2, 24, llama_tensors, llama_hidden, "score")
tagger("phi, tags", plain_phi, 24, phi_tensors, phi_hidden, "score")


# What has no place is refused by name, in one line.
def refused(name, config, message, tensors=llama_tensors):
    folder = write_folder(name.replace(" ", "-"), config, tensors(config))
    done = subprocess.run([os.path.join(bin_directory, "model"), "import", folder, "-o", path("refused.h5")], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    check(f"{name}: {done.stderr.strip()}", done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1 and not os.path.exists(path("refused.h5")))


refused("an unknown problem", dict(llama, architectures=["LlamaForSequenceClassification"], problem_type="ranking", num_labels=2), 'problem_type is "ranking", which is not known',
        lambda c: {**llama_tensors(c), "score.weight": normal(2, 24)})
refused("mixtral", dict(llama, model_type="mixtral"), "mixtral")
refused("a kind of scaling", dict(llama, rope_scaling={"rope_type": "ntk", "factor": 2.0}), "rope_type ntk is none of")
refused("longrope of another width", dict(phi3, rope_scaling=dict(longrope, long_factor=[1.0])), "rotary_long_factors are 1 numbers, not 3")
refused("a key of yarn", dict(llama, rope_scaling={"type": "yarn", "factor": 2.0, "gamma": 1}), "gamma is not understood")
refused("yarn not truncated", dict(llama, rope_scaling={"type": "yarn", "factor": 2.0, "truncate": False}), "truncate")
refused("a kind of layer", dict(qwen3, layer_types=["full_attention", "linear_attention", "full_attention"]), "linear_attention")
refused("too few kinds of layers", dict(gemma2, layer_types=["full_attention"]), "layer_types names 1 layers of 3")
refused("rotary positions of no kind", dict(llama, rope_scaling={"rope_type": "none"}), "rope_type none is none of default, linear")
refused("rotary positions of a head's nothing", dict(phi3, partial_rotary_factor=0.1), "0.1 of a head of 6 leaves nothing that rotary positions turn")
refused("gpt-neo of two minds", dict(neo, attention_layers=["global"] * 4), "attention_layers is an array, which is not what attention_types says", neo_tensors)
refused("phi with norms of queries", dict(bare, model_type="phi", layer_norm_eps=1e-5, qk_layernorm=True), "qk_layernorm", phi_tensors)
finish()
