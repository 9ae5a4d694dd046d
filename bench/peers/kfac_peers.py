"""ritz's K-FAC and MKOR beside asdfghjkl's K-FAC: a 6 x 1024 perceptron, batch 128, the same weights and batch.

    bench/peers/run_kfac.sh [--threads N] [--turns N] [--json FILE]

The first step's preconditioned gradients are compared before times (K-FAC; MKOR is another method and only timed).
Each run is a process of its own; turns alternate, and a ratio is of means over whole periods of renewal.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent
OURS = HERE.parents[1] / "build/release/bench/kfac_peer_bench"
PERIODS = {1: 6, 10: 2}  # after one that warms up


def run(command, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])["seconds"] if done.stdout else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run([OURS, "prepare", folder], options.threads)
        for f, periods in PERIODS.items():
            steps = f * (periods + 1)
            mean = lambda seconds: sum(seconds[f:]) / (steps - f)
            times = {"kfac": [], "mkor": [], "peer": []}
            for turn in range(options.turns):
                for method in ("mkor", "kfac"):
                    times[method].append(mean(run([OURS, "run", folder, method, f, steps, options.threads], options.threads)))
                times["peer"].append(
                    mean(run([sys.executable, HERE / "kfac_worker.py", folder, f, steps, options.threads], options.threads)))
            ours, theirs = (load_file(Path(folder) / f"{name}.safetensors") for name in ("ritz", "peer"))
            norm = lambda x: float((x.astype("float64") ** 2).sum() ** 0.5)
            apart = max(norm(ours[name] - theirs[name]) / norm(theirs[name]) for name in theirs)
            # float32, divided by factors of condition 1e4 to 1e5.
            if not apart <= 1e-2:
                sys.exit(f"answers differ by {apart}")
            for method in ("kfac", "mkor"):
                ratios = [theirs / ours for theirs, ours in zip(times["peer"], times[method])]
                rows.append({"method": method, "f": f, "peer_over_ritz": statistics.median(ratios), "low": min(ratios),
                             "high": max(ratios), "answers_apart": apart if method == "kfac" else None})
                print(json.dumps(rows[-1]), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
