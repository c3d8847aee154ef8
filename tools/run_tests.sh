#!/usr/bin/env bash
# Set up .venv, lint, and run the quick tests. Further arguments go to pytest. WORKERS (2) files run at
# a time. The first argument may be
#   --all          the types and all tests, with those of the laboratory
#   --stack onedl  the quick tests with OneDL's packages, segmentation's among them, in .venv-onedl; what
#                  .venv has as well is linked from it
set -euo pipefail
[ "${1:-}" != --help ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
chosen=(tests -m 'not slow') extras=test
if [ "${1:-}" = --all ]; then
    shift
    chosen=(tests .dev_scripts/tests) extras=dev
fi
run() { # in an environment
    exec "$1/bin/python" -m pytest "${chosen[@]}" -n "${WORKERS:-2}" --dist loadfile --max-worker-restart=0 "${@:2}"
}
if [ "${1:-} ${2:-}" = '--stack onedl' ]; then
    STACK=onedl BESIDE=.venv EXTRAS=$extras,onedl-segmentation bash tools/setup_env.sh
    run .venv-onedl "${@:3}"
fi
EXTRAS=$extras bash tools/setup_env.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/lint-imports --no-logo
[ "$extras" != dev ] || .venv/bin/mypy
run .venv "$@"
