"""A folder that is opened once, and the descriptions that the forms of folders make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ojito.checkpoint.files import CONFIG, CheckpointError, read_json
from ojito.checkpoint.keys import KeyMap
from ojito.checkpoint.tensors.header import DTYPE_NAMES, FLOATS, Entry, read_header
from ojito.checkpoint.tensors.source import SafetensorsFolder, TensorSource
from ojito.checkpoint.unsupported import check_supported
from ojito.config import (
    Config,
    DecoderConfig,
    EfficientNetConfig,
    ModelConfig,
    NoVisionConfig,
    PerceiverConfig,
    ProcessorConfig,
    ResNetConfig,
    VisionConfig,
)

if TYPE_CHECKING:
    from ojito.checkpoint.peft.adapter import Adapter

Form = Literal["native", "huggingface", "nanovlm", "gguf"]
PartKind = Literal["vision", "decoder"]

_FEWEST = 6  # tensors of a layer, of any kind


class OpenFolder:
    """A model's folder. Its config.json and the headers of its weights are parsed when first needed, and only once.

    Attributes:
        path: The folder.
        described_by: What says how many layers there are, for messages.
    """

    described_by = CONFIG

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @cached_property
    def values(self) -> dict[str, Any]:
        """The fields of config.json.

        Raises:
            CheckpointError: It is missing or damaged, or the folder is of a kind that is not supported.
        """
        if not (self.path / CONFIG).exists():
            check_supported(self.path, None)
        values = read_json(self.path, CONFIG)
        check_supported(self.path, values)
        return values

    @cached_property
    def header(self) -> Mapping[str, Entry]:
        """The dtypes and shapes of the tensors, by name.

        Raises:
            CheckpointError: A file of weights is missing or damaged.
        """
        return read_header(self.path)

    @property
    def tensors(self) -> TensorSource:
        """The tensors themselves.

        Raises:
            CheckpointError: As for `header`.
        """
        return SafetensorsFolder(self.path, self.header)

    @property
    def name(self) -> str:
        """The model's name: the folder's, or the one that it has on the Hub."""
        folder = self.path.resolve()
        if folder.parent.name == "snapshots":  # the Hub's cache: models--owner--name/snapshots/<commit>
            return folder.parent.parent.name.rpartition("--")[2]
        return folder.name

    def check_layers(self, config: ModelConfig | VisionConfig | DecoderConfig) -> None:
        """Check that there are tensors for all layers: building one takes time, on `meta` too.

        Raises:
            CheckpointError: The config asks for more layers.
        """
        layers, tensors = _layers(config), len(self.header)
        if layers * _FEWEST > tensors:
            problem = f"{self.described_by} asks for {layers} layers, but {tensors} tensors are too few for them"
            raise CheckpointError(self.path, problem, "use the files of one model")


def _layers(config: ModelConfig | VisionConfig | DecoderConfig) -> int:
    """The number of layers of a vision tower, a decoder, or both with what is between."""
    if isinstance(config, (ResNetConfig, EfficientNetConfig)):
        return sum(config.blocks)
    if isinstance(config, NoVisionConfig):
        return 0
    if not isinstance(config, ModelConfig):
        return config.layers
    between = config.connector.layers if isinstance(config.connector, PerceiverConfig) else 0
    return _layers(config.vision) + between + _layers(config.decoder)


@dataclass(frozen=True)
class Described:
    """A vision-language model as its folder describes it, weights apart.

    Attributes:
        folder: Its folder.
        form: How the folder is written.
        family: The name of the family; "" in Ojito's own form.
        name: The model's name.
        model: The model's config.
        processor: The processor's config.
        tokenizer: The path of its tokenizer.json, or of the GGUF file that has one in its metadata.
        keys: The names of its tensors in the folder's files.
        recipe: The recipe that it was trained with; None where the folder has none.
        quantize: The form that its weights are quantized to, or "none".
        adapter: The adapter that makes this model of another one, where the folder holds one.
    """

    folder: OpenFolder
    form: Form
    name: str
    model: ModelConfig
    processor: ProcessorConfig
    tokenizer: Path
    keys: KeyMap
    family: str = ""
    recipe: Config | None = None
    quantize: str = "none"
    adapter: Adapter | None = None

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self.folder.path

    @property
    def header(self) -> Mapping[str, Entry]:
        """The dtypes and shapes of the tensors, by name."""
        return self.folder.header

    @property
    def dtypes(self) -> set[str]:
        """The names of the dtypes of the model's floating-point weights: "float32", "bfloat16"."""
        stored = {name.rpartition(".")[0] for name in self.header if name.endswith(".values")}  # quantized matrices
        found = {
            entry.dtype
            for name, entry in self.header.items()
            if not self.keys.ignores(name) and (self.quantize == "none" or name.rpartition(".")[0] not in stored)
        }
        return {DTYPE_NAMES.get(dtype, dtype) for dtype in found if dtype in FLOATS}


@dataclass(frozen=True)
class Part:
    """A vision tower or a decoder as a folder describes it.

    Attributes:
        config: The part's config.
        keys: The names in the folder of those of the model's tensors that begin with `vision.` or `decoder.`.
        image: The processor's `image` settings, of a tower.
        tokenizer: The processor's `tokenizer` settings, of a decoder.
        prompt: The processor's `prompt` settings, of a decoder.
        name: The name of its model.
        folder: Where it was found; None means random weights, unless it is packaged.
        packaged: Whether it is one of `packaged.PACKAGED`, by its name.
    """

    config: VisionConfig | DecoderConfig
    keys: KeyMap
    image: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    prompt: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    folder: OpenFolder | None = None
    packaged: bool = False
