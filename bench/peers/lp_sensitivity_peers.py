#!/usr/bin/env python3
"""ritz coreset beside HiGHS (highspy): l_1 sensitivities, exact, n = 2000, d = 10.

    bench/peers/run_lp_sensitivity.sh               # makes build/peers-lp, then runs this

One linear program a row. Three ways to use HiGHS: the primal as a user writes it (min sum t, -t <= A x <= t,
a_i x = 1), the dual (max lambda, A^T y = lambda a_i, |y| <= 1), and the dual changed from row to row, so that the last
basis starts the next solve. HiGHS solves the rows of a sample (the primal is slow); ritz all of them, as a program
started for it, files read and all. Answers are compared before times. One thread each.
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

import highspy
import numpy


def quiet():
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    return solver


def columns(matrix):
    """Column starts, row indices and values of a dense matrix."""
    rows, cols = matrix.shape
    return (
        numpy.arange(0, rows * cols + 1, rows, dtype=numpy.int32),
        numpy.tile(numpy.arange(rows, dtype=numpy.int32), cols),
        numpy.asfortranarray(matrix).ravel(order="F"),
    )


def program(cost, lower, upper, row_lower, row_upper, matrix):
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = matrix.shape[1], matrix.shape[0]
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lower, upper
    lp.row_lower_, lp.row_upper_ = row_lower, row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    start, index, value = columns(matrix)
    keep = value != 0
    counts = numpy.add.reduceat(keep, start[:-1])
    lp.a_matrix_.start_ = numpy.concatenate([[0], numpy.cumsum(counts)]).astype(numpy.int32)
    lp.a_matrix_.index_, lp.a_matrix_.value_ = index[keep], value[keep]
    return lp


def primal(A, row):
    n, d = A.shape
    infinity = highspy.kHighsInf
    identity = numpy.eye(n)
    matrix = numpy.block([[A, -identity], [A, identity], [A[row : row + 1], numpy.zeros((1, n))]])
    lp = program(
        numpy.r_[numpy.zeros(d), numpy.ones(n)],
        numpy.r_[numpy.full(d, -infinity), numpy.zeros(n)],
        numpy.full(n + d, infinity),
        numpy.r_[numpy.full(n, -infinity), numpy.zeros(n), 1],
        numpy.r_[numpy.zeros(n), numpy.full(n, infinity), 1],
        matrix,
    )
    started = time.perf_counter()  # what HiGHS itself takes: building dense blocks is not its fault
    solver = quiet()
    solver.passModel(lp)
    solver.run()
    return 1 / solver.getInfo().objective_function_value, time.perf_counter() - started


def dual_program(A, row):
    n, d = A.shape
    infinity = highspy.kHighsInf
    return program(
        numpy.r_[numpy.zeros(n), -1],
        numpy.r_[numpy.full(n, -1.0), 0],
        numpy.r_[numpy.ones(n), infinity],
        numpy.zeros(d),
        numpy.zeros(d),
        numpy.c_[A.T, -A[row]],
    )


def dual(A, row):
    lp = dual_program(A, row)
    started = time.perf_counter()
    solver = quiet()
    solver.passModel(lp)
    solver.run()
    return -1 / solver.getInfo().objective_function_value, time.perf_counter() - started


def warm_dual(A, rows):
    n, d = A.shape
    solver = quiet()
    solver.passModel(dual_program(A, rows[0]))
    solver.run()
    answers = {}
    started = time.perf_counter()
    for row in rows:
        for j in range(d):
            solver.changeCoeff(j, n, -A[row, j])
        solver.run()
        answers[row] = -1 / solver.getInfo().objective_function_value
    return answers, (time.perf_counter() - started) / len(rows)


def ritz(program_path, A, folder):
    numpy.save(folder / "A.npy", A)
    line = [program_path, "coreset", folder / "A.npy", "--scores", "sensitivity", "--exact", "--threads", "1",
            "--scores-out", folder / "s.npy", "--json", folder / "r.json", "--force", "--quiet"]
    started = time.perf_counter()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ, OMP_NUM_THREADS="1"))
    seconds = time.perf_counter() - started
    report = json.loads((folder / "r.json").read_text())
    return numpy.load(folder / "s.npy"), seconds, report["certificate"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/apps/ritz/ritz")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--primal", type=int, default=10, help="rows that the primal solves")
    parser.add_argument("--dual", type=int, default=100, help="rows that the duals solve")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()

    A = numpy.random.default_rng(0).standard_normal((options.rows, options.columns))
    some = list(numpy.linspace(0, options.rows - 1, options.dual).astype(int))
    ratios = {"primal": [], "dual": [], "warm dual": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.turns):
            sigma, seconds, gap = ritz(options.program, A, Path(folder))
            ours = seconds / options.rows
            found = {row: primal(A, row) for row in some[:: max(1, len(some) // options.primal)]}
            cold = {row: dual(A, row) for row in some}
            warm, each = warm_dual(A, some)
            for name, answers in (("primal", {k: v[0] for k, v in found.items()}),
                                  ("dual", {k: v[0] for k, v in cold.items()}), ("warm dual", warm)):
                worst = max(abs(sigma[k] / v - 1) for k, v in answers.items())
                if worst > 1e-6:
                    sys.exit(f"answers differ: {name} by {worst:.1e}")
            times = {"primal": statistics.mean(v[1] for v in found.values()),
                     "dual": statistics.mean(v[1] for v in cold.values()), "warm dual": each}
            for name, theirs in times.items():
                ratios[name].append(theirs / ours)
            print(f"ritz {1e3 * ours:.3f} ms a row (gap {gap:.0e});",
                  "; ".join(f"{k} {1e3 * v:.2f}" for k, v in times.items()), flush=True)
    print(f"HiGHS {quiet().version()}, n = {options.rows}, d = {options.columns}: HiGHS / ritz, median (least to most)")
    for name, all_of_it in ratios.items():
        print(f"  {name:10} {statistics.median(all_of_it):8.1f}  ({min(all_of_it):.1f} to {max(all_of_it):.1f})")


if __name__ == "__main__":
    main()
