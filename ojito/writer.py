"""A model and its processor, written: as Ojito's own folder or an adapter, for transformers, for llama.cpp."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ojito.checkpoint.description import Described
from ojito.checkpoint.files import KEEPS, CheckpointError
from ojito.checkpoint.gguf.export import Written, write_files
from ojito.checkpoint.huggingface.card import CARD
from ojito.checkpoint.huggingface.export import Exported, family_of, write_folder
from ojito.checkpoint.huggingface.tokenizer_files import SpecialIds
from ojito.checkpoint.learned_file import write_learned
from ojito.checkpoint.native import RECIPE, save_model
from ojito.checkpoint.peft.folder import save_adapter
from ojito.checkpoint.saving import holds_model, staged_save
from ojito.config import Config, LoraConfig
from ojito.device import pick_dtype
from ojito.inference import quantized_form
from ojito.learned import Learned
from ojito.model import VLM
from ojito.model.lora import adapted_layers, merged_state
from ojito.processor import Processor
from ojito.processor.processor import TOKENIZER_FILE
from ojito.records import Progress
from ojito.settings import to_yaml, write


class Apart(NamedTuple):
    """A model that is saved as an adapter.

    Attributes:
        base: The model that the adapter is for.
        config: Of LoRA.
        matrices: The two matrices of each layer, by its name.
        whole: Tensors of parts that learned in full.
    """

    base: Described
    config: LoraConfig
    matrices: Mapping[str, tuple[Tensor, Tensor]]
    whole: Mapping[str, Tensor]


@dataclass(frozen=True)
class Writer:
    """What is written.

    Attributes:
        name: What the model is called.
        model: Any VLM.
        processor: The one that it was trained with.
        base: The folder whose weights the model has beside adapters; None where there are none.
    """

    name: str
    model: VLM
    processor: Processor
    base: Described | None = None

    def save(self, folder: Path | str, config: Config | None = None, learned: Learned | None = None) -> None:
        """Write Ojito's own folder, or an adapter, with the recipe and what the model was trained on.

        Raises:
            CheckpointError: The folder cannot be written.
        """
        with staged_save(folder) as staging:
            apart = self._apart()
            # Over the base itself, an adapter would belong to nothing.
            if apart is not None and apart.base.path.resolve() != Path(folder).resolve():
                save_adapter(staging, *apart)
            else:
                form = quantized_form(self.model)
                save_model(staging, self.name, self.model.config, merged_state(self.model), form)
            self.processor.save(staging)
            if config:
                (staging / RECIPE).write_text(to_yaml(write(config)), encoding="utf-8")
            if learned:
                write_learned(staging, learned)

    def saved_bytes(self) -> int:
        """Return the bytes of the weights that `save` writes."""
        apart = self._apart()
        if apart is None:
            return sum(tensor.nbytes for tensor in self.model.state_dict().values())
        return sum(t.nbytes for t in (*itertools.chain.from_iterable(apart.matrices.values()), *apart.whole.values()))

    def family(self) -> str:
        """Return the name of the family that `export` writes the model as.

        Raises:
            CheckpointError: As for `export`, where the model is of none.
        """
        self._check_exact()
        with tempfile.TemporaryDirectory() as folder:
            self.processor.tokenizer.save(Path(folder) / TOKENIZER_FILE)
            return family_of(Path(folder), self.name, self.model.config, self.processor.config, self._marks)

    def export(
        self,
        folder: Path | str,
        *,
        force: bool,
        dtype: torch.dtype | str | None,
        max_shard: int,
        base_model: str,
        learned: Learned | None,
        progress: Progress | None,
    ) -> Exported:
        """Write the folder that transformers loads. Arguments and errors as for `Pipeline.export`."""
        self._check_exact()
        _check_free(folder, force)
        with staged_save(folder, keep=(CARD,)) as staging:
            self.processor.tokenizer.save(staging / TOKENIZER_FILE)
            if learned:
                write_learned(staging, learned)
            return write_folder(
                staging, self.name, self.model.config, self.processor.config, self._marks, merged_state(self.model),
                dtype, max_shard, base_model, progress,
            )  # fmt: skip

    def export_gguf(
        self, folder: Path | str, *, force: bool, dtype: torch.dtype | str | None, progress: Progress | None
    ) -> Written:
        """Write the files that llama.cpp loads. Arguments and errors as for `Pipeline.export_gguf`."""
        self._check_exact()
        _check_free(folder, force)
        stored = pick_dtype(dtype or self.model.dtype, self.model.device)
        with staged_save(folder) as staging:
            return write_files(
                staging, self.name, self.model.config, self.processor.config, self.processor.tokenizer.library(),
                self._marks, merged_state(self.model), stored, progress,
            )  # fmt: skip

    @property
    def _marks(self) -> SpecialIds:
        tokenizer = self.processor.tokenizer
        return SpecialIds(tokenizer.bos, tokenizer.ends, tokenizer.pad)

    def _apart(self) -> Apart | None:
        """The adapter that the model is saved as; None where it is saved whole."""
        adapters = self.model.adapters
        if adapters is None or self.base is None or "decoder" in adapters.whole:
            return None
        parts = {name: part for name, part in self.model.parts.items() if name in adapters.whole}
        whole = {f"{name}.{key}": t for name, part in parts.items() for key, t in merged_state(part).items()}
        layers = {n: layer for n, layer in adapted_layers(self.model) if n.partition(".")[0] not in parts}
        matrices: dict[str, tuple[Tensor, Tensor]] = {n: (layer.lora_A, layer.lora_B) for n, layer in layers.items()}
        return Apart(self.base, adapters.config, matrices, whole)

    def _check_exact(self) -> None:
        """Refuse to write a quantized model in a form that has no place for its weights.

        Raises:
            CheckpointError: It is quantized.
        """
        form = quantized_form(self.model)
        if form != "none":
            problem = f"has weights in {form}, for which the form has no place"
            raise CheckpointError(self.name, problem, f"export the model that it was made from, or {KEEPS}")


def _check_free(folder: Path | str, force: bool) -> None:
    """Refuse to write over a model, unless `force` is given."""
    if not force and holds_model(folder):
        raise CheckpointError(folder, "holds a model already", "choose another folder, or replace it with force=True")
