#!/usr/bin/env bash
# tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
# Evaluates with GPUS processes, as tools/dist_train.sh trains.
set -euo pipefail
[ "${1:-}" != --help ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
[ $# -ge 3 ] || { bash "$0" --help >&2; exit 2; }
. "$(dirname "$0")/launch.sh"
launch test.py "$3" "$1" "$2" "${@:4}"
