"""Saves and keys, in the order in which they come."""

import os

from ojito.learn.watching import keyboard, watch


def watched(path, events):
    """What `watch` reacts to; each event is a key, or a function that is called before the next look."""
    heard, waiting = [], [*events]

    def keys():
        if waiting and isinstance(waiting[0], str):
            return waiting.pop(0)
        return ""

    def pause():
        if waiting and not isinstance(waiting[0], str):
            waiting.pop(0)()

    def react(what):
        heard.append(what)
        return what != "q"

    watch(lambda: path, react, keys, pause)
    return heard


def test_save_is_heard_once_it_rests(tmp_path):
    path = tmp_path / "exercise.py"
    path.write_text("one")
    stamps = iter(range(1, 10))

    def save():
        os.utime(path, ns=(0, next(stamps)))

    def rest():
        pass

    assert watched(path, ["r", save, save, rest, rest, rest, "q"]) == ["r", "save", "q"]


def test_file_that_is_replaced_is_heard_and_its_absence_is_not(tmp_path):
    path = tmp_path / "exercise.py"
    path.write_text("one")

    def write():
        path.write_text("two")
        os.utime(path, ns=(0, 5))

    assert watched(path, ["", path.unlink, lambda: None, write, *[lambda: None] * 3, "q"]) == ["save", "q"]


def test_no_key_is_pressed_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    with keyboard() as keys:
        assert keys() == ""
