"""Downloads resume, are checked, unpack inside their folder, and leave nothing half-written."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ullim import registry
from ullim.corpora import Download
from ullim.corpora import download as module
from ullim.corpora.download import fetch, how_to_get, unpack
from ullim.corpora.emodb import Emodb
from ullim.errors import CorpusError


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return buffer.getvalue()


# Bytes that do not compress, so that the archive is longer than one block.
NOISE = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(20_000))
CONTENT = archive({"emodb/wav/03a01Wa.wav": NOISE, "emodb/readme.txt": b"hello"})


@dataclass
class Owner:
    """A server that can be told to misbehave, and remembers what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    etag: str | None = '"v1"'
    status: int = 200
    cut_after: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def owner() -> Iterator[Owner]:
    state = Owner()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            self.close_connection = True
            if state.status != 200:
                self.send_error(state.status)
                return
            start, status = 0, 200
            stale = self.headers.get("If-Range", state.etag) != state.etag
            if asked and state.ranges and not stale:
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
                status = 206
                if start >= len(state.content):
                    self.send_error(416)
                    return
            body = state.content[start:]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            if state.etag:
                self.send_header("ETag", state.etag)
            if status == 206:
                whole = len(state.content)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            self.end_headers()
            self.wfile.write(body[: state.cut_after.pop(0)] if state.cut_after else body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # Whoever fetches may hang up in the middle; that is what some tests are about.
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/emodb.zip?download=1"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def offer(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets EMO-DB be fetched from the server: ``offer(checksum=None)``."""

    def change(**fields: Any) -> None:
        checksum = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
        stated = Download(owner.url, "emodb.zip", len(CONTENT), checksum)
        monkeypatch.setattr(Emodb, "downloads", (replace(stated, **fields),))

    change()
    return change


def get(folder: Path, **options: Any) -> Any:
    return fetch(Emodb(), folder, pause_s=0.0, **options)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


class TestFetch:
    def test_new_folder_holds_the_corpus_and_nothing_else(self, owner, offer, tmp_path):
        told: list[tuple[int, int | None]] = []
        folder = tmp_path / "new" / "emodb"
        (fetched,) = get(folder, progress=lambda *counts: told.append(counts))
        assert files(folder) == {"wav/03a01Wa.wav", "readme.txt"}
        assert (folder / "wav" / "03a01Wa.wav").read_bytes() == NOISE
        assert fetched.verified
        assert fetched.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert told[0] == (0, len(CONTENT))
        assert told[-1] == (len(CONTENT), len(CONTENT))
        assert owner.asked == [None]

    def test_archive_is_kept_where_asked(self, offer, tmp_path):
        get(tmp_path, keep_archives=True)
        assert (tmp_path / "emodb.zip").read_bytes() == CONTENT

    def test_archive_that_is_there_and_right_is_not_fetched_again(self, owner, offer, tmp_path):
        (tmp_path / "emodb.zip").write_bytes(CONTENT)
        get(tmp_path)
        assert owner.asked == []
        assert "wav/03a01Wa.wav" in files(tmp_path)

    def test_archive_that_is_there_and_wrong_is_replaced(self, owner, offer, tmp_path):
        (tmp_path / "emodb.zip").write_bytes(b"PK half of it")
        get(tmp_path, keep_archives=True)
        assert (tmp_path / "emodb.zip").read_bytes() == CONTENT

    def test_without_a_published_checksum_ours_is_told(self, offer, tmp_path):
        offer(checksum=None, size_bytes=None)
        (fetched,) = get(tmp_path)
        assert not fetched.verified
        assert fetched.sha256 == hashlib.sha256(CONTENT).hexdigest()


class TestSeveralArchives:
    """Each in a folder of its own, as FSDKaggle2018 comes."""

    @pytest.fixture(autouse=True)
    def _two(self, owner, monkeypatch):
        offered = [
            Download(owner.url, f"{name}.zip", len(CONTENT), folder=name) for name in ("one", "two")
        ]
        monkeypatch.setattr(Emodb, "downloads", tuple(offered))

    def test_each_has_its_folder(self, tmp_path):
        assert [item.file for item in get(tmp_path)] == ["one.zip", "two.zip"]
        assert files(tmp_path / "one") == files(tmp_path / "two")
        assert files(tmp_path / "two") == {"wav/03a01Wa.wav", "readme.txt"}
        assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}

    def test_what_is_unpacked_is_not_fetched_again(self, owner, tmp_path):
        (tmp_path / "one").mkdir()
        (tmp_path / ".two.zip.unpacking").mkdir()
        assert [item.file for item in get(tmp_path)] == ["two.zip"]
        assert len(owner.asked) == 1

    def test_all_of_it_is_there(self, owner, tmp_path):
        get(tmp_path)
        owner.asked.clear()
        with pytest.raises(CorpusError, match="already; see whether it is whole") as caught:
            get(tmp_path)
        assert caught.value.code == "not_empty"
        assert owner.asked == []


class TestResume:
    def test_dropped_connection_goes_on_where_it_broke(self, owner, offer, tmp_path):
        owner.cut_after = [300_000, 100_000]
        get(tmp_path)
        assert owner.asked == [None, "bytes=300000-", "bytes=400000-"]
        assert (tmp_path / "wav" / "03a01Wa.wav").read_bytes() == NOISE

    def test_a_later_call_goes_on(self, owner, offer, tmp_path):
        (tmp_path / "emodb.zip.part").write_bytes(CONTENT[:1000])
        get(tmp_path)
        assert owner.asked == ["bytes=1000-"]
        assert "wav/03a01Wa.wav" in files(tmp_path)

    def test_server_without_ranges_starts_anew(self, owner, offer, tmp_path):
        owner.ranges = False
        owner.cut_after = [5000]
        get(tmp_path)
        assert owner.asked == [None, "bytes=5000-"]
        assert (tmp_path / "wav" / "03a01Wa.wav").read_bytes() == NOISE

    def test_part_of_a_file_that_changed_is_thrown_away(self, owner, offer, tmp_path):
        offer(checksum=None, size_bytes=None)
        (tmp_path / "emodb.zip.part").write_bytes(b"x" * 1000)
        (tmp_path / "emodb.zip.part.tag").write_text('"v0"')
        get(tmp_path)
        assert owner.asked == ["bytes=1000-"]
        assert (tmp_path / "wav" / "03a01Wa.wav").read_bytes() == NOISE

    def test_part_that_nothing_vouches_for_is_not_gone_on_with(self, owner, offer, tmp_path):
        offer(checksum=None)
        (tmp_path / "emodb.zip.part").write_bytes(b"x" * 1000)
        get(tmp_path)
        assert owner.asked == [None]

    def test_part_that_is_whole_already(self, owner, offer, tmp_path):
        (tmp_path / "emodb.zip.part").write_bytes(CONTENT)
        get(tmp_path)
        assert "wav/03a01Wa.wav" in files(tmp_path)

    def test_part_that_is_too_long_is_fetched_anew(self, owner, offer, tmp_path):
        (tmp_path / "emodb.zip.part").write_bytes(CONTENT + b"more")
        get(tmp_path)
        assert owner.asked == [f"bytes={len(CONTENT) + 4}-", None]

    def test_giving_up_keeps_what_there_is(self, owner, offer, tmp_path):
        owner.cut_after = [1000, 0, 0, 0]
        with pytest.raises(CorpusError, match="1000 bytes are kept") as caught:
            get(tmp_path, attempts=3)
        assert caught.value.code == "unreachable"
        assert files(tmp_path) == {"emodb.zip.part", "emodb.zip.part.tag"}
        get(tmp_path)
        assert files(tmp_path) == {"wav/03a01Wa.wav", "readme.txt"}


class TestRefused:
    def test_wrong_checksum_leaves_nothing(self, owner, offer, tmp_path):
        owner.content = archive({"wav/03a01Wa.wav": b"something else"})
        offer(size_bytes=None)
        with pytest.raises(CorpusError, match="not what its owner published") as caught:
            get(tmp_path)
        assert caught.value.code == "wrong_checksum"
        assert hashlib.md5(owner.content).hexdigest() in str(caught.value)
        assert files(tmp_path) == set()

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_answer_without_the_file(self, owner, offer, tmp_path, status):
        owner.status = status
        with pytest.raises(CorpusError, match=f"answers {status}") as caught:
            get(tmp_path)
        assert caught.value.code == "refused"
        assert len(owner.asked) == 1

    def test_tired_server_is_asked_again(self, owner, offer, tmp_path):
        owner.status = 503
        with pytest.raises(CorpusError, match="503"):
            get(tmp_path, attempts=3)
        assert len(owner.asked) == 3

    def test_nobody_there(self, offer, tmp_path):
        offer(url="http://127.0.0.1:9/emodb.zip")
        with pytest.raises(CorpusError, match="can not be fetched") as caught:
            get(tmp_path, attempts=2)
        assert caught.value.code == "unreachable"

    def test_server_that_does_not_exist_is_not_waited_for(self, offer, tmp_path):
        offer(url="http://ullim.invalid/emodb.zip")
        with pytest.raises(CorpusError, match="is not found") as caught:
            fetch(Emodb(), tmp_path, pause_s=60.0)
        assert caught.value.code == "unreachable"

    def test_folder_with_something_in_it(self, owner, offer, tmp_path):
        (tmp_path / "thesis.doc").write_text("")
        with pytest.raises(CorpusError, match=r"holds thesis\.doc") as caught:
            get(tmp_path)
        assert caught.value.code == "not_empty"
        assert owner.asked == []

    def test_folder_that_can_not_be_made(self, offer, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(CorpusError, match="can not be written to") as caught:
            get(tmp_path / "file" / "emodb")
        assert caught.value.code == "not_writable"

    def test_no_room_is_told_before_anything_is_fetched(self, offer, tmp_path, monkeypatch):
        usage = type("Usage", (), {"free": 10_000})
        monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(CorpusError, match=r"room for 0 MB and 1 MB") as caught:
            get(tmp_path)
        assert caught.value.code == "disk_full"
        assert files(tmp_path) <= {"emodb.zip.part", "emodb.zip.part.tag"}

    def test_disk_that_fills_up_keeps_the_part(self, owner, offer, tmp_path, monkeypatch):
        def pour(answer: Any, out: Any, *_: Any) -> None:
            out.write(answer.read(1000))
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module, "_pour", pour)
        with pytest.raises(CorpusError, match="no room left") as caught:
            get(tmp_path)
        assert caught.value.code == "disk_full"
        monkeypatch.undo()
        assert (tmp_path / "emodb.zip.part").read_bytes() == CONTENT[:1000]

    def test_corpus_that_must_be_asked_for_says_how(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Emodb, "downloads", ())
        monkeypatch.setattr(Emodb, "how_to_get", "Write to the owner.")
        with pytest.raises(CorpusError, match=r"Write to the owner\. See https") as caught:
            get(tmp_path)
        assert caught.value.code == "by_application"


class TestUnpack:
    def test_several_at_the_top_stay_where_they_are(self, tmp_path):
        file = tmp_path / "a.zip"
        file.write_bytes(archive({"Actor_01/a.wav": b"a", "Actor_02/b.wav": b"b"}))
        unpack(file, tmp_path)
        assert files(tmp_path) == {"a.zip", "Actor_01/a.wav", "Actor_02/b.wav"}

    @pytest.mark.parametrize(
        "name", ["../evil.txt", "wav/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:\\evil.txt"]
    )
    def test_members_outside_are_refused(self, name, tmp_path):
        folder = tmp_path / "inside"
        folder.mkdir()
        file = folder / "a.zip"
        file.write_bytes(archive({"wav/good.wav": b"good", name: b"evil"}))
        with pytest.raises(CorpusError, match="outside its folder") as caught:
            unpack(file, folder)
        assert caught.value.code == "bad_archive"
        assert files(tmp_path) == {"inside/a.zip"}

    def test_links_are_refused(self, tmp_path):
        file = tmp_path / "a.zip"
        with zipfile.ZipFile(file, "w") as opened:
            link = zipfile.ZipInfo("wav/link")
            link.external_attr = 0o120777 << 16
            opened.writestr(link, "/etc/passwd")
        with pytest.raises(CorpusError, match="outside its folder"):
            unpack(file, tmp_path)
        assert files(tmp_path) == {"a.zip"}

    @pytest.mark.parametrize("damage", ["cut", "flip", "text"])
    def test_damaged_archive_leaves_nothing(self, damage, tmp_path):
        content = bytearray(CONTENT)
        if damage == "flip":
            content[1000] ^= 0xFF
        file = tmp_path / "a.zip"
        file.write_bytes({"cut": content[:-50], "flip": content, "text": b"<html>"}[damage])
        with pytest.raises(CorpusError, match="no whole zip archive") as caught:
            unpack(file, tmp_path)
        assert caught.value.code == "bad_archive"
        assert files(tmp_path) == {"a.zip"}
        assert not list(tmp_path.glob(".*"))

    def test_what_is_there_is_not_replaced(self, tmp_path):
        file = tmp_path / "a.zip"
        file.write_bytes(CONTENT)
        (tmp_path / "wav").mkdir()
        with pytest.raises(CorpusError, match="holds wav already"):
            unpack(file, tmp_path)
        assert files(tmp_path) == {"a.zip"}

    def test_archive_that_swells_past_the_disk(self, tmp_path, monkeypatch):
        usage = type("Usage", (), {"free": 1000})
        monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
        file = tmp_path / "a.zip"
        file.write_bytes(archive({"zeros": bytes(10_000)}))
        with pytest.raises(CorpusError, match="are needed") as caught:
            unpack(file, tmp_path)
        assert caught.value.code == "disk_full"


@pytest.mark.parametrize("name", registry.components("corpora"))
class TestFacts:
    def test_downloads_are_of_the_owner_and_checked_where_he_says(self, name):
        for item in registry.component("corpora", name).downloads:
            assert item.url.startswith("https://")
            assert re.fullmatch(r"[\w.-]+", item.file)
            assert item.checksum is None or re.fullmatch(
                r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", item.checksum
            )
            assert item.size_bytes is None or item.size_bytes > 0
            assert re.fullmatch(r"[\w.-]*", item.folder)

    def test_archives_do_not_unpack_over_each_other(self, name):
        downloads = registry.component("corpora", name).downloads
        assert len({item.file for item in downloads}) == len(downloads)
        assert len(downloads) < 2 or len({item.folder for item in downloads}) == len(downloads)

    def test_a_person_is_told_how_to_get_it(self, name):
        corpus = registry.component("corpora", name)()
        assert (corpus.homepage in how_to_get(corpus)) != corpus.anyones
        assert f"ullim corpora check {name}" in how_to_get(corpus)
