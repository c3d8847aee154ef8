# Sourced by the tools/dist_*.sh: start one process a GPU, or a share of the CPU.
launch() {
    local tools script=$1 processes=$2
    shift 2
    tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    # Processes on one machine share its cores instead of fighting for them.
    if [ -z "${OMP_NUM_THREADS:-}" ]; then
        local share=$(($(nproc) / processes))
        export OMP_NUM_THREADS=$((share > 0 ? share : 1))
    fi
    # In the place of this shell, so that signals reach the processes.
    PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" \
        exec "${PYTHON:-python}" -m torch.distributed.run \
        --nnodes="${NNODES:-1}" \
        --node-rank="${NODE_RANK:-0}" \
        --master-addr="${MASTER_ADDR:-127.0.0.1}" \
        --master-port="${PORT:-29500}" \
        --nproc-per-node="$processes" \
        "$tools/$script" "$@" --launcher pytorch
}
