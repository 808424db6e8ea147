"""Wrong solutions of lesson 5 that look right, by exercise."""

from ojito.learn import Mistake

_LENGTH = "x.square().sum(dim=-1, keepdim=True).sqrt()"
_LOGITS = "normalize(images) @ normalize(texts).T * log_scale.exp() + bias"
_COSINES = "cosines = normalize(images) @ normalize(texts).T"

MISTAKES = {
    "normalize": [
        Mistake(
            "along the batch",
            "you take the length over the {B} rows, axis 0; each row has its own, over its {D} numbers",
            {_LENGTH: "x.square().sum(dim=0, keepdim=True).sqrt()"},
        ),
        Mistake(
            "one length for all",
            "you divide by one length of the whole tensor, what `x.norm()` gives: each row has its own",
            {_LENGTH: "x.norm()"},
        ),
        Mistake(
            "no root",
            "you divide by the square of the length: long vectors become the short ones",
            {_LENGTH: "x.square().sum(dim=-1, keepdim=True)"},
        ),
        Mistake(
            "mean in place of the sum",
            "you take the mean of the squares: your vectors have length sqrt({D}), as after an RMSNorm, and not 1",
            {_LENGTH: "x.square().mean(dim=-1, keepdim=True).sqrt()"},
        ),
        Mistake(
            "sum of absolute values",
            "you divide by the sum of the absolute values; the length is the root of the sum of squares",
            {_LENGTH: "x.abs().sum(dim=-1, keepdim=True)"},
        ),
        Mistake(
            "standardized",
            "you subtract the mean and divide by the standard deviation: that is a layer norm, and turns the vector "
            "elsewhere. Only its length is to change",
            {"return x / lengths": "return (x - x.mean(dim=-1, keepdim=True)) / x.std(dim=-1, keepdim=True)"},
        ),
        Mistake(
            "a softmax",
            "your rows sum to 1; they are to have length 1, where it is the squares that sum to 1",
            {"return x / lengths": "return x.softmax(dim=-1)"},
        ),
        Mistake(
            "the largest number",
            "you divide by the largest number of each row; divide by its length",
            {_LENGTH: "x.abs().amax(dim=-1, keepdim=True)"},
        ),
        Mistake(
            "something added to the length",
            "you add 1e-6 to the length, so that short vectors come out shorter than 1. No row is all zeros, so there is "
            "nothing to guard against",
            {"return x / lengths": "return x / (lengths + 1e-6)"},
        ),
        Mistake(
            "the axis lost",
            "your lengths are ({B},), which does not divide ({B}, {D}): keep the axis as one of size 1, with `keepdim=True`",
            {_LENGTH: "x.square().sum(dim=-1).sqrt()"},
        ),
    ],
    "siglip_loss": [
        Mistake(
            "mean over all pairs",
            "you divide by all {pairs} pairs; SigLIP divides their sum by the {B} images. Yours is {B}x too small, and "
            "the larger the batch, the smaller",
            {"each.sum() / B": "each.mean()"},
        ),
        Mistake("not divided", "you do not divide by B: {B}x too large", {"each.sum() / B": "each.sum()"}),
        Mistake(
            "the logarithm as the scale",
            "you multiply by log_scale, {log}: the scale is its exponential, {scale}",
            {"log_scale.exp()": "log_scale"},
        ),
        Mistake(
            "divided by the scale",
            "you divide by the scale, as by a temperature; CLIP's temperature is one over this scale",
            {"* log_scale.exp()": "/ log_scale.exp()"},
        ),
        Mistake("no bias", "the bias, {bias}, is missing", {" * log_scale.exp() + bias": " * log_scale.exp()"}),
        Mistake(
            "the bias subtracted",
            "you subtract the bias, {bias}; it is added",
            {"log_scale.exp() + bias": "log_scale.exp() - bias"},
        ),
        Mistake(
            "the bias scaled, too",
            "you add the bias before you scale: it becomes {scale}x itself",
            {_LOGITS: "(normalize(images) @ normalize(texts).T + bias) * log_scale.exp()"},
        ),
        Mistake(
            "lengths left in",
            "your logits are products of vectors as long as they come: bring both to length 1 first",
            {_LOGITS: "images @ texts.T * log_scale.exp() + bias"},
        ),
        Mistake(
            "only the images normalized",
            "only the images have length 1: normalize the texts, too",
            {_LOGITS: "normalize(images) @ texts.T * log_scale.exp() + bias"},
        ),
        Mistake(
            "only what belongs together",
            "you count the diagonal only. Without a no, the loss is lowest when all vectors are one and the same",
            {"return each.sum() / B": "return each.diagonal().sum() / B"},
        ),
        Mistake(
            "0 in place of -1",
            "your signs are 1 and 0: a pair that does not belong together then costs log 2 = 0.69 whatever it looks like. "
            "It takes -1",
            {"2 * torch.eye(B) - 1": "torch.eye(B)"},
        ),
        Mistake(
            "no signs",
            "every pair is taken for one that belongs together: the signs are missing. Multiply the logits by them, so "
            "that a no costs -log sigmoid(-logit)",
            {"signs * logits": "logits"},
        ),
        Mistake(
            "the first scale and bias for ever",
            "you write 10 and -10 into the loss, with which SigLIP starts: scale and bias are arguments, and learned",
            {_LOGITS: "normalize(images) @ normalize(texts).T * 10 - 10"},
        ),
        Mistake(
            "no gradient",
            "the number is right, and no gradient comes back from it: `.detach()`, `float()`, `.item()`, a new "
            "`torch.tensor(...)` or `no_grad` cuts it off, and nothing would be learned. Compute with tensors from the "
            "first line to the last",
            {"return each.sum() / B": "return (each.sum() / B).detach()"},
        ),
        Mistake(
            "a plain number",
            "you return a plain number, as `.item()` and `float()` give it: no gradient comes back from that, and nothing "
            "would be learned. Return the tensor",
            {"return each.sum() / B": "return (each.sum() / B).item()"},
        ),
        Mistake(
            "no gradient to the encoders",
            "the number is right, and no gradient reaches images and texts: the cosines are detached, so that the "
            "encoders would learn nothing",
            {_LOGITS: "(normalize(images) @ normalize(texts).T).detach() * log_scale.exp() + bias"},
        ),
        Mistake(
            "no gradient to the scale",
            "the number is right, and no gradient reaches log_scale: `math.exp`, `float()` or `.item()` makes a plain "
            "number of it. `log_scale.exp()` stays a tensor",
            {"log_scale.exp()": "log_scale.detach().exp()"},
        ),
        Mistake(
            "signs exchanged",
            "your signs are exchanged: what belongs together is driven apart, and the rest together",
            {"2 * torch.eye(B) - 1": "1 - 2 * torch.eye(B)"},
        ),
        Mistake(
            "the minus forgotten",
            "your loss is negative, the logarithm of a probability: it takes a minus, or training makes it worse",
            {"-torch.nn.functional.logsigmoid": "torch.nn.functional.logsigmoid"},
        ),
        Mistake(
            "the logarithm of 0",
            "you take the logarithm of a sigmoid, which is rounded to 0 for a logit below about -88, and the logarithm of 0 is "
            "minus infinity. `torch.nn.functional.logsigmoid` does both at once, and is exact",
            {"-torch.nn.functional.logsigmoid(signs * logits)": "-(signs * logits).sigmoid().log()"},
        ),
        Mistake(
            "the sign outside",
            "your sign stands outside the logarithm: it is to turn the logit, so that a pair that does not belong together "
            "costs -log sigmoid(-logit)",
            {"logsigmoid(signs * logits)": "logsigmoid(logits) * signs"},
        ),
        Mistake(
            "no logarithm",
            "you add up 1 - sigmoid; it is -log sigmoid, which a pair that is surely wrong makes large",
            {"-torch.nn.functional.logsigmoid(signs * logits)": "1 - (signs * logits).sigmoid()"},
        ),
        Mistake(
            "CLIP's loss, over the texts",
            "you take a softmax over each row: which of the {B} texts is it? That is half of CLIP's loss. SigLIP asks of "
            "each pair by itself, with a sigmoid",
            {
                "return each.sum() / B": "return torch.nn.functional.cross_entropy(logits, torch.arange(B))",
            },
        ),
        Mistake(
            "CLIP's loss",
            "you take a softmax over rows and columns, which is CLIP's loss. SigLIP asks of each pair by itself, with a "
            "sigmoid",
            {
                "return each.sum() / B": (
                    "return (torch.nn.functional.cross_entropy(logits, torch.arange(B)) + "
                    "torch.nn.functional.cross_entropy(logits.T, torch.arange(B))) / 2"
                ),
            },
        ),
    ],
    "nearest_text": [
        Mistake(
            "lengths left in",
            "you compare products of vectors as long as they come: the longest text wins, whatever it says. Bring them to "
            "length 1",
            {_COSINES: "cosines = images @ texts.T"},
        ),
        Mistake(
            "for each text, an image",
            "you look for the nearest image of each of the {S} texts; what is asked for is a text for each of the {B} images",
            {"cosines.argmax(dim=-1)": "cosines.argmax(dim=0)"},
        ),
        Mistake(
            "the farthest",
            "you take the smallest cosine, which is the text that fits worst: the largest is the nearest",
            {"argmax(dim=-1)": "argmin(dim=-1)"},
        ),
        Mistake(
            "the cosine, not its place",
            "you return how near the nearest text is; what is asked for is which one: argmax in place of max",
            {"cosines.argmax(dim=-1)": "cosines.amax(dim=-1)"},
        ),
        Mistake(
            "values and places together",
            "`max` with an axis returns two things, the largest values and their places: `argmax` returns the places",
            {"cosines.argmax(dim=-1)": "cosines.max(dim=-1)"},
        ),
        Mistake(
            "the distance",
            "you take the smallest distance of vectors as long as they come: short ones are near to everything. Bring them "
            "to length 1 first; then the order is the same as by cosine",
            {_COSINES: "cosines = -torch.cdist(images, texts)"},
        ),
        Mistake(
            "the largest of all",
            "you give one number, the place of the largest cosine of all: one is asked for in each row, `dim=-1`",
            {"argmax(dim=-1)": "argmax()"},
        ),
        Mistake(
            "probabilities",
            "you return a weight for each text; what is asked for is the place of the largest",
            {"cosines.argmax(dim=-1)": "cosines.softmax(dim=-1)"},
        ),
        Mistake(
            "opposites near",
            "you take the absolute value: a text in the opposite direction then counts as near",
            {_COSINES: "cosines = (normalize(images) @ normalize(texts).T).abs()"},
        ),
    ],
}
