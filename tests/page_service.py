"""A small stand-in for the service, for tests of the page: same addresses, same shapes, no model.

It lies under a path of its own, as behind a proxy, and sends the strictest Content-Security-Policy
that the page is meant to live with. What it answers hangs on the name of the recording.
"""

from __future__ import annotations

import base64
import email
import email.policy
import json
import math
import struct
import threading
import wave
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import ullim
from ullim.types import LABELS_KO

PAGE = Path(ullim.__file__).parent / "serving" / "page"
PREFIX = "/tools/ullim/"
CSP = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
TOKEN = "the-token-of-this-test"
DURATION_S = 5.2
LABELS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
CARD = """# example: seven emotions

A model that **does not exist**, with `code` and <img src=x onerror="document.title='broken'">.

## Figures

- RAVDESS: 1440 clips. https://doi.org/10.1371/journal.pone.0196391
  - Every actor says the same two sentences.
- EMO-DB

| corpus | UA |
|---|---|
| emodb | 67.7% |
"""
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def write_wav(path: Path, seconds: float = 3.0, sampling_rate: int = 16_000) -> Path:
    """Write a tone that comes and goes, enough for a page that never listens itself."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sampling_rate)
        for n in range(int(seconds * sampling_rate)):
            level = 9000 * abs(math.sin(2.2 * n / sampling_rate))
            file.writeframesraw(struct.pack("<h", int(level * math.sin(0.08 * n))))
    return path


def prediction(name: str, lang: str = "en") -> dict[str, Any]:
    """Return what the service would say of a recording of this name."""
    scores = dict(zip(LABELS, (0.11, 0.62, 0.02, 0.05, 0.04, 0.01, 0.15), strict=True))
    status, label, confidence = "ok", "happiness", 0.62
    if "uncertain" in name:
        scores = dict(zip(LABELS, (0.2, 0.22, 0.14, 0.1, 0.12, 0.08, 0.14), strict=True))
        status, confidence = "uncertain", 0.22
    elif "between" in name:
        scores = dict(zip(LABELS, (0.02, 0.44, 0.01, 0.05, 0.03, 0.02, 0.43), strict=True))
        status, confidence = "ambiguous", 0.44
    elif "door" in name:
        return {
            **{"file": name, "status": "no_speech", "label": None, "confidence": None},
            **{"scores": {}, "duration_s": DURATION_S, "waveform": _waveform(), "picture": _png()},
            "timeline": [_segment(0.0, DURATION_S, None)],
            "cues": {"words": ["too little voice"], "profile": None, "error": "no_voice"},
            "error": None,
        }
    elif "broken" in name:
        detail = f"{name} is not audio that can be read; give WAV or FLAC"
        return {"file": name, "status": "error", "error": {"code": "not_audio", "detail": detail}}
    return {
        **{"file": name, "status": status, "label": label, "confidence": confidence},
        **{"scores": scores, "duration_s": DURATION_S, "waveform": _waveform(), "picture": _png()},
        "timeline": [
            _segment(0.0, 0.6, None),
            _segment(0.6, 1.4, "neutral"),
            _segment(1.4, 3.6, "happiness"),
            _segment(3.6, 4.7, "surprise"),
            _segment(4.7, DURATION_S, None),
        ],
        "cues": _cues(lang),
        "error": None,
    }


def _segment(start_s: float, end_s: float, label: str | None) -> dict[str, Any]:
    scores = {} if label is None else {one: 0.7 if one == label else 0.05 for one in LABELS}
    status = "no_speech" if label is None else "ok"
    confidence = None if label is None else 0.7
    return {
        **{"start_s": start_s, "end_s": end_s, "status": status},
        **{"label": label, "confidence": confidence, "scores": scores},
    }


def _waveform() -> dict[str, Any]:
    hop_s = 0.01
    peaks = []
    for n in range(int(DURATION_S / hop_s)):
        at_s = n * hop_s
        loud = 0.0 if at_s < 0.6 or at_s > 4.7 else abs(math.sin(3 * at_s)) * abs(math.sin(17 * n))
        peaks.append([-0.8 * loud, 0.7 * loud])
    return {"hop_s": hop_s, "peaks": peaks}


def _png() -> dict[str, str]:
    """Return a grey ramp."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes((2 * x + y) % 256 for x in range(100)) for y in range(32))
    header = struct.pack(">IIBBBBB", 100, 32, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    return {"png_base64": base64.b64encode(png).decode(), "alt": "Log-mel spectrogram: 5.2 s"}


def _cues(lang: str) -> dict[str, Any]:
    words = {
        "en": "speech rate (syllables): slower than the neutral speech of others",
        "ko": "말 속도 (음절): 다른 사람들의 중립 음성보다 더 느립니다",
    }
    differences = [
        {"measure": "syllables_per_s", "cue": "speech_rate", "z": -2.1, "degree": "clear"},
        {"measure": "f0_median_hz", "cue": "pitch_average", "z": 0.3, "degree": "alike"},
        {"measure": "level_db", "cue": "intensity", "z": None, "degree": None},
        {"measure": "jitter_percent", "cue": "voice_quality", "z": -1.6, "degree": "slight"},
        {"measure": "hnr_db", "cue": "voice_quality", "z": 4.1, "degree": "strong"},
    ]
    return {"words": [words[lang]], "profile": {"differences": differences}, "error": None}


class Service:
    """The stand-in while it runs.

    Attributes:
        url: Where the page is.
        asked: Fields of every request to ``predict``, in order.
        busy: How many further requests are answered 429.
        needs_token: Whether requests without ``TOKEN`` are answered 401.
        strangers: Paths asked for that are neither the page's nor the service's.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.busy = 0
        self.needs_token = False
        self.strangers: list[str] = []
        self.url = ""

    def predict(self, content_type: str, body: bytes) -> dict[str, Any]:
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        form = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        fields, names = {}, []
        for part in form.iter_parts():
            field = part.get_param("name", header="content-disposition")
            if field == "files":
                names.append(str(part.get_filename()))
                fields["bytes"] = str(len(part.get_payload(decode=True)))
            else:
                fields[field] = part.get_payload(decode=True).decode()
        self.asked.append({**fields, "file": ",".join(names)})
        lang = fields.get("lang", "en")
        return {
            "model": fields.get("model", "default"),
            "predictions": [prediction(name, lang) for name in names],
        }


@contextmanager
def running() -> Iterator[Service]:
    """Serve the page and the stand-in on a free port."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def reply(self, status: int, kind: str, body: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", CSP)
            self.send_header("X-Content-Type-Options", "nosniff")
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def json(self, answer: object) -> None:
            self.reply(200, "application/json", json.dumps(answer).encode())

        def problem(self, status: int, code: str, detail: str, **headers: str) -> None:
            body = {"type": "about:blank", "title": code, "status": status}
            body |= {"code": code, "detail": detail}
            self.reply(status, "application/problem+json", json.dumps(body).encode(), **headers)

        def refused(self) -> bool:
            shown = self.headers.get("Authorization")
            if service.needs_token and shown != f"Bearer {TOKEN}":
                self.problem(401, "unauthorized", "show the token of this service")
                return True
            return False

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            name = path.removeprefix(PREFIX) or "index.html"
            file = PAGE / name
            if path.startswith(PREFIX) and "/" not in name and file.is_file():
                kind = _TYPES.get(file.suffix, "image/svg+xml")
                self.reply(200, kind, file.read_bytes())
            elif path == f"{PREFIX}v1/models":
                if not self.refused():
                    labels = [{"name": one, "en": one, "ko": LABELS_KO[one]} for one in LABELS]
                    facts = {"title": "Seven emotions", "licence": "CC BY-NC-SA 4.0"}
                    names = ("default", "emodb")
                    models = [{"name": name, "labels": labels, **facts} for name in names]
                    self.json({"default": "default", "models": models})
            elif path.startswith(f"{PREFIX}v1/models/"):
                self.json({"name": path.rsplit("/", 1)[1], "card": CARD})
            else:
                service.strangers.append(path)
                self.problem(404, "no_route", "there is nothing here")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.refused():
                return
            if service.busy > 0:
                service.busy -= 1
                self.problem(429, "busy", "all workers are busy", Retry_After="1")
                return
            self.json(service.predict(self.headers["Content-Type"], body))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}{PREFIX}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
