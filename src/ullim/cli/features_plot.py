"""``ullim features plot``: a recording in one picture, or one spectrogram for each emotion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ullim.cli.console import note
from ullim.cli.predict import Language
from ullim.errors import CorpusError, UllimError
from ullim.types import LABELS, Utterance


def plot_file(
    file: Annotated[
        str | None, typer.Argument(help="An audio file; none with --by-emotion.")
    ] = None,
    by_emotion: Annotated[
        str | None,
        typer.Option(
            "--by-emotion", help="NAME=PATH of a corpus: one spectrogram for each emotion."
        ),
    ] = None,
    speaker: Annotated[
        str | None, typer.Option(help="With --by-emotion: whose; by default who has most emotions.")
    ] = None,
    sentence: Annotated[
        str | None, typer.Option(help="With --by-emotion: the sentence's id in the corpus.")
    ] = None,
    lang: Annotated[Language, typer.Option(help="Language of the titles.")] = Language.EN,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="X.png, X.svg or X.pdf; FILE.png or NAME.png by default."),
    ] = None,
) -> None:
    """Draw a recording: waveform, log-mel spectrogram, energy and pitch."""
    from ullim.cli.features import check_target
    from ullim.cli.plot import SUFFIXES, plot, plot_emotions
    from ullim.corpora.folders import corpus_folder
    from ullim.registry import component

    if (file is None) == (by_emotion is None):
        raise UllimError(
            "give one recording, FILE, or one corpus, --by-emotion NAME=PATH", code="bad_usage"
        )
    name, folder = corpus_folder(by_emotion, option="--by-emotion") if by_emotion else ("", Path())
    target = out or Path(Path(file or name or "-").name).with_suffix(".png")
    check_target(target, SUFFIXES)
    if file is not None:
        if speaker is not None or sentence is not None:
            raise UllimError(
                "--speaker and --sentence choose within a corpus: give --by-emotion NAME=PATH",
                code="bad_usage",
            )
        plot(file, target)
    else:
        chosen = choose(
            component("corpora", name)().load(folder), speaker=speaker, sentence=sentence
        )
        plot_emotions(chosen, target, lang=lang.value)
        note(", ".join(f"{label}: {found.id}" for label, found in chosen.items()))
    note(f"written to {target}")


def choose(
    utterances: Sequence[Utterance], *, speaker: str | None = None, sentence: str | None = None
) -> dict[str, Utterance]:
    """Choose one clip for each emotion, of one speaker and, where it can be, one sentence.

    Without a speaker, the first by name of those with the most emotions; without a sentence, the
    first of those this speaker says with the most emotions. Of several clips the first by id is
    taken. An emotion the sentence is not spoken with is left out.

    Raises:
        CorpusError: There is no such speaker or sentence.
    """
    labelled = [(label, u) for u in utterances if (label := _label(u)) is not None]
    who = _pick([(str(u.speaker), label) for label, u in labelled], speaker, "speaker")
    theirs = [(label, u) for label, u in labelled if str(u.speaker) == who]
    what = _pick([(str(u.sentence_id), label) for label, u in theirs], sentence, "sentence")
    found: dict[str, Utterance] = {}
    for label, utterance in sorted(theirs, key=lambda pair: pair[1].id):
        if str(utterance.sentence_id) == what:
            found.setdefault(label, utterance)
    return {label: found[label] for label in LABELS if label in found}


def _pick(pairs: Sequence[tuple[str, str]], asked: str | None, noun: str) -> str:
    """Return the first key of the most labels, or the one asked for."""
    labels: dict[str, set[str]] = {}
    for key, label in pairs:
        labels.setdefault(key, set()).add(label)
    if asked is None and labels:
        return min(labels, key=lambda key: (-len(labels[key]), key))
    if asked is None or asked not in labels:
        known = sorted(labels)
        more = ", ..." if len(known) > 10 else ""
        raise CorpusError(
            f"there is no {noun} {asked!r} with an emotion; there are: "
            f"{', '.join(known[:10])}{more}",
            code=f"unknown_{noun}",
        )
    return asked


def _label(utterance: Utterance) -> str | None:
    """Return what most raters heard; None where two labels share the top."""
    first = Counter(vote.label for vote in utterance.votes).most_common(2)
    if not first or (len(first) == 2 and first[0][1] == first[1][1]):
        return None
    return first[0][0] if first[0][0] in LABELS else None
