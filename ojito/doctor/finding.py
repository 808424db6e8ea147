"""What an examination found, and the report of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ojito.records import ImageLike

Severity = Literal["healthy", "note", "alarm", "skipped"]


@dataclass(frozen=True, eq=False)
class Shown:
    """Images that an examination made or sent, for a page about it.

    Attributes:
        images: PIL images, paths, or encoded ones.
        about: What was asked, or what the images show.
        said: What came of it: an answer, or a number.
    """

    images: tuple[ImageLike, ...]
    about: str
    said: str = ""


@dataclass(frozen=True)
class Finding:
    """The result of one examination.

    Attributes:
        severity: "alarm" means that something is broken; "note" that a person should know something of a model that
            may well be in order; "skipped" that it could not be examined.
        says: What was found, in a sentence.
        evidence: Numbers that it rests on, by name.
        remedy: What to do about it; empty where nothing is wrong.
        examination: Name of the examination. Whoever runs it fills it in.
        shown: Images that it rests on, which JSON leaves out.
    """

    severity: Severity
    says: str
    evidence: dict[str, Any] = field(default_factory=dict)
    remedy: str = ""
    examination: str = ""
    shown: tuple[Shown, ...] = field(default=(), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {
            "examination": self.examination,
            "severity": self.severity,
            "says": self.says,
            "evidence": {name: _plain(value) for name, value in self.evidence.items()},
            "remedy": self.remedy,
        }


def healthy(says: str, **evidence: Any) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding("healthy", says, evidence)


def note(says: str, remedy: str, **evidence: Any) -> Finding:
    """Return a finding that is worth knowing, and no fault."""
    return Finding("note", says, evidence, remedy)


def alarm(says: str, remedy: str, **evidence: Any) -> Finding:
    """Return a finding that something is broken."""
    return Finding("alarm", says, evidence, remedy)


def skipped(says: str) -> Finding:
    """Return that it could not be examined, and why."""
    return Finding("skipped", says)


@dataclass(frozen=True)
class Report:
    """The findings of all examinations, in the order in which they were made.

    Attributes:
        patient: What was examined: the name of a model, or the address of a server.
        findings: One or several of each examination.
    """

    patient: str
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> tuple[str, ...]:
        """Names of the examinations that found something broken."""
        return tuple(dict.fromkeys(one.examination for one in self.findings if one.severity == "alarm"))

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken, as far as it was examined."""
        return not self.alarms

    def of(self, examination: str) -> Finding:
        """Return the finding of an examination."""
        return next(one for one in self.findings if one.examination == examination)

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {
            "patient": self.patient,
            "healthy": self.healthy,
            "alarms": list(self.alarms),
            "findings": [one.to_dict() for one in self.findings],
        }


def _plain(value: Any) -> Any:
    """Round numbers to what a reader needs: JSON has no nan, and nobody reads the ninth digit."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value
