#!/bin/bash
# Makes the virtual environment of the peers, build/peers (about 6 GB, most of it torch's CUDA libraries), or another:
# setup.sh REQUIREMENTS NAME makes build/NAME. A second run does nothing unless the requirements have changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
requirements=$here/${1:-requirements.txt}
venv=$here/../../build/${2:-peers}
stamp=$venv/requirements.stamp
if cmp -s "$requirements" "$stamp"; then exit 0; fi
mkdir -p "$(dirname "$venv")"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
cp "$requirements" "$stamp"
