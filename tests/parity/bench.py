"""The other side of scripts/bench does the same work: PyTorch with the weights of our model file encodes to our numbers, and its training runs."""
import os
import sys

import numpy as np
import torch

here = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(here, "common"), os.path.join(here, "../bench")]
import pytorch
from tools import agree, check, finish, path, run, save

model = path("model.h5")
run("model", "make", "--source-vocabulary", 50, "--target-vocabulary", 50, "--begin-id", 1, "--end-id", 2, "--width", 32, "--heads", 4, "--inner", 64,
    "--encoder-layers", 2, "--decoder-layers", 2, "-o", model)
random = np.random.RandomState(3)
ids = save("ids.npy", [random.randint(4, 50, n).astype("<i4") for n in (5, 9, 2, 7) * 10])

torch.set_num_threads(1)
m = pytorch.model(model, 0.0).eval()
with torch.inference_mode():
    theirs = [m.encoder(m.embed(r.long()[None]))[0] for r in pytorch.stream(ids)]
agree("encode", run("encode", "-m", model, ids), theirs, 1e-5)
pytorch.encode(dict(model=model, ids=ids, order="sorted"))
pytorch.encode(dict(model=model, ids=ids, order="single"))
check("train", pytorch.train(dict(model=model, source=ids, target=ids, tokens=32, steps=3, dropout=0.1)) > 0)
check("attend", pytorch.attend(dict(q=save("q.npy", random.standard_normal((20, 8)).astype("<f4")))) > 0)
finish()
