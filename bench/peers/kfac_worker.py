"""The peer's side of kfac_peers.py: asdfghjkl's K-FAC on the network that kfac_peer_bench made.

    kfac_worker.py FOLDER F STEPS THREADS

Prints one line of JSON (seconds of each step) and leaves the first step's preconditioned gradients in
FOLDER/peer.safetensors.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
from asdl import symmatrix  # noqa: E402
from asdl.precondition import KfacGradientMaker, PreconditioningConfig  # noqa: E402

DAMPING = 1e-2


def update_inv(self, damping, calc_A_inv=True, calc_B_inv=True, eps=1e-7, replace=False):
    """asdfghjkl splits the damping by the factors' traces; ritz and kfac-pytorch add it to both. Same work."""
    self.A_inv = symmatrix.cholesky_inv(self.A, damping)
    self.B_inv = symmatrix.cholesky_inv(self.B, damping)


def main():
    folder, f, steps, threads = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    torch.set_num_threads(threads)
    symmatrix.Kron.update_inv = update_inv
    weights, batch = load_file(folder / "weights.safetensors"), load_file(folder / "batch.safetensors")
    layers = []
    for weight in weights.values():
        layers += [torch.nn.Linear(*weight.shape[::-1], bias=False), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    model.load_state_dict(weights)
    x, y = batch["inputs"], batch["targets"]
    config = PreconditioningConfig(data_size=len(x), damping=DAMPING, ema_decay=1.0,
                                   preconditioner_upd_interval=f, curvature_upd_interval=f)
    maker = KfacGradientMaker(model, config, fisher_type="fisher_emp")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    torch.nn.functional.cross_entropy(model(x), y).backward()
    seconds = []
    for step in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        dummy = maker.setup_model_call(model, x)
        maker.setup_loss_call(torch.nn.functional.cross_entropy, dummy, y, reduction="sum")
        maker.forward_and_backward()
        if step % f:  # where the curvature is left alone the peer leaves the sum of the losses
            for parameter in model.parameters():
                parameter.grad.div_(len(x))
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        if step == 0:
            save_file({name: p.grad.contiguous() for name, p in model.named_parameters()}, folder / "peer.safetensors")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
