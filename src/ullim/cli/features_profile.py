"""``ullim features profile``: what in a voice differs from neutral, beside what the model says."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ullim.cli.console import note, print_json, print_lines, print_table
from ullim.cli.predict import Language
from ullim.errors import FeatureError
from ullim.types import LABELS_KO, STATUS_KO

if TYPE_CHECKING:
    from ullim.features.cues import Cues
    from ullim.features.profile import Profile
    from ullim.types import Prediction


class Gender(StrEnum):
    """Whose neutral speech to compare with, where there is none of the speaker's own."""

    ANY = "any"
    FEMALE = "female"
    MALE = "male"


_HEADINGS = {
    "en": ("cue", "here", "neutral", "unit", "difference"),
    "ko": ("목소리 특징", "이 녹음", "중립", "단위", "차이"),
}


def profile(
    file: Annotated[str, typer.Argument(help="A recording of one speaker.")],
    neutral: Annotated[
        list[str] | None,
        typer.Option(
            "--neutral", "-n", help="A neutral recording of the same speaker, or a folder of them."
        ),
    ] = None,
    gender: Annotated[
        Gender, typer.Option(help="Whose neutral speech is the reference: any, female or male.")
    ] = Gender.ANY,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Name or folder of a bundle; see `ullim models list`."),
    ] = None,
    lang: Annotated[Language, typer.Option(help="Language of the words.")] = Language.EN,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Draw it: X.png, X.svg or X.pdf.")
    ] = None,
) -> None:
    """Measure seven cues of a voice against neutral speech, and say what differs."""
    import ullim
    from ullim.cli.features import check_target
    from ullim.cli.plot import SUFFIXES, plot_profile
    from ullim.cli.predict import expand
    from ullim.features.cue_words import describe
    from ullim.features.profile import compare

    if out is not None:
        check_target(out, SUFFIXES)
    predictor = ullim.load(model)
    cues = _measured(file)
    found = compare(cues, [_measured(one) for one in expand(neutral or ())], who=gender.value)
    prediction = predictor.predict(file)
    words = describe(found, lang.value)
    if out is not None:
        plot_profile(found, _answer(prediction, lang), out, lang=lang.value, title=Path(file).name)
    if json:
        print_json(
            {
                "file": file,
                "cues": cues.to_dict(),
                "profile": found.to_dict(),
                "words": words,
                "prediction": prediction.to_dict(),
            }
        )
    else:
        _print(found, words, _answer(prediction, lang), lang)
    if out is not None:
        note(f"written to {out}")


def _measured(file: str) -> Cues:
    from ullim.audio import read
    from ullim.features.cues import SAMPLING_RATE, measure

    try:
        return measure(read(file, SAMPLING_RATE), SAMPLING_RATE)
    except FeatureError as error:
        raise FeatureError(f"{file}: {error}", code=error.code) from error


def _answer(prediction: Prediction, lang: Language) -> str:
    korean = lang is Language.KO
    status = STATUS_KO[prediction.status] if korean else prediction.status.replace("_", " ")
    if prediction.label is None or prediction.confidence is None:
        return f"모델의 답: {status}" if korean else f"the model says: {status}"
    label = LABELS_KO.get(prediction.label, prediction.label) if korean else prediction.label
    answer = f"{label} {prediction.confidence:.0%}"
    if prediction.status != "ok":
        answer += f" ({status})"
    return f"모델의 답: {answer}" if korean else f"the model says: {answer}"


def _print(found: Profile, words: list[str], answer: str, lang: Language) -> None:
    from ullim.features.cue_words import named, number, unit

    rows: list[tuple[Any, ...]] = [
        (
            named(one, lang.value),
            number(one, one.value),
            number(one, one.neutral),
            unit(one, lang.value),
            "-" if one.z is None else f"{one.z:+.1f}",
        )
        for one in found.differences
    ]
    print_table(None, _HEADINGS[lang.value], rows)
    meaning = (
        "difference: in spreads of neutral speech; 1 is slight, 2 clear, 3.5 strong"
        if lang is Language.EN
        else "차이: 중립 음성의 흩어짐을 단위로 함. 1은 조금, 2는 뚜렷함, 3.5는 큼"
    )
    print_lines(["", meaning, "", *words, "", answer])
