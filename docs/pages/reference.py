"""API pages: which names stand on which, in the order in which a reader needs them.

A name is described once, where it belongs. `tests/test_docs.py` fails if a public name is on no page.
"""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A part of an API page.

    Attributes:
        title: Its heading; empty for one without.
        text: Sentences before it, in reStructuredText.
        names: Dotted names to describe, each a function, a class or other data.
        module: A module whose docstring is shown.
        members: Whether everything public of that module is described, too.
        without: Its members that are described elsewhere.
    """

    title: str = ""
    text: str = ""
    names: tuple[str, ...] = ()
    module: str = ""
    members: bool = True
    without: tuple[str, ...] = ()


class ApiPage(NamedTuple):
    """A page of the API.

    Attributes:
        title: Its heading.
        about: A line on it, for the list of all.
        parts: What it describes.
    """

    title: str
    about: str
    parts: tuple[Part, ...]


def _modules(package: str, *names: str) -> tuple[Part, ...]:
    return tuple(Part(f"{package}.{name}", module=f"{package}.{name}") for name in names)


API = {
    "verbs": ApiPage(
        "Train, load, build",
        "from a preset, rows or a folder to a model that answers",
        (
            Part("Train", names=("ojito.train", "ojito.TrainResult")),
            Part("Load", names=("ojito.load",)),
            Part("Build", names=("ojito.build",)),
            Part("Presets", names=("ojito.preset",)),
            Part(module="ojito.presets", without=("preset",)),
        ),
    ),
    "answers": ApiPage(
        "Ask and caption",
        "a pipeline, its answers, and how the next token is chosen",
        (
            Part(names=("ojito.Pipeline", "ojito.Answer")),
            Part("Samplers", names=("ojito.Greedy", "ojito.Temperature", "ojito.TopK", "ojito.TopP")),
            Part("Boxes", names=("ojito.Box", "ojito.write_boxes", "ojito.draw_boxes")),
        ),
    ),
    "rows": ApiPage(
        "Rows and batches",
        "what is learned from, and what a model reads",
        (
            Part("Rows", names=("ojito.Sample", "ojito.Turn", "ojito.Source", "ojito.open_data", "ojito.Scenes")),
            Part("Batches", names=("ojito.Processor", "ojito.Batch", "ojito.Batches")),
        ),
    ),
    "training": ApiPage(
        "The parts of a run",
        "for an experiment of your own",
        (Part(names=("ojito.prepare", "ojito.TrainState", "ojito.fit", "ojito.History")),),
    ),
    "evaluate": ApiPage(
        "ojito.evaluate",
        "questions asked and graded, with controls; captions scored",
        (
            Part(module="ojito.evaluate"),
            Part("ojito.evaluate.captions", module="ojito.evaluate.captions"),
        ),
    ),
    "probe": ApiPage(
        "ojito.probe",
        "the data flow told, maps of where a word comes from, architectures drawn",
        (
            Part(module="ojito.probe", members=False),
            *_modules(
                "ojito.probe",
                *("forced", "looking", "maps", "words", "trace", "diagram"),
                *("methods", "attention", "relevance", "occlusion"),
            ),
        ),
    ),
    "doctor": ApiPage("ojito.doctor", "what is wrong with a model or a server", (Part(module="ojito.doctor"),)),
    "learn": ApiPage("ojito.learn", "what a lesson is made of", (Part(module="ojito.learn"),)),
    "model": ApiPage(
        "ojito.model",
        "pixels and tokens to logits, with every shape",
        (
            Part(module="ojito.model", members=False),
            Part("VLM", names=("ojito.VLM",)),
            *_modules(
                "ojito.model",
                *("vit", "resnet", "efficientnet", "connectors", "decoder", "blocks", "attention", "masks", "cache"),
                *("fixed_cache", "rope", "norms", "mlp", "lora", "dropout", "initialize", "meta"),
            ),
        ),
    ),
    "config": ApiPage(
        "ojito.config",
        "every setting, as dataclasses that check themselves",
        (
            Part(module="ojito.config", members=False),
            Part("Recipe", names=("ojito.Config", "ojito.config.PretrainedConfig")),
            Part(
                "Model",
                names=tuple(
                    f"ojito.config.{name}"
                    for name in (
                        *("ModelConfig", "ViTConfig", "ResNetConfig", "EfficientNetConfig", "NoVisionConfig"),
                        *("ConnectorConfig", "PixelShuffleConfig", "AveragePoolConfig", "PerceiverConfig"),
                        *("DecoderConfig", "RopeScaling"),
                    )
                ),
            ),
            Part(
                "Processor",
                names=tuple(
                    f"ojito.config.{name}"
                    for name in ("ProcessorConfig", "ImageConfig", "PromptConfig", "TokenizerConfig")
                ),
            ),
            Part(
                "Data",
                names=tuple(
                    f"ojito.config.{name}" for name in ("DataConfig", "MixedConfig", "ScenesConfig", "ColourConfig")
                ),
            ),
            Part(
                "Training",
                names=tuple(
                    f"ojito.config.{name}" for name in ("TrainConfig", "StageConfig", "LoraConfig", "only_length")
                ),
            ),
        ),
    ),
    "errors": ApiPage(
        "Errors",
        "where, problem and remedy",
        (Part(names=("ojito.OjitoError", "ojito.ConfigError", "ojito.ImageError", "ojito.RowError")),),
    ),
}
"""API pages by the names of their files, in their order."""


def api_page(page: ApiPage) -> str:
    """Return an API page, in reStructuredText."""
    lines = [page.title, "=" * len(page.title), ""]
    if page.parts[0].title or not page.parts[0].module:  # a module's docstring says what it is
        lines += [f"{page.about[0].upper()}{page.about[1:]}.", ""]
    for part in page.parts:
        if part.title:
            lines += [part.title, "-" * len(part.title), ""]
        if part.module:
            lines += [f".. automodule:: {part.module}"]
            lines += ["   :members:", "   :member-order: bysource"] if part.members else []
            lines += [f"   :exclude-members: {', '.join(part.without)}"] if part.without else []
            lines += [""]
        if part.text:
            lines += [part.text, ""]
        for name in part.names:
            # `ojito` gives its names out when they are first used, so their kind is read off their spelling.
            kind = "autoclass" if name.rpartition(".")[2][:1].isupper() else "autofunction"
            lines += [f".. {kind}:: {name}"] + (["   :members:"] if kind == "autoclass" else []) + [""]
    return "\n".join(lines)
