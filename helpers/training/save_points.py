"""When a run is saved: every so many iterations, and every few minutes."""

import time
from collections.abc import Callable

from core.interrupt import StopRequest

# At most five minutes are lost; an iteration takes less than the one that is left.
SAVE_SECONDS = 240.0


class SavePoints:
    """Saves a run now and then.

    Args:
        save: writes the checkpoint.
        every: iterations between two checkpoints; there are more if these take long.
        stop: does not disturb the saving.

    Attributes:
        saved: iteration of the last checkpoint of this process, or None.
    """

    def __init__(self, save: Callable[[], None], every: int, stop: StopRequest):
        self.saved: int | None = None
        self._save, self._every, self._stop = save, every, stop
        self._time = time.monotonic()

    def after(self, iteration: int) -> None:
        """Save if it is time to."""
        late = time.monotonic() - self._time >= SAVE_SECONDS
        if late or iteration % self._every == 0:
            self.save(iteration)

    def save(self, iteration: int) -> None:
        """Save."""
        with self._stop.undisturbed():
            self._save()
        self.saved, self._time = iteration, time.monotonic()
