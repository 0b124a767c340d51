"""What a zip holds, entry by entry, without trusting it (PKWARE APPNOTE 6.3.10).

The standard library's zipfile makes an object of each entry before the first can be read: 100,000 of them are 70 MB. Here the central
directory is walked as it lies in the file, and a file's bytes are read at their place (pread, so that several threads may). Only
stored and deflated entries are taken, as every common tool writes them.

Names are data: they are shown to people, and are never a path of ours.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrfarm_api.kinds import HEAD_BYTES, Kind, kind_of
from ocrfarm_api.spool import keep_room
from ocrfarm_shared.errors import EmptyFile, Encrypted, OcrFarmError, TooLarge, Unreadable, UnsupportedType, ZipBomb

MAGIC = (b"PK\3\4", b"PK\5\6")  # a first entry; an end without entries
PIECE = 256 * 1024
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")  # what desktops put beside one's files
_OFFICE = (
    "[Content_Types].xml",
    "mimetype",
    "META-INF/MANIFEST.MF",
)  # the first entry of what is a zip by its form alone

DAMAGED = "The zip is damaged or cut short; make it again."


def is_zip(head: bytes) -> bool:
    return head.startswith(MAGIC)


@dataclass(frozen=True)
class Entry:
    """One file of a zip. `index`: its place in the directory, from 0; `offset`: of its local header in the zip."""

    index: int
    name: str
    method: int
    encrypted: bool
    crc: int
    packed: int
    size: int
    offset: int
    span: int
    """Bytes that it takes in the zip, at least."""

    @property
    def wanted(self) -> bool:
        """Not a folder, and not what a desktop leaves behind."""
        last = self.name.rpartition("/")[2]
        return bool(last) and not self.name.startswith(_LITTER[0]) and last not in _LITTER[1:]


@dataclass(frozen=True)
class Unpacked:
    """An entry in a file of its own. `content`: its sha256."""

    path: Path
    content: str
    size: int
    kind: Kind


class Budget:
    """How many bytes may still come out of a zip; shared by the threads that unpack it. Raises ZipBomb."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        with self._lock:
            self._left -= count
            if self._left < 0:
                raise ZipBomb


class ZipFile:
    """An open zip on the disk. Raises Unreadable where its directory cannot be made sense of, UnsupportedType for what is a zip by form
    alone (an Office document, a book), TooLarge for more than `most` entries. All methods block."""

    def __init__(self, path: Path, *, most: int) -> None:
        self._most = most
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size = os.fstat(self._file).st_size
            self._directory, self._directory_end, self._shift = self._find_directory()
            self._overlapping = self._look_over()
        except (struct.error, OverflowError):
            self.close()
            raise Unreadable(DAMAGED) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # ------------------------------------------------------------------ the directory
    def _find_directory(self) -> tuple[int, int, int]:
        """Where the central directory begins and ends, and by how much the offsets in it are wrong (a zip behind a program)."""
        tail_at = max(0, self.size - _END.size - 65535)
        tail = os.pread(self._file, self.size - tail_at, tail_at)
        at = tail.rfind(b"PK\5\6")
        while at >= 0:
            if at + _END.size <= len(tail):
                end = _END.unpack_from(tail, at)
                if at + _END.size + end[7] <= len(tail):
                    break
            at = tail.rfind(b"PK\5\6", 0, at)
        else:
            raise Unreadable(DAMAGED)
        disk, _, _, _, size, offset = end[1:7]
        end_at = tail_at + at
        locator = os.pread(self._file, 20, end_at - 20) if end_at >= 20 else b""
        if locator.startswith(b"PK\6\7"):
            end64_at = struct.unpack("<8xQ4x", locator)[0]
            told = os.pread(self._file, _END64.size, end64_at)
            if not told.startswith(b"PK\6\6"):
                raise Unreadable(DAMAGED)
            found = _END64.unpack(told)
            disk, size, offset, end_at = found[4], found[8], found[9], end64_at
        if disk not in (0, 0xFFFF) or size > end_at:
            raise Unreadable("The zip is one of several parts, or damaged; make a single one.")
        begin = end_at - size
        return begin, end_at, begin - offset

    def _look_over(self) -> frozenset[int]:
        """Counts the entries; the indices of those that share bytes with others, so that little unpacks to much again and again."""
        starts, ends, first = array("q"), array("q"), ""
        for entry in self.entries():
            if entry.index >= self._most:
                raise TooLarge(f"The zip holds more than {self._most} files; make several of it.")
            first = first or entry.name
            starts.append(entry.offset)
            ends.append(entry.offset + entry.span)
        if first in _OFFICE:
            raise UnsupportedType
        overlapping: set[int] = set()
        furthest, owner = -1, -1
        for index in sorted(range(len(starts)), key=starts.__getitem__):
            if starts[index] < furthest:
                overlapping |= {index, owner}
            if ends[index] > furthest:
                furthest, owner = ends[index], index
        overlapping |= {i for i in range(len(starts)) if starts[i] < 0 or ends[i] > self._directory}
        return frozenset(overlapping)

    def entries(self) -> Iterator[Entry]:
        """In the directory's order. Raises Unreadable."""
        at, index, window, window_at = self._directory, 0, b"", self._directory
        while at < self._directory_end:
            # One entry is 46 bytes and three texts of 65535 at most.
            if (
                at - window_at + _CENTRAL.size + 3 * 65535 > len(window)
                and window_at + len(window) < self._directory_end
            ):
                window_at = at
                window = os.pread(self._file, min(PIECE * 2, self._directory_end - at), at)
            entry, taken = _central(window, at - window_at, index, self._shift)
            yield entry
            at, index = at + taken, index + 1

    # ------------------------------------------------------------------ a file of it
    def unpack(self, entry: Entry, target: Path, *, limit: int, budget: Budget, least_free: int = 0) -> Unpacked:
        """Write an entry to `target`, which is removed again where this raises: EmptyFile, TooLarge, ZipBomb, Encrypted, UnsupportedType
        (also for a zip inside of the zip), Unreadable, and OSError (a full disk, or one with less than `least_free` bytes left)."""
        if entry.index in self._overlapping:
            raise ZipBomb("This file shares its bytes with others in the zip, as zip bombs do; make the zip again.")
        if entry.encrypted:
            raise Encrypted("This file of the zip is protected by a password; make the zip without one.")
        if entry.method not in (0, 8):
            raise UnsupportedType(
                "This file is packed in a way that few programs use; make the zip with plain deflate."
            )
        if entry.size > limit:
            raise _too_large(limit)
        if entry.size == 0:
            raise EmptyFile
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            return self._write(entry, out, target, limit, budget, least_free)
        except (zlib.error, struct.error):
            target.unlink()
            raise Unreadable("This file of the zip is damaged; make the zip again.") from None
        except BaseException:
            target.unlink()
            raise
        finally:
            os.close(out)

    def _write(self, entry: Entry, out: int, target: Path, limit: int, budget: Budget, least_free: int) -> Unpacked:
        damaged = Unreadable("This file of the zip is damaged; make the zip again.")
        size, crc, head, kind, hashed = 0, 0, b"", None, hashlib.sha256()
        for piece in self._pieces(entry):
            size += len(piece)
            budget.take(len(piece))
            if size > limit:
                raise _too_large(limit)
            crc = zlib.crc32(piece, crc)
            hashed.update(piece)
            if kind is None:
                head += piece[: HEAD_BYTES - len(head)]
                if len(head) == HEAD_BYTES:
                    kind = _kind(head)  # before the rest of what may be nothing is unpacked
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(out, rest) :]
            keep_room(out, least_free)
        if size != entry.size or crc != entry.crc:
            raise damaged
        return Unpacked(target, hashed.hexdigest(), size, kind or _kind(head))

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        local = os.pread(self._file, _LOCAL.size, entry.offset)
        told = _LOCAL.unpack(local)
        if told[0] != b"PK\3\4":
            raise Unreadable(DAMAGED)
        at = entry.offset + _LOCAL.size + told[9] + told[10]
        end = at + entry.packed
        inflate = zlib.decompressobj(-15) if entry.method == 8 else None
        while at < end:
            packed = os.pread(self._file, min(PIECE, end - at), at)
            if not packed:
                raise Unreadable(DAMAGED)
            at += len(packed)
            if inflate is None:
                yield packed
                continue
            while packed:
                piece = inflate.decompress(packed, PIECE)
                packed = inflate.unconsumed_tail
                if piece:
                    yield piece
            if inflate.eof:
                return


def _central(window: bytes, at: int, index: int, shift: int) -> tuple[Entry, int]:
    """One entry of the central directory and its length there."""
    told = _CENTRAL.unpack_from(window, at)
    if told[0] != b"PK\1\2":
        raise Unreadable(DAMAGED)
    flags, method, crc, packed, size = told[3], told[4], told[7], told[8], told[9]
    name_size, extra_size, comment_size, offset = told[10], told[11], told[12], told[16]
    name_at = at + _CENTRAL.size
    raw = window[name_at : name_at + name_size]
    extra = window[name_at + name_size : name_at + name_size + extra_size]
    if len(raw) < name_size or len(extra) < extra_size:
        raise Unreadable(DAMAGED)
    size, packed, offset = _zip64(extra, size, packed, offset)
    offset += shift
    entry = Entry(
        index,
        _name(raw, flags),
        method,
        bool(flags & 0x2041),
        crc,
        packed,
        size,
        offset,
        _LOCAL.size + name_size + packed,
    )
    return entry, _CENTRAL.size + name_size + extra_size + comment_size


def _zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """What does not fit into 32 bits stands in the extra field 0x0001, in this order."""
    at, values = 0, [size, packed, offset]
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]
            for i, value in enumerate(values):
                if value == 0xFFFFFFFF:
                    values[i] = struct.unpack_from("<Q", field)[0]
                    field = field[8:]
        at += 4 + length
    return values[0], values[1], values[2]


def _name(raw: bytes, flags: int) -> str:
    """UTF-8 where it says so or is; else the code page that zips began with."""
    try:
        return raw.decode("utf8")
    except UnicodeDecodeError:
        return raw.decode("utf8", "replace") if flags & 0x800 else raw.decode("cp437")


def _kind(head: bytes) -> Kind:
    if is_zip(head):
        raise UnsupportedType("This is a zip inside of the zip; send it by itself.")
    return kind_of(head)


def _too_large(limit: int) -> OcrFarmError:
    return TooLarge(
        f"The document is larger than the {limit / 1e6:g} MB that this farm takes; split it or scale it down."
    )
