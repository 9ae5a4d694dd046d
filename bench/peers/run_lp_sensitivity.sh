#!/bin/bash
# l_1 sensitivities beside HiGHS, in an environment of its own: build/peers-lp. Arguments go to
# lp_sensitivity_peers.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
venv=build/peers-lp
if ! cmp -s "$here/lp_sensitivity_requirements.txt" "$venv/requirements.stamp"; then
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/lp_sensitivity_requirements.txt"
  cp "$here/lp_sensitivity_requirements.txt" "$venv/requirements.stamp"
fi
[ -f build/release/build.ninja ] || cmake --preset release
cmake --build build/release --target ritz_program
"$venv/bin/python" bench/peers/lp_sensitivity_peers.py "$@"
