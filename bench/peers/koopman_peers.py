#!/usr/bin/env python3
"""ritz koopman spectrum beside PyDMD and SciPy.

    bench/peers/run_koopman.sh               # makes build/peers-koopman, then runs this

Kernel EDMD with a Gaussian kernel, 2001 snapshots of 20 000 numbers, 100 functions, modes included: PyDMD's EDMD
(svd_rank=100, rbf) beside `ritz koopman spectrum --method kernel`. Pseudospectrum: 300 functions, 1000 points, by all
eigenvalues of H(z) with scipy.linalg.eigvalsh, as the published programs do it, beside `--out GRID`. Each is a process
of its own with the same threads; ritz's times are those of whole programs, files read and written, PyDMD's that of
`fit` alone, SciPy's that of the loop alone. Peak memory is the process's. Answers are compared before times.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy


def measured(command, environment):
    """Seconds and peak MiB of a program."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}: status {status}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def oscillators(snapshots, size, seed=0):
    """A few tones with growth, and noise, on many sensors."""
    random = numpy.random.default_rng(seed)
    t = numpy.arange(snapshots)[:, None]
    waves = numpy.hstack([numpy.cos(f * t + p) for f, p in zip(random.uniform(0.05, 1, 12), random.uniform(0, 6, 12))])
    return waves @ random.standard_normal((12, size)) + 0.5 * random.standard_normal((snapshots, size))


def scale_of(x):
    return 0.9 * numpy.linalg.norm(x - x.mean(0), axis=1).mean()


def kernel_worker(folder):
    """In a process of its own: PyDMD's fit."""
    from pydmd import EDMD

    x = numpy.load(folder / "X.npy")
    gamma = 1 / scale_of(x[:-1]) ** 2
    model = EDMD(svd_rank=100, kernel_metric="rbf", kernel_params={"gamma": gamma})
    begin = time.perf_counter()
    model.fit(x.T)
    seconds = time.perf_counter() - begin
    values = model.eigs
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump(
        {"seconds": seconds, "peak": peak, "re": values.real.tolist(), "im": values.imag.tolist()},
        open(folder / "peer.json", "w"),
    )


def farthest(a, b):
    """From a value of a to the nearest of b."""
    return numpy.abs(a[:, None] - b[None, :]).min(1).max()


def kernel_edmd(ritz, folder, turns, environment):
    numpy.save(folder / "X.npy", oscillators(2001, 20000))
    rows = []
    for _ in range(turns):
        ours = measured(
            [ritz, "koopman", "spectrum", folder / "X.npy", "--method", "kernel", "--dictionary", "kernel:gaussian"]
            + ["--size", "100", "--holdout", "0", "--modes", folder / "modes.npz", "--json", folder / "ours.json"]
            + ["--force", "--quiet"],
            environment,
        )
        measured([sys.executable, __file__, "--worker", folder], environment)
        peer = json.load(open(folder / "peer.json"))
        mine = json.load(open(folder / "ours.json"))["eigenvalues"]
        mine = numpy.array([value["re"] + 1j * value["im"] for value in mine])
        theirs = numpy.array(peer["re"]) + 1j * numpy.array(peer["im"])
        gap = max(farthest(mine, theirs), farthest(theirs, mine))
        if gap > 1e-6:
            sys.exit(f"kernel EDMD: eigenvalues differ by {gap}")
        rows.append((peer["seconds"] / ours[0], peer["peak"] / ours[1]))
        print(
            f"kernel EDMD: ritz {ours[0]:.2f} s {ours[1]:.0f} MiB, PyDMD {peer['seconds']:.2f} s {peer['peak']:.0f} MiB,"
            f" eigenvalues within {gap:.1e}"
        )
    return rows


def lifted(count, functions):
    """Duffing's oscillator over 0.3, radial functions at fixed centres."""
    random = numpy.random.default_rng(1)
    x = random.uniform(-1.5, 1.5, (count, 2))
    y = x.copy()

    def velocity(s):
        return numpy.stack([s[:, 1], s[:, 0] - s[:, 0] ** 3], 1)

    for _ in range(30):
        h = 0.01
        k1 = velocity(y)
        k2 = velocity(y + h / 2 * k1)
        k3 = velocity(y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + velocity(y + h * k3))
    centres = random.uniform(-1.7, 1.7, (functions, 2))

    def psi(s):
        return numpy.exp(-2 * numpy.linalg.norm(s[:, None] - centres[None], axis=2))

    return psi(x), psi(y)


def sweep(ritz, folder, turns, environment):
    from scipy.linalg import eigvalsh, qr, solve_triangular

    px, py = lifted(4000, 300)
    numpy.save(folder / "PX.npy", px)
    numpy.save(folder / "PY.npy", py)
    q, r = qr(px, mode="economic")
    c = solve_triangular(r, py.T, trans=1).T
    a, gram = q.T @ c, c.T @ c
    eye = numpy.eye(300)
    rows = []
    line = [ritz, "koopman", "spectrum", folder / "PX.npy", folder / "PY.npy", "--holdout", "0", "--force", "--quiet"]
    for _ in range(turns):
        without, _ = measured(line + ["--json", folder / "none.json"], environment)
        region = ["--region=-1.2,1.14,0,1.44", "--spacing", "0.06"]
        with_grid, _ = measured(line + region + ["--out", folder / "grid.csv"], environment)
        grid = numpy.genfromtxt(folder / "grid.csv", delimiter=",", names=True)
        points = grid["re"] + 1j * grid["im"]
        begin = time.perf_counter()
        smallest = [
            eigvalsh(gram - z * a.T - numpy.conj(z) * a + abs(z) ** 2 * eye, check_finite=False)[0] for z in points
        ]
        seconds = time.perf_counter() - begin
        gap = numpy.abs(numpy.sqrt(numpy.maximum(smallest, 0)) - grid["tau"]).max()
        if gap > 1e-6:
            sys.exit(f"sweep: tau differs by {gap}")
        rows.append((seconds / (with_grid - without), seconds / with_grid))
        print(
            f"sweep of {len(points)} points: ritz {with_grid:.2f} s, {with_grid - without:.2f} s of it for the grid, "
            f"eigvalsh {seconds:.2f} s, tau within {gap:.1e}"
        )
    return rows


def summary(what, values):
    print(f"{what}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ritz", default="build/release/apps/ritz/ritz")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=["kernel", "sweep"])
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return kernel_worker(options.worker)
    threads = str(options.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    if os.environ.get("OPENBLAS_NUM_THREADS") != threads:  # OpenBLAS reads it once, as numpy is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    ritz = str(Path(options.ritz).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "sweep":
            rows = kernel_edmd(ritz, folder, options.turns, environment)
            summary("kernel EDMD, time: PyDMD / ritz", [row[0] for row in rows])
            summary("kernel EDMD, peak memory: PyDMD / ritz", [row[1] for row in rows])
        if options.only != "kernel":
            rows = sweep(ritz, folder, options.turns, environment)
            summary("sweep, time: eigvalsh / ritz's grid", [row[0] for row in rows])
            summary("sweep, time: eigvalsh / whole program", [row[1] for row in rows])


if __name__ == "__main__":
    main()
