"""What code behind the walls needs of an NVIDIA GPU: its nodes, the driver's files.

No machine with a GPU has run this yet; tests/test_gpu_walls.py holds what is asked of
bubblewrap and of the kernel.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.command import CourseError

NODE = re.compile(r"nvidia(\d+|ctl|-uvm|-uvm-tools)\Z")
ONE_GPU = re.compile(r"nvidia\d+\Z")
# What the driver's library reads to find the card, where it is there.
DRIVER_FILES = (
    "/proc/driver/nvidia",
    "/sys/bus/pci",
    "/sys/class/drm",
    "/sys/devices",
    "/sys/module/nvidia",
    "/sys/module/nvidia_uvm",
    "/etc/nvidia",
    "/run/opengl-driver",  # NixOS
)
DRIVER_LIBRARY = "libcuda.so*"
PROBE_SECONDS = 120
PROBE = "import sys, torch; sys.exit(not torch.cuda.is_available())"
INSTEAD = "use --device pretend, which needs none, or leave --device out"


@dataclass(frozen=True)
class Gpu:
    """What has to be let through the walls.

    Attributes:
        nodes: devices that may be opened, written and asked (ioctl).
        readable: files and folders of the driver.
        library_folders: folders outside the system's own that hold its libraries.
        visible: numbers of the cards, as CUDA_VISIBLE_DEVICES has them.
    """

    nodes: Sequence[str] = ()
    readable: Sequence[str] = ()
    library_folders: Sequence[str] = ()
    visible: str = "0"

    def mounts(self) -> list[str]:
        """Options of bubblewrap, behind those that make /dev, /proc and /usr."""
        options: list[str] = []
        for node in self.nodes:
            options += ["--dev-bind", node, node]
        for path in (*self.readable, *self.library_folders):
            if not path.startswith("/proc/"):  # which it has, being a /proc
                options += ["--ro-bind-try", path, path]
        return options

    def environment(self) -> dict[str, str]:
        """Variables that CUDA reads; it shall write no cache of its own."""
        found = {"CUDA_VISIBLE_DEVICES": self.visible, "CUDA_CACHE_DISABLE": "1"}
        if self.library_folders:
            found["LD_LIBRARY_PATH"] = ":".join(self.library_folders)
        return found


def find_gpu(root: Path = Path("/")) -> Gpu | None:
    """What this machine has; None: no card.

    Args:
        root: where /dev and the rest are.
    """
    dev = root / "dev"
    nodes = sorted(path for path in dev.glob("nvidia*") if NODE.match(path.name))
    if not any(ONE_GPU.match(path.name) for path in nodes):
        return None
    readable = [root / name.lstrip("/") for name in DRIVER_FILES]
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return Gpu(
        nodes=tuple(map(str, nodes)),
        readable=tuple(str(path) for path in readable if path.exists()),
        library_folders=tuple(
            folder for folder in folders if folder and _holds_driver(Path(folder))
        ),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES", "0"),
    )


def _holds_driver(folder: Path) -> bool:
    return any(folder.glob(DRIVER_LIBRARY))


def require_gpu() -> Gpu:
    """The GPU of this machine, which torch can use.

    Raises:
        CourseError: there is none, or torch does not find it.
    """
    gpu = find_gpu()
    if gpu is None:
        raise CourseError(
            "--device cuda: this machine has no NVIDIA GPU (there is no /dev/nvidia0); "
            f"{INSTEAD}"
        )
    # In a process of its own: one that has asked CUDA cannot fork any more.
    try:
        run = subprocess.run(
            [sys.executable, "-c", PROBE],
            check=False,
            capture_output=True,
            timeout=PROBE_SECONDS,
        )
        works = run.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    if not works:
        raise CourseError(
            "--device cuda: torch finds no GPU here although /dev/nvidia0 is there; "
            f"install a torch with CUDA and a driver that fits, or {INSTEAD}"
        )
    return gpu
