"""Wrong solutions of lesson 8 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "angles": [
        Mistake(
            "neighbours paired",
            "your angles stand as 0 0 1 1 2 2: that pairs neighbouring numbers, as in the paper. Here number i is "
            "paired with number i + K/2, as in the checkpoints: 0 1 2 0 1 2",
            {"torch.cat((turned, turned), dim=-1)": "turned.repeat_interleave(2, dim=-1)"},
        ),
        Mistake(
            "half of the angles",
            "you return K/2 numbers a position, one for each pair; each of the K numbers of a head needs one, so "
            "the angles stand there twice",
            {"torch.cat((turned, turned), dim=-1)": "turned"},
        ),
        Mistake(
            "one below the other",
            "you put the angles twice one below the other, along the positions; side by side is dim=-1",
            {"torch.cat((turned, turned), dim=-1)": "torch.cat((turned, turned), dim=0)"},
        ),
        Mistake(
            "frequencies upside down",
            "your frequencies grow, from 1 up to nearly theta radians a position; they are to fall, from 1 down to "
            "little more than 1 / theta",
            {"1 / theta**exponents": "theta**exponents"},
        ),
        Mistake(
            "exponents up to a half",
            "your exponents are i / K and end before 1/2; they are 2 i / K and end before 1. So your slowest pair "
            "turns by about 1 / sqrt(theta)",
            {"torch.arange(0, head_size, 2) / head_size": "torch.arange(head_size // 2) / head_size"},
        ),
        Mistake(
            "exponents up to two",
            "you divide 0, 2, 4, ... by K/2, so that your exponents go up to nearly 2: divide by K",
            {"torch.arange(0, head_size, 2) / head_size": "torch.arange(0, head_size, 2) / (head_size // 2)"},
        ),
        Mistake(
            "exponents up to one itself",
            "your exponents go from 0 to 1 itself, in steps of 1 / (K/2 - 1); they go in steps of 2 / K, and end "
            "one step before 1",
            {"torch.arange(0, head_size, 2) / head_size": "torch.linspace(0, 1, head_size // 2)"},
        ),
        Mistake(
            "divided before the power",
            "`1 / theta * exponents` divides first and multiplies then, so that your first frequency is 0. It is to be "
            "1 / theta ** exponents, the first one 1",
            {"1 / theta**exponents": "1 / theta * exponents"},
        ),
        Mistake(
            "odd exponents",
            "your exponents are 1/K, 3/K, ...; they begin with 0, so that the first pair turns by 1 radian a position",
            {"torch.arange(0, head_size, 2) / head_size": "torch.arange(1, head_size, 2) / head_size"},
        ),
        Mistake(
            "positions not taken",
            "you count 0, 1, 2, ... yourself: take `positions`. A question after an image does not begin at 0",
            {"positions[:, None].float()": "torch.arange(len(positions))[:, None].float()"},
        ),
        Mistake(
            "theta fixed",
            "your theta is always 10,000: take the argument. LLaMA 3 has 500,000",
            {"1 / theta**exponents": "1 / 10000.0**exponents"},
        ),
        Mistake(
            "counted from one",
            "your positions begin with 1: position 0 is not turned at all, its cosines are 1",
            {"positions[:, None].float()": "(positions[:, None].float() + 1)"},
        ),
        Mistake(
            "positions in bfloat16",
            "your positions went through bfloat16, which knows only even numbers above 256: two tokens share a "
            "position",
            {"positions[:, None].float()": "positions[:, None].bfloat16().float()"},
        ),
        Mistake(
            "sine and cosine exchanged",
            "you return the sines first; the cosines come first",
            {"turned.cos(), turned.sin()": "turned.sin(), turned.cos()"},
        ),
        Mistake(
            "positions beside the frequencies",
            "(T,) times (K/2,) pairs the first position with the first frequency, and so on. Every position is to "
            "meet every frequency: positions[:, None] is (T, 1), and the product (T, K/2)",
            {"positions[:, None].float()": "positions.float()"},
        ),
        Mistake(
            "in turns",
            "you multiply by 2 pi, as if the frequencies were turns a position; they are radians already",
            {"positions[:, None].float() *": "2 * torch.pi * positions[:, None].float() *"},
        ),
    ],
    "rotate": [
        Mistake(
            "turned backwards",
            "you turn the other way round: the minus belongs to the second half, which comes first. A key before the "
            "query now looks as if it came after it",
            {"(-second, first)": "(second, -first)"},
        ),
        Mistake(
            "no minus",
            "the minus is missing: (a cos + b sin, b cos + a sin) is no rotation, and lengths do not stay",
            {"(-second, first)": "(second, first)"},
        ),
        Mistake(
            "halves not exchanged",
            "your sine multiplies each number itself and not its partner: exchange the halves",
            {"(-second, first)": "(-first, second)"},
        ),
        Mistake(
            "halves not exchanged, minus at the second",
            "your sine multiplies each number itself and not its partner: the second half comes first, with a minus",
            {"(-second, first)": "(first, -second)"},
        ),
        Mistake(
            "neighbours paired",
            "you pair neighbouring numbers, x[..., 0::2] with x[..., 1::2], as in the paper; the partner of number "
            "i is number i + K/2",
            {
                "x.chunk(2, dim=-1)": "(x[..., 0::2], x[..., 1::2])",
                "torch.cat((-second, first), dim=-1)": "torch.stack((-second, first), dim=-1).flatten(-2)",
            },
        ),
        Mistake(
            "cut in two, joined as neighbours",
            "you cut x into halves and join them number by number: the partner of number i must stand at i",
            {"torch.cat((-second, first), dim=-1)": "torch.stack((-second, first), dim=-1).flatten(-2)"},
        ),
        Mistake(
            "sine and cosine exchanged",
            "the cosine belongs to the number itself, the sine to its partner: at position 0, x must stay as it is",
            {"x * cos + partners * sin": "x * sin + partners * cos"},
        ),
        Mistake(
            "only the partners",
            "you return the sine's half alone: add x * cos",
            {"x * cos + partners * sin": "partners * sin"},
        ),
        Mistake(
            "x added unturned",
            "you add x as it is: it must be multiplied by the cosine, or lengths grow",
            {"x * cos +": "x +"},
        ),
        Mistake(
            "second half from the turned first",
            "you turn the first half, and make the second of what the first has become: both are made of the numbers as "
            "they were",
            {
                "return x * cos + partners * sin": (
                    "cos, sin = cos[..., : cos.shape[-1] // 2], sin[..., : sin.shape[-1] // 2]\n"
                    "    first = first * cos - second * sin\n"
                    "    return torch.cat((first, second * cos + first * sin), dim=-1)"
                )
            },
        ),
        Mistake(
            "always halves of four",
            "you cut at number 4, which is K/2 for K = 8 alone: `x.chunk(2, dim=-1)` halves heads of any size",
            {"x.chunk(2, dim=-1)": "(x[..., :4], x[..., 4:])"},
        ),
        Mistake(
            "an axis for the heads",
            "you give cos and sin an axis more, as for (B, T, K); they are (T, K), which already stands under the "
            "last two axes of (B, H, T, K)",
            {"x * cos + partners * sin": "x * cos[:, None] + partners * sin[:, None]"},
        ),
    ],
}
