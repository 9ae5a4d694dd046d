#!/bin/bash
# Makes the virtual environment of the peers, build/peers (about 6 GB, most of it torch's CUDA libraries). A second run
# does nothing unless requirements.txt has changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../build/peers
stamp=$venv/requirements.stamp
if cmp -s "$here/requirements.txt" "$stamp"; then exit 0; fi
mkdir -p "$(dirname "$venv")"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
cp "$here/requirements.txt" "$stamp"
