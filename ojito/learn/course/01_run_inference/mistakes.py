"""Wrong solutions of lesson 1 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "weight_bytes": [
        Mistake(
            "tied weights twice",
            "you count a shared weight once for each of its names; its numbers are stored once. For PaliGemma's head that "
            "would be 527 million numbers too many",
            {" if name not in tied": ""},
        ),
        Mistake(
            "both names left out",
            "you leave out a shared weight under both of its names: its numbers are stored once, not never",
            {"if name not in tied)": "if name not in tied and name not in tied.values())"},
        ),
        Mistake(
            "the lender left out",
            "you leave out the weight whose numbers are shared, and count those that share them: `tied` has them as "
            "keys, and two of them may share one",
            {"if name not in tied)": "if name not in tied.values())"},
        ),
        Mistake(
            "sizes added",
            "you add the sizes of a shape; a matrix of 24 x 8 has 192 numbers, not 32",
            {"math.prod(shape)": "sum(shape)"},
        ),
        Mistake(
            "numbers, not bytes",
            "you count numbers; each of them takes {bytes} bytes",
            {"numbers * bytes_each": "numbers"},
        ),
        Mistake(
            "bits",
            "you count bits: {ratio}x too much. `bytes_each` is in bytes already",
            {"numbers * bytes_each": "numbers * bytes_each * 8"},
        ),
        Mistake(
            "divided by the bytes",
            "you divide by `bytes_each`; each number takes {bytes} bytes, so multiply",
            {"numbers * bytes_each": "numbers / bytes_each"},
        ),
        Mistake(
            "equal shapes once",
            "you count equal shapes once. Two weights of one shape have numbers of their own, unless `tied` says that "
            "they share them",
            {"for name, shape in shapes.items() if name not in tied)": "for shape in set(shapes.values()))"},
        ),
        Mistake(
            "matrices alone",
            "you count matrices only: biases and norms, with one axis, and scalars, with none, are weights, too",
            {"if name not in tied)": "if name not in tied and len(shape) > 1)"},
        ),
        Mistake(
            "as many as there are weights",
            "you count the weights, not the numbers in them",
            {"math.prod(shape)": "1"},
        ),
        Mistake(
            "divided by a billion",
            "you divide by 10^9: bytes are asked for, not GB",
            {"numbers * bytes_each": "numbers * bytes_each / 10**9"},
        ),
        Mistake(
            "divided by 2^30",
            "you divide by 2^30: bytes are asked for, not GiB",
            {"numbers * bytes_each": "numbers * bytes_each / 2**30"},
        ),
    ],
    "cache_bytes": [
        Mistake(
            "keys alone",
            "you have {ratio} of what is right: a layer keeps a key and a value of each token",
            {"2 * kv_heads * head_size": "kv_heads * head_size"},
        ),
        Mistake(
            "one layer",
            "you count one layer; each of the {layers} keeps keys and values of its own",
            {"layers * positions * token": "positions * token"},
        ),
        Mistake(
            "one head",
            "you count one head for keys and values; there are as many as `kv_heads` says",
            {"2 * kv_heads * head_size": "2 * head_size"},
        ),
        Mistake(
            "numbers, not bytes",
            "you count numbers; each of them takes {bytes} bytes",
            {"token * bytes_each": "token"},
        ),
        Mistake(
            "bits",
            "you count bits: {ratio}x too much. `bytes_each` is in bytes already",
            {"token * bytes_each": "token * bytes_each * 8"},
        ),
        Mistake(
            "scores kept",
            "your cache grows with the square of the length: that would be the scores of all pairs. What is kept is a key "
            "and a value of each of {positions} positions",
            {"layers * positions * token": "layers * positions * positions * token"},
        ),
        Mistake(
            "one position",
            "you count one token; keys and values of all {positions} are kept, so that none is computed twice",
            {"layers * positions * token": "layers * token"},
        ),
        Mistake(
            "the query heads",
            "you count 8 heads, PaliGemma's query heads: what is kept has the heads of keys and values, `kv_heads`",
            {"2 * kv_heads * head_size": "2 * 8 * head_size"},
        ),
        Mistake(
            "queries kept",
            "you count three for each token: key, value, and the query. A query is used once, by its own token, and not "
            "kept",
            {"2 * kv_heads * head_size": "3 * kv_heads * head_size"},
        ),
        Mistake(
            "heads and head size added",
            "you add the heads and the size of one; each of the {heads} heads has a key of that many numbers, and a value",
            {"2 * kv_heads * head_size": "2 * (kv_heads + head_size)"},
        ),
        Mistake(
            "the last position left out",
            "you leave out one position: keys and values of all {positions} are kept, the last one's too",
            {"layers * positions * token": "layers * (positions - 1) * token"},
        ),
    ],
    "measure": [
        Mistake(
            "the first token in the rate",
            "your rate divides all {count} tokens by all {all} s: with the first token's {first} s in it, it says how long "
            "the answer was, not how fast the model writes",
            {"times[-1] - times[0]": "times[-1] - started", "(len(times) - 1) / seconds": "len(times) / seconds"},
        ),
        Mistake(
            "one token too many",
            "you divide {count} tokens by {rest} s, in which {others} came: the first was there when that time began",
            {"(len(times) - 1) / seconds": "len(times) / seconds"},
        ),
        Mistake(
            "the first token's time in the rate",
            "you divide the {others} later tokens by all {all} s; they took {rest} s",
            {"times[-1] - times[0]": "times[-1] - started"},
        ),
        Mistake(
            "seconds a token",
            "you give seconds a token; tokens a second is one over it",
            {"(len(times) - 1) / seconds if seconds": "seconds / (len(times) - 1) if seconds"},
        ),
        Mistake(
            "the whole time as the first",
            "your seconds to the first token are those of the whole answer, {all} s; the first token was there after {first} s",
            {"times[0] - started": "times[-1] - started"},
        ),
        Mistake(
            "when, not how long",
            "your seconds to the first token are what the clock showed then; subtract what it showed at the start",
            {"times[0] - started": "times[0]"},
        ),
        Mistake(
            "read before the clock started",
            "you read the stream before you look at the clock: every token was computed by then. Start the clock first",
            {"started = clock()": "stream = list(stream)\n    started = clock()"},
        ),
        Mistake(
            "read as a whole",
            "you read the whole stream, and look at the clock only then: all tokens seem to come at {all} s. Look at it "
            "after each one",
            {"for piece in stream:": "for piece in list(stream):"},
        ),
        Mistake(
            "a rate of one token",
            "an answer of one token fails with a division by zero: no time passed after it. Give 0.0",
            {" if seconds else 0.0": ""},
        ),
        Mistake(
            "the clock started at the first token",
            "your clock starts when the first token is there, so that its {first} s are missing: start it before the loop",
            {
                "    started = clock()\n": "    started = None\n",
                "        pieces.append(piece)\n": "        started = clock() if started is None else started\n"
                "        pieces.append(piece)\n",
            },
        ),
        Mistake(
            "the end in the rate",
            "you look at the clock once more after the loop: by then the stream has taken {end} s to find that nothing "
            "follows, in which no token came. The last one came at times[-1]",
            {"times[-1] - times[0]": "clock() - times[0]"},
        ),
        Mistake(
            "characters a second",
            "you count characters; each piece is one token, however long",
            {"(len(times) - 1) / seconds": 'len("".join(pieces)) / seconds'},
        ),
        Mistake(
            "joined with spaces",
            "you join the pieces with spaces; they have their own, and some tokens are parts of words",
            {'"".join(pieces)': '" ".join(pieces)'},
        ),
    ],
}
