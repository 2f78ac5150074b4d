"""Exceptions whose own text says what is wrong, wherever they come from."""

from helpers.checks.no_gpu import NO_GPU, device_cause, lacks_gpu

# Part of what torch says, and what it means; each is true of every such exception.
KNOWN = {
    "Boolean value of Tensor with more than one value": (
        "`and`, `or`, `not` and `if` take one value, and a tensor has many; use "
        "&, |, ~ or torch.where"
    ),
    "one_hot is only applicable to index": (
        "one_hot takes int64 only, and classes may be floats; compare them with "
        "torch.arange, or use .long()"
    ),
    "Class values must be non-negative": (
        "one_hot takes no -1; compare the classes with torch.arange, or treat "
        "background before"
    ),
    "Class values must be smaller than num_classes": (
        "one_hot got a class that is not below its num_classes"
    ),
    "One of the differentiated Tensors does not require grad": (
        "a weight is frozen (its requires_grad is off); all of them are trained"
    ),
    '"bitwise_': (
        "&, | and ~ take bool tensors, and bind tighter than < and >: put each "
        "comparison in brackets"
    ),
    "all elements of input should be between 0 and 1": (
        "binary_cross_entropy takes probabilities; raw logits go to "
        "binary_cross_entropy_with_logits"
    ),
    "cannot assign 'float' as buffer": (
        "a buffer stays a tensor; leave out .item() and float()"
    ),
    'contain ".", got: ': "the name of a layer may have no dot",
}


def known_error(text: str) -> str | None:
    """What an exception with this text means, if its text alone says it."""
    if lacks_gpu(text):
        return NO_GPU
    devices = device_cause(text)
    if devices is not None:
        return devices
    return next((said for part, said in KNOWN.items() if part in text), None)
