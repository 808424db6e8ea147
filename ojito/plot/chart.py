"""A page of charts of one run, or of several on top of each other, drawn by matplotlib (extra `log`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ojito.errors import OjitoError
from ojito.plot.curves import Curve, Run
from ojito.plot.text import duration

Axes = Any  # matplotlib's, which need not be there

FORMS = (".svg", ".png", ".pdf")

_FALL = 0.03  # of the run
_DECADES = 1e4
_INK, _FAINT, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626", "#0891b2", "#ca8a04", "#db2777")
_PARTS = {"vision": "#2563eb", "connector": "#ea580c", "decoder": "#059669", "all": "#9aa5b1"}
_STYLE: Any = {
    "font.family": "sans-serif", "font.size": 9.5, "text.color": _INK, "svg.hashsalt": "ojito",
    "axes.edgecolor": _GRID, "axes.labelcolor": _FAINT, "axes.titlecolor": _INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": _GRID, "grid.linewidth": 0.8,
    "xtick.color": _FAINT, "ytick.color": _FAINT, "xtick.major.size": 0, "ytick.major.size": 0,
    "ytick.minor.size": 0, "xtick.minor.size": 0, "lines.solid_capstyle": "round", "legend.frameon": False,
}  # fmt: skip


def write_chart(runs: Sequence[Run], path: Path | str) -> None:
    """Draw the curves of runs into a file. The same runs make the same file.

    Args:
        runs: One or more, all over the same x.
        path: The file; its ending decides on the form, see `FORMS`.

    Raises:
        OjitoError: matplotlib is missing, or the file cannot be written.
    """
    path = Path(path)
    try:
        import matplotlib  # not at the top: it is an extra, and takes a second
        from matplotlib.figure import Figure
    except ImportError as error:
        problem = f"matplotlib, which draws it, cannot be imported ({error})"
        raise OjitoError(path, problem, "install it with: pip install 'ojito[log]'") from None
    with matplotlib.rc_context(_STYLE):
        panels = panels_of(runs)
        rows = 1 + math.ceil((len(panels) - 1) / 2)
        figure: Any = Figure(figsize=(10.5, 3.9 + 2.2 * (rows - 1)), layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1, hspace=0.03, wspace=0.03)
        grid = figure.add_gridspec(rows, 2, height_ratios=[1.4] + [1.0] * (rows - 1))
        for number, panel in enumerate(panels):
            place = grid[0, :] if not number else grid[1 + (number - 1) // 2, (number - 1) % 2]
            panel.draw(figure.add_subplot(place), runs)
        for axes in figure.axes[-2:]:
            axes.set_xlabel(runs[0].by, loc="right", fontsize=9)
        _head(figure, runs)
        _settle(figure)
        try:
            figure.savefig(path, dpi=160, metadata=_metadata(path))
        except OSError as error:
            raise OjitoError(path, f"cannot be written ({error.strerror})", "give another file") from error


def panels_of(runs: Sequence[Run]) -> list[_Panel]:
    """Return the charts that have something to show, the loss at least."""
    return [panel for panel in _PANELS if any(panel.has(run) for run in runs)] or [*_PANELS[:1]]


def _metadata(path: Path) -> dict[str, Any]:
    """What makes a file the same at another time."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})


def _settle(figure: Any) -> None:
    """Lay out the charts, at places that are rounded: the last bits of the layout differ between two drawings."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(value, 6) for value in axes.get_position().bounds])


def _head(figure: Any, runs: Sequence[Run]) -> None:
    """The names of the runs, and what they took."""
    if len(runs) > 1:
        from matplotlib.lines import Line2D

        lines = [Line2D([], [], color=_colour(i), linewidth=2.4) for i in range(len(runs))]
        names = [_length(run) for run in runs]
        figure.legend(lines, names, loc="outside upper left", ncols=1 + (len(runs) > 3), fontsize=10)
        return
    figure.suptitle(_length(runs[0]), x=0.012, ha="left", fontsize=12.5, fontweight="bold")


def _length(run: Run) -> str:
    samples = f", {run.samples:,} samples" if run.samples else ""
    took = f"{run.steps:,} steps{samples}, {duration(run.seconds)}" if run.steps else "no steps yet"
    return f"{run.name}   {took}"


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


class _Panel:
    """One chart of the page.

    Args:
        title: Above it.
        names: The curves that it shows; "grad_norm/" stands for all of a group.
        draw: Draws one run, with its number among `total`.
        finish: Is called at the end.
    """

    def __init__(
        self,
        title: str,
        names: Sequence[str],
        draw: Callable[[Axes, Run, str, bool], None],
        finish: Callable[[Axes], None] = lambda axes: None,
    ) -> None:
        self.title, self._names, self._draw, self._finish = title, names, draw, finish

    def has(self, run: Run) -> bool:
        """Whether the run has something to show here."""
        return any(
            curve.values and any(key == name or (name[-1] == "/" and key.startswith(name)) for name in self._names)
            for key, curve in run.curves.items()
        )

    def draw(self, axes: Axes, runs: Sequence[Run]) -> None:
        """Draw all runs, as far as they went."""
        for number, run in enumerate(runs):
            self._draw(axes, run, _colour(number), len(runs) == 1)
        ends = [x for run in runs for curve in run.curves.values() for x in curve.x[-1:]]
        if ends and max(ends) > 0:
            axes.set_xlim(-0.01 * max(ends), 1.015 * max(ends))
        self._finish(axes)
        axes.set_title(self.title, loc="left", fontsize=10.5, fontweight="bold", pad=8)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8.5, labelcolor=_INK, loc="best", ncols=2, handlelength=1.4, columnspacing=1.2)


def _line(axes: Axes, curve: Curve, colour: str, label: str | None = None, smooth: bool = True) -> None:
    """A curve as it is, faint, and smooth; or as it is alone."""
    smoothed = curve.smooth() if smooth else curve
    if smoothed is not curve:
        axes.plot(curve.x, curve.y, color=colour, alpha=0.25, linewidth=0.9)
    points = {"marker": "o", "markersize": 3.5} if len(curve.values) < 12 else {}
    axes.plot(smoothed.x, smoothed.y, color=colour, label=label, linewidth=1.9, **points)
    alone = curve.alone()  # a line through one point is nothing to see
    axes.plot(alone.x, alone.y, color=colour, linewidth=0, marker="o", markersize=3)


def _loss(axes: Axes, run: Run, colour: str, alone: bool) -> None:
    _line(axes, run.curves.get("loss", Curve()), colour, "training" if alone else None)
    held_out = run.curves.get("loss_right")
    if held_out:
        style: dict[str, Any] = {"linewidth": 1.3, "linestyle": (0, (3, 2)), "marker": "o", "markersize": 3}
        axes.plot(held_out.x, held_out.y, color=_COLOURS[1] if alone else colour, alpha=0.9, **style,
                  label="a few fixed rows" if alone else None)  # fmt: skip
    if not run.curves:
        axes.text(0.5, 0.5, "no steps yet", transform=axes.transAxes, ha="center", color=_FAINT)


def _gap(axes: Axes, run: Run, colour: str, alone: bool) -> None:
    gap, error = run.curves.get("grounding_gap", Curve()), run.curves.get("grounding_error", Curve())
    if len(gap.x) == len(error.x):
        low = [a - 2 * b for a, b in zip(gap.y, error.y, strict=True)]
        high = [a + 2 * b for a, b in zip(gap.y, error.y, strict=True)]
        axes.fill_between(gap.x, low, high, color=colour, alpha=0.14 if alone else 0.07, linewidth=0)
    points = {"marker": "o", "markersize": 3.5} if len(gap.x) < 30 else {}
    axes.plot(gap.x, gap.y, color=colour, linewidth=1.9, **points)


def _parts(group: str, smooth: bool) -> Callable[[Axes, Run, str, bool], None]:
    """A line for each part of the model; of several runs, one each, for all of it or for the decoder."""

    def draw(axes: Axes, run: Run, colour: str, alone: bool) -> None:
        curves = run.group(group)
        if not alone:
            _line(axes, curves.get("all") or curves.get("decoder") or Curve(), colour, smooth=smooth)
            return
        for part, curve in curves.items():
            if part != "all":
                _line(axes, curve, _PARTS.get(part, _FAINT), part, smooth)

    return draw


def _one(name: str, smooth: bool = True) -> Callable[[Axes, Run, str, bool], None]:
    return lambda axes, run, colour, alone: _line(axes, run.curves.get(name, Curve()), colour, smooth=smooth)


def _scores(axes: Axes, run: Run, colour: str, alone: bool) -> None:
    styles = ("-", (0, (4, 2)), (0, (1, 1.5)), "-.")
    for number, (name, curve) in enumerate(run.group("evaluation").items()):
        own = _colour(number) if alone else colour
        style: Any = "-" if alone else styles[number % len(styles)]
        label = name.replace("_", " ") if alone else None
        axes.plot(curve.x, curve.y, color=own, label=label, linestyle=style, linewidth=1.9, marker="o", markersize=4)


def _values(axes: Axes, after: float = -math.inf) -> list[float]:
    """The numbers that are drawn, from some x on."""
    points = [point for line in axes.lines for point in zip(line.get_xdata(), line.get_ydata(), strict=False)]
    return [y for x, y in points if x >= after and math.isfinite(y)]


def _without_first_fall(axes: Axes) -> None:
    """Leave out the fall from a loss that a model has by chance, which would make all that comes after it flat."""
    rest = _values(axes, after=_FALL * axes.get_xlim()[1])
    if rest:
        margin = 0.06 * (max(rest) - min(rest)) or 0.05
        axes.set_ylim(min(rest) - margin, max(rest) + margin)


def _zero(axes: Axes) -> None:
    axes.axhline(0, color=_FAINT, linewidth=1)


def _log(axes: Axes) -> None:
    """A logarithmic scale over the decades that matter, with plain numbers."""
    values = [value for value in _values(axes) if value > 0]
    if not values:
        return
    high, low = max(values), max(min(values), max(values) / _DECADES)
    axes.set_yscale("log")
    axes.set_ylim(low / 1.3, high * 1.3)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    few = high / low < 300
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if few and f"{value:.0e}"[0] in "25" else "")


def _from_zero(axes: Axes) -> None:
    values = _values(axes)
    axes.set_ylim(0, 1.1 * max(values) if values and max(values) > 0 else 1)


_PANELS = (
    _Panel("Loss, nats per token (dashed: of a few fixed rows)", ("loss",), _loss, _without_first_fall),
    _Panel("Grounding gap, nats per token ± 2 standard errors", ("grounding_gap",), _gap, _zero),
    _Panel("Scores", ("evaluation/",), _scores, _from_zero),
    _Panel("Gradient norm, before clipping", ("grad_norm/",), _parts("grad_norm", True), _log),
    _Panel("Change of the weights in a step, relative", ("update_ratio/",), _parts("update_ratio", False), _log),
    _Panel("Learning rate", ("lr",), _one("lr", False), _from_zero),
    _Panel("Samples per second", ("samples_per_second",), _one("samples_per_second"), _from_zero),
    _Panel("Share of the device's peak (MFU)", ("mfu",), _one("mfu"), _from_zero),
)
