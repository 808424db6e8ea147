"""The engine: `prefill` reads the prompts and images once, then every `step` gives each row one more token.

Whoever generates, a loop, a stream or a benchmark, writes the same lines:

    state = prefill(model, batch, GenerateOptions(max_new_tokens=20), eos=tokenizer.ends)
    while not state.done:
        step(state)
    state.rows

With beams a row of the batch becomes several rows of the cache after the first step, and its answer is empty until the
search has ended: which beam is the best one is known then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ojito.errors import OjitoError
from ojito.generate.beam import BeamSearch
from ojito.generate.options import GenerateOptions, options_of_rows
from ojito.generate.sampling import Sampler, penalize
from ojito.generate.stops import Finish, Stop
from ojito.model import VLM, KVCache
from ojito.records import IMAGE, PADDING, Batch


@dataclass
class Generation:
    """The answer of a row.

    Attributes:
        tokens: So far; without the one that ends it.
        finish: Why it ended: the end-of-text token, no more tokens allowed or no position left, or a stop text. None
            while it goes on.
    """

    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None


@dataclass
class State:
    """Generation under way: everything that `step` needs.

    Attributes:
        rows: The answers so far.
        model: The model that answers.
        cache: Keys and values of all tokens read.
        batch: The tokens read last, one a row after the first step.
        hidden: (B, D) their hidden states; None while `batch` is still to be read.
        options: Of each row.
        limits: The most tokens of each row's answer.
        generators: Random numbers of each row, on the CPU.
        samplers: Each sampler with its rows.
        eos: Tokens that end a row.
        stops: For each row, whether its stop texts end it; None where it has none.
        search: Beams of each row; None where a row has one only, and samples.
        seen: (B, V) bool, the tokens of each row's text; None where no row has a repetition penalty.
        penalties: (B, 1) the rows' repetition penalties. With beams B is the number of all beams.
        vocab_size: Ids from this on are never chosen; None means that all may be.
    """

    rows: list[Generation]
    model: VLM
    cache: KVCache
    batch: Batch
    hidden: Tensor | None
    options: list[GenerateOptions]
    limits: list[int]
    generators: list[torch.Generator]
    samplers: list[tuple[Sampler, list[int]]]
    eos: frozenset[int]
    stops: Sequence[Stop | None]
    search: BeamSearch | None
    seen: Tensor | None
    penalties: Tensor | None
    vocab_size: int | None

    @property
    def done(self) -> bool:
        """Whether every row has ended."""
        return all(row.finish for row in self.rows)


@torch.inference_mode()
def prefill(
    model: VLM,
    batch: Batch,
    options: GenerateOptions | Sequence[GenerateOptions] = GenerateOptions(),  # noqa: B008 - frozen
    *,
    eos: int | Collection[int],
    vocab_size: int | None = None,
    stops: Sequence[Stop | None] | None = None,
) -> State:
    """Read prompts and images.

    In float32 a row gets the same answer whatever rows it is batched with, sampled or not. In bfloat16 and float16
    sums are rounded in another order in another batch: logits differ in their last bits, and where two tokens are
    nearly as likely, another one may be chosen. The same batch gives the same answers in every dtype.

    Args:
        model: In evaluation mode meanwhile.
        batch: Prompts, padded on the left, as `processor(samples)` makes them.
        options: Of all rows, where row i draws with `seed + i`; or one for each row, with as many beams each.
        eos: The token that ends a row, or several, any of which does.
        vocab_size: Ids from this on are no tokens and never chosen; None means that all are.
        stops: For each row, what finds the texts of `options.stop` in its tokens.

    Raises:
        OjitoError: As for `VLM.features`; options that are not one for each row, or differ in beams; more beams than
            tokens in the vocabulary; stop texts without `stops`; prompts padded on the right, or too long for the
            decoder's positions.
    """
    num_rows, length = batch.tokens.shape
    options = options_of_rows(options, num_rows)
    if stops is None and any(one.stop for one in options):
        raise OjitoError("stop", "the engine knows no texts", "use Pipeline.generate, or give stops")
    width, limits = _width(model, options), _limits(model, batch, options)
    batch = batch.to(model.device)
    cache = KVCache(model.config.decoder, num_rows, length + max(limits) - 1, model.dtype, model.device)
    penalties = [float(one.repetition_penalty) for one in options]
    penalized = any(penalty != 1 for penalty in penalties)
    stops = [None] * num_rows if stops is None else stops
    eos = frozenset({eos} if isinstance(eos, int) else eos)
    with evaluating(model) if model.training else nullcontext():
        # Only the last position of a row decides how it goes on: the head is spared for all others.
        hidden = model.features(batch, cache)[:, -1]
    return State(
        rows=[Generation() for _ in range(num_rows)],
        model=model,
        cache=cache,
        batch=batch,
        hidden=hidden,
        options=options,
        limits=limits,
        generators=[torch.Generator().manual_seed(int(one.seed)) for one in options],
        samplers=_group(options),
        eos=eos,
        stops=stops,
        search=BeamSearch(width, [one.length_penalty for one in options], limits, stops, eos) if width > 1 else None,
        seen=_seen(batch, model.config.decoder.vocab_size) if penalized else None,
        penalties=torch.tensor(penalties, device=model.device)[:, None] if penalized else None,
        vocab_size=vocab_size,
    )


@torch.inference_mode()
def step(state: State) -> list[Generation]:
    """Give every row that has not ended one more token; return all rows, which are the state's own.

    A row that has ended is read on along with the others, and what it would say is not kept. With beams every beam
    gets a token, and a row its answer when its search ends.

    Raises:
        OjitoError: Every row has ended, logits that are not finite, or a sampler that returns no token for a row.
    """
    if state.done:
        raise OjitoError("state", "every row has ended", "call step while not state.done")
    model = state.model
    with evaluating(model) if model.training else nullcontext():
        if state.hidden is None:
            state.hidden = model.features(state.batch, state.cache)[:, -1]
        logits = model.head(state.hidden)  # (B, V)
    if state.search is not None:
        logits = logits.log_softmax(dim=-1)  # of all ids, and before the penalty, as in transformers
    logits = logits[:, : state.vocab_size]
    if not bool(logits.isfinite().all()):
        raise OjitoError("the model's logits", "are not finite", "its weights are damaged, or too large for float16")
    if state.seen is not None and state.penalties is not None:
        logits = penalize(logits, state.seen[:, : state.vocab_size], state.penalties)
    tokens = _sample(state, logits) if state.search is None else _search(state, state.search, logits)
    if state.seen is not None:
        state.seen.scatter_(1, tokens[:, None], True)
    state.batch = _next(state.batch, tokens, model.config.decoder.max_positions - 1)
    state.hidden = None
    return state.rows


def stream(
    model: VLM,
    batch: Batch,
    options: GenerateOptions | Sequence[GenerateOptions] = GenerateOptions(),  # noqa: B008 - frozen
    *,
    eos: int | Collection[int],
    vocab_size: int | None = None,
    stops: Sequence[Stop | None] | None = None,
) -> Iterator[list[Generation]]:
    """Yield the rows after every step: always the same list, which grows. Arguments and errors as for `prefill`."""
    with evaluating(model):
        state = prefill(model, batch, options, eos=eos, vocab_size=vocab_size, stops=stops)
        while not state.done:
            yield step(state)


def generate(
    model: VLM,
    batch: Batch,
    options: GenerateOptions | Sequence[GenerateOptions] = GenerateOptions(),  # noqa: B008 - frozen
    *,
    eos: int | Collection[int],
    vocab_size: int | None = None,
    stops: Sequence[Stop | None] | None = None,
) -> list[Generation]:
    """Return the finished rows. Arguments and errors as for `prefill`."""
    *_, rows = stream(model, batch, options, eos=eos, vocab_size=vocab_size, stops=stops)
    return rows


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Context with the model in evaluation mode; afterwards every module has the mode that it had before."""
    training = [module for module in model.modules() if module.training]  # frozen parts do not train
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _width(model: VLM, options: Sequence[GenerateOptions]) -> int:
    """The beams of each row."""
    widths = sorted({int(one.beams) for one in options})
    if len(widths) > 1:
        problem = f"rows of one batch with {widths[0]} and {widths[1]}"
        raise OjitoError("beams", problem, "give each number a batch of its own, as Pipeline.generate does")
    most = model.config.decoder.vocab_size
    if widths[0] > most:
        raise OjitoError("beams", f"{widths[0]} for a vocabulary of {most} tokens", "4 is usual")
    return widths[0]


def _limits(model: VLM, batch: Batch, options: Sequence[GenerateOptions]) -> list[int]:
    """The most new tokens of each row."""
    if bool((batch.segments[:, -1] == PADDING).any()):
        raise OjitoError("batch", "the prompts are padded on the right", "use processor(samples), not training=True")
    most = model.config.decoder.max_positions
    lasts = batch.positions[:, -1].tolist()
    limits = [min(int(one.max_new_tokens), most - 1 - last) for one, last in zip(options, lasts, strict=True)]
    if min(limits) < 1:
        raise OjitoError(
            "batch",
            f"a prompt takes {most - min(limits)} positions, which leaves none of the decoder's {most} for an answer",
            "shorten it, or use fewer images",
        )
    return limits


def _group(options: Sequence[GenerateOptions]) -> list[tuple[Sampler, list[int]]]:
    """Each sampler with its rows."""
    groups: list[tuple[Sampler, list[int]]] = []
    for row, one in enumerate(options):
        for sampler, rows in groups:
            if sampler is one.sampler or sampler == one.sampler:
                rows.append(row)
                break
        else:
            groups.append((one.sampler, [row]))
    return groups


def _sample(state: State, logits: Tensor) -> Tensor:
    """(B,) the next token of every row, added to those that have not ended."""
    tokens = _choose(state, logits)
    for i, (row, token) in enumerate(zip(state.rows, tokens.tolist(), strict=True)):
        if not 0 <= token < logits.shape[1]:
            raise OjitoError(
                "sampler", f"{state.options[i].sampler!r} chose {token}", f"choose below {logits.shape[1]}"
            )
        if row.finish is None:
            row.finish = _add(row, token, state.eos, state.limits[i], state.stops[i])
    return tokens


def _search(state: State, search: BeamSearch, log_probs: Tensor) -> Tensor:
    """(B,) the next token of every beam, after the cache has them in their new order."""
    prompt = state.cache.length - search.length
    sources, tokens = search.advance(log_probs)
    for row, found in zip(state.rows, search.rows, strict=True):
        if found.done and row.finish is None:
            row.tokens, row.finish = found.ended[0].tokens, found.ended[0].finish
    # All beams of a row have read the same prompt, which stays where it is.
    state.cache.select(sources, prompt)
    order = torch.tensor(sources, device=log_probs.device)
    last = {name: getattr(state.batch, name)[order, -1:] for name in ("positions", "segments", "prefix", "targets")}
    state.batch = Batch(tokens=state.batch.tokens[order, -1:], **last)
    if state.seen is not None and state.penalties is not None:
        state.seen, state.penalties = state.seen[order], state.penalties[order]
    return torch.tensor(tokens, device=log_probs.device)


def _choose(state: State, logits: Tensor) -> Tensor:
    """(B,) the next token of every row, each by its own sampler."""
    chosen = torch.empty(len(logits), dtype=torch.int64, device=logits.device)
    for sampler, rows in state.samplers:
        every = len(rows) == len(logits)
        tokens = sampler.choose(logits if every else logits[rows], [state.generators[row] for row in rows])
        if not isinstance(tokens, Tensor) or tokens.shape != (len(rows),):
            found = tuple(tokens.shape) if isinstance(tokens, Tensor) else repr(tokens)
            raise OjitoError("sampler", f"{sampler!r} returned {found}", f"choose returns a tensor of {len(rows)} ids")
        if every:
            return tokens.to(chosen)
        chosen[rows] = tokens.to(chosen)
    return chosen


def _seen(batch: Batch, vocab_size: int) -> Tensor:
    """(B, V) bool: the tokens of each row's text."""
    is_text = (batch.tokens != IMAGE) & (batch.segments != PADDING)
    # One more column takes what is not text.
    seen = torch.zeros(len(batch.tokens), vocab_size + 1, dtype=torch.bool, device=batch.tokens.device)
    return seen.scatter_(1, batch.tokens.where(is_text, vocab_size), True)[:, :vocab_size]


def _add(row: Generation, token: int, eos: Collection[int], limit: int, stop: Stop | None) -> Finish | None:
    """Give a row its token; return why it ends there, or None."""
    if token in eos:
        return "eos"
    row.tokens.append(token)
    if stop is not None and stop(row.tokens):
        return "stop"
    return "length" if len(row.tokens) >= limit else None


def _next(batch: Batch, tokens: Tensor, last: int) -> Batch:
    """The tokens just chosen, as the batch to read next: each goes on in the segment of the one before.

    A row that ended because there is no position after the `last` stays there.
    """
    return Batch(
        tokens=tokens[:, None],
        positions=(batch.positions[:, -1:] + 1).clamp(max=last),
        segments=batch.segments[:, -1:],
        prefix=torch.zeros_like(batch.prefix[:, -1:]),
        targets=batch.targets[:, -1:],
    )
