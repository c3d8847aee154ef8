#!/usr/bin/env bash
# tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
# One process a GPU under Slurm: GPUS in all (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS.
set -euo pipefail
[ "${1:-}" != --help ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
[ $# -ge 3 ] || { bash "$0" --help >&2; exit 2; }
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
node=$((GPUS < GPUS_PER_NODE ? GPUS : GPUS_PER_NODE))
tools=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2086
PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" exec srun \
    -p "$1" \
    --job-name="$2" \
    --gres=gpu:"$node" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$tools/train.py" "$3" --launcher slurm "${@:4}"
