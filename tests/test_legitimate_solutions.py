"""Solutions that are right in another way than ours pass the suites of steps 1 to 5."""

import math
import re
from pathlib import Path
from textwrap import dedent, indent

import pytest

from grader.manifest import read_manifest
from grader.session.local_session import LocalSession
from grader.suites.suite_run import run_suite

ROOT = Path(__file__).resolve().parent.parent
ORIGINAL_FORM = Path(__file__).resolve().parent / "original_form"
SOURCES = {path.name: path.read_text() for path in (ROOT / "assignment").glob("*.py")}
STEPS = "12345"
MANIFEST = read_manifest(ROOT)
ENTRIES = [
    entry for entry in MANIFEST if entry.exercise[0] in STEPS and not entry.visible
]
# Exercises that the original assignment does not have in these two files.
OURS_ONLY = {"1.1", "2.1", "4.2", "4.3", "4.4"}
# Matching is given there and differs from ours, for p3 to p5 alone; merge_levels is a
# part of forward.
KNOWN_OF_ORIGINAL = (
    "test_match_on_any_levels",
    "test_match_of_close_areas",
    "test_match_at_the_border",
    "test_match_of_an_image_without_boxes",
    "test_merge_levels",
)

OTHER_FPN_KEYS = {
    "2.1": """
        names = {"c3": "fine", "c4": "middle", "c5": "coarse"}
        modules = {}
        for key in in_channels:
            modules[names[key] + "_in"] = nn.Conv2d(in_channels[key], out_channels, 1)
            modules[names[key] + "_out"] = nn.Conv2d(
                out_channels, out_channels, 3, 1, 1
            )
        return nn.ModuleDict(modules)
    """,
    "2.2": """
        layers, above, merged = self.fpn_params, None, {}
        for key, name in (("c5", "coarse"), ("c4", "middle"), ("c3", "fine")):
            now = layers[name + "_in"](features[key])
            if above is not None:
                now = now + F.interpolate(
                    above, size=now.shape[-2:], mode="bilinear", align_corners=False
                )
            above = now
            merged["p" + key[1]] = layers[name + "_out"](now)
        return merged
    """,
}
SUM_AFTER_OUTPUT = {
    "2.2": """
        layers = self.fpn_params
        p5 = layers["output5"](layers["lateral5"](features["c5"]))
        p4 = layers["output4"](layers["lateral4"](features["c4"]))
        p4 = p4 + F.interpolate(p5, size=p4.shape[-2:], mode="bicubic")
        p3 = layers["output3"](layers["lateral3"](features["c3"]))
        p3 = p3 + F.interpolate(p4, size=p3.shape[-2:], mode="bicubic")
        return {"p5": p5, "p4": p4, "p3": p3}
    """,
}
NORMALISED_FPN = {
    "2.1": """
        layers = nn.ModuleDict()
        for name, channels in in_channels.items():
            layers["l" + name] = nn.Conv2d(channels, out_channels, 1)
            layers["b" + name] = nn.BatchNorm2d(out_channels)
            layers["o" + name] = nn.Conv2d(out_channels, out_channels, 3, padding=1)
            layers["g" + name] = nn.GroupNorm(1, out_channels)
        return layers
    """,
    "2.2": """
        p, maps, above = self.fpn_params, {}, 0
        for name in ("c5", "c4", "c3"):
            now = F.relu(p["b" + name](p["l" + name](features[name])))
            if name != "c5":
                now = now + F.interpolate(above, size=now.shape[2:])
            above = now
            maps["p" + name[1]] = F.relu(p["g" + name](p["o" + name](now)))
        return maps
    """,
}
HEAD_IN_LOOPS = {
    "3.1": """
        def stem():
            layers, before = [], in_channels
            for channels in stem_channels:
                layers.append(
                    nn.Sequential(nn.Conv2d(before, channels, 3, 1, 1), nn.ReLU(True))
                )
                before = channels
            return nn.Sequential(*layers)

        self.stem_box, self.stem_cls = stem(), stem()
        last = stem_channels[-1]
        self.pred_box = nn.Conv2d(last, 4, 3, padding="same")
        self.pred_ctr = nn.Conv2d(last, 1, 3, padding="same")
        self.pred_cls = nn.Conv2d(last, num_classes, 3, padding="same")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)
        nn.init.constant_(self.pred_cls.bias, -math.log(99))
        self.levels_seen = []
        self.register_buffer("calls", torch.zeros(()))
    """,
    "3.2": """
        outputs = ({}, {}, {})
        for level in reversed(list(feats_per_fpn_level)):
            x = feats_per_fpn_level[level]
            self.levels_seen.append(level)
            cls, box = self.stem_cls(x), self.stem_box(x)
            maps = self.pred_cls(cls), self.pred_box(box), self.pred_ctr(box)
            for output, level_map in zip(outputs, maps):
                b, c, h, w = level_map.shape
                output[level] = level_map.permute(0, 2, 3, 1).reshape(b, h * w, c)
        print("levels:", self.levels_seen)
        return outputs
    """,
}
INTEGER_LOCATIONS = {
    "4.1": """
        result = {}
        for level in sorted(shape_per_fpn_level, reverse=True):
            h, w = shape_per_fpn_level[level][2:4]
            s = strides_per_fpn_level[level]
            ys, xs = torch.meshgrid(
                torch.arange(h, device=device),
                torch.arange(w, device=device),
                indexing="ij",
            )
            result[level] = torch.stack((xs, ys), dim=-1).view(-1, 2) * s + s // 2
        return result
    """,
}
SLOW_LOCATIONS = {
    "4.1": """
        result = {}
        for level, (_, _, h, w) in shape_per_fpn_level.items():
            s = strides_per_fpn_level[level]
            rows = [(s * (j + 0.5), s * (i + 0.5)) for i in range(h) for j in range(w)]
            result[level] = torch.tensor(rows, dtype=dtype, device=device)
        return result
    """,
}
MASKED_MATCHING = {
    "4.2": """
        x, y = locations[:, 0:1], locations[:, 1:2]
        x1, y1, x2, y2 = boxes_xyxy[:, :4].t()
        return torch.stack((x - x1, y - y1, x2 - x, y2 - y), dim=-1)
    """,
    "4.3": """
        low, high = size_range_px
        inside = (ltrb_px > 0).all(-1)
        return inside & (ltrb_px > low).any(-1) & (ltrb_px <= high).all(-1)
    """,
    "4.4": """
        order = areas.argsort(stable=True)
        first = is_candidate[:, order].to(torch.int8).argmax(dim=1)
        return torch.where(is_candidate.any(1), order[first], -1)
    """,
    "4.5": """
        ranges = fcos_size_range_per_level(strides_per_fpn_level)
        is_box = gt_boxes[:, 4] >= 0
        areas = (gt_boxes[:, 2:4] - gt_boxes[:, :2]).prod(dim=1)
        result = {}
        for level, points in locations_per_fpn_level.items():
            result[level] = gt_boxes.new_full((len(points), 5), -1)
            if is_box.any():
                ltrb = fcos_distances_to_edges(points, gt_boxes[:, :4])
                may = fcos_is_candidate(ltrb, ranges[level]) & is_box
                picked = fcos_pick_smallest_box(may, areas)
                result[level][picked >= 0] = gt_boxes[picked[picked >= 0]]
        return result
    """,
}
DELTAS_BY_COLUMNS = {
    "5.1": """
        x, y = locations.unbind(dim=1)
        x1, y1, x2, y2 = gt_boxes[:, :4].unbind(dim=1)
        deltas = torch.stack((x - x1, y - y1, x2 - x, y2 - y), dim=1)
        deltas = deltas / stride
        deltas[(gt_boxes[:, :4] == -1).all(dim=1)] = -1
        return deltas
    """,
    "5.2": """
        d = torch.relu(deltas).clone()
        signs = torch.tensor([-1, -1, 1, 1], device=d.device, dtype=d.dtype)
        return torch.cat([locations, locations], dim=-1) + d * signs * stride
    """,
    "5.3": """
        left, top, right, bottom = deltas.t()
        below = torch.max(left, right) * torch.max(top, bottom)
        result = torch.sqrt(
            (torch.min(left, right) * torch.min(top, bottom)).clamp(min=0)
            / (below + 1e-8)
        )
        result[deltas.sum(dim=1) == -4] = -1
        return result
    """,
}
IOU_BY_COLUMNS = {
    "1.1": """
        a, b = boxes1.unsqueeze(1), boxes2.unsqueeze(0)
        w = torch.min(a[..., 2], b[..., 2]) - torch.max(a[..., 0], b[..., 0])
        h = torch.min(a[..., 3], b[..., 3]) - torch.max(a[..., 1], b[..., 1])
        shared = torch.relu(w) * torch.relu(h)
        areas = [(c[..., 2] - c[..., 0]) * (c[..., 3] - c[..., 1]) for c in (a, b)]
        return shared / (areas[0] + areas[1] - shared + 1e-8)
    """,
}
IOU_LOOP_OVER_ONE_LIST = {
    "1.1": """
        table = boxes1.new_zeros((len(boxes1), len(boxes2)))
        sides = boxes2[:, 2:] - boxes2[:, :2]
        for row, box in enumerate(boxes1):
            corner = torch.max(box[:2], boxes2[:, :2])
            size = (torch.min(box[2:], boxes2[:, 2:]) - corner).clamp(min=0)
            shared = size.prod(dim=1)
            whole = sides.prod(dim=1) + (box[2:] - box[:2]).prod() - shared
            table[row] = torch.nan_to_num(shared / whole)
        return table
    """,
}
VARIANTS = {
    "other_fpn_keys": OTHER_FPN_KEYS,
    "sum_after_output": SUM_AFTER_OUTPUT,
    "normalised_fpn": NORMALISED_FPN,
    "head_in_loops": HEAD_IN_LOOPS,
    "integer_locations": INTEGER_LOCATIONS,
    "slow_locations": SLOW_LOCATIONS,
    "masked_matching": MASKED_MATCHING,
    "deltas_by_columns": DELTAS_BY_COLUMNS,
    "iou_by_columns": IOU_BY_COLUMNS,
    "iou_loop_over_one_list": IOU_LOOP_OVER_ONE_LIST,
}


def write_variant(bodies: dict[str, str], folder: Path) -> None:
    """Our solution, with other bodies for some exercises."""
    sources = dict(SOURCES)
    for exercise, body in bodies.items():
        begin, end = "### BEGIN SOLUTION", "### END SOLUTION"
        pattern = re.compile(
            rf'("""Exercise {exercise} .*?\n)( +){begin}\n.*?{end}', re.DOTALL
        )
        file = next(name for name, text in sources.items() if pattern.search(text))
        found = pattern.search(sources[file])
        assert found
        text = found[1] + indent(dedent(body).strip(), found[2])
        sources[file] = sources[file].replace(found[0], text)
    for name, text in sources.items():
        (folder / name).write_text(text)


def failures(folder: Path, exercises: set[str]) -> dict[str, str]:
    """Name of a test -> category and message, of what fails in these exercises."""
    chosen = {entry.id for entry in ENTRIES if entry.exercise in exercises}
    told = run_suite(ROOT, MANIFEST, chosen, LocalSession(folder), math.inf)
    return {
        outcome.id.split("::")[1]: f"{outcome.category}: {outcome.message}"
        for outcome in told
        if outcome.category
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_legitimate_variant_passes(name: str, tmp_path: Path):
    """What the text leaves open costs no points."""
    write_variant(VARIANTS[name], tmp_path)
    steps = {exercise[0] for exercise in VARIANTS[name]}
    chosen = {entry.exercise for entry in ENTRIES if entry.exercise[0] in steps}
    assert failures(tmp_path, chosen) == {}


def test_solution_in_the_form_of_the_original_assignment():
    """Two files that import each other by their bare names, without our sub-exercises.

    What is not there earns nothing; everything else is graded as it is in our form.
    """
    exercises = {entry.exercise for entry in ENTRIES}
    failed = failures(ORIGINAL_FORM, exercises - OURS_ONLY)
    assert {name for name in failed if not name.startswith(KNOWN_OF_ORIGINAL)} == set()
    for name, told in failures(ORIGINAL_FORM, OURS_ONLY).items():
        assert told.startswith("not implemented"), f"{name}: {told}"
