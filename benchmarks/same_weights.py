"""Do we compute what torchvision computes, with the same weights? To the last digit.

torchvision's detector gets random weights, large enough that hundreds of detections
come out; ours gets the same ones by its key. Head outputs, losses and detections are
compared in float64, in training and in evaluation, on images of different sizes with a
true box on each level. The largest differences are printed and stored; above
1e-9 the exit code is 1. `--set centre_radius=0` shows that a choice is seen.
"""

import math
from collections.abc import Sequence
from types import ModuleType

from benchmarks import same_fcos
from benchmarks.record import write_result
from benchmarks.same_scene import BODIES, make_scene, read_changes
from core.command import EXIT_OK, EXIT_PARTLY_FAILED, CommandParser, run_command

LARGEST = 1e-9
DETECTORS: dict[str, ModuleType] = {"fcos": same_fcos}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser(
        prog="python -m benchmarks.same_weights", description=__doc__
    )
    parser.add_argument("detector", choices=sorted(DETECTORS))
    parser.add_argument("--body", choices=BODIES, default="resnet18")
    parser.add_argument("--channels", type=int, default=256, help="of the FPN's maps")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="another choice"
    )
    options = parser.parse_args(arguments)
    of = DETECTORS[options.detector]
    changes = read_changes(options.set, of.CONFIG)
    scene = make_scene()
    theirs = of.make_torchvision(options.body, options.channels, scene)
    version = of.version_of(theirs, changes)
    try:
        ours = of.make_ours(options.body, options.channels, version, theirs)
        seen = {} if changes else of.seen_in(ours, scene)
        found = of.compare(ours, of.answers_of(theirs, scene), scene)
    except RuntimeError as error:  # our detector has other weights
        print(str(error).splitlines()[0])
        found = {"weights": math.inf}
    for name, value in found.items():
        print(f"{name:16} {value:.1e}")
    largest = max(found.values())
    print(f"largest difference {largest:.1e}, at most {LARGEST:.0e} is asked")
    if not changes:
        print(seen)
        name = f"same_weights_{options.detector}_{options.body}"
        stored = write_result(name, {"largest": found, "seen": seen})
        print(f"stored as {stored}")
    return EXIT_OK if largest <= LARGEST else EXIT_PARTLY_FAILED


if __name__ == "__main__":
    run_command(main)
