"""Store what the steps of notebook 12's climb reached, from benchmarks/results.

A stored run belongs to a step if its recipe is the step's, whatever it is called; the
names of all runs on shapes that belong to none are printed. Run it after a new
benchmarks.quality: it writes helpers/lessons/climb.json.
"""

import dataclasses
import json
import shlex
from collections.abc import Mapping

from benchmarks.quality_table import quality_records
from core.command import EXIT_OK, CommandParser, run_command
from core.files import write_json
from helpers.lessons.climb import STORED, Step, steps
from helpers.models.detector import with_classes
from helpers.training.recipes import detector_config_from_dict, recipe_to_dict

ON_SHAPES = "shapes_"


def seed_of(command: str) -> int:
    """The seed that a stored command was given; of two the last, as argparse has it."""
    words = shlex.split(command)
    places = [place for place, word in enumerate(words) if word == "--seed"]
    return int(words[places[-1] + 1]) if places else 0


def belongs_to(record: Mapping, step: Step) -> bool:
    """Whether a stored run was trained and judged as the step says."""
    names = tuple(record["recipe"]["detector"]["class_names"])
    recipe = step.train()
    recipe = dataclasses.replace(recipe, detector=with_classes(recipe.detector, names))
    is_changed = record["transposed"] or record.get("given_score_threshold") is not None
    # Older records have older names of choices, and do not say later ones.
    detector = detector_config_from_dict(record["recipe"]["detector"])
    older = {each.name: each.default for each in dataclasses.fields(recipe)}
    missing = {name: older[name] for name in older if name not in record["recipe"]}
    if dataclasses.MISSING in missing.values():
        return False
    today = {**record["recipe"], **missing, "detector": dataclasses.asdict(detector)}
    return not is_changed and _listed(today) == _listed(recipe_to_dict(recipe))


def _listed(recipe: dict) -> dict:
    """A recipe as JSON has it, without tuples."""
    listed: dict = json.loads(json.dumps(recipe))
    return listed


def collect(records: Mapping[str, dict]) -> tuple[dict[str, list[dict]], list[str]]:
    """For each step its runs by seed, and the names of those that belong to none.

    Args:
        records: name -> stored run.
    """
    found: dict[str, list[dict]] = {name: [] for name in steps()}
    others = []
    for name, record in records.items():
        own = [step.name for step in steps().values() if belongs_to(record, step)]
        if not own:
            others.append(name)
        for step in own:
            found[step].append(
                {
                    "name": name,
                    "seed": seed_of(record["command"]),
                    "voc_ap50": record["voc_ap50"],
                    "coco_ap": record["coco"]["AP"],
                    "iterations": record["recipe"]["iterations"],
                    "cpu_seconds": record["training_cpu_seconds"],
                }
            )
    for runs in found.values():
        runs.sort(key=lambda run: (run["seed"], run["name"]))
    return found, others


def shapes_records() -> dict[str, dict]:
    """All stored runs on shapes by name."""
    every = quality_records().items()
    return {name: record for name, record in every if name.startswith(ON_SHAPES)}


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.recorded_climb")
    parser.parse_args(arguments)
    runs, others = collect(shapes_records())
    for name, own in runs.items():
        print(f"{name}: {', '.join(run['name'] for run in own) or 'no stored run'}")
    print(f"belong to no step: {', '.join(others) or 'none'}")
    command = "python -m benchmarks.recorded_climb"
    write_json(STORED, {"command": command, "runs": runs, "belong_to_no_step": others})
    print(f"wrote {STORED.name}")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
