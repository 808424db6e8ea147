"""An mmproj: the vision tower and the projector of a GGUF model. Its metadata as settings, and its tensors' names.

    clip.projector_type: mlp         LLaVA: a tower read before its last layer, two matrices with a GELU
    clip.projector_type: gemma3      SigLIP, average pool, a norm and one matrix
    clip.projector_type: idefics3    SigLIP, pixel shuffle, one matrix (SmolVLM, too)

Source: llama.cpp's `tools/mtmd/clip.cpp`, and its conversion of Hugging Face folders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.gguf.opened import OpenGguf
from ojito.checkpoint.huggingface.families import FAMILIES, Family
from ojito.checkpoint.huggingface.fields import Fields, known
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.checkpoint.keys import Key, Table
from ojito.config import AveragePoolConfig, ImageConfig, ModelConfig, PixelShuffleConfig, ViTConfig
from ojito.settings import Settings

_V = "clip.vision"
_POST_NORM, _CLASS, _UP = "v.post_ln.weight", "v.class_embd", "v.blk.0.ffn_up.weight"
_IMAGE_SIZE_LIMIT = 4096  # longest side that tiles are cut from


@dataclass(frozen=True)
class Mmproj:
    """What an mmproj says of a model.

    Attributes:
        family: The public family whose plan it follows.
        vision: The tower's settings.
        connector: The projector's settings.
        decoder: Settings of the decoder that differ in a model with images.
        image: The processor's `image` settings.
        tower: Our names of the tower to theirs.
        projector: Our names of the projector to theirs.
    """

    family: Family
    vision: Settings
    connector: Settings
    decoder: Settings
    image: Settings
    tower: Table
    projector: Table


@dataclass(frozen=True)
class _Projector:
    """A type of projector.

    Attributes:
        family: The public family that it is of.
        table: Our names of its tensors to theirs.
        read: The metadata and the tower's settings, to those of the connector and those that the decoder differs in.
        architectures: Of the decoders that it is for; empty for any.
    """

    family: str
    table: Table
    read: Callable[[Fields, Settings], tuple[Settings, Settings]]
    architectures: tuple[str, ...] = ()


def _mlp(f: Fields, vision: Settings) -> tuple[Settings, Settings]:
    return {"project": "mlp"}, {}


def _gemma3(f: Fields, vision: Settings) -> tuple[Settings, Settings]:
    factor = f.integer(f"{_V}.projector.scale_factor", default=4)
    connector: Settings = {"norm": "rms_plus_one", "norm_eps": vision["norm_eps"], "bias": False}
    return connector | ({"reduce": "average_pool", "factor": factor} if factor > 1 else {}), {"mask": "image"}


def _idefics3(f: Fields, vision: Settings) -> tuple[Settings, Settings]:
    factor = f.integer(f"{_V}.projector.scale_factor", default=4)
    return {"bias": False, **({"reduce": "pixel_shuffle", "factor": factor} if factor > 1 else {})}, {}


PROJECTORS: dict[str, _Projector] = {
    "mlp": _Projector("llava", {"project.0": "mm.0", "project.2": "mm.2"}, _mlp),
    "gemma3": _Projector(
        "gemma3",
        {
            "norm": Key("mm.soft_emb_norm", plus_one=True),
            "project.weight": Key("mm.input_projection.weight", transposed=True),
        },
        _gemma3,
        ("gemma3",),
    ),
    "idefics3": _Projector("idefics3", {"project": "mm.model.fc"}, _idefics3),
}
"""By `clip.projector_type`."""

TOWER: Table = {
    "stem": "v.patch_embd",
    "class_token": _CLASS,
    "positions": "v.position_embd",
    "pre_norm": "v.pre_ln",
    "blocks.*.attention_norm": "v.blk.*.ln1",
    "blocks.*.attention.q": "v.blk.*.attn_q",
    "blocks.*.attention.k": "v.blk.*.attn_k",
    "blocks.*.attention.v": "v.blk.*.attn_v",
    "blocks.*.attention.out": "v.blk.*.attn_out",
    "blocks.*.mlp_norm": "v.blk.*.ln2",
    "blocks.*.mlp.up": "v.blk.*.ffn_up",
    "blocks.*.mlp.down": "v.blk.*.ffn_down",
    "norm": "v.post_ln",
}

_EXCHANGED: Table = {**TOWER, "blocks.*.mlp.up": "v.blk.*.ffn_down", "blocks.*.mlp.down": "v.blk.*.ffn_up"}
"""The older conversion for LLaVA exchanges the names of the two matrices of an MLP."""

IGNORED = (r"v\.position_ids", r"v\.embeddings\.position_ids")


def read_mmproj(opened: OpenGguf) -> Mmproj:
    """What an opened model's mmproj says.

    Raises:
        CheckpointError: A projector that Ojito does not have, or that is for another decoder; metadata that is missing,
            or that it cannot follow.
    """
    assert opened.vision is not None  # noqa: S101 - the caller's to see
    f = Fields(opened.vision.metadata, str(opened.vision.path))
    f.demand("clip.has_audio_encoder", False)
    kind = f.get("clip.projector_type", f"{_V}.projector_type")
    kind = "mlp" if kind is None else kind
    if not isinstance(kind, str) or kind not in PROJECTORS:
        raise f.error("clip.projector_type", kind, known(PROJECTORS))
    projector = PROJECTORS[kind]
    architecture = opened.text.architecture
    if projector.architectures and architecture not in projector.architectures:
        problem = (
            f"is for a decoder of {' or '.join(projector.architectures)}, and {opened.path.name} is {architecture}"
        )
        raise CheckpointError(opened.vision.path, problem, "give the mmproj of the same model")
    family = FAMILIES[projector.family]
    class_token = _CLASS in opened.header
    tower = "clip_vision_model" if class_token else family.towers[0] if kind != "mlp" else "siglip_vision_model"
    vision = _vision(opened, f, tower)
    if kind == "mlp":
        vision |= _before_the_last(opened, f, vision)
    connector, decoder = projector.read(f, vision)
    image = {
        **family.image_settings(tower),
        "mean": f.numbers(f"{_V}.image_mean", default=TOWERS[tower].image_settings["mean"]),
        "std": f.numbers(f"{_V}.image_std", default=TOWERS[tower].image_settings["std"]),
    }
    if image.get("fit") == "tiles":
        usual = min(4 * vision["image_size"], _IMAGE_SIZE_LIMIT)
        image["longest_side"] = f.integer(f"{_V}.preproc_image_size", default=usual)
    width = opened.header[_UP].shape[0] if _UP in opened.header and opened.header[_UP].shape else 0
    exchanged = width == vision["width"] != vision["mlp_dim"]
    names = _EXCHANGED if exchanged else TOWER
    return Mmproj(family, vision, connector, decoder, image, names, projector.table)


def write_tower(kind: str, model: ModelConfig, image: ImageConfig) -> Settings:
    """Tower and projector of a model as the metadata of an mmproj.

    Args:
        kind: Its `clip.projector_type`.
        model: Its config, of the projector's family.
        image: How its images are prepared.
    """
    tower, connector = model.vision, model.connector
    assert isinstance(tower, ViTConfig)  # noqa: S101 - as every tower of the families
    values: Settings = {
        "general.type": "mmproj",
        "clip.has_vision_encoder": True,
        "clip.projector_type": kind,
        "clip.use_gelu": tower.activation != "quick_gelu",
        f"{_V}.image_size": tower.image_size,
        f"{_V}.patch_size": tower.patch_size,
        f"{_V}.embedding_length": tower.width,
        f"{_V}.feed_forward_length": tower.mlp_dim,
        f"{_V}.block_count": tower.layers,
        f"{_V}.attention.head_count": tower.heads,
        f"{_V}.attention.layer_norm_epsilon": float(tower.norm_eps),
        f"{_V}.projection_dim": model.decoder.width,
        f"{_V}.image_mean": [*map(float, image.mean)],
        f"{_V}.image_std": [*map(float, image.std)],
    }
    if kind == "mlp":
        # Without it, llama.cpp leaves out the last layer that the file has.
        return values | {"clip.has_llava_projector": True, f"{_V}.feature_layer": [tower.layers]}
    blocks = connector.factor if isinstance(connector, (PixelShuffleConfig, AveragePoolConfig)) else 1
    values[f"{_V}.projector.scale_factor"] = blocks
    return values | ({f"{_V}.preproc_image_size": image.longest_side} if image.longest_side else {})


def _vision(opened: OpenGguf, f: Fields, tower: str) -> Settings:
    """The tower's settings, by way of the fields of its public config.json."""
    fields = {
        "hidden_size": _needed(f, "embedding_length"),
        "intermediate_size": _needed(f, "feed_forward_length"),
        "num_hidden_layers": _needed(f, "block_count"),
        "num_attention_heads": _needed(f, "attention.head_count"),
        "image_size": _needed(f, "image_size"),
        "patch_size": _needed(f, "patch_size"),
        "hidden_act": _activation(f),
        "layer_norm_eps": f.number(f"{_V}.attention.layer_norm_epsilon", default=1e-6),
    }
    settings = TOWERS[tower].read(Fields(fields, f.where))
    return {
        **settings,
        "pre_norm": "v.pre_ln.weight" in opened.header,
        "stem_bias": "v.patch_embd.bias" in opened.header,
    }


def _activation(f: Fields) -> str:
    """The name in config.json of what llama.cpp computes: without either flag, its quick GELU."""
    f.demand("clip.use_silu", False)
    return "gelu_pytorch_tanh" if f.flag("clip.use_gelu", default=False) else "quick_gelu"


def _before_the_last(opened: OpenGguf, f: Fields, vision: Settings) -> Settings:
    """LLaVA's tower ends where its patches are taken from: the file has no layers beyond."""
    layers = vision["layers"]
    chosen = f.get(f"{_V}.feature_layer")
    if chosen not in (None, [layers]):
        raise f.error(f"{_V}.feature_layer", chosen, f"Ojito reads the patches after the last of {layers} layers")
    return {"feature_layer": -1, "final_norm": _POST_NORM in opened.header}


def _needed(f: Fields, name: str) -> int:
    number = f.integer(f"{_V}.{name}", default=0)
    if not number:
        raise CheckpointError(
            f.where, f"has no {_V}.{name} in its metadata", "use the mmproj of a model that Ojito has"
        )
    return number
