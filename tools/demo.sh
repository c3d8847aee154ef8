#!/usr/bin/env bash
# Set up .venv, then run the main job in small: see tools/demo.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
exec .venv/bin/python -W ignore tools/demo.py
