"""The peer's side of adahessian_peers.py: `adahessian_worker.py FOLDER resnet|transformer STEPS F THREADS`.

Steps of pytorch_optimizer's AdaHessian on weights, batch and probes that ritz wrote; answers as
bench/adahessian_peer_bench.cpp does.
"""

import json
import math
import sys
import time
import warnings
from pathlib import Path

import numpy
import torch
from peer_worker import ResNet20, status
from pytorch_optimizer import AdaHessian
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")  # backward with create_graph


class Attention(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.in_proj_weight = torch.nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = torch.nn.Parameter(torch.empty(3 * width))
        self.out_proj = torch.nn.Linear(width, width)
        self.heads = heads

    def forward(self, x):
        n, t, w = x.shape
        d = w // self.heads
        q, k, v = torch.nn.functional.linear(x, self.in_proj_weight, self.in_proj_bias).view(
            n, t, 3, self.heads, d).permute(2, 0, 3, 1, 4).unbind()
        mixed = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(d), -1) @ v
        return self.out_proj(mixed.transpose(1, 2).reshape(n, t, w))


class Residual(torch.nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Position(torch.nn.Module):
    def __init__(self, tokens, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(tokens, width))

    def forward(self, x):
        return x + self.weight


class Transformer(torch.nn.Module):
    def __init__(self, layers=4, width=128):
        super().__init__()
        linear, norm = torch.nn.Linear, torch.nn.LayerNorm
        self.embed = linear(96, width)
        self.position = Position(32, width)
        self.blocks = []
        for i in range(layers):
            attention, mlp = Residual(), Residual()
            attention.add_module("norm", norm(width))
            attention.add_module("self_attn", Attention(width, width // 16))
            mlp.add_module("norm", norm(width))
            mlp.add_module("linear1", linear(width, 2 * width))
            mlp.add_module("gelu", torch.nn.GELU())
            mlp.add_module("linear2", linear(2 * width, width))
            self.add_module(f"attention{i}", attention)
            self.add_module(f"mlp{i}", mlp)
            self.blocks += [attention, mlp]
        self.norm = norm(width)
        self.fc = linear(width, 10)

    def forward(self, x):
        x = x.permute(0, 2, 1, 3).flatten(2)  # rows of the image, all channels
        x = self.position(self.embed(x))
        for block in self.blocks:
            x = block(x)
        return self.fc(self.norm(x).mean(1))


def write_first_step(folder, model, optimizer):
    """The gradient and |D| that the first step saw: m is (1 - beta1) g and v is (1 - beta2) D^2."""
    tensors = {}
    for name, p in model.named_parameters():
        state = optimizer.state[p]
        tensors["g " + name] = (state["exp_avg"] / (1 - 0.9)).contiguous()
        tensors["D " + name] = (state["exp_hessian_diag_sq"] / (1 - 0.999)).sqrt().contiguous()
    save_file(tensors, folder / "peer.safetensors")


def main():
    folder, kind, steps, f, threads = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
    torch.set_num_threads(threads)
    model = ResNet20() if kind == "resnet" else Transformer()
    weights = load_file(folder / "weights.safetensors")
    model.load_state_dict(weights, strict=kind != "resnet")
    names = json.loads((folder / "parameters.json").read_text())
    if [name for name, _ in model.named_parameters()] != names:
        sys.exit(f"parameters differ: {set(names) ^ {n for n, _ in model.named_parameters()}}")
    model.train()
    inputs = torch.from_numpy(numpy.load(folder / "inputs.npy"))
    targets = torch.from_numpy(numpy.load(folder / "targets.npy"))
    parameters = list(model.parameters())
    sizes = [p.numel() for p in parameters]
    signs = iter([
        piece.view_as(p)
        for row in numpy.load(folder / "probes.npy")[:: f]
        for piece, p in zip(torch.from_numpy(row).float().split(sizes), parameters)
    ])
    torch.randint_like = lambda *_, **__: (next(signs) + 1) / 2
    loss = torch.nn.CrossEntropyLoss()
    optimizer = AdaHessian(parameters, lr=0.05, eps=1e-4, update_period=f)
    loss(model(inputs[:2]), targets[:2]).backward()  # loads what loads on first use
    optimizer.zero_grad()
    model.load_state_dict(weights, strict=kind != "resnet")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    started = status("VmRSS:")
    seconds = []
    for t in range(steps):
        begin = time.perf_counter()
        optimizer.zero_grad()
        # Its documentation asks for the graph; between Hessians a careful user does without.
        loss(model(inputs), targets).backward(create_graph=t % f == 0)
        optimizer.step()
        seconds.append(time.perf_counter() - begin)
        if t == 0:
            write_first_step(folder, model, optimizer)
    print(json.dumps({"seconds": seconds, "peak_kb": status("VmHWM:") - started}), flush=True)


if __name__ == "__main__":
    main()
