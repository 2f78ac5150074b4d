"""What the notebooks show: pictures from real tensors, and things to move by hand.

Nothing here knows how an exercise is solved: what a picture needs of your code comes in
as an argument.
"""

from helpers.lessons.basics import open_data, open_exercise
from helpers.lessons.guesses import compare_guess, compare_stored
from helpers.lessons.sliders import slide

__all__ = ["compare_guess", "compare_stored", "open_data", "open_exercise", "slide"]
