#!/usr/bin/env bash
# Set up .venv, lint, and run the quick tests. --all as the first argument: the types and all tests,
# with those of the laboratory. Further arguments go to pytest. WORKERS (2) files run at a time.
set -euo pipefail
[ "${1:-}" != --help ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
chosen=(tests -m 'not slow') extras=test
if [ "${1:-}" = --all ]; then
    shift
    chosen=(tests .dev_scripts/tests) extras=dev
fi
EXTRAS=$extras bash tools/setup_env.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/lint-imports --no-logo
[ "$extras" != dev ] || .venv/bin/mypy
exec .venv/bin/python -m pytest "${chosen[@]}" -n "${WORKERS:-2}" --dist loadfile --max-worker-restart=0 "$@"
