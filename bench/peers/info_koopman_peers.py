#!/usr/bin/env python3
"""ritz koopman train beside pykoopman's neural DMD: a training step of a small autoencoder.

    bench/peers/run_info_koopman.sh               # makes build/peers-info-koopman, then runs this

The same network (48-64-16, decoder mirrored, ReLU, a free matrix K), the same trajectories of two oscillators, batches of
8 windows of 16 steps, one thread each. pykoopman encodes a window's first frame and predicts the 16 that follow; ritz is
given the same horizon (and encodes every frame besides: it has more to do). A step's time is the difference between a
long and a short training over the difference of their steps, so that neither's start counts. Both forecasts are compared
with standing still before the times.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import numpy  # noqa: E402
import torch  # noqa: E402
from pykoopman.regression import NNDMD  # noqa: E402

WINDOW, BATCH, POINTS = 16, 8, 48


def trajectories(count, steps, seed):
    rng = numpy.random.default_rng(seed)
    phase = rng.uniform(0, 2 * numpy.pi, (count, 1, 2))
    p = phase + 0.35 * numpy.arange(steps)[None, :, None] * numpy.array([1, 2**0.5])
    x = 2 * numpy.pi * numpy.arange(POINTS) / POINTS
    field = numpy.exp(1.5 * numpy.cos(x - p[..., :1])) / 2 + 0.4 * numpy.exp(numpy.cos(3 * x - p[..., 1:]))
    return field.astype(numpy.float32)


def peer(data, epochs):
    torch.manual_seed(0)
    model = NNDMD(
        look_forward=WINDOW,
        config_encoder=dict(input_size=POINTS, hidden_sizes=[64], output_size=16, activations="relu"),
        config_decoder=dict(input_size=16, hidden_sizes=[64], output_size=POINTS, activations="relu"),
        batch_size=BATCH,
        lbfgs=False,
        normalize=True,
        normalize_mode="equal",
        trainer_kwargs=dict(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
        ),
    )
    start = time.perf_counter()
    try:
        model.fit(list(data.astype(numpy.float64)))
    except AttributeError:
        pass  # trained; what follows multiplies the decoder's weights together, which a ReLU has not
    return model, time.perf_counter() - start


def ritz(program, folder, steps):
    line = [program, "koopman", "train", "x.npy", "--method", "autoencoder", "--operator", "learned", "--latent", "16"]
    line += ["--network", "mlp:64", "--window", str(WINDOW), "--horizon", str(WINDOW), "--batch", str(BATCH), "--holdout"]
    line += ["0", "--steps", str(steps), "--decay-every", "0", "--quiet", "--threads", "1", "--force", "--out", "run"]
    subprocess.run(line, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "run" / "summary.json").read_text())["seconds_training"]


def error(truth, forecast):
    difference = numpy.linalg.norm(forecast - truth, axis=-1)
    return float(numpy.mean(difference / numpy.linalg.norm(truth, axis=-1)))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", default="build/release/apps/ritz/ritz")
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--json")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    count = 160
    data = trajectories(count, WINDOW + 1, 1)
    test = trajectories(40, WINDOW + 1, 2)
    program = str(Path(options.program).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numpy.save(folder / "x.npy", data)
        numpy.save(folder / "start.npy", test[:, :1])
        short, long = 4, 24
        ratios, rows = [], []
        for _ in range(options.turns):
            _, a = peer(data, short)
            model, b = peer(data, long)
            batches = count // BATCH  # of an epoch: a trajectory is one window
            theirs = (b - a) / ((long - short) * batches)
            few, many = 200, 1200
            first = ritz(program, folder, few)
            ours = (ritz(program, folder, many) - first) / (many - few)
            ratios.append(theirs / ours)
            rows.append({"pykoopman_ms": 1e3 * theirs, "ritz_ms": 1e3 * ours, "ratio": theirs / ours})
        line = [program, "koopman", "forecast", "start.npy", "--checkpoint", "run/model.safetensors"]
        line += ["--horizon", str(WINDOW), "--force", "--quiet", "--out", "f.npy"]
        subprocess.run(line, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        ours = error(test[:, 1:], numpy.load(folder / "f.npy"))
        predicted = numpy.stack([model.simulate(x[:1].astype(numpy.float64), WINDOW) for x in test])
        theirs = error(test[:, 1:], predicted[:, -WINDOW:].reshape(test[:, 1:].shape))
        still = error(test[:, 1:], numpy.repeat(test[:, :1], WINDOW, axis=1))
    print(f"errors of forecasts: ritz {ours:.3f}, pykoopman {theirs:.3f}, standing still {still:.3f}")
    assert ours < 0.7 * still and theirs < 0.7 * still, "a model that does not forecast is not worth timing"
    for row in rows:
        print("  ".join(f"{key} {value:.3g}" for key, value in row.items()))
    print(f"pykoopman / ritz, a step: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if options.json:
        Path(options.json).write_text(json.dumps({"turns": rows, "errors": [ours, theirs, still]}))


if __name__ == "__main__":
    main()
