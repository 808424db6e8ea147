#!/usr/bin/env bash
# A machine of Hugging Face Jobs. The model goes to the Hub when the run is complete, because the disk of a job does not
# stay: a job that is cut short begins anew, so give it a --timeout that is long enough.
#
#   recipes/scale/hf-jobs.sh you/your-model --from google/paligemma-3b-pt-224 --config recipes/paligemma-vqa.yaml \
#       --data questions.jsonl
#
# It installs Ojito from OJITO (a path or an address that pip takes), and runs on FLAVOR (`hf jobs hardware` lists them).
set -euo pipefail
repo=$1
shift
: "${OJITO:?set OJITO to what pip is to install, for example git+https://your.host/ojito}"
words=$(printf ' %q' "$@")
exec hf jobs run --flavor "${FLAVOR:-a100-large}" --timeout "${TIMEOUT:-8h}" --secrets HF_TOKEN \
    pytorch/pytorch:2.9.1-cuda12.8-cudnn9-devel bash -c "
        pip install '$OJITO' huggingface_hub
        torchrun --standalone --nproc-per-node gpu -m ojito train --resume auto --out model $words
        hf upload '$repo' model"
