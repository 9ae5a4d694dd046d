#!/bin/bash
# ritz beside its peers, all in one: their environment, the programs, an exchange of files with numpy, safetensors, h5py
# and scipy, then the comparison. Arguments go to batch_scaling_peers.py (--quick, --json FILE, ...).
set -euo pipefail
cd "$(dirname "$0")/../.."
bench/peers/setup.sh
[ -f build/release/build.ninja ] || cmake --preset release
cmake --build build/release --target curvature_peer_bench test_io_python_interop
RITZ_PYTHON=$PWD/build/peers/bin/python build/release/tests/test_io_python_interop
build/peers/bin/python bench/peers/batch_scaling_peers.py "$@"
