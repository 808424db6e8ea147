import io

from ojito.trainer import progress as module
from ojito.trainer.progress import Display, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_display_writes_a_line_now_and_then_where_there_is_no_terminal(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with Display(stream=stream) as display:
        for step in range(1, 26):
            now[0] += 1
            display.show(step / 100, step, 2.0, 123.4, now[0])
    lines = stream.getvalue().splitlines()
    assert lines == [
        " 10%  step 10  loss 2.000  123 samples/s  1:30 left",
        " 20%  step 20  loss 2.000  123 samples/s  1:20 left",
    ]


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text):
        raise OSError(5, "Input/output error")

    def flush(self):
        raise OSError(5, "Input/output error")


def test_display_outlives_its_terminal(monkeypatch):
    monkeypatch.setattr(module, "LINE_EVERY", 0.0)
    with Display(stream=Gone()) as display:
        display.show(0.5, 7, 1.25, 10.0, 5.0)
        display.say("hello")


def test_display_draws_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Display(stream=stream) as display:
        display.show(0.5, 7, 1.25, 10.0, 5000.0)
    assert "step 7  loss 1.250  10 samples/s  1:23:20 left" in stream.getvalue()


def test_display_shows_nothing_when_quiet(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Display(quiet=True, stream=stream) as display:
        display.show(0.5, 7, 1.25, 10.0, 5.0)
        display.say("hello")
    assert stream.getvalue() == ""


def test_display_makes_room_for_another_bar_while_it_is_paused(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Display(stream=stream) as display:
        with display.paused():
            before = stream.getvalue()
            display.show(0.5, 7, 1.25, 10.0, 5.0)
            assert stream.getvalue() == before
        display.show(0.6, 8, 1.25, 10.0, 5.0)
    assert "step 8" in stream.getvalue()


def test_display_says_a_dash_when_no_step_had_a_loss(monkeypatch):
    monkeypatch.setattr(module, "LINE_EVERY", 0.0)
    stream = io.StringIO()
    with Display(stream=stream) as display:
        display.show(0.0, 1, None, 10.0, 1.0)
    assert "loss -" in stream.getvalue()


def test_progress_bar_counts_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    shown = {}
    for name, stream, quiet in (
        ("terminal", Terminal(), False),
        ("file", io.StringIO(), False),
        ("quiet", Terminal(), True),
    ):
        monkeypatch.setattr(module.sys, "stderr", stream)
        with progress_bar("reading", quiet) as report:
            report(1, 2)
        shown[name] = stream.getvalue()
    assert "reading" in shown["terminal"]
    assert "50%" in shown["terminal"]
    assert shown["file"] == shown["quiet"] == ""


def test_other_work_of_a_run_is_told_now_and_then_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr("ojito.trainer.progress.LINE_EVERY", 0.0)
    stream = io.StringIO()
    with Display(stream=stream).progress("encoding images") as report:
        report(30, 60)
    assert stream.getvalue() == " 50%  encoding images, 30 of 60\n"
    with Display(quiet=True, stream=stream).progress("encoding images") as report:
        report(60, 60)
    assert stream.getvalue().count("\n") == 1
