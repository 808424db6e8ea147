"""`ojito train`: from a recipe to a model in a folder."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ojito.commands.hints import check_words
from ojito.config import Config, only_length
from ojito.errors import UsageError
from ojito.presets import OWN_DATA, settings_of
from ojito.settings import ConfigError, merge, override, read, read_yaml, to_yaml, write

if TYPE_CHECKING:
    from ojito.checkpoint.description import Described
    from ojito.training import TrainResult

DEFAULT = "tiny"
SIGNALLED = 128
"""Exit code of a run that a signal ended, less the signal's number: 130 is Ctrl-C."""


def run(args: Namespace) -> int:
    """Train, save, evaluate, and say what to try next. A signal ends the training, not the saving."""
    check_words(args.settings)
    base = None
    if args.base is not None:
        check_flags(args)
        from ojito.checkpoint.folder import describe

        base = describe(_find_folder(args), base=_find_base(args))
    config = recipe(args, base)
    if args.print_config:
        print(json.dumps(write(config), indent=1) if args.json else to_yaml(write(config)), end="\n" * args.json)
        return 0
    from ojito.commands.paths import check_data, check_place  # here, so that a setting is named before torch is there

    out = Path(f"runs/{config.name}" if args.out is None else args.out)
    check_place(out, args.force or args.resume != "no")
    _check_own_data(args, config)
    check_data(config.data.path)
    from ojito.trainer.ranks import is_first
    from ojito.training import train

    result = train(config, out=out, weights=base, device=args.device, force=args.force, resume=args.resume)
    try:
        if is_first():
            _conclude(result, config, out, args.json)
        sys.stdout.flush()
    except OSError:
        if result.history.signal != getattr(signal, "SIGHUP", None):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the terminal that would read it is closed
    return SIGNALLED + result.history.signal if result.history.interrupted else 0


def _check_own_data(args: Namespace, config: Config) -> None:
    """Ask for images, where a preset is for the user's own and the command line and --config name none.

    Raises:
        UsageError: There are none.
    """
    named = args.data or args.config or any(word.startswith("data.path") for word in args.settings)
    if config.data.path == OWN_DATA and not named and not Path(OWN_DATA).exists():
        raise UsageError("", f"{config.name} has no images of its own", "give yours: --data FILE_OR_FOLDER")


def check_flags(args: Namespace) -> None:
    """Find what is wrong without the model of --from, which may have to be fetched.

    Raises:
        ConfigError: --config cannot be read, or a setting has no value.
        DataError: There are no such data.
        UsageError: There are two models to start from, or none may be put into --out.
    """
    from ojito.commands.paths import check_data, check_place

    values, _ = _start(args)
    values = _override(values, args)
    if args.print_config:
        return
    if args.out is not None:
        check_place(Path(args.out), args.force or args.resume != "no")
    data = values.get("data")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        check_data(data["path"])


def recipe(args: Namespace, base: Described | None = None) -> Config:
    """The settings of the command line, each source of them winning over those before it.

    preset, or --from < --config < --data, --steps, --minutes, --seed < key=value

    Args:
        args: The command line.
        base: The description of the folder of --from.

    Raises:
        CheckpointError: The folder of --from cannot be used.
        ConfigError: A setting is unknown or cannot be used.
        UsageError: There are two models to start from.
    """
    values, start = _start(args)
    if base is not None:
        from ojito.loading import recipe_of  # without --from, a mistake does not wait for torch

        values = merge(write(recipe_of(base)), values)
    elif start is not None:
        if not isinstance(start, str):
            raise ConfigError("preset", f"{start!r} is not the name of a preset", "see `ojito presets`")
        values = merge(merge(settings_of(start), only_length(values)), values)
    return read(Config, _override(values, args))


def _override(values: dict[str, Any], args: Namespace) -> dict[str, Any]:
    """The settings with those of the command line over them."""
    values = merge(values, _flags(args))
    if args.steps is None and args.minutes is None:
        values = merge(values, only_length(override({}, args.settings)))
    return override(values, args.settings)


def _start(args: Namespace) -> tuple[dict[str, Any], Any]:
    """The settings of --config, and the preset under them; None where there is none."""
    values = {} if args.config is None else read_yaml(args.config)
    in_file = values.pop("preset", None)
    start = in_file if args.preset is None else args.preset
    if args.base is not None and start is not None:
        raise UsageError("", f"--from {args.base} and the preset {start} are two to start from", "name one of them")
    # A recipe without a preset is whole: what --print-config writes has all settings.
    return values, DEFAULT if start is None and args.config is None and args.base is None else start


def _find_folder(args: Namespace) -> Path:
    """The folder of the model to go on with. If it is fetched, its recipe is read before its weights.

    Raises:
        CheckpointError: As for `recipe`, or it cannot be fetched.
        ConfigError: As for `recipe`.
        UsageError: It is a preset.
    """
    from ojito.loading import check_settings, find_folder, find_preset
    from ojito.trainer.progress import progress_bar

    def check(folder: Path) -> None:
        recipe(args, check_settings(folder))

    name = args.base
    with progress_bar(f"fetching {name}") as report:
        folder = find_folder(name, report, check)
    if folder is None:
        find_preset(name)
        raise UsageError(f"--from {name}", "is a preset, and goes on with no weights", f"write --preset {name}")
    return folder


def _find_base(args: Namespace) -> Path | None:
    """The folder of the model that --from, an adapter, belongs to, where --base names it."""
    from ojito.loading import find_base_model
    from ojito.trainer.progress import progress_bar

    with progress_bar(f"fetching {args.adapter_base}") as report:
        return find_base_model(args.adapter_base, report)


def _flags(args: Namespace) -> dict[str, Any]:
    """The settings that have a flag of their own."""
    train: dict[str, Any] = {}
    if args.steps is not None or args.minutes is not None:
        # The one that is given decides; what a preset says about the other would end the run early.
        train = {"steps": args.steps or 0, "samples": 0, "minutes": args.minutes or 0.0}
    if args.save_every is not None:
        train["save_every"] = args.save_every
    if args.seed is not None:
        train["seed"] = args.seed
    data = {} if args.data is None else {"path": args.data}
    return {name: group for name, group in (("data", data), ("train", train)) if group}


def _conclude(result: TrainResult, config: Config, out: Path, as_json: bool) -> None:
    history, scores = result.history, result.scores
    split = result.split or config.data.eval_split
    loss = history.log[-1]["loss"] if history.log else None
    if as_json:
        values = {"out": str(out), "steps": history.steps, "seconds": round(history.seconds, 1), "loss": loss}
        values.update(
            resumed=result.resumed,
            interrupted=history.interrupted,
            skipped_steps=history.skipped,
            bad_rows=[*result.problems],
        )
        print(
            json.dumps(
                {
                    **values,
                    "split": split,
                    "held_out": result.held_out,
                    "learned": result.learned,
                    "evaluation": scores,
                },
                indent=1,
            )
        )
        return
    if result.problems:
        print(f"ojito: {len(result.problems)} bad rows were left out", file=sys.stderr)
    if not history.steps:
        print("interrupted before the first step; nothing was saved")
        return
    if scores:
        print(_score_line(scores, split, result))
    elif not history.interrupted:
        print(_no_score_line(result, config))
    final = "" if loss is None else f", loss {loss:.3f}"
    before = "complete already: " if result.resumed == history.steps else ""
    print(f"{before}{history.steps} steps in {history.seconds:.0f} s{final}; the model is in {out}")
    if history.interrupted:
        print("the same command with --resume auto goes on")
    data = config.data.mixture[0].path if config.data.mixture else config.data.path
    print("next:", *_next_commands(result, out, data), sep="\n  ")


def _score_line(scores: Mapping[str, Any], split: str, result: TrainResult) -> str:
    """The score on rows that the model has not learned: the first thing to know about it."""
    overlap = f", word overlap of captions {scores['overlap']:.3f}" if "overlap" in scores else ""
    cut = f"; {scores['cut']} answers were cut off" if "cut" in scores else ""
    held_out, learned = result.held_out, result.learned
    about = f"{split}, {held_out:,} rows held out of training" if held_out else split
    if learned:
        about += f" ({learned} of its rows have images that were learned in training)"
    return f"on {scores['n']} questions of {about}: {scores['exact_match']:.1%} right{overlap}{cut}"


def _no_score_line(result: TrainResult, config: Config) -> str:
    if result.split:
        return f"no row of {result.split} could be asked, so nothing was evaluated"
    return (
        f'nothing was held out to score the model on (no row has split "{config.data.eval_split}"), so nothing was '
        "evaluated: what it says about the images that it learned, it may have by heart"
    )


def _next_commands(result: TrainResult, out: Path, data: str) -> list[str]:
    """Commands for what the model was trained to do."""
    learned, model = result.pipeline.learned, shlex.quote(str(out))
    commands = []
    if learned is None or learned.captions:
        commands.append(f"ojito caption {model} IMAGE")
    if learned is not None and learned.questions:
        commands.append(f"ojito ask {model} IMAGE {_quoted(learned.question)}")
    return [*commands, f"ojito eval {model} {shlex.quote(data)}"]


def _quoted(text: str) -> str:
    """The text as one word of a command line, in double quotes where they do."""
    return f'"{text}"' if text.isprintable() and not set(text) & set('"$`\\!') else shlex.quote(text)
