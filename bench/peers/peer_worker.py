"""One peer's side of batch_scaling_peers.py: `peer_worker.py curvlinops|pyhessian FOLDER THREADS`.

Reads weights, data and probes that ritz wrote, and answers the tasks of bench/curvature_peer_bench.cpp, one line
of JSON each: "hvp K" and "density K STEPS". The peers draw their probes from torch's generator; here it is made to
hand out the given ones, so that answers can be compared.
"""

import json
import sys
import time
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file


class Block(torch.nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(after)
        self.conv2 = torch.nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(after)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = torch.nn.Sequential(
                torch.nn.Conv2d(before, after, 1, stride, bias=False), torch.nn.BatchNorm2d(after)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet20(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        before = 16
        for stage, width in enumerate((16, 32, 64), 1):
            blocks = torch.nn.Sequential()
            for i in range(3):
                blocks.add_module(str(i), Block(before, width, 2 if stage > 1 and i == 0 else 1))
                before = width
            setattr(self, f"layer{stage}", blocks)
        self.fc = torch.nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        linear, relu = torch.nn.Linear, torch.nn.ReLU
        self.layers = torch.nn.Sequential(linear(784, 128), relu(), linear(128, 64), relu(), linear(64, 10))

    def forward(self, x):
        return self.layers(x)


def status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


class Curvlinops:
    def __init__(self, model, loss, inputs, targets, parameters):
        from curvlinops import HessianLinearOperator

        self.make = lambda: HessianLinearOperator(
            model, loss, parameters, [(inputs, targets)], check_deterministic=False
        )
        self.operator = self.make()

    def hvp(self, probes):
        return self.operator @ (probes[:, 0].contiguous() if probes.shape[1] == 1 else probes)

    def density(self, probes, steps):
        from curvlinops.papyan2020traces import spectrum

        columns = iter(probes.T)
        runs = []

        def record(run):
            runs.append(run)
            return run

        # Its own code, with given start vectors and a copy kept of what it finds.
        randn, lanczos = spectrum.randn, spectrum.fast_lanczos
        spectrum.randn = lambda *_, **__: next(columns).clone()
        spectrum.fast_lanczos = lambda *a, **k: record(lanczos(*a, **k))
        try:
            spectrum.lanczos_approximate_spectrum(self.make(), steps, num_repeats=probes.shape[1])
        finally:
            spectrum.randn, spectrum.fast_lanczos = randn, lanczos
        return [v.tolist() for v, _ in runs], [(u[0] ** 2).tolist() for _, u in runs]


class PyHessian:
    """The graph of the gradient is kept, as its users have it for one batch of data."""

    def __init__(self, model, loss, inputs, targets, parameters):
        import warnings

        from pyhessian import hessian

        warnings.filterwarnings("ignore")  # backward with create_graph

        # torch.eig left torch in 1.13; this is its replacement in the old form, for the symmetric T.
        def eig(matrix, eigenvectors=True):
            values, vectors = torch.linalg.eig(matrix)
            return torch.stack([values.real, values.imag], 1), vectors.real

        torch.eig = eig
        self.parameters = parameters

        def make():
            # It keeps copies of the gradients, but accumulates into .grad, which must be empty before.
            model.zero_grad(set_to_none=True)
            return hessian(model, loss, data=(inputs, targets), cuda=False)

        self.make = make
        self.operator = None

    def pieces(self, v):
        sizes = [p.numel() for p in self.parameters]
        return [piece.view_as(p) for piece, p in zip(v.split(sizes), self.parameters)]

    def hvp(self, probes):
        from pyhessian.utils import hessian_vector_product

        if self.operator is None:
            self.operator = self.make()
        kept = self.operator
        columns = [
            torch.cat([h.flatten() for h in hessian_vector_product(kept.gradsH, kept.params, self.pieces(v))])
            for v in probes.T
        ]
        return torch.stack(columns, 1)

    def density(self, probes, steps):
        self.operator = None
        signs = iter([piece for v in probes.T for piece in self.pieces(v.contiguous())])
        randint_like = torch.randint_like
        torch.randint_like = lambda *_, **__: (next(signs) + 1) / 2
        try:
            return self.make().density(iter=steps, n_v=probes.shape[1])
        finally:
            torch.randint_like = randint_like


def main():
    peer, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    meta = json.loads((folder / "meta.json").read_text())
    model = Mlp() if meta["kind"] == "mlp" else ResNet20()
    weights = load_file(folder / "weights.safetensors")
    model.load_state_dict(weights)
    model.eval()
    named = dict(model.named_parameters())
    if sorted(named) != sorted(meta["parameters"]):
        sys.exit(f"parameters differ: {sorted(set(named) ^ set(meta['parameters']))}")
    if list(named) != meta["parameters"]:
        sys.exit(f"parameters stand in another order: {list(named)} and {meta['parameters']}")
    inputs = torch.from_numpy(numpy.load(folder / "inputs.npy"))
    targets = torch.from_numpy(numpy.load(folder / "targets.npy"))
    probes = torch.from_numpy(numpy.load(folder / "probes.npy"))
    loss = torch.nn.CrossEntropyLoss()
    kind = {"curvlinops": Curvlinops, "pyhessian": PyHessian}[peer]
    # A product over two samples, so that what loads on first use is not counted as memory or time.
    kind(model, loss, inputs[:2], targets[:2], list(model.parameters())).hvp(probes[:, :1])
    model.zero_grad(set_to_none=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    started = status("VmRSS:")
    with torch.no_grad():
        value = loss(model(inputs), targets).item()
    subject = kind(model, loss, inputs, targets, list(model.parameters()))
    print(json.dumps({"ready": True, "loss": value}), flush=True)

    warm = False
    for line in sys.stdin:
        task, k, *rest = line.split()
        V = probes[:, : int(k)].contiguous()
        answer = {}
        if task == "hvp":
            if not warm:
                subject.hvp(V)
                warm = True
            begin = time.perf_counter()
            HV = subject.hvp(V)
            answer["seconds"] = time.perf_counter() - begin
            numpy.save(folder / f"hvp_{peer}.npy", HV.detach().reshape(V.shape).numpy())
        else:
            begin = time.perf_counter()
            nodes, weights = subject.density(V, int(rest[0]))
            answer["seconds"] = time.perf_counter() - begin
            answer["nodes"] = [[float(x) for x in run] for run in nodes]
            answer["weights"] = [[float(x) for x in run] for run in weights]
        answer["peak_kb"] = status("VmHWM:") - started
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
