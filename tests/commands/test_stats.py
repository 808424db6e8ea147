"""The lines of `--stats`."""

from ojito.commands.stats import stats_line, sweep_line

VALUES = {"load_seconds": 0.5, "encode_seconds": 0.25, "seconds": 2.0, "peak_gb": 2**31 / 1e9}


def test_line_tells_all_figures():
    line = stats_line({**VALUES, "first_token_seconds": 0.75, "tokens_per_second": 8.0})
    assert line == (
        "loaded in 0.50 s, image 0.25 s, first token after 0.75 s, then 8.0 tokens/s, answer in 2.00 s; "
        "peak memory 2.0 GiB"
    )


def test_answer_of_one_token_has_no_rate():
    line = stats_line({**VALUES, "first_token_seconds": 0.75})
    assert "tokens/s" not in line
    assert "first token after 0.75 s" in line


def test_line_of_many_answers_tells_their_rates():
    values = {**VALUES, "images": 8, "images_per_second": 4.0, "tokens": 31, "tokens_per_second": 15.5}
    assert sweep_line(values) == (
        "loaded in 0.50 s, 8 images in 2.00 s, of which encoding took 0.25 s: 4.0 images/s, 15.5 tokens/s; "
        "peak memory 2.0 GiB"
    )
