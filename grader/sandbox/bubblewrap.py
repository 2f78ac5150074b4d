"""The command line of bubblewrap (bwrap), which makes the walls of level 1."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from grader.border.limits import MEBIBYTE
from grader.sandbox.gpu import Gpu
from grader.sandbox.slots import may_become_others

HOW_TO_INSTALL = (
    "bubblewrap is not installed (Debian and Ubuntu: sudo apt-get install bubblewrap)"
)
PROBE_SECONDS = 30
SYSTEM_FOLDERS = ("/lib", "/lib64", "/lib32", "/bin")
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/sys/devices/system/cpu",
    "/sys/kernel/mm/transparent_hugepage",  # where the C library looks, for malloc
)
INSIDE_USER = "1000"
NOTHING, NO_TEXT = "nothing", "nothing.txt"  # an empty folder, an empty file


def bubblewrap_arguments(
    folder: Path,
    temporary_mb: int,
    as_root: bool,
    hidden: Sequence[Path] = (),
    gpu: Gpu | None = None,
) -> list[str]:
    """Options up to the command.

    Args:
        folder: holds code/ and submission/, which are /code and /submission inside, and
            the empty folder nothing/ and the empty file nothing.txt.
        temporary_mb: size of /tmp and of /dev/shm.
        as_root: the caller is root and the worker changes its user itself. A user
            namespace would not do: all users in it are root outside, whose processes
            no limit counts.
        hidden: files and folders in whose place there is nothing.
        gpu: what is let through for computing on it.
    """
    size = str(temporary_mb * MEBIBYTE)
    if as_root:
        arguments = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        arguments += ["--unshare-cgroup-try", "--cap-drop", "ALL"]
        arguments += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        arguments = ["--unshare-all", "--unshare-user", "--disable-userns"]
        arguments += ["--uid", INSIDE_USER, "--gid", INSIDE_USER, "--cap-drop", "ALL"]
    arguments += ["--new-session", "--die-with-parent", "--hostname", "sandbox"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for place in ("/tmp", "/dev/shm"):
        arguments += ["--perms", "1777", "--size", size, "--tmpfs", place]
    # Behind /tmp, since a checkout with its packages may lie in there.
    arguments += _system_mounts()
    for path in _shown_as(hidden):
        empty = folder / (NOTHING if path.is_dir() else NO_TEXT)
        arguments += ["--ro-bind", str(empty), str(path)]
    for name in ("code", "submission"):
        arguments += ["--ro-bind", str(folder / name), f"/{name}"]
    if gpu is not None:
        arguments += gpu.mounts()
    # bwrap's own root folder and /dev are in memory, without a size.
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]


def why_no_bubblewrap() -> str | None:
    """Try it out; None if it works, else the reason and what to do, in words."""
    if shutil.which("bwrap") is None:
        return HOW_TO_INSTALL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "code").mkdir()
        (folder / "submission").mkdir()
        arguments = bubblewrap_arguments(folder, 1, as_root=may_become_others())
        try:
            run = subprocess.run(
                ["bwrap", *arguments, sys.executable, "-I", "-S", "-c", ""],
                env={},
                capture_output=True,
                text=True,
                timeout=PROBE_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"bubblewrap does not run here ({error})"
    if run.returncode == 0:
        return None
    lines = run.stderr.strip().splitlines()
    return f"bubblewrap gets no namespaces here ({lines[0] if lines else 'no reason'})"


def _system_mounts() -> list[str]:
    arguments = ["--ro-bind", "/usr", "/usr"]
    for name in SYSTEM_FOLDERS:
        path = Path(name)
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            arguments += ["--ro-bind", name, name]
    for name in SYSTEM_FILES:
        arguments += ["--ro-bind-try", name, name]
    for prefix in sorted(interpreter_folders()):
        # What bwrap makes on the way by itself, the worker's user could not enter.
        for parent in reversed(Path(prefix).parents[:-1]):
            if str(parent) != "/tmp":
                arguments += ["--perms", "0755", "--dir", str(parent)]
        arguments += ["--ro-bind", prefix, prefix]
    return arguments


def _shown_as(hidden: Sequence[Path]) -> list[Path]:
    """Each file under all the names by which the mounts would show it."""
    mounted = [Path(folder) for folder in (*interpreter_folders(), "/usr")]
    found: dict[Path, None] = {}
    for path in hidden:
        real = path.resolve()
        for folder in mounted:
            for spelling in (path, real):
                for base in (folder, folder.resolve()):
                    if spelling.is_relative_to(base):
                        found[folder / spelling.relative_to(base)] = None
    return list(found)


def interpreter_folders() -> set[str]:
    """Folders of Python and of the installed packages, links resolved and not."""
    prefixes = {sys.base_prefix, sys.prefix}
    prefixes |= {str(Path(prefix).resolve()) for prefix in prefixes}
    # The command itself may lead through further links to another spelling.
    prefixes.add(str(Path(sys.executable).resolve().parent.parent))
    return {prefix for prefix in prefixes if not Path(prefix).is_relative_to("/usr")}
