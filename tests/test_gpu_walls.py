"""A GPU behind the walls: what is let through. No test here needs one."""

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core.command import CourseError
from grader.border.limits import CUDA_HOST_MB, MEBIBYTE, Limits
from grader.sandbox import gpu as gpu_of_machine
from grader.sandbox.bubblewrap import bubblewrap_arguments, why_no_bubblewrap
from grader.sandbox.gpu import Gpu, find_gpu, require_gpu
from grader.sandbox.levels import Level
from grader.sandbox.sandbox import Sandbox
from grader.worker.landlock import landlock_version

ROOT = Path(__file__).resolve().parent.parent
IOCTL_VERSION = 5  # of Landlock, from which on it can refuse to ask a device


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of a machine with two cards, and a driver beside the system's."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-modeset"):
        (tmp_path / "dev" / name).write_text("")
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "sys/bus/pci").mkdir(parents=True)
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "libcuda.so.1").write_text("")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path / 'driver'}::")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def test_gpu_is_found_by_its_nodes(machine: Path):
    """Those that compute, and what the driver reads; no screen, nothing missing."""
    found = find_gpu(machine)
    assert found is not None
    assert [Path(node).name for node in found.nodes] == [
        "nvidia-uvm",
        "nvidia0",
        "nvidia1",
        "nvidiactl",
    ]
    assert {Path(path).name for path in found.readable} == {"nvidia", "pci"}
    assert found.library_folders == (str(machine / "driver"),)
    assert found.environment() == {
        "CUDA_VISIBLE_DEVICES": "0",
        "CUDA_CACHE_DISABLE": "1",
        "LD_LIBRARY_PATH": str(machine / "driver"),
    }
    (machine / "dev" / "nvidia0").unlink()
    (machine / "dev" / "nvidia1").unlink()
    assert find_gpu(machine) is None  # a driver without a card


def test_bubblewrap_lets_just_these_through(tmp_path: Path):
    """Behind the new /dev and /usr, and only where a GPU was asked for."""
    given = Gpu(
        nodes=("/dev/nvidia0", "/dev/nvidiactl"),
        readable=("/proc/driver/nvidia", "/sys/bus/pci"),
        library_folders=("/opt/driver",),
    )
    plain = bubblewrap_arguments(tmp_path, 64, as_root=False)
    arguments = bubblewrap_arguments(tmp_path, 64, as_root=False, gpu=given)
    more = given.mounts()
    assert more == [
        *("--dev-bind", "/dev/nvidia0", "/dev/nvidia0"),
        *("--dev-bind", "/dev/nvidiactl", "/dev/nvidiactl"),
        *("--ro-bind-try", "/sys/bus/pci", "/sys/bus/pci"),
        *("--ro-bind-try", "/opt/driver", "/opt/driver"),
    ]
    place = arguments.index("--dev-bind")
    assert arguments[place : place + len(more)] == more
    assert arguments[:place] + arguments[place + len(more) :] == plain
    assert arguments.index("--dev") < place < arguments.index("--remount-ro")


def test_node_works_in_bubblewrap(tmp_path: Path):
    """Tried with a node of our own, which is /dev/zero by its number."""
    node = tmp_path / "nvidia0"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, Path("/dev/zero").stat().st_rdev)
        node.chmod(0o666)
        node.open("rb").close()  # refused where the file system has no devices
    except OSError:
        pytest.skip("this user can make no node")
    if why_no_bubblewrap() is not None:
        pytest.skip("no bubblewrap here")
    for name in ("code", "submission"):
        (tmp_path / name).mkdir()
    tmp_path.chmod(0o755)
    arguments = bubblewrap_arguments(
        tmp_path, 1, os.geteuid() == 0, gpu=Gpu(nodes=(str(node),))
    )
    program = f"print(len(open({str(node)!r}, 'r+b', buffering=0).read(3)))"
    run = subprocess.run(
        ["bwrap", *arguments, sys.executable, "-I", "-S", "-c", program],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "3\n", run.stderr


ASK = """
import errno, fcntl, os, sys
from pathlib import Path
from grader.worker.landlock import allow_only
null = Path("/dev/null")
allow_only([], [null], devices=[null] if sys.argv[1] == "lent" else [])
try:
    fcntl.ioctl(os.open(null, os.O_RDWR), 0x5401)
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize(("how", "said"), [("lent", "ENOTTY"), ("kept", "EACCES")])
def test_landlock_lets_a_lent_device_be_asked(how: str, said: str):
    """From version 5 on a device may be asked (ioctl) only if it was lent."""
    if landlock_version() < IOCTL_VERSION:
        pytest.skip("this kernel's Landlock does not know ioctl")
    run = subprocess.run(
        [sys.executable, "-c", ASK, how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == said, run.stderr


BOUND = """
import resource
from grader.border.limits import Limits, limit_process
limit_process(Limits(memory_mb=100), False, 2**30, has_gpu=True)
for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
    print(*resource.getrlimit(kind))
"""


def test_memory_is_bounded_without_the_addresses_of_cuda():
    """CUDA sets aside far more addresses than it uses."""
    run = subprocess.run(
        [sys.executable, "-c", BOUND],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    most = 2**30 + (100 + CUDA_HOST_MB) * MEBIBYTE
    addresses = resource.getrlimit(resource.RLIMIT_AS)
    assert list(map(int, run.stdout.split())) == [*addresses, most, most]


def test_sandbox_hands_the_gpu_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its nodes, its driver's files and its variables reach the worker."""
    lent = Gpu(nodes=("/dev/nvidia0",), readable=("/sys/bus/pci",), visible="1")
    monkeypatch.setattr("grader.sandbox.sandbox.find_gpu", lambda: lent)
    started: list[tuple[list[str], dict[str, str]]] = []

    class StoppedError(Exception):
        pass

    def popen(command: list[str], *, env: dict[str, str], **_: object) -> None:
        started.append((command, env))
        raise StoppedError

    monkeypatch.setattr("grader.sandbox.sandbox.subprocess.Popen", popen)
    for device in ("cuda", "cpu", "pretend"):
        with pytest.raises(StoppedError):
            Sandbox(ROOT / "assignment", Level.NONE, Limits(), device=device)
    (on_cuda, variables), *others = started
    assert '"devices": ["/dev/nvidia0"]' in on_cuda[-1]
    assert '"readable": ["/sys/bus/pci"]' in on_cuda[-1]
    assert variables["CUDA_VISIBLE_DEVICES"] == "1"
    for command, own in others:
        assert '"devices": []' in command[-1]
        assert not any(name.startswith("CUDA") for name in own)


def test_gpu_that_torch_cannot_use_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    """A card without its driver, or a torch without CUDA."""
    monkeypatch.setattr(gpu_of_machine, "find_gpu", lambda: None)
    with pytest.raises(CourseError, match="has no NVIDIA GPU"):
        require_gpu()
    lent = Gpu(nodes=("/dev/nvidia0",))
    monkeypatch.setattr(gpu_of_machine, "find_gpu", lambda: lent)
    monkeypatch.setattr(gpu_of_machine, "PROBE", "raise SystemExit(1)")
    with pytest.raises(CourseError, match="torch finds no GPU here although"):
        require_gpu()
    monkeypatch.setattr(gpu_of_machine, "PROBE", "")
    assert require_gpu() is lent
