"""The page in a real browser: Chromium with a microphone that plays a file.

``pip install -e ".[browser]"``, a Chromium (Debian: ``apt install chromium``; another one by the
variable ULLIM_CHROMIUM), and ``python -m pytest -m browser``. Where either is missing the tests are
skipped and say so. Most talk to the stand-in of ``page_service.py``; the last ones to the service.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

import page_service
import ullim

pytestmark = [pytest.mark.browser, pytest.mark.slow]

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: pip install -e '.[browser]'"
)
expect = playwright_api.expect

SIZES = {"desktop": (1180, 900), "phone": (390, 844)}
LOCALES = {"en": "en-GB", "ko": "ko-KR"}
Open = Callable[..., Any]


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings; the stand-in answers by their names."""
    folder = tmp_path_factory.mktemp("recordings")
    soundfile.write(folder / "microphone.wav", *soundfile.read(ullim.demo_clip()))
    first = page_service.write_wav(folder / "morning.wav")
    for name in ("uncertain.wav", "between.wav", "door.wav", "broken.wav", "=evil,.wav"):
        shutil.copy(first, folder / name)
    return folder


@pytest.fixture(scope="session")
def chromium(recordings: Path) -> Iterator[Any]:
    """A browser whose microphone plays a recording, and that gives it to every page."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("ULLIM_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("there is no Chromium: install it, or name it in ULLIM_CHROMIUM")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={recordings / 'microphone.wav'}",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def service() -> Iterator[page_service.Service]:
    with page_service.running() as running:
        yield running


@pytest.fixture
def open_page(chromium: Any, service: page_service.Service) -> Iterator[Open]:
    """Open the page; afterwards it must not have failed, nor asked anybody else for anything."""
    contexts, wrong = [], []

    def opened(
        lang: str = "en",
        size: str = "desktop",
        scheme: str = "light",
        url: str | None = None,
        **given: Any,
    ) -> Any:
        width, height = SIZES[size]
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            locale=LOCALES[lang],
            color_scheme=scheme,
            **given,
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        address = url or service.url

        def check(request: Any) -> None:
            if not request.url.removeprefix("blob:").startswith(address):
                wrong.append(f"asked for {request.url}")

        page.on("request", check)
        page.on("pageerror", lambda error: wrong.append(f"failed: {error}"))
        page.on("console", lambda said: _note(said, wrong))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
    assert service.strangers == []


def _note(said: Any, wrong: list[str]) -> None:
    # The browser itself reports answers like 429 as errors; those are the tests' own doing.
    if said.type in ("error", "warning") and "with a status of" not in said.text:
        wrong.append(f"{said.type}: {said.text}")


def give(page: Any, *files: Path) -> None:
    """Open files, and wait for as many answers."""
    there = page.locator(".result").count()
    page.locator("#tab-upload").click()
    page.locator("#files").set_input_files([str(file) for file in files])
    expect(page.locator(".result:not(.waiting)")).to_have_count(there + len(files))


def saved(page: Any, name: str) -> bytes:
    """Press a button and return the file that the browser saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(download.value.path()).read_bytes()


# -- choices ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "title", "record"),
    [
        ("en", "How does a voice sound?", "Start recording"),
        ("ko", "목소리가 어떻게 들리나요?", "녹음 시작"),
    ],
)
def test_the_page_speaks_the_language_of_the_browser(
    open_page: Open, lang: str, title: str, record: str
) -> None:
    page = open_page(lang)
    assert page.locator("html").get_attribute("lang") == lang
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.get_by_role("button", name=record)).to_be_visible()
    assert title in page.title()


def test_language_and_model_are_remembered_and_nothing_else(
    open_page: Open, recordings: Path
) -> None:
    page = open_page("en")
    page.get_by_role("radio", name="한국어").check()
    page.get_by_label("모델", exact=True).select_option("emodb")
    give(page, recordings / "morning.wav")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("목소리가 어떻게 들리나요?")
    expect(page.get_by_label("모델", exact=True)).to_have_value("emodb")
    assert page.locator(".result").count() == 0
    stored = page.evaluate("() => [Object.entries(localStorage), Object.entries(sessionStorage)]")
    assert dict(stored[0]) == {"ullim-language": "ko", "ullim-model": "emodb"}
    assert stored[1] == []


def test_what_is_asked_is_what_was_chosen(
    open_page: Open, service: page_service.Service, recordings: Path
) -> None:
    page = open_page("ko")
    page.get_by_text("일부 감정 중에서만 고르기").first.click()
    page.get_by_label("기쁨").check()
    page.get_by_label("슬픔").check()
    give(page, recordings / "morning.wav")
    assert service.asked == [
        {
            "file": "morning.wav",
            "bytes": str((recordings / "morning.wav").stat().st_size),
            "model": "default",
            "labels": "happiness,sadness",
            "include": "timeline,waveform,picture,cues",
            "lang": "ko",
        }
    ]


def test_the_card_is_read_and_never_run(open_page: Open) -> None:
    page = open_page()
    about = page.get_by_role("button", name="About this model")
    about.click()
    card = page.get_by_role("dialog", name="About this model")
    expect(card.get_by_role("heading", name="example: seven emotions")).to_be_visible()
    expect(card.get_by_role("cell", name="67.7%")).to_be_visible()
    expect(card.locator("li li")).to_have_text("Every actor says the same two sentences.")
    expect(card).to_contain_text("<img src=x onerror=")  # told, not obeyed
    assert card.locator("img").count() == 0
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(about).to_be_focused()


# -- answers ---------------------------------------------------------------------------------


def test_one_recording_is_shown_whole(open_page: Open, recordings: Path) -> None:
    page = open_page()
    give(page, recordings / "morning.wav")
    result = page.locator(".result")
    expect(result.locator(".verdict")).to_contain_text("Sounds like")
    expect(result.locator(".big")).to_have_text("Happiness")
    expect(result.locator(".why")).to_have_text("62% confidence.")
    bars = result.get_by_role("list", name="Probabilities").get_by_role("listitem")
    expect(bars).to_have_count(7)
    expect(bars.first).to_have_text("Happiness62%")
    expect(result.locator(".strip .piece-name")).to_have_text(
        ["", "Neutral", "Happiness", "Surprise", ""]
    )
    expect(result.get_by_text("slower than the neutral speech of others")).to_be_visible()
    expect(result.locator(".cues li:not(.cue-scale)")).to_have_count(7)
    expect(result.locator(".cues")).to_contain_text("Voice qualityvery different")
    result.get_by_text("Picture of the sound").click()
    picture = result.get_by_role("img", name="Log-mel spectrogram: 5.2 s")
    expect(picture).to_be_visible()
    assert picture.evaluate("canvas => [canvas.width, canvas.height]") == [100, 32]
    result.get_by_text("Times as a table").click()
    expect(result.get_by_role("row")).to_have_count(6)
    expect(page.get_by_role("status").first).to_have_text("morning.wav: Happiness. 62% confidence.")


@pytest.mark.parametrize(
    ("name", "lang", "verdict", "reason"),
    [
        ("uncertain.wav", "en", "Uncertain", "The model cannot tell. Happiness is the closest"),
        ("uncertain.wav", "ko", "불확실", "모델이 판단하지 못했습니다"),
        ("between.wav", "en", "Between two", "Happiness and Surprise are about equally likely."),
        ("between.wav", "ko", "둘 사이", "기쁨, 놀람"),
        ("door.wav", "en", "No speech", "Nobody is heard speaking"),
        ("door.wav", "ko", "음성 없음", "말소리가 들리지 않아"),
        ("broken.wav", "en", "Could not be used", "not a recording that can be read"),
        ("broken.wav", "ko", "분석할 수 없음", "읽을 수 있는 녹음 파일이 아닙니다"),
    ],
)
def test_what_is_no_plain_answer_is_said_plainly(
    open_page: Open, recordings: Path, name: str, lang: str, verdict: str, reason: str
) -> None:
    page = open_page(lang)
    give(page, recordings / name)
    result = page.locator(".result")
    expect(result.get_by_text(verdict, exact=True).locator("visible=true")).to_be_visible()
    expect(result.locator(".inside").first).to_contain_text(reason)
    expect(page.get_by_role("status").first).to_contain_text(verdict)


def test_several_recordings_are_a_list(open_page: Open, recordings: Path) -> None:
    page = open_page()
    names = ("morning.wav", "door.wav", "broken.wav", "=evil,.wav")
    give(page, *(recordings / name for name in names))
    expect(page.locator(".result h3")).to_have_text(list(reversed(names)))
    closed = page.locator(".result", has_text="door.wav")
    expect(closed.locator(".chip")).to_have_text("No speech")
    expect(closed.locator(".answer")).to_be_hidden()
    closed.locator("summary").first.click()
    expect(closed.locator(".answer")).to_be_visible()

    everything = page.locator("#all-buttons")
    with page.expect_download() as download:
        everything.get_by_role("button", name="CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["file"] for row in rows] == ["morning.wav", "door.wav", "'=evil,.wav"]
    assert (rows[0]["status"], rows[0]["label"], rows[0]["confidence"]) == (
        "ok",
        "happiness",
        "0.62",
    )
    assert (rows[1]["status"], rows[1]["label"], rows[1]["happiness"]) == ("no_speech", "", "")

    page.get_by_role("button", name="Remove door.wav").click()
    expect(page.locator(".result")).to_have_count(3)
    everything.get_by_role("button", name="Clear all").click()
    expect(page.locator("#results")).to_be_hidden()


def test_an_answer_is_saved_as_json_csv_and_picture(open_page: Open, recordings: Path) -> None:
    page = open_page()
    give(page, recordings / "morning.wav")
    plain = json.loads(saved(page, "JSON of morning.wav"))
    assert (plain["file"], plain["label"], plain["model"]) == (
        "morning.wav",
        "happiness",
        "default",
    )
    assert plain["scores"]["surprise"] == 0.15
    assert "waveform" not in plain
    rows = list(csv.DictReader(io.StringIO(saved(page, "CSV of morning.wav").decode("utf-8-sig"))))
    assert [row["label"] for row in rows] == ["", "neutral", "happiness", "surprise", ""]
    assert rows[2]["start_s"] == "1.4"
    png = saved(page, "Picture of morning.wav")
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20], "big") == 1200


def test_the_waveform_plays_from_where_it_is_clicked(open_page: Open, recordings: Path) -> None:
    page = open_page()
    give(page, recordings / "morning.wav")
    wave = page.get_by_role("slider")
    expect(wave).to_have_attribute("aria-valuetext", "0:00.0 of 0:05.2: no speech")
    box = wave.bounding_box()
    wave.click(position={"x": box["width"] / 2, "y": 20})
    expect(wave).to_have_attribute("aria-valuetext", "0:02.6 of 0:05.2: Happiness")
    wave.focus()
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(wave).to_have_attribute("aria-valuenow", "4.0")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("PageDown")
    expect(wave).to_have_attribute("aria-valuenow", "0.0")
    page.keyboard.press("End")
    expect(wave).to_have_attribute("aria-valuenow", "5.2")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause: morning.wav")).to_be_visible()
    page.wait_for_timeout(500)
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play: morning.wav")).to_be_visible()
    assert 0.2 < float(wave.get_attribute("aria-valuenow")) < 3.0


def test_a_change_of_language_says_everything_anew(
    open_page: Open, service: page_service.Service, recordings: Path
) -> None:
    page = open_page("en")
    give(page, recordings / "morning.wav")
    page.get_by_role("radio", name="한국어").check()
    expect(page.locator(".big")).to_have_text("기쁨")
    expect(page.get_by_text("다른 사람들의 중립 음성보다 더 느립니다")).to_be_visible()
    assert service.asked[-1]["include"] == "cues,picture"
    page.get_by_role("radio", name="English").check()
    expect(page.get_by_text("slower than the neutral speech of others")).to_be_visible()


# -- the service says no ---------------------------------------------------------------------


def test_a_busy_service_is_asked_again(
    open_page: Open, service: page_service.Service, recordings: Path
) -> None:
    page = open_page()
    service.busy = 1
    page.locator("#tab-upload").click()
    page.locator("#files").set_input_files(str(recordings / "morning.wav"))
    expect(page.locator(".waiting")).to_contain_text("The service is busy. Trying again in 1 s")
    expect(page.locator(".big")).to_have_text("Happiness")


def test_a_service_that_stays_busy_is_believed(
    open_page: Open, service: page_service.Service, recordings: Path
) -> None:
    page = open_page()
    service.busy = 100
    give(page, recordings / "morning.wav")
    expect(page.locator(".result .inside")).to_contain_text("The service is busy.")
    expect(page.locator(".result .hint")).to_have_text("all workers are busy")


def test_a_token_is_asked_for_and_kept_in_the_tab(
    open_page: Open, service: page_service.Service, recordings: Path
) -> None:
    service.needs_token = True
    page = open_page()
    page.get_by_label("Access token").fill("wrong")
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_label("Access token")).to_have_value("")
    page.get_by_label("Access token").fill(page_service.TOKEN)
    page.keyboard.press("Enter")
    give(page, recordings / "morning.wav")
    expect(page.locator(".big")).to_have_text("Happiness")
    assert page.evaluate("() => sessionStorage.getItem('ullim-token')") == page_service.TOKEN
    assert "ullim-token" not in page.evaluate("() => Object.keys(localStorage)")


def test_an_unreachable_service_is_told(open_page: Open, recordings: Path) -> None:
    page = open_page()
    page.route("**/v1/predict", lambda route: route.fulfill(status=502, body="<html>"))
    give(page, recordings / "morning.wav")
    expect(page.locator(".result .inside")).to_contain_text("502")


# -- the microphone --------------------------------------------------------------------------


def test_the_microphone_is_recorded(
    open_page: Open, service: page_service.Service, recordings: Path
) -> None:
    page = open_page()
    page.get_by_role("button", name="Start recording").click()
    stop = page.get_by_role("button", name="Stop and analyse")
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"0:01\.\d"))
    stop.click()
    expect(page.locator(".big")).to_have_text("Happiness")
    expect(page.locator(".result h3")).to_have_text("Recording 1.wav")
    assert int(service.asked[0]["bytes"]) > 2 * 16_000  # more than a second of 16-bit samples
    expect(page.get_by_role("button", name="Start recording")).to_be_focused()


def test_a_browser_without_sound_is_told(open_page: Open) -> None:
    """Firefox waits for an output where there is none, and so does whoever waits for it."""
    page = open_page("ko")
    page.evaluate(
        "() => { for (const name of ['resume', 'close'])"
        " AudioContext.prototype[name] = () => new Promise(() => {}); }"
    )
    page.get_by_role("button", name="녹음 시작").click()
    expect(page.get_by_role("alert")).to_contain_text("소리 기능이 시작되지", timeout=20_000)
    expect(page.get_by_role("button", name="녹음 시작")).to_be_visible()


def test_a_refused_microphone_is_told(open_page: Open) -> None:
    page = open_page()
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = "
        "() => Promise.reject(new DOMException('no', 'NotAllowedError')); }"
    )
    page.get_by_role("button", name="Start recording").click()
    expect(page.get_by_role("alert")).to_contain_text("not allowed to use the microphone")
    expect(page.get_by_role("button", name="Start recording")).to_be_enabled()


class LiveService:
    """The WebSocket of a service that hears joy after half a second, and may hang up."""

    def __init__(self, page: Any, *, hang_up_after_s: float | None = None) -> None:
        self.starts: list[dict[str, Any]] = []
        self.samples: list[int] = []
        self.hang_up_after_s = hang_up_after_s
        self.accepted = 0
        self.told = False
        self.refusals = 0
        page.route_web_socket("**/v1/stream", self.talk)

    def talk(self, socket: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            socket.close(code=1013)
            return

        def tell(**event: Any) -> None:
            socket.send(json.dumps(event))

        def hear(message: str | bytes) -> None:
            if isinstance(message, str):
                said = json.loads(message)
                if said["type"] == "start":
                    self.starts.append(said)
                    rate = said["sampling_rate"]
                    tell(type="ready", session="again", resumed_at_s=self.accepted / rate)
                elif said["type"] == "stop":
                    tell(type="final", segment=1, **self.answer(0.9, 1.3, "sadness", "uncertain"))
                    tell(type="end")
                return
            self.accepted += len(message) // 2
            heard_s = self.accepted / self.starts[0]["sampling_rate"]
            if self.hang_up_after_s and heard_s > self.hang_up_after_s:
                self.hang_up_after_s = None
                self.refusals = 1  # for long enough that the page is seen to say so
                socket.close(code=1011)
            elif heard_s > 0.5 and not self.told:
                self.told = True
                tell(type="voice", active=True, at_s=0.1)
                tell(type="partial", **self.answer(0.1, 0.5, "happiness"))
                tell(type="final", segment=0, **self.answer(0.1, 0.5, "happiness"))

        socket.on_message(hear)

    @staticmethod
    def answer(start_s: float, end_s: float, label: str, status: str = "ok") -> dict[str, Any]:
        scores = {one: 0.7 if one == label else 0.05 for one in page_service.LABELS}
        span = {"start_s": start_s, "end_s": end_s}
        return {**span, "status": status, "label": label, "confidence": 0.7, "scores": scores}


def test_live_mode_follows_the_voice(open_page: Open) -> None:
    page = open_page()
    service = LiveService(page)
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start listening").click()
    expect(page.locator(".live-now .big")).to_have_text("Happiness")
    expect(page.get_by_role("status").first).to_have_text("0:00.1: Happiness")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".live-said tbody tr")).to_have_count(2)
    expect(page.locator(".live-said tbody tr").last).to_contain_text("Sadness (uncertain)")
    expect(page.get_by_role("button", name="Start listening")).to_be_focused()
    (start,) = service.starts
    assert (start["format"], start["model"]) == ("pcm16", "default")
    assert "session" not in start
    rows = list(csv.DictReader(io.StringIO(saved(page, "CSV").decode("utf-8-sig"))))
    assert [(row["label"], row["status"]) for row in rows] == [
        ("happiness", "ok"),
        ("sadness", "uncertain"),
    ]


def test_live_mode_comes_back_after_a_lost_connection(open_page: Open) -> None:
    page = open_page("ko")
    service = LiveService(page, hang_up_after_s=1.0)
    page.get_by_role("tab", name="실시간").click()
    page.get_by_role("button", name="듣기 시작").click()
    expect(page.get_by_text("연결이 끊어졌습니다")).to_be_visible()
    expect(page.get_by_text("듣는 중…")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="멈추기").click()
    expect(page.locator(".live-said tbody tr")).to_have_count(2)
    first, second = service.starts
    assert (second["session"], second["last_segment"]) == ("again", 0)
    assert "session" not in first


def test_live_mode_tells_why_the_service_refuses(open_page: Open) -> None:
    page = open_page()

    def refuse(socket: Any) -> None:
        said = {"type": "error", "code": "too_many", "detail": "sixteen people are heard already"}
        socket.on_message(lambda message: socket.send(json.dumps(said)))

    page.route_web_socket("**/v1/stream", refuse)
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start listening").click()
    expect(page.get_by_role("alert")).to_contain_text("sixteen people are heard already")
    expect(page.get_by_role("button", name="Start listening")).to_be_visible()


# -- for everybody ---------------------------------------------------------------------------


def test_the_page_works_by_keyboard_alone(open_page: Open, recordings: Path) -> None:
    page = open_page()
    expect(page.get_by_label("Model", exact=True)).to_be_enabled()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("tab", name="Record")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Open files")).to_be_focused()
    expect(page.locator("#panel-upload")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#files")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(str(recordings / "morning.wav"))
    expect(page.locator(".big")).to_have_text("Happiness")
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "() => { const e = document.activeElement;"
                " return e.id || e.getAttribute('aria-label') || e.innerText; }"
            )
        )
    wanted = {"model", "about-model", "Play: morning.wav", "JSON of morning.wav"}
    assert wanted <= reached
    assert any(words.startswith("Position in morning.wav") for words in reached)


STATES = ("empty", "answers", "live", "card", "token")


def bring(page: Any, state: str, recordings: Path) -> None:
    """Bring a page into a state in which most of it is seen."""
    expect(page.locator("#model")).to_be_enabled()
    if state == "answers":
        names = ("morning.wav", "uncertain.wav", "door.wav", "broken.wav")
        give(page, *(recordings / name for name in names))
        for one in page.locator("summary").all():
            if one.is_visible() and one.evaluate("e => !e.parentElement.open"):
                one.click()
    elif state == "live":
        LiveService(page)
        page.locator("#tab-live").click()
        page.locator("#live").click()
        expect(page.locator(".live-said tbody tr")).to_have_count(1)
    elif state == "card":
        page.locator("#about-model").click()
        expect(page.locator("#card-body table")).to_be_visible()
    elif state == "token":
        page.evaluate("() => document.getElementById('token').showModal()")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("lang", "size", "scheme"), [("en", "desktop", "light"), ("ko", "phone", "dark")]
)
def test_axe_finds_nothing(
    open_page: Open, recordings: Path, lang: str, size: str, state: str, scheme: str
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe-playwright-python is missing: pip install -e '.[browser]'",
    )
    page = open_page(lang, size, scheme, reduced_motion="reduce")
    bring(page, state, recordings)
    found = axe.Axe().run(page).response["violations"]
    told = [
        f"{one['impact']} {one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}"
        for one in found
    ]
    assert told == []


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_a_phone_never_scrolls_sideways(
    open_page: Open, recordings: Path, state: str, lang: str
) -> None:
    page = open_page(lang, "phone")
    page.set_viewport_size({"width": 320, "height": 640})
    bring(page, state, recordings)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 320


def test_reduced_motion_is_respected(open_page: Open) -> None:
    page = open_page(reduced_motion="reduce")
    page.get_by_role("button", name="Start recording").click()
    expect(page.locator("#record.on")).to_be_visible()
    assert page.evaluate("() => document.getAnimations().length") == 0


# -- the service itself ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def real_service() -> Iterator[str]:
    """``ullim serve`` with the bundled models."""
    pytest.importorskip("fastapi", reason="the service is missing: pip install -e '.[serve]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ullim", "serve", "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"{url}readyz", timeout=2):
                    break
            except OSError:
                assert process.poll() is None, "ullim serve ended"
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize(("lang", "happiness"), [("en", "Happiness"), ("ko", "기쁨")])
def test_the_service_answers_the_page(
    open_page: Open, real_service: str, lang: str, happiness: str
) -> None:
    page = open_page(lang, url=real_service)
    give(page, Path(str(ullim.demo_clip())))
    expect(page.locator(".bars")).to_contain_text(happiness)
    expect(page.locator(".cues li:not(.cue-scale)")).to_have_count(7)
    assert page.locator(".cue-words li").count() > 1
    page.locator("#about-model").click()
    expect(page.locator("#card-body table").first).to_be_visible()
    expect(page.locator("#card-body")).to_have_attribute("lang", "en")


def test_the_service_answers_the_microphone(open_page: Open, real_service: str) -> None:
    page = open_page(url=real_service)
    page.get_by_role("button", name="Start recording").click()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"0:01\.\d"))
    page.get_by_role("button", name="Stop and analyse").click()
    expect(page.locator(".result .verdict")).to_be_visible()


def test_the_example_of_streaming_is_run_as_it_stands(open_page: Open, real_service: str) -> None:
    document = Path(__file__).parent.parent / "docs" / "streaming.md"
    text = document.read_text(encoding="utf-8").partition("## From a browser")[2]
    example = re.findall(r"```js\n(.*?)```", text, re.S)[0]
    page = open_page(url=real_service)
    said = []
    page.on("console", lambda message: said.append(message.text))
    ended = page.evaluate(
        "async () => {"
        + example
        + """
        const closed = new Promise((resolve) => {
          socket.onclose = ({ code, reason }) => resolve([code, reason]);
        });
        setTimeout(() => recorder.stop(), 5000);
        return closed;
        }"""
    )
    assert ended == [1000, ""]
    assert said
    for line in said:
        label, confidence = line.split()
        assert label in ullim.load().labels
        assert 0.0 < float(confidence) <= 1.0


def test_the_service_follows_the_page_live(open_page: Open, real_service: str) -> None:
    page = open_page(url=real_service)
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start listening").click()
    expect(page.locator(".live-now .big")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".live-said tbody tr").first).to_be_visible(timeout=20_000)
    expect(page.get_by_role("alert")).to_be_empty()
