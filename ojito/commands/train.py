"""`ojito train`: from a recipe to a model in a folder."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ojito.config import Config
from ojito.presets import settings_of
from ojito.settings import ConfigError, merge, override, read, read_yaml, to_yaml, write

if TYPE_CHECKING:
    from ojito.data import Scenes, Source
    from ojito.pipeline import Pipeline
    from ojito.train import History

DEFAULT = "tiny"
WEIGHTS = "model.safetensors"


def run(args: Namespace) -> int:
    """Trains, saves, evaluates, and says what to try next. Ctrl-C ends the training, not the saving."""
    if args.base is not None:
        check_flags(args)
        args.base = _find_folder(args)
    config = recipe(args)
    if args.print_config:
        print(json.dumps(write(config), indent=1) if args.json else to_yaml(write(config)), end="\n" * args.json)
        return 0
    from ojito.commands.paths import check_place  # here, so that a setting is named before torch is there

    out = Path(f"runs/{config.name}" if args.out is None else args.out)
    check_place(out, args.force)
    return _train(config, out, args)


def check_flags(args: Namespace) -> None:
    """What can be found wrong without the model of --from, which may have to be fetched.

    Raises:
        ConfigError: --config cannot be read, or a setting has no value.
        DataError: There are no such data.
        ValueError: There are two models to start from, or none may be put into --out.
    """
    from ojito.commands.paths import check_data, check_place

    values, _ = _start(args)
    values = override(merge(values, _flags(args)), args.settings)
    if args.print_config:
        return
    if args.out is not None:
        check_place(Path(args.out), args.force)
    data = values.get("data")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        check_data(data["path"])


def recipe(args: Namespace) -> Config:
    """The settings of the command line, each source of them winning over those before it.

    preset, or --from < --config < --data, --steps, --minutes, --seed < key=value

    Raises:
        CheckpointError: The folder of --from cannot be used.
        ConfigError: A setting is unknown or cannot be used.
        ValueError: There are two models to start from.
    """
    values, start = _start(args)
    if args.base is not None:
        from ojito.loading import recipe_of  # without --from, a mistake does not wait for torch

        values = merge(write(recipe_of(args.base)), values)
    elif start is not None:
        if not isinstance(start, str):
            raise ConfigError("preset", f"{start!r} is not the name of a preset; see `ojito presets`")
        values = merge(settings_of(start), values)
    values = merge(values, _flags(args))
    return read(Config, override(values, args.settings))


def _start(args: Namespace) -> tuple[dict[str, Any], Any]:
    """The settings of --config, and the preset that is under them; None where there is none."""
    values = {} if args.config is None else read_yaml(args.config)
    in_file = values.pop("preset", None)
    start = in_file if args.preset is None else args.preset
    if args.base is not None and start is not None:
        raise ValueError(f"--from {args.base} and the preset {start} are two to start from; name one of them")
    # A recipe without a preset is whole: what --print-config writes has all settings.
    return values, DEFAULT if start is None and args.config is None and args.base is None else start


def _find_folder(args: Namespace) -> Path:
    """The folder of the model that training goes on with; where it is fetched, its recipe is read before its weights.

    Raises:
        CheckpointError: As for `recipe`, or it cannot be fetched.
        ConfigError: As for `recipe`.
        ValueError: It is a preset.
    """
    from ojito.commands.console import progress
    from ojito.loading import check_settings, find_folder, find_preset

    def check(folder: Path) -> None:
        check_settings(folder)
        recipe(Namespace(**{**vars(args), "base": folder}))

    name = args.base
    with progress(f"fetching {name}") as tell:
        folder = find_folder(name, tell, check)
    if folder is None:
        find_preset(name)
        raise ValueError(f"--from {name} is a preset, and goes on with no weights; write --preset {name}")
    return folder


def _flags(args: Namespace) -> dict[str, Any]:
    """The settings that have a flag of their own."""
    train: dict[str, Any] = {}
    if args.steps is not None or args.minutes is not None:
        # The one that is given decides; what a preset says about the other would end the run early.
        train = {"steps": args.steps or 0, "minutes": args.minutes or 0.0}
    if args.seed is not None:
        train["seed"] = args.seed
    data = {} if args.data is None else {"path": args.data}
    return {name: group for name, group in (("data", data), ("train", train)) if group}


def _train(config: Config, out: Path, args: Namespace) -> int:
    # Here, so that a setting that cannot be used is named before the seconds that torch takes.
    from ojito.commands.console import progress
    from ojito.data import Batches, open_data
    from ojito.device import pick_device
    from ojito.loading import load_for
    from ojito.pipeline import Pipeline
    from ojito.train import Clock, fit
    from ojito.training import prepare

    device = pick_device(args.device)
    source = open_data(config)
    if args.base is not None:
        with progress(f"loading {args.base}") as tell:
            pipe = load_for(config, args.base, device, tell)
    else:
        pipe = Pipeline(*prepare(config, source, device), config)
    _announce(pipe, config, source)
    batches = Batches(source, pipe.processor, config.data, config.train)
    clock = Clock(config.train)
    can_evaluate = config.data.eval_split in source.splits
    try:
        history = fit(
            pipe.model,
            batches,
            config.train,
            clock,
            out=out,
            on_eval=(lambda: _evaluate(pipe, config, source)) if can_evaluate else None,
        )
    except Exception:
        # Whatever it was, what was learned until then is worth keeping, but not worth a model that was there before.
        if clock.step and not (out / WEIGHTS).exists():
            pipe.save(out)
            print(f"ojito: the last good weights are in {out}", file=sys.stderr)
        raise
    if history.steps:
        pipe.save(out)
    scores = None
    if history.evaluations and history.evaluations[-1]["step"] == history.steps:
        scores = {k: v for k, v in history.evaluations[-1].items() if k not in ("step", "seconds")}
    elif can_evaluate and not history.interrupted:
        scores = _evaluate(pipe, config, source)
    _conclude(history, scores, batches.problems, config, out, args)
    return 130 if history.interrupted else 0


def _announce(pipe: Pipeline, config: Config, source: Source | Scenes) -> None:
    """What is about to happen, on stderr."""
    from ojito.commands.console import count, short
    from ojito.data import Scenes

    rows = "endless" if isinstance(source, Scenes) else f"{len(source.samples(config.data.split))} rows"
    train = config.train
    long = [f"{train.steps} steps"] * (train.steps > 0) + [f"{train.minutes:g} minutes"] * (train.minutes > 0)
    parameters = short(sum(count(pipe.model).values()))
    print(
        f"{config.name} ({parameters} parameters) learns from {source.name} ({rows}) on {pipe.device}: "
        + " or ".join(long),
        file=sys.stderr,
    )


def _evaluate(pipe: Pipeline, config: Config, source: Source | Scenes) -> dict[str, Any]:
    """The scores of some rows of `data.eval_split`: exact match and, of captions, word overlap."""
    from ojito.commands.console import progress
    from ojito.evaluate import evaluate

    rows = source.samples(config.data.eval_split, config.train.eval_samples)
    with progress("evaluating") as shown:
        return evaluate(pipe, rows, controls=(), progress=shown).scores.to_dict()


def _conclude(
    history: History, scores: dict[str, Any] | None, problems: list[str], config: Config, out: Path, args: Namespace
) -> None:
    loss = history.log[-1]["loss"] if history.log else None
    if args.json:
        values = {"out": str(out), "steps": history.steps, "seconds": round(history.seconds, 1), "loss": loss}
        values.update(interrupted=history.interrupted, skipped_steps=history.skipped, bad_rows=problems)
        print(json.dumps({**values, "split": config.data.eval_split, "evaluation": scores}, indent=1))
        return
    if problems:
        print(f"ojito: {len(problems)} bad rows were left out", file=sys.stderr)
    if not history.steps:
        print("interrupted before the first step; nothing was saved")
        return
    said = "" if loss is None else f", loss {loss:.3f}"
    print(f"{history.steps} steps in {history.seconds:.0f} s{said}; the model is in {out}")
    if scores:
        overlap = f", word overlap of captions {scores['overlap']:.3f}" if "overlap" in scores else ""
        print(f"on {scores['n']} questions of {config.data.eval_split}: {scores['exact_match']:.1%} right{overlap}")
    elif not history.interrupted:
        print(f'no row has split "{config.data.eval_split}", so nothing was evaluated')
    data = config.data.path
    print(f'next:\n  ojito caption {out} PICTURE\n  ojito ask {out} PICTURE "what is it?"\n  ojito eval {out} {data}')
