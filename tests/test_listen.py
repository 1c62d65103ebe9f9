"""``ullim listen``: a file as a microphone, a microphone of cardboard, and the screen."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from rich.console import Console

import ullim
from ullim.cli import listen_microphone, listen_screen
from ullim.cli.predict import Language
from ullim.inference.stream import Final, Partial, Stream, Voice
from ullim.types import LABELS_KO

RATE = 16_000


@pytest.fixture(scope="module")
def clip(make_speech, tmp_path_factory) -> Path:
    silence = np.zeros(RATE * 6 // 10, np.float32)
    file = tmp_path_factory.mktemp("clips") / "two.wav"
    phrases = [make_speech(1.0, seed=1), silence, make_speech(1.0, f0_hz=280.0, seed=2), silence]
    soundfile.write(file, np.concatenate(phrases), RATE, subtype="FLOAT")
    return file


@pytest.fixture
def run(run, toy_bundle):
    """Runs ``ullim listen`` with the toy bundle: its exit code, stdout and stderr."""

    def call(*arguments: object, model: Path | None = toy_bundle) -> tuple[int, str, str]:
        outcome = run("listen", *arguments, *(["--model", model] if model else []))
        return outcome.code, outcome.out, outcome.said

    return call


def test_a_file_is_heard_as_a_stream(run, clip, toy_bundle):
    code, out, _ = run("--file", clip, "--fast", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    samples, _ = soundfile.read(clip, dtype="float32")
    stream = Stream(ullim.load(toy_bundle), RATE)
    wanted = [*stream.push(samples), *stream.finish()]
    kinds = {"voice": Voice, "final": Final}
    for kind, of in kinds.items():
        told = [event for event in events if event["type"] == kind]
        assert told == [json.loads(event.to_json()) for event in wanted if isinstance(event, of)]
    assert code == 0
    assert len([event for event in events if event["type"] == "final"]) == 2


def test_a_pipe_gets_a_line_for_each_phrase_in_the_users_language(run, clip):
    code, out, _ = run("--file", clip, "--fast", "--lang", "ko")
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert [len(row) for row in rows] == [4, 4]
    assert {row[1] for row in rows} <= set(LABELS_KO.values())


def test_without_fast_it_takes_as_long_as_it_lasts(run, tmp_path, make_speech):
    file = tmp_path / "short.wav"
    soundfile.write(file, make_speech(0.6), RATE)
    began = time.monotonic()
    code, _, _ = run("--file", file)
    assert code == 0
    assert time.monotonic() - began >= 0.59


def test_labels_are_chosen(run, clip):
    _, out, _ = run("--file", clip, "--fast", "--json", "--labels", "anger, sadness")
    finals = [json.loads(line) for line in out.splitlines() if '"final"' in line]
    assert [set(final["scores"]) for final in finals] == [{"anger", "sadness"}] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--file", "absent.wav"], "no such file"),
        (["--fast"], "--fast belongs to --file"),
        (["--file", "x.wav", "--device", "1"], "--device is for a microphone"),
        (["--file", "x.wav", "--labels", "joy,anger"], "labels must be"),
    ],
)
def test_wrong_use_is_told_in_a_line(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_without_portaudio_it_says_what_to_install(run, monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    for arguments in ([], ["--list-devices"]):
        code, _, err = run(*arguments)
        assert code == 2
        assert "apt install libportaudio2" in err


def test_without_the_extra_it_gives_the_line_that_installs_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, _, err = run()
    assert code == 2
    assert 'pip install "ullim[listen]"' in err


class Microphone(SimpleNamespace):
    """Stands in for sounddevice: one microphone at 48 kHz that hears ``sound``, and no more."""

    active = True

    class PortAudioError(Exception):
        pass

    default = SimpleNamespace(device=[1, 0])

    def query_devices(self, device=None, kind=None):
        if device == "absent":
            raise ValueError("No input device matching 'absent'")
        one = {"name": "Built-in", "default_samplerate": 48_000.0, "max_input_channels": 2}
        speaker = {"name": "Speaker", "default_samplerate": 44_100.0, "max_input_channels": 0}
        return [speaker, one] if kind is None else one

    def InputStream(self, *, callback, samplerate, blocksize, **_):  # noqa: N802
        assert samplerate == 48_000

        def begin() -> None:
            for start in range(0, self.sound.size, blocksize):
                callback(self.sound[start : start + blocksize, None], blocksize, None, None)

        closed = self.closed.append
        return SimpleNamespace(start=begin, close=lambda: closed(True), active=self.active)


class Interrupted(list):
    """A queue that somebody presses Ctrl-C on once it is empty."""

    put = list.append

    def qsize(self) -> int:
        return min(len(self), 3)

    def get(self, timeout=None):
        if not self:
            raise KeyboardInterrupt
        return self.pop(0)


@pytest.fixture
def microphone(monkeypatch, make_speech) -> Microphone:
    sound = np.concatenate([make_speech(1.2, 48_000), np.zeros(24_000, np.float32)])
    made = Microphone(sound=sound, closed=[])
    monkeypatch.setitem(sys.modules, "sounddevice", made)
    return made


def test_the_microphone_is_heard_at_its_own_rate_until_ctrl_c(run, microphone, monkeypatch):
    monkeypatch.setattr(listen_microphone, "SimpleQueue", Interrupted)
    code, out, _ = run("--json")
    assert microphone.closed == [True]
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert events[-1]["type"] == "final"
    assert events[-1]["end_s"] == pytest.approx(1.2, abs=0.25)


@pytest.mark.usefixtures("microphone")
def test_microphones_are_listed_and_an_absent_one_is_told(run):
    code, out, _ = run("--list-devices")
    assert code == 0
    assert out.splitlines() == ["number\tname\trate_hz\tdefault", "1\tBuilt-in\t48000\t*"]
    code, _, err = run("--device", "absent")
    assert code == 2
    assert "No input device matching" in err
    assert "--list-devices" in err


@pytest.mark.parametrize("active", [True, False], ids=["silent", "ended"])
def test_a_microphone_that_is_unplugged_is_told_and_what_was_said_is_answered(
    run, microphone, monkeypatch, active
):
    monkeypatch.setattr(listen_microphone, "_LOOK_S", 0.05)
    monkeypatch.setattr(listen_microphone, "_LOST_S", 0.2)
    microphone.active = active
    microphone.sound = microphone.sound[:48_000]  # in the middle of a phrase
    code, out, err = run("--json")
    assert json.loads(out.splitlines()[-1])["type"] == "final"
    assert code == 2
    assert "connect it again" in err
    assert "--list-devices" in err
    assert "Traceback" not in err
    assert microphone.closed == [True]


@pytest.mark.parametrize(
    ("fails", "given", "said"),
    [
        ("query_devices", ("Error querying device -1",), "Error querying device -1"),
        ("query_devices", ("Error querying host", -9999), "Error querying host"),
        ("InputStream", ("Invalid sample rate", -9997), "set another rate"),
        ("InputStream", ("Device unavailable", -9985), "close the program"),
        ("start", ("Invalid device", -9996), "connect one, or give a recording"),
        ("start", ("Unanticipated host error", -9999), "Unanticipated host error"),
    ],
)
def test_every_failure_of_portaudio_says_what_to_do_next(
    run, microphone, monkeypatch, fails, given, said
):
    def refuse(*_, **__):
        raise Microphone.PortAudioError(*given)

    if fails == "start":
        opened = SimpleNamespace(start=refuse, close=lambda: None, active=False)
        monkeypatch.setattr(microphone, "InputStream", lambda **_: opened, raising=False)
    else:
        monkeypatch.setattr(microphone, fails, refuse, raising=False)
    for arguments in ([], ["--list-devices"]) if fails == "query_devices" else ([],):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert "--list-devices" in err
        assert "Traceback" not in err


def test_a_portaudio_that_does_not_start_is_told(run, monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text(
        "class PortAudioError(Exception): pass\n"
        "raise PortAudioError('Error initializing PortAudio')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    code, _, err = run()
    assert code == 2
    assert "Error initializing PortAudio" in err
    assert "--file" in err


def test_the_screen_shows_who_speaks_and_the_bars():
    live = listen_screen._Live(Language.KO)
    scores = {"anger": 0.7, "calm": 0.3}
    partial = Partial(0.0, 1.0, "ok", "anger", 0.7, scores)
    live.show([Voice(True, 0.2), partial], 1.25, np.full(800, 0.1, np.float32))

    def shown() -> str:
        console = Console(file=io.StringIO(), width=80)
        console.print(live._drawn())
        return console.file.getvalue()

    lines = shown().splitlines()
    assert "말하는 중" in lines[0]
    assert "▮▮▮" in lines[0]
    assert ["화남" in lines[1], "평온" in lines[2]] == [True, True]
    assert lines[1].count("█") > lines[2].count("█") > 0
    final = Final(0.0, 1.5, "uncertain", "anger", 0.5, scores, segment=0)
    assert str(live._line(final)) == "0:00.0 - 0:01.5  화남  50%  불확실"
    live._partial = None
    live.show([Voice(False, 1.5)], 2.0, None)
    assert "듣는 중" in shown()
    assert len(shown().splitlines()) == 1
