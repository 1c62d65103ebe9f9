"""Profiles in plain words, English and Korean."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ullim.features.profile import FEW, Degree, Difference, Profile

Lang = Literal["en", "ko"]

CUES: dict[Lang, dict[str, str]] = {
    "en": {
        "speech_rate": "speech rate",
        "pitch_average": "pitch average",
        "pitch_range": "pitch range",
        "intensity": "intensity",
        "voice_quality": "voice quality",
        "pitch_changes": "pitch changes",
        "articulation": "articulation",
    },
    "ko": {
        "speech_rate": "말 속도",
        "pitch_average": "평균 음높이",
        "pitch_range": "음높이 폭",
        "intensity": "세기",
        "voice_quality": "음색",
        "pitch_changes": "음높이 변화",
        "articulation": "조음",
    },
}


class _Words(NamedTuple):
    """How a measure is spoken of: its name, unit, digits, and what more and less of it are."""

    name: str
    unit: str
    digits: int
    more: str
    less: str


_WORDS: dict[Lang, dict[str, _Words]] = {
    "en": {
        "syllables_per_s": _Words("syllables", "syllables a second", 1, "faster", "slower"),
        "f0_median_hz": _Words("median", "Hz", 0, "higher", "lower"),
        "f0_range_semitones": _Words("10 to 90 %", "semitones", 1, "wider", "narrower"),
        "level_db": _Words("level", "dB", 1, "louder", "softer"),
        "jitter_percent": _Words("jitter", "%", 1, "more irregular", "more regular"),
        "hnr_db": _Words(
            "harmonics to noise", "dB", 1, "clearer, more resonant", "breathier or rougher"
        ),
        "spectral_balance_db": _Words(
            "high to low frequencies", "dB", 1, "more tense and bright", "more lax and dark"
        ),
        "f0_speed_semitones_per_s": _Words(
            "speed", "semitones a second", 0, "more abrupt", "smoother"
        ),
        "f0_end_semitones": _Words("end", "semitones", 1, "higher at the end", "lower at the end"),
        "vowel_space_bark2": _Words(
            "vowel space", "square Bark", 1, "more precise", "more slurred"
        ),
    },
    "ko": {
        "syllables_per_s": _Words("음절", "음절/초", 1, "빠릅니다", "느립니다"),
        "f0_median_hz": _Words("중앙값", "Hz", 0, "높습니다", "낮습니다"),
        "f0_range_semitones": _Words("10~90 %", "반음", 1, "넓습니다", "좁습니다"),
        "level_db": _Words("크기", "dB", 1, "큽니다", "작습니다"),
        "jitter_percent": _Words("주기 떨림", "%", 1, "불규칙합니다", "고릅니다"),
        "hnr_db": _Words("배음 대 잡음", "dB", 1, "맑고 잘 울립니다", "숨소리가 많거나 거칩니다"),
        "spectral_balance_db": _Words(
            "고음역 대 저음역", "dB", 1, "긴장되고 밝습니다", "느슨하고 어둡습니다"
        ),
        "f0_speed_semitones_per_s": _Words("빠르기", "반음/초", 0, "급격합니다", "완만합니다"),
        "f0_end_semitones": _Words("끝", "반음", 1, "끝이 올라갑니다", "끝이 내려갑니다"),
        "vowel_space_bark2": _Words("모음 공간", "Bark²", 1, "또렷합니다", "불분명합니다"),
    },
}

_DEGREES: dict[Lang, dict[Degree, str]] = {
    "en": {"alike": "", "slight": "slightly ", "clear": "", "strong": "much "},
    "ko": {"alike": "", "slight": "조금 더 ", "clear": "더 ", "strong": "훨씬 더 "},
}


def named(difference: Difference, lang: Lang = "en") -> str:
    """Return how a measure is called: its cue, and what of it is measured."""
    return f"{CUES[lang][difference.cue]} ({_WORDS[lang][difference.measure].name})"


def unit(difference: Difference, lang: Lang = "en") -> str:
    """Return the unit of a measure."""
    return _WORDS[lang][difference.measure].unit


def number(difference: Difference, value: float | None) -> str:
    """Return a value with as many digits as mean something; a dash for None."""
    return "-" if value is None else f"{value:.{_WORDS['en'][difference.measure].digits}f}"


def describe(profile: Profile, lang: Lang = "en") -> list[str]:
    """Say what differs, the greatest difference first, and then what to keep in mind.

    Args:
        profile: What :func:`~ullim.features.profile.compare` returns.
        lang: ``en`` or ``ko``.

    Returns:
        A sentence for each measure whose difference is at least slight, by
        ``ullim.features.profile.THRESHOLDS``, or one that says there is none; and one for each
        reservation about what they were held against.
    """
    told = [d for d in profile.differences if d.z is not None and d.degree != "alike"]
    told.sort(key=lambda difference: -abs(difference.z or 0.0))
    lines = [_sentence(difference, profile, lang) for difference in told]
    if not told:
        lines.append(
            "nothing measured differs from neutral speech"
            if lang == "en"
            else "측정한 값 가운데 중립 음성과 다른 것이 없습니다"
        )
    return [*lines, *_reservations(profile, lang)]


def _sentence(difference: Difference, profile: Profile, lang: Lang) -> str:
    words = _WORDS[lang][difference.measure]
    direction = words.more if (difference.z or 0.0) > 0 else words.less
    how = _DEGREES[lang][difference.degree or "alike"]
    here, there = number(difference, difference.value), number(difference, difference.neutral)
    own = profile.against == "speaker"
    if lang == "en":
        whose = "this speaker's neutral" if own else "the neutral speech of others"
        return (
            f"{named(difference)}: {how}{direction} than {whose}: {here} against {there} "
            f"{words.unit}"
        )
    whose = "이 화자의 중립 음성" if own else "다른 사람들의 중립 음성"
    return (
        f"{named(difference, lang)}: {whose}보다 {how}{direction}: {here} (중립 {there}) "
        f"{words.unit}"
    )


def _reservations(profile: Profile, lang: Lang) -> list[str]:
    english = lang == "en"
    if profile.against == "reference":
        whose = {
            "any": ("speakers", "화자"),
            "female": ("women", "여성 화자"),
            "male": ("men", "남성 화자"),
        }[profile.who]
        return [
            f"compared with {profile.n_neutral} other {whose[0]}, not with neutral recordings of "
            "this speaker: what differs between persons is mixed in; intensity is not compared, "
            "because the microphone and its distance decide it"
            if english
            else f"이 화자의 중립 음성이 아니라 다른 {whose[1]} {profile.n_neutral}명과 "
            "비교했으므로 사람 사이의 차이가 섞여 있습니다. 세기는 마이크와 거리에 달려 있어 "
            "비교하지 않았습니다"
        ]
    if profile.few:
        recordings = "recording" if profile.n_neutral == 1 else "recordings"
        return [
            f"only {profile.n_neutral} neutral {recordings} of this speaker: with {FEW} or more "
            "the neutral voice is known better"
            if english
            else f"이 화자의 중립 녹음이 {profile.n_neutral}개뿐입니다. {FEW}개 이상이면 평소 "
            "목소리를 더 잘 알 수 있습니다"
        ]
    return []
