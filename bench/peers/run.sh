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

# top-vector beside scikit-learn and numpy: 2.5 GB in the temporary folder, two minutes.
bench/peers/setup.sh stream_eigenvector_requirements.txt peers-rows
cmake --build build/release --target ritz_program
build/peers-rows/bin/python bench/peers/stream_eigenvector_peers.py
