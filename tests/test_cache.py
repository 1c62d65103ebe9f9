"""Features kept on disk are those that were computed, whatever happens to processes and disks."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import ullim
from ullim.augment.waveform import Noise, Speed
from ullim.errors import FeatureError, UllimError
from ullim.features import batch, cache
from ullim.features.batch import extract_files
from ullim.features.cache import FeatureStore, Item, default_folder, file_hashes, item_key
from ullim.features.spectral import LogMel, Mel, Mfcc

SOURCE = Path(ullim.__file__).parent.parent
HASH = "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "cache")


@pytest.fixture
def recordings(tmp_path: Path, make_speech) -> list[Path]:
    folder = tmp_path / "recordings"
    folder.mkdir()
    files = [folder / f"{number}.wav" for number in range(4)]
    for number, file in enumerate(files):
        soundfile.write(file, make_speech(0.4 + 0.1 * number, seed=number), 16_000)
    return files


def item(number: int, frames: int = 5, width: int = 3, feature: str = "logmel-v1") -> Item:
    values = np.random.default_rng(number).random((frames, width), dtype=np.float32)
    return Item(f"{number:064x}", values, feature, HASH)


def put(store: FeatureStore, *items: Item) -> None:
    with store.writer() as writer:
        for one in items:
            writer.add(one)


def found(store: FeatureStore, *items: Item) -> dict[str, Item]:
    return {one.key: one for one in store.find([one.key for one in items])}


def shards(store: FeatureStore) -> list[Path]:
    return sorted((store.folder / "shards").iterdir())


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that runs code with the store's classes at hand."""
    head = """
        import os, sys
        from pathlib import Path
        import numpy as np
        from ullim.features import cache
        from ullim.features.cache import FeatureStore, Item
        store = FeatureStore(Path(sys.argv[1]))
        def item(number, width=3):
            values = np.random.default_rng(number).random((5, width), dtype=np.float32)
            return Item(f"{number:064x}", values, "logmel-v1", "0" * 64)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestStore:
    def test_what_goes_in_comes_out(self, store):
        items = [item(n, frames=n + 1, width=3 + n % 2) for n in range(20)]
        put(store, *items)
        again = found(store, *items)
        assert len(again) == 20
        for one in items:
            np.testing.assert_array_equal(again[one.key].values, one.values)
            assert (again[one.key].feature, again[one.key].audio) == (one.feature, one.audio)
            assert again[one.key].values.flags.writeable
        assert len(shards(store)) == 2  # one for each width

    def test_nothing_is_made_by_looking(self, store):
        assert found(store, item(1)) == {}
        assert store.summary() == []
        assert store.clear() == 0
        assert store.verify() == {"whole": 0, "damaged": 0, "abandoned": 0}
        assert not store.folder.exists()

    def test_more_keys_than_one_query_takes(self, store):
        items = [item(n, frames=1, width=1) for n in range(1200)]
        put(store, *items)
        assert len(found(store, *items)) == 1200

    def test_many_bytes_become_several_shards(self, store, monkeypatch):
        monkeypatch.setattr(cache, "_BYTES_PER_SHARD", 300)
        put(store, *(item(n) for n in range(20)))
        assert len(shards(store)) == 4
        assert len(found(store, *(item(n) for n in range(20)))) == 20

    def test_what_was_added_before_a_failure_is_kept(self, store):
        def fail() -> None:
            with store.writer() as writer:
                writer.add(item(1))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert len(found(store, item(1))) == 1

    def test_clearing_one_feature_leaves_the_others(self, store):
        put(store, item(1, feature="mel-v1"))
        put(store, item(2, feature="mel-image-v1"))
        assert store.summary() == [("mel-image-v1", 1, 60), ("mel-v1", 1, 60)]
        assert store.clear("mel") == 1
        assert store.summary() == [("mel-image-v1", 1, 60)]
        assert len(shards(store)) == 1
        assert store.clear() == 1
        assert shards(store) == []

    def test_the_folder_follows_the_environment(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ULLIM_CACHE", str(tmp_path / "here"))
        assert default_folder().parent == tmp_path / "here"
        monkeypatch.delenv("ULLIM_CACHE")
        assert default_folder().parent.name == "ullim"


class TestKey:
    def test_everything_that_decides_the_numbers_decides_the_key(self, monkeypatch):
        feature = LogMel()
        speed, noise = Speed().identity(), Noise().identity()

        def key(*clip: Any, **rest: Any) -> str:
            return item_key(*clip, **rest)

        keys = [
            key(HASH, 0.0, None, feature),
            key("1" * 64, 0.0, None, feature),
            key(HASH, 0.5, None, feature),
            key(HASH, 0.0, 2.0, feature),
            key(HASH, 0.0, None, LogMel(n_mels=40)),
            key(HASH, 0.0, None, LogMel(sampling_rate=22_050)),
            key(HASH, 0.0, None, Mel()),
            key(HASH, 0.0, None, feature, augmentation=[speed], seed=[0]),
            key(HASH, 0.0, None, feature, augmentation=[speed], seed=[1]),
            key(HASH, 0.0, None, feature, augmentation=[noise], seed=[0]),
            key(HASH, 0.0, None, feature, augmentation=[speed, noise], seed=[0]),
            key(HASH, 0.0, None, feature, augmentation=[noise, speed], seed=[0]),
        ]
        for cls, changed in ((LogMel, {"version": "v2"}), (LogMel, {"library": "numpy"})):
            with monkeypatch.context() as patch:
                for name, value in changed.items():
                    patch.setattr(cls, name, value)
                keys.append(key(HASH, 0.0, None, feature))
        with monkeypatch.context() as patch:
            patch.setattr(cache, "_version_of", lambda name: "another")
            keys.append(key(HASH, 0.0, None, feature))
        assert len(set(keys)) == len(keys)

    def test_equal_facts_have_equal_keys(self):
        assert item_key(HASH, 0, None, LogMel()) == item_key(HASH, 0.0, None, LogMel(n_mels=64))

    def test_a_file_that_cannot_be_read_has_no_hash(self, recordings, tmp_path):
        hashes = file_hashes([*recordings, tmp_path / "nowhere.wav", *recordings], jobs=2)
        assert list(hashes) == recordings
        assert len(set(hashes.values())) == 4


class TestDamage:
    @pytest.mark.parametrize("how", ["flip", "truncate", "empty", "delete", "other array"])
    def test_a_damaged_item_counts_as_absent_and_can_be_written_again(self, store, how):
        items = [item(n) for n in range(3)]
        put(store, *items)
        put(store, item(9))
        (shard,) = [path for path in shards(store) if path.stat().st_size > 200]
        raw = bytearray(shard.read_bytes())
        if how == "flip":
            raw[-1] ^= 0xFF  # in the last item
            shard.write_bytes(raw)
        elif how == "truncate":
            shard.write_bytes(raw[:-8])
        elif how == "empty":
            shard.write_bytes(b"")
        elif how == "delete":
            shard.unlink()
        else:
            np.save(shard, np.zeros((2, 7), np.float32))
        lost = 1 if how == "flip" else 3
        assert len(found(store, *items, item(9))) == 4 - lost
        counts = store.verify()
        assert (counts["whole"], counts["damaged"]) == (4 - lost, lost)
        assert store.verify()["damaged"] == 0
        put(store, *items)
        assert len(found(store, *items, item(9))) == 4

    def test_a_damaged_index_is_told_with_its_path(self, store):
        put(store, item(1))
        (store.folder / "index.sqlite").write_bytes(b"not a database" * 100)
        with pytest.raises(FeatureError, match=r"remove .*index\.sqlite") as caught:
            found(store, item(1))
        assert caught.value.code == "cache_index"

    def test_a_folder_that_cannot_be_is_told(self, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(FeatureError, match="ULLIM_CACHE") as caught:
            put(FeatureStore(tmp_path / "file" / "cache"), item(1))
        assert caught.value.code == "cache_unwritable"


class TestFullDisk:
    def test_a_shard_that_does_not_fit_leaves_nothing(self, store, monkeypatch):
        put(store, item(1))

        def half(file: Any, header: Any) -> None:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(np.lib.format, "write_array_header_1_0", half)
            with pytest.raises(FeatureError, match=r"disk is full.*cache clear") as caught:
                put(store, item(2))
        assert caught.value.code == "cache_full"
        assert [path.suffix for path in shards(store)] == [".npy"]
        assert list(found(store, item(1), item(2))) == [item(1).key]
        put(store, item(2))
        assert store.verify() == {"whole": 2, "damaged": 0, "abandoned": 0}

    def test_an_index_that_does_not_fit_leaves_nothing(self, store, monkeypatch):
        put(store, item(1))
        connect = sqlite3.connect

        def tight(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **keywords)
            connection.execute("PRAGMA max_page_count = 3")
            return connection

        many = [item(n, frames=1, width=1) for n in range(2, 500)]
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", tight)
            with pytest.raises(FeatureError, match="full") as caught:
                put(store, *many)
        assert caught.value.code == "cache_full"
        assert len(shards(store)) == 1
        assert list(found(store, item(1), *many)) == [item(1).key]
        put(store, *many)
        assert store.verify() == {"whole": 499, "damaged": 0, "abandoned": 0}


class TestProcesses:
    def test_two_write_the_same_items_at_once(self, store):
        code = """
            with store.writer() as writer:
                for number in range(60):
                    writer.add(item(number))
                    if number % 3 == 0:
                        writer.flush()
        """
        both = [python(code, store.folder) for _ in range(2)]
        for process in both:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
        assert len(found(store, *(item(n) for n in range(60)))) == 60
        assert store.verify()["damaged"] == 0

    def test_one_that_is_killed_spoils_nothing(self, store):
        put(store, item(10_000))
        code = """
            print("ready", flush=True)
            with store.writer() as writer:
                for number in range(1_000_000):
                    writer.add(item(number))
                    writer.flush()
                    print(number, flush=True)
        """
        process = python(code, store.folder)
        lines = [process.stdout.readline() for _ in range(12)]
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        sure = int(lines[-1])
        kept = found(store, item(10_000), *(item(n) for n in range(sure + 1)))
        assert len(kept) == sure + 2
        for n in range(sure + 1):
            np.testing.assert_array_equal(kept[item(n).key].values, item(n).values)
        assert store.verify()["damaged"] == 0
        put(store, item(20_000))
        assert len(found(store, item(20_000))) == 1

    @pytest.mark.parametrize("moment", ["before the name", "before the index"])
    def test_what_a_killed_process_left_is_swept_up_later(self, store, moment):
        put(store, item(1))
        code = """
            def die(*_): os._exit(9)
            if sys.argv[2] == "before the name":
                Path.replace = die
            else:
                FeatureStore.enter = die
            with store.writer() as writer:
                writer.add(item(2))
        """
        process = python(code, store.folder, moment)
        process.communicate(timeout=60)
        assert process.returncode == 9
        assert len(shards(store)) == 2
        assert list(found(store, item(1), item(2))) == [item(1).key]
        # Another process may still be at it.
        assert store.verify() == {"whole": 1, "damaged": 0, "abandoned": 0}
        for path in shards(store):
            os.utime(path, (0, 0))
        assert store.verify() == {"whole": 1, "damaged": 0, "abandoned": 1}
        assert len(shards(store)) == 1


class TestFiles:
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_the_second_time_nothing_is_computed(self, store, recordings, jobs, monkeypatch):
        expected = extract_files(recordings, Mfcc())
        first = extract_files(recordings, Mfcc(), store=store, jobs=jobs)
        monkeypatch.setattr(batch, "_compute", None)
        told: list[tuple[int, int]] = []
        second = extract_files(
            recordings, Mfcc(), store=store, progress=lambda *counts: told.append(counts)
        )
        for plain, computed, kept in zip(expected, first, second, strict=True):
            np.testing.assert_array_equal(computed, plain)
            np.testing.assert_array_equal(kept, plain)
        assert told == [(4, 4)]

    def test_a_file_that_changed_is_computed_anew(self, store, recordings, make_speech):
        before = extract_files(recordings, LogMel(), store=store)
        soundfile.write(recordings[1], make_speech(0.5, seed=99), 16_000)
        after = extract_files(recordings, LogMel(), store=store)
        assert not np.array_equal(before[1], after[1])
        np.testing.assert_array_equal(before[0], after[0])
        np.testing.assert_array_equal(after[1], extract_files(recordings[1:2], LogMel())[0])

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_a_file_that_is_no_audio_spoils_no_other(self, store, recordings, jobs, tmp_path):
        (tmp_path / "bad.wav").write_bytes(b"no audio at all")
        files = [recordings[0], tmp_path / "bad.wav", tmp_path / "absent.wav", recordings[1]]
        results = extract_files(files, LogMel(), store=store, jobs=jobs)
        assert [isinstance(result, UllimError) for result in results] == [0, 1, 1, 0]
        assert [results[1].code, results[2].code] == ["not_audio", "not_found"]
        assert store.summary()[0][1] == 2


def test_a_recipe_takes_clean_and_augmented_features_from_the_store(
    store, toy_corpus, make_speech, monkeypatch
):
    pytest.importorskip("torch")
    from ullim.recipes import prepared as module
    from ullim.recipes.prepared import prepare
    from ullim.recipes.schema import parse_recipe
    from ullim.recipes.table import load_table

    recipe = parse_recipe(
        {
            "name": "toy",
            "title": "A toy",
            "task": {"labels": ["neutral", "anger"], "corpora": [{"name": "emodb"}]},
            "features": [{"name": "logmel", "n_mels": 20}, {"name": "functionals"}],
            "augmentation": [{"name": "speed"}, {"name": "noise"}],
            "views": 2,
            "model": {
                "name": "fusion",
                "members": [
                    {"model": {"name": "dilated-cnn"}, "features": ["logmel"]},
                    {"model": {"name": "logistic"}, "features": ["functionals"]},
                ],
            },
            "protocols": [{"name": "random"}],
        },
        "toy",
    )
    corpus = toy_corpus("emodb")
    for number, file in enumerate(sorted(corpus.rglob("*.wav"))):
        # The toy clips are too short to be read, and some are alike.
        soundfile.write(file, make_speech(0.3, seed=number), 16_000)
    utterances = load_table(recipe, {"emodb": corpus}).utterances
    told: list[tuple[int, int]] = []
    arguments = {"progress": lambda *counts: told.append(counts)}
    plain = prepare(recipe, utterances, **arguments)
    first = prepare(recipe, utterances, store=store, **arguments)
    n = len(utterances)
    kept = {row[0]: row[1] for row in store.summary()}
    assert kept == {"fingerprint-v1": n, "functionals-v1": 3 * n, "logmel-v1": 3 * n}
    monkeypatch.setattr(module, "_prepare_one", None)
    second = prepare(recipe, utterances, store=store, **arguments)
    for prepared in (first, second):
        assert prepared.audio_hashes == plain.audio_hashes
        for ours, theirs in zip(prepared.fingerprints, plain.fingerprints, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for ours, theirs in zip(prepared.views, plain.views, strict=True):
            for name in ("logmel", "functionals"):
                np.testing.assert_array_equal(ours[name].values, theirs[name].values)
                np.testing.assert_array_equal(ours[name].offsets, theirs[name].offsets)
    assert told[-1] == (len(utterances), len(utterances))
