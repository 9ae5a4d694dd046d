"""One peer, one task, in a process of its own: ptd_ssm_worker.py FOLDER PEER TASK REPEATS THREADS.

PEER: torch (the complex Vandermonde product that S4D's public code falls back on, and torch's FFT), s5 (s5-pytorch's
associative scan), jax (its compiled sequential loop) or jax-associative. Prints seconds of each repeat after a first and the peak of
memory above the inputs; leaves the answer in FOLDER/PEER_TASK.safetensors.
"""

import json
import sys
import time

import numpy as np
from safetensors.numpy import load_file, save_file

folder, peer, task, repeats, threads = sys.argv[1:4] + [sys.argv[4], sys.argv[5]]
repeats, threads = int(repeats), int(threads)
inputs = load_file(f"{folder}/inputs.safetensors")


def number(name):
    return (inputs[f"{name}_re"] + 1j * inputs[f"{name}_im"]).astype(np.complex64)


def kilobytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))


def planar(x):
    return np.concatenate([x.real, x.imag], -1)


def with_torch():
    import torch

    torch.set_num_threads(threads)
    leaf = lambda x: torch.from_numpy(np.array(x)).requires_grad_(True)
    log_a, c, u, D = leaf(number("log_a")), leaf(number("c")), leaf(inputs["u"]), leaf(inputs["D"])
    g = torch.from_numpy(np.array(inputs["g"]))

    def kernel(L):
        powers = torch.exp(log_a[:, :, None] * torch.arange(L, dtype=torch.float32))
        return (c[:, :, None] * powers).sum(1).real

    def convolve(K):
        L = u.shape[2]
        y = torch.fft.irfft(torch.fft.rfft(u, n=2 * L) * torch.fft.rfft(K, n=2 * L), n=2 * L)[..., :L]
        return y + u * D[:, None]

    def gradients(y, leaves, with_):
        answer = {"y": y.detach().numpy()}
        for (name, _), d in zip(leaves.items(), torch.autograd.grad(y, list(leaves.values()), with_)):
            d = d.numpy()
            if np.iscomplexobj(d):
                answer[f"d{name}_re"], answer[f"d{name}_im"] = d.real.copy(), d.imag.copy()
            else:
                answer[f"d{name}"] = d
        return answer

    if peer == "torch":
        if task == "kernel":
            return lambda: gradients(kernel(g.shape[2]), {"log_a": log_a, "c": c}, g[0])
        return lambda: gradients(convolve(kernel(u.shape[2])), {"log_a": log_a, "c": c, "u": u, "D": D}, g)

    from s5.jax_compat import associative_scan
    from s5.s5_model import apply_ssm, binary_operator

    if task == "scan":
        a = torch.from_numpy(number("a"))
        v = inputs["v"][0]
        P = a.shape[0]
        v = torch.from_numpy((v[:, :P] + 1j * v[:, P:]).astype(np.complex64))
        tiled = a.tile(v.shape[0], 1)
        return lambda: {"y": planar(associative_scan(binary_operator, (tiled, v))[1].numpy())[None]}
    a, Bbar, C = leaf(number("a")), leaf(number("Bbar")), leaf(number("C"))
    signal, direct = leaf(inputs["signal"]), leaf(inputs["direct"])
    given = torch.from_numpy(np.array(inputs["signal_g"]))
    return lambda: gradients(
        apply_ssm(a, Bbar, C, direct, signal[0])[0][None], {"a": a, "Bbar": Bbar, "C": C, "u": signal, "D": direct}, given
    )


def with_jax():
    import jax
    import jax.numpy as jnp

    P = inputs["a_re"].shape[0]
    v = inputs["v"][0]
    a, v = jnp.asarray(number("a")), jnp.asarray((v[:, :P] + 1j * v[:, P:]).astype(np.complex64))
    if peer == "jax":

        @jax.jit
        def scan(a, v):
            def step(x, v_l):
                x = a * x + v_l
                return x, x

            return jax.lax.scan(step, jnp.zeros_like(a), v)[1]
    else:

        @jax.jit
        def scan(a, v):
            operator = lambda p, q: (q[0] * p[0], q[0] * p[1] + q[1])
            return jax.lax.associative_scan(operator, (jnp.broadcast_to(a, v.shape), v))[1]

    def once():
        return scan(a, v).block_until_ready()

    once.finish = lambda x: {"y": planar(np.asarray(x))[None]}
    return once


once = with_jax() if peer.startswith("jax") else with_torch()
before = kilobytes("VmRSS:")
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")
answer = once()
peak = kilobytes("VmHWM:") - before
seconds = []
for _ in range(repeats):
    start = time.perf_counter()
    answer = once()
    seconds.append(time.perf_counter() - start)
if hasattr(once, "finish"):
    answer = once.finish(answer)
save_file({name: np.ascontiguousarray(x) for name, x in answer.items()}, f"{folder}/{peer}_{task}.safetensors")
print(json.dumps({"seconds": seconds, "peak_kb": peak}))
