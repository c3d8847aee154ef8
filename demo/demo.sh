#!/usr/bin/env bash
# Set up .venv, then run the main job in small: see demo/demo.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
exec .venv/bin/python -W ignore demo/demo.py
