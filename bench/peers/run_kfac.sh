#!/bin/bash
# ritz's K-FAC and MKOR beside asdfghjkl's K-FAC. Arguments go to kfac_peers.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
bench/peers/setup.sh
[ -f build/release/build.ninja ] || cmake --preset release
cmake --build build/release --target kfac_peer_bench
build/peers/bin/python bench/peers/kfac_peers.py "$@"
