"""The page and the streams in Firefox, with the service itself.

``apt install firefox-esr`` on Debian; another one by the variable ULLIM_FIREFOX. Firefox begins no
sound, not even a microphone's, where the machine has no output at all. Without one:
``apt install pulseaudio`` and ``pulseaudio -n -L module-null-sink -L module-native-protocol-unix``.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import ullim

pytestmark = [pytest.mark.browser, pytest.mark.slow]

pytest.importorskip("websockets", reason="websockets is missing: pip install -e '.[browser]'")
pytest.importorskip("fastapi", reason="the service is missing: pip install -e '.[serve]'")

import firefox  # noqa: E402
from service import serving  # noqa: E402

CLIP = Path(str(ullim.demo_clip()))
DOCUMENT = Path(__file__).parent.parent / "docs" / "streaming.md"

# The recording as a microphone, for whoever asks for one. Nothing but the sound of a page can be
# made into a stream, and where there is no output, there is none.
SPEAK = """(async () => {
  const context = new AudioContext();
  const late = new Promise((resolve) => { setTimeout(resolve, 3000); });
  await Promise.race([context.resume(), late]);
  if (context.state !== "running") return false;
  const bytes = Uint8Array.from(atob(CLIP), (letter) => letter.charCodeAt(0));
  const source = context.createBufferSource();
  source.buffer = await context.decodeAudioData(bytes.buffer);
  source.loop = true;
  const voice = context.createMediaStreamDestination();
  source.connect(voice);
  source.start();
  navigator.mediaDevices.getUserMedia = async () => voice.stream.clone();
  return true;
})()"""

# What MediaRecorder makes of three seconds of the microphone, sent to the service.
RECORD = """(async () => {
  const media = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(media, OPTIONS);
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.onstart = () => setTimeout(() => recorder.stop(), 3000);
  recorder.start();
  await stopped;
  const recording = new Blob(parts);
  const form = new FormData();
  form.append("files", recording, "recording");
  const answer = await fetch("v1/predict", { method: "POST", body: form });
  const head = [...new Uint8Array(await recording.slice(0, 4).arrayBuffer())];
  return [head, answer.status, (await answer.json()).predictions[0]];
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[firefox.Firefox]:
    names = ("firefox", "firefox-esr")
    path = os.environ.get("ULLIM_FIREFOX") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("there is no Firefox: install it, or name it in ULLIM_FIREFOX")
    with firefox.running(path, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(Path("default"), "--workers", "1") as server:
        yield f"{server.url}/"


@pytest.fixture
def page(browser: firefox.Firefox, url: str) -> Iterator[firefox.Firefox]:
    """The page, freshly opened; afterwards it must not have failed."""
    browser.open(url)
    browser.until("!document.querySelector('#model').disabled")
    yield browser
    assert browser.wrong == []


@pytest.fixture
def speaking(page: firefox.Firefox) -> firefox.Firefox:
    clip = base64.b64encode(CLIP.read_bytes()).decode()
    if not page.run(SPEAK.replace("CLIP", json.dumps(clip))):
        pytest.skip("this machine has no output for sound; see the head of this file")
    return page


def press(page: firefox.Firefox, *selectors: str) -> None:
    for selector in selectors:
        page.run(f"document.querySelector({json.dumps(selector)}).click()")


def test_a_file_is_answered(page: firefox.Firefox) -> None:
    press(page, "#tab-upload")
    page.give("#files", CLIP)
    page.until("document.querySelector('.result:not(.waiting) .verdict')")
    wanted = ullim.predict(CLIP).label
    assert page.run("document.querySelector('.big').textContent").lower() == wanted
    assert page.run("document.querySelectorAll('.cues li:not(.cue-scale)').length") == 7
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert page.picture().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "head"),
    [({}, b"OggS"), ({"mimeType": "audio/webm;codecs=opus"}, b"\x1aE\xdf\xa3")],
    ids=["its own choice", "webm"],
)
def test_what_its_recorder_gives_is_taken(
    page: firefox.Firefox, options: dict[str, str], head: bytes
) -> None:
    begins, status, found = page.run(RECORD.replace("OPTIONS", json.dumps(options)))
    assert (bytes(begins), status) == (head, 200)
    assert 0.3 < found["duration_s"] < 4.0  # where all processors are taken, the tone has gaps
    assert found["status"] == "no_speech"  # its microphone is a tone


def test_the_microphone_is_recorded(speaking: firefox.Firefox) -> None:
    press(speaking, "#record")
    speaking.until("/^0:03/.test(document.querySelector('#record-time').textContent)")
    press(speaking, "#record")
    label = speaking.until("document.querySelector('.result:not(.waiting) .big')?.textContent")
    assert label.lower() in ullim.load().labels


def test_live_mode_follows_the_voice(speaking: firefox.Firefox) -> None:
    press(speaking, "#tab-live", "#live")
    speaking.until("document.querySelector('.live-now .big')")
    press(speaking, "#live")
    speaking.until("document.querySelector('.live-said tbody tr')")
    assert speaking.run("document.querySelector('[role=alert]').textContent") == ""


def test_the_example_of_streaming_is_run_as_it_stands(speaking: firefox.Firefox) -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("## From a browser")[2]
    example = re.findall(r"```js\n(.*?)```", text, re.S)[0]
    code, said = speaking.run(
        "(async () => {const said = []; console.log = (...words) => said.push(words);"
        + example
        + """
        const closed = new Promise((resolve) => { socket.onclose = ({ code }) => resolve(code); });
        setTimeout(() => recorder.stop(), 5000);
        return [await closed, said];
        })()"""
    )
    assert code == 1000
    assert {label for label, _ in said} <= set(ullim.load().labels)
    assert said
