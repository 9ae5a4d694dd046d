"""Writes files for ritz to read (`write FOLDER`), or checks those that ritz wrote (`check FOLDER`).

Every array is numpy.arange(n) in its dtype and shape, but booleans alternate and complex numbers are
k - i k. Modules that are not there are left out; the formats that were handled are printed.
"""
import os
import sys
import zipfile

import numpy as np

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
          "float16", "float32", "float64", "complex64", "complex128"]
SHAPES = {"m": (3, 5), "t": (2, 3, 4), "v": (7,), "s": ()}


def make(dtype, shape):
    k = np.arange(int(np.prod(shape))).reshape(shape)
    if dtype == "bool":
        return (k % 2).astype(bool)
    return (k - 1j * k).astype(dtype) if dtype.startswith("complex") else k.astype(dtype)


def arrays(without=(), shapes=SHAPES):
    return {f"{d}_{s}": np.asarray(make(d, shape)) for d in DTYPES if d not in without for s, shape in shapes.items()}


def modules():
    found = {}
    for name in ("h5py", "scipy.io", "scipy.sparse", "safetensors.numpy"):
        try:
            found[name] = __import__(name, fromlist=["x"])
        except ImportError:
            pass
    return found


MAT = dict(without=("float16",), shapes={"m": (3, 5), "t": (2, 3, 4)})
SAFE = dict(without=("complex64", "complex128"))


class Stream:
    """Takes bytes but cannot go back, like a pipe: zip archives then have data descriptors."""

    def __init__(self, file):
        self.write, self.flush = file.write, file.flush
        self.read = None  # by its name numpy knows a file


def write_zips(path):
    for name, save in (("stream.npz", np.savez), ("stream_deflated.npz", np.savez_compressed)):
        with open(path(name), "wb") as file:
            save(Stream(file), **arrays())
    # As if the archive were beyond 4 GiB: every size and place is in a 64-bit field.
    limits = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP64_LIMIT = zipfile.ZIP_FILECOUNT_LIMIT = 0
    np.savez(path("zip64.npz"), **arrays())
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limits


MATLAB = {"float64": "double", "float32": "single", "complex128": "double", "complex64": "single",
          "bool": "logical"}


def write_mat73(h5py, path):
    """A MAT-file of version 7.3: HDF5 behind MATLAB's header, each array with its indices reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for i, (key, value) in enumerate(arrays(**MAT).items()):
            dtype, turned = str(value.dtype), value.T
            if dtype == "bool":
                turned = turned.astype("uint8")
            if value.dtype.kind == "c":
                parts = np.empty(turned.shape, [("real", turned.real.dtype), ("imag", turned.real.dtype)])
                parts["real"], parts["imag"] = turned.real, turned.imag
                turned = parts
            data = file.create_dataset(key, data=turned, **({"compression": "gzip"} if i % 2 else {}))
            # A C string without room for its zero, as MATLAB has it; libmatio cuts h5py's padded ones short.
            name = np.bytes_(MATLAB.get(dtype, dtype))
            kind = h5py.h5t.C_S1.copy()
            kind.set_size(len(name))
            scalar = h5py.h5s.create(h5py.h5s.SCALAR)
            h5py.h5a.create(data.id, b"MATLAB_class", kind, scalar).write(np.array(name), mtype=kind)
            if dtype == "bool":
                data.attrs["MATLAB_int_decode"] = np.int32(1)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def write(folder):
    path = lambda name: os.path.join(folder, name)
    np.savez(path("stored.npz"), **arrays())
    np.savez_compressed(path("deflated.npz"), **arrays())
    np.savez(path("fortran.npz"), **{k: np.asfortranarray(v) for k, v in arrays().items()})
    np.savez(path("big.npz"), **{k: v.astype(v.dtype.newbyteorder(">")) for k, v in arrays().items()})
    np.save(path("objects.npy"), np.array([{}], dtype=object), allow_pickle=True)
    np.save(path("structured.npy"), np.zeros(3, dtype=[("a", "f4"), ("b", "i4")]))
    write_zips(path)
    done = ["npz"]
    found = modules()
    if "h5py" in found:
        write_mat73(found["h5py"], path("v73.mat"))
        for name, extra in (("plain.h5", {}), ("packed.h5", {"compression": "gzip", "chunks": True})):
            with found["h5py"].File(path(name), "w") as file:
                for key, value in arrays().items():
                    file.create_dataset(key, data=value, **(extra if value.shape else {}))
        done.append("h5")
    if "scipy.io" in found:
        found["scipy.io"].savemat(path("plain.mat"), arrays(**MAT))
        found["scipy.io"].savemat(path("packed.mat"), arrays(**MAT), do_compression=True)
        done.append("mat")
    if "scipy.sparse" in found:
        matrix = found["scipy.sparse"].csr_matrix(np.array([[0, 1.5, 0], [0, 0, 0], [2, 0, -3]]))
        found["scipy.sparse"].save_npz(path("csr.npz"), matrix)
        done.append("csr")
    if "safetensors.numpy" in found:
        found["safetensors.numpy"].save_file(arrays(**SAFE), path("plain.safetensors"), {"k": "v"})
        done.append("safetensors")
    print(" ".join(done))


def same(got, want, where):
    assert got.shape == want.shape and got.dtype == want.dtype, (where, got.shape, got.dtype, want.dtype)
    assert (got == want).all(), where


def check(folder):
    path = lambda name: os.path.join(folder, name)
    found = modules()
    done = ["npz"]
    for name in ("ritz.npz", "ritz_deflated.npz"):
        with np.load(path(name)) as file:
            for key, value in arrays().items():
                same(file[key], value, (name, key))
    same(np.load(path("ritz.npy")), make("float32", (3, 5)), "npy")
    if "h5py" in found:
        for name in ("ritz.h5", "ritz_packed.h5"):
            with found["h5py"].File(path(name)) as file:
                for key, value in arrays().items():
                    same(file[key][()], value, (name, key))
        done.append("h5")
    if "scipy.io" in found:
        for name in ("ritz.mat", "ritz_packed.mat"):
            file = found["scipy.io"].loadmat(path(name))
            for key, value in arrays(**MAT).items():
                got = file[key].astype(bool) if value.dtype == bool else file[key]
                same(got, value, (name, key))
        done.append("mat")
    if "safetensors.numpy" in found:
        file = found["safetensors.numpy"].load_file(path("ritz.safetensors"))
        for key, value in arrays(**SAFE).items():
            same(file[key], value, key)
        done.append("safetensors")
    print(" ".join(done))


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](sys.argv[2])
