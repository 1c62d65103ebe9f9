"""Loaders of published corpora, each against its owner's layout, encodings and quirks."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import layouts
from ullim import registry
from ullim.corpora import ACTOR, Corpus
from ullim.corpora._rows import OWNER
from ullim.corpora.cremad import Cremad
from ullim.corpora.esd import Esd
from ullim.corpora.iemocap import Iemocap
from ullim.corpora.meld import Meld
from ullim.corpora.mosei import Mosei
from ullim.corpora.nemo import Nemo
from ullim.corpora.savee import Savee
from ullim.corpora.tess import Tess
from ullim.errors import CorpusError
from ullim.types import Utterance


def loaded(corpus: Corpus, root: Path) -> dict[str, Utterance]:
    return {utterance.id: utterance for utterance in corpus.load(root)}


def votes(utterance: Utterance) -> list[tuple[str, str]]:
    return [(vote.rater, vote.label) for vote in utterance.votes]


@pytest.mark.parametrize(
    ("cls", "total"),
    [
        (Savee, 480),
        (Tess, 2800),
        (Cremad, 7442),
        (Esd, 35_000),
        (Nemo, 4481),
        (Meld, 9989 + 1109 + 2610),
        (Iemocap, 10_039 - 2507 - 1849 - 3),
    ],
)
def test_expected_counts_add_up_to_the_published_total(cls, total):
    assert sum(cls.expected_counts.values()) == total


class TestSavee:
    def test_name_and_folder_say_who_and_what(self, toy_corpus):
        rows = loaded(Savee(), toy_corpus("savee"))
        assert len(rows) == 3 * 7 * 2
        row = rows["DC_sa04"]
        assert votes(row) == [(ACTOR, "sadness")]
        assert (row.speaker, row.gender, row.language) == ("DC", "male", "en-GB")
        assert (row.group, row.sentence_id) == ("by-emotion", "sa04")
        assert {i.removeprefix("KL_")[:-2]: votes(rows[i])[0][1] for i in rows if "KL" in i} == {
            "a": "anger",
            "d": "disgust",
            "f": "fear",
            "h": "happiness",
            "n": "neutral",
            "sa": "sadness",
            "su": "surprise",
        }

    def test_common_sentences_are_one_sentence_in_all_emotions(self, toy_corpus):
        rows = loaded(Savee(), toy_corpus("savee"))
        assert rows["DC_a01"].sentence_id == rows["KL_su01"].sentence_id
        assert rows["DC_a01"].group == "common"
        assert rows["DC_a04"].sentence_id != rows["DC_f04"].sentence_id

    def test_flat_layout_gives_the_same_rows(self, toy_corpus, tmp_path):
        root = toy_corpus("savee")
        flat = tmp_path / "ALL"
        flat.mkdir()
        for file in root.rglob("*.wav"):
            shutil.copy(file, flat / f"{file.parent.name}_{file.name}")
        here, there = loaded(Savee(), root), loaded(Savee(), flat)
        assert here.keys() == there.keys()
        assert all(
            (row.votes, row.speaker, row.group)
            == (there[i].votes, there[i].speaker, there[i].group)
            for i, row in here.items()
        )

    def test_one_speakers_folder(self, toy_corpus, monkeypatch):
        monkeypatch.chdir(toy_corpus("savee") / "AudioData" / "JE")
        assert {row.speaker for row in Savee().load(".")} == {"JE"}


class TestTess:
    def test_fields(self, toy_corpus):
        rows = loaded(Tess(), toy_corpus("tess"))
        assert len(rows) == 2 * 7 * 2
        row = rows["YAF_back_ps"]
        assert votes(row) == [(ACTOR, "surprise")]
        assert (row.speaker, row.gender, row.age, row.group) == ("YAF", "female", 26.0, "younger")
        assert (row.sentence_id, row.text) == ("back", "Say the word back")
        assert rows["OAF_back_fear"].age == 64.0

    def test_misnamed_file_is_the_older_actress(self, toy_corpus):
        row = loaded(Tess(), toy_corpus("tess"))["OAF_bite_neutral"]
        assert row.file.name == "OA_bite_neutral.wav"
        assert row.speaker == "OAF"

    def test_folder_within_a_folder_of_its_name_is_read_once(self, toy_corpus, tmp_path):
        before = loaded(Tess(), toy_corpus("tess"))
        name = "TESS Toronto emotional speech set data"
        outer = tmp_path / "archive" / name
        shutil.copytree(toy_corpus("tess"), outer)
        shutil.copytree(toy_corpus("tess"), outer / name)
        for root in (tmp_path / "archive", outer):
            rows = loaded(Tess(), root)
            assert rows.keys() == before.keys()
            assert {row.file.parent.parent for row in rows.values()} == {outer}

    def test_without_folders(self, toy_corpus, tmp_path):
        flat = tmp_path / "flat"
        flat.mkdir()
        for file in toy_corpus("tess").rglob("*.wav"):
            shutil.copy(file, flat)
        assert loaded(Tess(), flat).keys() == loaded(Tess(), toy_corpus("tess")).keys()

    @pytest.mark.parametrize("ending", ["ps", "pleasant_surprise", "pleasant_surprised", "PS"])
    def test_spellings_of_surprise(self, ending, tmp_path):
        layouts.touch(tmp_path / "YAF_pleasant_surprised" / f"YAF_back_{ending}.wav")
        assert votes(loaded(Tess(), tmp_path)["YAF_back_ps"]) == [(ACTOR, "surprise")]


class TestCremad:
    def test_actor_alone_without_the_owners_tables(self, toy_corpus):
        rows = loaded(Cremad(), toy_corpus("cremad"))
        assert len(rows) == 3 * 6 + 2
        row = rows["1001_IEO_ANG_HI"]
        assert votes(row) == [(ACTOR, "anger")]
        assert (row.speaker, row.gender, row.age) == ("1001", "male", 51.0)
        assert (row.group, row.sentence_id) == ("high", "IEO")
        assert rows["1002_DFA_SAD_XX"].gender == "female"
        # A stranger to the table of actors.
        assert (rows["1076_DFA_SAD_XX"].gender, rows["1076_DFA_SAD_XX"].age) == (None, None)
        assert rows["1040_ITH_SAD_XX"].group == "unspecified"

    def test_raters_follow_the_actor(self, toy_corpus):
        root = toy_corpus("cremad")
        layouts.write(root / "finishedResponses.csv", layouts.finished_responses())
        # Where single answers are there, their summary is not read.
        layouts.write(root / "processedResults/tabulatedVotes.csv", "broken")
        rows = loaded(Cremad(), root)
        row = rows["1001_DFA_ANG_XX"]
        assert votes(row) == [(ACTOR, "anger"), ("7", "anger"), ("8", "neutral")]
        assert [vote.intensity for vote in row.votes[1:]] == [0.8, 0.45]
        assert math.isnan(row.votes[0].intensity)
        assert votes(rows["1040_ITH_SAD_XX"]) == [(ACTOR, "sadness"), ("8", "sadness")]
        assert math.isnan(rows["1040_ITH_SAD_XX"].votes[1].intensity)
        assert votes(rows["1002_DFA_SAD_XX"]) == [(ACTOR, "sadness")]

    @pytest.mark.parametrize(
        ("rated", "heard"), [("face", ("9", "disgust")), ("audio-visual", ("9", "happiness"))]
    )
    def test_what_raters_were_shown(self, rated, heard, toy_corpus):
        root = toy_corpus("cremad")
        layouts.write(root / "finishedResponses.csv", layouts.finished_responses())
        row = loaded(Cremad(rated=rated), root)["1001_DFA_ANG_XX"]
        assert votes(row) == [(ACTOR, "anger"), heard]

    def test_counts_of_votes(self, toy_corpus):
        root = toy_corpus("cremad")
        layouts.write(root / "processedResults/tabulatedVotes.csv", layouts.tabulated_votes())
        row = loaded(Cremad(), root)["1001_DFA_ANG_XX"]
        assert votes(row) == [
            (ACTOR, "anger"),
            ("voice-1", "anger"),
            ("voice-2", "anger"),
            ("voice-3", "disgust"),
        ]
        assert [vote.intensity for vote in row.votes[1:]] == [0.475, 0.475, 0.7]
        row = loaded(Cremad(rated="face"), root)["1001_DFA_ANG_XX"]
        assert Counter(label for _, label in votes(row)[1:]) == {"happiness": 3}

    def test_clips_alone_in_a_folder(self, toy_corpus):
        root = toy_corpus("cremad")
        rows = loaded(Cremad(), root / "AudioWAV")
        assert rows["1001_DFA_ANG_XX"].age == 51.0


class TestEsd:
    def test_fields(self, toy_corpus):
        rows = loaded(Esd(), toy_corpus("esd"))
        assert len(rows) == 5 * 5 * 2
        row = rows["0001_000351"]
        assert votes(row) == [(ACTOR, "anger")]
        assert (row.speaker, row.gender, row.language) == ("0001", "female", "zh")
        assert (row.group, row.session, row.sentence_id) == ("chinese", "evaluation", "zh-001")
        english = rows["0011_001421"]
        assert votes(english) == [(ACTOR, "surprise")]
        assert (english.gender, english.language, english.group) == ("male", "en", "english")
        assert (english.session, english.sentence_id) == ("train", "en-021")

    def test_folders_without_parts(self, toy_corpus):
        rows = [row for row in Esd().load(toy_corpus("esd")) if row.speaker == "0018"]
        assert len(rows) == 10
        assert {row.session for row in rows} == {None}

    @pytest.mark.parametrize("speaker", layouts.ESD)
    def test_transcripts_in_each_encoding(self, speaker, toy_corpus):
        rows = loaded(Esd(), toy_corpus("esd"))
        text = layouts.ESD[speaker][3]
        assert rows[f"{speaker}_000001"].text == rows[f"{speaker}_000351"].text == text
        assert rows[f"{speaker}_000021"].text is None

    def test_without_transcripts(self, toy_corpus):
        root = toy_corpus("esd")
        for file in root.rglob("0*.txt"):
            file.unlink()
        assert {row.text for row in Esd().load(root)} == {None}


class TestNemo:
    def test_fields(self, toy_corpus):
        rows = loaded(Nemo(), toy_corpus("nemo"))
        assert len(rows) == 3 * 6 * 2
        row = rows["WR0_surprised_38"]
        assert votes(row) == [(ACTOR, "surprise")]
        assert (row.speaker, row.gender, row.age) == ("WR0", "male", 23.0)
        assert (row.sentence_id, row.text) == ("38", "„Kot” to słowo.")

    def test_missing_recordings_are_listed_or_left_out(self, toy_corpus):
        root = toy_corpus("nemo")
        for file in root.rglob("EB0_*"):
            file.unlink()
        with pytest.raises(CorpusError, match=r"12 missing_audio") as caught:
            Nemo().load(root)
        assert caught.value.code == "missing_audio"
        assert "EB0_anger_2.wav is not in" in str(caught.value)
        assert {row.speaker for row in Nemo(audio="present").load(root)} == {"WR0", "KS0"}
        assert len(Nemo(audio="any").load(root)) == 36


class TestMeld:
    def test_fields(self, toy_corpus):
        rows = loaded(Meld(), toy_corpus("meld"))
        assert len(rows) == 3 * 7
        row = rows["test_dia0_utt1"]
        assert votes(row) == [(OWNER, "happiness")]
        assert (row.speaker, row.gender, row.group) == ("Phoebe", "female", "test")
        assert (row.session, row.dimensions) == ("test_dia0", {"sentiment": 1.0})
        assert row.file.relative_to(toy_corpus("meld")).as_posix() == (
            "output_repeated_splits_test/dia0_utt1.mp4"
        )
        assert rows["dev_dia0_utt2"].gender is None
        assert rows["dev_dia0_utt3"].dimensions == {"sentiment": -1.0}

    def test_quotation_marks_of_windows(self, toy_corpus):
        rows = loaded(Meld(), toy_corpus("meld"))
        assert rows["train_dia0_utt0"].text == "Oh, that\u2019s\u2026 it"
        assert rows["dev_dia0_utt0"].text == rows["test_dia0_utt0"].text == "Oh, that\u2019s it"

    def test_rows_without_clip_are_left_out_or_counted(self, toy_corpus):
        root = toy_corpus("meld")
        assert not [i for i in loaded(Meld(), root) if "dia110" in i]
        assert len(Meld(audio="any").load(root)) == 3 * 8
        with pytest.raises(CorpusError, match=r"1 missing_audio.*\n.*line 9: dia110_utt7.mp4"):
            Meld(audio="required").load(root)

    def test_sound_alone_is_taken_before_video(self, toy_corpus):
        root = toy_corpus("meld")
        sound = layouts.touch(root / "wav" / "Train" / "dia0_utt3.wav")
        rows = loaded(Meld(), root)
        assert rows["train_dia0_utt3"].file == sound
        assert rows["dev_dia0_utt3"].file.suffix == ".mp4"

    def test_one_split(self, toy_corpus):
        root = toy_corpus("meld")
        (root / "train_sent_emo.csv").unlink()
        (root / "test_sent_emo.csv").unlink()
        assert {row.group for row in Meld().load(root)} == {"dev"}


class TestIemocap:
    def test_fields(self, toy_corpus):
        rows = loaded(Iemocap(), toy_corpus("iemocap"))
        assert len(rows) == 2 * 8
        row = rows["Ses01F_impro01_M003"]
        assert votes(row) == [
            (OWNER, "neutral"),
            ("E2", "neutral"),
            ("E3", "neutral"),
            ("E3", "neutral"),
        ]
        assert (row.speaker, row.gender, row.session) == ("Ses01M", "male", "Session1")
        assert (row.group, row.text) == ("improvised", "Line 3\u2019s text.")
        assert row.dimensions == {"valence": 2.5, "arousal": 3.5, "dominance": 2.0}
        scripted = rows["Ses02M_script01_1_F004"]
        assert (scripted.speaker, scripted.gender) == ("Ses02F", "female")
        assert (scripted.group, scripted.session) == ("scripted", "Session2")
        assert votes(scripted)[0] == (OWNER, "excited")

    def test_papers_subsets(self):
        counts = Iemocap.expected_counts
        four = sum(counts[label] for label in ("anger", "happiness", "sadness", "neutral"))
        assert (four, four + counts["excited"]) == (4490, 5531)

    def test_excited_as_happiness(self, toy_corpus):
        root = toy_corpus("iemocap")
        corpus = Iemocap(merge_excited=True)
        rows = corpus.load(root)
        assert "excited" not in corpus.offered(rows)
        assert "excited" in Iemocap().offered(rows)
        assert "excited" not in {vote.label for row in rows for vote in row.votes}
        plain = Counter(row.votes[0].label for row in Iemocap().load(root))
        merged = Counter(row.votes[0].label for row in rows)
        assert merged["happiness"] == plain["happiness"] + plain["excited"] == 4

    def test_turns_without_a_label_of_the_owners(self, toy_corpus):
        rows = loaded(Iemocap(turns="rated"), toy_corpus("iemocap"))
        # Frustration where a rater also said neutral; other, likewise; and no majority.
        assert len(rows) == 2 * 11
        undecided = rows["Ses01F_impro01_F099"]
        assert votes(undecided) == [("E2", "sadness"), ("E4", "fear")]
        assert undecided.text is None
        assert votes(rows["Ses01F_impro01_F008"]) == [("E3", "neutral")]

    def test_actors_own_votes(self, toy_corpus):
        rows = loaded(Iemocap(self_reports=True), toy_corpus("iemocap"))
        assert votes(rows["Ses01F_impro01_F000"])[-1] == ("F1", "fear")
        assert votes(rows["Ses01F_impro01_M001"])[-1] == ("M1", "fear")
        assert not [
            vote
            for row in loaded(Iemocap(), toy_corpus("iemocap")).values()
            for vote in row.votes
            if vote.rater in {"F1", "M1"}
        ]

    def test_missing_recordings(self, toy_corpus):
        root = toy_corpus("iemocap")
        shutil.rmtree(root / "Session2" / "sentences")
        with pytest.raises(CorpusError, match="8 missing_audio"):
            Iemocap().load(root)
        assert {row.session for row in Iemocap(audio="present").load(root)} == {"Session1"}

    def test_one_session(self, toy_corpus):
        rows = Iemocap().load(toy_corpus("iemocap") / "Session1")
        assert {row.session for row in rows} == {"Session1"}


class TestMosei:
    def test_owner_means_come_first_then_raters(self, toy_corpus):
        rows = loaded(Mosei(), toy_corpus("mosei"))
        assert len(rows) == 6
        row = rows["110203_4"]
        assert votes(row) == [
            (OWNER, "sadness"),
            (OWNER, "anger"),
            ("A1", "sadness"),
            ("A2", "sadness"),
            ("A3", "sadness"),
            ("A3", "anger"),
        ]
        assert [vote.intensity for vote in row.votes] == pytest.approx([2, 1 / 3, 2, 2, 2, 1])
        assert row.dimensions == {"sentiment": -1.0}

    def test_place_and_text_of_the_segment(self, toy_corpus):
        row = loaded(Mosei(), toy_corpus("mosei"))["-3g5yACwYnA_3"]
        assert (row.start_s, row.end_s, row.text) == (3.5, 6.25, "It is_ _ fine\u2019")
        assert row.file.name == "-3g5yACwYnA.wav"
        assert row.session == "-3g5yACwYnA"
        assert row.speaker is None

    def test_folder_before_a_videos_name(self, toy_corpus):
        row = loaded(Mosei(), toy_corpus("mosei"))["110203_1"]
        assert ("A9", "happiness") in votes(row)
        assert row.dimensions["sentiment"] == pytest.approx((3 * -1 + 2) / 4)

    def test_video_as_speaker(self, toy_corpus):
        rows = Mosei(speaker="video").load(toy_corpus("mosei"))
        assert {row.speaker for row in rows} == {"-3g5yACwYnA", "110203", "zv0Jl4TIQDc"}

    def test_videos_in_no_archive(self, toy_corpus):
        root = toy_corpus("mosei")
        assert "gone_0" in loaded(Mosei(audio="any"), root)
        with pytest.raises(CorpusError, match=r"segment 0 of gone: gone\.wav is not in"):
            Mosei(audio="required").load(root)


Damage = Callable[[Path], object]


def replace(name: str, old: str, new: str, encoding: str = "utf-8") -> Damage:
    """Change every occurrence of a text in a file of a toy tree."""

    def damage(root: Path) -> None:
        file = root / name
        text = file.read_bytes().decode(encoding)
        assert old in text
        file.write_bytes(text.replace(old, new).encode(encoding))

    return damage


def bytes_in(name: str) -> Damage:
    """Put bytes that are no text in any encoding at the end of a file."""

    def damage(root: Path) -> None:
        file = root / name
        file.write_bytes(file.read_bytes() + b"\xff\x81\x8d\xff\n")

    return damage


def responses(old: str, new: str) -> Damage:
    return lambda root: layouts.write(
        root / "finishedResponses.csv", layouts.finished_responses().replace(old, new)
    )


def tabulated(old: str, new: str) -> Damage:
    return lambda root: layouts.write(
        root / "processedResults" / "tabulatedVotes.csv",
        layouts.tabulated_votes().replace(old, new),
    )


TURNS = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
TEXTS = "Session1/dialog/transcriptions/Ses01F_impro01.txt"
SEGMENTS = "Raw/Transcript/Segmented/Combined/110203.txt"
ANSWERS = "Raw/Labels/5000_batch_raw.csv"

WRONG: dict[str, tuple[Corpus, Damage, str, str]] = {
    "cremad actor": (
        Cremad(), replace("VideoDemographics.csv", '51,"Male"', 'old,"X"'), "unknown_person",
        "line 2: Sex 'X' or Age 'old'",
    ),
    "cremad actors' columns": (
        Cremad(), replace("VideoDemographics.csv", '"Sex"', '"S"'), "missing_columns",
        "lacks the column(s) Sex",
    ),
    "cremad letter": (Cremad(), responses('"N",45', '"Q",45'), "unknown_label", "respEmo 'Q'"),
    "cremad columns": (
        Cremad(), responses("respEmo", "answer"), "missing_columns", "respEmo",
    ),
    "cremad counts": (
        Cremad(), tabulated('"100062",2', '"100062",two'), "not_a_number", "line 2: a count",
    ),
    "cremad counts' columns": (
        Cremad(), tabulated("meanAngerResp", "m"), "missing_columns", "meanAngerResp",
    ),
    "cremad encoding": (
        Cremad(), bytes_in("VideoDemographics.csv"), "bad_encoding", "is not text in utf-8",
    ),
    "esd Mandarin encoding": (Esd(), bytes_in("0001/0001.txt"), "bad_encoding", "gb18030"),
    "esd English encoding": (Esd(), bytes_in("0016/0016.txt"), "bad_encoding", "cp1252"),
    "nemo label": (
        Nemo(), replace("data.tsv", "\tsadness\t", "\tsorrow\t"), "unknown_label",
        "emotion 'sorrow'",
    ),
    "nemo gender": (Nemo(), replace("data.tsv", "\tmale\t", "\tm\t"), "unknown_gender", "'m'"),
    "nemo age": (Nemo(), replace("data.tsv", "\t27", "\told"), "not_a_number", "age 'old'"),
    "nemo columns": (
        Nemo(), replace("data.tsv", "raw_text", "text"), "missing_columns", "raw_text",
    ),
    "nemo encoding": (Nemo(), bytes_in("data.tsv"), "bad_encoding", "is not text in utf-8"),
    "nemo width": (Nemo(), replace("data.tsv", "\tanger\t", "\t"), "wrong_width", "6 cells"),
    "meld label": (
        Meld(), replace("test_sent_emo.csv", ",joy,", ",glee,"), "unknown_label",
        "line 3: Emotion 'glee'",
    ),
    "meld sentiment": (
        Meld(), replace("test_sent_emo.csv", ",positive,", ",good,"), "unknown_label", "'good'",
    ),
    "meld number": (
        Meld(), replace("test_sent_emo.csv", ",110,", ",x,"), "not_a_number", "Dialogue_ID 'x'",
    ),
    "meld columns": (
        Meld(), replace("dev_sent_emo.csv", "Dialogue_ID", "D", "cp1252"), "missing_columns",
        "Dialogue_ID",
    ),
    "meld encoding": (Meld(), bytes_in("dev_sent_emo.csv"), "bad_encoding", "cp1252"),
    "iemocap label": (
        Iemocap(), replace(TURNS, "\thap\t", "\tjoy\t"), "unknown_label", "label 'joy' of Ses01F",
    ),
    "iemocap rater's word": (
        Iemocap(), replace(TURNS, "C-E2:\tSadness", "C-E2:\tGrief"), "unknown_label",
        "rater E2 says 'Grief'",
    ),
    "iemocap turn": (
        Iemocap(), replace(TURNS, "[2.5000, 3.5000, 2.0000]", "[2.5]"), "bad_line",
        "a turn must read",
    ),
    "iemocap name": (
        Iemocap(), replace(TURNS, "Ses01F_impro01_F000", "Ses01F"), "bad_line",
        "line 3: a turn must read",
    ),
    "iemocap encoding": (Iemocap(), bytes_in(TURNS), "bad_encoding", "cp1252"),
    "iemocap transcript's encoding": (Iemocap(), bytes_in(TEXTS), "bad_encoding", "cp1252"),
    "mosei answer": (
        Mosei(), replace(ANSWERS, "H0,A1,-3g5yACwYnA,0,2", "H0,A1,-3g5yACwYnA,0,yes"),
        "not_a_number", "line 2: answers of -3g5yACwYnA_0 are not numbers: 0, 0, yes",
    ),
    "mosei range": (
        Mosei(), replace(ANSWERS, "H0,A1,-3g5yACwYnA,0,2", "H0,A1,-3g5yACwYnA,0,4"),
        "out_of_range", "lie outside 0-3",
    ),
    "mosei columns": (
        Mosei(), replace(ANSWERS, "Answer.fear", "fear"), "missing_columns", "Answer.fear",
    ),
    "mosei encoding": (Mosei(), bytes_in(ANSWERS), "bad_encoding", "cp1252"),
    "mosei segment": (
        Mosei(), replace(SEGMENTS, "110203___4___4.5", "110203___4___soon"), "bad_line",
        "line 2: a segment must read",
    ),
    "mosei transcript's encoding": (Mosei(), bytes_in(SEGMENTS), "bad_encoding", "cp1252"),
}  # fmt: skip


class TestWrongTables:
    @pytest.mark.parametrize(("corpus", "damage", "code", "said"), WRONG.values(), ids=WRONG)
    def test_is_refused_with_its_place(self, corpus, damage, code, said, toy_corpus):
        root = toy_corpus(corpus.name)
        damage(root)
        with pytest.raises(CorpusError) as caught:
            corpus.load(root)
        assert caught.value.code == code
        assert said in str(caught.value)
        assert corpus.title in str(caught.value)

    def test_all_problems_of_a_file_come_at_once_and_are_counted(self, toy_corpus):
        root = toy_corpus("nemo")
        for label in ("anger", "fear", "happiness", "neutral"):
            replace("data.tsv", f"\t{label}\t", "\tx\t")(root)
        replace("data.tsv", "\tfemale\t", "\tf\t")(root)
        with pytest.raises(CorpusError) as caught:
            Nemo().load(root)
        message = str(caught.value)
        assert "28 problem(s) (4 unknown_gender, 24 unknown_label)" in message
        assert message.count("\n  line ") == 20
        assert message.endswith("and 8 more")
        assert caught.value.code == "several"

    @pytest.mark.parametrize("name", layouts.BUILDERS)
    def test_recordings_alone(self, name, toy_corpus):
        corpus = registry.component("corpora", name)()
        root = toy_corpus(name)
        whole = {row.id for row in corpus.load(root)}
        for file in [*root.rglob("*.csv"), *root.rglob("*.tsv"), *root.rglob("*.txt")]:
            file.unlink()
        if name in {"savee", "tess", "cremad", "esd"}:
            assert {row.id for row in corpus.load(root)} == whole
        else:
            with pytest.raises(CorpusError, match="nothing under") as caught:
                corpus.load(root)
            assert caught.value.code == "empty"

    @pytest.mark.parametrize("name", layouts.BUILDERS)
    def test_tables_alone(self, name, toy_corpus):
        corpus = registry.component("corpora", name)()
        root = toy_corpus(name)
        for file in [*root.rglob("*.wav"), *root.rglob("*.mp4")]:
            file.unlink()
        with pytest.raises(CorpusError) as caught:
            corpus.load(root)
        assert caught.value.code == ("missing_audio" if name in {"nemo", "iemocap"} else "empty")
