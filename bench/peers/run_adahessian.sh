#!/bin/bash
# ritz's AdaHessian beside pytorch_optimizer's. Arguments go to adahessian_peers.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
bench/peers/setup.sh
[ -f build/release/build.ninja ] || cmake --preset release
cmake --build build/release --target adahessian_peer_bench
build/peers/bin/python bench/peers/adahessian_peers.py "$@"
