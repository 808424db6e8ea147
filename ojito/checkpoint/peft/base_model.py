"""Where the model is that an adapter belongs to. Nothing is fetched: an adapter may come from anywhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ojito.checkpoint.files import ADAPTER, ADAPTER_WEIGHTS, CheckpointError, path_setting
from ojito.checkpoint.hub_cache import Cached, cache_folder, is_hub_id, repository_of
from ojito.checkpoint.peft.config_file import AdapterConfig


def is_adapter(folder: Path | str) -> bool:
    """Tell whether a folder holds an adapter, and no model beside it."""
    folder = Path(folder)
    return (folder / ADAPTER).is_file() and not any(folder.glob("model*.safetensors"))


def find_base(config: AdapterConfig, given: Path | str | None = None) -> Path:
    """Return the folder, or GGUF file, of an adapter's base model.

    Args:
        config: The adapter's.
        given: Where it is; None looks for the one that the adapter names: as a path, and then by its name on the Hub
            among what this machine has fetched.

    Raises:
        CheckpointError: It is not here, or is an adapter itself.
    """
    folder = config.path.parent
    found = Path(given) if given is not None else _named(config)
    if found is None:
        named = f"for {config.base[:200]}, which is not here" if config.base else "and does not name its model"
        if config.base and is_hub_id(config.base):
            named = f"for {config.base}, which was not fetched yet"
        remedy = f"name its model: ojito.load({str(folder)!r}, base=MODEL), or --base MODEL"
        raise CheckpointError(folder, f"is an adapter {named}", remedy)
    if found.is_dir() and is_adapter(found):
        remedy = f"merge that one first: ojito convert {found} --to ojito --out MERGED"
        raise CheckpointError(folder, f"is an adapter for {found}, which is an adapter itself", remedy)
    return found


def _named(config: AdapterConfig) -> Path | None:
    name = config.base
    if not name:
        return None
    for place in (Path(name), config.path.parent / name):
        with suppress(OSError, ValueError):  # a name that is none
            if place.is_dir() or place.is_file():  # of a pipe, nothing would ever come
                return place
    revision = f"@{config.revision}" * bool(config.revision)
    if not is_hub_id(name + revision):
        return None
    snapshot = Cached.of(cache_folder(), name + revision).current()
    return snapshot if snapshot is not None and snapshot.is_dir() else None


def name_of(base: Path) -> tuple[str, str]:
    """Return how an adapter names its base model: by its name on the Hub and commit, or by its path.

    Raises:
        CheckpointError: The path is not UTF-8.
    """
    base = base.resolve()
    repository = repository_of(base)
    return (repository, base.name) if repository else (path_setting(base), "")


def weights_file(folder: Path) -> str:
    """The name of the file of an adapter's tensors.

    Raises:
        CheckpointError: It is a pickle, or there are pickles of more weights beside it.
    """
    for name in ("adapter_model.bin", "non_lora_trainables.bin"):
        if (folder / name).exists() and (name != "adapter_model.bin" or not (folder / ADAPTER_WEIGHTS).exists()):
            problem = f"has weights of its adapter as a pickle ({name}), which is a program"
            raise CheckpointError(folder, problem, f"save them as {ADAPTER_WEIGHTS} (PEFT's save_pretrained does)")
    return ADAPTER_WEIGHTS
