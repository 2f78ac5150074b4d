"""The entries of course.toml, and what can be asked of all of them together."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from core.command import CourseError
from core.field_types import AnyText, Switch, Text, whole

FILE = "course.toml"
PACKAGE = "assignment"  # the folder of the modules
# The number of an exercise: its step, a dot, its place in the step; 2.1, 10.1, 99.12.
ID = r"\d+\.\d+"
# How the docstring of an exercise begins, and the message of one that is not written.
MENTION = re.compile(rf"Exercise ({ID})(?![\d.]*\d)")
Natural = Annotated[int, whole(0)]
Mark = Annotated[int, whole(0, 5)]


@dataclass(frozen=True)
class Part:
    """What can be taught, released and graded alone, except for those it needs."""

    name: Text
    title: Text
    needs: tuple[Text, ...] = ()


@dataclass(frozen=True)
class Step:
    """A notebook: its file in notebooks/, its minutes, what one writes in it."""

    number: Natural
    part: Text
    title: Text
    notebook: Text
    minutes: Natural
    writes: Text


@dataclass(frozen=True)
class Module:
    """A file of assignment/, without its ending; tests ask the visible ones."""

    name: Text
    part: Text
    visible: Switch = False


@dataclass(frozen=True)
class Detector:
    """A detector that can be trained.

    Attributes:
        target: "assignment.one_stage_detector:FCOS", a class or a function.
        strides: level -> stride in pixels.
        losses: what it returns while it trains -> what pictures call it.
        body: path of the part that may start from ImageNet weights, "" if none may.
    """

    name: Text
    part: Text
    target: Text
    strides: dict[str, Natural]
    losses: dict[str, Text]
    body: AnyText = ""

    @property
    def module(self) -> str:
        """Where the class is, "assignment.one_stage_detector"."""
        return self.target.partition(":")[0]

    @property
    def class_name(self) -> str:
        """What it is called there, "FCOS"."""
        return self.target.partition(":")[2]


@dataclass(frozen=True)
class Exercise:
    """A function that students write.

    Attributes:
        id: "3.2".
        function: qualified within its file, "FCOSPredictionNetwork.forward".
        file: within assignment/, "fcos_head.py".
        title: a few words, "predictions at every location of every level".
        lines: of the solution, without blank lines and comments.
        minutes: that it takes a student.
        difficulty: from 1 to 5; 0 where nothing is said.
        importance: for what follows, from 1 to 5; 0 where nothing is said.
        needs: ids of the exercises whose functions this one calls.
        closed: what submissions may not use of torchvision: the name of one of its
            ops, or a path like "models.detection._utils.Matcher".
    """

    id: Text
    function: Text
    file: Text
    title: Text
    lines: Natural
    minutes: Natural
    difficulty: Mark = 0
    importance: Mark = 0
    needs: tuple[Text, ...] = ()
    closed: tuple[Text, ...] = ()

    @property
    def step(self) -> int:
        """Number of the step that it belongs to."""
        return int(self.id.partition(".")[0])

    @property
    def module(self) -> str:
        """Name of its module, "fcos_head"."""
        return self.file.removesuffix(".py")

    @property
    def label(self) -> str:
        """What the error of its stub begins with."""
        return f"Exercise {self.id} {self.function}"

    @property
    def size(self) -> str:
        """How long it is, in words: "about 8 lines"."""
        return f"about {self.lines} line{'s' if self.lines != 1 else ''}"

    @property
    def heading(self) -> str:
        """What its docstring begins with."""
        return f"Exercise {self.id} ({self.size}): {self.title}"


@dataclass(frozen=True)
class Registry:
    """The whole course.

    Attributes:
        parts, steps, modules, detectors, exercises: by name, number or id, in order.
        default_parts: what is released and graded unless somebody says otherwise.
        dropped: exercises that nobody is asked for; their solutions are given.
        points: exercise -> what all its tests give together, instead of their own sum.
        name, note: of a course that grades another way than this one: a word for
            tables, and a sentence for pages that says how.
        leave_out: tests that do not count; "checks/*" means all that begin so.
        stands_for: exercise -> the names of the solution that stand for it in hand-ins
            whose functions are cut in another way; its own function if it is not there.
        written_in: dropped exercise -> the one in whose functions such hand-ins do it.
    """

    parts: dict[str, Part]
    steps: dict[int, Step]
    modules: dict[str, Module]
    detectors: dict[str, Detector]
    exercises: dict[str, Exercise]
    default_parts: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    points: dict[str, float] = field(default_factory=dict)
    name: str = ""
    note: str = ""
    leave_out: tuple[str, ...] = ()
    stands_for: dict[str, tuple[str, ...]] = field(default_factory=dict)
    written_in: dict[str, str] = field(default_factory=dict)

    @property
    def visible(self) -> tuple[str, ...]:
        """Names of the modules that tests ask, student.common."""
        return tuple(module.name for module in self.modules.values() if module.visible)

    def names_of(self, exercise: str) -> tuple[str, ...]:
        """What stands in for a wrong solution of an exercise; its title first."""
        return self.stands_for.get(exercise) or (self.exercises[exercise].function,)

    def all_needs(self, exercises: Iterable[str]) -> set[str]:
        """All that these exercises need, and what that needs, without themselves."""
        found: set[str] = set()
        waiting = [need for name in exercises for need in self.exercises[name].needs]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.exercises[name].needs
                waiting += [self.written_in[name]] if name in self.written_in else []
        return found

    def part_of(self, exercise: str) -> str:
        """The part that an exercise belongs to."""
        return self.steps[self.exercises[exercise].step].part

    def asked(self, parts: Iterable[str] = ()) -> dict[str, Exercise]:
        """The exercises that are asked for.

        Args:
            parts: of the course; the default ones if there are none.

        Raises:
            CourseError: there is no such part.
        """
        wanted = self.check_parts(parts)
        return {
            number: exercise
            for number, exercise in self.exercises.items()
            if self.part_of(number) in wanted and number not in self.dropped
        }

    def closed(self, parts: Iterable[str] = ()) -> tuple[str, ...]:
        """What the asked exercises are about, of torchvision."""
        return tuple(
            dict.fromkeys(
                name
                for exercise in self.asked(parts).values()
                for name in exercise.closed
            )
        )

    def needed(self, exercise: str) -> tuple[str, ...]:
        """All exercises that one stands on: those it needs, and what these need."""
        found: dict[str, None] = {}
        waiting = list(self.exercises[exercise].needs)
        while waiting:
            number = waiting.pop()
            if number not in found:
                found[number] = None
                waiting += self.exercises[number].needs
        return tuple(sorted(found, key=id_order))

    def may_block(self, exercise: str) -> frozenset[str]:
        """The exercises that can keep this one from being judged.

        A function stands on those that it needs; a method also on whatever builds and
        runs its class, which is any that comes earlier.
        """
        if "." not in self.exercises[exercise].function:
            return frozenset(self.needed(exercise))
        own = id_order(exercise)
        return frozenset(each for each in self.exercises if id_order(each) < own)

    def closed_for(self, exercise: str, parts: Iterable[str] = ()) -> tuple[str, ...]:
        """What the tests of one exercise must not find: of it, and of those it needs.

        Args:
            exercise: its id.
            parts: whose exercises are asked for; what the others close is given.
        """
        asked = self.asked(parts)
        numbers = [each for each in (exercise, *self.needed(exercise)) if each in asked]
        names = (name for each in numbers for name in asked[each].closed)
        return tuple(dict.fromkeys(names))

    def check_parts(self, parts: Iterable[str] = ()) -> tuple[str, ...]:
        """The same parts, in the order of the course; the default ones if none.

        Raises:
            CourseError: there is no such part.
        """
        wanted = tuple(parts) or self.default_parts
        for name in wanted:
            if name not in self.parts:
                raise CourseError(
                    f"--parts {name}: there is no such part; {FILE} has "
                    f"{', '.join(self.parts)}"
                )
        return tuple(name for name in self.parts if name in wanted)

    def needed_parts(self, parts: Iterable[str] = ()) -> tuple[str, ...]:
        """These parts and all that they stand on, in the order of the course."""
        found, waiting = set(), list(self.check_parts(parts))
        while waiting:
            found.add(waiting[-1])
            waiting += set(self.parts[waiting.pop()].needs) - found
        return tuple(name for name in self.parts if name in found)


def id_order(exercise: str) -> list[int]:
    """What ids are sorted by: 2.1 comes before 10.1.

    Example:
        >>> sorted(["10.1", "2.10", "2.9"], key=id_order)
        ['2.9', '2.10', '10.1']
    """
    return [int(number) for number in re.findall(r"\d+", exercise)]
