"""SAVEE: British English, four men, seven emotions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ullim.corpora import Corpus, acted
from ullim.types import Utterance

_LABELS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
_SPEAKERS = ("DC", "JE", "JK", "KL")
# AudioData/DC/a01.wav, or DC_a01.wav where everything lies in one folder.
_NAME = re.compile(r"(?:(?P<speaker>[A-Z]{2})_)?(?P<emotion>sa|su|[adfhn])(?P<sentence>\d\d)")


class Savee(Corpus):
    """Surrey Audio-Visual Expressed Emotion database.

    Each man said 15 TIMIT sentences in every emotion, and 30 in neutral. The first three of an
    emotion are the same for all (group ``common``); the others differ from emotion to emotion
    (group ``by-emotion``).

    Reference: facts from the owner's ``Info.txt`` and site (https://kahlan.eps.surrey.ac.uk/savee).
    """

    name = "savee"
    title = "SAVEE"
    languages = ("en-GB",)
    labels = tuple(_LABELS.values())
    licence = "free for research, from the owner after registration; no licence text published"
    citation = (
        "Haq S, Jackson PJB (2010). Multimodal Emotion Recognition. In: Wang W (ed), Machine "
        "Audition: Principles, Algorithms and Systems. IGI Global, 398-423. "
        "https://doi.org/10.4018/978-1-61520-919-4.ch017"
    )
    homepage = "https://kahlan.eps.surrey.ac.uk/savee"
    layout = "AudioData/DC/a01.wav, or DC_a01.wav"
    how_to_get = (
        "Free for research: register on the download page of the owner's site, which then gives a "
        "name and a password; of the archive, AudioData is enough. Whether the site still gives "
        "them out was not verified."
    )
    expected_counts = {label: 120 if label == "neutral" else 60 for label in labels}
    expected_speakers = 4
    revealing_groups = ("by-emotion",)
    known_defects = (
        "Twelve of an emotion's 15 sentences are said in no other emotion but, two of them, in "
        "neutral: words and label go together.",
        "That 01 to 03 are the common sentences follows the order of the owner's description and "
        "was not checked against a transcript, least of all for neutral.",
        "All four speakers are men aged 27 to 31: nothing can be said of other voices.",
    )

    def _scan(self, path: Path) -> Iterator[Utterance]:
        # Resolved, so that a path given as a speaker's own folder still names him.
        for file in path.resolve().rglob("*.wav"):
            match = _NAME.fullmatch(file.stem)
            if match is None:
                continue
            speaker = match["speaker"] or file.parent.name
            if speaker not in _SPEAKERS:
                continue
            common = match["sentence"] in {"01", "02", "03"}
            said = f"{match['emotion']}{match['sentence']}"
            yield Utterance(
                id=f"{speaker}_{said}",
                file=file,
                corpus=self.name,
                speaker=speaker,
                votes=acted(_LABELS[match["emotion"]]),
                gender="male",
                language="en-GB",
                sentence_id=f"common-{match['sentence']}" if common else said,
                group="common" if common else "by-emotion",
                licence=self.licence,
            )
