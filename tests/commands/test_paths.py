"""Where commands read and write: no model is replaced unasked, and mistakes are found before the work."""

import pytest

from ojito.commands.paths import check_page
from ojito.errors import UsageError


@pytest.fixture
def words(parts, images, recipe, trained):
    """Each command that writes a model, but for --out."""
    return {
        "train": ("train", "--config", recipe, "--data", images, "--steps", 1, "--device", "cpu"),
        "build": ("build", "--vision", parts / "siglip", "--decoder", parts / "smollm", "--device", "cpu"),
        "convert": ("convert", trained, "--to", "ojito"),
    }


@pytest.mark.parametrize("command", ["train", "build", "convert"])
@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model-00001-of-00002.safetensors"])
def test_model_of_any_form_is_replaced_only_with_force(run, refused, words, tmp_path, command, weights):
    out = tmp_path / "theirs"
    out.mkdir()
    for name in ("config.json", weights):
        (out / name).write_text("{}")
    said = refused(*words[command], "--out", out)
    assert (
        said == f"ojito: error: --out {out}: holds a model already; choose another folder, or replace it with --force\n"
    )
    assert sorted(path.name for path in out.iterdir()) == sorted(["config.json", weights])
    assert run(*words[command], "--out", out, "--force")[0] == 0
    assert not (out / weights).exists()


@pytest.mark.parametrize("command", ["train", "build", "convert"])
def test_file_in_the_way_is_named(refused, words, tmp_path, command):
    photo = tmp_path / "photo.jpg"
    photo.write_text("mine")
    assert f"--out {photo}: is a file; give a folder" in refused(*words[command], "--out", photo, "--force")
    said = refused(*words[command], "--out", photo / "a" / "b")
    assert f"--out {photo / 'a' / 'b'}: is in {photo}, which is a file; give a folder" in said
    assert photo.read_text() == "mine"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{tmp}/gone", "gone: does not exist; check the path, or use scenes or photos16"),
        ("{tmp}/rows.xlsx", "rows.xlsx: is no list of rows"),
    ],
)
@pytest.mark.parametrize("command", ["eval owner/name {data}", "train --from owner/name --data {data}"])
def test_data_that_are_not_there_are_named_before_a_model_is_fetched(
    refused, tmp_path, monkeypatch, command, data, said
):
    monkeypatch.setattr("ojito.loading.download", lambda *args: pytest.fail("fetched"))
    (tmp_path / "rows.xlsx").write_text("x")
    assert said in refused(*command.format(data=data.format(tmp=tmp_path)).split())


def test_page_is_checked_before_its_contents_take_time(tmp_path):
    check_page("--out", str(tmp_path / "new" / "page.html"))
    with pytest.raises(UsageError, match=r"--out .*is a folder; give a file, such as .*page\.html"):
        check_page("--out", str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--report .*is in .*file, which is a file"):
        check_page("--report", str(tmp_path / "file" / "page.html"))
