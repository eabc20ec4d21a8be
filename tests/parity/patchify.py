"""patchify against NumPy's reshape and transpose, bit for bit."""
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
from tools import check, finish, identical, run, save

random = np.random.RandomState(4)


def patches(x, p, channels, scale):
    x = x if channels else x[..., None]
    *lead, h, w, c = x.shape
    x = x.astype("<f4") * np.float32(scale)
    x = x.reshape(*lead, h // p, p, w // p, p, c).swapaxes(-4, -3)
    return x.reshape(*lead, (h // p) * (w // p), p * p * c)


def compare(name, records, p, channels=False, scale=1):
    arguments = ["--size", p, "--scale", scale] + (["--channels"] if channels else [])
    expected = [patches(x, p, channels, scale) for x in records]
    for threads in [1, 3]:
        check(f"{name}, {threads} threads", identical(run("patchify", *arguments, "-j", threads, save("x.npy", records)), expected))


def images(*shape, dtype="<f4"):
    return random.standard_normal(shape).astype("<f4") if dtype == "<f4" else (random.rand(*shape) * 100).astype(dtype)


compare("one image", [images(8, 12)], 4)
compare("patches of one pixel", [images(5, 7)], 1)
compare("one patch", [images(6, 6)], 6)
compare("a stream of images of several sizes", [images(8, 8), images(4, 12), images(0, 8), images(4, 0), images(16, 4)], 4)
compare("a dense batch", [images(5, 8, 12)], 4)
compare("leading axes", [images(2, 3, 8, 12), images(0, 8, 8)], 4)
compare("channels", [images(8, 12, 3), images(4, 4, 3)], 4, channels=True)
compare("one channel", [images(8, 12, 1)], 2, channels=True)
compare("channels in a dense batch", [images(3, 2, 8, 12, 5)], 2, channels=True, scale=0.1)
compare("a large batch", [images(300, 32, 32, 3)], 8, channels=True)
for dtype in ["<f8", "<f2", "<i4", "<i8", "|u1", "<u2", "|b1", ">f4"]:
    compare(f"values of type {dtype}, scaled", [images(4, 8, 8, dtype=dtype)], 4, scale=0.0625)
compare("Fortran order", [np.asfortranarray(images(8, 12))], 4)

# As the equation has it: pixel (i P + r, j P + s), channel c is element (r P + s) C + c of patch i (W / P) + j.
x, p = images(6, 9, 2), 3
y = run("patchify", "--size", p, "--channels", save("x.npy", x))[0]
check("the equation, pixel by pixel", all(y[h // p * 3 + w // p, (h % p * p + w % p) * 2 + c] == x[h, w, c] for h, w, c in np.ndindex(x.shape)))
finish()
