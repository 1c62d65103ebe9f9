"""Every corpus states its facts and reads its owner's layout; the traps of each are held."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from ullim import registry
from ullim.corpora import ACTOR, acted
from ullim.corpora._rows import OWNER
from ullim.errors import CorpusError, UllimError
from ullim.types import LABELS, NO_SPEECH, Utterance

CORPORA = registry.components("corpora")
EVERY_CORPUS = pytest.mark.parametrize("cls", CORPORA.values(), ids=CORPORA)

# What a corpus' owner does not tell, and what his corpus has or lacks that others do not.
WITHOUT_SPEAKERS = {"aihub_dialogue", "mosei"}
WITHOUT_COUNTS = {"mosei"}
RATED = {"aihub_dialogue", "iemocap", "mosei"}
CUT = {"mosei"}
LICENCE_PER_CLIP = {"fsdkaggle2018"}
SAME_LAYOUT = ({"esc10", "esc50"},)


def label_of(utterance: Utterance) -> str:
    (vote,) = utterance.votes
    return vote.label


def by_id(utterances: list[Utterance]) -> dict[str, Utterance]:
    return {utterance.id: utterance for utterance in utterances}


def duplicate(root: Path) -> None:
    """Put a second copy of a corpus inside it."""
    copy = root.parent / "copy"
    shutil.copytree(root, copy)
    shutil.move(copy, root / "backup")


class TestEveryCorpus:
    @EVERY_CORPUS
    def test_facts_are_stated(self, cls):
        for fact in ("title", "licence", "citation", "layout"):
            assert getattr(cls, fact).strip(), fact
        assert cls.anyones or re.search(r"\b(19|20)\d\d\b", cls.citation), "which year?"
        assert re.fullmatch(r"https://\S+", cls.homepage)
        assert bool(cls.how_to_get.strip()) != cls.anyones
        assert not (cls.anyones and cls.downloads)
        assert re.fullmatch(r"[a-z0-9_]+", cls.name)
        assert all(isinstance(defect, str) and defect for defect in cls.known_defects)

    @EVERY_CORPUS
    def test_languages_are_bcp_47(self, cls):
        assert cls.languages
        assert all(re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", code) for code in cls.languages)

    @EVERY_CORPUS
    def test_labels_are_canonical_and_once_each(self, cls):
        assert set(cls.labels) <= {*LABELS, NO_SPEECH}
        assert len(set(cls.labels)) == len(cls.labels) >= 1

    @EVERY_CORPUS
    def test_expected_counts_name_the_labels(self, cls):
        expected = set() if cls.anyones or cls.name in WITHOUT_COUNTS else set(cls.labels)
        assert set(cls.expected_counts) == expected
        assert all(count > 0 for count in cls.expected_counts.values())
        assert cls.expected_speakers is None or cls.expected_speakers >= 1

    @EVERY_CORPUS
    def test_class_docstring_says_what_it_is(self, cls):
        assert cls.__doc__
        assert cls.__module__ == f"ullim.corpora.{cls.name}"

    @EVERY_CORPUS
    def test_toy_tree_loads(self, cls, toy_corpus):
        utterances = cls().load(toy_corpus(cls.name))
        assert [u.id for u in utterances] == sorted({u.id for u in utterances})
        offered = cls().offered(utterances)
        assert set(offered) <= set(cls.labels)
        assert {u.votes[0].label for u in utterances} == set(offered)
        told = cls.name not in WITHOUT_SPEAKERS
        n_speakers = min(3, cls.expected_speakers or 3) if told else 1
        assert len({u.speaker for u in utterances}) >= n_speakers
        for utterance in utterances:
            assert utterance.file.is_file()
            assert utterance.corpus == cls.name
            assert bool(utterance.speaker) == told
            assert cls.anyones or utterance.language in {*cls.languages, None}
            assert utterance.gender in {"female", "male", "other", None}
            assert (utterance.licence == cls.licence) == (cls.name not in LICENCE_PER_CLIP)
            assert (len(utterance.votes) > 1) == (cls.name in RATED)
            assert cls.name in RATED or utterance.votes[0].rater in {ACTOR, OWNER}
            assert (utterance.end_s is not None) == (cls.name in CUT)
            assert {vote.label for vote in utterance.votes} <= set(cls.labels)

    @EVERY_CORPUS
    def test_ids_do_not_depend_on_where_the_corpus_lies(self, cls, toy_corpus, tmp_path):
        root = toy_corpus(cls.name)
        elsewhere = tmp_path / "else where" / "한국어"
        shutil.copytree(root, elsewhere)
        here, there = cls().load(str(root)), cls().load(elsewhere)
        assert [u.id for u in here] == [u.id for u in there]
        assert [u.speaker for u in here] == [u.speaker for u in there]
        assert [u.votes for u in here] == [u.votes for u in there]

    @EVERY_CORPUS
    def test_folder_given_as_a_relative_path(self, cls, toy_corpus, monkeypatch):
        root = toy_corpus(cls.name)
        monkeypatch.chdir(root)
        assert len(cls().load(".")) == len(cls().load(root))

    @EVERY_CORPUS
    def test_missing_folder_tells_layout_and_source(self, cls, tmp_path):
        source = f"ullim corpora show {cls.name}" if cls.anyones else cls.homepage
        with pytest.raises(CorpusError, match=re.escape(source)) as caught:
            cls().load(tmp_path / "nowhere")
        assert caught.value.code == "not_found"
        assert cls.layout in str(caught.value)
        assert "nowhere" in str(caught.value)

    @EVERY_CORPUS
    def test_file_instead_of_folder(self, cls, tmp_path):
        file = tmp_path / "corpus.zip"
        file.write_bytes(b"PK")
        with pytest.raises(CorpusError, match="is not a folder"):
            cls().load(file)

    @EVERY_CORPUS
    def test_empty_folder_tells_the_layout(self, cls, tmp_path):
        with pytest.raises(CorpusError, match=re.escape(cls.layout)) as caught:
            cls().load(tmp_path)
        assert caught.value.code == "empty"

    @EVERY_CORPUS
    def test_another_corpus_is_not_taken_for_this_one(self, cls, toy_corpus):
        for other in CORPORA:
            if other != cls.name and {other, cls.name} not in SAME_LAYOUT:
                # A reader of anybody's recordings may also say what is strange about them.
                with pytest.raises(CorpusError, match=None if cls.anyones else "nothing under"):
                    cls().load(toy_corpus(other))

    @EVERY_CORPUS
    def test_second_copy_never_doubles_rows(self, cls, toy_corpus):
        root = toy_corpus(cls.name)
        before = [u.id for u in cls().load(root)]
        duplicate(root)
        with contextlib.suppress(CorpusError):
            assert [u.id for u in cls().load(root)] == before

    @pytest.mark.parametrize("name", ["ravdess", "emodb", "emotiontts_ko", "savee", "tess", "nemo"])
    def test_two_copies_are_refused_by_name(self, name, toy_corpus):
        root = toy_corpus(name)
        first = registry.component("corpora", name)().load(root)[0]
        duplicate(root)
        with pytest.raises(CorpusError, match=f"lies twice under .*{first.id}") as caught:
            registry.component("corpora", name)().load(root)
        assert caught.value.code == "repeated"


class TestRavdess:
    def test_name_is_read_field_by_field(self, toy_corpus):
        rows = by_id(registry.component("corpora", "ravdess")().load(toy_corpus("ravdess")))
        assert len(rows) == 3 * 15
        row = rows["03-01-05-02-01-01-02"]
        assert (label_of(row), row.speaker, row.gender) == ("anger", "02", "female")
        assert (row.group, row.session, row.sentence_id) == ("strong", "01", "01")
        assert row.text == "Kids are talking by the door"
        assert rows["03-01-01-01-01-01-07"].gender == "male"
        assert rows["03-01-01-01-01-01-07"].group == "normal"

    def test_codes_are_labels_by_name(self, toy_corpus):
        rows = by_id(registry.component("corpora", "ravdess")().load(toy_corpus("ravdess")))
        codes = {identifier[6:8]: label_of(row) for identifier, row in rows.items()}
        assert codes == {
            "01": "neutral",
            "02": "calm",
            "03": "happiness",
            "04": "sadness",
            "05": "anger",
            "06": "fear",
            "07": "disgust",
            "08": "surprise",
        }

    def test_songs_and_strangers_are_left_out(self, toy_corpus):
        root = toy_corpus("ravdess")
        loaded = {u.file for u in registry.component("corpora", "ravdess")().load(root)}
        assert {file.name for file in root.rglob("*.wav")} - {file.name for file in loaded} == {
            "03-02-03-01-01-01-01.wav",
            "notes.wav",
        }


class TestEmodb:
    def test_letters_are_german(self, toy_corpus):
        rows = by_id(registry.component("corpora", "emodb")().load(toy_corpus("emodb")))
        assert {i[5]: label_of(row) for i, row in rows.items() if i.startswith("03a01")} == {
            "W": "anger",
            "L": "boredom",
            "E": "disgust",
            "A": "fear",
            "F": "happiness",
            "T": "sadness",
            "N": "neutral",
        }

    def test_speaker_sentence_and_take(self, toy_corpus):
        rows = by_id(registry.component("corpora", "emodb")().load(toy_corpus("emodb")))
        assert len(rows) == 3 * 7 + 1
        row = rows["08a01Fa"]
        assert (row.speaker, row.gender, row.age) == ("08", "female", 34.0)
        assert (row.sentence_id, row.text) == ("a01", "Der Lappen liegt auf dem Eisschrank.")
        assert (rows["03b10Wc"].session, rows["03b10Wc"].sentence_id) == ("c", "b10")
        assert {row.speaker: row.gender for row in rows.values()} == {
            "03": "male",
            "08": "female",
            "10": "male",
        }


class TestEmotionttsKo:
    def test_sad_is_two_and_angry_is_three_whatever_the_readme_says(self, toy_corpus):
        rows = by_id(
            registry.component("corpora", "emotiontts_ko")().load(toy_corpus("emotiontts_ko"))
        )
        assert {i[5]: label_of(row) for i, row in rows.items()} == {
            "0": "neutral",
            "1": "happiness",
            "2": "sadness",
            "3": "anger",
        }
        defects = " ".join(registry.component("corpora", "emotiontts_ko").known_defects)
        assert "swaps" in defects

    def test_halves_genders_and_scripts(self, toy_corpus):
        rows = by_id(
            registry.component("corpora", "emotiontts_ko")().load(toy_corpus("emotiontts_ko"))
        )
        assert len(rows) == 4 * 4 * 2
        assert {row.speaker: (row.gender, row.group) for row in rows.values()} == {
            "ema": ("female", "plain-to-emotional"),
            "emf": ("male", "plain-to-emotional"),
            "nea": ("female", "emotional-to-emotional"),
            "nek": ("male", "emotional-to-emotional"),
        }
        # No byte order mark, no line end.
        assert rows["ema00301"].text == "문장 1입니다."

    def test_sentences_repeat_over_emotions_in_the_plain_half_alone(self, toy_corpus):
        rows = by_id(
            registry.component("corpora", "emotiontts_ko")().load(toy_corpus("emotiontts_ko"))
        )
        assert rows["ema00001"].sentence_id == rows["emf00301"].sentence_id
        assert rows["nea00001"].sentence_id == rows["nek00001"].sentence_id
        assert rows["nea00001"].sentence_id != rows["nea00301"].sentence_id
        assert rows["nea00001"].sentence_id != rows["ema00001"].sentence_id

    def test_recordings_without_scripts_have_no_text(self, toy_corpus):
        root = toy_corpus("emotiontts_ko")
        for folder in list(root.rglob("script")):
            shutil.rmtree(folder)
        rows = registry.component("corpora", "emotiontts_ko")().load(root)
        assert {row.text for row in rows} == {None}

    def test_half_opened_from_within(self, toy_corpus, monkeypatch):
        monkeypatch.chdir(toy_corpus("emotiontts_ko") / "plain-to-emotional")
        rows = registry.component("corpora", "emotiontts_ko")().load(".")
        assert {row.group for row in rows} == {"plain-to-emotional"}


class TestEsc10:
    def test_fold_stands_for_the_speaker_and_sound_is_the_group(self, toy_corpus):
        rows = registry.component("corpora", "esc10")().load(toy_corpus("esc10"))
        assert {label_of(row) for row in rows} == {NO_SPEECH}
        assert {row.speaker for row in rows} == {"fold-1", "fold-2", "fold-3"}
        assert {row.group for row in rows} == {"dog", "crying_baby"}
        assert len(rows) == 6

    def test_table_without_its_columns_is_refused(self, toy_corpus):
        root = toy_corpus("esc10")
        (root / "meta" / "esc50.csv").write_text("filename,fold\na.wav,1\n", encoding="utf-8")
        with pytest.raises(CorpusError, match=r"lacks the column\(s\) category, esc10"):
            registry.component("corpora", "esc10")().load(root)


def test_unknown_corpus_lists_those_there_are():
    with pytest.raises(UllimError, match=r"no corpus is called 'iemocop'.*iemocap.*ravdess"):
        registry.component("corpora", "iemocop")


def test_acted_is_one_vote():
    (vote,) = acted("fear")
    assert (vote.rater, vote.label) == ("actor", "fear")


# What the packed copies used for development hold; EMO-DB there lacks 97 of its 535 files.
_HELD = {
    "ravdess": (24, {"neutral": 96} | dict.fromkeys(
        ("calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise"), 192
    )),
    "emodb": (10, {
        "anger": 127, "neutral": 79, "happiness": 71, "sadness": 62, "fear": 57, "disgust": 32,
        "boredom": 10,
    }),
    "esc10": (5, {NO_SPEECH: 400}),
    "emotiontts_ko": (15, dict.fromkeys(("neutral", "happiness", "sadness", "anger"), 75)),
}  # fmt: skip


def real(name: str, corpora_root: Path) -> list[Utterance]:
    if not (corpora_root / name).is_dir():
        pytest.skip(f"ULLIM_CORPORA has no folder {name}")
    return registry.component("corpora", name)().load(corpora_root / name)


@pytest.mark.corpora
class TestRealCorpora:
    @pytest.mark.parametrize("name", _HELD)
    def test_counts(self, name, corpora_root):
        n_speakers, counts = _HELD[name]
        rows = real(name, corpora_root)
        assert Counter(label_of(row) for row in rows) == counts
        assert len({row.speaker for row in rows}) == n_speakers
        expected = registry.component("corpora", name)
        assert n_speakers == expected.expected_speakers
        assert all(counts[label] <= expected.expected_counts[label] for label in counts)

    @pytest.mark.parametrize("name", ["ravdess", "emotiontts_ko", "esc10"])
    def test_complete_corpora_hold_what_the_class_expects(self, name, corpora_root):
        counts = Counter(label_of(row) for row in real(name, corpora_root))
        assert counts == registry.component("corpora", name).expected_counts

    def test_ravdess_speakers_are_half_women(self, corpora_root):
        genders = {row.speaker: row.gender for row in real("ravdess", corpora_root)}
        assert Counter(genders.values()) == {"female": 12, "male": 12}

    def test_emodb_says_ten_sentences(self, corpora_root):
        rows = real("emodb", corpora_root)
        assert len({row.text for row in rows}) == 10
        assert None not in {row.text for row in rows}

    def test_emotiontts_ko_halves_and_scripts(self, corpora_root):
        rows = real("emotiontts_ko", corpora_root)
        assert Counter(row.group for row in rows) == {
            "plain-to-emotional": 100,
            "emotional-to-emotional": 200,
        }
        genders = {row.speaker: row.gender for row in rows}
        assert Counter(genders.values()) == {"female": 7, "male": 8}
        assert all(row.text and not row.text.startswith("\ufeff") for row in rows)
        plain = {}
        for row in rows:
            if row.group == "plain-to-emotional":
                plain.setdefault((row.speaker, row.sentence_id), set()).add(row.text)
        assert all(len(texts) == 1 for texts in plain.values())
