#!/usr/bin/env bash
# All GPUs of one machine. A process that fails is started again, with the others, and goes on from the last checkpoint.
#
#   recipes/scale/torchrun.sh --from runs/new --config recipes/stages.yaml --data captions.jsonl --out runs/staged
set -euo pipefail
gpus=${GPUS:-$(python -c 'import torch; print(max(1, torch.cuda.device_count()))')}
exec torchrun --standalone --nproc-per-node "$gpus" --max-restarts "${RESTARTS:-3}" \
    -m ojito train --resume auto --save-every "${SAVE_EVERY:-200}" "$@"
