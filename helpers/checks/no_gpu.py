"""How one sees that a GPU was asked for where there is none; for grades and checks."""

NO_GPU = "there is no GPU here; use the device of the inputs"
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
