"""Wrong solutions of the milestone decode that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "decode": [
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
}
