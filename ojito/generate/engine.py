"""The engine: `prefill` reads the prompts and images once, then every `step` gives each row one more token or several.

Whoever generates, a loop, a stream, a scheduler or a benchmark, writes the same lines:

    state = prefill(model, batch, GenerateOptions(max_new_tokens=20), eos=tokenizer.ends)
    while not state.done:
        step(state)
    state.rows

A row that has ended leaves the batch, and costs nothing from then on. With beams a row of the batch becomes several
rows of the cache after the first step, and its answer is empty until the search has ended: which beam is the best one
is known then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from ojito.errors import OjitoError
from ojito.generate.beam import BeamSearch
from ojito.generate.choosing import check_finite, choose, finite, mask_allowed, seen_tokens
from ojito.generate.model import Model, evaluating
from ojito.generate.options import GenerateOptions, options_of_rows
from ojito.generate.rows import Generation, last_columns, make_rows, tokens_of
from ojito.generate.sampling import penalize
from ojito.generate.state import State
from ojito.generate.stops import Stop
from ojito.model import Columns, KVCache
from ojito.records import PADDING, Batch

MOST_PLACES = 32
"""Tokens of all rows together that a pass with guesses may read. Up to there a pass waits for memory, so that more
tokens are nearly free; beyond, arithmetic takes longer."""


@torch.inference_mode()
def prefill(
    model: Model,
    batch: Batch,
    options: GenerateOptions | Sequence[GenerateOptions] = GenerateOptions(),  # noqa: B008 - frozen
    *,
    eos: int | Collection[int],
    vocab_size: int | None = None,
    stops: Sequence[Stop | None] | None = None,
    known: Sequence[Columns | None] | None = None,
    cache: KVCache | None = None,
    room: int | None = None,
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
        known: For each row, what a cache held of its first tokens, which then are not read again; not of all of them.
            Where a row that brings images knows its own, all rows must.
        cache: Holds the keys and values from now on, and forgets what it held; grows where it is too small. None makes
            one.
        room: Tokens that fit into a row besides its prompt; None means those of the longest answer.

    Raises:
        OjitoError: As for `VLM.features`; options that are not one for each row, or differ in beams; more beams than
            tokens in the vocabulary; stop texts without `stops`; prompts padded on the right, or too long for the
            decoder's positions.
    """
    num_rows = len(batch.tokens)
    options = options_of_rows(options, num_rows)
    if stops is None and any(one.stop for one in options):
        raise OjitoError("stop", "the engine knows no texts", "use Pipeline.generate, or give stops")
    width = _width(model, options)
    known = [None] * num_rows if known is None else known
    begun = [0 if one is None else len(one) for one in known]
    rest = [count - first for count, first in zip(tokens_of(batch), begun, strict=True)]
    read = last_columns(batch, rest) if any(begun) else batch
    length = read.tokens.shape[1]
    # A row's padding stands between what it knows and what it reads.
    gaps = [slice(first, first + length - count) for first, count in zip(begun, rest, strict=True)]
    stops = [None] * num_rows if stops is None else stops
    rows = make_rows(batch, options, stops, gaps, model.config.decoder.max_positions)
    limits = [row.limit for row in rows]
    need = max(begun) + length + (max(limits) - 1 if room is None else room)
    cache = _begun_cache(model, cache, need, known)
    eos = frozenset({eos} if isinstance(eos, int) else eos)
    penalties = [float(one.repetition_penalty) for one in options]
    penalized = any(penalty != 1 for penalty in penalties)
    seen = seen_tokens(batch.to(model.device), model.config.decoder.vocab_size) if penalized else None
    read = read.to(model.device)
    with evaluating(model) if model.training else nullcontext():
        # Only the last position of a row decides how it goes on: the head is spared for all others.
        hidden = model.features(read, cache, last=True)[:, -1]
    return State(
        rows=[row.answer for row in rows],
        running=rows,
        model=model,
        cache=cache,
        batch=dataclasses.replace(read, images=None, patches=None, visual=None),
        hidden=hidden,
        eos=eos,
        vocab_size=vocab_size,
        search=BeamSearch(width, [one.length_penalty for one in options], limits, stops, eos) if width > 1 else None,
        seen=seen,
        penalties=torch.tensor(penalties, device=model.device)[:, None] if penalized else None,
    )


@torch.inference_mode()
def step(state: State) -> list[Generation]:
    """Give every row that has not ended one more token; return all rows, which are the state's own.

    A row whose next tokens are guessed, see `GenerateOptions.drafts`, gets as many as were guessed right, and one more.
    Rows that end leave. With beams every beam gets a token, and a row its answer when its search ends.

    Raises:
        OjitoError: Every row has ended; logits that are not finite; a sampler that returns no token for a row; a mask
            of allowed tokens that is none.
    """
    if not state.running:
        raise OjitoError("state", "every row has ended", "call step while not state.done")
    state.leave()  # rows that were cancelled, by another thread perhaps, and perhaps all of them
    if not state.running:
        return state.rows
    model = state.model
    guesses = _guess(state)
    with evaluating(model) if model.training else nullcontext():
        hidden = state.hidden
        if hidden is None:
            hidden = model.features(_with_guesses(state, guesses) if guesses else state.batch, state.cache)
            hidden = hidden if guesses else hidden[:, -1]
        logits = model.head(hidden)  # (B, V), or (B, T, V) with guesses
    state.hidden = None
    if state.search is not None:
        _search(state, state.search, logits)
        return state.rows
    logits = logits[..., : state.vocab_size]
    is_finite = finite(logits)
    first = logits[:, 0] if guesses else logits
    if state.seen is not None and state.penalties is not None:
        first = penalize(first, state.seen[:, : state.vocab_size], state.penalties)
    first = mask_allowed(state.running, first)
    tokens = choose(state.samplers, [row.generator for row in state.running], first)
    if state.seen is not None:
        state.seen.scatter_(1, tokens.clamp(0, state.seen.shape[1] - 1)[:, None], True)
    # The model's own choice after each guess.
    likeliest = torch.cat((tokens[:, None], logits[:, 1:].argmax(-1)), dim=1) if guesses else tokens[:, None]
    if not guesses:  # before the device is waited for, which then knows what comes next
        state.batch = _next(state.batch, tokens, 1, model.config.decoder.max_positions - 1)
    *said, was_finite = torch.cat((likeliest.flatten(), is_finite.to(tokens)[None])).tolist()
    check_finite(bool(was_finite))
    _check_tokens(state, said[:: likeliest.shape[1]], logits.shape[-1])
    if guesses:
        _accept(state, guesses, likeliest.shape[1], said)
    else:
        for row, token in zip(state.running, said, strict=True):
            row.add(token, state.eos)
    state.leave()
    return state.rows


def stream(
    model: Model,
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
    model: Model,
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


def _begun_cache(model: Model, cache: KVCache | None, length: int, known: Sequence[Columns | None]) -> KVCache:
    """A cache of rows of this length that holds what is known of each: this one emptied, or a new one."""
    if cache is None:
        cache = KVCache(model.config.decoder, len(known), length, model.dtype, model.device)
    else:
        cache.clear(0)
        cache.reserve(len(known), length)
        cache.clear(len(known))
    for number, columns in enumerate(known):
        if columns is not None:
            cache.write(number, columns)
    return cache


def _width(model: Model, options: Sequence[GenerateOptions]) -> int:
    """The beams of each row."""
    widths = sorted({int(one.beams) for one in options})
    if len(widths) > 1:
        problem = f"rows of one batch with {widths[0]} and {widths[1]}"
        raise OjitoError("beams", problem, "give each number a batch of its own, as Pipeline.generate does")
    most = model.config.decoder.vocab_size
    if widths[0] > most:
        raise OjitoError("beams", f"{widths[0]} for a vocabulary of {most} tokens", "4 is usual")
    return widths[0]


def _search(state: State, search: BeamSearch, logits: Tensor) -> None:
    """Give every beam its next token, after the cache has the beams in their new order."""
    log_probs = logits.log_softmax(dim=-1)  # of all ids, and before the penalty, as in transformers
    log_probs = log_probs[:, : state.vocab_size]
    check_finite(bool(finite(log_probs)))
    if state.seen is not None and state.penalties is not None:
        log_probs = penalize(log_probs, state.seen[:, : state.vocab_size], state.penalties)
    prompt = min(state.cache.lengths) - search.length
    sources, chosen = search.advance(log_probs)
    for row, found in zip(state.running, search.rows, strict=True):
        if found.done and row.answer.finish is None:
            row.answer.tokens, row.answer.finish = found.ended[0].tokens, found.ended[0].finish
    # All beams of a row have read the same prompt, which stays where it is.
    state.cache.select(sources, prompt)
    order = torch.tensor(sources, device=log_probs.device)
    last = {name: getattr(state.batch, name)[order, -1:] for name in ("positions", "segments", "prefix", "targets")}
    tokens = torch.tensor(chosen, device=log_probs.device)
    if state.seen is not None and state.penalties is not None:
        state.seen, state.penalties = state.seen[order], state.penalties[order]
        state.seen.scatter_(1, tokens[:, None], True)
    most = state.model.config.decoder.max_positions - 1
    state.batch = _next(Batch(tokens=state.batch.tokens[order, -1:], **last), tokens, 1, most)


def _check_tokens(state: State, tokens: Sequence[int], size: int) -> None:
    for row, token in zip(state.running, tokens, strict=True):
        if not 0 <= token < size:
            raise OjitoError("sampler", f"{row.options.sampler!r} chose {token}", f"choose below {size}")


def _guess(state: State) -> list[list[int]]:
    """Guesses at the next tokens of each row; empty where a pass with them would not pay."""
    if state.hidden is not None or state.search is not None:
        return []
    # Beside the guesses there is the token that they follow.
    most = min(MOST_PLACES // len(state.running), state.cache.capacity - state.cache.length) - 1
    if most < 1:
        return []
    guesses = [row.guess(most) for row in state.running]
    # Every row takes part in a pass as long as the longest guess needs it.
    return guesses if sum(map(len, guesses)) >= len(guesses) else []


def _with_guesses(state: State, guesses: Sequence[Sequence[int]]) -> Batch:
    """The tokens to read next with the guesses behind them, padded on the right."""
    batch, most, device = state.batch, max(map(len, guesses)), state.model.device
    counts = torch.tensor([len(guess) for guess in guesses], device=device)[:, None]
    behind = torch.tensor([[*guess, *[0] * (most - len(guess))] for guess in guesses], device=device)
    places = torch.arange(most + 1, device=device)
    return Batch(
        tokens=torch.cat((batch.tokens, behind), dim=1),
        positions=(batch.positions + places).clamp(max=state.model.config.decoder.max_positions - 1),
        segments=torch.where(places <= counts, batch.segments, PADDING),
        prefix=batch.prefix.expand(-1, most + 1),
        targets=batch.targets.expand(-1, most + 1),
    )


def _accept(state: State, guesses: Sequence[Sequence[int]], width: int, said: Sequence[int]) -> None:
    """Give each row the guesses that are what it would have said, and one token more; forget the other guesses.

    Args:
        state: After a pass with guesses.
        guesses: For each row.
        width: Places that a row had in the pass.
        said: What the model says at each place of each row.
    """
    counts, lasts = [], []
    for number, (row, guess) in enumerate(zip(state.running, guesses, strict=True)):
        chosen = said[number * width : (number + 1) * width]
        right = next((i for i, token in enumerate(guess) if token != chosen[i]), len(guess))
        if row.lookup is not None:
            row.lookup.judge(len(guess), right)
        for token in chosen[: right + 1]:
            row.add(token, state.eos)
            if row.answer.finish:
                break
        counts.append(right + 1)
        lasts.append(chosen[right])
        if right + 1 < width:
            state.cache.truncate(number, state.cache.lengths[number] - width + right + 1)
    device = state.model.device
    steps, tokens = torch.tensor(counts, device=device)[:, None], torch.tensor(lasts, device=device)
    state.batch = _next(state.batch, tokens, steps, state.model.config.decoder.max_positions - 1)


def _next(batch: Batch, tokens: Tensor, steps: int | Tensor, last: int) -> Batch:
    """The tokens just chosen, as the batch to read next: each goes on in the segment of the one before.

    A row that ended because there is no position after the `last` stays there.
    """
    return Batch(
        tokens=tokens[:, None],
        positions=(batch.positions[:, -1:] + steps).clamp(max=last),
        segments=batch.segments[:, -1:],
        prefix=torch.zeros_like(batch.prefix[:, -1:]),
        targets=batch.targets[:, -1:],
    )
