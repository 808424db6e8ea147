"""Many samples through one running batch: a sample that is answered makes room for the next one."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ojito.errors import OjitoError
from ojito.generate import Finish, GenerateOptions, Request, Scheduler, StopTexts
from ojito.processor import ImageError, Processor, RowError
from ojito.processor.tiles import Tiles
from ojito.records import Sample, image_key

if TYPE_CHECKING:
    from ojito.records import ImageLike


@dataclass(frozen=True)
class Answer:
    """Answer of a model; `str(answer)` is its text.

    Attributes:
        text: Up to the stop text, where one ended it.
        tokens: All that were generated, without the end-of-text token.
        finish: Why it ended: "eos" (the model ended it), "length" (no more tokens allowed), "stop" (a stop text).
            A scheduler's rows may be "cancelled", too.
    """

    text: str
    tokens: tuple[int, ...]
    finish: Finish

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Question:
    """A sample whose row was submitted.

    Attributes:
        request: Its row.
        stops: What ends and cuts its text.
    """

    request: Request
    stops: StopTexts

    def answer(self) -> Answer:
        """Return what was generated, once it is complete."""
        row = self.request.answer
        return Answer(self.stops.cut(row.tokens), tuple(row.tokens), row.finish or "length")


def answer_each(
    processor: Processor,
    scheduler: Scheduler,
    samples: Iterable[Sample],
    options: GenerateOptions | Iterable[GenerateOptions],
    stop_texts: Callable[[GenerateOptions], StopTexts],
    *,
    ahead: int,
    strict: bool = False,
    keep: bool = False,
) -> Iterator[Answer | ImageError | RowError]:
    """Yield the answer to each sample once it is complete, in their order.

    A sample's images are opened when there is room for its row. An answer that is complete before an earlier one waits.

    Args:
        processor: Writes the rows.
        scheduler: Answers them.
        samples: What is asked.
        options: Of all samples, where the i-th that can be asked draws with `seed + i`; or one for each sample.
        stop_texts: What finds the stop texts of options.
        ahead: Samples that are taken before there is room for them: an image that one of them shows, too, is kept.
        strict: Whether a sample that cannot be asked raises its error, in place of yielding it in its turn.
        keep: Whether all images are kept for questions that are asked later. A row of many, of an image of its own,
            would only drive out what is asked about again.

    Raises:
        ImageError: An image cannot be read, and `strict` is set.
        RowError: A sample cannot be written as tokens, and `strict` is set.
        OjitoError: There are fewer options than samples; one of these is no sample; as for `Scheduler.submit` and
            `Scheduler.step`.
    """
    coming, each = _Coming(processor, samples, ahead), _Options(options)
    stops: dict[tuple[str, ...], StopTexts] = {}
    asked: deque[_Question | ImageError | RowError] = deque()
    while True:
        while asked and (not isinstance(asked[0], _Question) or asked[0].request.done):
            first = asked.popleft()
            yield first.answer() if isinstance(first, _Question) else first
        sample = coming.next() if scheduler.free else None
        if sample is not None:
            one = each.next()
            try:
                row = processor.row(sample, read=coming.read)
            except (ImageError, RowError) as error:
                if strict:
                    raise
                each.refused()
                asked.append(error)
                continue
            finally:
                again = coming.again(sample)
            if one.stop not in stops:
                stops[one.stop] = stop_texts(one)
            request = scheduler.submit(processor.batch([row], left=True), one, stops[one.stop], keep or again)
            asked.append(_Question(request, stops[one.stop]))
        elif asked:
            scheduler.step()
        else:
            return


class _Options:
    """The options of one sample after another."""

    def __init__(self, options: GenerateOptions | Iterable[GenerateOptions]) -> None:
        self._all = options if isinstance(options, GenerateOptions) else None
        self._each = iter(()) if isinstance(options, GenerateOptions) else iter(options)
        self._asked = 0

    def next(self) -> GenerateOptions:
        """Return those of the next sample."""
        self._asked += 1
        if self._all is not None:
            return dataclasses.replace(self._all, seed=self._all.seed + self._asked - 1)
        one = next(self._each, None)
        if one is None:
            raise OjitoError("options", "end before the samples do", "give one for each sample, or one for all")
        return one

    def refused(self) -> None:
        """Take it back that the sample counts."""
        self._asked -= 1


class _Coming:
    """Samples that are still to be asked, and the images that several of them show: each is read once.

    Args:
        processor: Reads them.
        samples: All of them.
        ahead: How many are known before it is their turn.
    """

    def __init__(self, processor: Processor, samples: Iterable[Sample], ahead: int) -> None:
        self._processor, self._samples, self._ahead = processor, iter(samples), ahead
        self._known: deque[Sample] = deque()
        self._uses: Counter[Hashable] = Counter()  # by samples that are known
        self._read: dict[Hashable, Tiles] = {}

    def next(self) -> Sample | None:
        """Return the next sample; None where there are no more."""
        for sample in islice(self._samples, max(0, self._ahead + 1 - len(self._known))):
            _check(sample)
            self._known.append(sample)
            self._uses.update(_images(sample))
        return self._known.popleft() if self._known else None

    def read(self, image: ImageLike) -> Tiles:
        """As `Processor.read_image`."""
        key = image_key(image)
        tiles = self._read.get(key) or self._processor.read_image(image)
        self._read[key] = tiles
        return tiles

    def again(self, sample: Sample) -> bool:
        """Forget a sample that has had its turn; return whether another one that is known shows one of its images."""
        images = _images(sample)
        self._uses.subtract(images)
        for key in images:
            if not self._uses[key]:
                del self._uses[key]
                self._read.pop(key, None)
        return any(key in self._uses for key in images)


def _check(sample: object) -> None:
    """Refuse what is no sample, such as the name of a file."""
    if not isinstance(sample, Sample):
        problem = f"hold a {type(sample).__name__} where a Sample is expected"
        raise OjitoError("samples", problem, "write ojito.Sample([image], question)")


def _images(sample: Sample) -> set[Hashable]:
    """The keys of a sample's images; none where they are no list, which the processor says."""
    return {image_key(image) for image in sample.images} if isinstance(sample.images, (list, tuple)) else set()
