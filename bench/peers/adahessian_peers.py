"""ritz's AdaHessian beside pytorch_optimizer's: the same network, weights, batch and probes.

    bench/peers/run_adahessian.sh [--threads N] [--turns N] [--json FILE]

ritz goes both ways: `chain`, by the network's hand-written kernels, as its training loop does, and `graph`, by double
backward, as any other network does. The gradient and the |D| of the first step are compared before times: later steps
divide by a noisy D and pass through ReLU's kinks, so that rounding grows without bound in all three alike. Each run is
a process of its own; turns alternate, and the ratio of a turn is of its means over steps.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent
OURS = HERE.parents[1] / "build/release/bench/adahessian_peer_bench"
STEPS = 11
# Of the norm of each tensor. The transformer agrees to 1e-5. In ResNet-20 other orders of summation put some ReLU inputs
# on the other side of zero, which moved gradients by 4e-3; a wrong term or probe shows as one half or more.
TOLERANCE = 2e-2


def run(command, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def worst_error(ours, theirs):
    return float(numpy.linalg.norm(ours.reshape(theirs.shape) - theirs) / max(numpy.linalg.norm(theirs), 1e-6))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--kinds", default="resnet,transformer")
    parser.add_argument("--f", default="1,5", help="steps between Hessians, a list")
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = []
    for kind in options.kinds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            run([str(OURS), "prepare", folder, kind, str(STEPS)], options.threads)

            def ritz(steps, f, way):
                tail = [folder, kind, str(steps), str(f), str(options.threads)]
                return run([str(OURS), "run", *tail, way], options.threads)

            def peer(steps, f):
                tail = [folder, kind, str(steps), str(f), str(options.threads)]
                return run([sys.executable, str(HERE / "adahessian_worker.py"), *tail], options.threads)

            peer(1, 1)
            theirs = load_file(Path(folder) / "peer.safetensors")
            for way in ("chain", "graph"):
                ritz(1, 1, way)
                ours = load_file(Path(folder) / "ritz.safetensors")
                apart = max(worst_error(ours[n], theirs[n]) for n in theirs)
                if not apart <= TOLERANCE:
                    sys.exit(f"{kind}, {way}: gradients or diagonals differ by {apart} of their size")
                print(f"{kind}, {way}: first step's g and |D| agree to {apart:.1e} of each tensor's size", flush=True)
            for f in map(int, options.f.split(",")):
                turns = [(peer(STEPS, f), ritz(STEPS, f, "chain"), ritz(STEPS, f, "graph"))
                         for _ in range(options.turns)]
                # The last ten steps: whole periods, the first left out.
                mean = lambda answer: sum(answer["seconds"][1:]) / (STEPS - 1)
                for place, way in enumerate(("chain", "graph"), 1):
                    ratios = [mean(turn[place]) / mean(turn[0]) for turn in turns]
                    memory = [turn[place]["peak_kb"] / turn[0]["peak_kb"] for turn in turns]
                    rows.append({"kind": kind, "way": way, "f": f, "time_ritz_over_peer": statistics.median(ratios),
                                 "low": min(ratios), "high": max(ratios),
                                 "memory_ritz_over_peer": statistics.median(memory)})
                    print(json.dumps(rows[-1]), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
