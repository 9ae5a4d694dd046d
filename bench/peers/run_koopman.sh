#!/bin/bash
# Koopman spectra beside PyDMD and SciPy, in an environment of its own: build/peers-koopman. Arguments go to
# koopman_peers.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
bench/peers/setup.sh koopman_requirements.txt peers-koopman
[ -f build/release/build.ninja ] || cmake --preset release
cmake --build build/release --target ritz_program
build/peers-koopman/bin/python bench/peers/koopman_peers.py "$@"
