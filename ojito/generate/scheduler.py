"""The scheduler: rows join a running batch and leave it at any step, each with its own options.

scheduler = Scheduler(model, eos=tokenizer.ends, rows=8)
first = scheduler.submit(processor([sample]), GenerateOptions(seed=1))
second = scheduler.submit(processor([other]), GenerateOptions(max_new_tokens=9))
for tokens in first:  # as they come; meanwhile the second is answered, too
    print(tokens)
scheduler.run()       # until all are answered
print(second.answer.tokens)
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.errors import OjitoError
from ojito.generate.engine import prefill, step
from ojito.generate.model import Model, evaluating
from ojito.generate.options import GenerateOptions
from ojito.generate.prefix import Beginning, PrefixCache, find_beginning
from ojito.generate.rows import Generation, collate, last_columns, limits_of, tokens_of
from ojito.generate.state import State
from ojito.generate.stops import Stop
from ojito.model import Columns, KVCache

if TYPE_CHECKING:
    from ojito.records import Batch


@dataclass(eq=False)
class Request:
    """A row that was submitted. Iterate over it, or look at `answer` between steps.

    Attributes:
        scheduler: Where it was submitted.
        batch: The prompt, one row; None once it is read.
        options: How to answer.
        stop: What finds the texts of `options.stop`.
        length: Tokens of the prompt plus the most of the answer.
        beginning: The part that other rows may share.
        keep: Whether that part is kept for rows that are submitted later.
        answer: So far.
    """

    scheduler: Scheduler
    batch: Batch | None
    options: GenerateOptions
    stop: Stop | None
    length: int
    beginning: Beginning
    keep: bool
    answer: Generation = field(default_factory=Generation)

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        return self.answer.finish is not None

    def cancel(self) -> None:
        """Give up: the row leaves before the next step, and its answer stays as it is."""
        if not self.done:
            self.answer.finish = "cancelled"

    def __iter__(self) -> Iterator[list[int]]:
        """Yield new tokens as they come, and let the scheduler step until they do. Errors as for `Scheduler.step`."""
        given = 0
        while True:
            new = self.answer.tokens[given:]
            if new:
                given += len(new)
                yield new
            elif self.done:
                return
            else:
                self.scheduler.step()


class Scheduler:
    """Answers rows together, up to a number of them at once; others wait, first come, first served.

    In float32 a row's answer does not depend on the rows beside it. In bfloat16 and float16 it may, where two tokens
    are nearly as likely; what is submitted in the same order between the same steps is answered the same.

    All rows share one key-value cache. It is allocated for those that come first, and moves only if more rows run, or
    longer ones join, than ever before. Rows with beams are searched in batches of their own, while no others run; each
    counts once, whatever its beams.

    One thread steps; `submit` and `cancel` may be called from others.

    Args:
        model: In evaluation mode while it steps.
        eos: The token that ends a row, or several, any of which does.
        vocab_size: Ids from this on are no tokens and never chosen; None means that all are.
        rows: The most rows that run at once.
        prefixes: Keeps what rows about the same images have in common, so that it is encoded and read once; None reads
            every row by itself.

    Raises:
        OjitoError: Less than one row.
    """

    def __init__(
        self,
        model: Model,
        *,
        eos: int | Collection[int],
        vocab_size: int | None = None,
        rows: int = 32,
        prefixes: PrefixCache | None = None,
    ) -> None:
        if rows < 1:
            raise OjitoError("rows", f"{rows} answer nothing", "use 1 or more, for example 32")
        self._model, self._eos, self._vocab_size, self._rows = model, eos, vocab_size, rows
        self._prefixes = prefixes
        self._waiting: deque[Request] = deque()
        self._joined: list[Request] = []  # and not done
        self._state: State | None = None
        self._cache: KVCache | None = None

    @property
    def running(self) -> int:
        """Rows that are being answered."""
        return 0 if self._state is None or self._state.done else len(self._state.running)

    @property
    def free(self) -> int:
        """Rows that could join at the next step, were they submitted now."""
        return max(0, self._rows - self.running - len(self._waiting))

    @property
    def done(self) -> bool:
        """Whether nothing runs or waits."""
        return not self.running and not self._waiting

    def submit(
        self,
        batch: Batch,
        options: GenerateOptions = GenerateOptions(),  # noqa: B008 - frozen
        stop: Stop | None = None,
        keep: bool = True,
    ) -> Request:
        """Let a row wait for its turn.

        Args:
            batch: Its prompt, as `processor([sample])` makes it.
            options: How to answer.
            stop: What finds the texts of `options.stop` in its tokens.
            keep: Whether its beginning and its images are kept for rows that are submitted later.

        Raises:
            OjitoError: Several rows; stop texts without `stop`; a prompt that is too long for the decoder's positions,
                or whose images do not fill its placeholders.
        """
        if len(batch.tokens) != 1:
            raise OjitoError("batch", f"has {len(batch.tokens)} rows", "submit them one by one")
        if options.stop and stop is None:
            raise OjitoError("stop", "the scheduler knows no texts", "use Pipeline.generate, or give stop")
        batch = last_columns(batch, tokens_of(batch))  # without padding
        (limit,) = limits_of(batch, [options], self._model.config.decoder.max_positions)
        self._model.check(batch)
        beginning = Beginning(0, b"", ())
        if self._prefixes is not None:
            beginning = find_beginning(batch, self._model.config.decoder.mask)
        request = Request(self, batch, options, stop, batch.tokens.shape[1] + limit, beginning, keep)
        self._waiting.append(request)
        return request

    @torch.inference_mode()
    def step(self) -> None:
        """Give every row that runs a token, or several that were guessed; then the rows that join their first one.

        Raises:
            OjitoError: As for `prefill` and `step`; all that run or were about to are then cancelled.
        """
        try:
            with evaluating(self._model) if self._model.training else nullcontext():
                if self._state is not None:
                    self._state.leave()
                    if self._state.running:
                        step(self._state)
                self._admit()
        except BaseException:  # an interrupt, too, leaves a batch that nobody knows the state of
            for request in self._joined:
                request.cancel()
            self._state = self._cache = None
            raise
        finally:
            self._joined = [request for request in self._joined if not request.done]

    def run(self) -> None:
        """Step until all rows are answered. Errors as for `step`."""
        while not self.done:
            self.step()

    def _admit(self) -> None:
        """Read the prompts of the rows whose turn it is, and give each its first token."""
        chosen = self._choose()
        if not chosen:
            return
        self._make_room(chosen)
        # Asked each time: weights may have changed since, or another model may have used the same cache.
        prefixes = self._prefixes if self._prefixes is not None and self._prefixes.follow(self._model) else None
        if prefixes is None or chosen[0].options.beams > 1:
            self._read(chosen, {}, (), prefixes)
            return
        known: dict[bytes, Columns] = {}
        for request in chosen:
            found = prefixes.columns(request.beginning.key) if request.beginning.length else None
            if found is not None:
                known[request.beginning.key] = found
        # Those of which nothing is known are read first, one for each beginning; the others then know it from them.
        leaders: set[bytes] = set()
        first, then = [], []
        for request in chosen:
            key = request.beginning.key
            if request.beginning.length and (key in known or key in leaders):
                then.append(request)
            else:
                leaders.add(key)
                first.append(request)
        shared = {request.beginning.key for request in then}
        for requests in (first, then):
            if requests:
                self._read(requests, known, shared, prefixes)

    def _choose(self) -> list[Request]:
        """Take the rows that join now out of the queue."""
        while self._waiting and self._waiting[0].done:  # cancelled
            self._waiting.popleft()
        waiting = [request for request in list(self._waiting) if not request.done]
        if not waiting:
            return []
        searching = self.running > 0 and self._state is not None and self._state.search is not None
        width = waiting[0].options.beams
        if searching or (width > 1 and self.running):
            return []
        room, chosen = self._rows - self.running, list[Request]()
        for request in waiting:
            if len(chosen) == room or request.options.beams != width:
                break
            chosen.append(request)
        self._joined += chosen  # before they leave the queue: an interrupt in between must not lose them
        while self._waiting and (self._waiting[0].done or self._waiting[0] in chosen):
            self._waiting.popleft()
        return chosen

    def _make_room(self, chosen: Sequence[Request]) -> None:
        """Make room in the cache for these rows beside those that run."""
        needed = self.running + len(chosen)
        if self._cache is None:
            length = max(request.length for request in chosen)
            model = self._model
            self._cache = KVCache(model.config.decoder, needed, length, model.dtype, model.device)
        elif needed > self._cache.rows:
            # Twice as many, so that it seldom moves where rows come one by one.
            self._cache.reserve(min(self._rows, max(needed, 2 * self._cache.rows)), self._cache.capacity)

    def _read(
        self,
        requests: Sequence[Request],
        known: dict[bytes, Columns],
        shared: Collection[bytes],
        prefixes: PrefixCache | None,
    ) -> None:
        """Read the prompts of these rows; the rows join after their first token.

        Args:
            requests: The rows.
            known: Beginnings that need not be read; those that are read here are added.
            shared: The beginnings that rows after these will look up.
            prefixes: Where images are looked up, and what is to be kept goes; None where there is none.
        """
        columns = [known.get(request.beginning.key) for request in requests]
        batches = [request.batch for request in requests if request.batch is not None]
        if columns[0] is not None:
            batches = [dataclasses.replace(batch, images=None) for batch in batches]
        batch = collate(batches)
        if prefixes is not None and batch.images is not None:
            visual = self._visual(requests, batch.images, prefixes)
            batch = dataclasses.replace(batch, images=None, visual=visual)
        joins = self.running > 0
        others = prefill(
            self._model,
            batch,
            [request.options for request in requests],
            eos=self._eos,
            vocab_size=self._vocab_size,
            stops=[request.stop for request in requests],
            known=columns,
            cache=None if joins else self._cache,
            room=0 if joins else None,
        )
        for number, (request, row) in enumerate(zip(requests, others.running, strict=True)):
            length, key = request.beginning.length, request.beginning.key
            keep = request.keep and prefixes is not None
            if length and columns[number] is None and (keep or key in shared):
                known[key] = others.cache.columns(number, slice(row.gap.stop, row.gap.stop + length)).copy()
                if keep and prefixes is not None:
                    prefixes.put(key, known[key])
            # The request's own, which another thread may have cancelled meanwhile, or may be about to.
            row.answer = others.rows[number] = request.answer
            request.batch = None
        step(others)
        if not others.running:  # each ended with its first token, or was cancelled
            return
        if joins and self._state is not None:
            self._state.join(others)
        else:
            self._state, self._cache = others, others.cache

    def _visual(self, requests: Sequence[Request], images: Tensor, prefixes: PrefixCache) -> Tensor:
        """(N, P, D) visual tokens of the images of these rows, each encoded once."""
        keys = [key for request in requests for key in request.beginning.images]
        keep = {key for request in requests if request.keep for key in request.beginning.images}
        found = {key: visual for key in keys if (visual := prefixes.visual(key)) is not None}
        new = {key: place for place, key in enumerate(keys) if key not in found}
        if new:
            chosen = images if len(new) == len(images) else images[list(new.values())]
            visual = self._model.encode(chosen.to(self._model.device))
            for key, tokens in zip(new, visual, strict=True):
                found[key] = tokens
                if key in keep:
                    prefixes.put(key, tokens.clone())
        return torch.stack([found[key] for key in keys])
