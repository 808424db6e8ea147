"""`ojito learn watch`: what keys do, and the editor."""

from argparse import Namespace

from ojito.commands import learn_watch
from ojito.learn.workspace import Workspace
from tests.learn.conftest import course  # noqa: F401


def test_editor_of_a_terminal_gets_a_pane_of_tmux_and_others_are_run(course, tmp_path, monkeypatch):  # noqa: F811
    begun = []
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    monkeypatch.setattr(learn_watch.subprocess, "Popen", lambda words, **_: begun.append(words))
    space = Workspace.start(tmp_path / "mine", course)
    learn_watch._edit("vim -R", space)
    learn_watch._edit("code --wait", space)
    file = str(space.exercise("01_means"))
    assert begun == [["tmux", "split-window", "-h", "vim", "-R", file], ["code", "--wait", file]]


def test_keys_act_and_the_editor_opens_the_next_lesson(course, tmp_path, monkeypatch, capsys):  # noqa: F811
    opened, pressed = [], iter("xlnq")
    monkeypatch.setattr(learn_watch, "_edit", lambda command, space: opened.append(space.current))
    monkeypatch.setattr(learn_watch, "watch_file", lambda path, react, keys: all(map(react, pressed)))
    space = Workspace.start(tmp_path / "mine", course)
    args = Namespace(json=False, edit="code", words=[])
    learn_watch.watch(
        space,
        args,
        {"l": lambda *_: print("a list"), "n": lambda space, *_: space.begin("02_more")},
    )
    said = capsys.readouterr().out
    assert said.startswith("1/2 Means\n")
    assert "Put a letter into PREDICTION" in said
    assert said.endswith("q quit\na list\n")
    assert opened == ["01_means", "02_more"]
    assert list(pressed) == []
