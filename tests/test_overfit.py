"""Models of every make learn sixteen photographs by heart: images, words and gradients go all the way through."""

import pytest

from ojito.data import Batches, open_data
from ojito.evaluate import evaluate
from ojito.pipeline import Pipeline
from ojito.presets import preset
from ojito.trainer import TrainState, fit
from ojito.training import prepare

SMALL_VIT = ["model.vision.image_size=64", "model.vision.width=128", "model.vision.layers=2", "model.vision.heads=4",
             "model.vision.mlp_dim=256"]  # fmt: skip
SMALL_GPT = ["model.decoder.vocab_size=512", "model.decoder.width=128", "model.decoder.layers=2",
             "model.decoder.heads=4", "model.decoder.mlp_dim=256", "model.decoder.dropout=0"]  # fmt: skip
SMALL_RESNET = ["model.vision.image_size=64", "model.vision.blocks=[1,1,1,1]", "model.vision.stem_width=16"]

REDUCED = {
    "minimal-gpt": [*SMALL_VIT, *SMALL_GPT],
    "minimal-resnet": [*SMALL_RESNET, *SMALL_GPT],
    "minimal-smol": [*SMALL_VIT, *SMALL_GPT, "model.decoder.kv_heads=2"],
    "char": [],
    "vit-llama-96": [*SMALL_VIT, "model.vision.dropout=0", "model.decoder.vocab_size=512", "model.decoder.layers=2",
                     "model.decoder.mlp_dim=512", "model.decoder.dropout=0"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REDUCED)
def test_reduced_preset_recites_the_captions_of_sixteen_photographs(name):
    pytest.importorskip("skimage", reason="the photographs are those of scikit-image: pip install 'ojito[photos]'")
    training = ["data.path=photos16", "train.batch_size=16", "train.steps=150", "train.lr=1e-3"]
    config = preset(name, [*REDUCED[name], *training])
    source = open_data(config)
    model, processor = prepare(config, source, "cpu")
    fit(TrainState(model, config.train), Batches(source, processor, config.data, config.train), quiet=True)
    report = evaluate(Pipeline(model, processor, config), source.samples("train"), max_new_tokens=96)
    right, exchanged = (sum(one.right for one in graded) for graded in (report.graded, report.exchanged))
    assert right >= 15, f"{right} of 16; the first said {report.graded[0].given!r}"
    assert exchanged == 0  # by heart, and by looking
