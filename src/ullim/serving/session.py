"""One stream as a service keeps it: it outlives its connection for a while.

A session eats what its inbox holds in a task of its own, so that a connection that drops, stalls
or is replaced never interrupts a prediction; who feeds faster than the session eats has to wait.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from ullim.audio.media import scaled
from ullim.errors import UllimError
from ullim.inference.phrases import Phrasing
from ullim.inference.predictor import Predictor
from ullim.inference.stream import Event, Final, Stream
from ullim.serving import observe
from ullim.serving.outbox import INTERNAL, Outbox, StreamError, dropped
from ullim.serving.settings import StreamLimits
from ullim.serving.webm import MAGIC, Decoding
from ullim.types import FloatArray

_CLOSE_S = 5.0


class Session:
    """One stream of one client, over any number of connections.

    Attributes:
        id: What its client shows to come back; cannot be guessed.
        model: Name of the model that answers.
        format: What the sound comes as.
        labels: What the model tells apart here.
        received_bytes: Of sound, accepted from the client; of the last recording for WebM.
    """

    def __init__(
        self,
        model: str,
        predictor: Predictor,
        *,
        labels: list[str] | None,
        format: Literal["pcm16", "webm"],
        sampling_rate: int,
        limits: StreamLimits,
        pool: Executor,
        observer: observe.Observer,
        decoding: Decoding | None = None,
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        self.labels = [predictor.labels[column] for column in predictor.columns(labels)]
        self.received_bytes = 0
        self.model, self.format, self._rate = model, format, sampling_rate
        self._limits, self._pool, self._observer = limits, pool, observer
        self._decoding = decoding
        self._phrasing = Phrasing()
        self._new_stream = partial(Stream, predictor, labels=labels, phrasing=self._phrasing)
        # A WebM recording states its own rate.
        self._stream = self._new_stream(sampling_rate) if format == "pcm16" else None
        self._inbox: asyncio.Queue[_Bytes | None] = asyncio.Queue(maxsize=4)
        self._outbox: Outbox | None = None
        self._left = asyncio.Event()
        self._is_first = True  # whether the next bytes are the first of their connection
        self._sound = _Bucket(limits.speed, limits.burst_s)
        self._bytes = _Bucket(limits.bytes_per_s, limits.burst_bytes)
        self._finals: deque[tuple[Final, str]] = deque(maxlen=limits.max_replay)
        self._last_words: tuple[str | None, StreamError | None] | None = None
        self._task = asyncio.create_task(self._eat())

    @property
    def position_s(self) -> float:
        """Seconds of sound accepted so far; for WebM, decoded."""
        if self.format == "pcm16":
            return self.received_bytes // 2 / self._rate
        return self._stream.duration_s if self._stream else 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self._last_words is not None

    @property
    def is_attached(self) -> bool:
        """Whether there is a connection."""
        return self._outbox is not None

    async def attach(self, last_segment: int | None, received_s: float | None) -> Outbox:
        """Begin a connection; one that there still is ends first.

        Args:
            last_segment: Number of the last final answer that the client has.
            received_s: Or where that ended; by default the client has none.
        """
        while self._outbox is not None:
            said = "another connection took this session over"
            self._outbox.break_off(StreamError("replaced", said))
            await self._left.wait()
        self._left.clear()
        if self.format == "pcm16":  # half a sample is sent again
            self.received_bytes -= self.received_bytes % 2
        self._is_first = True
        missed = [
            text
            for final, text in self._finals
            if (last_segment is None or final.segment > last_segment)
            and (received_s is None or final.end_s > received_s + 0.001)
        ]
        self._outbox = outbox = Outbox(self._limits.max_events, [self._ready(), *missed])
        self._say_last()
        return outbox

    def detach(self, outbox: Outbox) -> None:
        """End a connection."""
        if self._outbox is outbox:
            self._outbox = None
            self._left.set()

    def break_off(self, reason: StreamError) -> None:
        """End the connection, if there is one, now."""
        if self._outbox is not None:
            self._outbox.break_off(reason)

    async def put(self, data: bytes) -> None:
        """Accept the next bytes; waits while there is enough to do."""
        first = self._is_first
        await self._inbox.put(_Bytes(data, first))
        self._is_first = False
        if first and data.startswith(MAGIC):
            self.received_bytes = 0
        self.received_bytes += len(data)
        self._observer.taken(self.model, self.format, len(data))

    async def stop(self) -> None:
        """Accept that there is no more: the answer to what is left will follow, and ``end``."""
        await self._inbox.put(None)

    async def close(self) -> None:
        """Drop it, whatever it does; a connection that there still is ends."""
        self.break_off(dropped())
        self._task.cancel()
        # Nothing that it waits for hangs on the client; should its decoder not end, so be it.
        _, hanging = await asyncio.wait({self._task}, timeout=_CLOSE_S)
        if hanging:
            observe.write("stream_hangs", level=logging.ERROR)

    def _ready(self) -> str:
        told: dict[str, Any] = {
            "type": "ready",
            "session": self.id,
            "model": self.model,
            "labels": self.labels,
            "hangover_s": self._phrasing.hangover_s,
            "resumed_at_s": round(self.position_s, 6),  # to the sample
        }
        if self.format == "webm":
            told["received_bytes"] = self.received_bytes
        return json.dumps(told, ensure_ascii=False)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            text = event.to_json()
            if isinstance(event, Final):
                self._finals.append((event, text))
                self._observer.segment(self.model, event.status)
            if self._outbox is not None:
                self._outbox.put(text)

    def _say_last(self) -> None:
        if self._outbox is None or self._last_words is None:
            return
        text, reason = self._last_words
        if text is not None:
            self._outbox.put(text)
        self._outbox.close(reason)

    async def _eat(self) -> None:
        """Work off the inbox; at the end, say why."""
        reason = None
        try:
            await (self._eat_pcm() if self.format == "pcm16" else self._eat_webm())
            await self._finish()
        except StreamError as refused:
            reason = refused
        except UllimError as error:
            reason = StreamError(error.code, str(error))
        except Exception as error:
            # The kind of error only: its message may quote what was sent.
            observe.write("stream_failed", level=logging.ERROR, error=type(error).__name__)
            said = f"a fault of the service ({type(error).__name__}); it was logged"
            reason = StreamError("internal", said, INTERNAL)
        text = None
        if reason is None:
            duration_s = round(self._stream.duration_s, 4) if self._stream else 0.0
            segments = self._stream.n_finals if self._stream else 0
            text = json.dumps({"type": "end", "duration_s": duration_s, "segments": segments})
        self._last_words = text, reason
        self._say_last()

    async def _eat_pcm(self) -> None:
        rest = b""
        while (item := await self._inbox.get()) is not None:
            data = item.data if item.is_first else rest + item.data
            whole = len(data) - len(data) % 2
            rest = data[whole:]
            await self._push(scaled(np.frombuffer(data[:whole], "<i2")))

    async def _eat_webm(self) -> None:
        decoding = self._decoding
        reading: asyncio.Task[None] | None = None
        try:
            while (item := await self._next(reading)) is not None:
                # A client that comes back goes on with its recording, or begins another one.
                if item.is_first and item.data.startswith(MAGIC) and decoding and reading:
                    await decoding.end()
                    await reading
                    decoding = reading = None
                if decoding is None:
                    decoding = await Decoding.begin()
                if reading is None:
                    reading = asyncio.create_task(self._read(decoding))
                await asyncio.sleep(self._bytes.delay_s(len(item.data)))
                await decoding.feed(item.data)
            if decoding and reading:
                await decoding.end()
                await reading
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})
            if decoding is not None:
                await decoding.kill()

    async def _next(self, reading: asyncio.Task[None] | None) -> _Bytes | None:
        """Return the next bytes; fail when what reads the samples of those before has failed."""
        getting = asyncio.create_task(self._inbox.get())
        try:
            await asyncio.wait(
                {getting, reading} if reading else {getting}, return_when=asyncio.FIRST_COMPLETED
            )
            if reading and reading.done():
                await reading
                raise StreamError("bad_audio", "bytes follow the end of the WebM recording")
            return await getting
        finally:
            getting.cancel()

    async def _read(self, decoding: Decoding) -> None:
        try:
            while (samples := await decoding.read()) is not None:
                rate = decoding.sampling_rate
                if rate is not None and self._stream is None:
                    self._stream = self._new_stream(rate)
                if self._stream is not None and rate != self._stream.sampling_rate:
                    raise StreamError(
                        "unsupported_rate", "a recording of another sampling rate follows"
                    )
                await self._push(samples)
        except BaseException:
            # Nobody takes what is decoded any more, and whoever feeds would wait for ever.
            await decoding.kill()
            raise

    async def _push(self, samples: FloatArray) -> None:
        stream = self._stream
        if stream is None:
            return
        rate, limit_s = stream.sampling_rate, self._limits.max_duration_s
        for start in range(0, samples.size, rate):
            piece = samples[start : start + rate]
            if stream.duration_s + piece.size / rate > limit_s:
                await self._finish()
                raise StreamError(
                    "too_long", f"a session takes {limit_s:g} s of sound; start another"
                )
            await asyncio.sleep(self._sound.delay_s(piece.size / rate))
            self._tell(await self._in_thread(stream.push, piece))
            self._observer.heard(self.model, piece.size / rate)

    async def _finish(self) -> None:
        if self._stream is not None:
            self._tell(await self._in_thread(self._stream.finish))

    async def _in_thread(self, work: Callable[..., list[Event]], *given: Any) -> list[Event]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)


@dataclass(frozen=True, slots=True)
class _Bytes:
    data: bytes
    is_first: bool  # of their connection


class _Bucket:
    """How long something has to wait so that on average not more than a rate passes."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left = burst
        self._at = time.monotonic()

    def delay_s(self, amount: float) -> float:
        """Take an amount; return the seconds to wait before using it."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._left / self._rate)
