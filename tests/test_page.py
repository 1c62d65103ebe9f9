"""The page without a browser: its words, its colours, and what it must never hold."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from page_service import PAGE
from ullim import audio
from ullim.serving.settings import Settings
from ullim.types import LABELS

SCRIPTS = sorted(PAGE.glob("*.js"))
HTML = (PAGE / "index.html").read_text(encoding="utf-8")
STYLES = {path.name: path.read_text(encoding="utf-8") for path in PAGE.glob("*.css")}
CODE = {path.name: path.read_text(encoding="utf-8") for path in SCRIPTS}


def strings() -> dict[str, dict[str, str]]:
    """Return the words of each language, read from the module as text."""
    found: dict[str, dict[str, str]] = {}
    for line in CODE["strings.js"].splitlines():
        if block := re.fullmatch(r"  (\w+): \{", line):
            found[block[1]] = {}
        elif pair := re.fullmatch(r'    (\w+): "(.*)",', line):
            words = list(found.values())[-1]
            assert pair[1] not in words, f"{pair[1]} is written twice"
            words[pair[1]] = pair[2]
    return found


def test_both_languages_say_the_same_things() -> None:
    english, korean = strings()["en"], strings()["ko"]
    assert len(english) > 80
    assert english.keys() == korean.keys()
    for key, words in english.items():
        filled = set(re.findall(r"\{(\w+)\}", words))
        assert filled == set(re.findall(r"\{(\w+)\}", korean[key])), key
        assert re.search("[가-힣]", korean[key]) or korean[key] == words, f"{key} is not Korean"


def test_every_word_is_there_and_is_used() -> None:
    everything = HTML + "".join(text for name, text in CODE.items() if name != "strings.js")
    known = strings()["en"].keys()
    asked = set(re.findall(r'data-i18n="(\w+)"', HTML)) | set(
        re.findall(r'\bt\("(\w+)"', everything)
    )
    assert asked <= known
    # Keys that are put together from a status, a cue or the state of a button.
    made = re.compile(r"(code|cue|degree|limit|save)_\w+|\w+_(words|start|stop)")
    unused = [
        key for key in known - asked if not made.fullmatch(key) and f'"{key}"' not in everything
    ]
    assert set(unused) <= {"ambiguous", "uncertain", "no_speech", "error"}  # the statuses


# Never met on the page: faults of paths, and of an excerpt, which it does not ask for.
NOT_THE_PAGE_S = {"not_found", "is_directory", "permission", "bad_range"}
SERVICE_CODES = {
    *("bad_audio", "busy", "decoder_died", "idle", "internal", "missing_extra", "no_session"),
    *("stopping", "too_costly", "too_slow", "unauthorized"),
}


def test_every_fault_of_a_recording_and_of_the_service_has_words() -> None:
    faults = set(re.findall(r"^``(\w+)``  ", audio.__doc__ or "", re.M))
    assert len(faults) > 10
    known = {key.removeprefix("code_") for key in strings()["en"] if key.startswith("code_")}
    assert known == (faults - NOT_THE_PAGE_S) | SERVICE_CODES


def test_a_recording_of_any_rate_is_one_that_a_service_takes() -> None:
    source = CODE["sources.js"]
    most = re.search(r"const MOST_BYTES = (\w+);", source)
    assert most
    assert float(most[1]) < Settings().max_file_bytes
    assert "Math.min(MOST_S, MOST_BYTES / (2 * rate))" in source


@pytest.mark.parametrize("name", ["index.html", *STYLES, *CODE])
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    text = (PAGE / name).read_text(encoding="utf-8")
    assert not re.findall(
        r"""(?:src|href|url\(|import|from|fetch\()\s*=?\s*["']?(?:https?:)?//""", text
    )


@pytest.mark.parametrize("name", ["index.html", *STYLES, *CODE])
def test_addresses_are_relative(name: str) -> None:
    text = (PAGE / name).read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href|new URL\(|from)\s*=?\s*["'`]/""", text)


def test_a_strict_policy_holds() -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)", HTML)
    assert not re.search(r"<style|\sstyle=|\son\w+=", HTML)


@pytest.mark.parametrize("name", CODE)
def test_no_text_is_ever_parsed_as_html_or_code(name: str) -> None:
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert not re.search(banned, CODE[name])


@pytest.mark.parametrize("name", CODE)
def test_nothing_that_was_said_is_stored(name: str) -> None:
    kept = re.findall(r"(?:local|session)Storage\.setItem\(([^)]*)\)", CODE[name])
    assert set(kept) <= {"`ullim-${key}`, value", "TOKEN, token"}
    assert not re.search(r"indexedDB|caches\.|document\.cookie|serviceWorker", CODE[name])


def test_only_language_and_model_are_remembered() -> None:
    assert set(re.findall(r'remember\("(\w+)"', CODE["main.js"])) == {"language", "model"}


def colours(scheme: str) -> dict[str, str]:
    """Return the custom properties of a scheme that are plain colours."""
    text = STYLES["colours.css"]
    start = text.index("@media (prefers-color-scheme: dark)")
    part = text[start:] if scheme == "dark" else text[:start]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part))
    if scheme == "light":
        found |= {k.removeprefix("light-"): v for k, v in found.items() if k.startswith("light-")}
    return found


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, by WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("label", [*LABELS, "silent"])
def test_every_emotion_is_seen_on_its_ground(label: str, scheme: str) -> None:
    known = colours(scheme)
    assert contrast(known[label], known["sheet"]) >= 3.0
    if scheme == "dark":
        assert known[label] != colours("light")[label]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft"])
@pytest.mark.parametrize("ground", ["paper", "sheet", "sunk"])
def test_words_are_read_on_every_ground(ink: str, ground: str, scheme: str) -> None:
    assert contrast(colours(scheme)[ink], colours(scheme)[ground]) >= 4.5


def test_no_two_emotions_look_alike_without_colour() -> None:
    patterns = dict(
        re.findall(r'\[data-emotion="(\w+)"\] \{[^}]*?--pattern: ([^;]+);', STYLES["emotions.css"])
    )
    patterns["neutral"] = "none"
    assert patterns.keys() == set(LABELS)
    for one, other in combinations(LABELS, 2):
        assert patterns[one] != patterns[other], (one, other)
