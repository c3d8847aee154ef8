#!/usr/bin/env bash
# tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
# Evaluates with GPUS processes, as tools/dist_train.sh trains.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
. "$(dirname "$0")/launch.sh"
launch test.py "$3" "$1" "$2" "${@:4}"
