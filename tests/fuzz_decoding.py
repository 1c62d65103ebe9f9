"""Fuzz everything that decodes what strangers send: ``python tests/fuzz_decoding.py --minutes 10``.

Recordings of real speech in every format that is read are damaged (``damage.py``: flipped, cut and
spliced bytes; chunks lost, doubled, moved and nested; numbers that lie) and decoded

- ``bytes``: as a worker of the service does, with its limits, a sixteenth of those that can be
  read also predicted; ``read``, ``stream``, ``blocks`` and a range of it must agree
- ``file``: as the command does, from a file whose suffix may be wrong
- ``webm``: as the process of a live stream does, with its limits, in pieces of every size
- ``process``: in that process itself, over its pipes

in a process of their own. A finding is an exception that is no ``AudioError`` with a documented
code, a signal, 5 s of processor time, memory past the limit, samples that are not finite, a
warning, anything printed, or ways of reading that do not agree. The smallest input of each is made
smaller, and kept in ``--keep``. Exit code 1 means there was one.

Before chance has its turn, every length of every chunk lies in every way, and after these the other
numbers of chunks' heads (``sweep``), as far as a fifth of the time reaches.

With atheris (``pip install atheris``, which has wheels for Linux) the coverage of our own parsers
guides which damaged recordings are damaged further: it is worth it there, as one magic word opens
another branch. Decoders are C, whose coverage it cannot see, so half of the inputs come straight
from good recordings. Without it, all do.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fuzz_target import BOARD, DEADLY_S, MAX_BYTES
from recordings import MEDIA_FORMATS, SOUNDFILE_FORMATS, encoded, muxed

HERE = Path(__file__).parent
CLIP_S = 0.5
RATE = 16_000
SHARES = {"sweep": 0.2, "bytes": 0.35, "file": 0.15, "webm": 0.2, "process": 0.1}
SHRINK_S = 15.0
_PLAIN = {"seed": 0, "sweep": False, "guided": False}


@dataclass
class Finding:
    """One thing that went wrong.

    Attributes:
        target: What was fuzzed.
        text: What is known of it.
        data: The smallest input that did it.
        count: How many did.
    """

    target: str
    text: str
    data: bytes
    count: int = 1


@dataclass
class Seen:
    """What a run met: inputs by target and kind of content, findings by what they are."""

    inputs: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)
    growth: dict[str, float] = field(default_factory=dict)

    def found(self, what: str, target: str, text: str, data: bytes) -> None:
        """Note a finding; numbers in its name are of the input."""
        what = re.sub(r"\d{3,}|0x[0-9a-f]+", "N", what) if "printed" in what else what
        old = self.findings.setdefault(what, Finding(target, text, data, 0))
        old.count += 1
        if len(data) < len(old.data):
            old.target, old.text, old.data = target, text, data


def seeds_of(clip: Path) -> dict[str, bytes]:
    """Encode the loudest half second of a clip in every format."""
    from ullim import audio

    speech = audio.read(clip, RATE)
    count = round(CLIP_S * RATE)
    energy = np.cumsum(np.square(speech, dtype=np.float64))
    start = int(np.argmax(energy[count:] - energy[:-count])) if len(speech) > count else 0
    speech = speech[start : start + count]
    stereo = np.stack([speech, speech[::-1]], axis=1)
    found = {}
    for suffix, fmt, subtype, _ in SOUNDFILE_FORMATS:
        found[f"{fmt}-{subtype}.{suffix}"] = encoded(speech, RATE, fmt, subtype)
    for fmt, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")):
        found[f"{fmt}-stereo"] = encoded(stereo, RATE, fmt, subtype)
    for suffix, fmt, codec, rate in MEDIA_FORMATS:
        if rate != 48_000 or codec != "libopus":
            found[f"{fmt}-{codec}.{suffix}"] = _muxed(speech, rate, fmt, codec)
    for name, options in {
        "webm-opus.webm": {"fmt": "webm", "codec": "libopus"},
        "webm-opus-live.webm": {"fmt": "webm", "codec": "libopus", "live": True,
                                "options": {"live": "1", "cluster_time_limit": "100"}},
        "webm-opus-stereo.webm": {"fmt": "webm", "codec": "libopus", "layout": "stereo"},
        "webm-vorbis.webm": {"fmt": "webm", "codec": "vorbis", "layout": "stereo"},
        "mka-flac.mka": {"fmt": "matroska", "codec": "flac", "live": True},
        "mka-float.mka": {"fmt": "matroska", "codec": "pcm_f32le"},
        "mka-mp3.mka": {"fmt": "matroska", "codec": "libmp3lame"},
    }.items():  # fmt: skip
        try:
            found[name] = _muxed(speech, 48_000, **options)  # type: ignore[arg-type]
        except Exception as error:  # this FFmpeg has no such encoder
            Console(stderr=True).print(f"without {name}: {error}")
    return found


def _muxed(speech: np.ndarray, rate: int, fmt: str, codec: str, **options: Any) -> bytes:
    return muxed(soxr.resample(speech, RATE, rate), rate, fmt, codec, **options)


class Turn:
    """One process that is fuzzed, watched from here."""

    def __init__(self, folder: Path, seen: Seen, *, guided: bool) -> None:
        self._folder, self._seen, self._guided = folder, seen, guided
        self._board = folder / "board"
        self._board.write_bytes(bytes(BOARD.size + MAX_BYTES))
        self._first: tuple[int, int] | None = None

    def run(self, name: str, seconds: float, seed: int, tick: Callable[[], None]) -> None:
        """Fuzz for so long; a process that ends is started again."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 1:
            sweep = name == "sweep"
            target = "bytes" if sweep else name
            guided = self._guided and not sweep and target != "process"
            job = {"target": target, "seconds": left, "seed": seed, "sweep": sweep}
            before = self._run(job | {"guided": guided}, target, tick)
            if before is None and sweep:
                return
            seed += 1000

    def shrink(self, what: str) -> None:
        """Find less of an input that still does the same, in processes that may end by it."""
        file = self._folder / "shrink"
        finding = self._seen.findings[what]
        count, size = finding.count, len(finding.data) + 1
        while len(finding.data) < size:  # each process that dies has found a smaller one
            size = len(finding.data)
            file.write_bytes(finding.data)
            job = {"target": finding.target, "seconds": SHRINK_S, "shrink": str(file)}
            self._run(job | _PLAIN, finding.target, lambda: None)
        finding.count = count

    def replay(self, file: Path, target: str) -> None:
        """Run one input."""
        job = {"target": target, "seconds": 600.0, "replay": str(file)}
        self._run(job | _PLAIN, target, lambda: None)

    def _run(self, job: dict[str, Any], target: str, tick: Callable[[], None]) -> str | None:
        """Run one process to its end; return how it died, if it did."""
        paths = {"board": str(self._board), "seeds": str(self._folder / "seeds")}
        scratch = self._folder / "scratch"
        scratch.mkdir(exist_ok=True)
        self._board.write_bytes(bytes(BOARD.size + MAX_BYTES))
        self._first = None
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        process = subprocess.Popen(
            [sys.executable, str(HERE / "fuzz_target.py"),
             json.dumps(job | paths | {"scratch": str(scratch)})],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | one,
        )  # fmt: skip
        printed: deque[bytes] = deque(maxlen=60)
        listening = [
            threading.Thread(target=self._listen, args=(process, job, target)),
            threading.Thread(target=lambda: printed.extend(process.stderr or ())),
        ]
        for thread in listening:
            thread.start()
        overran = False
        while process.poll() is None:
            time.sleep(0.2)
            tick()
            _, began, _ = self._posted()
            if began and time.time() - began > DEADLY_S:
                overran = True
                process.send_signal(signal.SIGABRT)  # it prints where it is
                with suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                process.kill()
                process.wait()
        for thread in listening:
            thread.join()
        if process.returncode == 0:
            return None
        _, began, data = self._posted()
        how = "hangs" if overran else f"dies of {process.returncode}"
        said = b"".join(printed).decode(errors="replace")
        if not began:
            raise SystemExit(f"the process to fuzz did not start:\n{said}")
        self._seen.found(f"{target} {how}", target, said, data)
        return how

    def _posted(self) -> tuple[int, float, bytes]:
        board = self._board.read_bytes()
        inputs, began, size = BOARD.unpack_from(board)
        return inputs, began, board[BOARD.size : BOARD.size + size]

    def _listen(self, process: subprocess.Popen[bytes], job: dict[str, Any], target: str) -> None:
        name = "sweep" if job["sweep"] else target
        for line in process.stdout or ():
            said = json.loads(line)
            if "found" in said:
                data = base64.b64decode(said["data"])
                self._seen.found(f"{target}: {said['found']}", target, said["text"], data)
            for kind, count in said.get("kinds", {}).items() if "shrink" not in job else ():
                self._seen.inputs[name, kind] += count
            if "rss" in said:
                inputs, rss = said["rss"]
                if self._first is None and inputs > 1000:
                    self._first = inputs, rss
                elif self._first is not None and inputs > self._first[0]:
                    grown = (rss - self._first[1]) / (inputs - self._first[0])
                    self._seen.growth[name] = grown


def shown(seen: Seen) -> Iterator[Table]:
    """Yield tables of what was tried and found."""
    names = [name for name in SHARES if any(key[0] == name for key in seen.inputs)]
    table = Table("content", *names, "all", title="inputs")
    for kind in sorted({kind for _, kind in seen.inputs}):
        counts = [seen.inputs[name, kind] for name in names]
        table.add_row(kind, *map(str, counts), str(sum(counts)))
    totals = [sum(n for (at, _), n in seen.inputs.items() if at == name) for name in names]
    table.add_row("all", *map(str, totals), str(sum(totals)), style="bold")
    table.add_row("bytes kept by an input", *(f"{seen.growth.get(n, 0):.0f}" for n in names), "")
    yield table
    table = Table("finding", "inputs", "smallest", title="findings")
    for what, finding in seen.findings.items():
        table.add_row(what, str(finding.count), f"{len(finding.data)} bytes")
    yield table


def main() -> int:
    """Fuzz, and say what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clip", type=Path, help="real speech; the bundled clip if left out")
    parser.add_argument("--format", action="append", help="only seeds whose name has this in it")
    parser.add_argument("--target", action="append", choices=SHARES, help="only this")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--replay", type=Path, help="only tell what this input does to the target")
    given = parser.parse_args()
    guided = importlib.util.find_spec("atheris") is not None
    console, seen = Console(stderr=True), Seen()

    import ullim

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        for seed, data in seeds_of(given.clip or Path(ullim.demo_clip())).items():
            if not given.format or any(part in seed for part in given.format):
                (folder / "seeds" / seed).write_bytes(data)
        turn = Turn(folder, seen, guided=guided)
        shares = {name: SHARES[name] for name in given.target or SHARES}
        if given.replay:
            for target in dict.fromkeys("bytes" if name == "sweep" else name for name in shares):
                turn.replay(given.replay, target)
        else:
            _fuzz(turn, seen, shares, given, console)
            given.keep.mkdir(exist_ok=True)
            for what, finding in list(seen.findings.items()):
                if not what.endswith("hangs"):
                    turn.shrink(what)
                stem = given.keep / re.sub(r"\W+", "-", what)[:80]
                stem.with_suffix(".bin").write_bytes(finding.data)
                stem.with_suffix(".txt").write_text(f"{what}\n\n{finding.text}")
    out = Console()
    out.print(f"{'guided by atheris' if guided else 'without atheris'}, seed {given.seed}")
    for table in shown(seen):
        out.print(table)
    for what, finding in seen.findings.items() if given.replay else ():
        out.print(what, finding.text, markup=False)
    return 1 if seen.findings else 0


def _fuzz(
    turn: Turn, seen: Seen, shares: dict[str, float], given: argparse.Namespace, console: Console
) -> None:
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=given.minutes * 60)
        start = time.monotonic()
        for name, share in shares.items():

            def tick(name: str = name) -> None:
                said = f"{name}: {seen.inputs.total()} inputs, {len(seen.findings)} findings"
                progress.update(bar, completed=time.monotonic() - start, description=said)

            turn.run(name, given.minutes * 60 * share / sum(shares.values()), given.seed, tick)


if __name__ == "__main__":
    sys.exit(main())
