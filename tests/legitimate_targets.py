"""Right in another way than ours: targets and losses as published."""

from collections.abc import Mapping

IN_LOOPS = {
    "11.1": """
        near = []
        for number in range(boxes.shape[-2]):
            x1, y1, x2, y2 = boxes[..., number, :].unbind(dim=-1)
            x, y = x1 + (x2 - x1) / 2, y1 + (y2 - y1) / 2
            across = (locations[:, 0] - x[..., None]).abs()
            down = (locations[:, 1] - y[..., None]).abs()
            near.append((across < radius) & (down < radius))
        if not near:
            shape = (*boxes.shape[:-2], len(locations), 0)
            return torch.zeros(shape, dtype=torch.bool, device=boxes.device)
        return torch.stack(near, dim=-1)
    """,
    "11.2": """
        ranges = size_ranges(strides, config.range_scale, config.last_limit)
        answers = []
        for rows in gt_boxes:
            rows = rows[rows[:, 4] >= 0]
            area = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
            for level, points in locations.items():
                answer = gt_boxes.new_full((len(points), 5), -1)
                answers.append(answer)
                if len(rows) == 0:
                    continue
                x, y = points[:, :1], points[:, 1:]
                sides = (x - rows[:, 0], y - rows[:, 1], rows[:, 2] - x, rows[:, 3] - y)
                ltrb = torch.stack(sides, dim=-1)
                size = points.new_tensor([ranges[level]]).expand(len(points), 2)
                may = (ltrb > 0).all(dim=-1)
                may = may & is_in_range(ltrb.amax(dim=-1), size, config.range_ends)
                if config.centre_radius:
                    reach = config.centre_radius * strides[level]
                    reach = torch.full((len(points),), reach).to(points)
                    may = may & is_near_centre(points, rows[:, :4], reach)
                picked = pick_smallest(may, area, config.smallest)
                answer[picked >= 0] = rows[picked[picked >= 0]]
        return torch.cat(answers).view(len(gt_boxes), -1, 5)
    """,
    "11.3": """
        def corners(of):
            return torch.stack((-of[:, 0], -of[:, 1], of[:, 2], of[:, 3]), dim=1)

        a, b = corners(pred), corners(true)
        low, high = torch.max(a[:, :2], b[:, :2]), torch.min(a[:, 2:], b[:, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        areas = [(box[:, 2:] - box[:, :2]).prod(dim=1) for box in (a, b)]
        return [shared, areas[0] + areas[1] - shared]
    """,
    "11.4": """
        shared, whole = overlap_of_distances(pred, true)
        if not linear:
            return torch.log(whole + plus) - torch.log(shared + plus)
        return (whole - shared) / (whole + plus)
    """,
    "11.5": """
        shared, whole = overlap_of_distances(pred, true)
        sides = torch.where(pred > true, pred, true)
        hull = (sides[:, :2] + sides[:, 2:]).prod(dim=1)
        empty = (hull - whole) / (hull + eps)
        return empty - (shared + plus) / (whole + plus + eps) + 1.0
    """,
    "11.6": """
        def over(loss):
            return torch.sum(loss) / divisor

        losses = {"loss_fcos_ctr": over(loss_ctr), "loss_fcos_loc": over(loss_box)}
        if weigh_boxes:
            total = centerness.sum()
            weights = centerness / total if total > 0 else centerness
            losses["loss_fcos_loc"] = (weights * loss_box).sum()
        losses["loss_fcos_cls"] = over(loss_cls)
        return losses
    """,
    "11.7": """
        strides = self.backbone.fpn_strides
        targets = match_batch(locations, strides, gt_boxes, self.version)
        first, parts = 0, []
        for level, points in locations.items():
            logits, deltas, quality = (output[level] for output in outputs)
            matched = targets[:, first : first + len(points)]
            first += len(points)
            for image, rows in enumerate(matched):
                found = rows[:, 4] >= 0
                true = distances_to_sides(points[found], rows[found])
                mine = deltas[image][found]
                if self.version.unit == "stride":
                    mine = mine * strides[level]
                unit = strides[level] if self.version.loss_unit == "stride" else 1
                central = fcos_make_centerness_targets(true)
                parts.append(
                    (
                        fcos_classification_loss(logits[image], rows[:, 4]),
                        box_losses(mine / unit, true / unit, self.version),
                        fcos_centerness_loss(quality[image][found][:, 0], central),
                        central,
                    )
                )
        losses = [torch.cat(own) for own in zip(*parts)]
        count = (targets[..., 4] >= 0).sum()
        divisor = self.divisor(count, gt_boxes.shape[0])
        print("foreground", int(count))
        return divide_losses(*losses, divisor, self.version.weigh_boxes)
    """,
}
BY_MASKS = {
    "11.1": """
        centres = torch.lerp(boxes[..., :2], boxes[..., 2:4], 0.5).unsqueeze(-3)
        points, reach = locations.unsqueeze(1), radius[:, None, None]
        inside = torch.cat((points > centres - reach, points < centres + reach), dim=-1)
        return inside.all(dim=-1)
    """,
    "11.2": """
        rows = torch.cat((gt_boxes, gt_boxes.new_full((len(gt_boxes), 1, 5), -1.0)), 1)
        points = torch.cat(tuple(locations.values()))
        counts = [len(own) for own in locations.values()]
        repeats = torch.tensor(counts, device=points.device)
        limits = size_ranges(strides, config.range_scale, config.last_limit)
        size = points.new_tensor([limits[level] for level in locations])
        stride = points.new_tensor([strides[level] for level in locations])
        size = size.repeat_interleave(repeats, dim=0)
        stride = stride.repeat_interleave(repeats, dim=0)
        ltrb = distances_to_sides(points[None, :, None], rows[:, None])
        no = ~(ltrb > 0).all(dim=-1) | (rows[:, None, :, 4] < 0)
        no |= ~is_in_range(ltrb.max(dim=-1).values, size, config.range_ends)
        if config.centre_radius > 0:
            no |= ~is_near_centre(points, rows[..., :4], config.centre_radius * stride)
        area = (rows[..., 2] - rows[..., 0]) * (rows[..., 3] - rows[..., 1])
        if config.smallest == "area":
            cost = area[:, None].expand(no.shape).masked_fill(no, math.inf)
            index = cost.min(dim=-1).indices
        else:
            value = (1e8 - area)[:, None].expand(no.shape).masked_fill(no, -1.0)
            index = value.max(dim=-1).indices
        index = torch.where(no.all(dim=-1), rows.shape[1] - 1, index)
        images = torch.arange(len(rows), device=rows.device)[:, None]
        return rows[images, index]
    """,
    "11.3": """
        sides = torch.where(pred < true, pred, true), pred, true
        shared, first, second = (
            torch.mul(*(of[:, :2] + of[:, 2:4]).unbind(dim=-1)) for of in sides
        )
        return shared, first + (second - shared)
    """,
    "11.4": """
        shared, whole = overlap_of_distances(pred, true)
        loss = (shared + plus).div(whole + plus)
        return loss.neg().add(1) if linear else loss.reciprocal().log()
    """,
    "11.5": """
        shared, whole = overlap_of_distances(pred, true)
        hull = (
            torch.max(pred[:, 0], true[:, 0]) + torch.max(pred[:, 2], true[:, 2])
        ) * (torch.max(pred[:, 1], true[:, 1]) + torch.max(pred[:, 3], true[:, 3]))
        iou = (shared + plus) / (whole + plus + eps)
        giou = iou - (hull - whole) / (hull + eps)
        return 1 - giou
    """,
    "11.6": """
        weights = torch.ones_like(centerness) / divisor
        if weigh_boxes:
            weights = centerness / (centerness.sum() + 1e-7)
        return {
            "loss_fcos_cls": loss_cls.flatten().sum() / divisor,
            "loss_fcos_loc": torch.dot(loss_box, weights),
            "loss_fcos_ctr": loss_ctr.sum(dim=0) / divisor,
        }
    """,
    "11.7": """
        own, strides = self.version, self.backbone.fpn_strides
        rows = match_batch(locations, strides, gt_boxes, own).flatten(0, 1)
        logits, deltas, quality = (
            torch.cat([output[level] for level in locations], dim=1).flatten(0, 1)
            for output in outputs
        )
        points = torch.cat([locations[level] for level in locations])
        points = points.repeat(len(gt_boxes), 1)
        stride = spread_over_levels(locations, strides).repeat(len(gt_boxes))
        at = (rows[:, 4] > -1).nonzero()[:, 0]
        true, mine = distances_to_sides(points[at], rows[at]), deltas[at]
        if own.unit != own.loss_unit:
            factor = stride[at, None]
            mine = mine * factor if own.unit == "stride" else mine / factor
        unit = stride[at, None] if own.loss_unit == "stride" else torch.ones_like(true)
        central = fcos_make_centerness_targets(true / stride[at, None])
        return divide_losses(
            fcos_classification_loss(logits, rows[:, 4].long()),
            box_losses(mine, true / unit, own),
            fcos_centerness_loss(quality.squeeze(-1)[at], central),
            central,
            divisor=self.divisor((rows[:, 4] > -1).sum(), len(gt_boxes)),
            weigh_boxes=own.weigh_boxes,
        )
    """,
}
TARGETS: Mapping[str, Mapping[str, str]] = {
    "published_in_loops": IN_LOOPS,
    "published_by_masks": BY_MASKS,
}
