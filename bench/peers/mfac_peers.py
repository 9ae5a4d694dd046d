#!/usr/bin/env python3
"""M-FAC in ritz beside its published row recursion and dynamic step, written in torch.

    bench/peers/setup.sh && cmake --build build/release --target mfac_bench ritz_program
    build/peers/bin/python bench/peers/mfac_peers.py            # d = 1e6, m = 128; about a minute
    build/peers/bin/python bench/peers/mfac_peers.py --quick    # does it run?

The recursion and the dynamic step follow IST-DASLab/M-FAC's code for tensors on the CPU. Answers are
compared before any time is taken (ritz's through `ritz fisher ihvp`); then both take turns. ritz's
times are those of mfac_bench.
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
import torch

HERE = Path(__file__).resolve().parent
DAMPING = 1e-2


def static_recursion(gradients):
    """v_i = g_i / lambda - sum_{j<i} v_j (v_j . g_i) / q_j, q_i = m + g_i . v_i, in place."""
    m = gradients.shape[0]
    pivots = torch.empty(m)
    for i in range(m):
        g = gradients[i].clone()
        gradients[i] /= DAMPING
        if i > 0:
            gradients[i] -= (gradients[:i] @ g / pivots[:i]) @ gradients[:i]
        pivots[i] = m + g @ gradients[i]
    return pivots


def dynamic_step(rows, gram, place, g):
    """Replaces a row, eliminates D, builds B row by row, and returns F^-1 g."""
    m = rows.shape[0]
    rows[place] = g
    s = rows @ g
    gram[place] = s
    gram[:, place] = s
    upper = gram / DAMPING
    for i in range(m - 1):
        upper[i + 1 :, i + 1 :] -= torch.outer(upper[i, i + 1 :], upper[i, i + 1 :] / (m + upper[i, i]))
    pivots = m + upper.diagonal()
    combinations = torch.eye(m) / DAMPING
    for i in range(1, m):
        combinations[i] -= (upper[:i, i] / pivots[:i]) @ combinations[:i]
    c = s / DAMPING
    for i in range(m - 1):
        c[i + 1 :] -= upper[i, i + 1 :] * (c[i] / pivots[i])
    return g / DAMPING - ((c / pivots) @ combinations) @ rows


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ritz_times(build, name, threads):
    command = [build / "bench" / "mfac_bench", f"--benchmark_filter=^{name}$", "--benchmark_format=json"]
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads(text)["benchmarks"][0]["real_time"] / 1e3


def compare_answers(build, gradients, x):
    """ritz's F^-1 x out of the same file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numpy.save(folder / "G.npy", gradients)
        numpy.save(folder / "x.npy", x.numpy())
        vectors = torch.from_numpy(gradients.copy())
        pivots = static_recursion(vectors)
        theirs = x / DAMPING - (vectors @ x / pivots) @ vectors
        command = [build / "apps" / "ritz" / "ritz", "fisher", "ihvp", "G.npy", "x.npy", "--out", "y.npy"]
        command += ["--damping", str(DAMPING), "--quiet"]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        ours = torch.from_numpy(numpy.load(folder / "y.npy"))
        gap = ((ours - theirs).norm() / theirs.norm()).item()
        if gap > 1e-3:
            sys.exit(f"answers differ: F^-1 x by {gap:.1e}")
        return gap


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE.parent.parent / "build" / "release")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="answers alone, on a small problem")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator) * 2 - 1

    small = uniform(32, 20000)
    gap = compare_answers(arguments.build, small.numpy(), uniform(20000))
    rows, gram, place = torch.zeros(8, 500), torch.zeros(8, 8), 0
    for step in range(20):
        g = uniform(500)
        u = dynamic_step(rows, gram, place, g)
        place = (place + 1) % 8
    back = DAMPING * u + rows.T @ (rows @ u) / 8
    if (back - g).norm() > 1e-3 * g.norm():
        sys.exit("the peer's dynamic step is wrong")
    print(f"answers differ by {gap:.0e}")
    if arguments.quick:
        return

    d, ratios = 1000000, {"static, m 128": [], "step, m 256": []}
    gradients = uniform(128, d)
    work = torch.empty_like(gradients)
    for _ in range(arguments.turns):
        ours = ritz_times(arguments.build, "inverse/128/0", 1)
        work.copy_(gradients)
        ratios["static, m 128"].append(seconds(lambda: static_recursion(work)) / ours)
    del gradients, work
    rows = uniform(256, d)
    gram = rows @ rows.T
    for _ in range(arguments.turns):
        ours = ritz_times(arguments.build, "window_step/float32/256", 1)
        g = uniform(d)
        ratios["step, m 256"].append(seconds(lambda: dynamic_step(rows, gram, 0, g)) / ours)
    print("\n| task, d = 1e6 | torch / ritz (lowest to highest) |\n| --- | --- |")
    for task, found in ratios.items():
        print(f"| {task} | {statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f}) |")


if __name__ == "__main__":
    main()
