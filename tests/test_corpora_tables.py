"""Tables of anybody's recordings load, or are refused with all that is wrong with them."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ullim.corpora.aihub_dialogue import AihubDialogue
from ullim.corpora.audformat import Audformat, _seconds
from ullim.corpora.esc10 import Esc10
from ullim.corpora.esc50 import Esc50
from ullim.corpora.fsdkaggle2018 import Fsdkaggle2018
from ullim.corpora.hf_audio import HfAudio
from ullim.corpora.manifest import Manifest
from ullim.corpora.recordings import Recordings
from ullim.errors import CorpusError, MissingExtraError
from ullim.types import NO_SPEECH, Utterance, Vote

ANY = Manifest(audio="any")


def write(folder: Path, text: str, name: str = "manifest.csv", encoding: str = "utf-8") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(encoding))
    return file


def by_id(utterances: list[Utterance]) -> dict[str, Utterance]:
    return {utterance.id: utterance for utterance in utterances}


def refused(corpus, path) -> CorpusError:
    with pytest.raises(CorpusError) as caught:
        corpus.load(path)
    return caught.value


class TestManifest:
    def test_every_column(self, tmp_path):
        write(
            tmp_path,
            "id,file,start_s,end_s,speaker,session,gender,age,language,text,sentence_id,group,"
            "label,votes,valence,arousal,dominance,licence\r\n"
            'u1,a.wav,0.5,2.25,ann,s1,F,31,ko,"네, 좋아요",k1,g1,happy,'
            '"r1:기쁨:2; r2:neutral",1.5,-2,3,CC0\r\n'
            "\r\n",
        )
        (tmp_path / "a.wav").touch()
        (row,) = Manifest(rater="actor").load(tmp_path)
        assert row.votes[:2] == (Vote("actor", "happiness", row.votes[0].intensity),
                                 Vote("r1", "happiness", 2.0))  # fmt: skip
        assert (row.votes[2].rater, row.votes[2].label) == ("r2", "neutral")
        assert (row.id, row.file, row.start_s, row.end_s) == ("u1", tmp_path / "a.wav", 0.5, 2.25)
        assert (row.speaker, row.session, row.gender, row.age) == ("ann", "s1", "female", 31.0)
        assert (row.language, row.text, row.sentence_id) == ("ko", "네, 좋아요", "k1")
        assert (row.group, row.licence) == ("g1", "CC0")
        assert row.dimensions == {"valence": 1.5, "arousal": -2.0, "dominance": 3.0}

    @pytest.mark.parametrize("name", ["manifest.csv", "manifest.tsv", "manifest.parquet"])
    def test_file_and_folder_alike(self, name, tmp_path):
        if name.endswith("parquet"):
            parquet = pytest.importorskip("pyarrow.parquet")
            import pyarrow

            table = pyarrow.table({"file": ["a.wav"], "label": ["anger"], "start_s": [0.5],
                                   "age": [None], "extra": [[1, 2]]})  # fmt: skip
            parquet.write_table(table, tmp_path / name)
        else:
            text = "file,label,start_s,age\na.wav,anger,0.5,\n"
            write(tmp_path, text.replace(",", "\t") if name.endswith("tsv") else text, name)
        rows = ANY.load(tmp_path)
        assert rows == ANY.load(tmp_path / name)
        assert [(u.id, u.start_s, u.age, u.votes[0].label) for u in rows] == [
            ("a#0.5", 0.5, None, "anger")
        ]

    def test_parquet_needs_its_extra(self, tmp_path, monkeypatch):
        (tmp_path / "manifest.parquet").touch()
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(MissingExtraError, match=r"ullim\[parquet\]"):
            ANY.load(tmp_path)

    def test_no_parquet_at_all(self, tmp_path):
        pytest.importorskip("pyarrow")
        write(tmp_path, "file,label", "manifest.parquet")
        assert refused(ANY, tmp_path).code == "bad_table"

    def test_own_columns_labels_and_encoding(self, tmp_path):
        write(tmp_path, "wav,감정\na.wav,짜증\nb.wav,몰라\n", "own.csv", "cp949")
        corpus = Manifest(
            table="own.csv",
            columns={"file": "wav", "label": "감정"},
            label_map={"짜증": "anger", "몰라": None},
            encoding="cp949",
            audio="any",
        )
        assert [(u.id, u.votes[0].label) for u in corpus.load(tmp_path)] == [("a", "anger")]

    def test_labels_offered_are_those_that_occur_or_are_stated(self, tmp_path):
        write(tmp_path, "file,label\na.wav,anger\nb.wav,neutral\n")
        rows = ANY.load(tmp_path)
        assert ANY.offered(rows) == ("neutral", "anger")
        assert Manifest(offers=("anger", "fear")).offered(rows) == ("anger", "fear")
        for wrong in ({"offers": ("rage",)}, {"label_map": {"a": "rage"}}):
            with pytest.raises(ValidationError, match="unknown labels"):
                Manifest(**wrong)

    def test_recordings_that_are_not_there(self, tmp_path):
        write(tmp_path, "file,label\na.wav,anger\nb.wav,anger\n")
        (tmp_path / "b.wav").touch()
        assert [u.id for u in Manifest(audio="present").load(tmp_path)] == ["b"]
        assert [u.id for u in ANY.load(tmp_path)] == ["a", "b"]
        assert refused(Manifest(), tmp_path).code == "missing_file"

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("file,speaker\na.wav,x\n", "missing_columns"),
            ("label\nanger\n", "missing_columns"),
            ("", "missing_columns"),
            ("file,label\n", "empty"),
            ("file,file,label\na,b,anger\n", "repeated_columns"),
            ("file,label\na.wav,anger,3\n", "wrong_width"),
            ("file,label\na.wav,rage\n", "unknown_label"),
            ("file,label\na.wav,\n", "no_label"),
            ("file,label\n,anger\n", "missing_file"),
            ("id,file,label\nx,a.wav,anger\nx,b.wav,anger\n", "repeated"),
            ("file,label\na.wav,anger\na.wav,anger\n", "repeated"),
            ("file,label,start_s\na.wav,anger,-1\n", "negative_time"),
            ("file,label,start_s,end_s\na.wav,anger,2,1\n", "end_before_start"),
            ("file,label,start_s,end_s\na.wav,anger,2,2\n", "end_before_start"),
            ("file,label,start_s\na.wav,anger,nan\n", "not_finite"),
            ("file,label,age\na.wav,anger,inf\n", "not_finite"),
            ("file,label,valence\na.wav,anger,high\n", "not_a_number"),
            ("file,label,age\na.wav,anger,131\n", "bad_age"),
            ("file,label,gender\na.wav,anger,maybe\n", "unknown_gender"),
            ("file,votes\na.wav,r1\n", "bad_votes"),
            ("file,votes\na.wav,r1:anger:1:2\n", "bad_votes"),
            ("file,votes\na.wav,:anger\n", "bad_votes"),
            ("file,votes\na.wav,r1:anger;r1:fear\n", "repeated_rater"),
            ("file,votes\na.wav,r1:anger:-1\n", "negative_intensity"),
            ("file,votes\na.wav,r1:anger:nan\n", "not_finite"),
            ('file,label\n"a.wav,anger\n' + "x" * 140_000, "bad_table"),
        ],
    )
    def test_each_mistake_has_its_code(self, text, code, tmp_path):
        write(tmp_path, text)
        error = refused(ANY, tmp_path)
        assert error.code == code
        assert "manifest.csv" in str(error)

    def test_wrong_encoding(self, tmp_path):
        write(tmp_path, "file,label,text\na.wav,anger,네\n", encoding="cp949")
        error = refused(ANY, tmp_path)
        assert error.code == "bad_encoding"
        assert "UTF-8" in str(error)

    def test_byte_order_mark_is_no_part_of_a_name(self, tmp_path):
        write(tmp_path, "file,label\na.wav,anger\n", encoding="utf-8-sig")
        assert len(ANY.load(tmp_path)) == 1

    def test_two_tables_need_a_name(self, tmp_path):
        write(tmp_path, "file,label\na.wav,anger\n")
        write(tmp_path, "file\tlabel\na.wav\tanger\n", "manifest.tsv")
        assert refused(ANY, tmp_path).code == "two_tables"
        assert len(Manifest(audio="any", table="manifest.tsv").load(tmp_path)) == 1
        assert refused(Manifest(table="none.csv"), tmp_path).code == "unreadable"

    def test_all_problems_come_together_with_their_places(self, tmp_path):
        lines = [f"{n}.wav,rage,-1" for n in range(30)]
        write(tmp_path, "\n".join(["file,label,start_s", "ok.wav,anger,0", *lines]))
        error = refused(ANY, tmp_path)
        told = str(error)
        assert error.code == "several"
        assert "60 problem(s) (30 negative_time, 30 unknown_label)" in told
        assert "line 3: start_s -1.0 lies before the recording [negative_time]" in told
        assert "line 12: " in told
        assert "line 13: " not in told
        assert told.endswith("and 40 more")

    @pytest.mark.slow
    def test_hundred_thousand_rows_load_in_seconds(self, tmp_path):
        rows = (
            f"u{n},wav/{n}.wav,{n % 50},female,r1:anger:1;r2:sadness:{n % 3}"
            for n in range(100_000)
        )
        write(tmp_path, "\n".join(["id,file,speaker,gender,votes", *rows]))
        started = time.process_time()
        loaded = ANY.load(tmp_path)
        assert time.process_time() - started < 8
        assert len(loaded) == 100_000
        # Equal votes and speakers are one object, or a hundred thousand rows would weigh a lot.
        assert len({id(u.votes) for u in loaded}) == 3
        assert len({id(u.speaker) for u in loaded}) == 50

    cell = st.one_of(
        st.sampled_from(
            [
                "",
                "a.wav",
                "anger",
                "r1:anger:2;r2:fear",
                "-1",
                "nan",
                "1e400",
                "'",
                '"',
                "0",
                "../x",
            ]
        ),
        st.text(max_size=8),
    )
    header = st.lists(
        st.one_of(
            st.sampled_from(["id", "file", "label", "votes", "start_s", "end_s", "age", "gender"]),
            st.text(max_size=4),
        ),
        max_size=8,
    )

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    @given(header, st.lists(st.lists(cell, max_size=8), max_size=6), st.booleans())
    @example(["file", "label"], [["\0", "anger"]], True)
    @example(["file", "label"], [["x" * 5000, "anger"]], True)
    def test_wild_tables_load_or_are_refused(self, tmp_path, header, rows, required):
        lines = [",".join(cells) for cells in [header, *rows]]
        text = "\n".join(lines)
        (tmp_path / "manifest.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(CorpusError):
            loaded = (Manifest() if required else ANY).load(tmp_path)
            assert loaded
            assert all(u.votes and u.start_s >= 0 for u in loaded)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
    @given(st.binary(max_size=200))
    def test_wild_bytes_load_or_are_refused(self, tmp_path, content):
        for name in ("manifest.csv", "manifest.parquet"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(CorpusError):
                ANY.load(tmp_path / name)


class TestCheck:
    """``ullim corpora check`` and ``show`` of layouts whose counts nobody can expect."""

    @pytest.mark.parametrize("name", ["manifest", "recordings", "hf_audio", "audformat"])
    def test_whole_where_every_recording_can_be_read(self, name, toy_corpus, make_speech):
        from typer.testing import CliRunner

        from ullim.cli import app

        root = toy_corpus(name)
        for file in root.rglob("*.wav"):
            soundfile.write(file, make_speech(0.5), 16_000)
        outcome = CliRunner().invoke(app, ["corpora", "check", name, str(root)])
        assert outcome.exit_code == 0, outcome.output
        assert "\tfound\n" in outcome.stdout
        assert "anger\t" in outcome.stdout
        assert "complete" not in outcome.output
        first = sorted(root.rglob("*.wav"))[0]
        first.write_bytes(b"")
        assert CliRunner().invoke(app, ["corpora", "check", name, str(root)]).exit_code == 1
        assert CliRunner().invoke(app, ["corpora", "show", name]).exit_code == 0


class TestRecordings:
    def test_name_is_read_field_by_field(self, toy_corpus):
        corpus = Recordings(genders={"2": "female"}, sentences={"1": "안녕하세요"}, language="ko")
        rows = by_id(corpus.load(toy_corpus("recordings")))
        assert len(rows) == 2 * 3 * 4
        row = rows["1_2_J"]
        assert (row.votes[0].label, row.speaker, row.sentence_id) == ("happiness", "2", "1")
        assert (row.gender, row.text, row.language) == ("female", "안녕하세요", "ko")
        assert rows["2_3_N"].gender is rows["2_3_N"].text is None
        assert {i[-1]: row.votes[0].label for i, row in rows.items()} == {
            "N": "neutral", "J": "happiness", "S": "sadness", "A": "anger",
        }  # fmt: skip

    def test_own_pattern_and_codes(self, tmp_path):
        for name in ("kim/화남-01.WAV", "kim/두려움-02.wav", "lee/화남-01.wav", "lee/몰라-01.wav"):
            write(tmp_path, "", name)
        corpus = Recordings(
            pattern="{person}/{emotion}-{take}.wav",
            codes={"화남": "anger", "두려움": "fear", "몰라": None},
        )
        rows = by_id(corpus.load(tmp_path))
        assert {i: (u.speaker, u.votes[0].label, u.session) for i, u in rows.items()} == {
            "kim/화남-01": ("kim", "anger", "01"),
            "kim/두려움-02": ("kim", "fear", "02"),
            "lee/화남-01": ("lee", "anger", "01"),
        }
        assert corpus.offered([]) == ("anger", "fear")

    def test_hangul_in_pieces_is_hangul(self, tmp_path):
        write(tmp_path, "", unicodedata.normalize("NFD", "가_나_N.wav"))
        (row,) = Recordings().load(tmp_path)
        assert (row.id, row.speaker) == ("가_나_N", "나")

    def test_unknown_codes_and_names_are_told_together(self, toy_corpus):
        root = toy_corpus("recordings")
        write(root, "", "1_1_X.wav")
        write(root, "", "notes.wav")
        error = refused(Recordings(), root)
        assert error.code == "several"
        assert "1_1_X.wav: 'X' is none of the codes N, J, S, A" in str(error)
        assert "notes.wav: is not named" in str(error)
        (root / "1_1_X.wav").unlink()
        assert refused(Recordings(), root).code == "unmatched_name"
        assert len(Recordings(others="ignore").load(root)) == 24

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"pattern": "{person}_{emotion}_{mood}.wav"}, "unknown fields"),
            ({"pattern": "{content}_{emotion}.wav"}, "lacks {person}"),
            ({"pattern": "{person}{emotion}.wav"}, "two fields touch"),
            ({"pattern": "{person}_{emotion}_{person}.wav"}, "twice"),
            ({"pattern": "{person}_{emotion}"}, "suffix"),
            ({"codes": {"X": "rage"}}, "unknown labels"),
            ({"codes": {}}, "at least 1"),
        ],
    )
    def test_wrong_options_are_told(self, options, message):
        with pytest.raises(ValidationError, match=message):
            Recordings(**options)


class TestAihubDialogue:
    def test_files_that_differ_are_read_alike(self, toy_corpus):
        rows = AihubDialogue().load(toy_corpus("aihub_dialogue"))
        assert Counter(row.session for row in rows) == {
            "4차년도": 2,
            "5차년도": 2,
            "5차년도_2차": 4,
        }
        row = next(row for row in rows if row.group == "sadness" and row.session == "4차년도")
        assert [(v.rater, v.label, v.intensity) for v in row.votes] == [
            ("1", "sadness", 2.0), ("2", "sadness", 2.0), ("3", "sadness", 2.0),
            ("4", "neutral", 0.0), ("5", "neutral", 0.0),
        ]  # fmt: skip
        assert (row.text, row.age, row.gender) == ("네, 문장 0입니다.", 27.0, "male")
        assert (row.speaker, row.language) == (None, "ko")
        assert {row.group for row in rows} == set(AihubDialogue.labels)

    def test_rows_load_without_recordings(self, toy_corpus):
        root = toy_corpus("aihub_dialogue")
        gone = next(iter(sorted(root.rglob("*.wav"))))
        gone.unlink()
        rows = by_id(AihubDialogue().load(root))
        assert rows[gone.stem].file == gone
        assert len(rows) == 8
        assert len(AihubDialogue(audio="present").load(root)) == 7

    def test_age_and_sex_may_stand_for_the_speaker(self, toy_corpus):
        rows = AihubDialogue(speaker="age-sex").load(toy_corpus("aihub_dialogue"))
        assert Counter(row.speaker for row in rows) == {
            "male-27": 1, "female-33": 2, "male-48": 1, "male-21": 1, "female-46": 3,
        }  # fmt: skip

    def test_saved_again_as_utf8(self, toy_corpus):
        root = toy_corpus("aihub_dialogue")
        before = AihubDialogue().load(root)
        for table in root.glob("*.csv"):
            table.write_text(table.read_text("cp949"), encoding="utf-8-sig")
        assert AihubDialogue().load(root) == before

    @pytest.mark.parametrize(
        ("old", "new", "code"),
        [
            ("Fear,2", "Dread,2", "unknown_label"),
            ("Fear,2", "Fear,3", "unknown_label"),
            (",48,male", ",old,male", "not_a_number"),
            (",48,male", ",48,", "unknown_label"),
            (",48,male", ",48", "wrong_width"),
            ("상황", "장면", "missing_columns"),
            ("153" + "1a01", "153" + "1a00", "repeated"),
        ],
    )
    def test_mistakes_are_told(self, old, new, code, toy_corpus):
        root = toy_corpus("aihub_dialogue")
        table = root / "5차년도.csv"
        text = table.read_bytes().decode("cp949")
        assert old in text
        table.write_bytes(text.replace(old, new).encode("cp949"))
        assert refused(AihubDialogue(), root).code == code


class TestSounds:
    def test_esc50_is_all_and_esc10_its_part(self, toy_corpus):
        root = toy_corpus("esc50")
        assert Counter(u.group for u in Esc50().load(root)) == {
            "dog": 3, "crying_baby": 3, "siren": 3,
        }  # fmt: skip
        assert len(Esc10().load(root)) == 6

    @pytest.mark.parametrize("cls", [Esc10, Esc50, Fsdkaggle2018])
    def test_voices_can_be_left_out(self, cls, toy_corpus):
        root = toy_corpus(cls.name)
        voiced = {u.group for u in cls().load(root)} & set(cls.voiced_groups)
        assert voiced
        assert {u.group for u in cls(voices=False).load(root)}.isdisjoint(voiced)
        assert all(any(group in d for d in cls.known_defects) for group in cls.voiced_groups)

    def test_fsdkaggle_rows(self, toy_corpus):
        rows = by_id(Fsdkaggle2018().load(toy_corpus("fsdkaggle2018")))
        assert rows.keys() == {"train-0000", "test-0001", "train-0002", "test-0003"}
        row = rows["test-0001"]
        assert (row.group, row.session, row.speaker) == ("Laughter", "test", "freesound-4001")
        assert (row.licence, row.votes[0].label) == ("Creative Commons 0", NO_SPEECH)


class TestHfAudio:
    def test_folders_of_splits_and_labels(self, tmp_path):
        for name in ("train/anger/1.wav", "train/happy/1.wav", "test/anger/1.flac"):
            write(tmp_path, "", name)
        rows = by_id(HfAudio().load(tmp_path))
        assert {i: (u.votes[0].label, u.group) for i, u in rows.items()} == {
            "train/anger/1.wav": ("anger", "train"),
            "train/happy/1.wav": ("happiness", "train"),
            "test/anger/1.flac": ("anger", "test"),
        }
        write(tmp_path, "", "train/rage/1.wav")
        assert refused(HfAudio(), tmp_path).code == "unknown_label"
        assert len(HfAudio(label_map={"rage": None}).load(tmp_path)) == 3

    def test_json_lines_and_own_columns(self, tmp_path):
        lines = [
            {"file_name": "1.wav", "emotion": "sad", "speaker_id": 7, "text": None},
            {"file_name": "2.wav", "emotion": "angry", "speaker_id": 8, "text": "네"},
        ]
        write(tmp_path, "\n".join(map(json.dumps, lines)), "metadata.jsonl")
        corpus = HfAudio(columns={"label": "emotion", "speaker": "speaker_id"}, audio="any")
        rows = by_id(corpus.load(tmp_path))
        assert {i: (u.votes[0].label, u.speaker, u.text) for i, u in rows.items()} == {
            "1.wav": ("sadness", "7", None),
            "2.wav": ("anger", "8", "네"),
        }

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("[1]\n", "bad_table"),
            ("{\n", "bad_table"),
            ('{"label": "anger"}\n', "missing_columns"),
            ('{"file_name": "1.wav", "label": "anger"}\n', "missing_file"),
            ('{"file_name": "1.wav", "label": "rage"}\n', "several"),
        ],
    )
    def test_mistakes_in_json_lines(self, text, code, tmp_path):
        write(tmp_path, text, "metadata.jsonl")
        assert refused(HfAudio(), tmp_path).code == code

    def test_sound_inside_parquet_is_refused(self, tmp_path):
        write(tmp_path, "", "data/train-00000-of-00001.parquet")
        error = refused(HfAudio(), tmp_path)
        assert error.code == "embedded_audio"
        assert "metadata.csv" in str(error)


class TestAudformat:
    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_reads_what_the_library_writes(self, kind, tmp_path):
        audformat = pytest.importorskip("audformat")
        import pandas

        database = audformat.Database("toy", license="CC0-1.0", languages=["de"])
        for rater in ("ann", "bob"):
            database.raters[rater] = audformat.Rater()
        database.schemes["emotion"] = audformat.Scheme(labels=["angry", "neutral"])
        database.schemes["speaker"] = audformat.Scheme(
            labels={3: {"gender": "male", "age": 31}, 8: {"gender": "female"}}
        )
        files = ["wav/a.wav", "wav/a.wav", "wav/b.wav"]
        table = database["emotion"] = audformat.Table(
            audformat.segmented_index(files, [0, 1.25, 0], [1, pandas.NaT, 61.5])
        )
        said = {"ann": ["angry", "neutral", None], "bob": ["angry", None, None]}
        for rater, labels in said.items():
            table[rater] = audformat.Column(scheme_id="emotion", rater_id=rater)
            table[rater].set(labels)
        people = database["files"] = audformat.Table(
            audformat.filewise_index(["wav/a.wav", "wav/b.wav"])
        )
        people["speaker"] = audformat.Column(scheme_id="speaker")
        people["speaker"].set([3, 8])
        database.save(tmp_path, storage_format=kind)
        corpus = Audformat(column=("ann", "bob"), audio="any")
        first, second = corpus.load(tmp_path)
        assert [(v.rater, v.label) for v in first.votes] == [("ann", "anger"), ("bob", "anger")]
        assert [(v.rater, v.label) for v in second.votes] == [("ann", "neutral")]
        assert (first.start_s, first.end_s, second.start_s, second.end_s) == (0, 1, 1.25, None)
        assert (first.speaker, first.gender, first.age) == ("3", "male", 31.0)
        assert (first.language, first.licence) == ("deu", "CC0-1.0")

    def test_durations(self):
        assert _seconds("1 days 00:00:01") == "86401.0"
        assert _seconds("-1 days +23:59:59").startswith("-")

    def test_what_is_missing_is_told(self, toy_corpus):
        root = toy_corpus("audformat")
        error = refused(Audformat(column="mood"), root)
        assert error.code == "missing_columns"
        assert "emotion (emotion); files (speaker)" in str(error)
        (root / "db.emotion.csv").unlink()
        assert refused(Audformat(), root).code == "missing_table"

    @pytest.mark.parametrize("text", ["[", "name: x", "tables: 3", "[1]"])
    def test_header_that_is_none(self, text, tmp_path):
        write(tmp_path, text, "db.yaml")
        assert refused(Audformat(), tmp_path).code == "bad_table"
