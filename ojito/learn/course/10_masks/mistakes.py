"""Wrong solutions of lesson 10 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "causal": [
        Mistake(
            "turned",
            "your mask is turned: each query sees itself and what comes after. Lines are queries, columns are keys; "
            "the last line is all True",
            {"positions[:, None] >= positions": "positions[:, None] <= positions"},
        ),
        Mistake(
            "not itself",
            "a position does not see itself in your mask, and the first one sees nothing at all: its softmax is NaN. "
            "It may: what it predicts is the next token",
            {"positions[:, None] >= positions": "positions[:, None] > positions"},
        ),
        Mistake(
            "inverted",
            "your mask is True where a key is hidden, as in torch.nn.MultiheadAttention. Here True means: may attend",
            {"positions[:, None] >= positions": "positions[:, None] < positions"},
        ),
        Mistake(
            "all seen",
            "every position sees every other one: the model would read the token that it is to predict",
            {"positions[:, None] >= positions": "(positions[:, None] >= positions) | True"},
        ),
        Mistake(
            "numbers",
            "your mask has numbers 0.0 and 1.0; it is to be True and False, so that ~, & and | work on it: .bool()",
            {"positions[:, None] >= positions": "(positions[:, None] >= positions).float()"},
        ),
        Mistake(
            "whole numbers",
            "your mask has whole numbers 0 and 1; it is to be True and False. Beware: ~1 is -2, and that is true",
            {"positions[:, None] >= positions": "(positions[:, None] >= positions).long()"},
        ),
        Mistake(
            "zero and minus infinity",
            "your mask has 0 and -inf: that is what is added to scores. Here it is to be True where a query may attend, "
            "and False elsewhere",
            {"positions[:, None] >= positions": ('torch.where(positions[:, None] >= positions, 0.0, float("-inf"))')},
        ),
    ],
    "prefix": [
        Mistake(
            "only causal",
            "the prefix has no effect in your mask: an image patch sees the patches before it, and none of those after",
            {"causal(length) | both": "causal(length).expand(both.shape)"},
        ),
        Mistake(
            "not causal behind",
            "outside the prefix nobody sees anything, not even itself: join with the causal mask by |",
            {"causal(length) | both": "both"},
        ),
        Mistake(
            "joined with and",
            "you join the two by &, so that the prefix is causal and what follows sees nothing: a pair is allowed if "
            "it is causal OR (|) of the prefix",
            {"causal(length) | both": "causal(length) & both"},
        ),
        Mistake(
            "one too many",
            "your prefix is one position too long: with a length of 2 it is positions 0 and 1. So it reads the first "
            "token of the answer, which it is to predict",
            {") < prefix_lengths": ") <= prefix_lengths"},
        ),
        Mistake(
            "prefix reads the answer",
            "your prefix sees every key, those of the answer as well: the answer is told before it is asked for. Query "
            "AND key must be of the prefix",
            {"in_prefix[:, :, None] & in_prefix[:, None, :]": "in_prefix[:, :, None].expand(-1, -1, length)"},
        ),
        Mistake(
            "the other part",
            "you let what comes after the prefix see in both directions, and the prefix is causal: it is the other "
            "way round",
            {") < prefix_lengths": ") >= prefix_lengths"},
        ),
        Mistake(
            "both parts whole",
            "query and key may be both in the prefix or both behind it in your mask, so that the answer reads itself: "
            "both must be in the prefix, &",
            {"in_prefix[:, :, None] & in_prefix": "in_prefix[:, :, None] == in_prefix"},
        ),
        Mistake(
            "rows and positions exchanged",
            "your in_prefix is (T, B): compare a row of positions (T,) with a column of lengths, prefix_lengths[:, None]",
            {"torch.arange(length) < prefix_lengths[:, None]": "torch.arange(length)[:, None] < prefix_lengths"},
        ),
        Mistake(
            "no column of lengths",
            "positions (T,) do not meet lengths (B,): make these a column, prefix_lengths[:, None] is (B, 1), and in_prefix "
            "(B, T)",
            {"prefix_lengths[:, None]": "prefix_lengths"},
        ),
        Mistake(
            "the first length for all",
            "you have one mask for all rows, made with the first row's length: each row has a length of its own, "
            "prefix_lengths[:, None]",
            {"prefix_lengths[:, None]": "prefix_lengths[:1, None]"},
        ),
        Mistake(
            "one length for all",
            "you take the longest prefix for all rows: each row has a length of its own, prefix_lengths[:, None]",
            {"prefix_lengths[:, None]": "prefix_lengths.max().expand(len(prefix_lengths), 1)"},
        ),
    ],
    "with_padding": [
        Mistake(
            "empty lines",
            "padding on the left sees nothing in your mask: its line is all False, its softmax NaN, and the NaN "
            "spreads to the whole row. Let every position see itself",
            {"return hidden | itself": "return hidden"},
        ),
        Mistake(
            "queries hidden",
            "you hide the lines of padding, not its columns: real positions still read it. `valid` is of the keys, "
            "valid[:, None, :]",
            {"mask & valid[:, None, :]": "mask & valid[:, :, None]"},
        ),
        Mistake(
            "queries hidden as well",
            "you clear the lines of padding, too: padding at the end is to see the real keys that the mask allows. It "
            "would do no harm, but the rule asked for is simpler: hide keys only, valid[:, None, :]",
            {"mask & valid[:, None, :]": "mask & valid[:, None, :] & valid[:, :, None]"},
        ),
        Mistake(
            "inverted",
            "you hide what is real and show the padding: valid is True for real positions",
            {"mask & valid[:, None, :]": "mask & ~valid[:, None, :]"},
        ),
        Mistake(
            "mask forgotten",
            "every real key is seen by all: the mask that you were given has no effect. Join the two by &",
            {"mask & valid[:, None, :]": "valid[:, None, :].expand(mask.shape)"},
        ),
        Mistake(
            "joined with or",
            "you join by |, so that every real key is seen by all, and padding by those behind it: a key is seen if "
            "the mask allows it AND (&) it is real",
            {"mask & valid[:, None, :]": "mask | valid[:, None, :]"},
        ),
        Mistake(
            "no axis of queries",
            "a mask (B, T, T) does not meet `valid` (B, T): put an axis of queries between, valid[:, None, :]",
            {"mask & valid[:, None, :]": "mask & valid"},
        ),
        Mistake(
            "itself alone",
            "you join with `itself` by &, so that every position sees itself and nothing else: |",
            {"return hidden | itself": "return hidden & itself"},
        ),
        Mistake(
            "numbers and not truth",
            "torch.eye makes numbers, and | is for True and False: .bool()",
            {"torch.eye(mask.shape[-1]).bool()": "torch.eye(mask.shape[-1])"},
        ),
        Mistake(
            "padding sees all",
            "no line is empty, but padding sees every key in your mask. It harms nobody, since nobody reads it; the "
            "rule asked for is simpler: `| itself`",
            {"return hidden | itself": "return hidden | ~valid[:, :, None]"},
        ),
        Mistake(
            "empty lines see all",
            "you fill each empty line with every key. It harms nobody, since nobody reads the result; the rule asked for is "
            "simpler: `| itself`",
            {"return hidden | itself": "return hidden | ~hidden.any(dim=-1, keepdim=True)"},
        ),
        Mistake(
            "padding sees the first",
            "your padding sees padding other than itself: nobody but itself is to see it",
            {"return hidden | itself": "return hidden | (mask & ~valid[:, :, None])"},
        ),
    ],
    "packed": [
        Mistake(
            "mask forgotten",
            "within a document every position sees all others: the mask that you were given has no effect",
            {"return mask & same": "return same"},
        ),
        Mistake(
            "other documents",
            "each position sees all documents but its own",
            {"documents[:, :, None] == documents": "documents[:, :, None] != documents"},
        ),
        Mistake(
            "earlier documents",
            "a document sees those with smaller numbers: with >= the caption of one image reads that of another. "
            "Numbers must be equal",
            {"documents[:, :, None] == documents": "documents[:, :, None] >= documents"},
        ),
        Mistake(
            "joined with or",
            "you join by |: what the mask hides becomes visible within a document, and documents still see each "
            "other. Both must hold: &",
            {"return mask & same": "return mask | same"},
        ),
        Mistake(
            "no effect",
            "documents have no effect in your mask",
            {"return mask & same": "return mask.clone()"},
        ),
        Mistake(
            "the first row for all",
            "you compare the documents of the first row, for all rows: each row has its own",
            {"documents[:, :, None] == documents[:, None, :]": ("documents[:1, :, None] == documents[:1, None, :]")},
        ),
        Mistake(
            "the first document alone",
            "you compare with the document of the row's first position: only that one is seen. Compare each query with "
            "each key",
            {"documents[:, :, None] == documents[:, None, :]": "documents[:, :1, None] == documents[:, None, :]"},
        ),
    ],
}
