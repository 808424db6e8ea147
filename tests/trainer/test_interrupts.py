import os
import signal
import threading

import pytest

from ojito.trainer.interrupts import SIGNALS, Interrupted, interrupts

NUMBERS = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]


@pytest.fixture(autouse=True)
def handlers_stay():
    before = [signal.getsignal(number) for number in NUMBERS]
    yield
    assert [signal.getsignal(number) for number in NUMBERS] == before


@pytest.mark.parametrize("number", NUMBERS)
def test_signal_raises_its_number_and_its_handler_comes_back(number):
    with pytest.raises(Interrupted) as caught, interrupts():
        signal.raise_signal(number)
    assert caught.value.signal == number
    assert isinstance(caught.value, KeyboardInterrupt)


def test_signal_waits_to_the_end_of_what_is_held():
    done = []
    with pytest.raises(Interrupted), interrupts() as signals:  # noqa: PT012
        with signals.held():
            signal.raise_signal(signal.SIGTERM)
            done.append("update")
        done.append("never")
    assert done == ["update"]


def test_held_signal_waits_for_the_next_place_to_raise():
    with interrupts() as signals:
        signals.hold()
        signal.raise_signal(signal.SIGTERM)
        assert signals.waiting
        with pytest.raises(Interrupted), signals.raising():
            pytest.fail("entered")
        assert not signals.waiting


def test_second_signal_raises_nothing_and_says_so(capsys):
    with interrupts() as signals:
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with signals.raising():
            pass
        assert signals.signal == signal.SIGINT
    said = capsys.readouterr().err.splitlines()
    assert said == [f"ojito: {name}: saving what was learned comes first" for name in ("SIGINT", "SIGTERM")]


def test_signal_that_nobody_heard_of_is_sent_on():
    with pytest.raises(KeyboardInterrupt) as caught, interrupts() as signals:  # noqa: PT012
        signals.hold()
        signal.raise_signal(signal.SIGINT)
    assert not isinstance(caught.value, Interrupted)


def test_run_within_a_run_has_its_signals():
    with interrupts() as outer:
        outer.hold()
        with interrupts() as inner:
            assert inner is outer
        signal.raise_signal(signal.SIGTERM)  # the inner one took nothing back
        with pytest.raises(Interrupted), outer.raising():
            pass


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_signal_that_is_ignored_or_somebody_elses_stays_so(handler):
    before = signal.signal(signal.SIGTERM, handler)  # as `nohup` does with SIGHUP
    try:
        with interrupts():
            assert signal.getsignal(signal.SIGTERM) == handler
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_thread_changes_no_handlers():
    found = []

    def work():
        with interrupts():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


def test_process_of_the_loader_just_ends(monkeypatch):
    with interrupts() as signals:
        signals.hold()
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(KeyboardInterrupt):
            signals.receive(signal.SIGTERM)
        assert not signals.waiting
