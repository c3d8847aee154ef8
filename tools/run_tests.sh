#!/usr/bin/env bash
# Set up .venv, then lint and run the tests; arguments go to pytest. WORKERS (2) files run at a time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
exec .venv/bin/python -m pytest -n "${WORKERS:-2}" --dist loadfile --max-worker-restart=0 "$@"
