"""The training loop: what it logs, and where it stops."""

import math
import os
import signal
from collections.abc import Iterator

import pytest

from core import interrupt
from core.command import CourseError
from core.interrupt import StoppedError
from tests.line_model import line_batches, line_recipe, line_state, run_loop

# Those that this system has; on Windows there are no terminals that hang up.
STOP_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]


def test_loop_logs_the_mean_loss_since_the_last_entry():
    """10 iterations, an entry every 4 and one for the end."""
    recipe = line_recipe(learning_rate=0.0)
    batches = [line_batches(1, float(i))[0] for i in range(10)]
    log = run_loop(line_state(recipe), recipe, batches)
    assert [entry["iteration"] for entry in log] == [4, 8, 10]
    # weight 3 times the mean of (0, 1, 2, 3), (4, 5, 6, 7) and (8, 9)
    assert [entry["loss_cls"] for entry in log] == [4.5, 16.5, 25.5]


def test_loop_that_goes_on_logs_the_mean_of_what_it_saw():
    """From iteration 3 on, the entry at 4 is the mean of one loss, not a quarter."""
    recipe = line_recipe(learning_rate=0.0)
    state = line_state(recipe)
    state.iteration = 3
    log = run_loop(state, recipe, line_batches(7))
    assert [entry["loss_cls"] for entry in log] == [3, 3, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_finite_stops_with_the_images_named(value):
    """The message has the iteration, the images and what to try."""
    recipe = line_recipe()
    batches = [
        *line_batches(2),
        (("bad1.jpg", "bad2.jpg"), *line_batches(1, value)[0][1:]),
    ]
    state = line_state(recipe)
    with pytest.raises(CourseError) as caught:
        run_loop(state, recipe, batches)
    message = str(caught.value)
    assert "iteration 2" in message
    assert "bad1.jpg, bad2.jpg" in message
    assert "--set learning_rate=0.05" in message
    assert math.isfinite(state.model.weight.item())


def test_gradient_that_is_not_finite_stops_before_the_weights_change():
    """The square root has a finite value at 0, and no finite slope."""
    recipe = line_recipe()
    state = line_state(recipe)

    def slope(images, gt_boxes):
        return {"loss_cls": (state.model.weight.sum() * images.mean()).sqrt()}

    state.model.forward = slope
    with pytest.raises(CourseError, match=r"gradient is not .*iteration 0 .*img0\.jpg"):
        run_loop(state, recipe, line_batches(1, 0.0))
    assert state.model.weight.item() == 3


@pytest.fixture
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal that is heard here, even if `nohup` began these tests."""
    own: int = request.param
    before = signal.signal(own, signal.SIG_DFL)
    if before is not signal.SIG_IGN:
        signal.signal(own, before)
    yield own
    signal.signal(own, before)


@pytest.mark.parametrize("number", STOP_SIGNALS, indirect=True)
def test_signal_finishes_the_iteration_and_stops(number, monkeypatch):
    """It comes in the middle of iteration 3, twice; 3 iterations are whole."""
    if number != signal.SIGINT:  # only Ctrl-C is pressed again by a person
        monkeypatch.setattr(interrupt, "AGAIN_S", 0.0)
    recipe = line_recipe()
    state = line_state(recipe)

    def batches():
        for place, batch in enumerate(line_batches(10)):
            if place == 2:  # `timeout` tells the process, and then its whole group
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), number)
            yield batch

    before = signal.getsignal(number)
    with pytest.raises(StoppedError):
        run_loop(state, recipe, batches())
    assert state.iteration == 3
    assert state.model.calls.item() == 3
    assert signal.getsignal(number) is before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminals that hang up")
def test_hang_up_that_nohup_ignores_stays_ignored():
    """Training goes on when the terminal closes, for that was asked for."""
    recipe = line_recipe(iterations=3)
    state = line_state(recipe)

    def batches():
        os.kill(os.getpid(), signal.SIGHUP)
        yield from line_batches(3)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run_loop(state, recipe, batches())
    finally:
        signal.signal(signal.SIGHUP, before)
    assert state.iteration == 3


def test_file_that_is_being_written_is_not_interrupted(monkeypatch):
    """Ctrl-C again waits for the end of a checkpoint, and is not forgotten."""
    monkeypatch.setattr(interrupt, "AGAIN_S", 0.0)
    with interrupt.StopRequest() as stop:
        with stop.undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_process_that_loads_data_and_was_ended_by_the_signal_is_no_mistake():
    """The signal reached it before it could ignore it; the run stops as asked for."""
    recipe = line_recipe()
    state = line_state(recipe)

    def batches(*, is_told: bool):
        yield from line_batches(2)
        if is_told:
            os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    with pytest.raises(StoppedError):
        run_loop(state, recipe, batches(is_told=True))
    assert state.iteration == 2
    with pytest.raises(RuntimeError, match="pid 7"):
        run_loop(state, recipe, batches(is_told=False))


def test_resumed_loop_logs_the_mean_of_both_parts():
    """Stopped at iteration 3 of 4, the line at 4 is that of a run without a stop."""
    recipe = line_recipe(iterations=4, learning_rate=0.0)
    batches = [line_batches(1, float(i))[0] for i in range(4)]
    state = line_state(recipe)

    def stopped():
        yield from batches[:2]
        os.kill(os.getpid(), signal.SIGTERM)
        yield batches[2]

    with pytest.raises(StoppedError):
        run_loop(state, recipe, stopped())
    assert state.loss_count == 3
    (entry,) = run_loop(state, recipe, batches[3:])
    assert entry["loss_cls"] == 4.5  # weight 3 times the mean of 0, 1, 2, 3


def test_second_ctrl_c_interrupts_at_once(monkeypatch):
    """Somebody who presses twice does not want to wait."""
    monkeypatch.setattr(interrupt, "AGAIN_S", 0.0)
    recipe = line_recipe()

    def batches():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        yield from line_batches(10)

    with pytest.raises(KeyboardInterrupt):
        run_loop(line_state(recipe), recipe, batches())


def test_ctrl_c_in_the_last_iteration_changes_nothing():
    """The run is complete, so there is nothing to stop."""
    recipe = line_recipe(iterations=1)
    state = line_state(recipe)

    def batches():
        os.kill(os.getpid(), signal.SIGINT)
        yield from line_batches(1)

    run_loop(state, recipe, batches())
    assert state.iteration == 1
