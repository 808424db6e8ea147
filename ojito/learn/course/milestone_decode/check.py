"""How the milestone of lessons 8 and 9 is checked."""

import time

import torch

from ojito.config import DecoderConfig
from ojito.learn import Case, Exercise, Milestone, Mistake, Question
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
        [
            Mistake(
                "not rotated",
                "neither queries nor keys are turned to their positions: your decoder reads a bag of words",
                {"rope.rotate(q, cos, sin)": "q", "rope.rotate(k, cos, sin)": "k"},
            ),
            Mistake(
                "queries alone rotated",
                "your queries are turned to their positions, your keys are not: a score then depends on where the query "
                "stands, and not on how far away the key is",
                {"rope.rotate(k, cos, sin)": "k"},
            ),
            Mistake(
                "keys alone rotated",
                "your keys are turned to their positions, your queries are not: a score then depends on where the key "
                "stands, and not on how far away it is",
                {"rope.rotate(q, cos, sin)": "q"},
            ),
            Mistake(
                "keys and values exchanged",
                "you give grouped_attention the values before the keys: it takes q, k, v",
                {"grouped_attention(q, k, v, mask)": "grouped_attention(q, v, k, mask)"},
            ),
            Mistake(
                "mask without effect",
                "your attention does not use the mask: positions read what comes after them",
                {"q, k, v, mask)": "q, k, v, torch.ones_like(mask))"},
            ),
            Mistake(
                "always causal",
                "your attention is always causal; take the mask that you were given, which lets an image and a question be "
                "read in both directions",
                {"q, k, v, mask)": "q, k, v, torch.ones_like(mask).tril())"},
            ),
            Mistake(
                "no out",
                'own["out"] is missing: the joined heads have H K numbers, the stream has D, and `out` (D, H K) brings them '
                "back",
                {'linear(gathered.transpose(1, 2).flatten(2), own["out"])': "gathered.transpose(1, 2).flatten(2)"},
            ),
            Mistake(
                "no block",
                "you add attention to the stream and nothing else, without norms and MLP: gemma.decoder_block does all three",
                {"gemma.decoder_block(hidden, own, attention, eps)": "hidden + attention(hidden)"},
            ),
            Mistake(
                "eps of the blocks",
                "your blocks do not get the `eps` that you were given, but a number of yours",
                {"own, attention, eps)": "own, attention, 1e-6)"},
            ),
            Mistake(
                "eps of the last norm",
                "your last norm does not get the `eps` that you were given, but a number of yours",
                {'weights["norm"], eps)': 'weights["norm"], 1e-6)'},
            ),
            Mistake(
                "values rotated",
                "your values are turned, too; positions belong into the scores, so only queries and keys are turned",
                {"q, k, v, mask)": "q, k, rope.rotate(v, cos, sin), mask)"},
            ),
            Mistake(
                "keys are rotated queries",
                "your keys are the queries, turned: rotate k",
                {"rope.rotate(k, cos": "rope.rotate(q, cos"},
            ),
            Mistake(
                "no last norm",
                'the last norm is missing: the stream has grown with every layer; weights["norm"] brings it to size',
                {'gemma.rms_norm(hidden, weights["norm"], eps)': "hidden"},
            ),
            Mistake(
                "every layer the first",
                'every layer of yours has the weights of layer 0: "layers.1.q" belongs to the second',
                {'f"layers.{layer}."': '"layers.0."'},
            ),
            Mistake(
                "only one layer's result",
                "each of your layers reads the embeddings, and the last one's result is all that is left: a layer reads "
                "what the one before it returned",
                {"gemma.decoder_block(hidden, own": "gemma.decoder_block(embeddings, own"},
            ),
            Mistake(
                "embeddings scaled",
                "you multiply the embeddings by sqrt(D); that has been done before, and visual tokens must not be",
                {"hidden = embeddings\n": "hidden = embeddings * embeddings.shape[-1] ** 0.5\n"},
            ),
            Mistake(
                "heads not transposed back",
                "you flatten (B, H, T, K) as it is: that mixes positions. Exchange H and T first, then join H and K",
                {"gathered.transpose(1, 2).flatten(2)": "gathered.reshape(*x.shape[:2], -1)"},
            ),
            Mistake(
                "heads flattened with positions",
                "you flatten (B, H, T, K) from axis 2 on, and each head keeps its own T K numbers: exchange H and T first",
                {"gathered.transpose(1, 2).flatten(2)": "gathered.flatten(2)"},
            ),
            Mistake(
                "stream added once more",
                "you add the stream to what the block returns; the block has added it already",
                {"hidden = gemma.decoder_block(": "hidden = hidden + gemma.decoder_block("},
            ),
            Mistake(
                "all weights given to the block",
                'you give the block all weights, where its own are called "layers.0.norm1"; it is to get `own`, where '
                'they are called "norm1"',
                {"decoder_block(hidden, own": "decoder_block(hidden, weights"},
            ),
            Mistake(
                "values are the keys",
                'your values are made with own["k"]: they have a matrix of their own, own["v"]',
                {'linear(x, own["v"])': 'linear(x, own["k"])'},
            ),
            Mistake(
                "cut into positions",
                "you cut the sequence and not the width of keys and values: first (B, T, G, K), then exchange T and G",
                {
                    'linear(x, own["k"]).unflatten(-1, (kv_heads, head_size)).transpose(1, 2)': (
                        'linear(x, own["k"]).reshape(len(x), kv_heads, -1, head_size)'
                    ),
                    'linear(x, own["v"]).unflatten(-1, (kv_heads, head_size)).transpose(1, 2)': (
                        'linear(x, own["v"]).reshape(len(x), kv_heads, -1, head_size)'
                    ),
                },
            ),
            Mistake(
                "keys or values cut into H heads",
                "you cut keys or values into H heads; both have G of them, `kv_heads`",
                {'linear(x, own["k"]).unflatten(-1, (kv_heads': 'linear(x, own["k"]).unflatten(-1, (heads'},
            ),
            Mistake(
                "not transposed",
                "your keys and values are (B, T, G, K): exchange T and G",
                {
                    'own["k"]).unflatten(-1, (kv_heads, head_size)).transpose(1, 2)': (
                        'own["k"]).unflatten(-1, (kv_heads, head_size))'
                    ),
                    'own["v"]).unflatten(-1, (kv_heads, head_size)).transpose(1, 2)': (
                        'own["v"]).unflatten(-1, (kv_heads, head_size))'
                    ),
                },
            ),
            Mistake(
                "hidden states returned",
                "you return the normalized stream (B, T, D); the head is missing: multiply by the embedding table",
                {'return linear(hidden, weights["embedding"])': "return hidden"},
            ),
            Mistake(
                "probabilities",
                "you return probabilities; logits are what goes into the softmax: cross_entropy takes another one itself",
                {'linear(hidden, weights["embedding"])': 'linear(hidden, weights["embedding"]).softmax(dim=-1)'},
            ),
        ],
        [
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
