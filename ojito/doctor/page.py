"""A page about an examination: what was found, with evidence and remedy, then what is in order, with the images."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from ojito.doctor.finding import Finding, Report, Severity, Shown
from ojito.processor import ImageError
from ojito.web_page import document, heading, thumbnail, tiles

_SECTIONS: tuple[tuple[Severity, str, str], ...] = (
    ("alarm", "Broken", "What has to be mended before anything else is worth looking at."),
    ("note", "Worth knowing", "A model may well be in order with these."),
    ("healthy", "In order", ""),
    ("skipped", "Not examined", ""),
)
_OPEN = ("alarm", "note")  # whose evidence and images are seen at once
_LETTERS = 600  # of a list in the evidence, at most

_STYLE = """
.finding { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--line);
  border-radius: 12px; padding: 14px 18px; margin-bottom: 12px; overflow-wrap: anywhere }
.finding.alarm { border-left-color: var(--wrong) } .finding.note { border-left-color: var(--warm) }
.finding.healthy { border-left-color: var(--right) }
.finding h3 { font-size: 14px; color: var(--soft); font-weight: 600; margin: 0 }
.finding .says { color: var(--ink); margin: 0; max-width: none }
.remedy { border-radius: 8px; background: var(--page); color: var(--ink); padding: 8px 12px; margin: 10px 0 0;
  max-width: none } .remedy b { color: var(--soft); font-weight: 600; margin-right: 6px }
.evidence { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 10px 0 0; font-size: 14px }
.evidence dt { margin: 0 } .evidence dd { font-variant-numeric: tabular-nums; white-space: pre-wrap }
dt { color: var(--soft) } dd { margin: 0 }
summary { color: var(--soft); font-size: 14px; cursor: pointer; margin-top: 6px }
.shown { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(132px, 45%), 1fr)); gap: 14px;
  margin-top: 14px }
.shown p { grid-column: 1 / -1; font-size: 14px; margin: 0; max-width: none }
.shown figure { margin: 0; font-size: 13px; line-height: 1.4 }
.shown .images { display: flex; gap: 4px; height: 112px; align-items: center; justify-content: center; padding: 6px;
  background: var(--page); border-radius: 8px; margin-bottom: 6px; color: var(--soft) }
.shown img { min-width: 0; max-width: 100%; max-height: 100%; object-fit: contain; display: block; flex: 0 1 auto;
  border: 1px solid var(--line) }
.shown img.drawn { height: 100% }
.shown figcaption { color: var(--soft) } .shown b { display: block; font-weight: 600; color: var(--ink) }
@media (max-width: 640px) { .evidence { grid-template-columns: 1fr } .evidence dd { margin-bottom: 4px } }
"""


def page(report: Report) -> str:
    """Return the HTML of a page about an examination."""
    by = {severity: [one for one in report.findings if one.severity == severity] for severity, *_ in _SECTIONS}
    about = f"Broken: {', '.join(report.alarms)}." if report.alarms else "Nothing is broken, as far as it was examined."
    numbers = [(f"{len(by[severity])}", title.lower(), f"of {len(report.findings)} findings")
               for severity, title, _ in _SECTIONS]  # fmt: skip
    parts = [heading(report.patient, about), tiles(numbers)]
    for severity, title, meaning in _SECTIONS:
        if by[severity]:
            parts.append(f"<h2>{title}</h2>" + (f"<p>{meaning}</p>" if meaning else ""))
            parts += map(_finding, by[severity])
    return document(f"Findings: {report.patient}", parts, _STYLE)


def _finding(one: Finding) -> str:
    more = _evidence(one.to_dict()["evidence"]) + _images(one.shown)
    if more and one.severity not in _OPEN:
        summary = "evidence and images" if one.shown else "evidence"
        more = f"<details><summary>{summary}</summary>{more}</details>"
    remedy = f'<p class="remedy"><b>Remedy</b>{escape(one.remedy)}</p>' if one.remedy else ""
    return (
        f'<section class="finding {one.severity}"><h3>{escape(one.examination)}</h3>'
        f'<p class="says">{escape(one.says)}</p>{remedy}{more}</section>'
    )


def _evidence(evidence: Mapping[str, Any]) -> str:
    rows = "".join(f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_told(value))}</dd>"
                   for name, value in evidence.items())  # fmt: skip
    return f'<dl class="evidence">{rows}</dl>' if rows else ""


def _told(value: Any) -> str:
    """A value as a person reads it: a mapping with a line each, a list with commas."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_told(one)}" for name, one in value.items())
    if isinstance(value, list):
        text = ", ".join(_told(one) if not isinstance(one, list) else json.dumps(one) for one in value)
        return text if len(text) <= _LETTERS else text[:_LETTERS] + " …"
    return value if isinstance(value, str) else json.dumps(value)


def _images(shown: Sequence[Shown]) -> str:
    """The images with what was said about them; a question that is asked of several stands once, above them."""
    parts = ""
    for about, group in groupby(shown, key=lambda one: one.about):
        same = [*group]
        parts += f"<p>{escape(about)}</p>" if len(same) > 1 else ""
        for one in same:
            images = "".join(_image(image, about) for image in one.images) or "no image"
            below = "" if len(same) > 1 else escape(about)
            parts += (
                f'<figure><div class="images">{images}</div>'
                f"<figcaption><b>{escape(one.said)}</b>{below}</figcaption></figure>"
            )
    return f'<div class="shown">{parts}</div>' if parts else ""


def _image(image: Any, about: str) -> str:
    try:
        return thumbnail(image, about, sys.maxsize)  # the examination read it: its limit was kept
    except ImageError as error:
        return escape(error.problem)
