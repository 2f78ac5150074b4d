"""Students' files of earlier releases import modules by the names that these had."""

import subprocess
import sys
from pathlib import Path

from tests.student_course import make_whole_course

# As assignment/common.py and the notebooks of version 0.1 had them.
OLD_IMPORTS = """
from helpers.backbones import backbone_channels, build_backbone
from helpers.box_shift import median_box_shift, shift_line
from helpers.check import check, hint
from helpers.coco_ap import evaluate_coco
from helpers.detect import detect_image, draw_detections
from helpers.detector import predict
from helpers.eval_report import class_table, summary_lines
from helpers.images import load_image
from helpers.lessons import assembly, boxes, compare_guess, deltas, head, live
from helpers.lessons import locations, losses, matching, matching_counts, open_data
from helpers.lessons import open_exercise, overview, predictions, pyramid, recorded
from helpers.lessons import scoring, slide, suppression
from helpers.notebook import start
from helpers.voc_ap import (
    average_precision_11,
    average_precision_area,
    evaluate_voc,
    precision_recall,
)
import core.backbones.build
assert build_backbone is core.backbones.build.build_backbone
"""


def test_old_imports_still_work(tmp_path: Path):
    """In a student's course whose own files are of an earlier release."""
    course = make_whole_course(tmp_path)
    common = course / "assignment" / "common.py"
    text = common.read_text()
    assert "from core.backbones.build import" in text
    common.write_text(text.replace("core.backbones.build", "helpers.backbones"))
    script = f"{OLD_IMPORTS}\nimport assignment.common"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=course,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
