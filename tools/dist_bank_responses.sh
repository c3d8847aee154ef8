#!/usr/bin/env bash
# tools/dist_bank_responses.sh CONFIG GPUS [arguments of tools/bank_responses.py]
# Banks the teacher's responses with as many processes as the training will have.
set -euo pipefail
[ "${1:-}" != --help ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
[ $# -ge 2 ] || { bash "$0" --help >&2; exit 2; }
. "$(dirname "$0")/launch.sh"
launch bank_responses.py "$2" "$1" "${@:3}"
