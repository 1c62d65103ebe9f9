"""Time live streams: from the acoustic end of a phrase to its final event, and partial answers.

Starts ``ullim serve`` in a process of its own, and plays clips of real speech to it over several
WebSockets at once, in pieces of 100 ms and no faster than a microphone would. Between two clips of
a stream there is silence at the level of a quiet room, so that each ends as a phrase in running
sound does. The acoustic end of a clip is the end of its last 10 ms within 30 dB of its loudest;
a delay runs from when the piece that holds this moment would have been *spoken* to when the
client has the last final event that belongs to the clip. It holds everything: the piece's own
length, the network of this machine, the detector's own hang-over, ours, and the prediction.

A partial answer counts while somebody speaks: between the two voice events. Printed is the longest
wait for one, from the last one or from when the client was told that somebody speaks.

    python benchmarks/stream.py FOLDER... [--streams 4] [--clips 40] [--format webm]

Runs of a busy machine are slower: the load is printed beside the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

from ullim import audio

RATE = 16_000
PIECE_S = 0.1
PAUSE_S = 1.2
QUIET_DB = -70.0
WITHIN_DB = 30.0

# Browsers write each packet as they have it; FFmpeg keeps a cluster of them until the next begins,
# five seconds if nobody says otherwise.
_AS_BROWSERS = {"live": "1", "flush_packets": "1", "cluster_time_limit": "1"}


@dataclass
class Heard:
    """What one stream was told.

    Attributes:
        delays_s: From the end of each clip to its final event.
        unanswered: Clips without one.
        early: Clips whose last final event came before they ended: it was cut at a pause, and
            what followed was too quiet or too short to be a phrase.
        partials: How many there were.
        waits_s: For each partial answer.
        spoken_s: Seconds between the voice events.
    """

    delays_s: list[float] = field(default_factory=list)
    unanswered: int = 0
    early: int = 0
    partials: int = 0
    waits_s: list[float] = field(default_factory=list)
    spoken_s: float = 0.0


def acoustic_end_s(clip: np.ndarray) -> float:
    """Return where the energy of a clip ends, in seconds."""
    hop = RATE // 100
    frames = clip[: clip.size - clip.size % hop].reshape(-1, hop)
    level_db = 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-12)
    return float(np.flatnonzero(level_db > level_db.max() - WITHIN_DB)[-1] + 1) * hop / RATE


def composed(files: list[Path], seed: int) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Return clips with quiet between them, and where each starts and acoustically ends."""
    generator = np.random.default_rng(seed)

    def quiet(seconds: float) -> np.ndarray:
        noise = generator.standard_normal(round(seconds * RATE))
        return (10 ** (QUIET_DB / 20) * noise).astype(np.float32)

    parts = [quiet(PAUSE_S)]
    at = parts[0].size
    spans = []
    for file in files:
        clip = audio.read(file, RATE)
        # A random rest, so that ends fall anywhere within a piece and a frame.
        pause = quiet(PAUSE_S + generator.uniform(0, PIECE_S))
        spans.append((at / RATE, at / RATE + acoustic_end_s(clip)))
        parts += [clip, pause]
        at += clip.size + pause.size
    return np.concatenate(parts), spans


def pieces(sound: np.ndarray, container: str) -> list[tuple[float, bytes]]:
    """Return bytes, and when a microphone would have had them, in seconds."""
    step = round(PIECE_S * RATE)
    samples = (np.clip(sound, -1, 1) * 32767).astype("<i2")
    blocks = [samples[start : start + step] for start in range(0, samples.size, step)]
    ends_s = [min((number + 1) * step, samples.size) / RATE for number in range(len(blocks))]
    if container == "pcm16":
        return [(end_s, block.tobytes()) for end_s, block in zip(ends_s, blocks, strict=True)]
    import av

    file = io.BytesIO()
    file.seekable = lambda: False  # type: ignore[method-assign]
    found = []
    with av.open(file, "w", format="webm", options=_AS_BROWSERS) as sink:
        track = sink.add_stream("libopus", rate=48_000, layout="mono")
        resampler = av.AudioResampler(
            format=track.format, layout="mono", rate=48_000, frame_size=960
        )
        sent = 0
        for end_s, block in zip(ends_s, blocks, strict=True):
            frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
            frame.sample_rate = RATE
            for part in resampler.resample(frame):
                for packet in track.encode(part):
                    sink.mux(packet)
            found.append((end_s, file.getvalue()[sent:]))
            sent = len(file.getvalue())
    return found


async def play(
    port: int, sent: list[tuple[float, bytes]], spans: list[tuple[float, float]], container: str
) -> Heard:
    """Play to the service over one socket."""
    told: list[tuple[float, dict[str, Any]]] = []
    async with connect(f"ws://127.0.0.1:{port}/v1/stream") as connection:
        await connection.send(json.dumps({"type": "start", "format": container}))
        ready = json.loads(await connection.recv())
        if ready["type"] != "ready":
            sys.exit(f"the service said: {ready}")
        began = time.perf_counter()

        async def listen() -> None:
            async for message in connection:
                told.append((time.perf_counter() - began, json.loads(message)))

        listening = asyncio.create_task(listen())
        for end_s, data in sent:
            await asyncio.sleep(max(0.0, began + end_s - time.perf_counter()))
            await connection.send(data)
        await connection.send(json.dumps({"type": "stop"}))
        await listening
    return judged(told, spans)


def judged(told: list[tuple[float, dict[str, Any]]], spans: list[tuple[float, float]]) -> Heard:
    """Return the figures of one stream."""
    heard = Heard()
    finals = [(at_s, event) for at_s, event in told if event["type"] == "final"]
    for start_s, end_s in spans:
        own = [
            (at_s, event)
            for at_s, event in finals
            if event["start_s"] < end_s and event["end_s"] > start_s
        ]
        if not own:
            heard.unanswered += 1
        elif own[-1][0] < end_s:
            heard.early += 1
        else:
            heard.delays_s.append(own[-1][0] - end_s)
    since, voice_s = None, 0.0
    for at_s, event in told:
        if event["type"] == "voice":
            if since is not None:
                heard.spoken_s += event["at_s"] - voice_s
            since, voice_s = (at_s, event["at_s"]) if event["active"] else (None, 0.0)
        elif event["type"] == "partial" and since is not None:
            heard.partials += 1
            heard.waits_s.append(at_s - since)
            since = at_s
    return heard


async def measure(port: int, files: list[Path], streams: int, container: str) -> list[Heard]:
    """Play to all streams at once; each has clips of its own."""
    # Encoding takes time that no stream must wait for.
    composed_all = [composed(files[number::streams], number) for number in range(streams)]
    prepared = [(pieces(sound, container), spans) for sound, spans in composed_all]
    return await asyncio.gather(*(play(port, sent, spans, container) for sent, spans in prepared))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of speech clips")
    parser.add_argument("--streams", type=int, default=4, help="at the same time")
    parser.add_argument("--clips", type=int, default=40, help="in all")
    parser.add_argument("--seed", type=int, default=1, help="which clips are drawn")
    parser.add_argument("--format", choices=["pcm16", "webm"], default="pcm16")
    parser.add_argument("--model", help="name or folder; the default bundle if left out")
    arguments = parser.parse_args()
    found = sorted(
        file
        for folder in arguments.folders
        for file in folder.rglob("*")
        if file.suffix.lower() in audio.AUDIO_SUFFIXES
    )
    if len(found) < arguments.clips:
        parser.error(f"{len(found)} recordings found; --clips {arguments.clips} are asked for")
    chosen = np.random.default_rng(arguments.seed).choice(
        len(found), arguments.clips, replace=False
    )
    files = [found[index] for index in chosen]
    port = free_port()
    command = [sys.executable, "-m", "ullim", "serve", "--port", str(port)]
    command += ["--model", arguments.model] if arguments.model else []
    service = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, service)
        heard = asyncio.run(measure(port, files, arguments.streams, arguments.format))
    finally:
        service.terminate()
        service.wait()
    delays_ms = 1000 * np.array([delay for one in heard for delay in one.delays_s])
    waits_ms = 1000 * np.array([wait for one in heard for wait in one.waits_s])
    spoken_s = sum(one.spoken_s for one in heard)
    partials = sum(one.partials for one in heard)
    print(
        f"{arguments.streams} streams of {arguments.format}, {arguments.clips} clips, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    line("end of phrase to final", percentiles(delays_ms), f"{delays_ms.size} phrases")
    line("wait for a partial", percentiles(waits_ms), f"{waits_ms.size} answers")
    line("partials while speaking", f"{partials / spoken_s:.2f} a second", f"{spoken_s:.0f} s")
    early, unanswered = sum(one.early for one in heard), sum(one.unanswered for one in heard)
    line("answered before the end", str(early), "the last words too quiet to be a phrase")
    line("not answered", str(unanswered), "no voice was found")


def percentiles(values_ms: np.ndarray) -> str:
    """Return the median, the 95th percentile and the largest."""
    middle, high = np.percentile(values_ms, [50, 95])
    return f"p50 {middle:.0f} ms, p95 {high:.0f} ms, max {values_ms.max():.0f} ms"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, service: subprocess.Popen[bytes]) -> None:
    """Wait until the service answers, and its model is loaded."""

    async def ask() -> None:
        async with connect(f"ws://127.0.0.1:{port}/v1/stream") as connection:
            await connection.send(json.dumps({"type": "start"}))
            await connection.recv()
            await connection.send(json.dumps({"type": "stop"}))
            await connection.recv()

    for _ in range(300):
        if service.poll() is not None:
            sys.exit("the service ended; start it by hand to see why: ullim serve")
        try:
            asyncio.run(ask())
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("the service does not answer")


def line(name: str, value: str, remark: str) -> None:
    """Print one figure."""
    print(f"{name:24} {value:>44}   ({remark})")


if __name__ == "__main__":
    main()
