"""Park et al.'s picture network, the end-to-end family and the simple recurrent network."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from torch import nn  # noqa: E402
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

from ullim.errors import TrainingError  # noqa: E402
from ullim.models._recurrence import states_over  # noqa: E402
from ullim.models.endtoend import EndToEnd  # noqa: E402
from ullim.models.park2018 import Park2018, _Same  # noqa: E402
from ullim.models.simple_rnn import SimpleRnn  # noqa: E402
from ullim.training.export import largest_difference, to_onnx  # noqa: E402

SMALL = {"channels": (4, 6), "units": 5}
TINY_PARK = Park2018(
    picture=(4, 8, 3), channels=(6, 8, 8), kernels=(3, 3, 3), hidden=24, dropout=0.0
)
NETWORKS = {
    "cnn": (EndToEnd(rnn=False, attention=False, **SMALL), 10),
    "cnn-attention": (EndToEnd(rnn=False, **SMALL), 10),
    "cnn-bilstm": (EndToEnd(attention=False, **SMALL), 10),
    "bilstm": (EndToEnd(cnn=False, attention=False, **SMALL), 10),
    "bilstm-attention": (EndToEnd(cnn=False, **SMALL), 10),
    "cnn-bilstm-attention": (EndToEnd(**SMALL), 10),
    "waveform-cnn": (EndToEnd(rnn=False, attention=False, filters=6, **SMALL), 160),
    "waveform-cnn-bilstm-attention": (EndToEnd(filters=6, **SMALL), 160),
    "simple-rnn": (SimpleRnn(units=7), 10),
    "simple-rnn, two layers": (SimpleRnn(units=7, layers=2), 10),
    "park2018": (TINY_PARK, 96),
}
EVERY = pytest.mark.parametrize(("model", "width"), NETWORKS.values(), ids=NETWORKS)

# Without a recurrent layer a network goes through the newer exporter, which takes seconds.
EXPORTED = pytest.mark.parametrize(
    ("model", "width"),
    [
        pytest.param(
            *pair, id=name, marks=() if "lstm" in name or "rnn" in name else pytest.mark.slow
        )
        for name, pair in NETWORKS.items()
    ],
)


def built(model, width: int, n_classes: int = 3):
    """Return a network in which every statistic and bias says something."""
    torch.manual_seed(0)
    network = model.build(width, n_classes).eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.bias, -0.5, 0.5)
        elif isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return network


def clips_of(lengths, width: int) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.normal(size=(n, width)).astype(np.float32) for n in lengths]


@EVERY
def test_a_padded_batch_gives_the_probabilities_of_single_clips(model, width):
    network = built(model, width)
    clips = clips_of((37, 8, 1, 2, 22, 50, 3), width)
    lengths = torch.tensor([len(clip) for clip in clips])
    for filler in (0.0, 9.0):
        batch = torch.full((len(clips), 50, width), filler)
        for row, clip in zip(batch, clips, strict=True):
            row[: len(clip)] = torch.from_numpy(clip)
        with torch.inference_mode():
            together = network(batch, lengths).softmax(dim=1)
            alone = torch.cat([network(torch.from_numpy(c[None])) for c in clips]).softmax(dim=1)
        np.testing.assert_allclose(together.numpy(), alone.numpy(), atol=1e-6)


@EXPORTED
def test_the_graph_says_the_same_at_every_length(model, width):
    network = built(model, width)
    graph = to_onnx(network, "feature", clips_of((9, 14), width))
    others = clips_of((1, 2, 3, 30, 67, 128), width)
    assert largest_difference(network, graph, "feature", others) < 1e-5


@EVERY
def test_one_batch_is_learned_by_heart(model, width):
    torch.manual_seed(0)
    network = model.build(width, 4).train()
    batch = torch.randn(8, 12, width)
    lengths = torch.tensor([12, 10, 12, 8, 12, 6, 12, 12])
    truth = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(batch, lengths), truth)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    with torch.inference_mode():
        assert (network.eval()(batch, lengths).argmax(dim=1) == truth).all()


@EVERY
def test_the_gradient_reaches_every_parameter(model, width):
    network = built(model, width).double()
    batch, lengths = torch.randn(4, 20, width).double(), torch.tensor([20, 13, 9, 20])
    network(batch, lengths).square().sum().backward()
    assert not [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]


@EVERY
def test_equal_seeds_give_equal_weights(model, width):
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in model.build(width, 3).parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("cls", [EndToEnd, Park2018, SimpleRnn])
def test_fields_survive_json(cls):
    assert cls.model_validate_json(cls().model_dump_json()) == cls()
    with pytest.raises(ValidationError, match="n_bananas"):
        cls(n_bananas=3)


@pytest.mark.parametrize("n_features", [1, 7])
@pytest.mark.parametrize(
    "model", [EndToEnd(**SMALL), EndToEnd(rnn=False, attention=False, **SMALL), SimpleRnn(units=4)]
)
def test_takes_any_number_of_features(model, n_features):
    network = model.build(n_features, 2).eval()
    for n_frames in (1, 2, 3, 100):
        logits = network(torch.zeros(2, n_frames, n_features), None)
        assert logits.shape == (2, 2)
        assert torch.isfinite(logits).all()


def parameters(model, width: int, n_classes: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in model.build(width, n_classes).parameters())


@pytest.mark.parametrize(
    ("model", "width", "n_classes", "count"),
    [
        # 43,680 + 1,505,536 + 2,457,984 for the convolutions, then 24,576 values flattened.
        (Park2018(), 12_288, 5, 121_476_389),
        (EndToEnd(rnn=False, attention=False), 64, 4, 241_124),
        (EndToEnd(attention=False), 64, 4, 899_044),
        (EndToEnd(cnn=False), 64, 4, 265_732),
        (EndToEnd(), 64, 4, 965_092),
        (EndToEnd(filters=64), 160, 7, 991_591),
        (SimpleRnn(), 39, 6, 22_406),
    ],
)
def test_parameter_counts(model, width, n_classes, count):
    assert parameters(model, width, n_classes) == count


class TestPark2018:
    def test_the_first_convolution_moves_by_four_because_of_memory(self):
        assert Park2018().flattened == 2 * 32 * 384
        with pytest.raises(ValidationError, match=r"2,097,152,000|weights"):
            Park2018(strides=(1, 1, 1), hidden=8192)

    def test_pads_as_tensorflow_does(self):
        # From TensorFlow's rule: 16 rows, kernel 11, stride 4 -> 4 rows, 3 zeros before, 4 after.
        network = built(Park2018(channels=(1, 1, 1), hidden=1), 12_288)
        with torch.no_grad():
            network.first.weight.zero_()
            network.first.weight[0, 0, 0, 0] = 1.0  # takes the value 3 up and 3 left of the centre
            network.first.bias.zero_()
        picture = torch.arange(16 * 256, dtype=torch.float32).reshape(1, 1, 16, 256)
        moved = network.first(picture.repeat(1, 3, 1, 1))
        assert moved.shape == (1, 1, 4, 64)
        assert moved[0, 0, 0].eq(0).all()
        assert moved[0, 0, 1, 1] == picture[0, 0, 1, 1]
        assert moved[0, 0, 3, 63] == picture[0, 0, 9, 249]

    def test_time_is_the_first_axis_of_a_picture(self):
        network = built(TINY_PARK, 96)
        row = torch.arange(96.0)
        seen = []
        network.first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        network(row[None, None])
        np.testing.assert_array_equal(
            seen[0][0].numpy(), row.reshape(4, 8, 3).permute(2, 0, 1).numpy()
        )

    def test_refuses_rows_of_another_size(self):
        with pytest.raises(TrainingError, match="16 by 256 by 3"):
            Park2018().build(64, 5)

    def test_golden_logits(self):
        network = filled(TINY_PARK.build(96, 3))
        with torch.inference_mode():
            logits = network(torch.sin(torch.arange(192.0)).reshape(1, 2, 96))
        np.testing.assert_allclose(logits.numpy(), [GOLDEN["park2018"]], atol=1e-5)


def filled(network):
    """Return a network whose weights are a formula, so that no generator decides the figures."""
    with torch.no_grad():
        for number, p in enumerate(network.parameters()):
            p.copy_((0.3 * torch.cos(0.7 * torch.arange(p.numel()) + number)).reshape(p.shape))
    return network.eval()


# Ours, once checked against the formulas below and by eye; a changed figure is a changed network.
GOLDEN: dict[str, list[float]] = {
    "cnn": [0.339325, 0.13708, -0.358234],
    "cnn-attention": [-0.265656, -0.101876, 0.10302],
    "cnn-bilstm": [-0.306389, -0.123061, 0.114274],
    "bilstm": [-0.157258, -0.096779, 0.005018],
    "bilstm-attention": [0.268446, 0.192736, 0.028667],
    "cnn-bilstm-attention": [0.304586, 0.195264, -0.003676],
    "waveform-cnn": [-0.196818, -0.121304, 0.096401],
    "waveform-cnn-bilstm-attention": [-0.078508, -0.389053, -0.514395],
    "park2018": [0.545523, 0.317309, -0.361692],
}


class TestEndToEnd:
    def test_the_four_systems_differ_by_their_parts(self):
        for cnn, rnn, attention in itertools.product((True, False), repeat=3):
            if not (cnn or rnn):
                continue
            network = EndToEnd(cnn=cnn, rnn=rnn, attention=attention, **SMALL).build(8, 2)
            parts = {type(part).__name__ for part in network.modules()}
            assert ("Conv2d" in parts) == cnn
            assert ("LSTM" in parts) == rnn
            assert ("_Attention" in parts) == attention

    def test_refuses_to_be_nothing(self):
        with pytest.raises(ValidationError, match="nothing is left"):
            EndToEnd(cnn=False, rnn=False)

    def test_learned_filters_take_whole_steps(self):
        with pytest.raises(TrainingError, match="multiple"):
            EndToEnd(filters=8).build(64, 2)

    def test_attention_is_the_formula(self):
        network = built(EndToEnd(cnn=False, rnn=True, **SMALL), 4)
        part = network.attention
        states = torch.randn(1, 6, 10)
        with torch.no_grad():
            pooled = part(states, None)[0].numpy()
        h = states[0].numpy()
        weight, bias = (p.detach().numpy() for p in (part.project.weight, part.project.bias))
        energy = np.tanh(h @ weight.T + bias) @ part.context.weight.detach().numpy()[0]
        alpha = np.exp(energy) / np.exp(energy).sum()
        np.testing.assert_allclose(pooled, alpha @ h, atol=1e-6)

    @pytest.mark.parametrize("name", [n for n in NETWORKS if "rnn" not in n and n != "park2018"])
    def test_golden_logits(self, name):
        model, width = NETWORKS[name]
        network = filled(model.build(width, 3))
        with torch.inference_mode():
            logits = network(torch.sin(torch.arange(13.0 * width)).reshape(1, 13, width))
        np.testing.assert_allclose(logits.numpy(), [GOLDEN[name]], atol=1e-5)


class TestSimpleRnn:
    def test_equals_the_formula(self):
        network = built(SimpleRnn(units=7), 5)
        clip = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
        p = {name: value.detach().numpy() for name, value in network.named_parameters()}
        state = np.zeros(7)
        for frame in clip:
            state = np.tanh(
                p["rnn.weight_ih_l0"] @ frame + p["rnn.bias_ih_l0"]
                + p["rnn.weight_hh_l0"] @ state + p["rnn.bias_hh_l0"]
            )  # fmt: skip
        expected = p["head.weight"] @ state + p["head.bias"]
        with torch.inference_mode():
            np.testing.assert_allclose(
                network(torch.from_numpy(clip[None])).numpy()[0], expected, atol=1e-5
            )


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))
def test_the_ends_of_a_kernel_that_meet_only_zeros_are_not_missed(
    high: int, wide: int, kernel: int, stride: int
) -> None:
    layer = _Same(2, 3, kernel, stride)
    x = torch.randn(2, 2, high, wide)
    margins: list[int] = []
    for n in (wide, high):
        missing = max((math.ceil(n / stride) - 1) * stride + kernel - n, 0)
        margins += [missing // 2, missing - missing // 2]
    padded = nn.functional.pad(x, margins)
    expected = nn.functional.conv2d(padded, layer.weight, layer.bias, stride)
    assert torch.allclose(layer(x), expected, atol=1e-5)


class TestStatesOver:
    """A clip in a padded batch is read as a packed sequence would read it."""

    @pytest.mark.parametrize("layers", [1, 2])
    @pytest.mark.parametrize("kind", ["rnn", "lstm", "bilstm"])
    def test_states_and_gradients_are_those_of_packed_sequences(self, kind, layers):
        torch.manual_seed(0)
        both = kind == "bilstm"
        make = torch.nn.RNN if kind == "rnn" else torch.nn.LSTM
        rnn = make(5, 7, layers, batch_first=True, bidirectional=both)
        x, lengths = torch.randn(4, 30, 5), torch.tensor([12, 30, 1, 29])
        found = states_over(rnn, x, lengths)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, hidden = rnn(packed)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=30)
        wanted = states, torch.cat(tuple(hidden[-2 if both else -1 :]), dim=1)
        gradients = [
            torch.autograd.grad(s.square().sum() + last.square().sum(), rnn.parameters())
            for s, last in (found, wanted)
        ]
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(*gradients)

    def test_between_layers_values_are_dropped_only_while_training(self):
        torch.manual_seed(0)
        rnn = torch.nn.LSTM(5, 7, 2, batch_first=True, bidirectional=True, dropout=0.5)
        x, lengths = torch.randn(3, 9, 5), torch.tensor([9, 4, 2])
        trained = [states_over(rnn, x, lengths)[1] for _ in range(2)]
        assert not torch.equal(*trained)
        rnn.eval()
        answered = [states_over(rnn, x, lengths)[1] for _ in range(2)]
        torch.testing.assert_close(*answered)
