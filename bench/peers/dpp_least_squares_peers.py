#!/usr/bin/env python3
"""ritz beside DPPy 0.3.3 and a numpy loop: samplers of projection DPPs.

    bench/peers/run_dpp_least_squares.sh             # all of it, half a minute
    bench/peers/run_dpp_least_squares.sh --quick     # does it run?

(a) 200 points in the square, products of Legendre polynomials: DPPy's MultivariateJacobiOPE
(b) 200 points on an interval: DPPy's tridiagonal JacobiEnsemble
(c) 100 of 100000 candidates with given orthonormal functions: the textbook's loop in numpy (each conditional law
    over all candidates, one pass of Gram-Schmidt)

Answers come first: means over samples of a statistic whose expectation is known exactly, as z-scores for both. Then
times in turns (peer, ritz, peer, ritz ...): medians, and the ratios within each turn. One thread for all.
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

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from dppy.beta_ensembles import JacobiEnsemble
from dppy.multivariate_jacobi_ope import MultivariateJacobiOPE

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build/release/apps/ritz/ritz"
BENCH = ROOT / "build/release/bench/dpp_least_squares_bench"


def numpy_loop(phi, rng):
    """One sample by the chain rule; phi [N, m], sum over candidates of phi phi^T = I."""
    N, m = phi.shape
    left = np.einsum("ij,ij->i", phi, phi)
    V = np.zeros((m, m))
    chosen = []
    for k in range(m):
        cumulated = np.cumsum(np.maximum(left, 0))
        i = min(int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")), N - 1)
        chosen.append(i)
        v = phi[i] - V[:, :k] @ (V[:, :k].T @ phi[i])
        V[:, k] = v / np.linalg.norm(v)
        left = left - (phi @ V[:, k]) ** 2
    return np.array(chosen)


def z_score(values, expected):
    values = np.asarray(values)
    return float((values.mean() - expected) / (values.std(ddof=1) / np.sqrt(len(values))))


def ritz_points(folder, arguments, draws, key):
    out = folder / "points.npz"
    subprocess.run([PROGRAM, "design", "points", *arguments, "--method", "dpp", "--draws", str(draws),
                    "--out", out, "--force", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    with np.load(out) as arrays:
        return arrays[key]


def ritz_seconds(pattern):
    """The benchmark's own mean time of one call."""
    run = subprocess.run([BENCH, f"--benchmark_filter=^{pattern}(/|$)", "--benchmark_format=json",
                          "--benchmark_min_time=0.2"], check=True, capture_output=True, text=True)
    (result,) = json.loads(run.stdout)["benchmarks"]
    scale = {"us": 1e-6, "ms": 1e-3, "ns": 1e-9}[result["time_unit"]]
    return result["real_time"] * scale


def timed(call, calls):
    call()
    best = []
    for _ in range(calls):
        begin = time.perf_counter()
        call()
        best.append(time.perf_counter() - begin)
    return statistics.median(best)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few samples and one turn")
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    turns = 1 if options.quick else 3
    samples = 10 if options.quick else 40
    rng = np.random.default_rng(1)
    folder = Path(tempfile.mkdtemp(prefix="ritz_peers_"))

    plane = MultivariateJacobiOPE(200, np.zeros((2, 2)))
    np.save(folder / "index.npy", np.array(plane.ordering))

    # E sum_i g(x_i) = sum_k int g phi_k^2: for g = x_0^2 it is s_k^2 + s_{k+1}^2 of the recurrence.
    def second_moment(degree):
        step = lambda k: k * k / (4 * k * k - 1)
        return step(degree) + step(degree + 1)

    raw = rng.standard_normal((100000, 100)) * rng.uniform(0.2, 3, (100000, 1))
    phi = np.linalg.qr(raw)[0]
    np.save(folder / "phi.npy", phi * np.sqrt(len(phi)))
    small = np.linalg.qr(raw[:2000, :10])[0]  # many samples are needed here, and few candidates do
    np.save(folder / "small.npy", small * np.sqrt(len(small)))
    g = rng.standard_normal(2000)

    answers = []

    def compare(name, values, expected):
        z = z_score(values, expected)
        answers.append({"what": name, "z": z})
        print(f"{name:58} z = {z:6.2f}")
        if abs(z) > 4.5:
            sys.exit("the law is not the one asked for")

    expected = sum(second_moment(k[0]) for k in plane.ordering)
    compare("DPPy, 200 points in the square, E sum x^2",
            [(plane.sample(random_state=s)[:, 0] ** 2).sum() for s in range(samples)], expected)
    x = ritz_points(folder, ["--space", "legendre", "--dim", "2", "--indices", folder / "index.npy"], 5 * samples, "points")
    compare("ritz, the same", (x[:, :, 0] ** 2).sum(1), expected)
    expected = sum(second_moment(k) for k in range(200))
    x = ritz_points(folder, ["--space", "legendre", "--degree", "199"], samples, "points")
    compare("ritz, 200 points on an interval (tridiagonal)", (x[:, :, 0] ** 2).sum(1), expected)
    expected = float((small**2).sum(1) @ g)
    compare("numpy loop, 10 of 2000 candidates, E sum g",
            [g[numpy_loop(small, rng)].sum() for _ in range(400)], expected)
    rows = ritz_points(folder, ["--candidates", folder / "small.npy"], 400, "indices")
    compare("ritz, the same", g[rows].sum(1), expected)

    ensemble = JacobiEnsemble(beta=2)
    cases = [
        ("200 points in the square", "DPPy", lambda: plane.sample(random_state=1), "dpp_plane/200"),
        ("200 points on an interval", "DPPy",
         lambda: ensemble.sample_banded_model(a=1, b=1, size_N=200), "dpp_line/200"),
        ("100 of 100000, leverages included", "numpy loop", lambda: numpy_loop(phi, rng),
         "dpp_candidates_prepare/prepare_and_draw/100000/100"),
        ("100 of 100000, one more design", "numpy loop", lambda: numpy_loop(phi, rng), "dpp_candidates/draw/100000/100"),
    ]
    figures = []
    print(f"\n{'task':36} {'peer':20} {'peer ms':>9} {'ritz ms':>9} {'ratio':>7}  (lowest to highest)")
    for task, peer, call, pattern in cases:
        theirs, ours = [], []
        for _ in range(turns):
            theirs.append(timed(call, 3))
            ours.append(ritz_seconds(pattern))
        ratios = [a / b for a, b in zip(theirs, ours)]
        figures.append({"task": task, "peer": peer, "peer_seconds": theirs, "ritz_seconds": ours, "ratios": ratios})
        print(f"{task:36} {peer:20} {1e3 * statistics.median(theirs):9.3f} {1e3 * statistics.median(ours):9.3f} "
              f"{statistics.median(ratios):7.1f}  ({min(ratios):.1f} to {max(ratios):.1f})")
    if options.json:
        Path(options.json).write_text(json.dumps({"answers": answers, "times": figures}, indent=2))


if __name__ == "__main__":
    main()
