"""Settings of data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ojito.config.rules import fraction, not_negative, positive, share
from ojito.settings import ConfigError


@dataclass(frozen=True)
class ScenesConfig:
    """Settings of the drawn scenes.

    Attributes:
        max_objects: The most objects of a scene, 1 to 9.
        questions: Turns about one training scene; the caption is always one of them.
    """

    max_objects: int = 4
    questions: int = 5

    def __post_init__(self) -> None:
        positive(self, "max_objects", "questions")
        if self.max_objects > 9:
            raise ConfigError(
                "max_objects", f"{self.max_objects} do not fit the nine places of a scene", "use 9 or less"
            )


@dataclass(frozen=True)
class ColourConfig:
    """How far the colours of a row's images are from their own, drawn anew every time; 0 leaves them.

    Questions about colours are answered from what is shown: with much of it, a red kite is learned as brown.

    Attributes:
        brightness: Light is multiplied by a number between 1 - brightness and 1 + brightness.
        contrast: The same for the distance from the image's mean grey.
        saturation: The same for the distance from the pixel's own grey.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        fraction(self, "brightness", "contrast", "saturation")

    @property
    def varies(self) -> bool:
        """Whether colours are changed at all."""
        return bool(self.brightness or self.contrast or self.saturation)


@dataclass(frozen=True)
class MixedConfig:
    """One source of a mixture.

    Attributes:
        path: A folder or a file, as `data.path`.
        weight: Its share of the rows of a run, beside those of the others; they need not add up to 1.
    """

    path: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("path", "'' names nothing", "give a folder or a file")
        positive(self, "weight")


@dataclass(frozen=True)
class DataConfig:
    """Data to learn from.

    Attributes:
        path: A folder or a file, in any form of docs/data.md, or a built-in source: "scenes", "photos16".
        mixture: Several sources in place of `path`, each with its share of a run: `[{path: a.jsonl, weight: 2}, {path:
            b, weight: 1}]`. Each is gone through in epochs of its own.
        split: The split to train on, where the rows name one.
        eval_split: The split to evaluate on during training; of dev, val, valid, validation and test, one stands for
            another that is not there. Without such rows, nothing is evaluated.
        hold_out: Share of the rows that is kept from training, by image, to score the model on, where the rows name no
            split; they become the split `eval_split`. 20 rows at least, none of fewer than 40; 0 holds nothing out.
        conversations: Whether the turns of a conversation read each other ("chat"), or are questions about their image
            like any others ("blind"), where `processor.prompt.turns` is blind.
        max_bad: Share of broken rows or images that is skipped (named and counted); above it training stops.
        pack: Tokens of a packed row, which holds as many samples as fit: a step then reads `train.batch_size` rows of
            so many tokens, nearly none of them padding. Samples of a row do not see each other, and none is cut. 0
            gives each sample a row of its own.
        workers: Processes that read images; 0 reads them between steps.
        prefetch: Batches that each of the workers reads ahead: workers x prefetch of them lie in memory, and no more.
        cache_mb: Memory for decoded images, MiB; 0 keeps none.
        rows_mb: Data whose rows take up to so many MiB of text are read whole at the start: bad rows are named at
            once, and rows about one image are joined. Of larger data, where the form allows it, an index is made, and
            rows are read when they are needed; 0 reads all data in this way.
        flip: Mirrors the images of half of the rows, left to right, drawn anew every time: twice as many images, where
            left, right and writing do not matter.
        vertical_flip: Exchanges top and bottom likewise, where up and down mean nothing, as in images from above.
        crop: The least share of an image's area that a row shows, drawn anew every time; 1 always shows all of it.
        colour: How far the colours of a row's images may be from their own, drawn anew every time.
        views: Where the vision tower does not learn (`train.freeze`), it encodes so many views of each image before
            the first step, and the steps draw from them: the image, mirrored with `flip`, and others with `crop`,
            `vertical_flip` and `colour`; at least one of each that is asked for. They lie in `cache_mb` of memory, or
            in a file in the model's folder. 0 encodes every image anew in every step.
    """

    path: str = "scenes"
    mixture: tuple[MixedConfig, ...] = ()
    split: str = "train"
    eval_split: str = "dev"
    hold_out: float = 0.05
    conversations: Literal["chat", "blind"] = "chat"
    max_bad: float = 0.05
    pack: int = 0
    workers: int = 0
    prefetch: int = 2
    cache_mb: int = 1024
    rows_mb: int = 64
    flip: bool = False
    vertical_flip: bool = False
    crop: float = 1.0
    views: int = 1
    colour: ColourConfig = field(default_factory=ColourConfig)
    scenes: ScenesConfig = field(default_factory=ScenesConfig)

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("path", "'' names nothing", "give a folder, a .jsonl or .csv file, scenes or photos16")
        paths = [mixed.path for mixed in self.mixture]
        for number, path in enumerate(paths):
            if path in paths[:number]:
                raise ConfigError(
                    f"mixture[{number}]", f"{path} is there twice", "give it once, with all of its weight"
                )
        share(self, max_bad=0.05)
        not_negative(self, pack="a row for each sample")
        not_negative(self, workers="reading between steps", cache_mb="no cache", views="encoding in every step")
        not_negative(self, rows_mb="an index of all data")
        positive(self, "prefetch")
        if not 0 < self.crop <= 1:
            raise ConfigError("crop", f"{self.crop} is no share of an image", "use for example 0.7, or 1 for no crop")
        fraction(self, "hold_out")

    @property
    def varies(self) -> bool:
        """Whether more than left and right is drawn of an image."""
        return self.crop < 1 or self.vertical_flip or self.colour.varies

    @property
    def encoded_views(self) -> int:
        """Views of each image that a frozen vision tower encodes before the first step; 0 means none."""
        return max(self.views, 1 + self.flip + self.varies) if self.views else 0
