#!/usr/bin/env bash
# Set up .venv-transfer, with mmcv's ops, MMDetection and MMSegmentation, and run the tests of
# detection and segmentation; arguments go to pytest. WORKERS (2) files run at a time. The first time
# mmcv is built: see install_mmcv.sh. What .venv has as well is linked from it.
set -euo pipefail
[ "${1:-}" != --help ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
BESIDE=.venv VENV=.venv-transfer EXTRAS=test,transfer bash tools/setup_env.sh
PYTHON=$PWD/.venv-transfer/bin/python bash tools/install_mmcv.sh
exec .venv-transfer/bin/python -m pytest tests/transfer -n "${WORKERS:-2}" --dist loadfile --max-worker-restart=0 "$@"
