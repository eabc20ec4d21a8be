"""project against NumPy: eigenvalues of the covariance (eigh) and the singular values of the centred vectors (svd)."""
import os
import sys

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
from tools import agree, check, finish, load, path, run, save

random = np.random.RandomState(5)


def signed(components):
    """The largest entry of each component positive."""
    largest = np.take_along_axis(components, np.abs(components).argmax(-1)[:, None], -1)
    return components * np.sign(largest)


def compare(name, x, k, tolerance=1e-5):
    mean = x.astype("f8").mean(0)
    centred = x - mean
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    components = signed(rows[:k])
    values = np.sort(np.linalg.eigvalsh(np.cov(x.astype("f8"), rowvar=False)))[::-1]
    ours = run("project", "-k", k, "--components", path("pca.h5"), save("x.npy", list(x)))
    with h5py.File(path("pca.h5")) as file:
        agree(f"{name}: mean", [file["mean"][()]], [mean])
        agree(f"{name}: components", [file["components"][()]], [components], tolerance)
        agree(f"{name}: variances, eigh", [file["explained_variance"][()]], [values[:k]], 1e-10)
        agree(f"{name}: variances, svd", [file["explained_variance"][()]], [singular[:k]**2 / (len(x) - 1)], 1e-10)
        agree(f"{name}: ratio", [file["explained_variance_ratio"][()]], [values[:k] / values.sum()], 1e-10)
    agree(f"{name}: coordinates", [np.stack(ours)], [centred @ components.T], tolerance)
    agree(f"{name}: --onto", run("project", "--onto", path("pca.h5"), path("x.npy")), ours, 0)


basis = random.standard_normal((48, 48))
compare("more vectors than columns", (random.standard_normal((300, 48)) * 1.3**-np.arange(48) @ basis).astype("f4"), 5)
compare("fewer vectors than columns", (random.standard_normal((9, 48)) * 3.0**np.arange(48)[:, None].T).astype("f4") + 2, 4)
compare("an offset", (random.standard_normal((500, 6)) * [9, 5, 3, 2, 1, 0.5]).astype("f4") + 100, 6, 1e-4)
compare("two columns", (random.standard_normal((40, 2)) * [1, 4]).astype("f4"), 2)
finish()
