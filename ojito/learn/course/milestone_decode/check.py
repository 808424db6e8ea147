"""How the milestone of lessons 8 and 9 is checked."""

import time

import torch

from ojito.config import DecoderConfig
from ojito.learn import Case, Exercise, Milestone, Question
from ojito.model.decoder import Decoder
from ojito.model.initialize import initialize
from ojito.model.masks import mask_to_bias

QUESTION = Question(
    'A Gemma with the library\'s random weights, not trained at all, reads "A small eye". Which letter does it give the '
    "most probability after each letter?",
    {
        "a": "none in particular: V letters, about 1/V each, and the largest by chance",
        "b": "the letter that it has just read, nearly everywhere",
        "c": "the same letter everywhere, because without training it cannot look at its input",
    },
    "b",
    "The stream still carries the embedding that came in, the blocks have only added to it, and the head compares it "
    "with the same table: it looks most like itself. In a wider Gemma it is surer still: of random rows, the product with "
    "itself grows with D, that with another only with sqrt(D). Training has to unlearn it, since the next letter is "
    "rarely the same.",
)
EPS = 1e-6
NAMES = {
    **{name: f"attention.{name}" for name in ("q", "k", "v", "out")},
    **{name: f"mlp.{name}" for name in ("gate", "up", "down")},
    "norm1": "attention_norm",
    "norm2": "mlp_norm",
}


def plain_weights(decoder):
    """The weights of the library's decoder, by the lesson's names."""
    weights = {"embedding": decoder.embedding.weight.detach(), "norm": decoder.norm.weight.detach()}
    for layer, block in enumerate(decoder.blocks):
        for name, path in NAMES.items():
            weights[f"layers.{layer}.{name}"] = block.get_submodule(path).weight.detach()
    return weights


def library_decoder(vocabulary, width, inner, layers, heads, kv_heads, head_size, theta=1e4, eps=EPS):
    return Decoder(
        DecoderConfig(
            vocab_size=vocabulary, width=width, layers=layers, heads=heads, kv_heads=kv_heads, head_dim=head_size,
            mlp_dim=inner, activation="gelu_tanh", norm="rms_plus_one", norm_eps=eps, rope_theta=theta,
            scale_embeddings=True,
        )
    )  # fmt: skip


def read(decoder, embeddings, mask):
    """The library's logits of embeddings."""
    mask = mask_to_bias(mask if mask.ndim == 4 else mask[None, None], embeddings.dtype)
    rope = decoder.rope(torch.arange(embeddings.shape[1])[None], 0)
    for block in decoder.blocks:
        embeddings = block(embeddings, mask, rope)
    return decoder.head(decoder.norm(embeddings))


def causal(length):
    return torch.ones(length, length).tril().bool()


def cases():
    made = torch.Generator().manual_seed(0)
    prefix = causal(5).repeat(2, 1, 1, 1)
    prefix[0, :, :, :3] = prefix[1, :, :, :2] = True  # an image and a question, read in both directions
    for name, layers, heads, kv_heads, mask, eps in (
        ("one layer", 1, 4, 2, causal(5), EPS),
        ("three layers, one head of keys and values", 3, 3, 1, causal(5), EPS),
        ("two layers, prefixes of three and two positions", 2, 4, 2, prefix, EPS),
        ("two layers, eps = 0.1", 2, 4, 2, causal(5), 0.1),
    ):
        decoder = library_decoder(17, 12, 10, layers, heads, kv_heads, 6)
        weights = {
            one: torch.randn(weight.shape, generator=made) / (weight.shape[1] ** 0.5 if weight.ndim > 1 else 4)
            for one, weight in plain_weights(decoder).items()
        }
        inputs = {
            "embeddings": torch.randn(2, 5, 12, generator=made), "weights": weights, "layers": layers, "heads": heads,
            "kv_heads": kv_heads, "head_size": 6, "theta": 100.0, "eps": eps, "mask": mask,
        }  # fmt: skip
        yield Case(name, inputs)


def reference(embeddings, weights, layers, heads, kv_heads, head_size, theta, eps, mask, parts):
    (vocabulary, width), inner = weights["embedding"].shape, len(weights["layers.0.up"])
    decoder = library_decoder(vocabulary, width, inner, layers, heads, kv_heads, head_size, theta, eps)
    for name, weight in plain_weights(decoder).items():
        weight.copy_(weights[name])
    return read(decoder, embeddings, mask).detach()


TEXT = "A small eye looks at the sea: two boats, one kite, and no cloud. What does it say? That the wind is good."
ASKED = "A small eye"


def show(parts, say):
    """Train a decoder of the library on one text, letter by letter, and let the learner's write it."""
    shape = {"layers": 2, "heads": 4, "kv_heads": 1, "head_size": 32}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = library_decoder(128, 64, 128, **shape)
        initialize(decoder)
    ids = torch.tensor([list(TEXT.encode())])

    def yours(ids):
        embeddings = decoder.embed(ids).detach()
        mask = causal(ids.shape[1])
        return parts["own"].decode(
            embeddings, plain_weights(decoder), **shape, theta=1e4, eps=EPS, mask=mask, parts=parts
        )

    def library(ids):
        return read(decoder, decoder.embed(ids), causal(ids.shape[1]))

    asked = torch.tensor([list(ASKED.encode())])
    say(f"\nwith random weights, your decoder reads     {ASKED!r}")
    say(f"and gives most probability, after each, to  {text(yours(asked).argmax(-1)[0])!r}")
    began, steps = time.perf_counter(), 120
    optimizer = torch.optim.AdamW(decoder.parameters(), 3e-3)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(library(ids)[0, :-1], ids[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    say(f"{steps} steps of training by the library on one text, learned by heart: {time.perf_counter() - began:.1f} s")
    for name, logits in (("your decoder", yours), ("the library's", library)):
        say(f"{name:<13} goes on from {ASKED!r}: {text(write(logits, asked, ids.shape[1])[0])}")
    likeliest = [text(logits(asked)[0, -1].topk(3).indices) for logits in (yours, library)]
    say(f"three likeliest letters after {ASKED!r}: yours {likeliest[0]!r}, the library's {likeliest[1]!r}")


def write(logits, ids, length):
    """The likeliest letters, one by one, up to a length."""
    with torch.no_grad():
        while ids.shape[1] < length:
            ids = torch.cat((ids, logits(ids)[:, -1:].argmax(-1)), dim=1)
    return ids


def text(ids):
    return "".join(map(chr, ids.tolist()))


MILESTONE = Milestone(needs=("08_rope", "09_gemma_block"), show=show)

EXERCISES = [
    Exercise(
        "decode",
        lambda: list(cases()),
        hints=[
            "Keys and values are made as the queries are, but with G heads. Queries and keys are then turned, values are "
            "not.",
            "gemma.grouped_attention repeats the keys itself. Join the heads as in lesson 3: exchange H and T, flatten "
            'the last two axes; then own["out"].',
            "gemma.decoder_block takes the stream, this layer's weights, your `attention` and eps. After the loop, one "
            'more rms_norm with weights["norm"], and the head is weights["embedding"].',
        ],
        reference=reference,
        tolerance=1e-4,
    )
]
