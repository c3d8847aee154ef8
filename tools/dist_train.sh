#!/usr/bin/env bash
# tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Trains with GPUS processes: one GPU each under NCCL, or on the CPU under gloo where there is no GPU.
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT as in every MM toolbox.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
. "$(dirname "$0")/launch.sh"
launch train.py "$2" "$1" "${@:3}"
