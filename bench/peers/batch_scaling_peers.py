#!/usr/bin/env python3
"""ritz beside curvlinops and PyHessian: Hessian products and spectral densities.

    bench/peers/setup.sh && cmake --build build/release --target curvature_peer_bench
    build/peers/bin/python bench/peers/batch_scaling_peers.py                     # everything
    build/peers/bin/python bench/peers/batch_scaling_peers.py --quick             # does it run?
    ... --workloads mlp --tasks density --probes 1 --peers pyhessian              # parts of it

Everything takes about an hour on one thread, nearly all of it the peers' densities of ResNet-20.

One network, data set and block of probes for all; every one runs in a process of its own, one task at a time,
in turns (ritz, peer, ritz, peer ...). Answers are compared before any time is taken; the program ends with an
error where they differ. Printed: medians of wall time, their ratios within each turn, and the peak of memory above
the started program's (its libraries, weights and data).

  (a) a full-data Hessian-vector product by an operator that is ready, with 1 and 8 probes
  (b) a density of 50 Lanczos steps, all of it: operator, steps, eigenvalues, with 1 and 8 probes
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy

HERE = Path(__file__).resolve().parent
WORKLOADS = {"mlp": "MLP 784-128-64-10, 2048 images", "resnet": "ResNet-20, 256 images"}
PEERS = ("curvlinops", "pyhessian")


def environment(threads):
    # Idle threads must sleep, or they would slow down whoever's turn it is.
    return dict(os.environ, OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="passive", KMP_BLOCKTIME="0")


class Worker:
    """A process that answers tasks."""

    def __init__(self, command, threads):
        self.command = command
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(threads)
        )
        self.loss = self.answer()["loss"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(map(str, self.command))}: ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, task):
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def require(condition, text):
    if not condition:
        sys.exit(f"answers differ: {text}")


def compare_products(folder, peer):
    ours, theirs = numpy.load(folder / "hvp_ritz.npy"), numpy.load(folder / f"hvp_{peer}.npy")
    gap = numpy.linalg.norm(ours - theirs) / numpy.linalg.norm(ours)
    # float32 alone moves both by 2e-4 to 5e-4 from float64's product on ResNet-20, where rounding turns units on or off.
    require(gap < 2e-3, f"products of ritz and {peer} by {gap:.1e}")
    return gap


def compare_densities(ours, theirs, peer):
    """Nodes as sets may differ (no reorthogonalisation gives ghosts); ends and moments may not."""
    worst = 0.0
    for nodes, weights, peer_nodes, peer_weights in zip(
        ours["nodes"], ours["weights"], theirs["nodes"], theirs["weights"]
    ):
        width = max(nodes) - min(nodes)
        worst = max(worst, abs(max(nodes) - max(peer_nodes)) / width, abs(min(nodes) - min(peer_nodes)) / width)
        for power in (1, 2):
            a = sum(w * t**power for t, w in zip(nodes, weights))
            b = sum(w * t**power for t, w in zip(peer_nodes, peer_weights))
            size = sum(w * abs(t) ** power for t, w in zip(nodes, weights))
            worst = max(worst, abs(a - b) / size)
    require(worst < 5e-3, f"ends or moments of ritz's and {peer}'s spectrum by {worst:.1e}")
    return worst


def compare(folder, task, ours, theirs, peer):
    return compare_products(folder, peer) if task == "hvp" else compare_densities(ours, theirs, peer)


def measure(kind, arguments, rows):
    program = arguments.build / "bench" / "curvature_peer_bench"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([program, "prepare", folder, kind, "8"], check=True, env=environment(arguments.threads))

        def start(who):
            if who == "ritz":
                limit = ["--memory-limit", str(arguments.memory_limit)] if arguments.memory_limit else []
                return Worker([program, "serve", folder, str(arguments.threads), *limit], arguments.threads)
            command = [sys.executable, HERE / "peer_worker.py", who, folder, str(arguments.threads)]
            return Worker(command, arguments.threads)

        steps = 5 if arguments.quick else arguments.steps
        for task, probes in ((t, k) for t in arguments.tasks for k in arguments.probes):
            line = f"hvp {probes}" if task == "hvp" else f"density {probes} {steps}"
            trial = line if task == "hvp" else f"density {probes} 5"
            turns = arguments.products if task == "hvp" else arguments.densities if probes == 1 else 1
            for peer in arguments.peers:
                # New processes for each pair, so that a peak of memory belongs to this task alone.
                ours, theirs = start("ritz"), start(peer)
                require(abs(ours.loss - theirs.loss) < 1e-5 * abs(ours.loss), f"losses {ours.loss} {theirs.loss}")
                difference = compare(folder, task, ours.ask(trial), theirs.ask(trial), peer)
                times, memory, answers = {"ritz": [], peer: []}, {}, {}
                for _ in range(turns):
                    for who, worker in (("ritz", ours), (peer, theirs)):
                        answers[who] = worker.ask(line)
                        times[who].append(answers[who]["seconds"])
                        memory[who] = answers[who]["peak_kb"] / 1024
                difference = max(difference, compare(folder, task, answers["ritz"], answers[peer], peer))
                ours.close()
                theirs.close()
                ratios = [b / a for a, b in zip(times["ritz"], times[peer])]
                rows.append(
                    {
                        "workload": WORKLOADS[kind],
                        "task": "Hessian product" if task == "hvp" else f"density, {steps} steps",
                        "probes": probes,
                        "peer": peer,
                        "ritz_seconds": statistics.median(times["ritz"]),
                        "peer_seconds": statistics.median(times[peer]),
                        "ratio": statistics.median(ratios),
                        "ratio_low": min(ratios),
                        "ratio_high": max(ratios),
                        "ritz_peak_mb": memory["ritz"],
                        "peer_peak_mb": memory[peer],
                        "difference": float(difference),
                    }
                )
                print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)


def table(rows):
    lines = [
        "| workload | task | probes | peer | ritz | peer takes | ratio (lowest to highest) | ritz's peak | peer's peak | answers differ by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        lines.append(
            f"| {r['workload']} | {r['task']} | {r['probes']} | {r['peer']} | {1e3 * r['ritz_seconds']:.4g} ms "
            f"| {1e3 * r['peer_seconds']:.4g} ms | {r['ratio']:.2f} ({r['ratio_low']:.2f} to {r['ratio_high']:.2f}) "
            f"| {r['ritz_peak_mb']:.0f} MB | {r['peer_peak_mb']:.0f} MB | {r['difference']:.0e} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE.parent.parent / "build" / "release")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--products", type=int, default=15, help="turns of (a)")
    parser.add_argument("--steps", type=int, default=50, help="Lanczos steps of (b)")
    parser.add_argument("--densities", type=int, default=3, help="turns of (b) with one probe; with 8 there is one")
    parser.add_argument("--tasks", nargs="+", choices=("hvp", "density"), default=["hvp", "density"])
    parser.add_argument("--probes", nargs="+", type=int, choices=range(1, 9), default=[1, 8])
    parser.add_argument("--memory-limit", type=int, default=0, help="bytes that ritz may keep; 0: its default")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--quick", action="store_true", help="one turn each, 5 steps")
    parser.add_argument("--json", type=Path, help="writes the rows")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.products = arguments.densities = 1
    rows = []
    for kind in arguments.workloads:
        measure(kind, arguments, rows)
    print(f"{arguments.threads} thread(s), {platform.machine()}, {os.cpu_count()} processors\n")
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
