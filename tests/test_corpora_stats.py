"""Statistics count what a toy corpus holds; the pictures are drawn without a screen."""

from __future__ import annotations

import builtins
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ullim import registry
from ullim.corpora.ravdess import Ravdess
from ullim.corpora.stats import UNKNOWN, label_of, statistics
from ullim.errors import CorpusError, MissingExtraError
from ullim.types import Utterance, Vote

TOYS = ["ravdess", "emodb", "emotiontts_ko", "esc10"]


@pytest.mark.parametrize("name", TOYS)
def test_every_table_adds_up(name, toy_corpus):
    corpus = registry.component("corpora", name)()
    figures = statistics(corpus, toy_corpus(name))
    n = figures["utterances"]
    for table in ("labels_by_speaker", "labels_by_gender"):
        assert sum(sum(row.values()) for row in figures[table].values()) == n
    for counts in ("sampling_rates", "channels", "languages", "groups"):
        assert sum(figures[counts].values()) == n
    assert sum(map(len, figures["durations_s"].values())) == n
    assert set(figures["labels"]) == set(corpus.labels)
    assert figures["unreadable"] == []
    json.dumps(figures)


def test_ravdess(toy_corpus):
    figures = statistics(Ravdess(), toy_corpus("ravdess"))
    assert (figures["utterances"], figures["speakers"]) == (45, 3)
    assert figures["speakers_by_gender"] == {"female": 1, "male": 2}
    assert figures["labels_by_gender"]["male"]["anger"] == 4
    assert figures["sampling_rates"] == {"48000": 45}
    assert figures["channels"] == {"1": 43, "2": 2}
    assert figures["duration_s"]["total"] == pytest.approx(45 * 0.2, abs=0.1)
    assert figures["duration_s"]["by_label"]["fear"]["median"] == pytest.approx(0.2, abs=1e-3)
    # All say one sentence, which tells nothing: as good as always answering a commonest label.
    assert figures["texts"]["sentences"] == 1
    texts = figures["texts"]
    assert texts["share_guessed_from_sentence"] == texts["share_guessed_without"]


def test_a_sentence_that_gives_the_label_away_is_told(toy_corpus, monkeypatch):
    rows = Ravdess().load(toy_corpus("ravdess"))
    telling = [replace(row, sentence_id=label_of(row)) for row in rows]
    monkeypatch.setattr(Ravdess, "load", lambda self, path: telling)
    texts = statistics(Ravdess(), Path())["texts"]
    assert texts["share_guessed_from_sentence"] == 1.0
    assert texts["share_guessed_without"] < 0.2


def test_sentences_said_once_tell_nothing(toy_corpus, monkeypatch):
    rows = Ravdess().load(toy_corpus("ravdess"))
    monkeypatch.setattr(
        Ravdess, "load", lambda self, path: [replace(row, sentence_id=row.id) for row in rows]
    )
    texts = statistics(Ravdess(), Path())["texts"]
    assert texts["sentences"] == 45
    assert texts["share_guessed_from_sentence"] is None


def test_stretches_of_one_file_have_their_own_length(toy_corpus, monkeypatch):
    first = Ravdess().load(toy_corpus("ravdess"))[0]
    parts = [
        replace(first, id="a", start_s=0.05, end_s=0.1),
        replace(first, id="b", start_s=0.1, end_s=9.0),
    ]
    monkeypatch.setattr(Ravdess, "load", lambda self, path: parts)
    figures = statistics(Ravdess(), Path())
    assert figures["durations_s"]["neutral"] == pytest.approx([0.05, 0.1], abs=1e-3)


def test_unreadable_recordings_are_told(toy_corpus):
    root = toy_corpus("ravdess")
    next(root.rglob("03-01-05-*.wav")).write_bytes(b"RIFF")
    figures = statistics(Ravdess(), root)
    assert len(figures["unreadable"]) == 1
    assert figures["utterances"] == 45
    assert len(figures["durations_s"]["anger"]) == 5


def test_label_is_what_most_raters_said():
    def row(*labels: str) -> Utterance:
        votes = tuple(Vote(str(n), label) for n, label in enumerate(labels))
        return Utterance("a", Path("a.wav"), "toy", None, votes)

    assert label_of(row("fear", "anger", "anger")) == "anger"
    assert label_of(row("fear", "anger")) == "fear"
    assert label_of(row()) == UNKNOWN


class TestPictures:
    @pytest.mark.parametrize("korean", [False, True])
    def test_three_are_drawn(self, korean, toy_corpus, tmp_path):
        pytest.importorskip("matplotlib")
        from ullim.corpora import _pictures

        figures = statistics(Ravdess(), toy_corpus("ravdess"))
        files = _pictures.draw(figures, tmp_path / "new" / "pictures", korean=korean)
        assert [file.name for file in files] == [
            "ravdess_labels_by_speaker.png",
            "ravdess_labels_by_gender.png",
            "ravdess_durations.png",
        ]
        for file in files:
            assert file.read_bytes().startswith(b"\x89PNG")
            assert file.stat().st_size > 5_000
        assert len(list((tmp_path / "new" / "pictures").iterdir())) == 3

    def test_many_speakers_one_label_no_gender(self, toy_corpus, tmp_path, monkeypatch):
        pytest.importorskip("matplotlib")
        from ullim.corpora import _pictures

        first = Ravdess().load(toy_corpus("ravdess"))[0]
        crowd = [replace(first, id=str(n), speaker=str(n), gender=None) for n in range(99)]
        monkeypatch.setattr(Ravdess, "load", lambda self, path: crowd)
        assert len(_pictures.draw(statistics(Ravdess(), Path()), tmp_path)) == 3

    def test_english_where_no_font_has_hangul(self, monkeypatch):
        font_manager = pytest.importorskip("matplotlib.font_manager")
        from ullim.corpora import _pictures

        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
        assert _pictures._names(["fear"], True) == {"fear": "fear"}

    def test_folder_that_can_not_be_written(self, toy_corpus, tmp_path):
        pytest.importorskip("matplotlib")
        from ullim.corpora import _pictures

        (tmp_path / "taken").write_text("a file")
        figures = statistics(Ravdess(), toy_corpus("ravdess"))
        with pytest.raises(CorpusError, match="can not be written") as caught:
            _pictures.draw(figures, tmp_path / "taken")
        assert caught.value.code == "not_writable"

    def test_without_matplotlib_the_pip_line_is_named(self, monkeypatch):
        from ullim.corpora import _pictures

        real = builtins.__import__

        def absent(name, *arguments, **options):
            if name.startswith("matplotlib"):
                raise ImportError(name)
            return real(name, *arguments, **options)

        monkeypatch.setattr(builtins, "__import__", absent)
        with pytest.raises(MissingExtraError, match=r"ullim\[train\]"):
            _pictures.require()
