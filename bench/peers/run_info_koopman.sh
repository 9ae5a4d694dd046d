#!/bin/bash
# ritz koopman train beside pykoopman's neural DMD, in an environment of its own: build/peers-info-koopman. Arguments go to
# info_koopman_peers.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
bench/peers/setup.sh info_koopman_requirements.txt peers-info-koopman
[ -f build/release/build.ninja ] || cmake --preset release
cmake --build build/release --target ritz_program
build/peers-info-koopman/bin/python bench/peers/info_koopman_peers.py "$@"
