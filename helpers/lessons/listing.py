"""A model as Detectron2 prints it, beside the names and shapes of the course's."""

from IPython.display import Markdown
from torch import nn

# What each line of the printed model calls a layer -> where the course has it.
FPN = {
    f"backbone.fpn_{kind}{level}": f"backbone.fpn_params.{kind}{level}"
    for level in "345"
    for kind in ("lateral", "output")
}
TOP = {f"backbone.top_block.{name}": f"backbone.top.{name}" for name in ("p6", "p7")}
STEMS = {
    f"head.{theirs}.{place}": f"pred_net.{ours}.{place}"
    for theirs, ours in (("cls_subnet", "stem_cls"), ("bbox_subnet", "stem_box"))
    for place in (0, 1, 3, 4, 6, 7, 9, 10)
}
PREDICTORS = {
    "head.cls_score": "pred_net.pred_cls",
    "head.bbox_pred": "pred_net.pred_box",
    "head.ctrness": "pred_net.pred_ctr",
}
LISTING = FPN | TOP | STEMS | PREDICTORS


def layer_text(layer: nn.Module) -> str:
    """A layer in a few words: "3x3, 256 -> 256, stride 2"."""
    if isinstance(layer, nn.GroupNorm):
        return f"group norm, {layer.num_groups} groups of {layer.num_channels}"
    if not isinstance(layer, nn.Conv2d):
        return type(layer).__name__
    height, width = layer.kernel_size
    text = f"{height}x{width}, {layer.in_channels} -> {layer.out_channels}"
    return text + (f", stride {layer.stride[0]}" if layer.stride[0] > 1 else "")


def show_listing(model: nn.Module) -> Markdown:
    """Every line of the printed model with the course's name and shape of it.

    Args:
        model: a PublishedFCOS with four convolutions a stem.
    """
    lines = ["| printed by Detectron2 | here | layer |", "|---|---|---|"]
    lines += [
        f"| `{theirs}` | `{ours}` | {layer_text(model.get_submodule(ours))} |"
        for theirs, ours in LISTING.items()
    ]
    rest = only_here(model)
    lines += [f"| - | `{name}` | one number |" for name in rest]
    return Markdown("\n".join(lines))


def only_here(model: nn.Module) -> list[str]:
    """Parameters outside of the backbone's body that the printed model has not."""
    known = tuple(f"{name}." for name in LISTING.values())
    return [
        name
        for name, _ in model.named_parameters()
        if not name.startswith((*known, "backbone.backbone."))
    ]
