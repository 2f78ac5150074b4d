"""VOC's average precision in slow loops, as the devkit words it."""


def slow_iou(a, b, extra):
    """IoU of two boxes as the devkit computes it; extra 1 counts the last pixel."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + extra
    height = min(a[3], b[3]) - max(a[1], b[1]) + extra
    if width <= 0 or height <= 0:
        return 0.0
    area_a = (a[2] - a[0] + extra) * (a[3] - a[1] + extra)
    area_b = (b[2] - b[0] + extra) * (b[3] - b[1] + extra)
    return width * height / (area_a + area_b - width * height)


def slow_curve(detections, truths, class_id, threshold, extra):
    """The devkit's loop: (recall, precision) after each detection that counts."""
    by_image = {entry.image_id: entry for entry in truths}
    taken, candidates = set(), []
    for entry in detections:
        for box, score, own in zip(
            entry.boxes, entry.scores, entry.classes, strict=True
        ):
            if own == class_id:
                candidates.append((-score, entry.image_id, box))
    total = sum(
        own == class_id and not difficult
        for entry in truths
        for own, difficult in zip(entry.classes, entry.difficult, strict=True)
    )
    right = wrong = 0
    curve = []
    for _, image_id, box in sorted(candidates, key=lambda item: item[0]):
        entry = by_image[image_id]
        best, nearest = -1.0, -1
        for j, true_box in enumerate(entry.boxes):
            overlap = slow_iou(box, true_box, extra)
            if entry.classes[j] == class_id and overlap > best:
                best, nearest = overlap, j
        if best >= threshold and entry.difficult[nearest]:
            continue
        if best >= threshold and (image_id, nearest) not in taken:
            taken.add((image_id, nearest))
            right += 1
        else:
            wrong += 1
        curve.append((right / total if total else 0.0, right / (right + wrong)))
    return curve, total


def slow_area(curve):
    """Area: for each rise of recall, its width times the best precision from there."""
    area, last = 0.0, 0.0
    for i, (recall, _) in enumerate(curve):
        area += (recall - last) * max(precision for _, precision in curve[i:])
        last = recall
    return area


TENTHS = [tenth / 10 for tenth in range(11)]


def slow_11(curve, tenths=TENTHS):
    """Mean over 0, 0.1, ... 1 of the best precision at that recall or beyond."""
    best = [
        max((precision for recall, precision in curve if recall >= tenth), default=0.0)
        for tenth in tenths
    ]
    return sum(best) / 11
