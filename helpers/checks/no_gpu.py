"""What goes wrong with devices, in the words of a cause; for grades and checks.

One asks for a GPU where there is none, or lets tensors of two devices meet.
"""

import re

NO_GPU = "there is no GPU here; use the device of the inputs"
USE_INPUTS = "use the inputs' device"
MIXED = "tensors of the CPU and of the GPU meet; make new ones on the inputs' device"
# How helpers/checks/pretended_gpu.py says where a tensor comes from.
MADE = re.compile(r"\(made on the (CPU|GPU) at line (\d{1,6}) of ([\w.]+\.py)\)")
MIXED_SAID = (
    "Expected all tensors to be on the same device",
    "indices should be either on cpu or on the same device",
)
NUMPY = "numpy cannot read a tensor of the GPU; stay in torch, on the inputs' device"
NUMPY_SAID = "can't convert cuda:0 device type tensor to numpy"
LEFT_BEHIND = "the weights of a layer are on another device than its input"
# How torch says it, built with CUDA and without; and of a Mac's.
ASKED_FOR_GPU = (
    "Torch not compiled with CUDA enabled",
    "Found no NVIDIA driver",
    "No CUDA GPUs are available",
    "CUDA driver version is insufficient",
    "no CUDA-capable device is detected",
    "torch.cuda.is_available() is False",
    "arguments from the 'CUDA' backend",
    "arguments from the 'MPS' backend",
    "not linked with support for mps devices",
)


def lacks_gpu(text: str) -> bool:
    """Whether an exception with this text asked for a GPU that is not there."""
    return any(part in text for part in ASKED_FOR_GPU)


def made_on(device: str, line: int, file: str) -> str:
    """The cause where a tensor was made on the wrong device.

    Args:
        device: "CPU" or "GPU", where it was made.
    """
    return f"made on the {device} at line {line} of {file}; {USE_INPUTS}"


def is_of_devices(cause: str | None) -> bool:
    """Whether this is the cause of a failure that has to do with devices."""
    return cause in (MIXED, LEFT_BEHIND, NUMPY) or (cause or "").endswith(USE_INPUTS)


def device_cause(text: str) -> str | None:
    """The cause of an exception with this text, if two devices met."""
    if NUMPY_SAID in text:
        return NUMPY
    if not any(part in text for part in MIXED_SAID):
        return None
    found = MADE.search(text)
    if found:
        return made_on(found[1], int(found[2]), found[3])
    return LEFT_BEHIND if LEFT_BEHIND in text else MIXED
