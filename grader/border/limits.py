"""What the code of a student may use up, and how that is enforced."""

import resource
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 2**20
CUDA_HOST_MB = 2048  # that CUDA itself takes of the main memory, at most


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one test; each ends the test, not the submission.

    Attributes:
        cpu_seconds: processor time of one test, which a busy machine does not stretch.
        call_seconds: time on the clock for one call; generous, for busy machines.
        start_seconds: time on the clock until the sandbox is there.
        memory_mb: memory beyond what torch itself takes.
        gpu_memory_mb: of a GPU that is lent; torch keeps to it, while code that means
            to can take more.
        file_mb: size of a file that the code writes, where it may write at all.
        temporary_mb: all files in /tmp, and again in /dev/shm, of the sandbox.
        open_files: open at once.
        threads: threads at once.
        output_mb: what the code may print; the last 4 kB are kept.
        answers_mb: all answers of one test together, which the grader has to hold;
            those of the solution take 4.
        restarts: how often a sandbox that died is started anew.
    """

    cpu_seconds: int = 30
    call_seconds: float = 60.0
    start_seconds: float = 120.0
    memory_mb: int = 2048
    gpu_memory_mb: int = 4096
    file_mb: int = 16
    temporary_mb: int = 64
    open_files: int = 128
    threads: int = 64
    output_mb: int = 16
    answers_mb: int = 64
    restarts: int = 8


def limit_process(
    limits: Limits, count_threads: bool, in_use: int, has_gpu: bool = False
) -> None:
    """Bound this process, for good.

    Args:
        limits: to be kept.
        count_threads: whether RLIMIT_NPROC counts only what belongs to the sandbox; it
            counts all processes of a user, so not where the user is a person.
        in_use: bytes of addresses that are mapped already, see address_space.
        has_gpu: CUDA sets aside addresses for all memory of the machine and the card,
            so that only what is written to can be bounded.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, limits.file_mb * MEBIBYTE)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    if count_threads:
        _limit(resource.RLIMIT_NPROC, limits.threads)
    # The kernel sends SIGXCPU at the soft limit and SIGKILL at the hard one.
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 2)
    if in_use:
        # torch's libraries alone fill gigabytes of addresses: only what comes on top
        # can be bounded by one number on all machines.
        kind = resource.RLIMIT_DATA if has_gpu else resource.RLIMIT_AS
        spare = limits.memory_mb + (CUDA_HOST_MB if has_gpu else 0)
        _limit(kind, in_use + spare * MEBIBYTE)


def limit_own_memory(most_mb: int) -> None:
    """Bound what this process may map on top of what it has now.

    Only the soft limit: a sandbox that this process starts takes it off again.
    """
    in_use = address_space()
    if in_use:
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        _limit(resource.RLIMIT_AS, in_use + most_mb * MEBIBYTE, hard)


def lift_own_limit() -> None:
    """Take off the soft limit of memory that came from the starting process."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def address_space() -> int:
    """Bytes of addresses that this process has mapped; 0 where that is unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    most = resource.getrlimit(kind)[1]
    hard = soft if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))
