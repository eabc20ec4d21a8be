"""What the parity scripts of the tools share: streams of arrays, running tools, comparing, and model files made with h5py."""
import io
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

bin_directory = os.path.abspath(os.environ["PIPEFORMER_BIN"])
directory = tempfile.TemporaryDirectory()
failures = 0


def path(name):
    return os.path.join(directory.name, name)


def check(name, good):
    global failures
    failures += not good
    print(("ok      " if good else "FAILED  ") + name)


def finish():
    print(f"{failures} checks failed" if failures else "all good")
    sys.exit(1 if failures else 0)


def save(name, arrays):
    """Writes a stream (a list of arrays) or one array, and returns its path."""
    with open(path(name), "wb") as out:
        for array in arrays if isinstance(arrays, list) else [arrays]:
            np.lib.format.write_array(out, np.asarray(array, order="C"), version=(1, 0))
    return path(name)


def unpack(data):
    source, arrays = io.BytesIO(data), []
    while source.tell() < len(data):
        arrays.append(np.load(source))
    return arrays


def load(name):
    with open(path(name), "rb") as file:
        return unpack(file.read())


def run(tool, *arguments):
    """The records that a tool writes."""
    done = subprocess.run([os.path.join(bin_directory, tool), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"{tool} {' '.join(map(str, arguments))}: {done.stderr.decode()}")
    return unpack(done.stdout)


def error(ours, theirs):
    """norm(difference) / norm(theirs), over all records; infinite when shapes differ."""
    if [a.shape for a in ours] != [tuple(b.shape) for b in theirs]:
        return float("inf")
    flat = lambda arrays: np.concatenate([np.asarray(a, np.float64).ravel() for a in arrays])
    ours, theirs = flat(ours), flat(theirs)
    return np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 1e-30)


def agree(name, ours, theirs, tolerance=2e-6):
    theirs = [t.detach().numpy() if hasattr(t, "detach") else t for t in theirs]
    e = error(ours, theirs)
    check(f"{name}: relative error {e:.1e}", e <= tolerance)


def identical(ours, theirs):
    return len(ours) == len(theirs) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(ours, theirs))


defaults = dict(
    kind="encoder-decoder", source_vocabulary=0, target_vocabulary=0, width=0, heads=1, kv_heads=1, inner=1, encoder_layers=0,
    decoder_layers=0, norm_position="post", norm="layer", norm_epsilon=1e-5, activation="relu", gated=False,
    positions="sinusoidal", max_positions=512, bias=True, output_bias=False, tied="none", embedding_scale=True, final_norm=False,
    begin_id=1, end_id=2)


def save_model(name, parameters, **configuration):
    """A model file as its format is documented, without any of our code."""
    with h5py.File(path(name), "w") as file:
        file.attrs["format"] = "pipeformer model"
        file.attrs["format_version"] = np.int64(1)
        for key, value in {**defaults, **configuration}.items():
            kinds = {bool: np.bool_, int: np.int64, float: np.float64, str: str}
            file.attrs[key] = kinds[type(defaults[key])](value)
        for key, value in parameters.items():
            file[key] = np.asarray(value.detach() if hasattr(value, "detach") else value, dtype="<f4")
    return path(name)


def attention_parameters(prefix, module):
    """The parameters of a torch.nn.MultiheadAttention under the names of a model file."""
    parts = {}
    for i, role in enumerate(["query", "key", "value"]):
        rows = slice(i * module.embed_dim, (i + 1) * module.embed_dim)
        parts[f"{prefix}/{role}/weight"] = module.in_proj_weight[rows]
        parts[f"{prefix}/{role}/bias"] = module.in_proj_bias[rows]
    parts[f"{prefix}/output/weight"] = module.out_proj.weight
    parts[f"{prefix}/output/bias"] = module.out_proj.bias
    return parts


def layer_parameters(prefix, layer):
    """Those of a torch.nn.TransformerEncoderLayer or TransformerDecoderLayer."""
    parts = attention_parameters(f"{prefix}/self_attn", layer.self_attn)
    if hasattr(layer, "multihead_attn"):
        parts.update(attention_parameters(f"{prefix}/cross_attn", layer.multihead_attn))
    for name in ["linear1", "linear2"]:
        parts[f"{prefix}/ffn/{name}/weight"] = getattr(layer, name).weight
        parts[f"{prefix}/ffn/{name}/bias"] = getattr(layer, name).bias
    for name in ["norm1", "norm2", "norm3"]:
        if hasattr(layer, name):
            parts[f"{prefix}/{name}/weight"] = getattr(layer, name).weight
            parts[f"{prefix}/{name}/bias"] = getattr(layer, name).bias
    return parts


def randomize(module, generator):
    """Biases and norms of torch's modules begin at zero and one: make every parameter count."""
    import torch
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return module
