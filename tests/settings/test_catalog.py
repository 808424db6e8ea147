"""The catalog of settings: descriptions come from the dataclasses' docstrings, and there is one for every setting."""

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Union

import pytest

from ojito.config import Config
from ojito.settings import ConfigError, describe_settings, group_names
from ojito.settings.catalog import attributes


@dataclass(frozen=True)
class Round:
    """A round thing.

    Attributes:
        radius: In pixels, of
            the outer edge: never 0.
    """

    kind: Literal["round"] = "round"
    radius: int = 3


@dataclass(frozen=True)
class Square:
    """A square thing.

    Attributes:
        side, other: In pixels.

    Nothing: to see.
    """

    kind: Literal["square"] = "square"
    side: float = 1.5
    other: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Whole:
    """All of it.

    Attributes:
        name: Its name.
    """

    shape: Union[Round, Square] = field(default_factory=Round)
    name: str = "x"
    only: Square = field(default_factory=lambda: Square(side=9.0))


def test_description_is_the_docstrings_on_one_line():
    assert attributes(Round) == {"radius": "In pixels, of the outer edge: never 0."}
    assert attributes(Square) == {"side": "In pixels.", "other": "In pixels."}
    assert attributes(dataclasses.make_dataclass("Bare", [("x", int)])) == {}


def test_settings_come_with_key_type_default_and_kind():
    assert [tuple(setting) for setting in describe_settings(Whole)] == [
        ("name", "text", "x", "Its name.", ""),
        ("shape.kind", "round", "round", "", "round"),
        ("shape.radius", "whole number", 3, "In pixels, of the outer edge: never 0.", "round"),
        ("shape.kind", "square", "square", "", "square"),
        ("shape.side", "number", 1.5, "In pixels.", "square"),
        ("shape.other", "list, each whole number", [1, 2], "In pixels.", "square"),
        ("only.kind", "square", "square", "", ""),
        ("only.side", "number", 9.0, "In pixels.", ""),
        ("only.other", "list, each whole number", [1, 2], "In pixels.", ""),
    ]


def test_first_lines_of_groups_are_given():
    assert dict(group_names(Whole)) == {"shape": "", "only": "A square thing."}


@dataclass(frozen=True)
class Loud(Square):
    """A loud one.

    Attributes:
        volume: In decibels.
        side: Of the loud one.
    """

    TAG: ClassVar[str] = "mode"

    mode: Literal["loud"] = "loud"
    volume: int = 1

    def __post_init__(self):
        assert self.volume > 1, "no instance with the defaults"


@dataclass(frozen=True)
class Quiet:
    """A quiet one."""

    TAG: ClassVar[str] = "mode"

    mode: Literal["quiet"] = "quiet"


@dataclass(frozen=True)
class Chosen:
    """Of two kinds, told apart by another setting than `kind`."""

    of: Union[Quiet, Loud] = field(default_factory=Quiet)


def test_kind_may_have_another_name_and_descriptions_are_inherited():
    found = {(setting.key, setting.kind): setting.about for setting in describe_settings(Chosen)}
    assert found == {
        ("of.mode", "quiet"): "",
        ("of.kind", "loud"): "",
        ("of.side", "loud"): "Of the loud one.",
        ("of.other", "loud"): "In pixels.",
        ("of.mode", "loud"): "",
        ("of.volume", "loud"): "In decibels.",
    }


def test_unknown_group_names_the_nearest():
    with pytest.raises(ConfigError) as error:
        describe_settings(Whole, "shap")
    assert (error.value.where, error.value.remedy) == ("shap", "did you mean shape?")


@pytest.mark.parametrize("setting", describe_settings(Config), ids=lambda s: f"{s.key}-{s.kind}".rstrip("-"))
def test_every_setting_is_described(setting):
    assert setting.about.endswith((".", ")")), f"{setting.key} needs a sentence in its class's Attributes"
