"""Wrong solutions of lesson 12 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "with_temperature": [
        Mistake(
            "multiplied",
            "you multiply by the temperature: 0.5 makes your chances flatter, and it is to make them sharper. Divide",
            {"logits / temperature": "logits * temperature"},
        ),
        Mistake(
            "after the softmax",
            "you divide the chances, after the softmax: their rows sum to 1 / temperature. Divide the logits, before it",
            {"(logits / temperature).softmax(dim=-1)": "logits.softmax(dim=-1) / temperature"},
        ),
        Mistake(
            "softmax twice",
            "you divide the chances and take a softmax again: chances lie between 0 and 1, so that all tokens become "
            "nearly alike. Divide the logits",
            {"(logits / temperature).softmax": "(logits.softmax(dim=-1) / temperature).softmax"},
        ),
        Mistake(
            "softmax over the rows",
            "your softmax runs over the rows of the batch: each token's chances sum to 1 over B. It belongs over the "
            "vocabulary, the last axis",
            {"softmax(dim=-1)": "softmax(dim=0)"},
        ),
        Mistake(
            "not normalized",
            "your chances do not sum to 1: e^(logits / temperature) is to be divided by its sum, which softmax does",
            {"(logits / temperature).softmax(dim=-1)": "(logits / temperature).exp()"},
        ),
        Mistake(
            "no softmax",
            "you return logits: divide them, and then take the softmax over the vocabulary",
            {"(logits / temperature).softmax(dim=-1)": "logits / temperature"},
        ),
        Mistake(
            "logarithms",
            "you return the logarithms of the chances: softmax, not log_softmax",
            {".softmax(dim=-1)\n\n\ndef top_k": ".log_softmax(dim=-1)\n\n\ndef top_k"},
        ),
        Mistake(
            "no effect",
            "the temperature has no effect: divide the logits by it before the softmax",
            {"logits / temperature": "logits"},
        ),
        Mistake(
            "infinite numbers",
            "right for small logits, but e^(logits / temperature) is infinite from 89 on, and infinite / infinite is "
            "NaN. softmax subtracts the largest of a row first",
            {
                "(logits / temperature).softmax(dim=-1)": (
                    "(logits / temperature).exp() / (logits / temperature).exp().sum(dim=-1, keepdim=True)"
                )
            },
        ),
    ],
    "top_k": [
        Mistake(
            "one too few",
            "you keep k - 1 tokens: the one whose chance equals the least is kept as well, >=",
            {"probabilities >= least": "probabilities > least"},
        ),
        Mistake(
            "one too many",
            "you compare with the token after the k-th, and keep k + 1: of k values that begin with 0, the last is "
            "number k - 1, or -1",
            {
                "probabilities.topk(k).values[:, -1:]": (
                    "probabilities.sort(dim=-1, descending=True).values[:, k : k + 1]"
                )
            },
        ),
        Mistake(
            "one too many, by topk",
            "you ask for the k + 1 likeliest, and keep them all: topk(k) has the k-th as its last",
            {"topk(k).values": "topk(k + 1).values"},
        ),
        Mistake(
            "minus infinity",
            "you put -inf where a token is dropped: that is for logits, before a softmax. These are chances, and a chance "
            "of none is 0",
            {"(probabilities >= least, 0.0)": '(probabilities >= least, float("-inf"))'},
        ),
        Mistake(
            "all alike",
            "you keep 1 for each token that stays, so that all of them become equally likely: keep their chances",
            {"probabilities.where(probabilities >= least, 0.0)": "(probabilities >= least).float()"},
        ),
        Mistake(
            "the k-th of all rows",
            "you take the k-th chance of all rows together; in a row that has none as large, nothing is left, and 0 / 0 "
            "is NaN. Each row has a k-th token of its own, (B, 1)",
            {"probabilities.topk(k).values[:, -1:]": "probabilities.flatten().topk(k).values[-1]"},
        ),
        Mistake(
            "least likely",
            "you keep the k least likely tokens, or drop the wrong side: what is at least as likely as the k-th stays",
            {
                "probabilities.topk(k).values[:, -1:]": "probabilities.topk(k, largest=False).values[:, -1:]",
                "probabilities >= least": "probabilities <= least",
            },
        ),
        Mistake(
            "likeliest dropped",
            "you drop the likeliest tokens and keep the rest: exchange the two sides of `where`",
            {"probabilities >= least": "probabilities <= least"},
        ),
        Mistake(
            "only the likeliest",
            "you compare with the likeliest token, the first that topk returns, and it alone is left: the least of the k "
            "is the last, values[:, -1:]",
            {".values[:, -1:]": ".values[:, :1]"},
        ),
        Mistake(
            "indices",
            "you compare chances with the numbers of tokens: topk(k) returns values and indices, and you want the values",
            {"topk(k).values": "topk(k).indices"},
        ),
        Mistake(
            "the least of all",
            "you compare with the least of all chances, and nothing is dropped: take the k-th, topk(k).values[:, -1:]",
            {"probabilities.topk(k).values[:, -1:]": "probabilities.min(dim=-1, keepdim=True).values"},
        ),
        Mistake(
            "the batch's least",
            "you take the least chance over all rows: each row has a k-th token of its own, (B, 1)",
            {"topk(k).values[:, -1:]": "topk(k).values[:, -1:].min()"},
        ),
        Mistake(
            "cut",
            "your result is (B, k), and it is no longer known whose chances these are: keep all V places, with 0 where a "
            "token is dropped",
            {"probabilities.where(probabilities >= least, 0.0)": "probabilities.topk(k).values"},
        ),
        Mistake(
            "sorted from the least",
            "you take the k-th chance from below: sort puts the smallest first unless it is told descending=True",
            {"probabilities.topk(k).values[:, -1:]": "probabilities.sort(dim=-1).values[:, k - 1 : k]"},
        ),
        Mistake(
            "no axis to compare along",
            "your least chances are (B,), which does not meet (B, V): keep the axis, [:, -1:] is (B, 1)",
            {"topk(k).values[:, -1:]": "topk(k).values[:, -1]"},
        ),
        Mistake(
            "k is a chance",
            "you compare chances with k, which is a number of tokens: none is that likely, and nothing is left",
            {"probabilities.topk(k).values[:, -1:]": "torch.full_like(probabilities[:, :1], k)"},
        ),
    ],
    "top_p": [
        Mistake(
            "one too few",
            "the token with which the sum reaches p is missing in your result. Where one token has more than p, nothing "
            "is left, and 0 / 0 is NaN. Ask what the likelier ones have together, without the token itself",
            {"ordered.cumsum(dim=-1) - ordered": "ordered.cumsum(dim=-1)"},
        ),
        Mistake(
            "one too many",
            "where the likelier tokens have exactly p already, you keep one more: the fewest that reach p are kept, "
            "those before which the sum is LESS than p",
            {"likelier < p": "likelier <= p"},
        ),
        Mistake(
            "no running sum",
            "you take the sum of all other tokens, also of those that are less likely: cumsum adds up from the first of "
            "`ordered` to each",
            {"ordered.cumsum(dim=-1) - ordered": "ordered.sum(dim=-1, keepdim=True) - ordered"},
        ),
        Mistake(
            "sum of the unsorted",
            "your running sum goes through the tokens by their numbers: it is to begin with the likeliest. Take that of "
            "`ordered`",
            {"ordered.cumsum(dim=-1) - ordered": "probabilities.cumsum(dim=-1) - probabilities"},
        ),
        Mistake(
            "renormalized down the batch",
            "you divide by each token's sum over the rows of the batch, 0 where no row keeps it: each row is to sum to 1, "
            "dim=-1",
            {
                "(-1, order, ordered)  # (B, V): each chance at the place of its token\n    return kept / kept.sum(dim=-1, keepdim=True)": "(-1, order, ordered)\n    return kept / kept.sum(dim=0, keepdim=True)"
            },
        ),
        Mistake(
            "not put back",
            "your chances are in falling order, and no longer at the places of their tokens: token 0 gets the largest. "
            "scatter puts them back by `order`",
            {"torch.zeros_like(ordered).scatter(-1, order, ordered)": "ordered"},
        ),
        Mistake(
            "gathered",
            "you sort a second time in place of sorting back: gather takes from the places in `order`, scatter puts "
            "there",
            {"torch.zeros_like(ordered).scatter(-1, order, ordered)": "ordered.gather(-1, order)"},
        ),
        Mistake(
            "not renormalized",
            "your rows sum to less than 1: what was dropped leaves a hole. Divide each row by its sum",
            {
                "(-1, order, ordered)  # (B, V): each chance at the place of its token\n    return kept / kept.sum(dim=-1, keepdim=True)": "(-1, order, ordered)\n    return kept"
            },
        ),
        Mistake(
            "renormalized by a softmax",
            "you renormalize with a softmax: what was dropped gets a chance again, e^0. Divide each row by its sum",
            {
                "(-1, order, ordered)  # (B, V): each chance at the place of its token\n    return kept / kept.sum(dim=-1, keepdim=True)": "(-1, order, ordered)\n    return kept.softmax(dim=-1)"
            },
        ),
        Mistake(
            "renormalized over everything",
            "you divide by the sum of all rows together: each row is to sum to 1, so that dim=-1, keepdim=True",
            {
                "(-1, order, ordered)  # (B, V): each chance at the place of its token\n    return kept / kept.sum(dim=-1, keepdim=True)": "(-1, order, ordered)\n    return kept / kept.sum()"
            },
        ),
        Mistake(
            "unlikely ones kept",
            "you drop the likeliest tokens and keep the rest: keep where the likelier ones have LESS than p",
            {"likelier < p": "likelier >= p"},
        ),
        Mistake(
            "single chances",
            "you compare single chances with p: it is their sum from the likeliest on that is to reach p",
            {"ordered.where(likelier < p, 0.0)": "ordered.where(ordered < p, 0.0)"},
        ),
        Mistake(
            "at least p alone",
            "you keep tokens that have a chance of p by themselves: it is their sum from the likeliest on that is to "
            "reach p",
            {"ordered.where(likelier < p, 0.0)": "ordered.where(ordered >= p, 0.0)"},
        ),
        Mistake(
            "sum down the batch",
            "your sum runs down the rows of the batch: it belongs along the vocabulary, dim=-1",
            {"ordered.cumsum(dim=-1)": "ordered.cumsum(dim=0)"},
        ),
    ],
    "sample": [
        Mistake(
            "random state of the process",
            "your draw does not use the generator: the same seed gives other tokens each time. Pass it on",
            {"(probabilities, 1, generator=generator)": "(probabilities, 1)"},
        ),
        Mistake(
            "seeded again",
            "you set the generator's seed at every call, or make a generator with a fixed one: all tokens of a text are "
            "then drawn with one and the same random number. Use the generator as it is, each draw moves it on",
            {"(probabilities, 1, generator=generator)": "(probabilities, 1, generator=generator.manual_seed(0))"},
        ),
        Mistake(
            "begun again",
            "you go back to the generator's first seed at every call: all tokens of a text are then drawn with one and the "
            "same random number. Use the generator as it is, each draw moves it on",
            {
                "(probabilities, 1, generator=generator)": (
                    "(probabilities, 1, generator=generator.manual_seed(generator.initial_seed()))"
                )
            },
        ),
        Mistake(
            "values and tokens",
            "at temperature 0 you return the two things that max returns, values and their places: argmax returns the "
            "places alone",
            {"logits.argmax(dim=-1)": "logits.max(dim=-1)"},
        ),
        Mistake(
            "an axis too many",
            "multinomial returns (B, 1), a column of draws; one token a row is (B,): [:, 0]",
            {"generator=generator)[:, 0]": "generator=generator)"},
        ),
        Mistake(
            "never drawn",
            "you always take the likeliest token: above temperature 0, tokens are drawn",
            {
                "torch.multinomial(probabilities, 1, generator=generator)[:, 0]": "probabilities.argmax(dim=-1)",
            },
        ),
        Mistake(
            "top-p before the temperature",
            "you take top-p of the chances at temperature 1, and apply the temperature afterwards: it comes first, so "
            "that flatter chances keep more tokens",
            {
                "top_p(with_temperature(logits, temperature), p)": (
                    "with_temperature(top_p(logits.softmax(dim=-1), p).log(), temperature)"
                )
            },
        ),
        Mistake(
            "chances as logits",
            "you give chances to with_temperature, which takes logits: its softmax makes them nearly alike, and wakes up "
            "what top-p dropped. Temperature first, then top-p",
            {
                "top_p(with_temperature(logits, temperature), p)": (
                    "with_temperature(top_p(logits.softmax(dim=-1), p), temperature)"
                )
            },
        ),
        Mistake(
            "logits as chances",
            "you use logits where chances are wanted: top_p takes chances, and multinomial draws with them. "
            "with_temperature makes chances of logits",
            {"top_p(with_temperature(logits, temperature), p)": "top_p(logits / temperature, p)"},
        ),
        Mistake(
            "no top-p",
            "top-p has no effect: tokens beyond p are drawn as well",
            {"top_p(with_temperature(logits, temperature), p)": "with_temperature(logits, temperature)"},
        ),
        Mistake(
            "no temperature",
            "the temperature has no effect on what is drawn",
            {"top_p(with_temperature(logits, temperature), p)": "top_p(logits.softmax(dim=-1), p)"},
        ),
        Mistake(
            "greedy over the rows",
            "at temperature 0 you take for each token the row that likes it best; wanted is for each row the likeliest "
            "token, dim=-1",
            {"logits.argmax(dim=-1)": "logits.argmax(dim=0)"},
        ),
        Mistake(
            "greedy over everything",
            "at temperature 0 you take one token for the whole batch: argmax without an axis. Wanted is dim=-1",
            {"logits.argmax(dim=-1)": "logits.argmax()"},
        ),
        Mistake(
            "greedy keeps its axis",
            "at temperature 0 you return (B, 1): one token a row is (B,)",
            {"logits.argmax(dim=-1)": "logits.argmax(dim=-1, keepdim=True)"},
        ),
        Mistake(
            "the largest logit itself",
            "at temperature 0 you return the largest logit and not the token that has it: argmax",
            {"logits.argmax(dim=-1)": "logits.max(dim=-1).values"},
        ),
        Mistake(
            "one draw for all rows",
            "you draw once, with the chances of the first row, and give that token to all rows",
            {
                "torch.multinomial(probabilities, 1, generator=generator)[:, 0]": (
                    "torch.multinomial(probabilities[0], 1, generator=generator).expand(len(logits))"
                )
            },
        ),
    ],
}
