"""The visible checks of step 12: mistakes fail, and are named for what they are."""

from pathlib import Path

import pytest

from helpers.checks.report import report_text
from helpers.checks.results import WRONG
from helpers.checks.runner import CheckRun
from tests.student_course import edit, make_course

OF, IN = "published_inference.py", "fcos_published.py"
SCORE = "(probability * ctr_logits.sigmoid()).sqrt()"
CHOSEN = '(probability if config.threshold_on == "class" else score) > threshold'
ANSWER = "return place, class_id, score[place, class_id]"
BEST = "best = keep_best(scores, number)\n    place"
OF_LEVEL = 'config.top_k if config.top_k_of == "level" else 0'
BOXES = "boxes_of_distances(distances_px[place], points[place])\n    return"
NMS = "class_spec_nms(boxes, scores, classes, nms_threshold)"
NUMBER = "config.max_detections or len(keep)"
TIES = "if config.keep_ties and len(keep) > number"
REST = "theirs + name.removeprefix(ours)"
# exercise, file, right, wrong, what the message must say; "" where it says no cause
MISTAKES = (
    ("12.1", OF, SCORE, SCORE.replace(".sqrt()", ""), "not square-rooted"),
    ("12.1", OF, SCORE, "probability.sqrt()", "centerness is left out"),
    ("12.1", OF, SCORE, "probability", "class probability alone is the score"),
    ("12.1", OF, SCORE, SCORE.replace("probability", "probability.sigmoid()"),
     "sigmoid of the class is applied twice"),
    ("12.1", OF, "cls_logits.sigmoid()", "cls_logits.softmax(1)", "softmax instead"),
    ("12.1", OF, CHOSEN, "score > threshold", "threshold_on is taken for"),
    ("12.1", OF, CHOSEN, "probability > threshold", "threshold_on is taken for"),
    ("12.1", OF, "else score) >", "else score) >=", "exactly the threshold passes"),
    ("12.1", OF, "if not config.multi_label", "if False", "multi_label is taken for"),
    ("12.1", OF, "if not config.multi_label", "if True", "multi_label is taken for"),
    ("12.1", OF, "score.argmax(", "passes.int().argmax(", "first class that passes"),
    ("12.1", OF, ANSWER, "return class_id, place, score[place, class_id]",
     "place and class are exchanged"),
    ("12.1", OF, ANSWER, ANSWER.replace("class_id, s", "class_id + 1, s"),
     "classes begin at 1"),
    ("12.1", OF, ANSWER, ANSWER.replace(" score", " probability"),
     "class probability is returned"),
    ("12.1", OF, "cls_logits.sigmoid()", "cls_logits.sigmoid_()", "changed in place"),
    ("12.1", OF, "score.argmax(", "score.argmin(", ""),
    ("12.2", OF, OF_LEVEL, "0", "top_k limits no level"),
    ("12.2", OF, OF_LEVEL, "config.top_k", "whatever top_k_of says"),
    ("12.2", OF, BEST, BEST.replace("keep_best(scores, number)",
     "torch.arange(len(scores))[: number or None]"), "the first candidates go on"),
    ("12.2", OF, BEST, BEST.replace("keep_best(scores, number)",
     "scores.argsort()[: number or None]"), "least sure comes first"),
    ("12.2", OF, BEST, BEST.replace("keep_best(scores, number)",
     "scores.topk(number or len(scores)).indices"), "fewer candidates than top_k"),
    ("12.2", OF, "place = place[best]", "place = best", "at a candidate's number"),
    ("12.2", OF, BOXES, BOXES.replace("])\n", "]).clamp(min=0)\n"), "clipped at 0"),
    ("12.3", OF, NMS, NMS.replace("classes", "classes * 0"), "NMS runs across"),
    ("12.3", OF, NMS, "scores.argsort(descending=True)", "NMS is left out"),
    ("12.3", OF, NMS, NMS.replace("nms_thr", "config.nms_thr"),
     "threshold is not looked at"),
    ("12.3", OF, NMS, f"{NMS}.sort().values", "in the order given, not best first"),
    ("12.3", OF, NUMBER, "len(keep)", "max_detections is not looked at"),
    ("12.3", OF, NUMBER, "config.max_detections", "= 0 lets none through"),
    ("12.3", OF, TIES, "if False", "ties do not come out though keep_ties is set"),
    ("12.3", OF, TIES, "if len(keep) > number", "ties come out though keep_ties is"),
    ("12.3", OF, "keep[number - 1]", "keep[number]", "the first that is left out"),
    ("12.3", OF, TIES, "if config.keep_ties", ""),
    ("12.4", IN, '"pred_net.pred_ctr.": "head.regression',
     '"pred_net.pred_ctr.": "head.classification', "centerness belongs to"),
    ("12.4", IN, 'f"{number}.0."', 'f"{level}.0."', "numbered 3 to 5"),
    ("12.4", IN, 'f"{number}.0."', 'f"{2 - number}.0."', "from the coarsest level"),
    ("12.4", IN, 'f"{number}.0."', 'f"{number}."', "the .0 behind the number"),
    ("12.4", IN, REST, "name", "the name comes back as it is"),
    ("12.4", IN, REST, "theirs", "behind the beginning of our name is missing"),
    ("12.4", IN, '"backbone.fpn.extra_', '"backbone.extra_', "fpn. is missing"),
    ("12.4", IN, 'blocks.format("inner")', 'blocks.format("layer")', ""),
)  # fmt: skip


@pytest.mark.parametrize(
    "case", MISTAKES, ids=[f"{each[0]} {each[3][:30]}" for each in MISTAKES]
)
def test_mistake_of_step_12_is_named(tmp_path: Path, case):
    """A known mistake fails its exercise; where no cause is true none is said."""
    number, file, right, wrong, said = case
    root = make_course(tmp_path / "course", [])
    edit(root, file, right, wrong)
    with CheckRun(root=root, quiet=True) as run:
        report = run.report(number)
    text = " ".join(report_text(report).split())
    assert report.status == WRONG, text
    assert said in text, text
    assert said or "Likely:" not in text, text
