#!/usr/bin/env bash
# Set up .venv, write a folder of pictures, and distil on it; arguments go on to `mmcskd distill`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
export PYTHONWARNINGS=ignore
.venv/bin/python demo/make_digits_folder.py
exec .venv/bin/mmcskd distill data/digits --augment light --baseline "$@"
