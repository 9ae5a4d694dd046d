"""ritz's AdaHessian beside pytorch_optimizer's: the same network, weights, batch and probes.

    bench/peers/run_adahessian.sh [--threads N] [--turns N] [--json FILE]

Answers (the weights after three steps) are compared before times. Each run is a process of its own; turns alternate,
and the ratio of a turn is of its medians over steps.
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
OURS = HERE.parents[1] / "build/release/bench/adahessian_peer_bench"
STEPS = 11


def run(command, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--kinds", default="resnet,transformer")
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = []
    for kind in options.kinds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            run([str(OURS), "prepare", folder, kind, str(STEPS)], options.threads)

            def both(steps, f):
                tail = [folder, kind, str(steps), str(f), str(options.threads)]
                ours = run([str(OURS), "run", *tail], options.threads)
                theirs = run([sys.executable, str(HERE / "adahessian_worker.py"), *tail], options.threads)
                return ours, theirs

            both(3, 1)
            start, ours, theirs = (load_file(Path(folder) / f"{n}.safetensors") for n in ("weights", "ritz", "peer"))
            moved = max(abs(theirs[n] - start[n]).max() for n in theirs)
            apart = max(abs(ours[n] - theirs[n]).max() for n in theirs)
            # Three steps in float32; ReLU kinks and small divisors amplify rounding.
            if not apart <= 2e-2 * moved:
                sys.exit(f"{kind}: answers differ by {apart}, having moved by {moved}")
            for f in (1, 5):
                ratios, memory = [], []
                for _ in range(options.turns):
                    ours, theirs = both(STEPS, f)
                    # The last ten steps: whole periods, the first left out.
                    mean = lambda answer: sum(answer["seconds"][1:]) / (STEPS - 1)
                    ratios.append(mean(theirs) / mean(ours))
                    memory.append(ours["peak_kb"] / theirs["peak_kb"])
                rows.append({"kind": kind, "f": f, "peer_over_ritz": statistics.median(ratios), "low": min(ratios),
                             "high": max(ratios), "memory_ritz_over_peer": statistics.median(memory),
                             "answers_apart": float(apart / moved)})
                print(json.dumps(rows[-1]), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
