#!/bin/bash
# ritz beside DPPy and a numpy loop: their environment (build/peers-dppy, 400 MB), the programs, then the comparison.
# Arguments go to dpp_least_squares_peers.py (--quick, --json FILE).
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=build/peers-dppy
wanted=bench/peers/dpp_least_squares_requirements.txt
if ! cmp -s "$wanted" "$venv/requirements.stamp"; then
  mkdir -p build
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
  cp "$wanted" "$venv/requirements.stamp"
fi
[ -f build/release/build.ninja ] || cmake --preset release
cmake --build build/release --target dpp_least_squares_bench ritz_program
"$venv/bin/python" bench/peers/dpp_least_squares_peers.py "$@"
