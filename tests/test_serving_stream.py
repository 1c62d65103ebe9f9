"""The WebSocket: answers, coming back, limits, and clients that err, stall or go away."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from ullim import audio
from ullim.inference.phrases import Phrasing
from ullim.inference.predictor import Predictor
from ullim.inference.stream import Final, Stream
from ullim.serving import stream
from ullim.serving.edge import Edge
from ullim.serving.outbox import StreamError
from ullim.serving.service import Service
from ullim.serving.sessions import Sessions
from ullim.serving.settings import Settings, StreamLimits
from ullim.serving.webm import decoded
from ullim.serving.worker import environment
from ullim.types import FloatArray

RATE = 16_000
CHUNK = 3_200  # bytes of 100 ms
TOKEN = "a-token-of-some-length"

Events = list[dict[str, Any]]


class Server:
    """The route alone, without the workers that recordings sent over HTTP need."""

    def __init__(self, settings: Settings) -> None:
        service = self.service = Service(settings)

        @asynccontextmanager
        async def lifespan(app: FastAPI):
            app.state.service = service
            app.state.sessions = self.sessions = Sessions(service)
            yield
            await self.sessions.close()

        app = FastAPI(lifespan=lifespan)
        app.include_router(stream.router(settings))
        app.add_middleware(Edge, settings=settings, observer=service.observer)
        self._server = uvicorn.Server(
            uvicorn.Config(app, port=0, log_config=None, ws_max_size=1 << 21, ws_max_queue=4)
        )
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Server:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()

    def connect(self, **options: Any) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}/v1/stream", **options)

    @contextmanager
    def started(self, **start: Any) -> Iterator[tuple[ClientConnection, dict[str, Any]]]:
        """A connection after its start, and the answer to that."""
        with self.connect() as connection:
            connection.send(json.dumps({"type": "start"} | start))
            yield connection, json.loads(connection.recv(timeout=10))


Serve = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="module")
def serve(toy_bundle: Path) -> Serve:
    def make(*, token: str | None = None, **limits: Any) -> Server:
        return Server(
            Settings(models=(str(toy_bundle),), token=token, stream=StreamLimits(**limits))
        )

    return make


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def sound(make_speech) -> FloatArray:
    """Two phrases, and silence after each."""
    silence = np.zeros(RATE * 7 // 10, np.float32)
    first = make_speech(1.3, f0_hz=140.0, seed=1)
    second = make_speech(1.5, f0_hz=280.0, tilt=0.5, seed=2)
    return np.concatenate([silence, first, silence, second, silence])


@pytest.fixture(scope="module")
def pcm(sound: FloatArray) -> bytes:
    return (sound * 32767).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def finals(toy_bundle: Path, pcm: bytes) -> Events:
    """What a stream within this process says."""
    local = Stream(Predictor.from_folder(toy_bundle), RATE)
    events = [*local.push(np.frombuffer(pcm, "<i2") / 32768), *local.finish()]
    found = [json.loads(event.to_json()) for event in events if isinstance(event, Final)]
    assert len(found) == 2
    return found


@pytest.fixture(scope="module")
def webm(sound: FloatArray) -> bytes:
    return recorded(sound)


def recorded(sound: FloatArray) -> bytes:
    """What a browser records."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    file.seekable = lambda: False  # type: ignore[method-assign] # a recording that goes on
    with av.open(file, "w", format="webm", options={"live": "1"}) as container:
        track = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (sound * 32767).astype("<i2")[None], format="s16", layout="mono"
        )
        frame.sample_rate = RATE
        resampler = av.AudioResampler(
            format=track.format, layout="mono", rate=48_000, frame_size=960
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in track.encode(piece):
                container.mux(packet)
    return file.getvalue()


def feed(connection: ClientConnection, data: bytes, step: int = CHUNK) -> None:
    for start in range(0, len(data), step):
        connection.send(data[start : start + step])


def until_closed(connection: ClientConnection) -> tuple[Events, int | None]:
    events: Events = []
    try:
        while True:
            events.append(json.loads(connection.recv(timeout=20)))
    except ConnectionClosed:
        return events, connection.close_code


def until(connection: ClientConnection, kind: str) -> dict[str, Any]:
    while (event := json.loads(connection.recv(timeout=20)))["type"] != kind:
        pass
    return event


def of(kind: str, events: Events) -> Events:
    return [event for event in events if event["type"] == kind]


STOP = json.dumps({"type": "stop"})


class TestConversation:
    def test_answers_as_a_stream_in_this_process(self, server, toy_bundle, pcm, finals):
        with server.started() as (connection, ready):
            feed(connection, pcm)
            connection.send(STOP)
            events, code = until_closed(connection)
        assert ready == {
            "type": "ready",
            "session": ready["session"],
            "model": toy_bundle.name,
            "labels": ["neutral", "happiness", "sadness", "anger"],
            "hangover_s": 0.3,
            "resumed_at_s": 0.0,
        }
        assert len(ready["session"]) >= 32
        assert of("final", events) == finals
        assert [event["active"] for event in of("voice", events)] == [True, False, True, False]
        assert len(of("partial", events)) >= 4
        assert events[-1] == {"type": "end", "duration_s": 4.9, "segments": 2}
        assert code == 1000
        assert len(server.sessions) == 0

    def test_samples_may_be_cut_anywhere(self, server, pcm, finals):
        with server.started() as (connection, _):
            feed(connection, pcm, step=2001)
            connection.send(STOP)
            assert of("final", until_closed(connection)[0]) == finals

    def test_answers_only_among_the_labels_that_were_named(self, server, pcm):
        with server.started(labels=["anger", "neutral"]) as (connection, ready):
            assert ready["labels"] == ["anger", "neutral"]
            feed(connection, pcm)
            assert set(until(connection, "final")["scores"]) == {"anger", "neutral"}

    def test_hears_what_a_browser_records(self, server, webm, finals):
        with server.started(format="webm") as (connection, ready):
            assert ready["received_bytes"] == 0
            feed(connection, webm, step=700)
            connection.send(STOP)
            events, code = until_closed(connection)
        assert code == 1000
        told = of("final", events)
        assert [event["segment"] for event in told] == [0, 1]
        for heard, clean in zip(told, finals, strict=True):
            assert heard["start_s"] == pytest.approx(clean["start_s"], abs=0.15)
            assert heard["end_s"] == pytest.approx(clean["end_s"], abs=0.15)
        assert events[-1]["duration_s"] == pytest.approx(
            audio.read(webm, 48_000).size / 48_000, abs=0.05
        )

    @pytest.mark.parametrize(
        ("fmt", "codec", "rate"), [("webm", "libopus", 48_000), ("matroska", "pcm_s16le", RATE)]
    )
    def test_what_is_probed_is_heard_too(self, fmt, codec, rate, generator):
        pytest.importorskip("av")
        from recordings import muxed

        sound = 0.1 * generator.standard_normal(rate).astype(np.float32)
        file = io.BytesIO(muxed(sound, rate, fmt, codec, live=True, options={"live": "1"}))
        heard = sum(samples.size for _, samples in decoded(file))
        assert heard / rate == pytest.approx(1.0, abs=0.01)

    def test_the_service_has_the_route(self, toy_bundle):
        from ullim.serving.app import create_app

        app = create_app(Settings(models=(str(toy_bundle),)))
        assert app.url_path_for("stream") == "/v1/stream"

    def test_silence_has_no_answer(self, server):
        with server.started() as (connection, _):
            connection.send(bytes(RATE))
            connection.send(STOP)
            events, _ = until_closed(connection)
        assert events == [{"type": "end", "duration_s": 0.5, "segments": 0}]

    def test_stop_at_once_ends_well(self, server):
        for format in ("pcm16", "webm"):
            with server.started(format=format) as (connection, _):
                connection.send(STOP)
                events, code = until_closed(connection)
            assert (events[-1]["type"], code) == ("end", 1000)


class TestResuming:
    def drop(self, connection: ClientConnection) -> None:
        """Go away without a word, as in a tunnel."""
        connection.socket.shutdown(socket.SHUT_RDWR)

    def test_goes_on_where_it_was(self, server, pcm, finals):
        half = (len(pcm) // 2) | 1  # in the middle of a sample
        with server.started() as (connection, ready):
            feed(connection, pcm[:half])
            first = until(connection, "final")
            self.drop(connection)
        with server.started(session=ready["session"], last_segment=0) as (connection, again):
            assert again["session"] == ready["session"]
            at = 2 * round(again["resumed_at_s"] * RATE)
            assert 0 < at <= half
            feed(connection, pcm[at:])
            connection.send(STOP)
            events, code = until_closed(connection)
        assert [first, *of("final", events)] == finals
        assert events[-1] == {"type": "end", "duration_s": 4.9, "segments": 2}
        assert code == 1000

    @pytest.mark.parametrize(
        ("known", "replayed"),
        [({}, [0, 1]), ({"last_segment": 0}, [1]), ({"last_segment": 1}, [])],
        ids=["nothing", "first", "all"],
    )
    def test_says_again_what_was_missed(self, server, pcm, finals, known, replayed):
        with server.started() as (connection, ready):
            feed(connection, pcm)
            until(connection, "final")
            until(connection, "final")
            self.drop(connection)
        with server.started(session=ready["session"], **known) as (connection, _):
            connection.send(STOP)
            events, _ = until_closed(connection)
        assert of("final", events) == [finals[number] for number in replayed]

    def test_what_was_missed_can_be_told_by_its_end(self, server, pcm, finals):
        with server.started() as (connection, ready):
            feed(connection, pcm)
            until(connection, "final")
            until(connection, "final")
        with server.started(session=ready["session"], received_s=finals[0]["end_s"]) as (again, _):
            assert until(again, "final") == finals[1]

    def test_says_to_the_sample_where_it_goes_on(self, serve):
        rate, samples = 44_100, 12_345
        with serve() as server, server.started(sampling_rate=rate) as (connection, ready):
            connection.send(bytes(2 * samples))
            deadline = time.monotonic() + 10
            while (at := self.heard(server, ready)) != samples:
                assert time.monotonic() < deadline, at
                time.sleep(0.02)
            with server.started(session=ready["session"]) as (_, again):
                assert again["resumed_at_s"] * rate == pytest.approx(samples, abs=0.1)

    @staticmethod
    def heard(server: Server, ready: dict[str, Any]) -> int:
        return server.sessions.find(ready["session"]).received_bytes // 2

    def test_goes_on_with_a_recording(self, server, webm):
        half = len(webm) // 2
        with server.started(format="webm") as (connection, ready):
            feed(connection, webm[:half], step=1000)
            until(connection, "final")
            self.drop(connection)
        with server.started(session=ready["session"]) as (connection, again):
            feed(connection, webm[again["received_bytes"] :], step=1000)
            connection.send(STOP)
            events, _ = until_closed(connection)
        assert [event["segment"] for event in of("final", events)] == [0, 1]

    def test_goes_on_with_another_recording(self, server, webm):
        with server.started(format="webm") as (connection, ready):
            feed(connection, webm, step=1000)
            until(connection, "final")
            until(connection, "final")
            self.drop(connection)
        with server.started(session=ready["session"], last_segment=1) as (connection, again):
            assert again["resumed_at_s"] == pytest.approx(4.9, abs=0.5)
            feed(connection, webm, step=1000)
            connection.send(STOP)
            events, _ = until_closed(connection)
        assert [event["segment"] for event in of("final", events)] == [2, 3]
        assert events[-1]["duration_s"] == pytest.approx(9.8, abs=0.1)

    def test_a_new_connection_replaces_one_that_seems_alive(self, server, pcm, finals):
        with server.started() as (old, ready):
            feed(old, pcm[: 20 * CHUNK])
            with server.started(session=ready["session"]) as (new, again):
                events, code = until_closed(old)
                assert (events[-1]["code"], code) == ("replaced", 1008)
                feed(new, pcm[2 * round(again["resumed_at_s"] * RATE) :])
                new.send(STOP)
                assert of("final", until_closed(new)[0]) == finals

    def test_waits_only_so_long(self, serve):
        with serve(resume_s=0.1) as server:
            with server.started() as (_, ready):
                pass
            deadline = time.monotonic() + 10
            while len(server.sessions):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            with server.started(session=ready["session"]) as (connection, said):
                assert (said["type"], said["code"]) == ("error", "no_session")
                assert until_closed(connection)[1] == 1008


class TestErrors:
    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ("", "bad_start"),
            ("hello", "bad_start"),
            ("[" * 60_000, "bad_start"),
            ('"start"', "bad_start"),
            ("\ud7ff\x00", "bad_start"),
            (b"\x00\x01", "bad_start"),
            (STOP, "bad_start"),
            ('{"type": "start", "format": "mp3"}', "bad_start"),
            ('{"type": "start", "sampling_rat": 8000}', "bad_start"),
            ('{"type": "start", "sampling_rate": 1}', "bad_start"),
            ('{"type": "start", "sampling_rate": 1e999}', "bad_start"),
            ('{"type": "start", "received_s": NaN}', "bad_start"),
            ('{"type": "start", "model": "../../etc"}', "unknown_model"),
            ('{"type": "start", "labels": ["joy", "anger"]}', "bad_labels"),
            ('{"type": "start", "labels": []}', "bad_labels"),
            ('{"type": "start", "session": "guessed"}', "no_session"),
        ],
    )
    def test_a_wrong_start_is_told_and_closed(self, server, message, code, caplog):
        with server.connect() as connection:
            connection.send(message)
            events, close = until_closed(connection)
        assert [(event["type"], event["code"]) for event in events] == [("error", code)]
        assert len(events[0]["detail"]) > 10
        assert close == 1008
        assert not [record for record in caplog.records if record.exc_info]

    @pytest.mark.parametrize("message", ["", "go on", '{"type": "pause"}', "[]", "null"])
    def test_other_text_after_the_start_is_told_and_closed(self, server, message):
        with server.started() as (connection, _):
            connection.send(message)
            events, close = until_closed(connection)
        assert (events[-1]["code"], close) == ("bad_message", 1008)

    @pytest.mark.parametrize(
        "junk", [b"x" * 5000, b"\x1aE\xdf\xa3" + bytes(5000)], ids=["text", "only a head"]
    )
    def test_a_recording_that_is_none_is_told_and_closed(self, server, junk, caplog):
        pytest.importorskip("av")
        with server.started(format="webm") as (connection, _):
            connection.send(junk[:1000])
            connection.send(junk[1000:])
            connection.send(STOP)
            events, close = until_closed(connection)
        assert (events[-1]["code"], close) == ("bad_audio", 1008)
        assert not [record for record in caplog.records if record.exc_info]

    def test_a_fault_of_the_service_is_told_without_its_words(self, serve, pcm, monkeypatch):
        def fail(*_: object) -> None:
            raise ValueError("a secret")

        monkeypatch.setattr(Stream, "push", fail)
        with serve() as server, server.started() as (connection, _):
            connection.send(pcm)
            events, close = until_closed(connection)
        assert (events[-1]["code"], close) == ("internal", 1011)
        assert "secret" not in json.dumps(events)

    def test_a_huge_message_is_refused(self, server):
        with server.started() as (connection, _):
            connection.send(bytes((1 << 20) + 2))
            events, close = until_closed(connection)
        assert (events[-1]["code"], close) == ("too_large", 1009)


def test_a_decoder_is_told_no_secret(monkeypatch):
    monkeypatch.setenv("ULLIM_TOKEN", TOKEN)
    assert TOKEN not in environment().values()


PAGE = (Path(__file__).parent.parent / "docs" / "streaming.md").read_text(encoding="utf-8")


def test_the_example_in_python_is_run_as_it_stands(
    server, finals, pcm, tmp_path, monkeypatch, capsys
):
    example = re.findall(r"```python\n(.*?)```", PAGE.partition("## From Python")[2], re.S)[0]
    end = round(finals[0]["end_s"] * RATE) + RATE // 2
    samples = np.frombuffer(pcm, "<i2")[:end]
    soundfile.write(tmp_path / "clip.wav", samples, RATE, subtype="PCM_16")
    monkeypatch.chdir(tmp_path)
    address = "127.0.0.1:8000"  # where `ullim serve` is by default
    assert address in example
    exec(compile(example.replace(address, f"127.0.0.1:{server.port}"), "streaming.md", "exec"), {})
    assert [ast.literal_eval(line) for line in capsys.readouterr().out.splitlines()] == finals[:1]


def test_the_page_of_streaming_states_the_limits_that_hold():
    limits, phrasing = StreamLimits(), Phrasing()
    for stated in (
        f"| {limits.max_sessions} (`--max-streams`) |",
        f"| {limits.max_duration_s:g} s |",
        f"| {limits.burst_s:g} s at once, then {limits.speed:g} times |",
        f"{limits.burst_bytes / 2**20:g} MiB at once, then {limits.bytes_per_s / 1024:g} KiB a",
        f"| {limits.max_message_bytes // 2**20} MiB |",
        f"| {limits.start_s:g} s; {limits.idle_s:g} s |",
        f"| {limits.max_events}; {limits.send_s:g} s |",
        f"A session waits {limits.resume_s:g} s",
        f"the last {limits.max_replay} at most",
        f"**hang-over of {phrasing.hangover_s:g} s**",
        f"every {phrasing.partial_every_s:g} s",
        f"cut after {phrasing.max_phrase_s:g} s",
        f"{phrasing.min_speech_s:g} s of voice",
    ):
        assert stated in PAGE
    start = PAGE[PAGE.index("| key | |") : PAGE.index("Another key is an error")]
    assert set(re.findall(r"`(\w+)`", start)) >= set(stream.Start.model_fields) - {"type"}


class TestLimits:
    def test_a_client_that_says_nothing_is_closed(self, serve):
        with serve(start_s=0.1, idle_s=0.1) as server:
            with server.connect() as connection:
                events, close = until_closed(connection)
            assert (events[-1]["code"], close) == ("no_start", 1008)
            with server.started() as (connection, _):
                events, close = until_closed(connection)
            assert (events[-1]["code"], close) == ("idle", 1008)

    def test_so_many_sessions_and_the_longest_away_makes_room(self, serve):
        with serve(max_sessions=2) as server:
            with server.started() as (_, first), server.started():
                with server.started() as (connection, said):
                    assert said["code"] == "busy"
                    assert until_closed(connection)[1] == 1013
                assert len(server.sessions) == 2
            with server.started() as (_, ready), server.started() as (_, other):
                assert ready["type"] == other["type"] == "ready"
            with server.started(session=first["session"]) as (_, said):
                assert said["code"] == "no_session"

    def test_those_that_begin_at_once_count(self, toy_bundle, monkeypatch):
        begun: list[str] = []

        class Decoder:
            async def kill(self) -> None: ...

            @classmethod
            async def begin(cls) -> Decoder:
                begun.append("")
                await asyncio.sleep(0.05)
                return cls()

        monkeypatch.setattr("ullim.serving.sessions.Decoding", Decoder)
        settings = Settings(models=(str(toy_bundle),), stream=StreamLimits(max_sessions=2))

        async def run() -> None:
            sessions = Sessions(Service(settings))
            wish: dict[str, Any] = {"model": None, "labels": None, "sampling_rate": RATE}
            made = await asyncio.gather(
                *(sessions.begin(format="webm", **wish) for _ in range(6)), return_exceptions=True
            )
            assert len(sessions) == 2
            assert [one.code for one in made if isinstance(one, StreamError)] == ["busy"] * 4
            await sessions.close()

        asyncio.run(run())
        assert len(begun) == 2

    def test_those_that_fail_or_end_take_no_place(self, serve):
        with serve(max_sessions=1) as server:
            wishes = ({"labels": ["joy"]}, {"model": "nobody"}, {}, {})
            told = []
            for wish in wishes:
                with server.started(**wish) as (connection, said):
                    told.append(said.get("code", said["type"]))
                    if told[-1] == "ready":
                        connection.send(STOP)
                    until_closed(connection)
            assert told == ["bad_labels", "unknown_model", "ready", "ready"]

    def test_no_process_for_a_decoder_is_told_as_busy(self, serve, monkeypatch):
        async def refused(*_: object, **__: object) -> None:
            raise BlockingIOError("no more processes")

        with serve() as server:
            monkeypatch.setattr(asyncio, "create_subprocess_exec", refused)
            with server.started(format="webm") as (connection, said):
                assert (said["type"], said["code"]) == ("error", "busy")
                assert until_closed(connection)[1] == 1013

    def test_a_session_takes_only_so_much_sound_and_answers_it(self, serve, pcm, finals):
        with serve(max_duration_s=2.9) as server, server.started() as (connection, _):
            feed(connection, pcm)
            events, close = until_closed(connection)
        assert of("final", events) == finals[:1]
        assert (events[-1]["code"], close) == ("too_long", 1008)

    def test_a_recording_that_is_too_long_is_told_while_it_is_fed(self, serve, sound):
        long = recorded(np.tile(sound, 12))  # more than the pipes to and from its decoder hold
        with serve(max_duration_s=0.5) as server, server.started(format="webm") as (connection, _):
            began = time.monotonic()
            connection.send(long)
            events, close = until_closed(connection)
        assert (events[-1]["code"], close) == ("too_long", 1008)
        assert time.monotonic() - began < 10

    def test_sound_is_taken_in_only_so_fast(self, serve, pcm):
        with serve(burst_s=1.0, speed=4.0) as server, server.started() as (connection, _):
            began = time.monotonic()
            feed(connection, pcm)
            connection.send(STOP)
            events, _ = until_closed(connection)
        assert events[-1]["duration_s"] == 4.9
        assert time.monotonic() - began >= (4.9 - 1.0) / 4.0 - 0.05

    def test_bytes_of_a_recording_are_taken_in_only_so_fast(self, serve, webm):
        left = len(webm) - 10_000
        with serve(burst_bytes=10_000, bytes_per_s=2 * left) as server:
            with server.started(format="webm") as (connection, _):
                began = time.monotonic()
                feed(connection, webm, step=1000)
                connection.send(STOP)
                assert until_closed(connection)[1] == 1000
            assert time.monotonic() - began >= 0.45


class TestWhatItTells:
    @staticmethod
    def counted(server: Server, name: str) -> dict[str, float]:
        """Return the values of a metric by the values of its labels."""
        found = re.findall(
            rf"^{name}\{{(.*)}} (\S+)$", server.service.observer.text().decode(), re.M
        )
        return {",".join(re.findall('"(.*?)"', labels)): float(value) for labels, value in found}

    def test_metrics_count_streams(self, serve, toy_bundle, pcm, webm):
        def soon(wanted: dict[str, float], name: str = "ullim_streams") -> None:
            deadline = time.monotonic() + 10
            while (found := self.counted(server, name)) != wanted:
                assert time.monotonic() < deadline, found
                time.sleep(0.01)

        with serve() as server:
            soon({"open": 0, "resumable": 0})
            with server.started() as (connection, ready):
                soon({"open": 1, "resumable": 0})
                feed(connection, pcm)
                until(connection, "final")
                until(connection, "final")
            soon({"open": 0, "resumable": 1})
            with server.started(session=ready["session"]) as (connection, _):
                connection.send(STOP)
                until_closed(connection)
            with server.started(format="webm") as (connection, _):
                feed(connection, webm, 1000)
                connection.send(STOP)
                until_closed(connection)
            with server.started(model="nobody") as (connection, _):
                until_closed(connection)
            soon({"open": 0, "resumable": 0})
            toy = toy_bundle.name
            sizes = {f"pcm16,{toy}": len(pcm), f"webm,{toy}": len(webm)}
            assert self.counted(server, "ullim_stream_bytes_total") == sizes
            assert sum(self.counted(server, "ullim_stream_segments_total").values()) == 4
            seconds = self.counted(server, "ullim_stream_audio_seconds_total")[toy]
            assert seconds == pytest.approx(9.8, abs=0.1)
            soon({"gone": 1, "end": 2, "unknown_model": 1}, "ullim_stream_ends_total")

    def test_a_line_of_json_says_how_a_stream_ended_and_nothing_of_what_was_said(
        self, serve, pcm, caplog
    ):
        with caplog.at_level(logging.INFO, "ullim.serving"), serve() as server:
            with server.started() as (connection, _):
                feed(connection, pcm)
                connection.send(STOP)
                until_closed(connection)
            with server.started() as (connection, _):
                connection.send("SECRET")
                until_closed(connection)
            with server.started() as (connection, _):
                pass
            with server.started(token="SECRET", session="SECRET") as (connection, _):
                until_closed(connection)
        lines = [json.loads(message) for message in caplog.messages if message.startswith("{")]
        ends = [(line["code"], line.get("close"), line.get("format")) for line in lines]
        assert ends == [
            ("end", 1000, "pcm16"),
            ("bad_message", 1008, "pcm16"),
            ("gone", None, "pcm16"),
            ("no_session", 1008, None),
        ]
        assert {(line["route"], line["status"]) for line in lines} == {("/v1/stream", 101)}
        assert "SECRET" not in caplog.text
        assert not {"neutral", "happiness", "sadness", "anger"} & set(
            re.findall(r"\w+", caplog.text)
        )


class StalledSocket:
    """A client that speaks, and takes none of the events after the first few."""

    def __init__(self, messages: list[str | bytes], takes: int) -> None:
        self.scope: dict[str, Any] = {"subprotocols": []}
        self.headers: dict[str, str] = {}
        self.closed: int | None = None
        self.taken: Events = []
        self._messages, self._takes = messages, takes

    async def accept(self, subprotocol: str | None) -> None: ...

    async def receive(self) -> dict[str, Any]:
        if not self._messages:
            await asyncio.Event().wait()
        message = self._messages.pop(0)
        return {
            "type": "websocket.receive",
            ("text" if isinstance(message, str) else "bytes"): message,
        }

    async def send_text(self, text: str) -> None:
        if len(self.taken) >= self._takes:
            await asyncio.Event().wait()
        self.taken.append(json.loads(text))

    async def close(self, code: int, reason: str | None = None) -> None:
        self.closed = code


@pytest.mark.parametrize(
    "limits",
    [{"max_events": 2, "send_s": 60.0}, {"max_events": 1000, "send_s": 0.2}],
    ids=["many events wait", "one waits for long"],
)
def test_a_client_that_does_not_keep_up_is_cut_off_and_may_come_back(toy_bundle, pcm, limits):
    settings = Settings(models=(str(toy_bundle),), stream=StreamLimits(**limits))
    start = json.dumps({"type": "start"})
    chunks = [pcm[at : at + CHUNK] for at in range(0, len(pcm), CHUNK)]

    async def run() -> None:
        sessions = Sessions(Service(settings))
        stalled = StalledSocket([start, *chunks], takes=2)
        await asyncio.wait_for(stream.converse(stalled, sessions, settings), 20)
        assert stalled.closed == 1013
        assert len(sessions) == 1
        ready = stalled.taken[0]
        again = json.dumps({"type": "start", "session": ready["session"]})
        patient = StalledSocket([again, STOP], takes=1000)
        await asyncio.wait_for(stream.converse(patient, sessions, settings), 20)
        assert patient.closed == 1000
        assert patient.taken[-1]["type"] == "end"
        await sessions.close()

    asyncio.run(run())


@pytest.mark.parametrize("end", ["all", "one"])
def test_a_session_that_ends_waits_for_no_client_and_lets_its_connection_go(toy_bundle, pcm, end):
    """However much the client sends that nobody hears, and though it takes nothing."""
    slow = StreamLimits(speed=0.001, burst_s=0.1)
    settings = Settings(models=(str(toy_bundle),), stream=slow)

    async def run() -> None:
        sessions = Sessions(Service(settings))
        stalled = StalledSocket([json.dumps({"type": "start"}), *[pcm] * 50], takes=1)
        talk = asyncio.create_task(stream.converse(stalled, sessions, settings))
        while not sessions or len(stalled._messages) > 46:
            await asyncio.sleep(0.01)
        (session,) = sessions._sessions.values()
        await asyncio.wait_for(sessions.close() if end == "all" else session.close(), 2)
        await asyncio.wait_for(talk, 5)
        assert stalled.closed in (1012 if end == "all" else 1008, None)
        assert not session.is_attached
        await sessions.close()

    asyncio.run(run())


def test_who_comes_back_just_as_the_session_makes_room_is_told(toy_bundle):
    settings = Settings(models=(str(toy_bundle),), stream=StreamLimits(max_sessions=1))

    async def run() -> None:
        sessions = Sessions(Service(settings))
        wish: dict[str, Any] = {"model": None, "labels": None, "sampling_rate": RATE}
        session = await sessions.begin(format="pcm16", **wish)
        first = await sessions.attach(session, last_segment=None, received_s=None)
        back = asyncio.create_task(
            stream.converse(
                again := StalledSocket(
                    [json.dumps({"type": "start", "session": session.id}), *[b""] * 50], takes=1000
                ),
                sessions,
                settings,
            )
        )
        assert (await first.broken()).code == "replaced"
        sessions.leave(session, first)
        await sessions.begin(format="pcm16", **wish)
        await asyncio.wait_for(back, 5)
        assert ([one["code"] for one in again.taken], again.closed) == (["no_session"], 1008)
        await sessions.close()

    asyncio.run(run())


@pytest.fixture(scope="module")
def locked(serve: Serve) -> Iterator[Server]:
    with serve(token=TOKEN) as running:
        yield running


class TestWhoMayAsk:
    def answer(self, locked: Server, *, token: str | None = None, **options: Any) -> str:
        with locked.connect(**options) as connection:
            shown = {} if token is None else {"token": token}
            connection.send(json.dumps({"type": "start"} | shown))
            said = json.loads(connection.recv(timeout=10))
            assert said.get("session") or until_closed(connection)[1] == 1008
            return str(said.get("code", said["type"]))

    def test_no_token_or_a_wrong_one_is_refused(self, locked):
        assert self.answer(locked) == "unauthorized"
        assert self.answer(locked, token="wrong") == "unauthorized"
        assert self.answer(locked, token="") == "unauthorized"
        wrong = {"Authorization": "Bearer wrong"}
        assert self.answer(locked, additional_headers=wrong) == "unauthorized"

    def test_the_token_may_come_in_three_ways(self, locked):
        assert self.answer(locked, token=TOKEN) == "ready"
        header = {"Authorization": f"Bearer {TOKEN}"}
        assert self.answer(locked, additional_headers=header) == "ready"
        protocols = ["ullim", f"ullim.token.{TOKEN}"]
        assert self.answer(locked, subprotocols=protocols) == "ready"

    def test_a_protocol_never_carries_the_token_back(self, locked):
        with locked.connect(subprotocols=["ullim", f"ullim.token.{TOKEN}"]) as connection:
            assert connection.subprotocol == "ullim"

    def test_pages_of_other_sites_are_refused(self, server):
        with pytest.raises(InvalidStatus, match="403"):
            server.connect(origin="https://elsewhere.example").close()
        with server.connect(origin=f"http://127.0.0.1:{server.port}"):
            pass
