"""The download of VOC 2007 against a server on loopback that misbehaves."""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from core.command import CourseError
from data_scripts.download_voc2007 import download
from data_scripts.voc_archive import Archive, unpack
from data_scripts.wget import Limits, run_wget
from tests.mirror_server import Mirror, serve

QUICK = Limits(timeout_s=10, tries=2, pause_s=0.1, stall_s=20, stall_bytes=1000)
IMPATIENT = Limits(timeout_s=1, tries=2, pause_s=0.1, stall_s=60, stall_bytes=1000)
IMAGE_BYTES = bytes(range(256)) * 600
FILES = {
    "VOCdevkit/VOC2007/ImageSets/Main/train.txt": b"000012\n",
    "VOCdevkit/VOC2007/ImageSets/Main/val.txt": b"000005\n",
    "VOCdevkit/VOC2007/Annotations/000005.xml": b"<annotation/>",
    "VOCdevkit/VOC2007/Annotations/000012.xml": b"<annotation></annotation>",
    "VOCdevkit/VOC2007/JPEGImages/000005.jpg": IMAGE_BYTES,
    "VOCdevkit/VOC2007/JPEGImages/000012.jpg": IMAGE_BYTES[::-1],
}
# Runs the download in a process of its own, so that it can be killed.
DRIVER = """
import os, signal, sys
from pathlib import Path
from data_scripts import voc_archive
from data_scripts.download_voc2007 import download
from data_scripts.voc_archive import Archive
from data_scripts.wget import Limits, run_wget
out, url, size, md5, kill_at = sys.argv[1:]
write, count = voc_archive._write_member, [0]
def counting(*args):
    write(*args)
    count[0] += 1
    if count[0] == int(kill_at):
        os.kill(os.getpid(), signal.SIGKILL)
voc_archive._write_member = counting
download(Path(out), [url], archive=Archive("voc.tar", int(size), md5),
         limits=Limits(20, 2, 0.1, 30, 1000))
"""
# In CI a missing wget is a failure, not a skip.
needs_wget = pytest.mark.skipif(
    not shutil.which("wget") and not os.environ.get("CI"), reason="needs GNU wget"
)


def make_tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


TAR = make_tar(FILES)
ARCHIVE = Archive("voc.tar", len(TAR), hashlib.md5(TAR).hexdigest())


@pytest.fixture
def mirror(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve(TAR) as running:
        yield running


def run(out: Path, *mirrors: Mirror, limits: Limits = QUICK, **options) -> bool:
    urls = [mirror.url for mirror in mirrors]
    return download(out, urls, archive=ARCHIVE, limits=limits, **options)


def assert_complete(out: Path) -> None:
    found = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in (out / "VOCdevkit").rglob("*")
        if path.is_file()
    }
    assert found == FILES
    assert not (out / ".VOCdevkit.partial").exists()


def start_driver(out: Path, mirror: Mirror, kill_at: int) -> subprocess.Popen[bytes]:
    arguments = [str(out), mirror.url, str(ARCHIVE.size), ARCHIVE.md5, str(kill_at)]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=Path(__file__).parent.parent,
    )


def wait_for_bytes(path: Path, count: int) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() or path.stat().st_size < count:
        assert time.monotonic() < deadline, f"{path} did not grow to {count} bytes"
        time.sleep(0.02)


@needs_wget
def test_download_gives_the_whole_tree_and_removes_the_archive(tmp_path, mirror):
    """One call fetches, checks and unpacks; the archive goes away."""
    assert run(tmp_path, mirror) is True
    assert_complete(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["VOCdevkit"]
    assert run(tmp_path, mirror) is False  # and nothing is asked for again
    assert len(mirror.ranges) == 1


@needs_wget
def test_download_resumes_after_a_dropped_connection(tmp_path, mirror):
    """After a broken connection only the missing bytes are asked for."""
    mirror.plan = ["drop"]
    run(tmp_path, mirror)
    assert_complete(tmp_path)
    assert mirror.ranges == [None, f"bytes={len(TAR) // 2}-"]


@needs_wget
def test_download_goes_on_while_each_try_brings_bytes(tmp_path, mirror):
    """More broken connections than one wget has tries are no reason to give up."""
    mirror.plan = ["drop"] * 5
    run(tmp_path, mirror)
    assert_complete(tmp_path)
    assert len(mirror.ranges) == 6


@needs_wget
def test_download_retries_after_a_stall(tmp_path, mirror):
    """A silent server runs into the time-out, and the rest is fetched anew."""
    mirror.plan = ["stall"]
    run(tmp_path, mirror, limits=IMPATIENT)
    assert_complete(tmp_path)
    assert mirror.ranges == [None, f"bytes={len(TAR) // 2}-"]


@needs_wget
def test_download_leaves_a_server_that_stalls_for_ever(tmp_path, mirror):
    """The stall watch ends a wget that waits too long, and the next mirror serves."""
    mirror.plan = ["stall"]
    patient = Limits(timeout_s=60, tries=9, pause_s=0.1, stall_s=1, stall_bytes=10**9)
    with serve(TAR) as second:
        run(tmp_path, mirror, second, limits=patient)
    assert_complete(tmp_path)
    assert second.ranges == [f"bytes={len(TAR) // 2}-"]


@needs_wget
def test_download_takes_the_next_mirror_after_404(tmp_path, mirror):
    """A mirror without the file is passed over."""
    mirror.plan = ["404"]
    with serve(TAR) as second:
        run(tmp_path, mirror, second)
        assert second.ranges == [None]
    assert_complete(tmp_path)


@needs_wget
def test_download_names_every_mirror_that_failed(tmp_path, mirror):
    """Without a good mirror, one sentence says why each failed and how to go on."""
    mirror.plan = ["404", "drop", "404", "404"]
    with pytest.raises(CourseError, match=r"404.* run this again") as caught:
        run(tmp_path, mirror, mirror)
    half = len(TAR) // 2
    assert f"{half} of {len(TAR)} bytes are in {tmp_path / 'voc.tar'}" in str(
        caught.value
    )
    run(tmp_path, mirror)
    assert mirror.ranges[-1] == f"bytes={half}-"
    assert_complete(tmp_path)


@needs_wget
@pytest.mark.parametrize("behaviour", ["wrong", "short", "endless"])
def test_download_refuses_wrong_bytes_and_keeps_them_aside(tmp_path, mirror, behaviour):
    """Other bytes than VOC's are never unpacked; the file is renamed and named."""
    mirror.plan = [behaviour]
    with pytest.raises(CourseError, match=r"voc\.tar\.wrong-md5"):
        run(tmp_path, mirror)
    assert [path.name for path in tmp_path.iterdir()] == ["voc.tar.wrong-md5"]
    assert mirror.ranges == [None]
    run(tmp_path, mirror)
    assert_complete(tmp_path)


@needs_wget
def test_download_starts_again_after_a_wrong_first_half(tmp_path, mirror):
    """Wrong bytes left by an earlier run do not spoil a good mirror."""
    (tmp_path / "voc.tar").write_bytes(bytes(1000))
    run(tmp_path, mirror)
    assert mirror.ranges == ["bytes=1000-", None]
    assert (tmp_path / "voc.tar.wrong-md5").stat().st_size == len(TAR)
    assert_complete(tmp_path)


@needs_wget
def test_download_copes_with_a_server_without_ranges(tmp_path, mirror):
    """A server that always sends the whole file still leads to the right data."""
    (tmp_path / "voc.tar").write_bytes(TAR[:1000])
    mirror.plan = ["no range"]
    run(tmp_path, mirror)
    assert_complete(tmp_path)


@needs_wget
def test_download_asks_for_nothing_if_the_archive_is_there(tmp_path, mirror):
    """A complete archive, also one put there by hand, is only checked and unpacked."""
    (tmp_path / "voc.tar").write_bytes(TAR)
    run(tmp_path, mirror, keep_archive=True)
    assert mirror.ranges == []
    assert (tmp_path / "voc.tar").read_bytes() == TAR
    assert_complete(tmp_path)


@needs_wget
def test_download_accepts_416_for_a_file_that_just_became_complete(tmp_path, mirror):
    """Wget asked to go on behind the end of the file is no failure."""
    (tmp_path / "voc.tar").write_bytes(TAR)
    assert run_wget(mirror.url, tmp_path / "voc.tar", len(TAR), QUICK) == ""
    assert mirror.ranges == [f"bytes={len(TAR)}-"]


@needs_wget
def test_download_goes_on_after_kill_of_both_processes(tmp_path, mirror):
    """Kill -9 during the download costs only what had not arrived."""
    mirror.plan = ["stall"]
    process = start_driver(tmp_path, mirror, kill_at=-1)
    wait_for_bytes(tmp_path / "voc.tar", len(TAR) // 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run(tmp_path, mirror)
    assert mirror.ranges == [None, f"bytes={len(TAR) // 2}-"]
    assert_complete(tmp_path)


@needs_wget
def test_download_waits_for_a_wget_that_outlived_its_parent(tmp_path, mirror):
    """Two wgets never write the same file: the next run waits, then uses it."""
    mirror.plan = ["stall"]
    process = start_driver(tmp_path, mirror, kill_at=-1)
    wait_for_bytes(tmp_path / "voc.tar", len(TAR) // 2)
    process.kill()
    process.wait()
    timer = threading.Timer(0.7, mirror.go_on.set)
    timer.start()
    run(tmp_path, mirror)
    timer.join()
    assert mirror.ranges == [None]
    assert_complete(tmp_path)


@needs_wget
@pytest.mark.parametrize("kill_at", [1, 3])
def test_download_goes_on_after_kill_during_unpacking(tmp_path, mirror, kill_at):
    """Kill -9 while unpacking leaves no VOCdevkit; the next run makes it whole."""
    process = start_driver(tmp_path, mirror, kill_at)
    assert process.wait(30) == -signal.SIGKILL
    assert not (tmp_path / "VOCdevkit").exists()
    run(tmp_path, mirror)
    assert len(mirror.ranges) == 1
    assert_complete(tmp_path)


def test_download_refuses_an_incomplete_devkit(tmp_path):
    """A VOCdevkit with missing files is named, not overwritten."""
    images = tmp_path / "VOCdevkit" / "VOC2007" / "JPEGImages"
    images.mkdir(parents=True)
    with pytest.raises(CourseError, match="lacks"):
        download(tmp_path, ["http://127.0.0.1:9/x"], archive=ARCHIVE, limits=QUICK)
    assert images.is_dir()
    (images.parent / "classes.txt").write_text("ring\nheart\n")
    with pytest.raises(CourseError, match="another data set"):
        download(tmp_path, ["http://127.0.0.1:9/x"], archive=ARCHIVE, limits=QUICK)


def test_download_says_how_to_get_wget(tmp_path, monkeypatch):
    """Without the wget program one sentence says where to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CourseError, match="conda install -c conda-forge wget"):
        download(tmp_path, ["http://127.0.0.1:9/x"], archive=ARCHIVE, limits=QUICK)


def test_download_checks_the_free_space_first(tmp_path):
    """An archive larger than the disk is refused before a byte is asked for."""
    huge = Archive("voc.tar", 10**18, "0" * 32)
    with pytest.raises(CourseError, match=r"MB are free but .* are needed"):
        download(tmp_path, ["http://127.0.0.1:9/x"], archive=huge, limits=QUICK)


def _member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    "member",
    [
        _member("VOCdevkit/VOC2007/../../../evil.txt"),
        _member("/VOCdevkit/VOC2007/evil.txt"),
        _member("VOCdevkit/VOC2012/other.txt"),
        _member("evil.txt"),
        _member("VOCdevkit/VOC2007/link", tarfile.SYMTYPE, "/etc/passwd"),
        _member("VOCdevkit/VOC2007/link", tarfile.LNKTYPE, "../../../evil.txt"),
        _member("VOCdevkit/VOC2007/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.type.decode()}",
)
def test_unpack_refuses_members_that_could_do_harm(tmp_path, member):
    """Paths out of the folder, links and devices are refused, and nothing stays."""
    path = tmp_path / "in" / "voc.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as archive:
        for name, content in FILES.items():
            good = tarfile.TarInfo(name)
            good.size = len(content)
            archive.addfile(good, io.BytesIO(content))
        archive.addfile(member)
    with pytest.raises(CourseError, match="refused"):
        unpack(path, tmp_path / "in")
    assert [item.name for item in tmp_path.rglob("*")] == ["in", "voc.tar"]


def test_unpack_refuses_an_archive_that_lacks_files(tmp_path):
    """An archive without an image of its own list is named with that image."""
    files = {name: data for name, data in FILES.items() if "000005.jpg" not in name}
    (tmp_path / "voc.tar").write_bytes(make_tar(files))
    with pytest.raises(CourseError, match=r"JPEGImages/000005\.jpg"):
        unpack(tmp_path / "voc.tar", tmp_path)
    assert not (tmp_path / "VOCdevkit").exists()
