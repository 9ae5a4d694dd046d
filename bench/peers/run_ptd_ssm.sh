#!/bin/bash
# State-space layers beside torch's naive products, s5-pytorch and jax: the peers' environment (build/peers), beside it
# build/peers-sequence (350 MB), the program, then the comparison. Arguments go to ptd_ssm_peers.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
bench/peers/setup.sh
wanted=bench/peers/ptd_ssm_requirements.txt place=build/peers-sequence
if ! cmp -s "$wanted" "$place/requirements.stamp"; then
  rm -rf "$place"
  build/peers/bin/pip install --quiet --disable-pip-version-check --no-deps --target "$place" -r "$wanted"
  cp "$wanted" "$place/requirements.stamp"
fi
[ -f build/release/build.ninja ] || cmake --preset release
cmake --build build/release --target sequence_peer_bench
PYTHONPATH=$place build/peers/bin/python bench/peers/ptd_ssm_peers.py "$@"
