"""The process that opens strangers' files: the same pixels as without it, what it may not do, and every way that it can end."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from PIL import Image
from tests.unit.worker.test_load import ENCRYPTED, bomb, encoded, image_pdf, pdf, picture, textured
from tests.unit.worker.test_memory_limit import bomb as endless_pdf

from ocrfarm_shared.errors import (
    DecodeCrashed,
    DecodeMemory,
    DecodeTimeout,
    EmptyFile,
    Encrypted,
    Internal,
    NoSuchPage,
    OcrFarmError,
    OutOfMemory,
    Timeout,
    TooManyPages,
    TooManyPixels,
    Unreadable,
    WorkerLost,
)
from ocrfarm_shared.settings import read_settings
from ocrfarm_worker.decoding import process, wire
from ocrfarm_worker.decoding.parent import Caps, Decoder
from ocrfarm_worker.document import Limits
from ocrfarm_worker.hands import Hands
from ocrfarm_worker.load import load_page, plan
from ocrfarm_worker.page_log import PageLog
from ocrfarm_worker.tasks import opening

LIMITS = Limits(max_pages=20, max_pixels=4_000_000)
SAMPLES = Path(__file__).resolve().parents[3] / "samples"


@pytest.fixture(scope="module")
def shared() -> Iterator[Decoder]:
    with Decoder() as decoder:
        yield decoder


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with Decoder(Caps(memory_mb=700, cpu_s=2)) as made:
        yield made


# ---------------------------------------------------------------------------------------------------- the same pixels


@pytest.mark.parametrize(
    "file", sorted(f.name for f in SAMPLES.iterdir() if f.suffix in (".png", ".jpg", ".pdf", ".tiff"))
)
def test_samples_are_opened_as_without_it(shared: Decoder, file: str) -> None:
    path, limits = SAMPLES / file, Limits()
    planned = plan(path, None, limits)
    assert shared.plan(path, None, limits) == planned
    for number in planned.numbers:
        here, there = load_page(path, None, number, 100, limits), shared.page(path, None, number, 100, limits)
        assert np.array_equal(here.image, there.image)
        assert here.dpi == there.dpi


def many_kinds() -> dict[str, bytes]:
    deep = Image.fromarray(np.tile(np.linspace(0, 65535, 60).astype(np.uint16), (40, 1)))
    floats = Image.fromarray(np.tile(np.linspace(-1, 2, 60).astype(np.float32), (40, 1)))
    see_through = picture().convert("RGBA")
    see_through.putalpha(128)
    return (
        {form: encoded(textured(), form) for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")}
        | {
            f"TIFF {name}": encoded(textured("1" if name == "group4" else "RGB"), "TIFF", compression=name)
            for name in ("tiff_lzw", "tiff_deflate", "group4", "jpeg", "packbits")
        }
        | {"16 bits": encoded(deep, "PNG"), "floats": encoded(floats, "TIFF"), "alpha": encoded(see_through, "PNG")}
        | {"palette": encoded(picture().convert("P"), "PNG"), "CMYK": encoded(picture().convert("CMYK"), "JPEG")}
        | {"LAB": encoded(picture().convert("LAB"), "TIFF")}
        | {"MPO": encoded(textured(), "MPO", save_all=True, append_images=[textured()]), "PDF": image_pdf(textured())}
    )


@pytest.mark.parametrize("name", many_kinds())
def test_every_kind_is_opened_as_without_it(shared: Decoder, name: str) -> None:
    data = many_kinds()[name]
    before = shared.starts
    assert np.array_equal(shared.page(data, None, 1, 72, LIMITS).image, load_page(data, None, 1, 72, LIMITS).image)
    assert shared.starts == max(before, 1), "the child died of it"


def test_what_looks_cut_short_is_looked_into_in_the_child_too(shared: Decoder) -> None:
    """Where nothing can be imported and no file opened any more."""
    grey = Image.new("RGB", (64, 40), (128, 128, 128))
    noise = encoded(textured(), "JPEG")
    for whole in (
        encoded(grey, "JPEG"),
        encoded(Image.new("L", (64, 40)), "PNG"),
        encoded(textured("1"), "TIFF", compression="group4"),
    ):
        assert np.array_equal(
            shared.page(whole, None, 1, 72, LIMITS).image, load_page(whole, None, 1, 72, LIMITS).image
        )
    scan = noise.index(b"\xff\xda")
    with pytest.raises(Unreadable, match="cut short"):
        shared.page(noise[: (scan + len(noise)) // 2].rstrip(b"\xff") + b"\xff\xd9", None, 1, 72, LIMITS)


def test_errors_come_back_as_themselves(shared: Decoder) -> None:
    cases: list[tuple[bytes, type[OcrFarmError], str]] = [
        (b"", EmptyFile, "0 bytes"),
        (b"no picture", Unreadable, "not an image"),
        (encoded(textured(), "PNG")[:200], Unreadable, "cut short"),
        (ENCRYPTED, Encrypted, "password"),
        (bomb(20_000, 20_000), TooManyPixels, "scale it down"),
    ]
    shared.page(encoded(picture(), "PNG"), None, 1, 72, LIMITS)
    before = shared.pid
    for data, error, says in cases:
        with pytest.raises(error, match=says):
            shared.page(data, None, 1, 72, LIMITS)
    with pytest.raises(NoSuchPage):
        shared.page(pdf(3), None, 4, 72, LIMITS)
    with pytest.raises(TooManyPages):
        shared.plan(pdf(25), None, LIMITS)
    with pytest.raises(FileNotFoundError):
        shared.page(Path("/nowhere.png"), None, 1, 72, LIMITS)
    assert shared.pid == before, "a bad document is no reason for a new process"


def test_a_page_outlives_the_next_ones(shared: Decoder) -> None:
    first = shared.page(encoded(textured(), "PNG"), None, 1, 72, LIMITS).image
    kept = first.copy()
    for _ in range(5):
        shared.page(encoded(Image.new("RGB", (300, 200)), "PNG"), None, 1, 72, LIMITS)
    assert np.array_equal(first, kept)
    shared.close()
    assert np.array_equal(first, kept)


# ---------------------------------------------------------------------------------------------------- what it may not do


def test_it_is_given_no_credentials(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRFARM_REDIS_URL", "redis://:secret@127.0.0.1/0")
    monkeypatch.setenv("OCRFARM_API_KEY", "secret")
    inheritable = os.open("/dev/zero", os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    try:
        decoder.page(encoded(picture(), "PNG"), None, 1, 72, LIMITS)
    finally:
        os.close(inheritable)
    process = psutil.Process(decoder.pid)
    environment = Path(f"/proc/{decoder.pid}/environ").read_bytes()
    assert b"OCRFARM" not in environment
    assert b"secret" not in environment + " ".join(process.cmdline()).encode()
    open_now = sorted(str(f.readlink()) for f in Path(f"/proc/{decoder.pid}/fd").iterdir())
    assert [name for name in open_now if not name.startswith("socket:")] == ["/dev/null"] * 3
    assert len(open_now) == 4, open_now


def test_its_limits(decoder: Decoder) -> None:
    decoder.page(encoded(picture(), "PNG"), None, 1, 72, LIMITS)
    rows = Path(f"/proc/{decoder.pid}/limits").read_text().splitlines()
    limits = {row[:26].strip(): row[26:].split()[:2] for row in rows}
    assert limits["Max address space"] == [str(700 << 20)] * 2
    for name in ("Max core file size", "Max file size", "Max processes"):
        assert limits[name] == ["0", "0"]
    assert int(limits["Max open files"][1]) <= 32
    assert int(limits["Max cpu time"][0]) < 60
    assert "NoNewPrivs:\t1" in Path(f"/proc/{decoder.pid}/status").read_text()
    assert psutil.Process(decoder.pid).uids().real != 0
    assert {"no_new_privs", "limits", "memory"} <= set(decoder.locks)


def test_what_holds_it_in_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, process.log.name), Decoder() as decoder:
        held = decoder.locks
    (record,) = [r for r in caplog.records if "held in by" in r.getMessage()]
    assert ", ".join(held) in record.getMessage()
    assert (record.levelname == "INFO") == ("landlock" in held)


TRY = """
import os, socket, sys
from ocrfarm_worker.decoding import locks
parent, file = int(sys.argv[1]), sys.argv[2]
held = locks.lock(0)
def refused(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        return True
    return False
print("landlock" in held)
print(refused(os.open, file, os.O_RDONLY), refused(os.open, f"/proc/{parent}/environ", os.O_RDONLY),
      refused(os.open, os.path.dirname(file) + "/new", os.O_WRONLY | os.O_CREAT),
      refused(socket.socket().connect, ("127.0.0.1", int(sys.argv[3]))), refused(os.kill, parent, 0), refused(os.fork))
"""


def test_it_opens_nothing_connects_nowhere_and_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            [sys.executable, "-c", TRY, str(os.getpid()), str(file), str(server.getsockname()[1])],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    landlock, tried = done.stdout.splitlines()
    if landlock != "True":
        pytest.skip("this kernel has no Landlock")
    opened, environ, made, connected, signalled, forked = (said == "True" for said in tried.split())
    assert opened
    assert environ
    assert made
    assert forked or os.getuid() == 0
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    assert connected or release < (6, 7)
    assert signalled or release < (6, 12)


# ---------------------------------------------------------------------------------------------------- how it ends


def good(decoder: Decoder) -> None:
    """A good page comes as itself, whatever was before."""
    data = encoded(textured(), "PNG")
    assert np.array_equal(decoder.page(data, None, 1, 72, LIMITS).image, load_page(data, None, 1, 72, LIMITS).image)


def stopped(decoder: Decoder) -> int:
    """Its process id, the process stopped, so that it answers nothing."""
    good(decoder)
    assert decoder.pid is not None
    os.kill(decoder.pid, signal.SIGSTOP)
    return decoder.pid


def later(seconds: float, pid: int, how: signal.Signals) -> None:
    threading.Timer(seconds, os.kill, (pid, how)).start()


def test_killed_between_pages(decoder: Decoder) -> None:
    for how in (signal.SIGKILL, signal.SIGSEGV):
        good(decoder)
        assert decoder.pid is not None
        os.kill(decoder.pid, how)
        psutil.wait_procs([psutil.Process(decoder.pid)], 0.3)
        good(decoder)
    assert decoder.starts == 3


def test_killed_under_a_page_that_was_not_its_first(decoder: Decoder) -> None:
    later(0.3, stopped(decoder), signal.SIGKILL)
    good(decoder)
    assert decoder.starts == 2


@pytest.mark.parametrize(
    ("how", "error"),
    [(signal.SIGKILL, WorkerLost), (signal.SIGSEGV, DecodeCrashed), (signal.SIGXCPU, DecodeTimeout)],
)
def test_killed_under_its_first_page(decoder: Decoder, how: signal.Signals, error: type[OcrFarmError]) -> None:
    decoder.start()
    decoder._ready()
    assert decoder.pid is not None
    os.kill(decoder.pid, signal.SIGSTOP)
    later(0.3, decoder.pid, how)
    if how is not signal.SIGKILL:
        later(0.5, decoder.pid, signal.SIGCONT)
    with pytest.raises(error):
        decoder.page(encoded(picture(), "PNG"), None, 1, 72, LIMITS)
    good(decoder)


def test_a_page_that_takes_too_much_memory(decoder: Decoder) -> None:
    good(decoder)
    with pytest.raises(DecodeMemory, match="lower resolution"):
        decoder.page(encoded(Image.new("1", (12_000, 12_000)), "PNG"), None, 1, 72, Limits(max_pixels=200_000_000))
    good(decoder)


def test_a_pdf_that_unpacks_without_end(decoder: Decoder) -> None:
    good(decoder)
    with pytest.raises((DecodeCrashed, DecodeMemory, DecodeTimeout)):
        decoder.page(endless_pdf(700_000_000), None, 1, 72, LIMITS)
    good(decoder)


def slow_pdf() -> bytes:
    """A page of very many curves, 60 KB as sent."""
    curves = b"q 0 0 m " + b"0 0 100 100 200 0 c S 0 0 m " * 1_000_000 + b" Q"
    stream = zlib.compress(curves, 9)
    return (
        b"%%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 1000 1000]/Contents 4 0 R>>endobj\n"
        b"4 0 obj<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n"
        % (len(stream), stream)
        + b"trailer<</Size 5/Root 1 0 R>>\n%%EOF"
    )


def test_a_page_that_takes_too_long() -> None:
    with Decoder(Caps(memory_mb=4000, cpu_s=1)) as decoder:
        good(decoder)
        with pytest.raises(DecodeTimeout, match="longer"):
            decoder.page(slow_pdf(), None, 1, 72, LIMITS)
        good(decoder)
        assert decoder.starts == 2, "what takes too long is not tried again"


@pytest.mark.parametrize("works", [True, False])
def test_a_document_that_is_slow_by_itself_is_not_tried_again(works: bool, tmp_path: Path) -> None:
    """The soft time limit comes while it is opened. Where it worked all the while, that is its own fault; where it did not get on, the
    node's, and another try is worth it."""
    document = tmp_path / "slow.pdf"
    document.write_bytes(slow_pdf())

    def told(*_: object) -> None:
        raise SoftTimeLimitExceeded

    former = signal.signal(signal.SIGUSR1, told)
    with Decoder(Caps(memory_mb=4000, cpu_s=0)) as decoder:
        good(decoder)
        me = Hands.__new__(Hands)  # no worker process: what opens documents, and the time that it may take
        me.decoder, me.settings = decoder, read_settings({}, soft_time_limit_s=4)
        child = psutil.Process(decoder.pid)
        before = sum(child.cpu_times()[:2])

        def limit() -> None:
            if not works:
                child.suspend()
            while works and sum(child.cpu_times()[:2]) - before < 1.3:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGUSR1)

        clock = threading.Timer(0.3, limit)
        clock.start()
        with pytest.raises(DecodeTimeout if works else SoftTimeLimitExceeded), opening(me):
            decoder.page(document, None, 1, 72, LIMITS)
        clock.join()
    signal.signal(signal.SIGUSR1, former)


def test_time_is_counted_by_the_page() -> None:
    with Decoder(Caps(cpu_s=1)) as decoder:
        large = encoded(textured().resize((3000, 3000)), "PNG")
        limits = Limits(max_pixels=10_000_000)
        decoder.page(large, None, 1, 72, limits)
        process = psutil.Process(decoder.pid)
        while sum(process.cpu_times()[:2]) < 2.5:
            decoder.page(large, None, 1, 72, limits)
        assert decoder.starts == 1


class SoftLimit(BaseException):
    pass


def test_an_exception_while_it_works_never_leaves_an_answer_for_the_next_page(decoder: Decoder) -> None:
    pid = stopped(decoder)

    def ring(*_: object) -> None:
        raise SoftLimit

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(SoftLimit):
            decoder.page(encoded(Image.new("RGB", (300, 200), "red"), "PNG"), None, 1, 72, LIMITS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not psutil.pid_exists(pid)
    good(decoder)


def test_it_is_replaced_after_its_share_of_documents() -> None:
    with Decoder(Caps(documents=3)) as decoder:
        for _ in range(7):
            good(decoder)
        assert decoder.starts == 3


def test_it_is_replaced_when_it_rests_too_large() -> None:
    with Decoder(Caps(resting_mb=1)) as decoder:
        good(decoder)
        good(decoder)
        assert decoder.starts == 3


def test_it_ends_with_its_parent() -> None:
    program = (
        "from ocrfarm_worker.decoding.parent import Decoder; d = Decoder(); d.locks; print(d.pid, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        process.kill()
    limit = time.monotonic() + 20
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_child_that_cannot_start_is_our_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.sys, "executable", "/bin/false")
    with Decoder() as decoder, pytest.raises(Internal):
        decoder.page(encoded(picture(), "PNG"), None, 1, 72, LIMITS)


# ---------------------------------------------------------------------------------------------------- one that was taken over


@pytest.mark.parametrize(
    "lie",
    [
        b"no json", b"[]", b"{}", b'{"id": 0, "done": true}', b'{"id": 1, "done": true}', b'{"id": 1, "height": -1, "width": 5}',
        b'{"id": 1, "height": 100000, "width": 100000}', b'{"id": 1, "error": "over_quota", "message": "x"}',
        b'{"id": 1, "error": [], "message": {}}', b'{"id": 1, "height": 1e3, "width": 5}', b"[" * 30_000,
    ],
)  # fmt: skip
def test_nothing_it_says_is_believed_unchecked(decoder: Decoder, lie: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder._ready()
    child = decoder._child
    assert child is not None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own = child._link
    monkeypatch.setattr(child, "_link", ours)
    theirs.send(lie)
    with pytest.raises(Internal):
        decoder.page(encoded(picture(), "PNG"), None, 1, 72, LIMITS)
    theirs.close()
    own.close()
    good(decoder)


def test_its_tracebacks_are_no_sentence(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead letter shows sentences to its tenant, tracebacks to admins alone."""
    decoder._ready()
    child = decoder._child
    assert child is not None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own = child._link
    monkeypatch.setattr(child, "_link", ours)
    theirs.send(b'{"id": 1, "error": "internal", "message": "Traceback: in /secret/place"}')
    kept = PageLog()
    process.log.addHandler(kept)
    kept.begin("u")
    try:
        with pytest.raises(Internal):
            decoder.page(encoded(picture(), "PNG"), None, 1, 72, LIMITS)
    finally:
        process.log.removeHandler(kept)
    (line,) = map(json.loads, kept.lines())
    assert line.pop("traceback") == "Traceback: in /secret/place"
    assert "secret" not in json.dumps(line)
    theirs.close()
    own.close()


def test_memory_that_is_lent_cannot_be_cut_short(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that shrinks it would kill the worker process at the next look (SIGBUS)."""
    lent: list[int] = []
    send = wire.send

    def watching(link: object, message: dict[str, object], fd: int | None = None) -> None:
        if fd is not None and "do" not in message:
            lent.append(os.dup(fd))
        send(link, message, fd)  # type: ignore[arg-type]  # the link is passed through

    monkeypatch.setattr(wire, "send", watching)
    good(decoder)
    (fd,) = lent
    for size in (0, 10_000_000):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    os.close(fd)


@pytest.mark.parametrize(
    ("trouble", "becomes"),
    [(TimeoutError("the soft time limit"), Timeout), (KeyError("ours"), KeyError), (OSError(errno.ENOMEM, "full"), OutOfMemory)],
)  # fmt: skip
def test_memory_that_cannot_be_lent_leaves_no_descriptor(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, trouble: Exception, becomes: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise trouble

    good(decoder)
    decoder.close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(process.mmap, "mmap", refuse)
    with pytest.raises(becomes):
        good(decoder)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_garbled_packets_leave_no_descriptors() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, io.FileIO("/dev/null") as file:
        before = len(list(Path("/proc/self/fd").iterdir()))
        socket.send_fds(theirs, [b"no json"], [file.fileno()])
        with pytest.raises(wire.Garbled):
            wire.receive(ours)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
