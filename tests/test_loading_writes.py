"""What a file writes while it is loaded costs nothing, and no test can read it."""

from pathlib import Path

import pytest
import torch

from grader.sandbox.levels import Level, probe_level
from grader.sandbox.slots import may_become_others
from grader.session.session import Session
from grader.worker.landlock import landlock_version
from grader.worker.lockdown import has_seccomp
from helpers.checks.expect import CheckError

HABITS = {
    "a log": "logging.basicConfig(filename='log.txt'); logging.warning('began')",
    "a folder": "os.makedirs('runs/first', exist_ok=True)",
    "a file in it": "os.makedirs('runs'); open('runs/a.json', 'x').write('{}')",
    "a path": "Path('out').mkdir(); Path('out/a.txt').write_text('a')",
    "a temporary folder": "open(tempfile.mkdtemp() + '/a', 'wb').write(b'a')",
    "nothing": "print('a', file=open(os.devnull, 'w'))",
    "a figure": "plt.plot([1]); plt.savefig('x.png')",
    "appending": "open(file='log.txt', mode='a+', encoding='utf-8').write('a')",
    "a file by its number": "os.close(os.open('log.txt', os.O_CREAT | os.O_WRONLY))",
    "a mark": "Path('done').touch()",
    "a temporary file": "tempfile.NamedTemporaryFile('w').close(); tempfile.mkstemp()",
    "another": "tempfile.TemporaryFile().write(b'a')",
    "weights": "torch.save({'a': torch.zeros(2)}, 'x.pt')",
    "arrays": "np.savez('x.npz', a=np.zeros(2)); np.savetxt('x.txt', np.zeros(2))",
    "prints": "out = sys.stdout; sys.stdout = os.fdopen(os.open('log.txt', os.O_CREAT "
    "| os.O_WRONLY), 'w'); print('a'); sys.stdout = out",
    "Colab": "from google.colab import drive; drive.mount('/content/drive')",
    "its folders": "os.makedirs('/content/drive/My Drive/A4'); os.chdir('/content')",
    "arguments": "import argparse; argparse.ArgumentParser().parse_args()",
    "a notebook's script": "get_ipython().run_line_magic('matplotlib', 'inline')",
}
BEGIN = """
import logging, os, sys, tempfile
from pathlib import Path
import numpy as np
import torch
"""
# What it wrote, and whether a call can write: 1 for a state that was found.
REST = """
names = ("log.txt", "runs", "out", "x.png", "x.pt", "done")
found = [name for name in names if os.path.exists(name)]
def iou(boxes1, boxes2):
    return torch.tensor(float(len(found)))
def nms(boxes, scores, iou_threshold):
    open("log.txt", "w")
def class_spec_nms(boxes, scores, classes, iou_threshold):
    os.mkdir("runs")
"""
LEVELS = [
    probe_level().level,
    *(
        [Level.OWN_USER]
        if may_become_others() and landlock_version() and has_seccomp()
        else []
    ),
]
needs_walls = pytest.mark.skipif(not has_seccomp(), reason="nothing refuses a file")


@needs_walls
@pytest.mark.parametrize("level", list(dict.fromkeys(LEVELS)))
def test_honest_writing_at_the_top_of_a_file_is_harmless(tmp_path: Path, level: Level):
    """All of it in one file; the next test finds nothing, and a call may not write."""
    lines = ["import matplotlib.pyplot as plt", *HABITS.values()]
    text = BEGIN + "\n".join(lines) + "\n" + REST
    (tmp_path / "common.py").write_text(text)
    boxes = torch.zeros(1, 4)
    with Session(tmp_path, level) as session:
        for _ in range(2):
            assert session.student().common.iou(boxes, boxes) == 0
        common = session.student().common
        common.iou(boxes, boxes)
        for call in (
            lambda: common.nms(boxes, boxes[:, 0], 0.5),
            lambda: common.class_spec_nms(boxes, boxes[:, 0], boxes[:, 0], 0.5),
        ):
            with pytest.raises(CheckError) as refused:
                call()
            assert refused.value.category == "not allowed"
    assert [path.name for path in tmp_path.iterdir()] == ["common.py"]


@needs_walls
@pytest.mark.parametrize(
    "line", ["open('/etc/x', 'w')", "os.mkdir('../x')", "open('no.txt')"]
)
def test_what_is_no_habit_is_still_refused(tmp_path: Path, line: str):
    """Elsewhere than an honest file would write, and reading what is not there."""
    (tmp_path / "common.py").write_text(BEGIN + line + REST)
    with (
        Session(tmp_path, probe_level().level) as session,
        pytest.raises(CheckError, match=r"Error at line 6 of common\.py"),
    ):
        session.student().common.iou(torch.zeros(1, 4), torch.zeros(1, 4))
