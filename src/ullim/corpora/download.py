"""Fetches a corpus from its owner: resumed where it broke off, checked, unpacked safely.

Only what the owner lets everybody fetch is fetched (:attr:`ullim.corpora.Corpus.downloads`). A file
grows as ``NAME.part``; a broken connection goes on from there, in this call or in a later one, and
only a file whose checksum is right takes its own name. An archive is unpacked beside its place and
moved there when it is whole.

Every failure is a :class:`~ullim.errors.CorpusError` with one of the codes

==================  ==============================================================================
``by_application``  the owner wants to be asked; the message says how
``not_empty``       the folder holds something else
``not_writable``    the folder can not be made or written to
``disk_full``       there is no room for it
``unreachable``     the owner's server can not be reached, or breaks off again and again
``refused``         it answers, but not with the file
``wrong_checksum``  the file is not what the owner published; nothing of it is kept
``bad_archive``     the archive is damaged, or would write outside its folder
==================  ==============================================================================
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ullim.corpora import Corpus, Download
from ullim.errors import CorpusError

Progress = Callable[[int, int | None], None]
"""Called with the bytes there are, and with how many there will be where that is known."""

_BLOCK_BYTES = 1 << 18
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched.

    Attributes:
        sha256: Of the file as it came.
        verified: Whether we know a checksum of the owner's, which then was right.
    """

    file: str
    sha256: str
    verified: bool


def fetch(
    corpus: Corpus,
    folder: Path,
    *,
    keep_archives: bool = False,
    attempts: int = 5,
    pause_s: float = 1.0,
    progress: Progress = lambda done, total: None,
) -> list[Fetched]:
    """Fetch and unpack a corpus into a folder.

    Args:
        corpus: What to fetch.
        folder: Empty, or holding what an earlier call left when it broke off.
        keep_archives: Whether archives stay beside what was in them.
        attempts: How often to try in a row without a byte more before giving up.
        pause_s: Pause after a first failure; it doubles with each further one.
        progress: Told of bytes.

    Raises:
        CorpusError: With one of the codes of the module.
    """
    if not corpus.downloads:
        raise CorpusError(how_to_get(corpus), code="by_application")
    folder = Path(folder).expanduser()
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _check_empty(corpus, folder)
        left = [item for item in corpus.downloads if not _is_unpacked(item, folder)]
        if not left:
            raise CorpusError(
                f"{folder} holds {corpus.title} already; see whether it is whole: ullim corpora "
                f"check {corpus.name} {folder}",
                code="not_empty",
            )
        fetched = []
        for download in left:
            file = folder / download.file
            if not (file.is_file() and download.checksum and _is_right(file, download.checksum)):
                _get(download, file, attempts, pause_s, progress)
            fetched.append(
                Fetched(download.file, _digest(file, "sha256"), download.checksum is not None)
            )
        for download in left:
            file = folder / download.file
            if file.suffix.lower() == ".zip":
                unpack(file, folder, below=download.folder)
                if not keep_archives:
                    file.unlink()
    return fetched


def how_to_get(corpus: Corpus) -> str:
    """Return what a person does to get a corpus that is not fetched by a program."""
    if corpus.anyones:
        return (
            f"{corpus.title} is a layout for anybody's recordings, so there is nothing to fetch. "
            f"Lay yours out as {corpus.layout}, then run: ullim corpora check {corpus.name} PATH"
        )
    steps = corpus.how_to_get or "Its owner's page says how to get it."
    return (
        f"{corpus.title} is not fetched by a program. {steps} See {corpus.homepage}. Unpack it so "
        f"that the folder holds {corpus.layout}, then run: ullim corpora check {corpus.name} FOLDER"
    )


def unpack(archive: Path, folder: Path, *, below: str = "") -> None:
    """Unpack a zip archive into a folder, all of it or nothing.

    Where the archive holds a single folder, its contents are unpacked and not the folder.

    Args:
        archive: The archive.
        folder: Where it is unpacked beside, and to.
        below: A folder in there that is made of it; empty for ``folder`` itself.

    Raises:
        CorpusError: The archive is damaged, has a member that would be written elsewhere or is a
            link, or there is no room for it.
    """
    import zipfile

    beside = folder / f".{archive.name}.unpacking"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        with _writing(folder), zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            for member in members:
                _check_member(archive, member)
            _check_room(folder, sum(member.file_size for member in members))
            beside.mkdir()
            opened.extractall(beside)
            inside = list(beside.iterdir())
            root = inside[0] if len(inside) == 1 and inside[0].is_dir() else beside
            if below:
                root.replace(folder / below)
                return
            for item in sorted(root.iterdir()):
                if (folder / item.name).exists():
                    raise CorpusError(
                        f"{folder} holds {item.name} already, which {archive.name} would replace; "
                        "move it away",
                        code="not_empty",
                    )
            for item in sorted(root.iterdir()):
                item.replace(folder / item.name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise CorpusError(
            f"{archive} is no whole zip archive ({error}); delete it and fetch it again",
            code="bad_archive",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _is_unpacked(download: Download, folder: Path) -> bool:
    """Return whether an earlier call unpacked it; told only of what has a folder of its own."""
    return bool(download.folder) and (folder / download.folder).is_dir()


def _check_member(archive: Path, member: Any) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise CorpusError(
            f"{archive} holds {member.filename!r}, which would be written outside its folder; do "
            "not unpack it, and tell its owner",
            code="bad_archive",
        )


def _check_empty(corpus: Corpus, folder: Path) -> None:
    ours = {
        name
        for download in corpus.downloads
        for name in (
            download.file,
            f"{download.file}.part",
            f"{download.file}.part.tag",
            f".{download.file}.unpacking",
            download.folder,
        )
    }
    others = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if others:
        raise CorpusError(
            f"{folder} is not empty: it holds {', '.join(others[:3])}"
            f"{' and more' if len(others) > 3 else ''}; give an empty or new folder",
            code="not_empty",
        )


def _check_room(folder: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if size_bytes > free:
        raise CorpusError(
            f"{folder} has room for {free / 1e6:,.0f} MB and {size_bytes / 1e6:,.0f} MB are "
            "needed; make room or give another folder, and run the command again",
            code="disk_full",
        )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say of a folder that can not be written to why not."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CorpusError(
                f"{folder} has no room left; make room and run the command again: it goes on "
                "where it stopped",
                code="disk_full",
            ) from error
        raise CorpusError(
            f"{folder} can not be written to ({error.strerror or error}); give a folder of yours",
            code="not_writable",
        ) from error


def _get(download: Download, file: Path, attempts: int, pause_s: float, progress: Progress) -> None:
    """Bring a file whole and checked to its place."""
    part = file.with_name(f"{file.name}.part")
    tag = file.with_name(f"{file.name}.part.tag")
    failed = 0
    while True:
        before = _size(part)
        broke_off = _take_up(download, part, tag, progress)
        if broke_off is None:
            break
        failed = 1 if _size(part) > before else failed + 1
        if failed >= attempts:
            raise CorpusError(
                f"{download.url} can not be fetched: {broke_off}, {failed} times without a byte "
                f"more; {_size(part)} bytes are kept in {part.parent}. Check the network and "
                "run the command again: it goes on from there",
                code="unreachable",
            )
        time.sleep(pause_s * 2 ** (failed - 1))
    if download.checksum is not None and not _is_right(part, download.checksum):
        kind = download.checksum.partition(":")[0]
        found = _digest(part, kind)
        part.unlink()
        tag.unlink(missing_ok=True)
        raise CorpusError(
            f"{download.url} is not what its owner published: its {kind} is {found} and "
            f"{download.checksum.partition(':')[2]} was expected; nothing of it was kept. Run the "
            "command again, and if it stays so, look at the owner's page",
            code="wrong_checksum",
        )
    part.replace(file)
    tag.unlink(missing_ok=True)


def _take_up(download: Download, part: Path, tag: Path, progress: Progress) -> str | None:
    """Go on with a file; return None when it is whole, or else why it broke off."""
    import http.client
    import socket
    import urllib.error
    import urllib.request

    have = _size(part)
    told = tag.read_text(encoding="utf-8") if tag.is_file() else ""
    if not (told or download.checksum):
        have = 0  # nothing would tell whether the rest belongs to what is there
    request = urllib.request.Request(download.url, headers={"User-Agent": "ullim"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if told:
            request.add_header("If-Range", told)
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            if download.checksum and _is_right(part, download.checksum):
                return None
            part.unlink()
            return "what was there is no part of it"
        if error.code >= 500 or error.code == http.HTTPStatus.TOO_MANY_REQUESTS:
            return f"{error.code} {error.reason}"
        raise CorpusError(
            f"{download.url} answers {error.code} {error.reason}; get {download.file} by hand from "
            "the owner's page",
            code="refused",
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, OSError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, socket.gaierror):
            raise CorpusError(
                f"{download.url} can not be fetched: its server is not found ({reason.strerror}); "
                f"check the network, or get {download.file} by hand from the owner's page",
                code="unreachable",
            ) from error
        return str(reason)
    with answer:
        if download.url.startswith("https:") and not answer.geturl().startswith("https:"):
            raise CorpusError(
                f"{download.url} leads to {answer.geturl()}, which is not encrypted; get "
                f"{download.file} by hand from the owner's page",
                code="refused",
            )
        start = _start_of(answer)
        if start not in (0, have):
            part.unlink(missing_ok=True)
            return "it answered with another part than was asked for"
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else download.size_bytes
        if total is not None:
            _check_room(part.parent, total - start)
        tag.write_text(
            answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "",
            encoding="utf-8",
        )
        with part.open("ab" if start else "wb") as out:
            return _pour(answer, out, start, total, progress)


def _start_of(answer: Any) -> int:
    """Return the position in the file at which an answer begins."""
    if answer.status != 206:
        return 0
    first = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else -1


def _pour(answer: Any, out: Any, done: int, total: int | None, progress: Progress) -> str | None:
    import http.client

    progress(done, total)
    while True:
        try:
            block = answer.read(_BLOCK_BYTES)
        except (http.client.HTTPException, OSError) as error:
            return str(error) or type(error).__name__
        if not block:
            break
        out.write(block)
        done += len(block)
        progress(done, total)
    if total is not None and done < total:
        return f"{done} of {total} bytes came"
    return None


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _is_right(file: Path, checksum: str) -> bool:
    kind, _, expected = checksum.partition(":")
    return _digest(file, kind) == expected.lower()


def _digest(file: Path, kind: str) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, kind).hexdigest()
