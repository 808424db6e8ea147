import json

import pytest

from ojito.trainer.logs.tensorboard import FOLDER, TensorBoard, table

pytest.importorskip("tensorboard")

SHOWN = [{"origin": "a.png", "prompt": "what | is it?", "answer": "a\nkite", "references": ["kite", "red kite"]}]


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / FOLDER))
    events.Reload()
    return events


def test_figures_of_every_kind_and_texts_can_be_read_back(tmp_path):
    log = TensorBoard(tmp_path)
    log.write({"step": 1, "loss": 2.5, "grad_norm": {"vision": 0.5}})
    log.write({"step": 2, "loss": None, "lr": 1e-3})
    log.write({"evaluation": True, "step": 2, "exact_match": 0.25})
    log.write({"step": 2, "shown": SHOWN})
    log.close()
    events = read(tmp_path)
    assert set(events.Tags()["scalars"]) == {"loss", "grad_norm/vision", "lr", "evaluation/exact_match"}
    (loss,) = events.Scalars("loss")
    assert (loss.step, loss.value) == (1, 2.5)
    (text,) = events.Tensors("shown/text_summary")
    assert b"red kite" in text.tensor_proto.string_val[0]


def test_a_run_that_is_gone_on_with_hides_what_was_written_about_later_steps(tmp_path):
    for after, steps in ((None, (1, 2, 3)), (1, (2,))):
        log = TensorBoard(tmp_path, after)
        for step in steps:
            log.write({"step": step, "loss": float(step if after is None else 10 * step)})
        log.close()
    assert [(event.step, event.value) for event in read(tmp_path).Scalars("loss")] == [(1, 1.0), (2, 20.0)]


def test_table_keeps_its_columns_whatever_the_texts_hold():
    lines = table(SHOWN).splitlines()
    assert lines[2] == r"| a.png | what \| is it? | a kite | kite / red kite |"
    assert json.loads(json.dumps(lines[1])) == "|---|---|---|---|"
