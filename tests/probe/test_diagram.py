"""The drawn architecture: of any config, well-formed, with the real numbers, nothing over anything else."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ojito.config import Config, DecoderConfig, ModelConfig, NoVisionConfig
from ojito.errors import OjitoError
from ojito.memory import parameters
from ojito.model.meta import on_meta
from ojito.presets import PRESETS, preset
from ojito.probe import diagram
from ojito.probe.diagram import architecture_svg
from ojito.probe.drawing import text_width

DRAWN = Path(__file__).parents[2] / "docs" / "diagrams"
SVG = "{http://www.w3.org/2000/svg}"

OTHERS = {
    "perceiver": ("char", ["model.connector={reduce: perceiver, queries: 8, layers: 3, heads: 4, norm: layer}"]),
    "average pool": ("char", ["model.connector={reduce: average_pool, factor: 2, project: mlp, bias: false}"]),
    "llava": ("char", ["model.vision.feature_layer=-2", "model.vision.pre_norm=true", "model.vision.class_token=true"]),
    "so400m": ("char", ["model.vision.image_size=100", "model.vision.crop=true"]),
    "siglip 2": ("char", ["model.vision.positions=resized", "model.vision.position_grid=9"]),
    "idefics3": ("char", ["model.vision.positions=fractional"]),
    "no last norm": ("char", ["model.vision.final_norm=false", "model.vision.class_token=true"]),
    "head of its own": ("char", ["model.decoder.tied_head=false"]),
    "lite with head": ("photos", ["model.vision.head_width=1280"]),
    "gemma 3": (
        "paligemma2-3b",
        ["model.decoder.mask=image", "model.decoder.full_every=6", "model.decoder.query_key_norm=true",
         "model.decoder.window_theta=5000", "model.decoder.rope_scaling={kind: linear, factor: 8}"],
    ),
}  # fmt: skip
CONFIGS = {
    **{name: (name, []) for name in PRESETS},
    **OTHERS,
    "text alone": (Config(name="text", model=ModelConfig(NoVisionConfig(), decoder=DecoderConfig(layers=1))), []),
}


def config_of(name):
    base, settings = CONFIGS[name]
    return preset(base, settings) if isinstance(base, str) else base


@pytest.fixture(params=CONFIGS)
def config(request):
    return config_of(request.param)


def parsed(svg):
    return ElementTree.fromstring(svg)


def attributes(element, *names):
    return [float(element.get(name)) for name in names]


def rectangle(element):
    x, y, width, height = attributes(element, "x", "y", "width", "height")
    return x, y, x + width, y + height


def boxes(svg):
    """(rectangle, texts) of each box that holds no other."""
    for group in parsed(svg).iter(f"{SVG}g"):
        yield rectangle(group.find(f"{SVG}rect")), group.findall(f"{SVG}text")


def span(text):
    """Where a line of text begins and ends, at most."""
    x, size = attributes(text, "x", "font-size")
    width = text_width(text.text, size, "bold" in text.get("class"))
    return {"start": (x, x + width), "end": (x - width, x), "middle": (x - width / 2, x + width / 2)}[
        text.get("text-anchor", "start")
    ]


def words(svg):
    return [text.text for text in parsed(svg).iter(f"{SVG}text")]


def test_drawing_is_well_formed_and_the_same_each_time(config):
    svg = architecture_svg(config)
    assert parsed(svg).tag == f"{SVG}svg"
    assert svg == architecture_svg(config)
    assert svg.endswith("</svg>\n")


def test_boxes_lie_apart_and_on_the_page(config):
    svg = architecture_svg(config)
    width, height = attributes(parsed(svg), "width", "height")
    found = [box for box, _ in boxes(svg)]
    assert len(found) > 6
    for number, (left, top, right, bottom) in enumerate(found):
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        for other in found[:number]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]


def test_text_fits_its_box_and_lies_over_no_other(config):
    svg = architecture_svg(config)
    for (left, top, right, bottom), texts in boxes(svg):
        lines = []
        for text in texts:
            begin, end = span(text)
            (y, size) = attributes(text, "y", "font-size")
            assert left < begin < end < right, text.text
            assert top < y - size * 0.8 < y < bottom
            assert all(abs(y - other) > 10 or begin >= stop or end <= start for other, start, stop in lines), text.text
            lines.append((y, begin, end))


def test_labels_of_arrows_lie_between_boxes(config):
    svg = architecture_svg(config)
    labels = [text for text in parsed(svg).iter(f"{SVG}text") if "label" in text.get("class")]
    assert len(labels) > 3
    for text in labels:
        (begin, end), (y,) = span(text), attributes(text, "y")
        for (left, top, right, bottom), _ in boxes(svg):
            assert end < left or begin > right or y < top or y - 10 > bottom, text.text


def test_numbers_of_boxes_sum_to_the_parameters_of_each_part(config, monkeypatch):
    monkeypatch.setattr(diagram, "short_count", str)  # exact
    root, model = parsed(architecture_svg(config)), on_meta(config.model, "any")
    for part, module in model.parts.items():
        bold = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == f"bold fill {part}"]
        inside = [text.text for group in root.iter(f"{SVG}g") for text in group.findall(f"{SVG}text")
                  if text.get("class") == f"bold fill {part}"]  # fmt: skip
        total = sum(map(int, inside))
        for times, each in re.findall(r"^(\d+) × (\d+)$", "\n".join(bold), re.M):
            total += (int(times) - 1) * int(each)  # the boxes in a repeated block show one of them
        assert total == parameters(module), part
        assert str(parameters(module)) in words(architecture_svg(config)) or not parameters(module)


def test_sizes_are_in_the_drawing():
    found = words(architecture_svg(preset("paligemma-3b-224")))
    for words_of in (
        "3 × 224 × 224", "256 × 1152", "27 × encoder block", "16 heads of 72, all patches see each other",
        "256 visual tokens × 2048", "18 × decoder block", "8 heads of 256; all share one key and value",
        "2048 → 16,384 → 2048, GeGLU (tanh)", "RoPE, θ = 10,000", "T × 257,216 logits", "412M", "2.51B",
    ):  # fmt: skip
        assert words_of in found


@pytest.mark.parametrize(
    "setting",
    ["vision.image_size=112", "vision.patch_size=8", "vision.layers=3", "vision.heads=4",
     "vision.activation=quick_gelu",
     "vision.class_token=true", "vision.pre_norm=true", "vision.feature_layer=-2", "vision.final_norm=false",
     "vision.positions=fractional", "connector.project=mlp", "connector.norm=rms", "connector.bias=false",
     "decoder.layers=3", "decoder.heads=4", "decoder.kv_heads=2", "decoder.mlp_dim=512", "decoder.mlp=gated",
     "decoder.activation=relu2", "decoder.norm=rms", "decoder.positions=rope", "decoder.max_positions=640",
     "decoder.bias=false", "decoder.tied_head=false", "decoder.query_key_norm=true", "decoder.post_norms=true",
     "decoder.scale_embeddings=true", "decoder.query_scalar=7", "decoder.attention_softcap=50",
     "decoder.final_softcap=30", "decoder.window=64", "decoder.mask=prefix", "decoder.mask=image",
     "decoder.vocab_size=300"],
)  # fmt: skip
def test_each_setting_changes_the_drawing(setting):
    assert architecture_svg(preset("char", [f"model.{setting}"])) != architecture_svg(preset("char"))


@pytest.mark.parametrize("setting", ["rope_theta=5000", "window_theta=700", "full_every=3", "query_bias=true"])
def test_each_setting_of_a_decoder_with_windows_changes_the_drawing(setting):
    base = ["model.decoder.window=64", "model.decoder.positions=rope", "model.decoder.bias=false"]
    assert architecture_svg(preset("char", [*base, f"model.decoder.{setting}"])) != architecture_svg(
        preset("char", base)
    )


def test_name_is_the_recipes_unless_it_is_given():
    config = preset("tiny")
    assert words(architecture_svg(config))[0] == "tiny"
    assert words(architecture_svg(config, "mine"))[0] == "mine"
    assert words(architecture_svg(config.model))[0] == "model"


def test_tiles_are_told_where_the_recipe_has_them():
    config = preset("nanovlm-460m-8k")
    assert "cut into tiles of 512 × 512 pixels" in architecture_svg(config)
    assert "cut into tiles" not in architecture_svg(config.model)


@pytest.mark.parametrize("name", ["<b> & \"c\" 'd'", "new\nline \x00 \x1b", "lone \udce8", "x" * 400])
def test_any_name_is_escaped_and_fits(name):
    svg = architecture_svg(preset("tiny"), name)
    root = parsed(svg.encode("utf-8"))
    assert span(next(root.iter(f"{SVG}text")))[1] < 1000


def test_drawn_mask_is_the_one_that_the_model_uses():
    """Of ten tokens, four of the image, three of the prompt and three of the answer."""

    def seen(mask):
        svg = architecture_svg(preset("char", [f"model.decoder.mask={mask}"]))
        (facts,) = [group for group in parsed(svg).iter(f"{SVG}g") if group.get("class") == "facts"]
        cells = [one.get("class") for one in facts.findall(f"{SVG}rect") if one.get("width") == "9.5"]
        return ["".join("." if kind == "cell" else "x" for kind in cells[i : i + 10]) for i in range(0, 100, 10)]

    assert seen("causal") == ["x" * (i + 1) + "." * (9 - i) for i in range(10)]
    answer = ["xxxxxxxx..", "xxxxxxxxx.", "xxxxxxxxxx"]
    assert seen("prefix") == ["xxxxxxx..."] * 7 + answer
    assert seen("image") == ["xxxx......"] * 4 + ["xxxxx.....", "xxxxxx....", "xxxxxxx..."] + answer


def test_every_colour_has_a_dark_one():
    def coloured(style):
        rules = re.findall(r"([.\w, ]+) \{ [^}]*#[^}]*\}", style)
        return {selector.strip() for selectors in rules for selector in selectors.split(",")}

    style = parsed(architecture_svg(preset("tiny"))).find(f"{SVG}style").text
    light, dark = style.split("@media (prefers-color-scheme: dark) {")
    assert ".box.vision" in coloured(light)
    assert coloured(light) == coloured(dark)


def test_what_is_no_config_is_refused():
    with pytest.raises(OjitoError, match=re.escape("write architecture_svg(ojito.preset('tiny'))")):
        architecture_svg("tiny")


@pytest.mark.parametrize("path", sorted(DRAWN.glob("*.svg")), ids=lambda path: path.stem)
def test_drawing_in_docs_is_what_the_code_draws_today(path):
    assert path.read_text(encoding="utf-8") == architecture_svg(preset(path.stem)), "run `python docs/diagrams.py`"


def test_docs_have_a_drawing_of_a_preset():
    assert {path.stem for path in DRAWN.glob("*.svg")} <= {*PRESETS}
    assert (DRAWN / "vit-llama-96.svg").exists()
