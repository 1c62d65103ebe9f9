"""From a path, bytes or an open file to a seekable file, and what of it a decoder sees."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import ExitStack
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from ullim.audio.header import size_of
from ullim.audio.limits import Limits, check_bytes
from ullim.errors import AudioError

_FARTHEST = 1 << 62  # decoders count places in 64 bits with a sign

Source: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO


def name_of(source: Source) -> str:
    """Return how messages call a source."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return "<bytes>"
    if not hasattr(source, "read"):
        raise TypeError(
            f"source is {type(source).__name__}; a path, bytes or a binary file is allowed: "
            "for an array of samples, use check_samples"
        )
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else "<file object>"


def opened(source: Source, name: str, limits: Limits, stack: ExitStack) -> BinaryIO:
    """Return a seekable file of at most ``limits.max_bytes``."""
    if isinstance(source, bytes | bytearray | memoryview):
        check_bytes(len(source), name, limits)
        return BytesIO(source)
    if isinstance(source, str | os.PathLike):
        file = stack.enter_context(_opened_path(Path(source), name, limits))
    else:
        file = source
    try:
        if file.seekable():
            return file
    except AttributeError:
        pass
    # The stack closes it.
    spool = tempfile.SpooledTemporaryFile(max_size=64 * 1024**2)  # noqa: SIM115
    stack.callback(spool.close)
    size_bytes = 0
    while part := file.read(1 << 20):
        size_bytes += len(part)
        check_bytes(size_bytes, name, limits)
        spool.write(part)
    return cast(BinaryIO, spool)


def _opened_path(path: Path, name: str, limits: Limits) -> BinaryIO:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise AudioError(
                f"{name}: is a device; a file is allowed: record it to a file first",
                code="not_audio",
            )
        check_bytes(status.st_size, name, limits)
        return path.open("rb")
    except IsADirectoryError as error:
        raise AudioError(
            f"{name}: is a folder; one recording is allowed: give the files in it one by one",
            code="is_directory",
        ) from error
    except PermissionError as error:
        raise AudioError(
            f"{name}: may not be read by this user; a readable file is needed: change its "
            "permissions",
            code="permission",
        ) from error
    # ValueError: a name with a zero byte.
    except (OSError, ValueError) as error:
        raise AudioError(
            f"{name}: no such file can be opened; an existing file is needed: check the path, "
            f"which is taken from {Path.cwd()} unless absolute",
            code="not_found",
        ) from error


class View(RawIOBase):
    """A file as decoders see it: without its first bytes, and with a few replaced.

    Headers name places before the beginning and far past the end. Those are places here, where
    nothing is; a file's own ``seek`` would raise, and what it raises in a callback of C is printed
    and lost.
    """

    def __init__(self, file: BinaryIO, offset: int, patch: tuple[int, bytes] | None) -> None:
        super().__init__()
        self._file, self._offset = file, offset
        self._at, self._patch = patch or (0, b"")
        self._size = max(0, size_of(file) - offset)
        self._position, self._is_moved = 0, True

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``; return how many bytes there were."""
        if self._position >= self._size:
            return 0
        if self._is_moved:
            self._file.seek(self._offset + self._position)
            self._is_moved = False
        data = bytearray(self._file.read(len(buffer)))
        for position, byte in enumerate(self._patch, self._at - self._position):
            if 0 <= position < len(data):
                data[position] = byte
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Go to ``position``, counted after what is left out."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = min(max(0, origin + position), _FARTHEST)
        self._is_moved = True
        return self._position

    def tell(self) -> int:
        """Return the position, counted after what is left out."""
        return self._position
