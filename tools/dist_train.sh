#!/usr/bin/env bash
# tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Trains with GPUS processes: one GPU each under NCCL, or on the CPU under gloo where there is no GPU.
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT as in every MM toolbox.
set -euo pipefail
[ "${1:-}" != --help ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
[ $# -ge 2 ] || { bash "$0" --help >&2; exit 2; }
. "$(dirname "$0")/launch.sh"
launch train.py "$2" "$1" "${@:3}"
