"""What `import eecs598` brings."""

from grader.worker.original.eecs598 import grad, utils
from grader.worker.original.eecs598.utils import (
    reset_seed,
    tensor_to_image,
    visualize_dataset,
)

__all__ = ["grad", "reset_seed", "tensor_to_image", "utils", "visualize_dataset"]
