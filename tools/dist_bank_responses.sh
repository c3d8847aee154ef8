#!/usr/bin/env bash
# tools/dist_bank_responses.sh CONFIG GPUS [arguments of tools/bank_responses.py]
# Banks the teacher's responses with as many processes as the training will have.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
. "$(dirname "$0")/launch.sh"
launch bank_responses.py "$2" "$1" "${@:3}"
