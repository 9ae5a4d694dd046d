"""ritz's state-space layers beside torch, s5-pytorch and jax: answers first, then times and peaks of memory.

    bench/peers/run_ptd_ssm.sh [--threads N] [--turns N] [--tasks kernel,layer,scan,mimo] [--json FILE]

kernel: S4D's kernel with its gradient, 256 channels, 32 states, 16384 steps, beside the complex Vandermonde product in torch.
layer: kernel and FFT convolution of 8 sequences, forward and backward, beside the same product and torch's FFT.
scan: 256 states over 4096 steps, beside s5-pytorch's associative scan and jax's compiled loops.
mimo: S5's whole layer (128 inputs and outputs), forward and backward, beside s5-pytorch.
Each run is a process of its own; turns alternate; a ratio is of medians within a turn.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent
OURS = HERE.parents[1] / "build/release/bench/sequence_peer_bench"
TASKS = {"kernel": ["torch"], "layer": ["torch"], "scan": ["s5", "jax", "jax-associative"], "mimo": ["s5"]}
REPEATS = {"kernel": 3, "layer": 2, "scan": 20, "mimo": 5}
PEER_REPEATS = {("kernel", "torch"): 1, ("layer", "torch"): 1, ("scan", "s5"): 5, ("mimo", "s5"): 2}


def run(command, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), JAX_PLATFORMS="cpu")
    if threads == 1:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def apart(folder, task, peer):
    """The largest relative difference of any output or gradient, by norms."""
    ours, theirs = (load_file(Path(folder) / f"{name}_{task}.safetensors") for name in ("ritz", peer))
    norm = lambda x: float((x.astype("float64") ** 2).sum() ** 0.5)
    return max(norm(ours[name].astype("float64") - theirs[name]) / norm(theirs[name]) for name in theirs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run([OURS, "prepare", folder], options.threads)
        for task in options.tasks.split(","):
            ours, theirs = [], {peer: [] for peer in TASKS[task]}
            for _ in range(options.turns):
                ours.append(run([OURS, "run", folder, task, REPEATS[task], options.threads], options.threads))
                for peer in TASKS[task]:
                    repeats = PEER_REPEATS.get((task, peer), REPEATS[task])
                    command = [sys.executable, HERE / "ptd_ssm_worker.py", folder, peer, task, repeats, options.threads]
                    theirs[peer].append(run(command, options.threads))
            for peer, results in theirs.items():
                difference = apart(folder, task, peer)
                # float32 on both sides; the naive powers lose l |log a| eps.
                if not difference <= 2e-2:
                    sys.exit(f"{task}: {peer}'s answers differ by {difference}")
                median = lambda result: statistics.median(result["seconds"])
                ratios = [median(b) / median(a) for a, b in zip(ours, results)]
                rows.append({"task": task, "peer": peer, "peer_over_ritz": statistics.median(ratios), "low": min(ratios),
                             "high": max(ratios), "ritz_seconds": statistics.median(map(median, ours)),
                             "ritz_peak_mb": statistics.median(r["peak_kb"] for r in ours) / 1024,
                             "peer_peak_mb": statistics.median(r["peak_kb"] for r in results) / 1024,
                             "answers_apart": difference})
                row = rows[-1]
                print(f"{task:7} {peer:16} peer / ritz {row['peer_over_ritz']:8.2f} ({row['low']:.2f} to {row['high']:.2f})"
                      f"   peak {row['ritz_peak_mb']:.0f} MB, peer {row['peer_peak_mb']:.0f} MB   answers differ by {difference:.1e}",
                      flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps({"threads": options.threads, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
