import pytest

from ojito.config import TrainConfig
from ojito.trainer.schedule import Clock, lr_factor


class Time:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0)])
def test_cosine_rises_over_the_warmup_and_falls_to_zero(progress, expected):
    assert lr_factor(progress, TrainConfig(warmup=0.1, schedule="cosine")) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.75, 1.0), (0.9, 0.5), (1.0, 0.0)]
)
def test_wsd_is_stable_until_the_decay_at_the_end(progress, expected):
    assert lr_factor(progress, TrainConfig(warmup=0.1, decay=0.2, schedule="wsd")) == pytest.approx(expected)


def test_wsd_stays_at_the_peak_without_decay():
    assert lr_factor(1.0, TrainConfig(decay=0.0, schedule="wsd")) == 1.0


def test_rate_starts_at_the_peak_without_warmup():
    assert lr_factor(0.0, TrainConfig(warmup=0.0)) == 1.0


def test_clock_counts_steps():
    clock = Clock(TrainConfig(steps=4))
    clock.start()
    clock.step = 1
    assert clock.progress() == 0.25
    assert clock.progress(ahead=0.5) == 0.375
    assert not clock.done
    clock.step = 4
    assert clock.progress() == 1.0
    assert clock.done


def test_clock_counts_minutes_from_the_start():
    time = Time()
    clock = Clock(TrainConfig(steps=0, minutes=2), time)
    time.now += 1000
    assert clock.progress() == 0.0  # not started
    clock.start()
    time.now += 30
    assert clock.seconds == 30
    assert clock.progress() == 0.25


def test_clock_takes_whichever_is_further_along_of_steps_and_minutes():
    time = Time()
    clock = Clock(TrainConfig(steps=10, minutes=1), time)
    clock.start()
    time.now += 30
    assert clock.progress() == 0.5
    clock.step = 8
    assert clock.progress() == 0.8


def test_clock_leaves_pauses_out():
    time = Time()
    clock = Clock(TrainConfig(steps=0, minutes=1), time)
    clock.start()
    with clock.paused():
        time.now += 50
    time.now += 6
    assert clock.progress() == 0.1


def test_clock_adds_the_time_after_a_stop_to_that_before():
    time = Time()
    clock = Clock(TrainConfig(steps=0, minutes=1), time)
    clock.start()
    time.now += 6
    clock.stop()
    time.now += 50
    assert clock.seconds == 6
    clock.start()
    time.now += 6
    assert clock.progress() == 0.2


def test_clock_goes_on_from_its_state():
    time = Time()
    clock = Clock(TrainConfig(steps=0, minutes=1), time)
    clock.start()
    for seconds in (40, 45):  # the first step is slow
        time.now = 100 + seconds
        clock.tick()
    other = Clock(TrainConfig(steps=0, minutes=1), time)
    other.load_state_dict(clock.state_dict())
    time.now += 1000
    assert (other.step, other.seconds) == (2, 45)
    other.start()
    for seconds, done in ((50, False), (55, False), (57, True)):
        time.now = 1145 + seconds - 45
        other.tick()
        assert other.done is done, seconds


def test_clock_is_done_when_another_step_would_take_too_long():
    time = Time()
    clock = Clock(TrainConfig(steps=0, minutes=1), time)
    clock.start()
    for seconds, done in ((15, False), (35, False), (50, True)):
        time.now = 100 + seconds
        clock.tick()
        assert clock.done is done, seconds


def test_clock_does_not_judge_the_next_steps_by_a_slow_first_one():
    time = Time()
    clock = Clock(TrainConfig(steps=0, minutes=1), time)
    clock.start()
    for seconds, done in ((40, False), (45, False), (50, False), (55, False), (57, True)):
        time.now = 100 + seconds
        clock.tick()
        assert clock.done is done, seconds


def test_clock_allows_one_step_however_little_time_there_is():
    clock = Clock(TrainConfig(steps=0, minutes=1e-9))
    clock.start()
    assert not clock.done
