"""PaliGemma's shape in Ojito and in transformers, random weights: read, train a step, answer with twenty tokens.

python -m benchmarks.beside_transformers                              # a small shape, float32
python -m benchmarks.beside_transformers --device cuda --size 3b      # the published one, bfloat16
"""

from __future__ import annotations

import argparse

import torch
import transformers

from benchmarks.measure import in_turns, write
from ojito.config import ModelConfig
from ojito.generate import GenerateOptions, generate
from ojito.model import VLM
from ojito.presets import preset
from ojito.records import IGNORE, IMAGE, SHARED, Batch
from ojito.trainer.loss import count_labels, token_loss

SMALL = [
    "model.vision.image_size=112", "model.vision.width=256", "model.vision.layers=6", "model.vision.heads=4",
    "model.vision.mlp_dim=1024", "model.decoder.vocab_size=8192", "model.decoder.width=512", "model.decoder.layers=8",
    "model.decoder.heads=8", "model.decoder.head_dim=64", "model.decoder.mlp_dim=2048",
]  # fmt: skip
PROMPT, ANSWER, ROWS = 8, 20, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", choices=("small", "3b"), default="small")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    device = torch.device(args.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = preset("paligemma-3b-224", SMALL if args.size == "small" else []).model
    torch.manual_seed(0)
    with torch.device(device):
        ours, theirs = VLM(config).to(dtype).eval(), reference(config).to(dtype).eval()
    parameters = {
        name: sum(p.numel() for p in model.parameters()) for name, model in (("ojito", ours), ("transformers", theirs))
    }

    batch = rows(config, device, dtype)
    asked = rows(config, device, dtype, answer=0)
    image_id = config.decoder.vocab_size - 1
    inputs = {"input_ids": batch.tokens.masked_fill(batch.tokens == IMAGE, image_id), "pixel_values": batch.images}
    inputs |= {"token_type_ids": (~batch.prefix).long(), "labels": batch.tokens.masked_fill(batch.prefix, IGNORE)}
    question = {"input_ids": asked.tokens.masked_fill(asked.tokens == IMAGE, image_id), "pixel_values": asked.images}

    def read_ours() -> None:
        with torch.inference_mode():
            ours(batch)

    def read_theirs() -> None:
        with torch.inference_mode():
            theirs(**{name: value for name, value in inputs.items() if name != "labels"})

    def learn_ours() -> None:
        ours.zero_grad()
        (token_loss(ours, batch) / count_labels(batch)).backward()

    def learn_theirs() -> None:
        theirs.zero_grad()
        theirs(**inputs).loss.backward()

    def answer_ours() -> None:
        generate(ours, asked, GenerateOptions(max_new_tokens=ANSWER), eos=-1)

    def answer_theirs() -> None:
        with torch.inference_mode():
            theirs.generate(**question, max_new_tokens=ANSWER, min_new_tokens=ANSWER, do_sample=False, use_cache=True)

    jobs = {
        "read": {"ojito": read_ours, "transformers": read_theirs},
        "train": {"ojito": learn_ours, "transformers": learn_theirs},
        "answer": {"ojito": answer_ours, "transformers": answer_theirs},
    }
    times = {}
    for job, pair in jobs.items():
        times[job] = in_turns(pair, args.rounds, device)
        ratio = times[job]["transformers"] / times[job]["ojito"]
        print(f"{job:7}" + "".join(f"  {name} {ms:9.1f} ms" for name, ms in times[job].items()) + f"  x{ratio:.2f}")
    result = {"size": args.size, "dtype": str(dtype), "parameters": parameters}
    name = f"beside_transformers-{args.size}"
    print(write(name, device, {**result, "rows": ROWS, "milliseconds": times, "peer": transformers.__version__}))


def rows(config: ModelConfig, device: torch.device, dtype: torch.dtype, answer: int = ANSWER) -> Batch:
    """An image, a prompt and an answer a row."""
    places = config.image_tokens
    length = places + PROMPT + answer
    tokens = torch.randint(1, config.decoder.vocab_size - 1, (ROWS, length), device=device)
    tokens[:, :places] = IMAGE
    prefix = torch.zeros(ROWS, length, dtype=torch.bool, device=device)
    prefix[:, : places + PROMPT] = True
    targets = tokens.roll(-1, 1)
    targets[:, : places + PROMPT - 1] = targets[:, -1:] = IGNORE
    size = config.vision.image_size
    return Batch(
        tokens=tokens,
        positions=torch.arange(length, device=device).expand(ROWS, -1),
        segments=torch.full_like(tokens, SHARED),
        prefix=prefix,
        targets=targets,
        images=torch.randn(ROWS, 3, size, size, device=device, dtype=dtype),
    )


def reference(config: ModelConfig) -> transformers.PreTrainedModel:
    """The same shape, made by transformers."""
    return transformers.PaliGemmaForConditionalGeneration(paligemma_config(config))


def paligemma_config(config: ModelConfig) -> transformers.PaliGemmaConfig:
    """transformers' config of the same shape."""
    vision, decoder = config.vision, config.decoder
    return transformers.PaliGemmaConfig(
        vision_config={
            "model_type": "siglip_vision_model", "hidden_size": vision.width, "intermediate_size": vision.mlp_dim,
            "num_hidden_layers": vision.layers, "num_attention_heads": vision.heads, "image_size": vision.image_size,
            "patch_size": vision.patch_size, "vision_use_head": False, "projection_dim": decoder.width,
        },
        text_config={
            "model_type": "gemma", "vocab_size": decoder.vocab_size, "hidden_size": decoder.width,
            "num_hidden_layers": decoder.layers, "num_attention_heads": decoder.heads,
            "num_key_value_heads": decoder.kv_heads, "head_dim": decoder.head_dim,
            "intermediate_size": decoder.mlp_dim, "hidden_activation": "gelu_pytorch_tanh",
        },
        image_token_id=decoder.vocab_size - 1,
        projection_dim=decoder.width,
        pad_token_id=0,
    )  # fmt: skip


if __name__ == "__main__":
    main()
