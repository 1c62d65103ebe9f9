"""Losses, batches, validation speakers, calibration, every network, and the estimator around it."""

from __future__ import annotations

import inspect
import math
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402

from ullim import registry  # noqa: E402
from ullim.errors import NotFittedError, TrainingError  # noqa: E402
from ullim.models import Network  # noqa: E402
from ullim.models.dilated_cnn import DilatedCnn  # noqa: E402
from ullim.models.mfcc_network import MfccNetwork  # noqa: E402
from ullim.training import network  # noqa: E402
from ullim.training.calibration import fit_temperature  # noqa: E402
from ullim.training.data import TrainingBatches, evaluated_together, mask, mix, pad  # noqa: E402
from ullim.training.estimator import NetworkClassifier  # noqa: E402
from ullim.training.export import largest_difference, to_onnx  # noqa: E402
from ullim.training.losses import masked_log_softmax, soft_cross_entropy  # noqa: E402
from ullim.training.network import Fitting  # noqa: E402
from ullim.training.options import Hardware, SpecAugment, Training  # noqa: E402
from ullim.training.split import validation_rows  # noqa: E402
from ullim.training.standardise import Standardised, statistics  # noqa: E402
from ullim.types import Ragged  # noqa: E402
from ullim.window import Window  # noqa: E402

NAN = math.nan
BANDS = 12
TINY = DilatedCnn(
    channels=8, stem_channels=2, dilations=(1,), kernel_size=3, attention_channels=4, dropout=0.1
)
QUICK = Training(
    epochs=2,
    batch_size=4,
    learning_rate=2e-2,
    mixup=0.0,
    label_smoothing=0.0,
    spec_augment=None,
    average_decay=0.0,
    validation_share=0.3,
)
WINDOW = Window(mode="crop", length_s=0.4, hop_s=0.2)  # 40 frames of 10 ms


@pytest.fixture
def toy() -> tuple[dict[str, Ragged], list[str], list[str]]:
    """Six speakers, two labels that lie in different bands, clips of unequal length."""
    return make_toy(labels=("sadness", "anger"))


def make_toy(
    labels: tuple[str, ...], n_speakers: int = 6, each: int = 6, seed: int = 0
) -> tuple[dict[str, Ragged], list[str], list[str]]:
    generator = np.random.default_rng(seed)
    items, y, groups = [], [], []
    for speaker in range(n_speakers):
        for take in range(each):
            column = take % len(labels)
            clip = generator.normal(-50, 3, (int(generator.integers(18, 38)), BANDS))
            start = column * BANDS // len(labels)
            clip[:, start : start + BANDS // len(labels)] += 30
            items.append(clip.astype(np.float32))
            y.append(labels[column])
            groups.append(f"toy/{speaker}")
    return {"logmel": Ragged.from_items(items)}, y, groups


class PowerCutError(Exception):
    """What ends a fit in the middle."""


_training_step = Fitting.training_step


def stop_in_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every fit break off at the first step of an epoch."""

    def step(self, batch, batch_idx):
        if self.current_epoch == epoch:
            raise PowerCutError
        return _training_step(self, batch, batch_idx)

    monkeypatch.setattr(Fitting, "training_step", step)


def record_epochs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that fills with the epoch of every step from now on."""
    epochs = []

    def step(self, batch, batch_idx):
        epochs.append(self.current_epoch)
        return _training_step(self, batch, batch_idx)

    monkeypatch.setattr(Fitting, "training_step", step)
    return epochs


def classifier(**changes: object) -> NetworkClassifier:
    settings = {
        "model": TINY,
        "training": QUICK,
        "window": WINDOW,
        "hardware": Hardware(accelerator="cpu"),
    }
    return NetworkClassifier(**(settings | changes))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Let nothing that a fit may write land in the checkout."""
    monkeypatch.chdir(tmp_path)


class TestLosses:
    def test_equals_torch_where_every_class_is_offered(self):
        torch.manual_seed(0)
        logits, truth = torch.randn(20, 5), torch.randint(0, 5, (20,))
        targets = torch.nn.functional.one_hot(truth, 5).float()
        ours = soft_cross_entropy(logits, targets)
        assert ours.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, truth).item())

    def test_soft_targets_and_smoothing_equal_torch(self):
        torch.manual_seed(0)
        logits, targets = torch.randn(20, 5), torch.softmax(torch.randn(20, 5), dim=1)
        ours = soft_cross_entropy(logits, targets, label_smoothing=0.1)
        theirs = torch.nn.functional.cross_entropy(logits, targets, label_smoothing=0.1)
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)

    def test_class_weights_equal_torch(self):
        torch.manual_seed(0)
        logits, truth = torch.randn(20, 4), torch.randint(0, 4, (20,))
        weights = torch.tensor([0.2, 1.0, 3.0, 0.5])
        targets = torch.nn.functional.one_hot(truth, 4).float()
        ours = soft_cross_entropy(logits, targets, class_weights=weights)
        theirs = torch.nn.functional.cross_entropy(logits, truth, weight=weights)
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)

    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    def test_a_class_that_is_not_offered_has_no_gradient(self, smoothing):
        torch.manual_seed(0)
        logits = torch.randn(3, 4, requires_grad=True)
        targets = torch.tensor([[1, 0, NAN, 0], [0, 0.5, 0.5, NAN], [NAN, NAN, 1, 0]])
        soft_cross_entropy(
            logits, targets, class_weights=torch.tensor([1.0, 2, 3, 4]), label_smoothing=smoothing
        ).backward()
        assert torch.isfinite(logits.grad).all()
        assert (logits.grad[targets.isnan()] == 0).all()
        assert (logits.grad[~targets.isnan()] != 0).all()

    def test_masking_equals_leaving_the_class_out(self):
        torch.manual_seed(0)
        logits = torch.randn(6, 5)
        targets = torch.eye(3).repeat(2, 1)
        wide = torch.cat([targets, torch.full((6, 2), NAN)], dim=1)
        narrow_loss = soft_cross_entropy(logits[:, :3], targets, label_smoothing=0.1)
        wide_loss = soft_cross_entropy(logits, wide, label_smoothing=0.1)
        assert wide_loss.item() == pytest.approx(narrow_loss.item(), rel=1e-5)

    def test_huge_logits_of_classes_not_offered_do_not_matter(self):
        offered = torch.tensor([[True, True, False]])
        log_probability = masked_log_softmax(torch.tensor([[0.0, 0.0, 1e6]]), offered)
        np.testing.assert_allclose(log_probability[0, :2].numpy(), np.log(0.5), rtol=1e-6)
        assert log_probability[0, 2] < -1e8


def clips_of(lengths: list[int], generator: np.random.Generator) -> list[np.ndarray]:
    return [generator.normal(size=(n, BANDS)).astype(np.float32) for n in lengths]


class TestMix:
    @given(seed=st.integers(0, 200), alpha=st.floats(0.05, 2.0))
    @settings(max_examples=40, deadline=None)
    def test_targets_sum_to_one_and_nan_only_where_neither_offers(self, seed, alpha):
        generator = np.random.default_rng(seed)
        clips = clips_of([3, 9, 5, 1, 7, 4], generator)
        one = np.array([[1, 0, 0, NAN], [0, 1, 0, NAN], [0, 0, 1, NAN]], np.float32)
        other = np.array([[1, NAN, 0, NAN], [0, NAN, 1, NAN], [0.5, NAN, 0.5, NAN]], np.float32)
        targets = np.concatenate([one, other])
        kept = targets.copy()
        mixed, blended = mix(clips, targets, alpha, generator)
        np.testing.assert_allclose(np.nansum(blended, axis=1), 1.0, atol=1e-5)
        assert np.isnan(blended[:, 3]).all()
        assert not np.isnan(blended[:, [0, 2]]).any()
        assert not np.isnan(blended[:3, 1]).any(), "what its own corpus offers stays offered"
        assert [clip.shape for clip in mixed] == [clip.shape for clip in clips]
        assert {clip.dtype for clip in mixed} == {np.dtype(np.float32)}
        assert blended.dtype == np.float32
        np.testing.assert_array_equal(targets, kept)

    def test_the_greater_share_is_the_clips_own(self, generator):
        targets = np.eye(8, dtype=np.float32)
        _, blended = mix(clips_of([4] * 8, generator), targets, 0.3, generator)
        assert (np.diagonal(blended) >= 0.5).all()

    def test_shorter_partners_are_repeated_frame_by_frame(self):
        long = np.zeros((6, 2), np.float32)
        short = np.array([[1, 2], [3, 4]], np.float32)
        for seed in range(20):
            (mixed, _), blended = mix(
                [long, short], np.eye(2, dtype=np.float32), 1.0, np.random.default_rng(seed)
            )
            share = blended[0, 1]
            np.testing.assert_allclose(mixed, share * np.tile(short, (3, 1)), atol=1e-6)
            if share > 0:
                break
        else:
            pytest.fail("no seed mixed the two clips")


class TestEvaluatedTogether:
    @given(st.lists(st.integers(1, 200_000), max_size=90))
    def test_every_clip_once_and_never_much_at_once(self, lengths):
        lengths = np.array(lengths, dtype=np.int64)
        batches = evaluated_together(lengths)
        assert sorted(np.concatenate([[], *batches]).tolist()) == list(range(len(lengths)))
        for batch in batches:
            assert len(batch) <= 32
            assert len(batch) == 1 or len(batch) * lengths[batch].max() <= 96_000

    def test_clips_of_seconds_are_taken_in_full_batches(self):
        assert [len(batch) for batch in evaluated_together(np.full(70, 2_000))] == [32, 32, 6]


class TestMask:
    @given(
        seed=st.integers(0, 200),
        shape=st.tuples(st.integers(1, 90), st.integers(1, 40)),
        options=st.builds(
            SpecAugment,
            time_masks=st.integers(0, 3),
            max_time_frames=st.integers(1, 60),
            band_masks=st.integers(0, 3),
            max_bands=st.integers(1, 40),
            filter_db=st.sampled_from([0.0, 6.0]),
            hidden=st.sampled_from(["clip", "feature"]),
        ),
    )
    @settings(max_examples=60, deadline=None)
    def test_keeps_shape_and_the_clip_given(self, seed, shape, options):
        generator = np.random.default_rng(seed)
        clip = generator.normal(-40, 10, shape).astype(np.float32)
        kept = clip.copy()
        masked = mask(clip, options, generator)
        assert masked.shape == clip.shape
        assert masked.dtype == np.float32
        assert np.isfinite(masked).all()
        np.testing.assert_array_equal(clip, kept)

    def test_hides_at_most_what_it_says_behind_the_mean(self, generator):
        options = SpecAugment(
            time_masks=2, max_time_frames=5, band_masks=1, max_bands=3, filter_db=0
        )
        clip = generator.normal(-40, 10, (100, 24)).astype(np.float32)
        widths = set()
        for seed in range(40):
            masked = mask(clip, options, np.random.default_rng(seed))
            hidden = masked != clip
            np.testing.assert_allclose(masked[hidden], clip.mean(), rtol=1e-5)
            frames, bands = hidden.all(axis=1).sum(), hidden.all(axis=0).sum()
            assert frames <= 10
            assert bands <= 3
            widths.add((frames, bands))
        assert len(widths) > 10

    def test_cepstra_hide_behind_their_own_means(self, generator):
        """The first is far below the others: the mean of all would be louder than any speech."""
        clip = generator.normal(0, 5, (60, 8)).astype(np.float32)
        clip[:, 0] -= 400
        options = SpecAugment(max_time_frames=10, max_bands=2, filter_db=0, hidden="feature")
        masked = mask(clip, options, np.random.default_rng(1))
        changed = masked != clip
        assert changed[:, 0].any()
        means = np.broadcast_to(clip.mean(axis=0), clip.shape)
        np.testing.assert_allclose(masked[changed], means[changed], rtol=1e-4)

    def test_nothing_asked_for_nothing_done(self, generator):
        clip = generator.normal(size=(30, 10)).astype(np.float32)
        options = SpecAugment(time_masks=0, band_masks=0, filter_db=0)
        np.testing.assert_array_equal(mask(clip, options, generator), clip)

    def test_the_filter_is_one_gain_per_band_within_its_bounds(self, generator):
        clip = generator.normal(size=(30, 10)).astype(np.float32)
        options = SpecAugment(time_masks=0, band_masks=0, filter_db=6.0)
        gain_db = mask(clip, options, generator) - clip
        np.testing.assert_allclose(gain_db, np.tile(gain_db[0], (30, 1)), atol=1e-5)
        assert 0 < np.abs(gain_db).max() <= 6.0 + 1e-5


class TestTrainingBatches:
    @staticmethod
    def batches(seed: list[int], *, n: int = 37, size: int = 8, **options: object):
        generator = np.random.default_rng(1)
        lengths = generator.integers(5, 60, n)
        # The first value of each frame tells the row.
        items = [np.full((k, BANDS), row, np.float32) for row, k in enumerate(lengths)]
        targets = np.eye(4, dtype=np.float32)[np.arange(n) % 4]
        quiet = {"mixup": 0.0, "spec_augment": None, "batch_size": size}
        return TrainingBatches(
            [Ragged.from_items(items)],
            targets,
            np.arange(n),
            Training(**(quiet | options)),
            40,
            seed,
        )

    @given(n=st.integers(2, 70), size=st.integers(2, 20), seed=st.integers(0, 100))
    @settings(max_examples=40, deadline=None)
    def test_each_row_once_but_for_a_lonely_last(self, n, size, seed):
        batches = self.batches([seed], n=n, size=size)
        seen = list(batches)
        assert len(seen) == len(batches)
        rows = [int(row) for batch in seen for row in batch.features[:, 0, 0]]
        assert len(set(rows)) == len(rows) == n - (n % size == 1)
        assert all(1 < len(batch.features) <= size for batch in seen)

    def test_targets_and_lengths_belong_to_their_rows(self):
        for batch in self.batches([3]):
            rows = batch.features[:, 0, 0].long()
            assert batch.targets.argmax(dim=1).tolist() == (rows % 4).tolist()
            assert batch.features.shape[1] == batch.lengths.max() <= 40
            for clip, length in zip(batch.features, batch.lengths, strict=True):
                assert (clip[:length] == clip[0, 0]).all()
                assert (clip[length:] == 0).all()

    @pytest.mark.parametrize("options", [{}, {"mixup": 0.5, "spec_augment": SpecAugment()}])
    def test_the_seed_alone_decides(self, options):
        def flat(seed: list[int]) -> list[bytes]:
            return [b.features.numpy().tobytes() for b in self.batches(seed, **options)]

        assert flat([0, 1, 2]) == flat([0, 1, 2])
        assert flat([0, 1, 2]) != flat([0, 1, 3])
        again = self.batches([0, 1, 2], **options)
        assert [b.features.numpy().tobytes() for b in again] == flat([0, 1, 2])
        assert [b.features.numpy().tobytes() for b in again] == flat([0, 1, 2])

    def test_every_view_is_drawn(self):
        views = [Ragged.from_items([np.full((4, 2), v, np.float32)] * 30) for v in (0, 1, 2)]
        options = Training(mixup=0.0, spec_augment=None)
        targets = np.eye(2, dtype=np.float32)[[0, 1] * 15]
        batches = TrainingBatches(views, targets, np.arange(30), options, None, [0])
        drawn = {int(value) for batch in batches for value in batch.features[:, 0, 0]}
        assert drawn == {0, 1, 2}

    @given(n=st.integers(4, 70), n_ranks=st.integers(2, 4), seed=st.integers(0, 20))
    @settings(max_examples=20, deadline=None)
    def test_devices_share_each_batch(self, n, n_ranks, seed):
        items = [np.full((4, 2), row, np.float32) for row in range(n)]
        targets, options = np.eye(n, 2, dtype=np.float32), Training(mixup=0, spec_augment=None)
        parts = [Ragged.from_items(items)], targets, np.arange(n), options, None, [seed]
        shares = [TrainingBatches(*parts, rank, n_ranks) for rank in range(n_ranks)]
        assert len({len(share) for share in shares}) == 1
        for share in shares:
            seen = [len(batch.features) for batch in share]
            assert len(seen) == len(share)
            assert min(seen, default=2) >= 2
        rows = [r for share in shares for batch in share for r in batch.features[:, 0, 0].tolist()]
        assert len(rows) == len(set(rows)) > n - 2 * n_ranks

    def test_padding_is_zero(self):
        batch = pad([np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)], np.eye(2))
        assert batch.features.shape == (2, 4, 3)
        assert batch.features.sum() == 18
        assert batch.lengths.tolist() == [2, 4]


@st.composite
def training_tables(draw) -> tuple[np.ndarray, list[str], int]:
    """Targets of one to three corpora that offer other classes, and the speakers of the rows."""
    targets, groups = [], []
    n_corpora = draw(st.integers(1, 3))
    for corpus in range(n_corpora):
        offered = np.array([0, 0, 0, 0], np.float32)
        offered[:corpus] = NAN
        for speaker in range(draw(st.integers(2, 9))):
            for take in range(draw(st.integers(1, 3))):
                row = offered.copy()
                row[corpus + take % (4 - corpus)] = 1
                targets.append(row)
                groups.append(f"corpus-{corpus}/{speaker}")
    return np.array(targets), groups, n_corpora


class TestValidationRows:
    @given(table=training_tables(), share=st.floats(0.05, 0.9), seed=st.integers(0, 50))
    @settings(max_examples=60, deadline=None)
    def test_whole_speakers_of_every_corpus_and_some_to_train_on(self, table, share, seed):
        targets, groups, n_corpora = table
        held_out = validation_rows(targets, groups, share, seed)
        assert held_out.tolist() == sorted(set(held_out.tolist()))
        train = np.setdiff1d(np.arange(len(targets)), held_out)
        validating = {groups[row] for row in held_out}
        training = {groups[row] for row in train}
        assert not validating & training
        for corpus in range(n_corpora):
            ours = {speaker for speaker in groups if speaker.startswith(f"corpus-{corpus}/")}
            n = len(validating & ours)
            assert 1 <= n < len(ours)
            assert n == min(math.ceil(share * len(ours)), len(ours) - 1)

    @given(table=training_tables(), seed=st.integers(0, 50))
    @settings(max_examples=30, deadline=None)
    def test_members_take_turns_until_every_speaker_was_trained_on(self, table, seed):
        targets, groups, _ = table
        held = [set(validation_rows(targets, groups, 0.3, seed, m).tolist()) for m in range(9)]
        assert set.intersection(*held) == set()

    def test_turns_of_one_speaker_each_meet_everybody_once(self):
        groups = [f"s{row}" for row in range(8)]
        targets = np.eye(2, dtype=np.float32)[[0, 1] * 4]
        held = [validation_rows(targets, groups, 0.1, 5, member)[0] for member in range(8)]
        assert sorted(held) == list(range(8))

    def test_seed_decides(self):
        groups = [f"s{row}" for row in range(20)]
        targets = np.eye(2, dtype=np.float32)[[0, 1] * 10]
        drawn = {tuple(validation_rows(targets, groups, 0.2, seed)) for seed in range(6)}
        assert len(drawn) == 6
        np.testing.assert_array_equal(
            validation_rows(targets, groups, 0.2, 3), validation_rows(targets, groups, 0.2, 3)
        )

    def test_rows_are_drawn_where_nobody_names_speakers(self):
        held_out = validation_rows(np.eye(2, dtype=np.float32)[[0, 1] * 10], None, 0.25, 0)
        assert len(held_out) == 5

    def test_a_corpus_of_one_speaker_is_all_trained_on(self):
        targets = np.array([[1, 0, NAN]] * 3 + [[0, 1, 0]] * 4, np.float32)
        held_out = validation_rows(targets, [*"aaa", *"bbcc"], 0.5, 0)
        assert {"aaabbcc"[row] for row in held_out} <= {"b", "c"}
        assert len(held_out) == 2

    def test_a_speaker_whose_rows_offer_different_classes_is_on_one_side(self):
        """One person may speak rows that offer other classes than the rest of theirs."""
        targets = np.array([[1, 0, NAN], [0, 1, 0]] * 6, np.float32)
        groups = [f"s{row // 2}" for row in range(12)]
        for seed in range(10):
            held_out = validation_rows(targets, groups, 0.3, seed)
            train = np.setdiff1d(np.arange(12), held_out)
            assert not {groups[row] for row in held_out} & {groups[row] for row in train}

    def test_a_single_speaker_is_refused(self):
        targets = np.eye(2, dtype=np.float32)[[0, 1] * 3]
        with pytest.raises(TrainingError, match="needs a second speaker"):
            validation_rows(targets, ["only"] * 6, 0.2, 0)


class TestTemperature:
    @pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
    def test_recovers_the_temperature_answers_were_drawn_at(self, temperature, generator):
        logits = generator.normal(0, 3, (4000, 4))
        scaled = np.exp(logits / temperature)
        probability = scaled / scaled.sum(axis=1, keepdims=True)
        drawn = (probability.cumsum(axis=1) > generator.random((4000, 1))).argmax(axis=1)
        targets = np.eye(4, dtype=np.float32)[drawn]
        assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=0.1)

    def test_classes_that_are_not_offered_do_not_matter(self, generator):
        logits = generator.normal(0, 2, (300, 3)).astype(np.float32)
        targets = np.eye(3, dtype=np.float32)[generator.integers(0, 3, 300)]
        wide_logits = np.column_stack([logits, np.full(300, 99, np.float32)])
        wide_targets = np.column_stack([targets, np.full(300, NAN, np.float32)])
        assert fit_temperature(wide_logits, wide_targets) == pytest.approx(
            fit_temperature(logits, targets), rel=1e-6
        )

    @pytest.mark.parametrize(("sign", "bound"), [(1.0, 0.1), (-1.0, 10.0)])
    def test_stays_in_its_bounds(self, sign, bound):
        targets = np.eye(3, dtype=np.float32)
        assert fit_temperature(sign * targets, targets) == pytest.approx(bound, rel=1e-3)


class TestStandardise:
    @staticmethod
    def views(lengths: list[int]) -> list[Ragged]:
        generator = np.random.default_rng(0)
        return [
            Ragged.from_items(
                [generator.normal(-300, 2, (n, 3)).astype(np.float32) for n in lengths]
            )
            for _ in range(2)
        ]

    def test_statistics_are_those_of_the_rows_trained_on(self):
        views, rows = self.views([5, 9, 2, 7]), np.array([0, 2, 3])
        frames = np.concatenate([view[int(row)] for view in views for row in rows])
        mean, deviation = statistics(views, rows, "feature")
        np.testing.assert_allclose(mean, frames.mean(axis=0, dtype=float), rtol=1e-6)
        np.testing.assert_allclose(deviation, frames.std(axis=0, dtype=float), rtol=1e-5)

    def test_position_is_over_clips_of_one_length(self):
        views, rows = self.views([6, 6, 6]), np.array([0, 2])
        clips = np.stack([view[int(row)] for view in views for row in rows]).astype(float)
        mean, deviation = statistics(views, rows, "position")
        np.testing.assert_allclose(mean, clips.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(deviation, clips.std(axis=0), rtol=1e-5)
        with pytest.raises(TrainingError, match="needs clips of one length and was given 5 to 6"):
            statistics(self.views([6, 5]), np.arange(2), "position")

    def test_a_value_that_never_changes_is_only_shifted(self):
        network = Standardised(torch.nn.Identity(), np.full(2, 5, "f4"), np.array([0, 2], "f4"))
        network.network.forward = lambda features, lengths: features
        np.testing.assert_allclose(network(torch.tensor([[[6.0, 9.0]]]))[0, 0].numpy(), [1, 2])

    @pytest.mark.slow
    @pytest.mark.parametrize("per", ["feature", "position"])
    def test_the_graph_holds_it(self, per, toy):
        X, y, groups = toy
        n = 18  # no clip is shorter
        X = {"logmel": Ragged.from_items([X["logmel"][row][:n] for row in range(len(y))])}
        training = QUICK.model_copy(update={"standardise": per})
        estimator = classifier(training=training).fit(X, y, groups)
        (graph,) = estimator.graphs({"logmel": X["logmel"].take([0, 1, 2])})
        assert len(graph.data) > 0  # graphs() compares graph and network itself
        network = estimator.networks_[0]
        (held_out,) = estimator.validation_rows_
        trained = np.setdiff1d(np.arange(len(y)), held_out)
        seen = np.stack([X["logmel"][int(row)] for row in trained])
        axes = (0, 1) if per == "feature" else 0
        np.testing.assert_allclose(network.mean.numpy(), seen.mean(axis=axes), rtol=1e-4)


MODELS = registry.components("models")
# Of fixed pictures, or large, or recurrent: tests/test_segment_networks.py asks the same of these,
# in small and on inputs of unit scale.
ELSEWHERE = {"endtoend", "park2018", "simple-rnn"}
NETWORKS = {
    name: cls for name, cls in MODELS.items() if issubclass(cls, Network) and name not in ELSEWHERE
}

SMALL = {
    "frames": 56, "channels_1d": (8, 8, 12), "channels_2d": (4, 4, 6), "hidden": 8,
    "dense": (16, 12, 8), "units": 8,
}  # fmt: skip
NINE = {
    "fcn": {"front": "none"},
    "lstm": {"front": "none", "recurrent": "lstm", "recurrent_layers": 2},
    "bilstm": {"front": "none", "recurrent": "bilstm", "recurrent_layers": 2},
    "cnn1d": {"front": "cnn1d"},
    "cnn1d-lstm": {"front": "cnn1d", "recurrent": "lstm"},
    "cnn1d-bilstm": {"front": "cnn1d", "recurrent": "bilstm"},
    "cnn2d": {"front": "cnn2d"},
    "cnn2d-lstm": {"front": "cnn2d", "recurrent": "lstm"},
    "cnn2d-bilstm": {"front": "cnn2d", "recurrent": "bilstm"},
}
GOLDEN = {
    "fcn": [0.29777, 0.482616, 0.444473],
    "lstm": [-0.114777, -0.239715, -0.255304],
    "bilstm": [-0.442742, 0.037995, 0.150534],
    "cnn1d": [0.246894, 0.477417, 0.487813],
    "cnn1d-lstm": [0.104801, 0.16596, 0.147182],
    "cnn1d-bilstm": [-0.268306, 0.093575, 0.25607],
    "cnn2d": [0.23948, 0.462127, 0.471511],
    "cnn2d-lstm": [0.110838, 0.177592, 0.159189],
    "cnn2d-bilstm": [-0.275694, 0.096822, 0.264777],
}
# Each network as small as shows its parts; of one with switches, every position of them.
VARIANTS = {name: cls() for name, cls in NETWORKS.items() if name != "mfcc-network"} | {
    f"mfcc-{name}": MfccNetwork(**SMALL, **switches) for name, switches in NINE.items()
}
EVERY_NETWORK = pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS)


def for_network(model: Network, clips: torch.Tensor) -> torch.Tensor:
    """Return decibels as a network is fed them: recurrent ones learn nothing unless scaled."""
    return (clips + 40) / 10 if model.name == "mfcc-network" else clips


# A constant added before a softmax over time changes nothing: Okabe et al.'s eq. 3 has it (k).
WITHOUT_EFFECT = {"dilated-cnn": {"attention.2.bias"}}


class TestEveryNetwork:
    @EVERY_NETWORK
    def test_a_padded_clip_gets_the_logits_it_gets_alone(self, model):
        torch.manual_seed(1)
        network = model.build(16, 5).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                # Fresh statistics (0 and 1) would hide what padding leaks through them.
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
        lengths = torch.tensor([37, 8, 1, 22, 50, 3])
        clips = [for_network(model, torch.randn(int(n), 16) * 10 - 40) for n in lengths]
        for filler in (0.0, 55.0):
            batch = torch.full((len(clips), 50, 16), filler)
            for row, clip in zip(batch, clips, strict=True):
                row[: len(clip)] = clip
            with torch.inference_mode():
                together = network(batch, lengths)
                alone = torch.cat([network(clip[None], None) for clip in clips])
            assert together.shape == (6, 5)
            np.testing.assert_allclose(together.numpy(), alone.numpy(), rtol=1e-5, atol=2e-5)

    @EVERY_NETWORK
    def test_the_gradient_reaches_every_parameter(self, model):
        torch.manual_seed(1)
        network = model.build(16, 3).double().eval()
        features = for_network(model, torch.randn(6, 40, 16) * 10 - 40).double()
        lengths = torch.tensor([40, 31, 22, 40, 17, 9])
        network(features, lengths).square().sum().backward()
        idle = {
            name
            for name, p in network.named_parameters()
            if p.grad is None or p.grad.abs().max() < 1e-12
        }
        assert idle == WITHOUT_EFFECT.get(model.name, set())

    @EVERY_NETWORK
    @pytest.mark.parametrize("n_features", [1, 7, 64])
    @pytest.mark.parametrize("n_classes", [2, 8])
    def test_takes_any_number_of_features_and_classes(self, model, n_features, n_classes):
        network = model.build(n_features, n_classes).eval()
        for n_frames in (1, 2, 3, model.max_frames or 100):
            logits = network(torch.zeros(2, n_frames, n_features), None)
            assert logits.shape == (2, n_classes)
            assert torch.isfinite(logits).all()

    @EVERY_NETWORK
    def test_learns_one_batch_by_heart(self, model):
        torch.manual_seed(0)
        network = model.model_copy(update={"dropout": 0.0}).build(16, 4).train()
        features = for_network(model, torch.randn(8, 24, 16) * 10 - 40)
        lengths = torch.tensor([24, 20, 24, 16, 24, 12, 24, 24])
        truth = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(60):
            loss = torch.nn.functional.cross_entropy(network(features, lengths), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            assert (network(features, lengths).argmax(dim=1) == truth).all()
        assert loss.item() < 0.3

    @EVERY_NETWORK
    def test_equal_seeds_give_equal_weights(self, model):
        states = []
        for seed in (3, 3, 4):
            torch.manual_seed(seed)
            states.append(torch.cat([p.flatten() for p in model.build(8, 3).parameters()]))
        assert torch.equal(states[0], states[1])
        assert not torch.equal(states[0], states[2])

    @EVERY_NETWORK
    def test_fields_survive_json(self, model):
        assert type(model).model_validate_json(model.model_dump_json()) == model
        with pytest.raises(ValidationError, match="n_bananas"):
            type(model)(n_bananas=3)


class TestMfccNetwork:
    @pytest.mark.parametrize(
        ("name", "size"),
        [
            ("fcn", 5_694_981),
            ("lstm", 224_901),
            ("bilstm", 580_869),
            ("cnn1d", 820_421),
            ("cnn1d-lstm", 805_253),
            ("cnn1d-bilstm", 1_003_525),
            ("cnn2d", 204_741),
            ("cnn2d-lstm", 240_773),
            ("cnn2d-bilstm", 357_125),
        ],
    )  # fmt: skip
    def test_size_of_the_nine_on_fifty_coefficients(self, name, size):
        network = MfccNetwork(**NINE[name]).build(50, 5)
        assert sum(p.numel() for p in network.parameters()) == size

    @pytest.mark.parametrize("name", NINE)
    def test_golden_values(self, name):
        """Weights and clip from a formula, so that no library's generator matters."""
        network = VARIANTS[f"mfcc-{name}"].build(6, 3).eval()
        with torch.no_grad():
            for place, parameter in enumerate(network.parameters()):
                wave = torch.sin(torch.arange(parameter.numel(), dtype=torch.float64) * 0.7 + place)
                parameter.copy_((0.3 * wave).reshape(parameter.shape))
            clip = torch.sin(torch.arange(40 * 6, dtype=torch.float64) * 0.37).reshape(1, 40, 6)
            logits = network(clip.float(), None)[0].tolist()
        assert logits == pytest.approx(GOLDEN[name], abs=1e-5)

    def test_the_convolution_keeps_the_size_as_tensorflow_does(self):
        """SAME: of an odd number of zeros, the last one stands at the end."""
        network = MfccNetwork(**SMALL | {"channels_2d": (1,)}).build(8, 2).eval()
        convolution = network.front[0].layers[0]
        with torch.no_grad():
            convolution.weight.zero_()
            convolution.weight[0, 0, 4, 1] = 1.0  # the centre of 10 frames by 4 coefficients
            x = torch.rand(1, 1, 56, 8)
            passed = convolution(torch.nn.functional.pad(x, network.front[0].padding))
        assert torch.equal(passed, x)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", NINE)
    def test_the_graph_says_the_same_for_clips_of_any_length(self, name):
        torch.manual_seed(0)
        network = VARIANTS[f"mfcc-{name}"].build(6, 3).eval()
        generator = np.random.default_rng(0)
        clips = [generator.normal(size=(n, 6)).astype(np.float32) for n in (56, 40, 7, 1)]
        to_onnx(network, "mfcc", clips)  # compares them itself

    def test_clips_longer_than_its_map_are_refused(self, toy):
        X, y, groups = toy
        model = MfccNetwork(**SMALL | {"frames": 20})
        with pytest.raises(TrainingError, match=r"up to 20 frames and would be fed 35") as caught:
            classifier(model=model).fit(X, y, groups)
        assert caught.value.code == "too_long"

    def test_a_map_that_is_halved_to_nothing_is_refused(self):
        with pytest.raises(ValidationError, match="at least 16"):
            MfccNetwork(frames=15)

    def test_is_fitted_standardised_like_any_network(self, toy):
        X, y, groups = toy
        training = QUICK.model_copy(
            update={"epochs": 8, "standardise": "feature", "validation_share": 0.0}
        )
        model = MfccNetwork(**SMALL, front="cnn1d", recurrent="bilstm")
        estimator = classifier(model=model, training=training).fit(X, y, groups)
        assert np.mean(estimator.predict(X) == np.array(y)) > 0.8


class TestDilatedCnn:
    def test_size_of_the_default(self):
        network = DilatedCnn().build(64, 8)
        assert sum(p.numel() for p in network.parameters()) == 160_040

    def test_recording_level_changes_nothing(self):
        torch.manual_seed(0)
        network = DilatedCnn().build(16, 4).eval()
        clip = torch.randn(1, 30, 16) * 8 - 40
        with torch.inference_mode():
            np.testing.assert_allclose(
                network(clip + 17.0).numpy(), network(clip).numpy(), atol=1e-4
            )

    @pytest.mark.parametrize("kernel_size", [2, 4])
    def test_even_kernels_are_refused_or_work(self, kernel_size):
        try:
            network = DilatedCnn(kernel_size=kernel_size, channels=8).build(8, 2).eval()
        except ValidationError as refusal:
            assert "kernel_size" in str(refusal)  # noqa: PT017 - either is fine
            return
        assert network(torch.zeros(1, 20, 8)).shape == (1, 2)

    @pytest.mark.parametrize("dilation", [0, -1])
    def test_impossible_dilations_are_refused(self, dilation):
        with pytest.raises(ValidationError, match="dilations"):
            DilatedCnn(dilations=(1, dilation))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("weight_decay", -1.0),
        ("mixup", -0.1),
        ("label_smoothing", 1.0),
        ("class_weights", "sometimes"),
        ("average_decay", 1.0),
        ("validation_share", -0.1),
        ("validation_share", 1.0),
        ("optimiser", "rmsprop"),
        ("schedule", "cosine"),
        ("momentum", 1.0),
        ("gradient_clip", 0.0),
        ("standardise", "clip"),
        ("patience", 0),
        ("members", 0),
        ("learning_rate", NAN),
        ("learning_rate", math.inf),
        ("mixup", math.inf),
        ("spec_augment", {"time_masks": -1}),
        ("n_bananas", 1),
    ],
)
def test_impossible_training_options_are_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        Training(**{field: value})


class TestNetworkClassifier:
    def test_init_only_keeps_what_it_is_given(self):
        given_ = {name: object() for name in inspect.signature(NetworkClassifier).parameters}
        estimator = NetworkClassifier(**given_)
        assert {name: getattr(estimator, name) for name in given_} == given_
        assert vars(estimator).keys() == given_.keys()

    def test_clones_like_any_estimator(self):
        estimator = classifier(seed=5, classes=("a", "b"))
        copy = clone(estimator)
        assert copy is not estimator
        assert copy.get_params() == estimator.get_params()
        assert clone(estimator.set_params(seed=6)).seed == 6

    @pytest.mark.parametrize("method", ["predict", "predict_proba"])
    def test_not_fitted(self, method, toy):
        X, _, _ = toy
        with pytest.raises(NotFittedError, match="call fit first") as caught:
            getattr(classifier(), method)(X)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, AttributeError)

    def test_learns_an_easy_problem(self, toy):
        X, y, groups = toy
        estimator = classifier(training=QUICK.model_copy(update={"epochs": 8}))
        assert estimator.fit(X, y, groups=groups) is estimator
        X_new, y_new, _ = make_toy(("sadness", "anger"), n_speakers=3, seed=9)
        assert estimator.score(X_new, y_new) > 0.8
        assert estimator.classes_.tolist() == ["anger", "sadness"]
        assert estimator.predict(X_new).dtype.kind == "U"
        probabilities = estimator.predict_proba(X_new)
        assert probabilities.shape == (len(y_new), 2)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
        assert (probabilities >= 0).all()
        assert 0.1 <= estimator.temperature_ <= 10
        (history,) = estimator.history_
        assert history[0]["epoch"] == 0
        assert "validation_unweighted_average_recall" in history[0]

    def test_validation_speakers_are_not_trained_on(self, toy, monkeypatch):
        X, y, groups = toy
        trained = []
        original = TrainingBatches.__init__

        def spy(self, views, targets, rows, *rest):
            trained.extend(rows.tolist())
            original(self, views, targets, rows, *rest)

        monkeypatch.setattr(TrainingBatches, "__init__", spy)
        estimator = classifier().fit(X, y, groups=groups)
        (held_out,) = estimator.validation_rows_
        assert trained
        assert not {groups[row] for row in trained} & {groups[row] for row in held_out}

    def test_equal_seeds_give_equal_probabilities(self, toy):
        X, y, groups = toy
        full = QUICK.model_copy(
            update={"mixup": 0.3, "spec_augment": SpecAugment(), "average_decay": 0.9}
        )
        torch.manual_seed(1)
        first = classifier(training=full).fit(X, y, groups).predict_proba(X)
        torch.manual_seed(2)
        state = torch.get_rng_state()
        second = classifier(training=full).fit(X, y, groups).predict_proba(X)
        assert torch.equal(torch.get_rng_state(), state), "torch's generator stays as it was"
        np.testing.assert_array_equal(first, second)
        other = classifier(training=full, seed=1).fit(X, y, groups).predict_proba(X)
        assert not np.array_equal(first, other)

    def test_columns_follow_the_classes_given(self, toy):
        X, y, groups = toy
        estimator = classifier(
            classes=("sadness", "neutral", "anger"),
            training=QUICK.model_copy(update={"epochs": 6}),
        ).fit(X, y, groups)
        assert estimator.classes_.tolist() == ["sadness", "neutral", "anger"]
        probabilities = estimator.predict_proba(X)
        assert probabilities.shape[1] == 3
        named = estimator.classes_[probabilities.argmax(axis=1)]
        np.testing.assert_array_equal(named, estimator.predict(X))
        assert np.mean(estimator.predict(X) == np.array(y)) > 0.8

    def test_matrix_in_which_a_corpus_does_not_offer_a_class(self):
        X, y, groups = make_toy(("anger", "calm", "sadness"), each=9)
        classes = ("anger", "calm", "sadness")
        targets = np.array([[float(label == name) for name in classes] for label in y])
        corpus = np.array([int(name[-1]) % 2 for name in groups])
        keep = (corpus == 0) | (np.array(y) != "calm")
        targets[corpus == 1, 1] = NAN
        rows = np.flatnonzero(keep)
        training = QUICK.model_copy(update={"epochs": 8})
        estimator = classifier(classes=classes, training=training).fit(
            {"logmel": X["logmel"].take(rows)}, targets[rows], [groups[row] for row in rows]
        )
        (held_out,) = estimator.validation_rows_
        assert set(corpus[rows][held_out]) == {0, 1}, "both corpora validate"
        assert estimator.score(X, y) > 0.7

    def test_members_differ_and_are_averaged(self, toy):
        X, y, groups = toy
        training = QUICK.model_copy(update={"members": 2})
        estimator = classifier(training=training).fit(X, y, groups)
        assert len(estimator.networks_) == len(estimator.history_) == 2
        first, second = estimator.validation_rows_
        assert not set(first) & set(second)
        np.testing.assert_allclose(estimator.predict_proba(X).sum(axis=1), 1.0, atol=1e-5)

    def test_refits_hear_every_speaker(self, toy, monkeypatch):
        X, y, groups = toy
        trained = []
        original = TrainingBatches.__init__

        def spy(self, views, targets, rows, *rest):
            trained.append(set(rows.tolist()))
            original(self, views, targets, rows, *rest)

        monkeypatch.setattr(TrainingBatches, "__init__", spy)
        training = QUICK.model_copy(update={"epochs": 8, "refits": 1})
        estimator = classifier(training=training).fit(X, y, groups)
        assert len(estimator.networks_) == len(estimator.history_) == 2
        assert len(estimator.validation_rows_) == 1
        assert len(trained[0]) < len(y)
        assert trained[-1] == set(range(len(y)))
        assert len(estimator.history_[1]) == training.epochs
        assert "train_loss" in estimator.history_[1][0]
        assert "validation_loss" not in estimator.history_[1][0]
        assert np.mean(estimator.predict(X) == np.array(y)) > 0.6

    def test_long_clips_are_averaged_over_their_windows(self, toy):
        X, y, groups = toy
        estimator = classifier().fit(X, y, groups)
        long = np.concatenate([X["logmel"][0], X["logmel"][1], X["logmel"][2], X["logmel"][3]])
        starts = WINDOW.starts(len(long), 0.01)
        assert len(starts) > 2
        windows = Ragged.from_items([long[start : start + 40] for start in starts])
        expected = estimator.predict_proba({"logmel": windows}).mean(axis=0)
        mixed = Ragged.from_items([X["logmel"][5], long, X["logmel"][6]])
        np.testing.assert_allclose(
            estimator.predict_proba({"logmel": mixed})[1], expected, atol=1e-5
        )
        np.testing.assert_allclose(
            estimator.predict_proba({"logmel": mixed})[[0, 2]],
            estimator.predict_proba({"logmel": X["logmel"].take([5, 6])}),
            atol=1e-5,
        )

    def test_views_are_trained_on_and_must_fit(self, toy):
        X, y, groups = toy
        louder = {"logmel": Ragged(X["logmel"].values * 0.5, X["logmel"].offsets)}
        with_views = classifier().fit(X, y, groups, views=[louder]).predict_proba(X)
        without = classifier().fit(X, y, groups).predict_proba(X)
        assert not np.array_equal(with_views, without)
        short = {"logmel": X["logmel"].take([0, 1])}
        with pytest.raises(TrainingError, match="same rows as X"):
            classifier().fit(X, y, groups, views=[short])

    def test_without_checkpoints_nothing_is_left_behind(self, toy, tmp_path):
        X, y, groups = toy
        classifier(checkpoints=None).fit(X, y, groups)
        assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*")] == []

    @pytest.mark.parametrize("average_decay", [0.0, 0.9])
    def test_a_stopped_fit_ends_as_if_it_had_not_been_stopped(
        self, average_decay, toy, tmp_path, monkeypatch
    ):
        X, y, groups = toy
        settings = {
            "model": TINY.model_copy(update={"dropout": 0.5}),
            "training": QUICK.model_copy(update={"epochs": 3, "average_decay": average_decay}),
        }
        whole = classifier(**settings, checkpoints=tmp_path / "whole").fit(X, y, groups)
        stop_in_epoch(2, monkeypatch)
        with pytest.raises(PowerCutError):
            classifier(**settings, checkpoints=tmp_path / "stopped").fit(X, y, groups)
        done = record_epochs(monkeypatch)
        resumed = classifier(**settings, checkpoints=tmp_path / "stopped").fit(X, y, groups)
        assert 0 not in done, "the fit began anew"
        np.testing.assert_allclose(
            resumed.predict_proba(X), whole.predict_proba(X), rtol=1e-4, atol=1e-5
        )

    @pytest.mark.parametrize("share", [0.0, 0.3])
    def test_ctrl_c_stops_a_fit_that_the_next_one_finishes(
        self, share, toy, tmp_path, monkeypatch, request
    ):
        # What a shell starts in the background is deaf to it.
        deaf = signal.signal(signal.SIGINT, signal.default_int_handler)
        request.addfinalizer(lambda: signal.signal(signal.SIGINT, deaf))
        X, y, groups = toy
        training = QUICK.model_copy(update={"epochs": 4, "validation_share": share})
        whole = classifier(training=training).fit(X, y, groups)

        def step(self, batch, batch_idx):
            if self.current_epoch == 2:
                signal.raise_signal(signal.SIGINT)
            return _training_step(self, batch, batch_idx)

        monkeypatch.setattr(Fitting, "training_step", step)
        stopped = classifier(training=training, checkpoints=tmp_path / "kept")
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(X, y, groups)
        assert signal.getsignal(signal.SIGINT) is before, "the next Ctrl-C is heard too"
        with pytest.raises(NotFittedError):
            stopped.predict(X)
        done = record_epochs(monkeypatch)
        resumed = classifier(training=training, checkpoints=tmp_path / "kept").fit(X, y, groups)
        assert set(done) == {2, 3}
        assert [epoch["epoch"] for epoch in resumed.history_[0]] == [0, 1, 2, 3]
        np.testing.assert_allclose(resumed.predict_proba(X), whole.predict_proba(X), atol=1e-5)
        for now, then in zip(resumed.history_[0], whole.history_[0], strict=True):
            assert now == pytest.approx(then, abs=1e-5)

    def test_without_validation_every_row_is_trained_on_for_every_epoch(self, toy, monkeypatch):
        X, y, _ = toy
        trained = set()
        original = TrainingBatches.__init__

        def spy(self, views, targets, rows, *rest):
            trained.update(rows.tolist())
            original(self, views, targets, rows, *rest)

        monkeypatch.setattr(TrainingBatches, "__init__", spy)
        training = QUICK.model_copy(update={"validation_share": 0.0, "members": 2})
        estimator = classifier(training=training).fit(X, y, ["one speaker"] * len(y))
        assert trained == set(range(len(y)))
        assert estimator.temperature_ == 1.0
        assert [len(history) for history in estimator.history_] == [training.epochs] * 2
        assert "all rows" in estimator.summary()

    @pytest.mark.parametrize("optimiser", ["adam", "sgd"])
    def test_other_optimisers_at_a_constant_rate_learn(self, optimiser, toy):
        X, y, groups = toy
        training = QUICK.model_copy(
            update={
                "epochs": 15, "optimiser": optimiser, "schedule": "constant",
                "validation_share": 0.0, "gradient_clip": None, "weight_decay": 0.0,
            }
        )  # fmt: skip
        estimator = classifier(training=training).fit(X, y, groups)
        losses = [epoch["train_loss"] for epoch in estimator.history_[0]]
        assert losses[-1] < 0.5 * losses[0]

    def test_every_step_is_told(self, toy):
        X, y, groups = toy
        told = []
        classifier(report=lambda *step: told.append(step)).fit(X, y, groups)
        done = [step for _, step, _ in told]
        assert done == list(range(len(done)))
        assert {total for _, _, total in told} == {done[-1]}

    def test_maps_of_one_size_are_neither_cropped_nor_windowed(self, monkeypatch):
        items = [np.full((41, BANDS), row, np.float32) for row in range(8)]
        shapes = set()

        def step(self, batch, batch_idx):
            shapes.add(tuple(batch.features.shape[1:]))
            return _training_step(self, batch, batch_idx)

        monkeypatch.setattr(Fitting, "training_step", step)
        window = Window(length_s=0.4, padding="silence")  # rounds to 40 frames; features have 41
        estimator = classifier(window=window).fit(
            {"logmel": Ragged.from_items(items)}, ["anger", "sadness"] * 4, [*"aabbccdd"]
        )
        assert shapes == {(41, BANDS)}
        assert estimator.predict_proba({"logmel": Ragged.from_items(items)}).shape == (8, 2)

    @pytest.mark.slow
    @pytest.mark.parametrize("validation_share", [0.0, 0.3])
    def test_two_processes_share_each_step(self, validation_share, toy):
        X, y, groups = toy
        hardware = Hardware(accelerator="cpu", devices=2, strategy="ddp_spawn")
        training = QUICK.model_copy(
            update={"epochs": 10, "batch_size": 8, "validation_share": validation_share}
        )
        estimator = classifier(training=training, hardware=hardware).fit(X, y, groups)
        assert np.mean(estimator.predict(X) == np.array(y)) > 0.7
        assert len(estimator.history_[0]) > 1

    def test_a_stopped_fit_repeats_no_finished_epoch(self, toy, tmp_path, monkeypatch):
        """Also where the last epochs were no better than the first."""
        X, y, groups = toy
        training = QUICK.model_copy(update={"epochs": 4, "learning_rate": 1e-9})
        stop_in_epoch(3, monkeypatch)
        with pytest.raises(PowerCutError):
            classifier(training=training, checkpoints=tmp_path / "kept").fit(X, y, groups)
        done = record_epochs(monkeypatch)
        classifier(training=training, checkpoints=tmp_path / "kept").fit(X, y, groups)
        assert set(done) == {3}

    @pytest.mark.parametrize(
        "changes",
        [
            {"average_decay": 0.9, "validation_share": 0.0},
            {"patience": 1, "epochs": 9, "learning_rate": 1e-9},
            {"average_decay": 0.9, "refits": 1},
        ],
        ids=["averaged", "early stop", "refit"],
    )
    def test_a_finished_fit_is_not_begun_again(self, changes, toy, tmp_path, monkeypatch):
        X, y, groups = toy
        training = QUICK.model_copy(update=changes)
        whole = classifier(training=training, checkpoints=tmp_path / "kept").fit(X, y, groups)
        done = record_epochs(monkeypatch)
        again = classifier(training=training, checkpoints=tmp_path / "kept").fit(X, y, groups)
        assert again.history_ == whole.history_
        np.testing.assert_array_equal(again.predict_proba(X), whole.predict_proba(X))
        assert done == []
        assert {path.suffix for path in tmp_path.rglob("*.*")} == {".ckpt", ".pt"}

    def test_a_stopped_fit_goes_on_in_a_folder_that_was_moved(self, toy, tmp_path, monkeypatch):
        """The best epoch lies before the move, and the later ones are worse."""
        X, y, groups = toy
        recalls = iter([0.9, 0.5, 0.6])
        monkeypatch.setattr(network, "_mean_recall", lambda *_: next(recalls))
        training = QUICK.model_copy(update={"epochs": 3})
        stop_in_epoch(2, monkeypatch)
        with pytest.raises(PowerCutError):
            classifier(training=training, checkpoints=tmp_path / "here").fit(X, y, groups)
        (tmp_path / "here").rename(tmp_path / "there")
        best = tmp_path / "there" / "member-0" / "best.ckpt"
        written = best.read_bytes()
        assert record_epochs(monkeypatch) == []
        classifier(training=training, checkpoints=tmp_path / "there").fit(X, y, groups)
        assert best.read_bytes() == written, "0.6 is no better than 0.9"

    def test_checkpoints_keep_the_generator_of_the_gpu(self, monkeypatch):
        """There is none here: its part is played."""
        states = {"cuda:0": torch.arange(4, dtype=torch.uint8)}
        monkeypatch.setattr(Fitting, "device", torch.device("cuda", 0))
        monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[str(device)])
        monkeypatch.setattr(
            torch.cuda, "set_rng_state", lambda state, device: states.update({str(device): state})
        )
        targets, rows = np.eye(2, dtype=np.float32), np.arange(2)
        fitting = Fitting(TINY.build(BANDS, 2), QUICK, [], targets, rows, rows, None, [0])
        checkpoint: dict[str, object] = {}
        fitting.on_save_checkpoint(checkpoint)
        kept, states["cuda:0"] = states["cuda:0"], torch.zeros(4, dtype=torch.uint8)
        fitting.on_load_checkpoint(checkpoint)
        with torch.random.fork_rng(devices=[]):
            fitting.on_train_batch_start(None, 0)
        assert torch.equal(states["cuda:0"], kept)

    def test_history_of_a_resumed_fit_tells_every_epoch(self, toy, tmp_path, monkeypatch):
        X, y, groups = toy
        stop_in_epoch(1, monkeypatch)
        with pytest.raises(PowerCutError):
            classifier(checkpoints=tmp_path / "kept").fit(X, y, groups)
        record_epochs(monkeypatch)
        resumed = classifier(checkpoints=tmp_path / "kept").fit(X, y, groups)
        assert [epoch["epoch"] for epoch in resumed.history_[0]] == [0, 1]


class TestDivergence:
    """Numbers that are none end a fit; they never pass for an answer."""

    WILD = QUICK.model_copy(
        update={
            "optimiser": "sgd", "learning_rate": 1e30, "gradient_clip": None,
            "schedule": "constant",
        }
    )  # fmt: skip

    @pytest.mark.parametrize("share", [0.0, 0.3])
    def test_ends_the_fit_and_says_what_to_do(self, share, toy):
        X, y, groups = toy
        training = self.WILD.model_copy(update={"validation_share": share})
        with pytest.raises(
            TrainingError,
            match=r"epoch 1 of 2, at a learning rate of 1e\+30.*training.learning_rate \(1e\+30\) "
            r"lower, or training.gradient_clip \(none\) to 1",
        ) as caught:
            classifier(training=training).fit(X, y, groups)
        assert caught.value.code == "diverged"

    @pytest.mark.slow
    def test_in_several_processes_too(self, toy):
        X, y, groups = toy
        hardware = Hardware(accelerator="cpu", devices=2, strategy="ddp_spawn")
        training = self.WILD.model_copy(update={"batch_size": 8})
        with pytest.raises(TrainingError, match=r"^the loss is no number in epoch 1") as caught:
            classifier(training=training, hardware=hardware).fit(X, y, groups)
        assert caught.value.code == "diverged"

    def test_in_the_last_step_is_seen_by_what_it_answers(self, toy):
        """Of its own weights no loss is left to tell."""
        X, y, groups = toy
        training = self.WILD.model_copy(
            update={"epochs": 1, "batch_size": len(y), "validation_share": 0.0}
        )
        estimator = classifier(training=training).fit(X, y, groups)
        with pytest.raises(TrainingError, match="with no numbers") as caught:
            estimator.predict_proba(X)
        assert caught.value.code == "diverged"

    def test_is_not_exported(self):
        clips = [np.zeros((20, BANDS), np.float32)] * 2
        network = TINY.build(BANDS, 2).eval()
        sound = to_onnx(network, "logmel", clips)
        for weights in network.parameters():
            weights.data.fill_(NAN)
        assert math.isnan(largest_difference(network, sound, "logmel", clips))
        with pytest.raises(TrainingError, match="something else than numbers") as caught:
            to_onnx(network, "logmel", clips)
        assert caught.value.code == "diverged"


class TestErrorsOfFit:
    def test_rows_and_labels(self, toy):
        X, y, groups = toy
        with pytest.raises(TrainingError, match="36 rows were given with 35 labels"):
            classifier().fit(X, y[:-1], groups)

    def test_rows_and_speakers(self, toy):
        X, y, groups = toy
        with pytest.raises(TrainingError, match="36 rows were given with 35 speakers"):
            classifier().fit(X, y, groups[:-1])

    def test_one_label(self, toy):
        X, y, groups = toy
        with pytest.raises(TrainingError, match="fewer than two labels"):
            classifier().fit(X, ["anger"] * len(y), groups)

    def test_labels_beside_the_classes(self, toy):
        X, y, groups = toy
        with pytest.raises(TrainingError, match=r"\['sadness'\] are not among the classes"):
            classifier(classes=("anger", "neutral")).fit(X, y, groups)

    @pytest.mark.parametrize("classes", [None, ("anger",), ("a", "b", "c")])
    def test_matrix_without_matching_classes(self, classes, toy):
        X, _, groups = toy
        with pytest.raises(TrainingError, match="y has 2 columns; give their labels"):
            classifier(classes=classes).fit(X, np.eye(2)[[0, 1] * 18], groups)

    @pytest.mark.parametrize("row", [[NAN, NAN], [0.0, 0.0], [0.0, NAN], [0.7, 0.7], [2.0, -1.0]])
    def test_matrix_with_a_row_that_is_no_share(self, row, toy):
        X, _, groups = toy
        targets = np.eye(2)[[0, 1] * 18]
        targets[7] = row
        with pytest.raises(TrainingError, match="row"):
            classifier(classes=("a", "b")).fit(X, targets, groups)

    def test_one_speaker(self, toy):
        X, y, _ = toy
        with pytest.raises(TrainingError, match="second speaker"):
            classifier().fit(X, y, ["me"] * len(y))

    @pytest.mark.parametrize("names", [(), ("logmel", "mfcc")])
    def test_other_than_one_feature(self, names, toy):
        X, y, groups = toy
        with pytest.raises(TrainingError, match=f"takes one feature and was given {len(names)}"):
            classifier().fit(dict.fromkeys(names, X["logmel"]), y, groups)

    def test_so_few_rows_that_none_is_left_to_train_on(self):
        X, _, groups = make_toy(("anger", "sadness"), n_speakers=2, each=1)
        with pytest.raises(TrainingError, match="row"):
            classifier().fit(X, ["anger", "sadness"], groups)


def test_class_weights_balance_the_training_rows():
    targets = np.array([[1, 0, 0]] * 6 + [[0, 1, 0]] * 2, np.float32)
    fitting = Fitting(
        TINY.build(BANDS, 3), QUICK, [], targets, np.arange(8), np.arange(0), None, [0]
    )
    weights = fitting.class_weights.numpy()
    np.testing.assert_allclose(weights, [8 / 6 / 2, 8 / 2 / 2, 0.0])
    counts = Counter(targets.argmax(axis=1).tolist())
    assert weights[0] * counts[0] == pytest.approx(weights[1] * counts[1])


def test_checkpoints_take_a_path(toy, tmp_path):
    X, y, groups = toy
    classifier(checkpoints=Path(tmp_path / "kept")).fit(X, y, groups)
    assert (tmp_path / "kept" / "member-0" / "last.ckpt").is_file()


def test_what_the_environment_says_of_the_hardware_stands_before_the_command(monkeypatch):
    for name in Hardware.model_fields:
        monkeypatch.delenv(f"ULLIM_{name.upper()}", raising=False)
    assert Hardware.before("ullim run x") == "ullim run x"
    monkeypatch.setenv("ULLIM_PRECISION", "bf16-mixed")
    monkeypatch.setenv("ULLIM_DEVICES", "0, 1")
    assert (
        Hardware.before("ullim run x")
        == "ULLIM_DEVICES='0, 1' ULLIM_PRECISION=bf16-mixed ullim run x"
    )
