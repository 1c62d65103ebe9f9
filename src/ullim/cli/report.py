"""``ullim report``: one page about one run, that anybody can open."""

from __future__ import annotations

import io
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ullim.cli.console import StageProgress, note
from ullim.errors import AudioError, RecipeError

if TYPE_CHECKING:
    from ullim.evaluation.predictions import Run
    from ullim.evaluation.report import Clip, Facts
    from ullim.types import Utterance

_MEDIA_HZ = 16_000
_LONGEST_S = 20.0


class Lang(StrEnum):
    """Languages of the page."""

    EN = "en"
    KO = "ko"


def report(
    run: Annotated[Path, typer.Argument(help="A run folder that `ullim run` has written.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="HTML file; RUN/report.html by default.")
    ] = None,
    lang: Annotated[Lang, typer.Option(help="Language of the page.")] = Lang.EN,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Also write Markdown beside it.")
    ] = False,
    corpus: Annotated[
        list[str] | None,
        typer.Option("--corpus", "-c", help="NAME=PATH: tells genders, and recordings to hear."),
    ] = None,
    with_audio: Annotated[
        bool,
        typer.Option(
            "--with-audio",
            help="Put the recordings of the ten surest mistakes into the page; needs --corpus. "
            "Then the page may only go where their licence allows.",
        ),
    ] = False,
    draws: Annotated[int, typer.Option(min=100, help="Draws of speakers.")] = 2000,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="First compute metrics.json again from predictions.csv."),
    ] = False,
) -> None:
    """Write one self-contained HTML page about a run: figures, confusions, mistakes, confidence."""
    from ullim._files import write_text
    from ullim.evaluation.predictions import read_run
    from ullim.evaluation.report import render
    from ullim.evaluation.summary import refresh as compute_again

    if with_audio and not corpus:
        raise RecipeError(
            "--with-audio needs the recordings: give --corpus NAME=PATH", code="no_corpus"
        )
    finished = read_run(run)
    if refresh:
        compute_again(finished, draws=draws)
        finished = read_run(run)
    facts = _facts(finished, corpus or [], with_audio=with_audio)
    html, text = render(finished, language=lang.value, facts=facts, draws=draws)
    target = out or run / "report.html"
    write_text(target, html)
    note(f"written to {target} ({len(html.encode()) / 1e6:.1f} MB)")
    if markdown:
        beside = target.with_suffix(".md")
        write_text(beside, text)
        note(f"written to {beside}")


def _facts(run: Run, pairs: list[str], *, with_audio: bool) -> Facts:
    from ullim import registry
    from ullim.corpora.folders import corpus_folder
    from ullim.evaluation.report import Facts, media_wanted

    genders: dict[str, dict[str, str]] = {}
    clips: dict[str, dict[str, Clip]] = {}
    wanted = media_wanted(run) if with_audio else {}
    for pair in pairs:
        name, folder = corpus_folder(pair)
        if name not in run.metrics["corpora"]:
            raise RecipeError(
                f"this run has no corpus {name!r}; it has: {', '.join(run.metrics['corpora'])}",
                code="wrong_corpora",
            )
        loader: Any = registry.component("corpora", name)(**_options(run, name))
        utterances: dict[str, Utterance] = {u.id: u for u in loader.load(folder)}
        genders[name] = {u.id: u.gender for u in utterances.values() if u.gender}
        found = [utterances[i] for i in wanted.get(name, ()) if i in utterances]
        if with_audio and len(found) < len(wanted.get(name, ())):
            note(f"{name}: {len(wanted[name]) - len(found)} of the clips are not under {folder}")
        with StageProgress() as progress:
            clips[name] = {}
            for done, utterance in enumerate(found, start=1):
                try:
                    clips[name][utterance.id] = _clip(utterance)
                except AudioError as error:
                    note(f"{name}: {error}")
                progress("recordings", done, len(found))
    return Facts(genders, clips)


def _options(run: Run, name: str) -> dict[str, Any]:
    """Return how the recipe reads a corpus."""
    parts = (run.recipe.get("task") or {}).get("corpora") or []
    return next((dict(p.get("options") or {}) for p in parts if p.get("name") == name), {})


def _clip(utterance: Utterance) -> Clip:
    import soundfile

    from ullim import audio
    from ullim.evaluation.report import Clip
    from ullim.features.spectral import LogMel

    signal = audio.read(utterance.file, _MEDIA_HZ, start_s=utterance.start_s, end_s=utterance.end_s)
    signal = signal[: round(_LONGEST_S * _MEDIA_HZ)]
    encoded = io.BytesIO()
    soundfile.write(encoded, signal, _MEDIA_HZ, format="FLAC", subtype="PCM_16")
    feature = LogMel(sampling_rate=_MEDIA_HZ, n_mels=80)
    return Clip(
        audio=encoded.getvalue(),
        media_type="audio/flac",
        duration_s=len(signal) / _MEDIA_HZ,
        levels_db=feature.extract(signal).astype(float),
        top_hz=_MEDIA_HZ / 2,
    )
