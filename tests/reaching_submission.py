"""A hostile common.py: every way we know to what an exercise asks to write.

tests/test_closed_parts.py hands it in. `reach` says which ways gave the right answer;
`plain` whether the thing itself works, as an honest file would call it.
"""

import ctypes
import gc
import importlib
import importlib.util
import inspect
import linecache
import marshal
import os
import pkgutil
import sys
import types
from contextlib import suppress

import torch
import torchvision
from faster_coco_eval.core import mask as coco_mask
from torchvision import ops
from torchvision.models import detection
from torchvision.ops import RoIAlign, batched_nms, box_iou, nms, sigmoid_focal_loss

import helpers.evaluation.voc_ap
from helpers.evaluation.voc_ap import box_iou as course_iou

BOXES = torch.tensor([[0.0, 0, 4, 2], [0.0, 0, 4, 3], [9.0, 9, 12, 12]])
SCORES = torch.tensor([0.5, 0.9, 0.1])
IMAGE, ROIS = torch.ones(1, 1, 8, 8), torch.tensor([[0.0, 1, 1, 6, 6]])
KEPT = [1, 2]
# What is asked for -> how it is called, and whether the answer is the right one.
TARGETS = {
    "nms": (
        lambda nms: nms(BOXES, SCORES, 0.5),
        lambda kept: [int(index) for index in kept] == KEPT,
    ),
    "batched_nms": (
        lambda nms: nms(BOXES, SCORES, torch.zeros(3, dtype=torch.int64), 0.5),
        lambda kept: [int(index) for index in kept] == KEPT,
    ),
    "box_iou": (
        lambda iou: iou(BOXES, BOXES),
        lambda found: (
            abs(float(found[0][1]) - 8 / 12) < 1e-6
            and [float(found[row][2]) for row in range(3)] == [0, 0, 1]
        ),
    ),
    "sigmoid_focal_loss": (
        lambda loss: loss(SCORES, SCORES),
        lambda found: abs(float(found[0]) - 0.0905) < 1e-3,
    ),
    "roi_align": (
        lambda align: align(IMAGE, ROIS, (2, 2)),
        lambda found: found.shape == (1, 1, 2, 2) and float(found.sum()) == 4,
    ),
    "RoIAlign": (
        lambda align: align((2, 2), 1.0, 2)(IMAGE, ROIS),
        lambda found: found.shape == (1, 1, 2, 2) and float(found.sum()) == 4,
    ),
    "Matcher": (
        lambda matcher: matcher(0.6, 0.3)(torch.tensor([[0.9, 0.1]])),
        lambda found: found.tolist() == [0, -1],
    ),
    "BoxLinearCoder": (
        lambda coder: coder().encode(BOXES[:1] + 1, BOXES[:1]),
        lambda found: found.shape == (1, 4),
    ),
    "FeaturePyramidNetwork": (
        lambda pyramid: pyramid([1], 2)({"0": IMAGE}),
        lambda found: found["0"].shape == (1, 2, 8, 8),
    ),
    "FCOS": (
        lambda fcos: fcos(Body(), 2, min_size=64).eval()([torch.rand(3, 64, 64)]),
        lambda found: set(found[0]) == {"boxes", "scores", "labels"},
    ),
    "RegionProposalNetwork": (
        lambda network: network(None, None, 0.7, 0.3, 2, 0.5, {}, {}, 0.7).min_size,
        lambda found: found == 1e-3,
    ),
    "_loss_inter_union": (
        lambda parts: parts(BOXES[:1], BOXES[1:2]),
        lambda found: [float(part) for part in found] == [8.0, 12.0],
    ),
}
MODULES = {
    "Matcher": "torchvision.models.detection._utils",
    "BoxLinearCoder": "torchvision.models.detection._utils",
    "FCOS": "torchvision.models.detection.fcos",
    "RegionProposalNetwork": "torchvision.models.detection.rpn",
    "_loss_inter_union": "torchvision.ops._utils",
}
FILES = {
    "nms": "ops/boxes",
    "batched_nms": "ops/boxes",
    "box_iou": "ops/boxes",
    "sigmoid_focal_loss": "ops/focal_loss",
    "roi_align": "ops/roi_align",
    "RoIAlign": "ops/roi_align",
    "FeaturePyramidNetwork": "ops/feature_pyramid_network",
    "Matcher": "models/detection/_utils",
    "BoxLinearCoder": "models/detection/_utils",
    "FCOS": "models/detection/fcos",
    "RegionProposalNetwork": "models/detection/rpn",
    "_loss_inter_union": "ops/_utils",
}
OPERATORS = {"nms": ("nms", "qnms"), "roi_align": ("roi_align",)}


class Body(torch.nn.Module):
    """A backbone for torchvision's detectors."""

    out_channels = 32

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 32, 3, stride=8)

    def forward(self, x):
        return {str(level): self.layer(x) for level in range(5)}


def plain(target):
    """The answer of what is imported by its own name, right or not."""
    call, is_right = TARGETS[target]
    return bool(is_right(call(_thing(target))))


def _thing(target):
    place = importlib.import_module(MODULES.get(target, "torchvision.ops"))
    return getattr(place, target)


def reach(target):
    """Names of the ways that lead to the right answer."""
    call, is_right = TARGETS[target]
    found = []
    for name, way in WAYS.items():
        with suppress(BaseException):
            for thing in way(target):
                with suppress(BaseException):
                    if is_right(call(thing)):
                        found.append(name)
                        break
    return sorted(set(found))


def _paths(target):
    """Where its text might be."""
    relative = f"{FILES[target]}.py"
    folders = {*torchvision.__path__, *(f"{each}/torchvision" for each in sys.path)}
    folders |= {folder.replace("/lib/", "/lib64/") for folder in folders}
    return [f"{folder}/{relative}" for folder in folders]


def _ran(text, target):
    """The thing as its text makes it."""
    name = f"torchvision.{FILES[target].replace('/', '.')}"
    module = types.ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    exec(compile(text, "copy", "exec"), vars(module))
    return getattr(module, target)


def imported(target):
    yield _thing(target)
    yield getattr(ops, target)


def operator(target):
    for name in OPERATORS[target]:
        packet = getattr(torch.ops.torchvision, name)
        yield packet
        yield packet.default
        yield torch._C._jit_get_operation(f"torchvision::{name}")[0]


def operator_with_its_numbers(target):
    """As torchvision calls it."""
    for packet in operator(target):
        yield lambda *given, packet=packet: packet(*given)
        yield lambda image, rois, size, packet=packet: packet(
            image, rois, 1.0, *size, 2, False
        )


def destroyed_libraries(target):
    gc.unfreeze()  # what was there before the fork
    known = [each for module in list(sys.modules.values()) for each in _held(module)]
    libraries = [
        each
        for each in (*gc.get_objects(), *known)
        if issubclass(type(each), torch.library.Library)
        or type(each).__name__ == "_DispatchModule"
    ]
    for library in libraries:
        with suppress(Exception):
            library._destroy()
        with suppress(Exception):
            library.m.reset()
        with suppress(Exception):
            library.reset()
    for name in OPERATORS[target]:
        vars(torch.ops.torchvision).pop(name, None)
    yield from operator_with_its_numbers(target)
    yield _thing(target)


def _held(module):
    """What a module has, and what its lists have."""
    for value in list(getattr(module, "__dict__", {}).values()):
        yield value
        if type(value) in (list, tuple, set):
            yield from value


def fresh_library(target):
    library = torch._C._dispatch_library("IMPL", "torchvision", "", "", 0)
    with suppress(Exception):
        library.reset()
    with suppress(Exception):
        torch.library.Library("torchvision", "FRAGMENT")._destroy()
    yield from operator_with_its_numbers(target)


def kernels(target):
    for name in OPERATORS[target]:
        for key in ("CPU", "AutocastCPU", "QuantizedCPU", "CompositeImplicitAutograd"):
            with suppress(Exception):
                kernel = torch.library.get_kernel(f"torchvision::{name}", key)
                keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))
                yield lambda *given, kernel=kernel, keys=keys: kernel.call_boxed(
                    keys, *given
                )
            with suppress(Exception):
                overload = getattr(torch.ops.torchvision, name).default
                keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))
                yield lambda *given, overload=overload, keys=keys: overload.redispatch(
                    keys, *given
                )


def autocast(target):
    def with_autocast(*given):
        with torch.autocast("cpu"):
            return next(iter(operator(target)))(*given)

    yield with_autocast


def loaded_again(target):
    files = [
        f"{folder}/{name}"
        for folder in torchvision.__path__
        for name in ("_C_stable.so", "_C.so")
    ]
    files += [f"/proc/self/fd/{number}" for number in range(3, 64)]
    loaders = [torch.ops.load_library, ctypes.CDLL, torch._C._jit_get_operation]
    for cell in getattr(torch.ops.load_library, "__closure__", None) or ():
        with suppress(ValueError):
            loaders.append(cell.cell_contents)
    for file in files:
        for load in loaders:
            with suppress(BaseException):
                load(file)
    with suppress(BaseException):
        importlib.reload(torchvision.extension)
    for name in OPERATORS[target]:
        vars(torch.ops.torchvision).pop(name, None)
    yield from operator_with_its_numbers(target)


def scripted(target):
    @torch.jit.script
    def by_script(boxes: torch.Tensor, scores: torch.Tensor, threshold: float):
        return torch.ops.torchvision.nms(boxes, scores, threshold)

    yield by_script


def compiled(target):
    thing = _thing(target)
    yield torch.compile(lambda *given: thing(*given), backend="eager")


def text_of_the_file(target):
    for path in _paths(target):
        with suppress(Exception), open(path) as file:
            yield _ran(file.read(), target)
        with suppress(Exception):
            number = os.open(path, os.O_RDONLY)
            yield _ran(os.read(number, 1_000_000), target)
        with suppress(Exception):
            yield _ran("".join(linecache.getlines(path)), target)


def text_by_python(target):
    name = f"torchvision.{FILES[target].replace('/', '.')}"
    package, _, last = name.rpartition(".")
    with suppress(Exception):
        yield _ran(pkgutil.get_data(package, f"{last}.py"), target)
    with suppress(Exception):
        yield _ran(inspect.getsource(importlib.import_module(name)), target)
    with suppress(Exception):
        yield _ran(importlib.util.find_spec(name).loader.get_source(name), target)


def bytecode_of_the_file(target):
    for path in _paths(target):
        folder, _, name = path.rpartition("/")
        for entry in os.scandir(f"{folder}/__pycache__"):
            if entry.name.startswith(name.removesuffix("py")):
                with suppress(Exception), open(entry.path, "rb") as file:
                    module = types.ModuleType("copy")
                    module.__package__ = f"torchvision.{FILES[target]}".replace(
                        "/", "."
                    ).rpartition(".")[0]
                    exec(marshal.loads(file.read()[16:]), vars(module))
                    yield getattr(module, target)


def loaded_by_path(target):
    for path in _paths(target):
        name = f"torchvision.{FILES[target].replace('/', '.')}_again"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        with suppress(Exception):
            spec.loader.exec_module(module)
            yield getattr(module, target)


def imported_anew(target):
    name = f"torchvision.{FILES[target].replace('/', '.')}"
    with suppress(Exception):
        yield getattr(importlib.reload(sys.modules[name]), target)
    for finder in list(sys.meta_path):
        if "Closed" in type(finder).__name__ or "Submission" in type(finder).__name__:
            sys.meta_path.remove(finder)
    sys.modules.pop(name)
    yield getattr(importlib.import_module(name), target)


def objects(target):
    """Functions and classes of this name, whoever holds them."""
    gc.unfreeze()
    kinds = (
        types.FunctionType,
        type,
        types.BuiltinFunctionType,
        torch.jit.ScriptFunction,
    )
    for each in gc.get_objects():
        if issubclass(type(each), kinds):
            if each.__name__ == target:
                yield each
            for inner in ("__wrapped__", "__original_fn"):
                found = getattr(each, "__dict__", {}).get(inner)
                if getattr(found, "__name__", "") == target:
                    yield found


def modules(target):
    for module in list(sys.modules.values()):
        for value in _held(module):
            if getattr(value, "__name__", "") == target:
                yield value


def of_the_course(target):
    yield course_iou
    yield helpers.evaluation.voc_ap.box_iou
    for name in ("types", "voc_ap", "coco_ap", "report"):
        module = importlib.import_module(f"helpers.evaluation.{name}")
        yield getattr(module, target)
    for path in sys.path:
        with suppress(Exception), open(f"{path}/helpers/evaluation/voc_ap.py") as file:
            names = {}
            exec(file.read(), names)
            yield names[target]


def of_other_packages(target):
    def by_coco(first, second):
        plain = [[*row[:2], *(row[2:] - row[:2])] for row in first.double().numpy()]
        return coco_mask.iou(plain, plain, [0, 0, 0])

    yield by_coco
    with suppress(Exception):
        from pycocotools import mask

        yield lambda first, second: mask.iou(
            torch.cat([first[:, :2], first[:, 2:] - first[:, :2]], 1).double().numpy(),
            torch.cat([first[:, :2], first[:, 2:] - first[:, :2]], 1).double().numpy(),
            [0, 0, 0],
        )
    from torch.testing._internal import custom_op_db

    yield lambda boxes, scores, threshold: custom_op_db.numpy_nms(
        boxes, scores, threshold
    )


def text_of_other_packages(target):
    import torch.testing

    folder = os.path.dirname(torch.testing.__file__)
    with open(f"{folder}/_internal/custom_op_db.py") as file:
        text = file.read()
    names = {"np": importlib.import_module("numpy"), "torch": torch}
    names |= {"Number": float, "to_numpy": lambda tensor: tensor.numpy()}
    start = text.index("def numpy_nms")
    exec(text[start : text.index("\n@", start)], names)
    yield names["numpy_nms"]


def parts_of_other_losses(target):
    """Intersection and union are in losses, too."""
    from torchvision.ops import _utils, diou_loss

    def by_parts(first, second):
        one = first[:, None].expand(-1, len(second), -1).reshape(-1, 4)
        two = second[None].expand(len(first), -1, -1).reshape(-1, 4)
        shared, union = _utils._loss_inter_union(one, two)
        return (shared / union).reshape(len(first), len(second))

    def by_loss(first, second):
        one = first[:, None].expand(-1, len(second), -1).reshape(-1, 4)
        two = second[None].expand(len(first), -1, -1).reshape(-1, 4)
        return diou_loss._diou_iou_loss(one, two)[1].reshape(len(first), len(second))

    yield by_parts
    yield by_loss


def rotated(target):
    """The operator for boxes at an angle, at no angle."""

    def by_angle(first, second):
        def turned(boxes):
            sizes = boxes[:, 2:] - boxes[:, :2]
            middle = (boxes[:, 2:] + boxes[:, :2]) / 2
            return torch.cat([middle, sizes, torch.zeros(len(boxes), 1)], dim=1)

        return torch.ops.torchvision.box_iou_rotated(turned(first), turned(second))

    yield by_angle


WAYS = {
    way.__name__: way
    for way in (
        imported,
        operator,
        operator_with_its_numbers,
        kernels,
        autocast,
        scripted,
        compiled,
        text_of_the_file,
        text_by_python,
        bytecode_of_the_file,
        loaded_by_path,
        objects,
        modules,
        of_the_course,
        of_other_packages,
        text_of_other_packages,
        parts_of_other_losses,
        rotated,
        # These change the process, so they come last.
        destroyed_libraries,
        fresh_library,
        imported_anew,
        loaded_again,
    )
}
USED = (RoIAlign, batched_nms, box_iou, nms, sigmoid_focal_loss, detection)
