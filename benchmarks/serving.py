"""Loads the service over loopback: how many three-second clips a second, and how long each waits.

    python benchmarks/serving.py                  a sweep from 1 to 64 clients
    python benchmarks/serving.py --soak 30        half an hour at 4 clients: does memory grow?

It starts ``ullim serve`` with the default bundle and its default settings, and asks it from
processes of its own, so that the clients' work is in the figures too. ``--model``, ``--workers``
and ``--queue`` go to the service. A request past capacity is answered 429, and the client waits
as long as ``Retry-After`` says. The column of processor time, service and clients together, tells
what the other columns would be on a machine with nothing else to do: cores over it, at most. Exit
code 1 means a claim does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import soundfile

CLIP_S = 3.0
RATE = 16_000
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
LEAST_PER_S = 30.0
MOST_P95_MS = 250.0
MOST_GROWTH = 0.05
TIMEOUT_S = 30.0


@dataclass
class Seen:
    """What some clients met.

    Attributes:
        answered_ms: How long each prediction took, from the connection's first byte to its last.
        statuses: How often each status came; ``timeout`` and ``broken`` are no status.
        cpu_s: Processor time the clients took.
    """

    answered_ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0


def clip() -> bytes:
    """Return three seconds of a voice-like sound as WAV."""
    t = np.arange(round(CLIP_S * RATE)) / RATE
    phase = 2 * np.pi * (150 * t + 5 * np.sin(2 * np.pi * t))
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    file = io.BytesIO()
    syllables = np.clip(np.sin(2 * np.pi * 4 * t), 0.05, None)
    soundfile.write(file, 0.1 * tone * syllables, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def request(host: str) -> bytes:
    """Return the bytes of one request, so that a client costs little beside the service."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
    body = head + clip() + b"\r\n--b--\r\n"
    lines = [
        "POST /v1/predict HTTP/1.1",
        f"Host: {host}",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def client(host: str, port: int, data: bytes, until: float, seen: Seen) -> None:
    """Ask again and again over one connection until a time."""
    reader = writer = None
    while time.monotonic() < until:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if writer is None:
                    reader, writer = await asyncio.open_connection(host, port)
                writer.write(data)
                await writer.drain()
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                await reader.readexactly(length)
        except TimeoutError:
            seen.statuses["timeout"] += 1
            writer = None
            continue
        except (ConnectionError, asyncio.IncompleteReadError):
            seen.statuses["broken"] += 1
            writer = None
            continue
        status = head.split(" ", 2)[1]
        seen.statuses[status] += 1
        if status == "200":
            seen.answered_ms.append((time.perf_counter() - started) * 1000)
        elif status == "429":
            wait = float(head.partition("retry-after: ")[2].partition("\r\n")[0])
            await asyncio.sleep(min(wait, max(0.0, until - time.monotonic())))
    if writer is not None:
        writer.close()


def clients(n: int, url: str, seconds: float) -> Seen:
    """Run clients in this process."""
    where = urlsplit(url)
    seen = Seen()

    async def all_of_them() -> None:
        until = time.monotonic() + seconds
        data = request(where.netloc)
        await asyncio.gather(
            *(client(where.hostname, where.port, data, until, seen) for _ in range(n))
        )

    before_s = time.process_time()
    asyncio.run(all_of_them())
    seen.cpu_s = time.process_time() - before_s
    return seen


def family(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def cpu_s(pid: int) -> float:
    """Return the processor time a process and its children have taken."""
    total = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Return what a process and its children hold, shared pages divided among them."""
    total = 0
    for one in family(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def start(options: list[str]) -> tuple[subprocess.Popen[str], str]:
    """Start the service; return it and its address when it answers."""
    service = subprocess.Popen(
        [sys.executable, "-m", "ullim", "serve", "--port", "0", *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in service.stderr:
        told = json.loads(line)
        if told["event"] == "started":
            break
    else:
        raise SystemExit("the service did not start")
    # Somebody has to read its lines, or it waits for them to be read.
    subprocess.Popen(["cat"], stdin=service.stderr, stdout=subprocess.DEVNULL)
    wanted = told["workers"]
    while len(family(service.pid)) < wanted + 1:
        time.sleep(0.1)
    time.sleep(2.0)  # the later workers load
    return service, told["url"]


def percentile(values: list[float], share: float) -> float:
    """Return a percentile; infinity of nothing."""
    return float(np.percentile(values, share)) if values else float("inf")


def sweep(url: str, pid: int, seconds: float) -> bool:
    """Print a row for each number of clients; return whether the claims hold."""
    print(
        f"{'clients':>7} {'clips/s':>8} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'cpu ms':>7} "
        f"{'MiB':>7}  other"
    )
    best, p95_at_8, lost = 0.0, 0.0, 0
    with ProcessPoolExecutor(1) as process:
        process.submit(clients, 2, url, 2.0).result()
        for n in CLIENTS:
            before_s = cpu_s(pid)
            seen = process.submit(clients, n, url, seconds).result()
            cpu_ms = 1000 * (cpu_s(pid) - before_s + seen.cpu_s) / max(1, len(seen.answered_ms))
            per_s = len(seen.answered_ms) / seconds
            p50, p95, p99 = (percentile(seen.answered_ms, share) for share in (50, 95, 99))
            other = {key: n for key, n in sorted(seen.statuses.items()) if key != "200"}
            print(
                f"{n:>7} {per_s:>8.1f} {p50:>8.1f} {p95:>8.1f} {p99:>8.1f} "
                f"{cpu_ms:>7.1f} {memory_mib(pid):>7.0f}  {other or '-'}",
                flush=True,
            )
            best = max(best, per_s)
            lost += sum(count for key, count in other.items() if key != "429")
            p95_at_8 = p95 if n == 8 else p95_at_8
    claims = {
        f"at least {LEAST_PER_S:g} clips a second (best {best:.1f})": best >= LEAST_PER_S,
        f"p95 under {MOST_P95_MS:g} ms at 8 clients ({p95_at_8:.1f})": p95_at_8 < MOST_P95_MS,
        f"past capacity 429 and nothing worse ({lost} others)": lost == 0,
    }
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {claim}")
    return all(claims.values())


def soak(url: str, pid: int, minutes: float) -> bool:
    """Print memory each minute; return whether it stays, once settled in the first tenth."""
    print(f"{'minute':>7} {'clips':>8} {'p95 ms':>8} {'MiB':>7}  other")
    settled = 0.0
    steps = max(10, round(minutes))
    last: list[float] = []
    lost = 0
    with ProcessPoolExecutor(1) as process:
        for step in range(steps):
            seen = process.submit(clients, 4, url, minutes * 60 / steps).result()
            other = {key: n for key, n in sorted(seen.statuses.items()) if key != "200"}
            lost += sum(other.values())
            now = memory_mib(pid)
            print(
                f"{(step + 1) * minutes / steps:>7.1f} {len(seen.answered_ms):>8} "
                f"{percentile(seen.answered_ms, 95):>8.1f} {now:>7.1f}  {other or '-'}",
                flush=True,
            )
            last.append(now)
            if step == steps // 10:
                settled = now
    growth = statistics.median(last[-3:]) / settled - 1.0
    holds = growth < MOST_GROWTH and lost == 0
    word = "holds" if holds else "DOES NOT HOLD"
    print(f"{word}: memory grows under {MOST_GROWTH:.0%} ({growth:+.1%}), and all is answered")
    return holds


def main() -> None:
    """Start a service, load it, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="watch memory instead")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each number of clients")
    parser.add_argument("--model", default="default", help="name or folder of a bundle")
    parser.add_argument("--workers", help="worker processes of the service")
    parser.add_argument("--queue", help="requests that may wait")
    asked = parser.parse_args()
    options = ["--model", asked.model]
    for name in ("workers", "queue"):
        if getattr(asked, name):
            options += [f"--{name}", getattr(asked, name)]
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{os.cpu_count()} cores, load average before the start {load}; clips of {CLIP_S:g} s")
    service, url = start(options)
    try:
        holds = (
            soak(url, service.pid, asked.soak)
            if asked.soak
            else sweep(url, service.pid, asked.seconds)
        )
    finally:
        service.terminate()
        service.wait(timeout=60)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
