"""The recipes in recipes/: each is read, and trains a tiny model as its command says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ojito.config import Config, only_length
from ojito.presets import settings_of
from ojito.settings import merge, parse_yaml, read

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
SMALL = ["train.batch_size=2", "train.accumulate=1", "train.eval_every=1", "data.hold_out=0.2", "train.save_every=1"]
TWO_STAGES = "train.stages=[{steps: 1, freeze: [vision, decoder]}, {steps: 1}]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model, and captions to train it on."""
    from ojito.cli import main

    folder = tmp_path_factory.mktemp("recipes")
    rows = []
    for number in range(40):
        Image.new("RGB", (16, 16), (6 * number, 90, 0)).save(folder / f"{number}.png")
        rows.append({"image": f"{number}.png", "caption": "a red zebra"})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    small = ["model.decoder.layers=1", "model.vision.layers=1", "train.batch_size=2"]
    words = ["train", "--preset", "tiny", "--data", folder / "captions.jsonl", "--steps", 1, "--out", folder / "new"]
    assert main([*map(str, words), *small]) == 0
    return folder


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_trains(path, folder, run):
    length = [TWO_STAGES] if "stages" in path.stem else ["train.steps=2"]
    out = folder / path.stem
    words = ["--from", folder / "new", "--config", path, "--data", folder / "captions.jsonl", "--out", out]
    code, said, error = run("train", *words, "--resume", "auto", *length, *SMALL)
    assert code == 0, error
    assert "2 steps in" in said


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_says_its_command_and_is_listed(path):
    text = path.read_text()
    assert re.search(rf"#   ojito train .*--config recipes/{path.name} ", text)
    assert f"`{path.name}`" in (ROOT / "recipes" / "README.md").read_text()
    values = parse_yaml(text, path.name)
    assert read(Config, merge(merge(settings_of("tiny"), only_length(values)), values)).train.save_every


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs bash")
def test_scripts_are_shell(tmp_path):
    for path in (ROOT / "recipes" / "scale").glob("*.sh"):
        assert os.access(path, os.X_OK), path
        subprocess.run(["/bin/bash", "-n", path], check=True)


@pytest.mark.slow
def test_torchrun_script_trains_on_two_ranks_and_starts_again(folder):
    """One process of two kills itself once: both begin again, and go on from the checkpoint."""
    out = folder / "together"
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os, pathlib, signal, threading, time\n"
        f"out = pathlib.Path({str(out)!r})\n"
        "def watch():\n"
        "    while not (out / 'checkpoints' / 'latest').exists():\n"
        "        time.sleep(0.02)\n"
        "    mark = out / 'killed'\n"
        "    if not mark.exists():\n"
        "        mark.touch()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "if os.environ.get('RANK') == '1':\n"
        "    threading.Thread(target=watch, daemon=True).start()\n"
    )
    path = os.pathsep.join([str(site), str(ROOT), str(Path(sys.executable).parent)])
    environment = {**os.environ, "PYTHONPATH": path, "GPUS": "2", "SAVE_EVERY": "2", "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = ["--from", folder / "new", "--data", folder / "captions.jsonl", "--out", out, "--steps", "200"]
    script = ROOT / "recipes" / "scale" / "torchrun.sh"
    done = subprocess.run([script, *words, "train.batch_size=2", "train.log_every=1"], env=environment, text=True,
                          capture_output=True, timeout=280)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (out / "killed").exists()
    assert "going on after step" in done.stderr
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "lr" in line]
    assert steps == list(range(1, 201))
