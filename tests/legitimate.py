"""Solutions that are right in another way than ours, which tests must accept.

Tests hold the suites against each of them; benchmarks plant mistakes into them, too.
"""

import re
from collections.abc import Mapping
from textwrap import dedent, indent

from core.course import read_registry
from grader.release.markers import find_regions
from grader.suites.mistakes import Edit, edited
from grader.suites.mutation_suites import exercise_before
from tests.legitimate_targets import TARGETS

DETECTOR = "one_stage_detector.py"
CLIP_X, CLIP_Y = "clamp(min=0, max=width)", "clamp(min=0, max=height)"

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
OTHER_TOP = {
    "10.1": """
        layers = nn.ModuleDict()
        layers["p7"] = nn.Sequential(nn.Conv2d(channels, channels, 3, 2, (1, 1)))
        layers["p6"] = nn.Conv2d(channels, channels, (3, 3), (2, 2), 1)
        nn.init.kaiming_uniform_(layers["p6"].weight, a=1)
        return layers
    """,
    "10.2": """
        levels = dict(features)
        levels["p6"] = layers["p6"](levels["p5"])
        above = levels["p6"].clone().relu_()
        levels["p7"] = layers["p7"](above)
        return dict(reversed(levels.items()))
    """,
}
NESTED_STEM = {
    "10.3": """
        blocks = []
        for before, width in zip([in_channels, *stem_channels], stem_channels):
            block = [nn.Conv2d(before, width, 3, padding="same")]
            if norm_groups > 0:
                block.append(nn.GroupNorm(num_channels=width, num_groups=norm_groups))
            blocks.append(nn.Sequential(*block, nn.ReLU(inplace=True)))
        return nn.Sequential(*blocks)
    """,
    "10.4": """
        for module in list(stem.modules())[::-1]:
            if not isinstance(module, nn.Conv2d):
                continue
            nn.init.constant_(module.bias, 0)
            fan_in = module.weight[0].numel()
            deviation = (2 / fan_in) ** 0.5 if how == "he" else 0.01
            with torch.no_grad():
                module.weight.copy_(torch.randn_like(module.weight) * deviation)
    """,
}
PUBLISHED_IN_LOOPS = {
    "10.5": """
        x = raw if raw.dtype == torch.float64 else raw.float()
        x = scale * x
        if box_output == "raw":
            return x
        if box_output == "relu":
            return x.clamp(min=0)
        limit = torch.full_like(x, math.log(1000))
        return torch.exp(torch.minimum(x, limit))
    """,
    "10.6": """
        outputs = ({}, {}, {})
        stems = {"class": self.stem_cls, "box": self.stem_box}
        for level in sorted(feats_per_fpn_level, reverse=True):
            own = {name: s(feats_per_fpn_level[level]) for name, s in stems.items()}
            maps = (
                self.pred_cls(own["class"]),
                self.pred_box(own["box"]),
                self.pred_ctr(own[self.config.centerness_on]),
            )
            for output, level_map in zip(outputs, maps):
                b, c, h, w = level_map.shape
                output[level] = level_map.permute(0, 2, 3, 1).reshape(b, h * w, c)
            scales = getattr(self, "scales", None)
            by = scales[level] if scales is not None else 1
            outputs[1][level] = distances_of_output(
                outputs[1][level], by, self.config.box_output
            )
        return outputs
    """,
    "10.7": """
        ranges = {level: None for level in strides}
        in_order = sorted(strides.items(), key=lambda item: item[1])
        for place, (level, stride) in enumerate(in_order):
            ranges[level] = [4 * stride * scale, scale * 8 * stride]
            if place == 0:
                ranges[level][0] = 0
            if place == len(in_order) - 1:
                ranges[level][1] = last_limit
        return ranges
    """,
}
DETECTIONS_IN_LOOPS = {
    "12.1": """
        likely, centre = torch.sigmoid(cls_logits), torch.sigmoid(ctr_logits)
        found = []
        for place in range(len(likely)):
            scores = torch.sqrt(likely[place]) * torch.sqrt(centre[place])
            best = int(scores.argmax())
            asked = likely[place] if config.threshold_on == "class" else scores
            for k in range(len(scores)):
                if asked[k] > threshold and (config.multi_label or k == best):
                    found.append((place, k, scores[k]))
        here = cls_logits.device
        places = torch.tensor([f[0] for f in found], dtype=torch.int64, device=here)
        classes = torch.tensor([f[1] for f in found], dtype=torch.int64, device=here)
        if not found:
            return places, classes, cls_logits.new_zeros(0)
        return [places, classes, torch.stack([f[2] for f in found])]
    """,
    "12.2": """
        place, classes, scores = find_candidates(
            cls_logits, ctr_logits, threshold, config
        )
        order = torch.sort(scores, descending=True)[1]
        if config.top_k and config.top_k_of == "level":
            order = order[: config.top_k]
        boxes = distances_px.new_zeros(len(order), 4)
        for row, index in enumerate(order):
            x, y = points[place[index]]
            l, t, r, b = torch.relu(distances_px[place[index]])
            boxes[row] = torch.stack((x - l, y - t, x + r, y + b))
        return boxes, classes[order], scores[order]
    """,
    "12.3": """
        from assignment.common import nms

        boxes, classes, scores = found
        keep = []
        for k in classes.unique():
            own = torch.where(classes == k)[0]
            keep += own[nms(boxes[own], scores[own], nms_threshold)].tolist()
        keep.sort(key=lambda index: -float(scores[index]))
        if config.max_detections:
            number = config.max_detections
            while (
                config.keep_ties
                and number < len(keep)
                and scores[keep[number]] == scores[keep[number - 1]]
            ):
                number += 1
            keep = keep[:number]
        keep = torch.tensor(keep, dtype=torch.int64, device=boxes.device)
        return boxes[keep], classes[keep], scores[keep]
    """,
    "12.4": """
        parts = name.split(".")
        if parts[:2] == ["backbone", "backbone"]:
            parts[:2] = ["backbone", "body"]
        elif parts[:2] == ["backbone", "top"]:
            parts[:2] = ["backbone", "fpn", "extra_blocks"]
        elif parts[0] == "backbone":
            layer = parts[2]
            kind = "inner_blocks" if layer[:-1] == "lateral" else "layer_blocks"
            parts[1:3] = ["fpn", kind, str(int(layer[-1]) - 3), "0"]
        elif parts[0] == "pred_net":
            what, of = parts[1].split("_")
            head = "classification_head" if of == "cls" else "regression_head"
            names = {"cls": "cls_logits", "box": "bbox_reg", "ctr": "bbox_ctrness"}
            parts[:2] = ["head", head, "conv" if what == "stem" else names[of]]
        return ".".join(parts)
    """,
}
DETECTIONS_BY_LOGS = {
    "12.1": """
        log = torch.nn.functional.logsigmoid
        score = torch.exp((log(cls_logits) + log(ctr_logits)) / 2)
        asked = score
        if config.threshold_on == "class":
            asked = torch.sigmoid(cls_logits)
        passes = asked > threshold
        if not config.multi_label and len(score):
            best = score.max(dim=1).indices
            number = torch.arange(score.shape[1], device=score.device)
            passes &= number == best[:, None]
        index = passes.flatten().nonzero().squeeze(1)
        classes = cls_logits.shape[1]
        return index // classes, index % classes, score.flatten()[index]
    """,
    "12.2": """
        place, classes, scores = find_candidates(
            cls_logits, ctr_logits, threshold, config
        )
        number = len(scores)
        if config.top_k_of == "level" and 0 < config.top_k < number:
            number = config.top_k
        scores, best = torch.topk(scores, number)
        centre, sides = points[place[best]], distances_px[place[best]].clamp(min=0)
        signs = torch.tensor([-1, -1, 1, 1], device=sides.device, dtype=sides.dtype)
        return centre.repeat(1, 2) + sides * signs, classes[best], scores
    """,
    "12.3": """
        boxes, classes, scores = found
        keep = class_spec_nms(boxes, scores, classes, nms_threshold)
        boxes, classes, scores = boxes[keep], classes[keep], scores[keep]
        if 0 < config.max_detections < len(keep):
            last = scores.topk(config.max_detections).values[-1]
            stays = torch.arange(len(keep), device=keep.device) < config.max_detections
            if config.keep_ties:
                stays = scores >= last
            boxes, classes, scores = boxes[stays], classes[stays], scores[stays]
        return boxes, classes, scores
    """,
    "12.4": """
        import re

        block = r"backbone\\.fpn_params\\.%s([345])\\."
        for kind, theirs in (("lateral", "inner"), ("output", "layer")):
            found = re.match(block % kind, name)
            if found:
                number = int(found[1]) - 3
                blocks = f"backbone.fpn.{theirs}_blocks.{number}.0."
                return re.sub("^" + block % kind, blocks, name)
        for ours, theirs in (
            ("backbone.backbone", "backbone.body"),
            ("backbone.top", "backbone.fpn.extra_blocks"),
            ("pred_net.stem_cls", "head.classification_head.conv"),
            ("pred_net.stem_box", "head.regression_head.conv"),
            ("pred_net.pred_cls", "head.classification_head.cls_logits"),
            ("pred_net.pred_box", "head.regression_head.bbox_reg"),
            ("pred_net.pred_ctr", "head.regression_head.bbox_ctrness"),
        ):
            if re.match(re.escape(ours), name):
                return name.replace(ours, theirs, 1)
        return name
    """,
}
# Other bodies for some exercises, of steps 1 to 5 and from 10 on.
REWRITTEN: Mapping[str, Mapping[str, str]] = {
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
    "other_top": OTHER_TOP,
    "nested_stem": NESTED_STEM,
    "published_head_in_loops": PUBLISHED_IN_LOOPS,
    **TARGETS,
    "detections_in_loops": DETECTIONS_IN_LOOPS,
    "detections_by_logs": DETECTIONS_BY_LOGS,
}
# Small changes of our solution, of steps 6 to 8.
EDITED: Mapping[str, tuple[Edit, ...]] = {
    "clip at the last pixel": (
        Edit(DETECTOR, CLIP_X, "clamp(min=0, max=width - 1)"),
        Edit(DETECTOR, CLIP_Y, "clamp(min=0, max=height - 1)"),
    ),
    "at least the score threshold": (
        Edit(DETECTOR, "best > test_score_thresh", "best >= test_score_thresh"),
    ),
    "boxes without area dropped": (
        Edit(
            "common.py",
            "    order = scores.argsort(descending=True, stable=True)\n",
            "    order = scores.argsort(descending=True)\n"
            "    sides = boxes[order, 2:] - boxes[order, :2]\n"
            "    order = order[(sides > 0).all(dim=1)]\n",
        ),
    ),
    "0 / 0 in NMS, which drops": (
        Edit(
            "common.py",
            "torch.where(union > 0, intersection / union, torch.zeros_like(union))",
            "intersection / union",
        ),
    ),
    "0 / 0 in NMS, which keeps": (
        Edit(
            "common.py",
            "torch.where(union > 0, intersection / union, torch.zeros_like(union))",
            "intersection / union",
        ),
        Edit(
            "common.py",
            "rest[overlap <= iou_threshold]",
            "rest[~(overlap > iou_threshold)]",
        ),
    ),
    "last of equal scores first": (
        Edit(
            "common.py",
            "scores.argsort(descending=True, stable=True)",
            "scores.flip(0).argsort(descending=True, stable=True).neg() "
            "+ len(scores) - 1",
        ),
    ),
    "lists, prints and extra attributes": (
        Edit(
            DETECTOR,
            "        return all_boxes[keep], all_classes[keep], all_scores[keep]",
            "        print('kept', len(keep))\n"
            "        self.last = keep\n"
            "        return [all_boxes[keep], all_classes[keep], all_scores[keep]]",
        ),
    ),
    "levels in another order": (
        Edit(
            "fcos_head.py",
            "for level, features in feats_per_fpn_level.items():",
            "for level, features in list(feats_per_fpn_level.items())[::-1]:",
        ),
    ),
    "an extra module that nothing uses": (
        Edit(
            DETECTOR,
            '        self.register_buffer("_normalizer"',
            "        self.scale = nn.Linear(2, 2)\n"
            '        self.register_buffer("_normalizer"',
        ),
    ),
    "a normalizer of shape (1,)": (
        Edit(
            DETECTOR,
            "torch.tensor(NORMALIZER_START)",
            "torch.tensor([NORMALIZER_START])",
        ),
    ),
}


def accepted(name: str, sources: Mapping[str, str]) -> dict[str, str]:
    """The files of a right solution.

    Args:
        name: of EDITED or REWRITTEN; "" is our solution itself.
        sources: file name -> text, of our solution.

    Raises:
        CourseError: it does not fit our solution as it is now.
    """
    if not name:
        return dict(sources)
    if name in EDITED:
        return edited(EDITED[name], sources)
    return rewritten(REWRITTEN[name], sources)


def rewritten(bodies: Mapping[str, str], sources: Mapping[str, str]) -> dict[str, str]:
    """Our solution, with other bodies for some exercises."""
    changed = dict(sources)
    for exercise, body in bodies.items():
        begin, end = "### BEGIN SOLUTION", "### END SOLUTION"
        pattern = re.compile(
            rf'("""Exercise {exercise} .*?\n)( +){begin}\n.*?{end}', re.DOTALL
        )
        file = next(name for name, text in changed.items() if pattern.search(text))
        found = pattern.search(changed[file])
        assert found
        text = found[1] + indent(dedent(body).strip(), found[2])
        changed[file] = changed[file].replace(found[0], text)
    return changed


def exercises_of(name: str, sources: Mapping[str, str]) -> set[str]:
    """Numbers of the exercises that it solves in another way."""
    if name in REWRITTEN:
        return set(REWRITTEN[name])
    return {_exercise_at(edit, sources[edit.file]) for edit in EDITED[name]} - {""}


def _exercise_at(edit: Edit, text: str) -> str:
    """Number of the exercise whose solution holds the text that is replaced; or ""."""
    line = text[: text.index(edit.find)].count("\n") + 1
    for region in find_regions(text.splitlines(), edit.file):
        if region.begin <= line <= region.end:
            return exercise_before(text, region.begin)
    return ""


def meets(name: str, exercise: str, sources: Mapping[str, str]) -> bool:
    """Whether the tests of an exercise run what this solution does in another way."""
    return bool(exercises_of(name, sources) & needed_for(exercise))


def needed_for(exercise: str) -> set[str]:
    """An exercise, and those whose functions it calls, directly or through others."""
    known = read_registry().exercises
    found: set[str] = set()
    waiting = [exercise]
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += known[number].needs
    return found
