#!/usr/bin/env python3
"""ritz top-vector beside scikit-learn and numpy: the first direction of a mapped file of rows.

    bench/peers/setup.sh stream_eigenvector_requirements.txt peers-rows
    cmake --build build/release --target ritz_program
    build/peers-rows/bin/python bench/peers/stream_eigenvector_peers.py              # 250000 x 2000
    ... --rows 1000000                                                               # 8 GB on disk

Rows N(0, I) with one direction of strength R, float32, in a file in --folder. ritz reads all of it, in a process of
its own each time; so do numpy's two products. The slower peers take the first --peer-rows rows. Answers are compared
with the planted direction before times are; times are microseconds a row. Memory: the peak of each ritz process, for
n and for n / 4 rows.

  floor      reading the file (a sum over it), and reading + the two products A^T (A Z), Z [2000, 4], in batches of 256
  pca        sklearn.decomposition.IncrementalPCA(n_components=1), batches of 1000 rows
  oja        for a in rows: v += eta * a * (a @ v); normalised every 100 rows
  grid       the same with a column for each of 20 rates, normalised every 32 rows
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

HERE = Path(__file__).resolve().parent


def make(path, n, d, strength, seed=0):
    rng = numpy.random.default_rng(seed)
    u = rng.standard_normal(d).astype(numpy.float32)
    u /= numpy.linalg.norm(u)
    out = numpy.lib.format.open_memmap(path, mode="w+", dtype=numpy.float32, shape=(n, d))
    step = 10000
    block = rng.standard_normal((step, d), dtype=numpy.float32)  # one block of noise, shuffled: 1e9 normals take minutes
    for i in range(0, n, step):
        m = min(step, n - i)
        rows = rng.permutation(step)[:m]
        signs = rng.choice(numpy.array([-1, 1], numpy.float32), m)
        out[i : i + m] = block[rows] + (numpy.sqrt(strength) * signs)[:, None] * u
    out.flush()
    return u


def ritz(program, path, mode, threads):
    command = [program, "top-vector", path, "--mode", mode, "--json", "-", "--out", str(path) + ".v.npy", "--force"]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=dict(os.environ, OMP_NUM_THREADS=str(threads)), text=True
    )
    # The peak of its own memory; ru_maxrss would hold what this process had mapped when it started the other.
    peak = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max([peak] + [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")])
        except OSError:
            pass
        time.sleep(0.01)
    text = process.stdout.read()
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: ended with {process.returncode}")
    wall = time.perf_counter() - start
    return json.loads(text), numpy.load(str(path) + ".v.npy"), wall, peak / 1024


def read(A):
    start = time.perf_counter()
    for i in range(0, len(A), 1000):
        A[i : i + 1000].sum()
    return time.perf_counter() - start


def products(A):
    Z = numpy.random.default_rng(1).standard_normal((4, A.shape[1])).astype(numpy.float32)
    Y = numpy.zeros_like(Z)
    start = time.perf_counter()
    for i in range(0, len(A), 256):
        B = A[i : i + 256]
        Y += (Z @ B.T) @ B
    return time.perf_counter() - start


def pca(A):
    from sklearn.decomposition import IncrementalPCA

    start = time.perf_counter()
    model = IncrementalPCA(n_components=1)
    for i in range(0, len(A), 1000):
        model.partial_fit(A[i : i + 1000])
    return time.perf_counter() - start, model.components_[0]


def oja(A, eta):
    v = numpy.random.default_rng(2).standard_normal(A.shape[1]).astype(numpy.float32)
    start = time.perf_counter()
    for i, a in enumerate(A):
        v += (eta * (a @ v)) * a
        if i % 100 == 99:
            v /= numpy.linalg.norm(v)
    return time.perf_counter() - start, v / numpy.linalg.norm(v)


def grid(A, rates):
    v = numpy.random.default_rng(2).standard_normal(A.shape[1]).astype(numpy.float32)
    V = numpy.repeat(v[:, None], len(rates), axis=1)
    eta = numpy.array(rates, numpy.float32)
    growth = numpy.zeros(len(rates))
    start = time.perf_counter()
    for i, a in enumerate(A):
        V += a[:, None] * (eta * (a @ V))
        if i % 32 == 31:
            norms = numpy.linalg.norm(V, axis=0)
            growth += numpy.log(norms)
            V /= norms
    return time.perf_counter() - start, V


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE.parent.parent / "build" / "release")
    parser.add_argument("--rows", type=int, default=250000)
    parser.add_argument("--cols", type=int, default=2000)
    parser.add_argument("--peer-rows", type=int, default=10000)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--keep", action="store_true", help="leave the file, and take it if it is there")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--make-only", action="store_true", help="only write the file (with --keep)")
    arguments = parser.parse_args()
    program, d = arguments.build / "apps" / "ritz" / "ritz", arguments.cols
    path = arguments.folder / f"ritz_rows_{arguments.rows}_{d}.npy"
    quarter = arguments.folder / f"ritz_rows_{arguments.rows // 4}_{d}.npy"
    strength = 20.0
    directions = {}
    for name, n in ((path, arguments.rows), (quarter, arguments.rows // 4)):
        truth = Path(str(name) + ".u.npy")
        if not (arguments.keep and name.exists() and truth.exists()):
            numpy.save(truth, make(name, n, d, strength))
        directions[name] = numpy.load(truth)
    if arguments.make_only:
        return
    u = directions[path]
    A = numpy.load(path, mmap_mode="r")
    few = A[: arguments.peer_rows]
    loss = lambda v: 1 - float(numpy.dot(v, u) / numpy.linalg.norm(v)) ** 2
    us = lambda seconds, n: 1e6 * seconds / n
    times = {}
    note = lambda name, value: times.setdefault(name, []).append(value)
    losses, peaks = {}, {}
    for name in directions:
        read(numpy.load(name, mmap_mode="r"))  # into the page cache
    for turn in range(arguments.turns):
        note("read", us(read(A), len(A)))
        note("read + two products", us(read(A) + products(A), len(A)))
        note("two products on the mapped file", us(products(A), len(A)))
        for mode in ("heavy", "oja-grid") if turn == 0 else ("heavy",):
            target = path if mode == "heavy" else quarter
            n = arguments.rows if mode == "heavy" else arguments.rows // 4
            found, v, wall, peak = ritz(program, target, mode, arguments.threads)
            truth = directions[target]
            losses["ritz " + mode] = 1 - float(numpy.dot(v, truth)) ** 2
            note("ritz " + mode, us(found["seconds"], n))
            note("ritz " + mode + ", process", us(wall, n))
            peaks[f"ritz {mode}, n = {n}"] = peak
    _, _, _, peaks[f"ritz heavy, n = {arguments.rows // 4}"] = ritz(program, quarter, "heavy", arguments.threads)
    seconds, v = pca(few)
    note("IncrementalPCA", us(seconds, len(few)))
    losses["IncrementalPCA"] = loss(v)
    eta = 0.1 / d
    seconds, v = oja(few, eta)
    note("numpy Oja", us(seconds, len(few)))
    losses["numpy Oja"] = loss(v)
    half = few[: len(few) // 2]
    seconds, V = grid(half, [2.0**i / d for i in range(-14, 6)])
    note("numpy grid of 20", us(seconds, len(half)))
    losses["numpy grid of 20, best"] = min(loss(V[:, g]) for g in range(V.shape[1]))
    # All saw different numbers of rows: each must have found the direction, none is asked for the same digits.
    for name, value in losses.items():
        if not value < 0.2:
            sys.exit(f"answers differ: {name} misses the planted direction by 1 - corr = {value:.3f}")
    middle = {name: statistics.median(values) for name, values in times.items()}
    print(f"n = {arguments.rows}, d = {d}, float32, {arguments.threads} thread(s)\n")
    print("| | us a row | over ritz | 1 - corr |\n| --- | --- | --- | --- |")
    for name, value in middle.items():
        base = middle["ritz oja-grid"] if "grid" in name else middle["ritz heavy"]
        lost = f"{losses[name]:.1e}" if name in losses else next(
            (f"{losses[k]:.1e}" for k in losses if k.startswith(name)), "")
        print(f"| {name} | {value:.3g} | {value / base:.2f} | {lost} |")
    print()
    for name, value in peaks.items():
        print(f"peak resident memory, {name}: {value:.0f} MB")
    if arguments.json:
        arguments.json.write_text(json.dumps({"times": times, "losses": losses, "peaks": peaks}, indent=1) + "\n")
    if not arguments.keep:
        for name in directions:
            for file in (name, Path(str(name) + ".u.npy")):
                file.unlink()
    for name in directions:
        Path(str(name) + ".v.npy").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
