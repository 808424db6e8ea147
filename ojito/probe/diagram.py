"""A drawing of a model's architecture, from its config alone: from pixels and words to the next word."""

from __future__ import annotations

from typing import Any, Literal

import torch

from ojito.config import (
    AveragePoolConfig,
    Config,
    DecoderConfig,
    EfficientNetConfig,
    ModelConfig,
    PerceiverConfig,
    PixelShuffleConfig,
    ResNetConfig,
    ViTConfig,
)
from ojito.errors import OjitoError, one_line
from ojito.memory import parameters, short_count
from ojito.model import VLM, AttentionMetadata
from ojito.model.efficientnet import STAGES, STEM
from ojito.model.masks import bidirectional_blocks, may_attend
from ojito.model.meta import on_meta
from ojito.probe.drawing import (
    LABELLED,
    LINE,
    PAD,
    Box,
    Group,
    Item,
    Sheet,
    Tone,
    column_height,
    draw_arrow,
    draw_column,
    wrap,
)

WIDTH, MARGIN, BETWEEN = 1000.0, 32.0, 24.0  # of the page; around all; between its two columns
COLUMN = (WIDTH - 2 * MARGIN - BETWEEN) / 2

_NORMS = {"layer": "LayerNorm", "rms": "RMSNorm", "rms_plus_one": "RMSNorm, weight + 1", "none": "no norm"}
_ACTIVATIONS = {
    "gelu": "GELU",
    "gelu_tanh": "GELU (tanh)",
    "quick_gelu": "quick GELU",
    "silu": "SiLU",
    "relu2": "ReLU²",
}
_GATED = {"gelu": "GeGLU", "gelu_tanh": "GeGLU (tanh)", "silu": "SwiGLU", "relu2": "gated ReLU²"}
_MASKS = {
    "causal": "causal: each token sees itself and those before it",
    "prefix": "prefix-LM: image and prompt see each other, the answer is causal",
    "image": "an image's tokens see each other, all text is causal",
}

_IMAGE, _PROMPT, _ANSWER, _CELL = 4, 3, 3, 11.0  # tokens of a drawn mask, and the side of a cell
_DRAWN_WINDOW = 3


def architecture_svg(config: Config | ModelConfig | str, name: str = "") -> str:
    """Return an SVG drawing of the model that this config describes; the same config makes the same drawing.

    Args:
        config: Of the model, or a recipe with it, which also says whether images are cut into tiles.
        name: What the model is called; by default as the recipe is.

    Raises:
        ConfigError: The config's sizes are absurd.
        OjitoError: It is no config.
    """
    recipe = config if isinstance(config, Config) else None
    shape = config.model if isinstance(config, Config) else config
    if not isinstance(shape, ModelConfig):
        remedy = f"for a preset write architecture_svg(ojito.preset({shape!r}))"
        raise OjitoError("config", f"{shape!r} is not a Config or ModelConfig", remedy)
    name = one_line(name or (recipe.name if recipe else "model"))
    model = on_meta(shape, name)
    size, counted = shape.vision.image_size, short_count(parameters(model))
    reads = f"image {size} × {size} in {shape.image_tokens} tokens" if size else "reads text alone"
    about = f"{counted} parameters · {reads} · up to {_number(shape.decoder.max_positions)} positions"

    sheet = Sheet()
    for line in wrap(name, WIDTH - 2 * MARGIN, 24, True)[:1]:
        sheet.text(line, MARGIN, 52, "ink bold", 24)
    sheet.text(about, MARGIN, 78, "faint", 14)
    bottom = _draw_columns(sheet, model, recipe, 102)
    everything: list[Item] = [_merge(shape), _decoder(model), _NEXT]
    end = draw_column(sheet, everything, MARGIN, bottom, WIDTH - 2 * MARGIN)
    return sheet.svg(WIDTH, end + MARGIN, f"{name}: architecture", about)


def _draw_columns(sheet: Sheet, model: VLM, recipe: Config | None, top: float) -> float:
    """The way of an image on the left, that of words and the facts on the right; returns where the merge begins.

    Without a vision tower the words are on the left.
    """
    words = _words(model)
    seeing = bool(model.config.vision.image_size)
    left = _image(model, recipe) if seeing else words
    right = words if seeing else []
    facts = _facts_height(model)
    tall = max(column_height(left, COLUMN), facts + (BETWEEN + column_height(right, COLUMN) if right else 0))
    x_right = MARGIN + COLUMN + BETWEEN
    _draw_facts(sheet, model, x_right, top)
    for items, x, y in ((left, MARGIN, top), (right, x_right, top + tall - column_height(right, COLUMN))):
        if items:
            end = draw_column(sheet, items, x, y, COLUMN)
            draw_arrow(sheet, x + COLUMN / 2, end, top + tall + LABELLED, items[-1].after)
    return top + tall + LABELLED


# -------------------------------------------------------------------------------------------------- the way of an image


def _image(model: VLM, recipe: Config | None) -> list[Item]:
    """From the image to visual tokens."""
    config = model.config
    size, grid = config.vision.image_size, config.vision.grid
    fitted = f"fitted to {size} × {size} pixels, normalized"
    if recipe is not None and recipe.processor.image.fit == "tiles":
        fitted = f"cut into tiles of {size} × {size} pixels, and the whole of it; each is read as an image"
    if isinstance(config.vision, ResNetConfig):
        kind, items = "ResNet", _resnet(config.vision, model.vision)
    elif isinstance(config.vision, EfficientNetConfig):
        kind, items = "EfficientNet-Lite", _efficientnet(config.vision, model.vision)
    else:
        assert isinstance(config.vision, ViTConfig)  # noqa: S101 - without a tower there is no such way
        kind, items = "ViT", _vit(config.vision, model.vision)
    return [
        Box("image", (fitted,), after=f"3 × {size} × {size}", round=True),
        Group(
            f"vision tower: {kind}",
            items,
            _count(model.vision),
            after=f"{grid * grid} patches × {config.vision.width}",
            tone="vision",
        ),
        Group(
            "connector",
            _connector(model),
            _count(model.connector),
            after=f"{config.image_tokens} visual tokens × {config.decoder.width}",
            tone="connector",
        ),
    ]


def _vit(c: ViTConfig, tower: Any) -> tuple[Item, ...]:
    patches, grid = c.grid**2, f"{c.grid} × {c.grid}"
    if c.stem == "patch":
        how = [f"convolution of {c.patch_size} × {c.patch_size} pixels, stride {c.patch_size}"]
    else:
        widths = ", ".join(map(str, c.stem_widths))
        how = [f"3 × 3 convolutions with batch norm and ReLU, to {widths} channels", f"then 1 × 1 to {c.width}"]
    if c.image_size > c.grid * c.patch_size:
        how.append(f"the last {c.image_size - c.grid * c.patch_size} pixels on the right and below are not read")
    table = f"a learned vector for each of {grid} patches"
    if c.positions == "resized" and c.position_grid != c.grid:
        table = f"a learned table of {c.position_grid} × {c.position_grid}, resized to {grid}"
    elif c.positions == "fractional":
        table = f"a learned vector by the place as a fraction of the side, {grid}"
    more = ["a class token stands before the patches"] if c.class_token else []
    more += ["LayerNorm before the first block"] if c.pre_norm else []
    run = c.layers + 1 + c.feature_layer if c.layers else 0
    length = f"{patches + c.class_token} × {c.width}"
    items: list[Item] = [
        Box("patches", tuple(how), _count(tower.stem), after=f"{patches} × {c.width}", tone="vision"),
        Box(
            "positions",
            (table, *more),
            _count(tower.positions, tower.pre_norm, plus=c.width * c.class_token),
            after=length,
            tone="vision",
        ),
    ]
    if run:
        block = tower.blocks[0]
        attends = f"{c.heads} heads of {c.width // c.heads}, all patches see each other"
        inside = (
            Box("attention", ("LayerNorm", attends), _count(block.attention_norm, block.attention), tone="vision"),
            Box(
                "MLP",
                ("LayerNorm", f"{c.width} → {_number(c.mlp_dim)} → {c.width}, {_ACTIVATIONS[c.activation]}"),
                _count(block.mlp_norm, block.mlp),
                tone="vision",
            ),
        )
        items.append(_repeated("encoder block", inside, run, block, after=length, tone="vision"))
    unused = c.layers - run
    ends = ["the class token is left out"] if c.class_token else []
    if unused:
        last = f"block {c.layers}" if unused == 1 else f"the last {unused} of {c.layers} blocks"
        kept = f"{last} and the last norm are stored, and not run" if c.final_norm else f"{last}: stored, not run"
        spare = _count(*tower.blocks[run:], tower.norm)
        items.append(Box("end of the tower", (*ends, kept), spare, tone="vision"))
    elif c.final_norm:
        items.append(Box("norm", ("LayerNorm", *ends), _count(tower.norm), tone="vision"))
    elif ends:
        items.append(Box("end of the tower", tuple(ends), tone="vision"))
    return tuple(items)


def _resnet(c: ResNetConfig, tower: Any) -> tuple[Item, ...]:
    side = c.image_size // 4
    how = "7 × 7 convolution, stride 2, ReLU; then 3 × 3 max pooling, stride 2"
    items = [Box("stem", (how,), _count(tower.stem), after=f"{c.stem_width} × {side} × {side}", tone="vision")]
    for number, (stage, blocks) in enumerate(zip(tower.stages, c.blocks, strict=True)):
        width, side = c.width // 2 ** (len(c.blocks) - 1 - number), side // (2 if number else 1)
        inner = width // 4
        how = f"1 × 1 to {inner}, 3 × 3, 1 × 1 to {width}; added to its input"
        title = f"stage {number + 1}: {blocks} × bottleneck"
        items.append(Box(title, (how,), _count(stage), after=f"{width} × {side} × {side}", tone="vision"))
    return tuple(items)


def _efficientnet(c: EfficientNetConfig, tower: Any) -> tuple[Item, ...]:
    kernel, stride = STEM
    side = -(-c.image_size // stride)
    how = f"{kernel} × {kernel} convolution, stride {stride}, ReLU6"
    items = [Box("stem", (how,), _count(tower.stem), after=f"{c.stem_width} × {side} × {side}", tone="vision")]
    stages = zip(STAGES, c.widths, c.blocks, tower.stages, strict=True)
    for number, ((kernel, stride, expansion), width, blocks, stage) in enumerate(stages):
        side = -(-side // stride)
        wider = f"{expansion} × the channels, " if expansion > 1 else ""
        how = f"{wider}depthwise {kernel} × {kernel}, 1 × 1 to {width}"
        title = f"stage {number + 1}: {blocks} × MBConv"
        items.append(Box(title, (how,), _count(stage), after=f"{width} × {side} × {side}", tone="vision"))
    if c.head_width:
        how = f"1 × 1 convolution to {_number(c.head_width)}, ReLU6"
        items.append(Box("head", (how,), _count(tower.head), after=f"{c.width} × {side} × {side}", tone="vision"))
    return tuple(items)


def _connector(model: VLM) -> tuple[Item, ...]:
    connector: Any = model.connector
    c, width = model.config.connector, model.config.vision.width
    decoder, tokens = model.config.decoder.width, model.config.image_tokens
    items: list[Item] = []
    if isinstance(c, PixelShuffleConfig):
        how = f"each {c.factor} × {c.factor} patches become one, their channels one after another"
        items.append(Box("pixel shuffle", (how,), after=f"{tokens} × {_number(width * c.factor**2)}", tone="connector"))
        width *= c.factor**2
    elif isinstance(c, AveragePoolConfig):
        how = f"the mean of each {c.factor} × {c.factor} patches"
        items.append(Box("average pool", (how,), after=f"{tokens} × {_number(width)}", tone="connector"))
    elif isinstance(c, PerceiverConfig):
        items += _perceiver(c, connector.reduce, width)
    if c.norm != "none":
        items.append(
            Box(
                "norm",
                (_NORMS[c.norm],),
                _count(connector.norm),
                after=f"{tokens} × {_number(width)}",
                tone="connector",
            )
        )
    how = f"{_number(width)} → {decoder}"
    if c.project == "mlp":
        how = f"{_number(width)} → {_number(c.mlp_dim)} → {decoder}, GELU"
    title = "projection" if c.project == "linear" else "projection: MLP"
    items.append(Box(title, (how + ", without biases" * (not c.bias),), _count(connector.project), tone="connector"))
    return tuple(items)


def _perceiver(c: PerceiverConfig, reduce: Any, width: int) -> list[Item]:
    block = reduce.blocks[0]
    shape = f"{c.queries} × {width}"
    reads = f"{c.heads} heads of {width // c.heads}: the queries see all patches, which are normalized before"
    inside = (
        Box("cross-attention", ("LayerNorm", reads), _count(block.attention_norm, block.attention), tone="connector"),
        Box("MLP", ("LayerNorm", f"{width} → {4 * width} → {width}, GELU"), _count(block.mlp_norm, block.mlp),
            tone="connector"),
    )  # fmt: skip
    norms = _count(reduce.patch_norm, reduce.norm)
    return [
        Box("queries", (f"{c.queries} learned rows",), _count(reduce.queries), after=shape, tone="connector"),
        _repeated("perceiver block", inside, c.layers, block, after=shape, tone="connector"),
        Box("norms", ("LayerNorm of the patches before, and of the queries after",), norms, after=shape,
            tone="connector"),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------- words, merge, decoder, answer

_NEXT = Box(
    "next word",
    ("the likeliest token, or one that is sampled; it joins the row, and the decoder reads on",),
    round=True,
)


def _words(model: VLM) -> list[Item]:
    """From words to embeddings."""
    c = model.config.decoder
    scaled = f", times √{c.width}" if c.scale_embeddings else ""
    how = f"{_number(c.vocab_size)} rows of {c.width}{scaled}"
    return [
        Box("words", ("the prompt, cut into tokens of the vocabulary",), after="T token ids", round=True),
        Box("embedding", (how,), _count(model.decoder.embedding), after=f"T × {c.width}", tone="decoder"),
    ]


def _merge(config: ModelConfig) -> Box:
    width = config.decoder.width
    if not config.image_tokens:
        return Box("tokens", (f"T rows of {width}",), after=f"T × {width}", strip=("decoder",) * 12)
    many = config.image_tokens
    how = f"the {many} visual tokens of each image take the place of its placeholders in the row of T tokens"
    drawn: list[Tone | Literal[""]] = ["vision"] * (many if many <= 24 else 16)
    if many > 24:  # the first and the last of them
        drawn += ["", "vision", "vision", "vision"]
    drawn += ["decoder"] * 10
    return Box("merge", (how,), after=f"T × {width}", strip=tuple(drawn))


def _decoder(model: VLM) -> Group:
    c, decoder = model.config.decoder, model.decoder
    block: Any = decoder.blocks[0]
    row = f"T × {c.width}"
    items: list[Item] = []
    if decoder.positions is not None:
        how = f"a learned vector for each of {_number(c.max_positions)} positions is added"
        items.append(Box("positions", (how,), _count(decoder.positions), after=row, tone="decoder"))
    inside = (
        Box(
            "attention",
            _attention_lines(c),
            _count(block.attention_norm, block.attention, block.attention_post_norm),
            tone="decoder",
        ),
        Box("MLP", _mlp_lines(c), _count(block.mlp_norm, block.mlp, block.mlp_post_norm), tone="decoder"),
    )
    items.append(_repeated("decoder block", inside, c.layers, block, after=row, tone="decoder", across=True))
    items.append(Box("norm", (_NORMS[c.norm],), _count(decoder.norm), after=row, tone="decoder"))
    how = f"{c.width} → {_number(c.vocab_size)}, "
    how += "the embedding matrix again" if decoder.untied_head is None else "a matrix of its own"
    capped = (f"logits within ±{c.final_softcap:g}, by tanh",) if c.final_softcap else ()
    untied = "" if decoder.untied_head is None else _count(decoder.untied_head)
    items.append(Box("head", (how, *capped), untied, tone="decoder"))
    outside = _count(decoder, plus=-parameters(decoder.embedding))
    title = f"decoder: {c.layers} blocks, {c.width} wide"
    logits = f"T × {_number(c.vocab_size)} logits"
    return Group(title, tuple(items), f"{outside} and the embedding", after=logits, tone="decoder")


def _attention_lines(c: DecoderConfig) -> tuple[str, ...]:
    heads = f"{c.heads} heads of {c.head_dim}"
    if c.kv_heads != c.heads:
        shared = "all share one key and value" if c.kv_heads == 1 else f"share {c.kv_heads} keys and values"
        heads = f"{heads}, which {shared}" if c.kv_heads > 1 else f"{heads}; {shared}"
    lines = [_norm_line(c), heads]
    if c.positions == "rope":
        scaling = c.rope_scaling
        scaled = "" if scaling.kind == "none" else f", {scaling.kind} scaling by {scaling.factor:g}"
        lines.append(f"RoPE, θ = {c.rope_theta:,.0f}{scaled}")
        if c.window and c.window_theta != c.rope_theta:
            lines.append(f"θ = {c.window_theta:,.0f} in blocks with a window")
    if c.query_key_norm:
        lines.append("queries and keys are normalized")
    if c.query_scalar != c.head_dim:
        lines.append(f"scores times {c.query_scalar:g}^-1/2")
    if c.attention_softcap:
        lines.append(f"scores within ±{c.attention_softcap:g}, by tanh")
    if c.window:
        lines.append(f"window of {_number(c.window)} tokens, but in every {_ordinal(c.full_every)} block")
    biased = "queries, keys and values" if c.query_bias and not c.bias else "all projections" if c.bias else ""
    return (*lines, *([f"biases in {biased}"] if biased else []))


def _mlp_lines(c: DecoderConfig) -> tuple[str, ...]:
    named = _GATED[c.activation] if c.mlp == "gated" else _ACTIVATIONS[c.activation]
    gated = (f"a gate and an up projection, both {c.width} → {_number(c.mlp_dim)}",) if c.mlp == "gated" else ()
    return (_norm_line(c), f"{c.width} → {_number(c.mlp_dim)} → {c.width}, {named}", *gated)


def _norm_line(c: DecoderConfig) -> str:
    return f"{_NORMS[c.norm]}{', before and after' if c.post_norms else ''}"


def _repeated(
    name: str, inside: tuple[Item, ...], times: int, block: Any, *, after: str, tone: Tone, across: bool = False
) -> Group:
    """A block that is there several times."""
    number = f"{times} × {_count(block)}" if times > 1 else _count(block)
    title = f"{times} × {name}"
    return Group(title, inside, number, after, tone, stacked=times > 1, across=across, adds=True)


# -------------------------------------------------------------------------------------------------- the facts beside it


def _facts_height(model: VLM) -> float:
    grid = _CELL * (_IMAGE + _PROMPT + _ANSWER) + LINE * bool(model.config.decoder.window)
    return 2 * PAD + 40 + 3 * LINE + 30 + LINE * len(_mask_lines(model)) + 12 + grid


def _mask_lines(model: VLM) -> list[str]:
    return wrap(_MASKS[model.config.decoder.mask], COLUMN - 2 * PAD)


def _draw_facts(sheet: Sheet, model: VLM, x: float, y: float) -> None:
    """Where the parameters are, and who attends to whom."""
    config, counts = model.config, {name: parameters(part) for name, part in model.parts.items()}
    total, width = sum(counts.values()), COLUMN - 2 * PAD
    sheet.open("facts")
    sheet.rectangle("card plain", x, y, COLUMN, _facts_height(model), 10)
    x, y = x + PAD, y + PAD
    sheet.text("Where the parameters are", x, y + 10, "ink bold", 13)
    place = x
    for name, count in counts.items():
        sheet.rectangle(f"{name} fill", place, y + 22, width * count / total, 12)
        place += width * count / total
    y += 40
    for name, count in counts.items():
        y += LINE
        sheet.rectangle(f"{name} fill", x, y - 10, 10, 10, 3)
        sheet.text(name, x + 18, y, "ink")
        sheet.text(short_count(count) if count else "none", x + 160, y, "ink", anchor="end")
        sheet.text(f"{100 * count / total:.1f}%", x + 230, y, "faint", anchor="end")
    y += 30
    sheet.text("Which tokens see which", x, y, "ink bold", 13)
    for line in _mask_lines(model):
        y += LINE
        sheet.text(line, x, y, "faint")
    y += 12
    place = x + 62
    rows = [("image", _IMAGE), ("prompt", _PROMPT), ("answer", _ANSWER)]
    if not config.image_tokens:
        rows = [("prompt", _IMAGE + _PROMPT), ("answer", _ANSWER)]
    below = y
    for label, many in rows:
        sheet.text(label, place - 8, below + _CELL * many / 2 + 4, "faint", 11.5, "end")
        below += _CELL * many
    _draw_mask(sheet, config, 0, place, y)
    if config.decoder.window:
        beside = place + _CELL * (_IMAGE + _PROMPT + _ANSWER) + 40
        _draw_mask(sheet, config, _DRAWN_WINDOW, beside, y)
        every = f"every {_ordinal(config.decoder.full_every)} block"
        sheet.text(every, place, below + 16, "faint", 11.5)
        sheet.text("others, through the window", beside, below + 16, "faint", 11.5)
    sheet.close()


def _draw_mask(sheet: Sheet, config: ModelConfig, window: int, x: float, y: float) -> None:
    """The real mask of a short row: a line for each query, a column for each key."""
    many = _IMAGE + _PROMPT + _ANSWER
    place = torch.arange(many)[None]
    is_image = (place < _IMAGE) & bool(config.image_tokens)
    mask = config.decoder.mask
    blocks = bidirectional_blocks(mask, place < _IMAGE + _PROMPT, is_image)
    rows = AttentionMetadata(place, torch.zeros_like(place), blocks)
    allowed = may_attend(rows, rows, window, cut_blocks=mask == "image")[0, 0].tolist()
    for query, row in enumerate(allowed):
        for key, sees in enumerate(row):
            tone = "vision" if is_image[0, key] else "decoder"
            classes = f"{tone} fill" if sees else "cell"
            sheet.rectangle(classes, x + _CELL * key, y + _CELL * query, _CELL - 1.5, _CELL - 1.5, 2)


# -------------------------------------------------------------------------------------------------------------- numbers


def _count(*modules: Any, plus: int = 0) -> str:
    """The parameters of modules, for a reader; empty if there are none."""
    total = sum(map(parameters, modules)) + plus
    return short_count(total) if total else ""


def _number(number: int) -> str:
    return f"{number:,}" if number >= 10_000 else str(number)


def _ordinal(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }"
