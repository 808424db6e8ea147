"""Models that are fetched whole, once, and laid out as huggingface_hub lays them out."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ojito.checkpoint.files import find_file
from ojito.checkpoint.hub_cache import hub_id_of, is_hub_id
from ojito.hub.download import download
from ojito.loading import find_folder
from tests.hub.owl import FIRST, MODEL, NAME, SECOND, SHARDS, TOKEN, WEIGHTS, contents
from tests.hub.server import git_hash, sha256

# ------------------------------------------------------------------------------------------------------------------ ids


@pytest.mark.parametrize(
    "name",
    [NAME, "HuggingFaceTB/SmolLM2-135M", "a/b", "o_o/x.y", "google/paligemma-3b-pt-224@bfloat16", "a/b@refs/pr/1",
     f"a/b@{FIRST}", "a/b@v1.0", "a/b@my--branch", "a" * 96 + "/b"],
)  # fmt: skip
def test_name_with_owner_is_an_id(name):
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    ["", "tiny", "./x", "../x", "/x", "x/", "/a/b", "a/b/c", "..", "~", "~/x", "~a/b", "a//b", "a\\b", "a/b.git",
     "a/..", "a/b--c", "a..a/b", ".a/b", "a/b.", "-a/b", "a/b-", "a b/c", "a/b\n", "a/ñ", "https://huggingface.co/a",
     "a:b/c", "a" * 97 + "/b", "a/b@", "a/b@../x", "a/b@/x", "a/b@x/", "a/b@x//y", "a/b@x/.y", "a/b@x y", "a@x/b",
     "a/b@x@y"],
)  # fmt: skip
def test_anything_else_is_no_id(name):
    assert not is_hub_id(name)
    with pytest.raises(ValueError, match="is no id of the Hugging Face Hub; write owner/name"):
        download(name)


# ------------------------------------------------------------------------------------------------------------- fetching


@pytest.mark.parametrize(
    ("pasted", "name"),
    [
        ("https://huggingface.co/google/paligemma-3b-mix-224", "google/paligemma-3b-mix-224"),
        ("http://huggingface.co/a/b", "a/b"),
        ("https:/huggingface.co/a/b", "a/b"),  # as a Path has it
        ("https://www.huggingface.co/a/b/", "a/b"),
        ("huggingface.co/a/b", "a/b"),
        ("hf.co/a/b", "a/b"),
        ("https://hf.co/a/b?library=transformers", "a/b"),
        ("https://huggingface.co/a/b#usage", "a/b"),
        ("https://huggingface.co/a/b.git", "a/b"),
        ("https://huggingface.co/a/b/tree/main", "a/b"),
        ("https://huggingface.co/a/b/tree/bfloat16", "a/b@bfloat16"),
        ("https://huggingface.co/a/b/blob/v1.0/config.json", "a/b@v1.0"),
        ("https://huggingface.co/a/b/resolve/main/model.safetensors?download=true", "a/b"),
        (f"https://huggingface.co/a/b/commit/{FIRST}", f"a/b@{FIRST}"),
        ("https://huggingface.co/a/b/discussions/3", "a/b"),
        ("hf://a/b@v1", "a/b@v1"),
        (" a/b ", "a/b"),
        ("a/b/", "a/b"),
        ("a/b@v1/", "a/b@v1"),
    ],
)
def test_address_that_was_pasted_is_understood(pasted, name):
    assert hub_id_of(pasted) == name


@pytest.mark.parametrize(
    "name",
    ["a/b", "a/b@v1", "tiny", "./a/b/", "/a/b/", "a/b/c/", "https://huggingface.co/a", "https://huggingface.co/",
     "https://huggingface.co/datasets/a/b", "https://huggingface.co/spaces/a/b", "https://huggingface.co/docs/a/b",
     "https://github.com/a/b", "https://huggingface.co.evil.org/a/b", "https://evil.org/huggingface.co/a/b",
     "https://huggingface.co/../a", "https://huggingface.co/a/..", "https://huggingface.co/a/b/tree/../../x",
     "s3://a/b", "C:/a/b", ""],
)  # fmt: skip
def test_anything_else_is_no_address_of_a_model(name):
    assert not hub_id_of(name)


def test_models_address_is_loaded_as_its_name(hub):
    name = f"https://huggingface.co/{NAME}/tree/{FIRST}"
    assert find_folder(name, check=lambda _: None) == find_folder(f"{NAME}/", check=lambda _: None) == download(NAME)


def no_links(*_):
    raise OSError(1314, "A required privilege is not held by the client")


def test_model_is_fetched_whole(hub):
    folder = download(NAME)
    assert contents(folder) == MODEL
    assert folder.name == FIRST


def test_snapshot_is_read_like_any_folder(hub):
    folder = download(NAME)
    assert {name: find_file(folder, name, limit=None).read_bytes() for name in MODEL} == MODEL


def test_cache_is_laid_out_as_the_hubs_documentation_says(hub, cache):
    download(NAME)
    home = cache / "models--owl--eyes-3b"
    assert {p.name for p in (home / "blobs").iterdir()} == {
        git_hash(MODEL["config.json"]), git_hash(MODEL["tokenizer.json"]), sha256(WEIGHTS),
    }  # fmt: skip
    assert os.readlink(home / "snapshots" / FIRST / "model.safetensors") == f"../../blobs/{sha256(WEIGHTS)}"
    assert (home / "refs" / "main").read_text() == FIRST


def test_model_that_ojito_fetched_is_found_by_huggingface_hub(hub):
    from huggingface_hub import hf_hub_download, snapshot_download

    folder = download(NAME)
    assert snapshot_download(NAME, local_files_only=True) == str(folder)
    hub.asked.clear()
    path = hf_hub_download(NAME, "model.safetensors")
    assert Path(path) == folder / "model.safetensors"
    assert {method for method, _, _ in hub.asked} == {"HEAD"}


def test_model_that_huggingface_hub_fetched_is_not_fetched_again(hub):
    from huggingface_hub import hf_hub_download

    for name in MODEL:
        hf_hub_download(NAME, name)
    hub.asked.clear()
    assert contents(download(NAME)) == MODEL
    assert hub.paths == [f"/api/models/{NAME}/revision/main"]


def test_content_that_all_repositories_share_is_not_fetched_again(hub, cache):
    folder = download(NAME)
    shared = cache / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    (cache / "blobs" / ".huggingface-shared-blobs").write_text("1\n")
    blob = cache / "models--owl--eyes-3b" / "blobs" / sha256(WEIGHTS)
    blob.rename(shared)
    blob.symlink_to(f"../../blobs/ab/{shared.name}")
    hub.asked.clear()
    assert find_file(download(NAME), "model.safetensors").resolve() == shared
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert len(hub.paths) == 1


def test_file_that_another_revision_has_is_fetched_once(hub, cache):
    hub.commits[NAME][SECOND] = {**MODEL, "config.json": b'{"model_type": "eagle"}'}
    hub.branches[NAME]["next"] = SECOND
    first = download(NAME)
    hub.asked.clear()
    second = download(f"{NAME}@next")
    assert hub.paths == [f"/api/models/{NAME}/revision/next", "config.json"]
    assert contents(first) == MODEL
    assert contents(second) == hub.commits[NAME][SECOND]
    assert len(list((cache / "models--owl--eyes-3b" / "blobs").iterdir())) == 4


def test_branch_that_moved_is_followed(hub, constants, monkeypatch):
    download(NAME)
    hub.commits[NAME][SECOND] = {**MODEL, "config.json": b"{}"}
    hub.branches[NAME]["main"] = SECOND
    assert download(NAME).name == SECOND
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download(NAME).name == SECOND


@pytest.mark.parametrize("revision", [FIRST, "refs/pr/1", "v1.0"])
def test_revision_is_a_commit_a_tag_or_a_request(hub, revision):
    hub.branches[NAME] = {"main": SECOND, "refs/pr/1": FIRST, "v1.0": FIRST}
    assert download(f"{NAME}@{revision}").name == FIRST


@pytest.mark.parametrize(
    ("also", "wanted"),
    [
        ({"pytorch_model.bin": b"x", "modeling_owl.py": b"x", "model.gguf": b"x", "vae-oid.npz": b"x"}, []),
        ({"README.md": b"x", "tokenizer.model": b"x", ".gitattributes": b"x", "config.json.py": b"x"}, []),
        ({"consolidated.safetensors": b"x", "onnx/model.safetensors": b"x", "adapter_model.safetensors": b"x"}, []),
        ({"processor_config.json": b"{}", "special_tokens_map.json": b"{} "},
         ["processor_config.json", "special_tokens_map.json"]),
        ({"chat_template.jinja": b"x", "chat_template.json": b"y"}, ["chat_template.jinja", "chat_template.json"]),
        ({"processor.json": b"{}", "recipe.yaml": b"a: 1"}, ["processor.json", "recipe.yaml"]),
    ],
)  # fmt: skip
def test_only_what_loading_needs_is_asked_for(hub, also, wanted):
    hub.commits[NAME][FIRST].update(also)
    download(NAME)
    _, *files = hub.paths
    assert sorted(files) == sorted([*MODEL, *wanted])


def test_file_of_nothing_is_there(hub):
    hub.commits[NAME][FIRST]["added_tokens.json"] = b""
    assert contents(download(NAME))["added_tokens.json"] == b""


def test_shards_are_those_that_the_index_names(hub):
    hub.commits[NAME][FIRST] = {**SHARDS, "consolidated.safetensors": b"x", "model-00003.safetensors": b"x"}
    assert contents(download(NAME)) == SHARDS
    assert hub.paths.count("model.safetensors.index.json") == 1


def test_one_file_is_preferred_to_shards(hub):
    hub.commits[NAME][FIRST] = {**SHARDS, **MODEL}
    assert contents(download(NAME)) == MODEL


def test_progress_counts_bytes_up_to_the_whole_model(hub):
    hub.commits[NAME][FIRST] = SHARDS
    seen = []
    download(NAME, lambda done, total: seen.append((done, total)))
    total = sum(map(len, SHARDS.values()))
    assert {t for _, t in seen} == {total}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == total
    assert len({done for done, _ in seen}) > len(SHARDS)


def test_second_load_only_asks_which_commit_it_is(hub, cache):
    download(NAME)
    hub.asked.clear()
    before = {path: path.lstat().st_mtime_ns for path in cache.rglob("*")}
    assert contents(download(NAME, lambda *_: pytest.fail("something was fetched"))) == MODEL
    assert hub.paths == [f"/api/models/{NAME}/revision/main"]
    assert {path: path.lstat().st_mtime_ns for path in cache.rglob("*")} == before


@pytest.mark.parametrize("links", [True, False])
def test_those_that_load_at_once_fetch_each_file_once(hub, monkeypatch, links):
    if not links:
        monkeypatch.setattr(Path, "symlink_to", no_links)
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: download(NAME), range(4)))
    assert [contents(folder) for folder in folders] == [MODEL]
    assert sorted(path for path in hub.paths if not path.startswith("/api")) == sorted(MODEL)


def test_without_links_the_files_stand_in_the_snapshot(hub, monkeypatch):
    monkeypatch.setattr(Path, "symlink_to", no_links)
    folder = download(NAME)
    assert contents(folder) == MODEL
    assert not any(path.is_symlink() for path in folder.iterdir())
    hub.asked.clear()
    download(NAME)
    assert len(hub.paths) == 1


def test_environment_of_a_process_decides_where_what_and_as_whom(hub, tmp_path):
    code = (
        "import sys; from ojito.hub.download import download; assert 'huggingface_hub' not in sys.modules; "
        f"print(download('{NAME}')); assert 'transformers' not in sys.modules"
    )
    known = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "elsewhere"), "HF_TOKEN": TOKEN}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**known, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.startswith(str(tmp_path / "elsewhere" / "hub" / "models--owl--eyes-3b"))
    assert contents(Path(done.stdout.strip())) == MODEL
    assert hub.headers("config.json")[0]["Authorization"] == f"Bearer {TOKEN}"
