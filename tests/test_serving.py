"""The service by its contract: answers, options, errors, tokens, limits, and what it tells."""

from __future__ import annotations

import base64
import errno
import io
import json
import logging
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect
from typer.main import get_command

from service import RATE, TOKEN, TestClient, predicted, problem_of, sent, sound, white
from ullim.cli import app as cli
from ullim.errors import UllimError
from ullim.inference.predictor import Predictor
from ullim.serving.api import FIELDS
from ullim.serving.app import create_app
from ullim.serving.observe import Observer
from ullim.serving.settings import MIB, Settings

HOME = "http://127.0.0.1"
CLIP = sound(2.0)


@pytest.fixture(scope="module")
def client(toy_bundle: Path, make_bundle, tmp_path_factory) -> Iterator[TestClient]:
    """A service with two models and small limits."""
    other = make_bundle(tmp_path_factory.mktemp("other") / "other", bias=[9.0, 0, 0, 0, -9.0])
    settings = Settings(
        models=(str(toy_bundle), str(other)),
        workers=1,
        max_file_bytes=MIB,
        max_request_bytes=3 * MIB,
        max_files=4,
        max_fields=8,
        max_duration_s=70.0,
    )
    with TestClient(create_app(settings), base_url=HOME) as opened:
        yield opened


@pytest.fixture(scope="module")
def guarded(toy_bundle) -> TestClient:
    # Not entered: nothing here reaches a worker.
    app = create_app(Settings(models=(str(toy_bundle),), host="0.0.0.0", token=TOKEN))
    return TestClient(app, base_url="https://ser.example.org")


@pytest.fixture(scope="module")
def paged(toy_bundle, tmp_path_factory) -> TestClient:
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<!doctype html><title>ullim</title>")
    (folder / "page.js").write_text("'use strict'")
    return TestClient(create_app(Settings(models=(str(toy_bundle),), page=folder)), base_url=HOME)


class TestAnswers:
    def test_one_recording_is_answered_as_the_predictor_answers_it(self, client, toy_bundle):
        answer = client.post("/v1/predict", files=sent(("meeting.wav", CLIP)))
        given = predicted(answer)
        wanted = Predictor.from_folder(toy_bundle).predict(CLIP).to_dict()
        for key in ("status", "label", "confidence", "scores", "duration_s"):
            assert given[key] == wanted[key]
        assert given["file"] == "meeting.wav"
        assert given["error"] is None
        assert answer.json()["model"] == "toy"
        assert re.fullmatch("[0-9a-f]{12}", answer.json()["version"])
        assert given["speech_s"] <= given["duration_s"]

    def test_what_was_not_asked_for_is_null(self, client):
        given = predicted(client.post("/v1/predict", files=sent(CLIP)))
        assert [given[part] for part in ("timeline", "waveform", "picture", "cues")] == [None] * 4

    def test_a_timeline_covers_the_recording(self, client):
        clip = sound(samples=np.concatenate([np.zeros(3 * RATE), 0.3 * white(1.0)]))
        for recording in (CLIP, clip):
            given = predicted(
                client.post("/v1/predict", files=sent(recording), data={"include": "timeline"})
            )
            ends = [0.0] + [segment["end_s"] for segment in given["timeline"]]
            assert [segment["start_s"] for segment in given["timeline"]] == ends[:-1]
            assert ends[-1] == pytest.approx(given["duration_s"])
            for segment in given["timeline"]:
                assert (segment["status"] == "no_speech") == (segment["label"] is None)

    @pytest.mark.parametrize("duration_s", [0.3, 2.0, 30.0])
    def test_the_waveform_bounds_the_signal(self, client, duration_s):
        samples = np.clip(0.1 * white(duration_s), -1, 1)
        given = predicted(
            client.post(
                "/v1/predict",
                files=sent(sound(format="FLAC", samples=samples)),
                data={"include": "waveform"},
            )
        )["waveform"]
        peaks = np.array(given["peaks"])
        assert len(peaks) <= 2000
        assert len(peaks) * given["hop_s"] == pytest.approx(duration_s, abs=given["hop_s"])
        assert peaks[:, 0].min() == pytest.approx(samples.min(), abs=1e-3)
        assert peaks[:, 1].max() == pytest.approx(samples.max(), abs=1e-3)

    def test_the_picture_is_a_png_with_low_tones_at_the_bottom(self, client):
        tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(2 * RATE) / RATE)
        picture = predicted(
            client.post("/v1/predict", files=sent(sound(samples=tone)), data={"include": "picture"})
        )["picture"]
        height, width, palette, rows = read_png(base64.b64decode(picture["png_base64"]))
        assert (height, len(palette)) == (128, 256 * 3)
        assert width <= 1000
        assert rows.mean(axis=1).argmax() > 0.8 * height
        assert "2.0 s" in picture["alt"]

    @pytest.mark.parametrize(("lang", "word"), [("en", "pitch"), ("ko", "음높이")])
    def test_cues_are_told_in_the_language_asked_for(self, client, lang, word):
        cues = predicted(
            client.post(
                "/v1/predict",
                files=sent(sound(3.0)),
                data={"include": "cues,picture", "lang": lang},
            )
        )["cues"]
        assert cues["error"] is None
        assert any(word in line for line in cues["words"])
        assert cues["profile"]["against"] == "reference"

    def test_what_has_no_cues_is_told_in_the_language_asked_for(self, client):
        files, data = sent(sound(samples=white(2.0))), {"include": "cues", "lang": "ko"}
        cues = predicted(client.post("/v1/predict", files=files, data=data))["cues"]
        assert cues["error"] == "unvoiced"
        assert "목소리" in cues["words"][0]

    def test_cues_of_noise_are_an_answer_not_a_failure(self, client):
        given = predicted(
            client.post(
                "/v1/predict", files=sent(sound(samples=white(2.0))), data={"include": "cues"}
            )
        )
        assert given["cues"]["profile"] is None
        assert given["cues"]["error"] == "unvoiced"

    def test_cues_of_a_long_recording_are_left_out_and_say_so(self, client):
        clip = sound(61.0, format="OGG", rate=8000)
        given = predicted(client.post("/v1/predict", files=sent(clip), data={"include": "cues"}))
        assert given["cues"]["error"] == "too_long"

    def test_labels_restrict_and_renormalise(self, client):
        given = predicted(
            client.post("/v1/predict", files=sent(CLIP), data={"labels": " anger, neutral "})
        )
        assert set(given["scores"]) == {"anger", "neutral"}
        assert sum(given["scores"].values()) == pytest.approx(1.0, abs=1e-3)

    def test_another_model_can_be_asked(self, client):
        given = predicted(client.post("/v1/predict", files=sent(CLIP), data={"model": "other"}))
        assert (given["label"], given["label_ko"]) == ("neutral", "중립")

    @pytest.mark.parametrize(("lang", "word"), [("en", "text"), ("ko", "텍스트")])
    def test_text_is_said_to_be_ignored(self, client, lang, word):
        answer = client.post(
            "/v1/predict", files=sent(CLIP), data={"text": "I am fine", "lang": lang}
        ).json()
        assert len(answer["notes"]) == 1
        assert word in answer["notes"][0]

    def test_a_bad_recording_among_several_is_an_entry(self, client):
        answer = client.post("/v1/predict", files=sent(CLIP, b"no sound", CLIP))
        assert answer.status_code == 200
        first, second, third = answer.json()["predictions"]
        assert first["status"] == third["status"] == "ok"
        assert second["status"] == "error"
        assert second["error"]["code"] == "not_audio"
        assert first.keys() == second.keys()

    @pytest.mark.parametrize("answered", [0, 1, 2])
    def test_no_room_in_the_middle_loses_no_answer(self, client, monkeypatch, answered):
        """With nothing answered yet the request is refused; else only what is left of it."""
        pool = client.app.state.service.pool
        run, begun, taken = pool.run, [], []

        async def then_others_take_the_worker(*given):
            begun.append(given)
            if len(begun) == answered + 1:
                taken.append(await pool._idle.get())
            return await run(*given)

        monkeypatch.setattr(pool, "_queue_timeout_s", 0.1)
        monkeypatch.setattr(pool, "run", then_others_take_the_worker)
        try:
            answer = client.post(
                "/v1/predict", files=sent(b"no sound", CLIP, ("c.wav", CLIP), CLIP)
            )
        finally:
            pool._idle.put_nowait(*taken)
        assert len(begun) == answered + 1  # who is left does not wait once more each
        if not answered:
            assert problem_of(answer) == (429, "busy")
            assert int(answer.headers["retry-after"]) >= 1
            return
        given = answer.json()["predictions"]
        codes = [one["error"] and one["error"]["code"] for one in given]
        assert codes == ["not_audio", None, "busy", "busy"][:answered] + ["busy"] * (4 - answered)
        assert given[2]["file"] == "c.wav"
        assert given[3].keys() == given[1].keys() == given[0].keys()
        assert given[3]["error"]["status"] == 429

    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/", "recording"),
            ("..", "recording"),
            ("a\u202eb\x7f.wav", "ab.wav"),
            ("녹음.wav", "녹음.wav"),
            ("x" * 500, "x" * 120),
            ("<script>.wav", "<script>.wav"),  # JSON: whoever shows it escapes it
        ],
    )
    def test_names_of_files_are_only_shown_and_only_when_plain(self, client, given, shown):
        answer = client.post("/v1/predict", files=sent((given, CLIP)))
        assert predicted(answer)["file"] == shown


class TestModels:
    def test_lists_models_the_default_first(self, client):
        given = client.get("/v1/models").json()
        assert given["default"] == "toy"
        assert [one["name"] for one in given["models"]] == ["toy", "other"]
        assert {"name": "anger", "en": "anger", "ko": "화남"} in given["models"][0]["labels"]

    def test_tells_all_of_one(self, client, toy_bundle):
        given = client.get("/v1/models/toy").json()
        assert given["card"] == (toy_bundle / "card.md").read_text(encoding="utf-8")
        assert given["licence"] == "CC0 1.0"
        assert "no_speech" not in [label["name"] for label in given["labels"]]

    def test_refuses_one_that_is_not_there(self, client):
        assert problem_of(client.get("/v1/models/nobody")) == (404, "unknown_model")


PROBLEMS = {
    "nothing": ([], {}, (415, "not_multipart")),
    "no files": ([("files", (None, b"text"))], {}, (422, "bad_field")),
    "text for audio": (sent(b"no sound at all"), {}, (415, "not_audio")),
    "empty": (sent(b""), {}, (422, "empty")),
    "short": (sent(sound(0.1)), {}, (422, "too_short")),
    "silent": (sent(sound(samples=np.zeros(RATE))), {}, (422, "silent")),
    "long": (sent(sound(71.0, format="OGG")), {}, (413, "too_long")),
    "channels": (sent(sound(samples=np.tile(white(0.5)[:, None], 9))), {},
                 (413, "too_many_channels")),
    "large": (sent(sound(40.0)), {}, (413, "too_large")),
    "large body": (sent(*[bytes(900_000)] * 4), {}, (413, "too_large")),
    "many files": (sent(*[CLIP] * 5), {}, (413, "too_many_parts")),
    "many fields": (sent(CLIP), {f"f{n}": "x" for n in range(9)}, (413, "too_many_parts")),
    "long field": (sent(CLIP), {"text": "x" * 40_000}, (413, "too_many_parts")),
    "strange field": (sent(CLIP), {"temperature": "2"}, (422, "bad_field")),
    "strange file field": ([("audio", ("a.wav", CLIP))], {}, (422, "bad_field")),
    "model": (sent(CLIP), {"model": "../toy"}, (404, "unknown_model")),
    "labels": (sent(CLIP), {"labels": "anger,joy"}, (422, "bad_labels")),
    "one label": (sent(CLIP), {"labels": "anger"}, (422, "bad_labels")),
    "include": (sent(CLIP), {"include": "everything"}, (422, "bad_include")),
    "lang": (sent(CLIP), {"lang": "fr"}, (422, "bad_lang")),
}  # fmt: skip


class TestProblems:
    @pytest.mark.parametrize("name", PROBLEMS)
    def test_says_what_is_wrong(self, client, name):
        files, data, wanted = PROBLEMS[name]
        assert problem_of(client.post("/v1/predict", files=files, data=data)) == wanted

    def test_messages_never_repeat_what_was_sent(self, client):
        for data in (
            {"lang": "SECRET"},
            {"include": "SECRET"},
            {"SECRET": "x"},
            {"model": "SECRET"},
        ):
            answer = client.post("/v1/predict", files=sent(("SECRET.wav", b"SECRET")), data=data)
            assert answer.status_code >= 400
            assert "SECRET" not in answer.text

    @pytest.mark.parametrize(
        ("method", "path", "wanted"),
        [
            ("GET", "/v1/predict", (405, "bad_method")),
            ("DELETE", "/v1/models", (405, "bad_method")),
            ("GET", "/docs", (404, "no_route")),
            ("GET", "/v1/../../etc/passwd", (404, "no_route")),
        ],
    )
    def test_routes_that_are_none(self, client, method, path, wanted):
        assert problem_of(client.request(method, path)) == wanted

    def test_stopping(self, client):
        service = client.app.state.service
        service.stopping = True
        try:
            answer = client.post("/v1/predict", files=sent(CLIP))
            assert problem_of(answer) == (503, "stopping")
            assert answer.headers["retry-after"]
            assert problem_of(client.get("/readyz")) == (503, "stopping")
            assert client.get("/healthz").json()["status"] == "ok"
        finally:
            service.stopping = False

    def test_a_full_disk(self, client, monkeypatch):
        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", full)
        large = sound(35.0)
        assert len(large) > MIB
        assert problem_of(client.post("/v1/predict", files=sent(large))) == (503, "no_space")

    def test_a_full_queue_refuses_before_it_reads(self, client):
        service = client.app.state.service
        service._pending += 100
        try:
            answer = client.post("/v1/predict", content=b"not even a form")
            assert problem_of(answer) == (429, "busy")
            assert int(answer.headers["retry-after"]) >= 1
        finally:
            service._pending -= 100


class TestWhoMayAsk:
    @pytest.mark.parametrize("path", ["/v1/models", "/v1/models/toy", "/metrics"])
    @pytest.mark.parametrize(
        "shown", [None, "Bearer wrong", "Bearer", "Basic x", f"bearer{TOKEN}", "Bearer 토큰"]
    )
    def test_no_or_a_wrong_token_is_401(self, guarded, path, shown):
        headers = {} if shown is None else {"Authorization": shown.encode()}
        answer = guarded.get(path, headers=headers)
        assert problem_of(answer) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"

    def test_the_token_comes_before_the_body(self, guarded):
        assert problem_of(guarded.post("/v1/predict", content=b"x")) == (401, "unauthorized")

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
    def test_the_token_opens(self, guarded, scheme):
        headers = {"Authorization": f"{scheme} {TOKEN}"}
        assert guarded.get("/v1/models", headers=headers).status_code == 200

    def test_health_needs_none(self, guarded):
        assert guarded.get("/healthz").status_code == 200

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.2", "::", "example.org"])
    def test_an_address_of_others_needs_a_token(self, host):
        with pytest.raises(UllimError, match="there is no token") as caught:
            Settings(host=host)
        assert caught.value.code == "needs_token"

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
    def test_this_machine_needs_none(self, host):
        assert Settings(host=host).token is None

    def test_a_short_token_is_refused(self):
        with pytest.raises(UllimError, match="16 or more"):
            Settings(token="short")

    @pytest.mark.parametrize("token", [f"{TOKEN}é", f"{TOKEN}비밀", f"{TOKEN} ", f"{TOKEN}\n"])
    def test_a_token_that_no_header_carries_is_refused(self, token):
        with pytest.raises(UllimError, match="letters, digits") as caught:
            Settings(token=token)
        assert caught.value.code == "bad_token"

    @pytest.mark.parametrize(
        ("headers", "code"),
        [
            ({"Host": "evil.example"}, "foreign_host"),
            ({"Host": "127.0.0.1.evil.example"}, "foreign_host"),
            ({"Host": "[broken"}, "foreign_host"),
            ({"Origin": "https://evil.example"}, "foreign_origin"),
            ({"Origin": "null"}, "foreign_origin"),
            ({"Origin": "http://127.0.0.1:9999"}, "foreign_origin"),
            ({"Origin": "http://[broken"}, "foreign_origin"),
        ],
    )
    def test_other_peoples_pages_and_names_are_refused(self, client, headers, code):
        assert problem_of(client.get("/v1/models", headers=headers)) == (403, code)

    @pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
    def test_its_own_page_may_ask(self, client, host):
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert client.get("/v1/models", headers=headers).status_code == 200

    def test_neither_may_their_sockets(self, client):
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect("/v1/stream", headers={"Origin": "https://evil.example"}),
        ):
            pass
        assert caught.value.code == 1008

    def test_a_name_of_others_needs_a_token_too(self):
        """Behind a proxy they come from this machine's own address."""
        with pytest.raises(UllimError, match=r"by ser\.example\.org, and .* no token") as caught:
            Settings(allowed_hosts=("localhost", "ser.example.org"))
        assert caught.value.code == "needs_token"
        assert Settings(allowed_hosts=("localhost", "127.0.0.2")).token is None

    def test_names_that_were_allowed(self, toy_bundle):
        settings = Settings(
            models=(str(toy_bundle),), allowed_hosts=("ser.example.org",), token=TOKEN
        )
        outside = TestClient(create_app(settings), base_url="https://ser.example.org")
        assert problem_of(outside.get("/v1/models")) == (401, "unauthorized")
        outside.headers["Authorization"] = f"Bearer {TOKEN}"
        assert outside.get("/v1/models").status_code == 200
        assert problem_of(outside.get("/v1/models", headers={"Host": "b.org"}))[0] == 403
        assert outside.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200


class TestPage:
    def test_loads_nothing_from_elsewhere_and_is_asked_for_again(self, paged):
        for path in ("/", "/page.js"):
            answer = paged.get(path)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-cache"
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            again = paged.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert again.status_code == 304

    def test_leaves_the_api_alone(self, paged):
        assert problem_of(paged.get("/v1/predict")) == (405, "bad_method")
        assert problem_of(paged.get("/nothing.js")) == (404, "no_route")
        assert problem_of(paged.get("/%2e%2e/%2e%2e/etc/passwd")) == (404, "no_route")

    def test_answers_are_not_kept(self, client):
        assert client.get("/v1/models").headers["cache-control"] == "no-store"


class TestWhatItTells:
    def test_openapi_stands_and_names_every_answer(self, client):
        described = client.get("/openapi.json").json()
        predict = described["paths"]["/v1/predict"]["post"]
        assert {"200", "401", "413", "415", "422", "429", "503"} <= predict["responses"].keys()
        assert "multipart/form-data" in predict["requestBody"]["content"]
        for status, answer in predict["responses"].items():
            kinds = answer["content"].keys()
            assert kinds == {"application/json" if status == "200" else "application/problem+json"}

    def test_metrics_count(self, client):
        def count(name: str) -> float:
            found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.M)
            return float(found[1]) if found else 0.0

        names = [
            'ullim_requests_total{method="POST",route="/v1/predict",status="200"}',
            'ullim_recordings_total{model="toy",status="ok"}',
            'ullim_work_seconds_count{model="toy"}',
        ]
        before = [count(name) for name in names]
        client.post("/v1/predict", files=sent(CLIP, CLIP))
        assert np.subtract([count(name) for name in names], before).tolist() == [1.0, 2.0, 2.0]
        assert count("ullim_workers") == 1.0
        assert count("ullim_pending") == 0.0

    def test_unknown_paths_and_methods_do_not_grow_the_metrics(self, client):
        for number in range(5):
            client.request(f"ODD{number}", f"/secret-{number}")
        assert "secret" not in client.get("/metrics").text
        assert "ODD" not in client.get("/metrics").text

    def test_a_line_of_json_for_each_request_without_anything_personal(self, client, caplog):
        with caplog.at_level(logging.INFO, "ullim.serving"):
            client.post(
                "/v1/predict",
                files=sent(("SECRET.wav", CLIP)),
                data={"text": "SECRET"},
            )
            client.post("/v1/predict", files=sent(("SECRET.wav", b"SECRET")))
            client.get("/SECRET?SECRET=1")
        lines = [json.loads(message) for message in caplog.messages if message.startswith("{")]
        assert [line["status"] for line in lines] == [200, 415, 404]
        good, bad, lost = lines
        assert {"time", "method", "route", "ms", "bytes_in", "bytes_out", "queue_ms", "work_ms",
                "model", "duration_s"} <= good.keys()  # fmt: skip
        assert good["duration_s"] == 2.0
        assert good["bytes_in"] > len(CLIP)
        assert (bad["code"], lost["route"]) == ("not_audio", "other")
        assert "SECRET" not in caplog.text
        assert not {"neutral", "happiness", "sadness", "anger"} & set(re.findall(r"\w+", str(good)))


DOCUMENT = (Path(__file__).parent.parent / "docs" / "serving.md").read_text(encoding="utf-8")


class TestDocument:
    def test_names_every_option_and_none_that_is_not(self):
        command = get_command(cli).commands["serve"]
        options = {name for parameter in command.params for name in parameter.opts}
        long = {name for name in options if name.startswith("--")}
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DOCUMENT.partition("With nginx")[0]))
        assert named <= long
        assert long - named <= {"--host", "--port", "--model"}  # `ullim serve --help` says enough

    def test_names_every_metric(self):
        told = re.findall(r"^# TYPE (\w+?)(?:_total)? ", Observer().text().decode(), re.M)
        kept = {name for name in told if not name.endswith("_created")}
        assert set(re.findall(r"^\| `(ullim_\w+)`", DOCUMENT, re.M)) == kept

    def test_states_the_limits_that_hold(self):
        limits = Settings()
        for stated in (
            f"| a request | {limits.max_request_bytes // MIB} MiB |",
            f"{limits.max_file_bytes // MIB} MiB, {limits.max_duration_s:g} s decoded, "
            f"{limits.max_channels} channels",
            f"{limits.max_files} and {limits.max_fields}; a field "
            f"{limits.max_field_bytes // 1024} KiB",
            f"| sending a request | {limits.upload_timeout_s:g} s |",
            f"| waiting for a worker | {limits.queue_timeout_s:g} s, then 429 |",
            f"{limits.job_timeout_s:g} s, and {limits.job_memory_bytes // 1024**3} GiB beside",
            f"| {limits.queue}, then 429 at once |",
            f"for\nat most {limits.shutdown_timeout_s} s",
        ):
            assert stated in DOCUMENT
        assert set(re.findall(r"^\| `([a-z]+)` \|", DOCUMENT, re.M)) == FIELDS


def read_png(data: bytes) -> tuple[int, int, bytes, np.ndarray]:
    """Return height, width, palette and pixels of a PNG of ours, its checksums checked."""
    file = io.BytesIO(data)
    assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    while head := file.read(8):
        length, kind = struct.unpack(">I4s", head)
        chunks[kind] = file.read(length)
        assert struct.unpack(">I", file.read(4)) == (zlib.crc32(kind + chunks[kind]),)
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 3)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return height, width, chunks[b"PLTE"], rows[:, 1:]
