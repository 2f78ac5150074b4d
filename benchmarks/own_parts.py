"""What do parts cost, or save, that no library does for us? Each with and without.

The walls, the messages and the three speed files of the sandbox, and the page of the
demo. Ratios and milliseconds of the processor, the median over the turns.
"""

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.record import write_result
from core.command import EXIT_OK, CommandParser, positive, run_command
from grader.border.wire import decode, encode
from grader.worker.bytecode import code_of, compile_here
from helpers.show.demo_page import DemoReport, Step, render_page

ROOT = Path(__file__).resolve().parent.parent
# Imports as the zygote does them, with the compiler asleep and awake.
START = """
import sys; sys.path.insert(0, {root!r})
import torch
from pathlib import Path
from grader.worker.compiler import put_to_sleep
if {asleep}: put_to_sleep(Path({submission!r}))
import torchvision, time
print(time.process_time())
"""
# Forks as the zygote does, after an import of torch; milliseconds per child.
FORKS = """
import sys; sys.path.insert(0, {root!r})
import os, torch
from pathlib import Path
from grader.worker.large_pages import use_large_pages
from grader.worker.landlock import allow_only
from grader.worker.seccomp import forbid_calls, prepare_filter
prepare_filter()
if {large}: use_large_pages()
begun = sum(os.times()[:4])  # of the processor, of the children too
for _ in range({count}):
    child = os.fork()
    if child == 0:
        {work}
        os._exit(0)
    os.waitpid(child, 0)
print(1000 * (sum(os.times()[:4]) - begun) / {count})
"""
FORK_COUNT = 50


def said_by(code: str) -> float:
    """The number that a fresh Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def start_seconds(asleep: bool) -> float:
    """CPU seconds until torch and torchvision are imported."""
    with tempfile.TemporaryDirectory() as folder:
        return said_by(START.format(root=str(ROOT), asleep=asleep, submission=folder))


def fork_ms(large: bool, work: str = "pass") -> float:
    """Milliseconds to fork a child, let it do this, and take it down."""
    return said_by(
        FORKS.format(root=str(ROOT), large=large, work=work, count=FORK_COUNT)
    )


def milliseconds(work: Callable[[], object], times: int) -> float:
    """CPU milliseconds of one call, the mean of many."""
    begun = time.process_time()
    for _ in range(times):
        work()
    return 1000 * (time.process_time() - begun) / times


def medians(turns: int, ways: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The ways take turns; the median of each."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            found[name].append(way())
    return {name: round(statistics.median(values), 3) for name, values in found.items()}


def bytecode_ways() -> dict[str, Callable[[], float]]:
    """The solution's files: compiled in each process, and only loaded."""
    files = {path.stem: path for path in (ROOT / "assignment").glob("*.py")}
    compiled = compile_here(files)

    def compile_all() -> None:
        for path in files.values():
            compile(path.read_bytes(), str(path), "exec")

    def load_all() -> None:
        for name in files:
            code_of(name, compiled)

    return {
        "compiled_ms": lambda: milliseconds(compile_all, 5),
        "loaded_ms": lambda: milliseconds(load_all, 20),
    }


def wire_ways() -> dict[str, Callable[[], float]]:
    """An answer of 8.2, and one of 4 MB: there and back, against torch.save."""
    small = {"id": 7, "value": (torch.rand(40, 4), torch.arange(40), torch.rand(40))}
    large = {"id": 7, "value": torch.rand(250_000, 4)}

    def ours(message: dict) -> None:
        decode(encode(message))

    def theirs(message: dict) -> None:
        file = io.BytesIO()
        torch.save(message, file)
        file.seek(0)
        torch.load(file, weights_only=True)

    return {
        "small_ms": lambda: milliseconds(lambda: ours(small), 200),
        "small_torch_save_ms": lambda: milliseconds(lambda: theirs(small), 50),
        "large_ms": lambda: milliseconds(lambda: ours(large), 20),
        "large_torch_save_ms": lambda: milliseconds(lambda: theirs(large), 20),
    }


def demo_page() -> dict[str, float]:
    """The page without pictures: its size, and the time to write it."""
    log = [
        {"iteration": i, "loss_cls": 1 / i, "loss_box": 0.5, "loss_ctr": 0.6}
        for i in range(20, 1801, 20)
    ]
    report = DemoReport(
        voc_ap50=0.9,
        coco_ap=0.7,
        seconds=150.0,
        train_images=2000,
        val_images=300,
        iterations=1800,
        least_score=0.3,
        pictures=(),
        log=log,
        classes=(),
        steps=(Step("train", "python -m helpers.train", 100.0),),
        versions={"torch": str(torch.__version__)},
        files={},
    )
    text = render_page(report)
    return {
        "kilobytes_without_pictures": round(len(text.encode()) / 1000, 1),
        "written_ms": round(milliseconds(lambda: render_page(report), 5), 1),
        "addresses_in_it": text.count("http://") + text.count("https://"),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.own_parts", description=__doc__)
    parser.add_argument("--turns", type=positive, default=7)
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    figures = {
        "turns": options.turns,
        "compiler": medians(
            options.turns,
            {
                "start_asleep_s": lambda: start_seconds(asleep=True),
                "start_awake_s": lambda: start_seconds(asleep=False),
            },
        ),
        "large_pages": medians(
            options.turns,
            {
                "fork_ms": lambda: fork_ms(large=True),
                "fork_small_pages_ms": lambda: fork_ms(large=False),
            },
        ),
        "walls": medians(
            options.turns,
            {
                "fork_ms": lambda: fork_ms(large=True),
                "fork_seccomp_ms": lambda: fork_ms(True, "forbid_calls()"),
                "fork_landlock_ms": lambda: fork_ms(True, "allow_only([Path('/usr')])"),
            },
        ),
        "bytecode": medians(options.turns, bytecode_ways()),
        "wire": medians(options.turns, wire_ways()),
        "demo_page": demo_page(),
    }
    path = write_result("own_parts", figures)
    print(path.read_text())
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
