"""What tests of serving share: a service in this process, one in its own, and sounds to send."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

from conftest import speech

with warnings.catch_warnings():
    # It would rather have httpx's successor, and takes httpx all the same.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient as TestClient

RATE = 16_000
TOKEN = "a-token-of-the-tests"


def sound(
    duration_s: float = 1.0,
    *,
    format: str = "WAV",
    subtype: str | None = None,
    rate: int = RATE,
    samples: Any = None,
) -> bytes:
    """Return the bytes of a recording."""
    file = io.BytesIO()
    values = speech(duration_s, rate) if samples is None else samples
    soundfile.write(file, values, rate, format=format, subtype=subtype)
    return file.getvalue()


def sent(*files: bytes | tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """Return recordings as httpx takes them."""
    return [
        ("files", file if isinstance(file, tuple) else (f"clip-{number}.wav", file))
        for number, file in enumerate(files)
    ]


def rss_bytes(pid: int) -> int:
    """Return the memory a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Server:
    """``ullim serve`` in a process of its own."""

    def __init__(self, bundle: Path, *options: str, token: str | None = None) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "ULLIM_TOKEN"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ullim", "serve", "--port", "0", "-m", str(bundle), *options],
            stderr=subprocess.PIPE,
            text=True,
            env=environment | ({"ULLIM_TOKEN": token} if token else {}),
        )
        self.lines: list[dict[str, Any]] = []
        self.url = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == "started":
                self.url = self.lines[-1]["url"].rstrip("/")
                break
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"event": "no json", "line": line})

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == name]

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(timeout=30)
        self._reader.join(timeout=10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@contextmanager
def serving(bundle: Path, *options: str, token: str | None = None) -> Iterator[Server]:
    """Run a service until the end of the block."""
    server = Server(bundle, *options, token=token)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


def predicted(answer: httpx.Response) -> dict[str, Any]:
    """Return the only prediction of an answer."""
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    return dict(prediction)


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an answer that must be a sound problem."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body.keys() == {"type", "title", "status", "detail", "code"}
    assert body["status"] == answer.status_code
    assert body["detail"]
    return answer.status_code, body["code"]


def white(duration_s: float) -> Any:
    return 0.1 * np.random.default_rng(5).standard_normal(round(duration_s * RATE))
