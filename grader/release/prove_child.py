"""Runs inside a finished release, alone: are its exercises open, can it be imported?

prove.py starts this file by its path, with `python -I` and the release as the current
folder, so it sees nothing of the source. It imports nothing of the project but what
the release holds, and prints one JSON list of what is wrong.
"""

import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMANDS = ("helpers.train", "helpers.evaluate", "helpers.detect", "helpers.check")


def check_imports(copy: Path, modules: list[str]) -> list[str]:
    """Every module comes from the release itself."""
    problems = []
    for name in (*modules, *COMMANDS):
        try:
            module = importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            problems.append(f"{name} cannot be imported ({error!r})")
            continue
        if copy not in Path(str(module.__file__)).resolve().parents:
            problems.append(f"{name} was imported from elsewhere ({module.__file__})")
    return problems


def check_call(label: str, call: Callable[..., Any], arguments: list[Any]) -> list[str]:
    """The call raises NotImplementedError, which begins with the exercise's label."""
    try:
        call(*arguments)
    except NotImplementedError as error:
        if str(error).startswith(f"{label}:"):
            return []
        return [f"{label} raises with another text ({error})"]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
        return [f"{label} raises {error!r} instead of NotImplementedError"]
    return [f"{label} does not raise NotImplementedError"]


def check_exercise(module_name: str, number: str, name: str) -> list[str]:
    """Call one exercise with nothing: a stub must not get as far as to notice."""
    label = f"Exercise {number} {name}"
    target: Any = importlib.import_module(module_name)
    for part in name.removesuffix(".__init__").split("."):
        target = getattr(target, part, None)
    if target is None:
        return [f"{label} is missing"]
    parameters = inspect.signature(target).parameters.values()
    required = [
        parameter for parameter in parameters if parameter.default is parameter.empty
    ]
    return check_call(label, target, [None] * len(required))


def check_real_calls(asked: set[str]) -> list[str]:
    """Calls as students make them, with tensors, of exercises that are open."""
    import torch

    calls: list[tuple[str, str, list[Any]]] = [
        ("1.1 iou", "common.iou", [torch.zeros(2, 4), torch.zeros(3, 4)]),
        ("2.1 make_fpn_layers", "common.DetectorBackboneWithFPN", [16, "tiny"]),
        (
            "3.1 FCOSPredictionNetwork.__init__",
            "fcos_head.FCOSPredictionNetwork",
            [20, 16, [16, 16]],
        ),
        (
            "6.2 fcos_box_loss",
            "fcos_losses.fcos_box_loss",
            [torch.zeros(5, 4), torch.zeros(5, 4)],
        ),
        ("7.1 FCOS.__init__", "one_stage_detector.FCOS", [20, 16, [16], "tiny"]),
        ("8.1 nms", "common.nms", [torch.zeros(3, 4), torch.zeros(3)]),
    ]
    problems = []
    for label, place, arguments in calls:
        module, _, name = place.partition(".")
        if label.split(" ")[0] in asked:
            call = getattr(importlib.import_module(f"assignment.{module}"), name)
            problems += check_call(f"Exercise {label}", call, arguments)
    return problems


def check_visible_checks() -> list[str]:
    """Every visible check fails with the stub of its exercise, or of one it needs."""
    runner = importlib.import_module("helpers.checks.runner")
    hints = importlib.import_module("helpers.checks.hints").read_hints()
    course = importlib.import_module("core.course")
    registry = course.read_registry()
    modules = {
        name: importlib.import_module(f"{course.PACKAGE}.{name}")
        for name in registry.modules
    }
    student = importlib.import_module("helpers.checks.student").student_of(
        modules, registry.visible
    )
    problems = []
    for number, checks in runner.read_checks().items():
        if not checks:
            problems.append(f"exercise {number} has no visible check")
        if number not in hints:
            problems.append(f"exercise {number} has no hint")
        allowed, wanted = set(), [number]
        while wanted:
            allowed.add(wanted[-1])
            wanted += registry.exercises[wanted.pop()].needs
        for check in checks:
            try:
                check(student)
                said = "nothing"
            except NotImplementedError as error:
                said = str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
                said = repr(error)
            if course.mentioned(said) not in allowed:
                problems.append(f"the check {check.__name__} raises {said} on the stub")
    return problems


def main() -> None:
    """Read the exercises from the command line, print the problems."""
    asked = json.loads(sys.argv[1])
    copy = Path.cwd().resolve()
    sys.path.insert(0, str(copy))
    problems = check_imports(copy, asked["modules"])
    if not problems:
        for module_name, number, name in asked["exercises"]:
            problems += check_exercise(module_name, number, name)
        problems += check_real_calls({number for _, number, _ in asked["exercises"]})
        problems += check_visible_checks()
    print(json.dumps(problems))


if __name__ == "__main__":
    main()
