"""The line of `--stats`."""

from ojito.commands.stats import stats_line

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
