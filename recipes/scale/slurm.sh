#!/usr/bin/env bash
# Machines of a Slurm cluster. Slurm sends SIGTERM before the time is over: the run saves itself, and the job is queued
# again until it ends with exit code 0. --out has to be on a disk that all of them see.
#
#   sbatch recipes/scale/slurm.sh --from runs/new --config recipes/stages.yaml --data captions.jsonl --out runs/staged
#SBATCH --job-name=ojito
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@300
#SBATCH --open-mode=append
set -uo pipefail
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --kill-on-bad-exit=1 torchrun \
    --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-8}" --max-restarts 3 \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$head:29500" \
    -m ojito train --resume auto --save-every "${SAVE_EVERY:-200}" "$@"
code=$?
if [ "$code" -ne 0 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${RESTARTS:-20}" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
