"""Step 1: intersection over union."""

from grader_tests.references import load_cases
from helpers.checks.expect import expect_close


def test_iou_of_all_pairs(student):
    """Each box of the first list meets each box of the second."""
    for case in load_cases("step1", "iou").values():
        got = student.common.iou(
            case["boxes1"].float().to(student.device),
            case["boxes2"].float().to(student.device),
        )
        expect_close(got, case["expected"].float(), "iou")
