"""Measures of a decode function: closed forms, the document's values, the published lengths."""

from typing import get_args

import numpy as np
import pytest
import torch

from actlas import InputError
from actlas.plugins.sim import recipe
from actlas.plugins.sim.decoding import measures
from actlas.plugins.sim.decoding.measured import pairs
from actlas.plugins.sim.decoding.sound import Bands, mel_decibels
from actlas.plugins.sim.decoding.stack import STACKS, Loss, loss_of, stack_for
from actlas.plugins.sim.geometry import geometries


def draws(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def identity(z):
    return z


@pytest.mark.parametrize(
    ("hop", "frames", "lengths"),
    [
        (160, 64, [129, 256, 511, 2047, 10240]),
        (80, 129, [256, 511, 2047, 10240]),
        (20, 511, [2047, 2047, 2047, 10240, 10240, 10240]),
        (160, 128, [257, 512, 1023, 4095, 20480]),
    ],
)
def test_stacks_have_the_published_lengths(hop, frames, lengths):
    stack = STACKS[hop]
    assert stack.length(frames) == lengths[-1]
    at, found = torch.zeros(1, 3, frames), []
    for layer in stack.network(3, 2):
        at = layer(at)
        found += [] if isinstance(layer, torch.nn.ReLU) else [at.shape[2]]
    assert found == lengths
    assert at.shape[1] == 1


@pytest.mark.parametrize(("hop", "modules", "wider"), [(160, 3, 0), (80, 2, 0), (20, 1, 12)])
def test_a_frame_is_decoded_to_the_samples_that_it_has_seen(hop, modules, wider):
    geometry = geometries(recipe("sim"))[modules - 1]
    assert geometry.hop == hop
    frames, at = 40, 17
    stack = STACKS[hop]
    network = stack.network(1, 2)
    for part in network.parameters():
        torch.nn.init.constant_(part, 0.5)  # all positive: no ReLU hides what a frame reaches
    one = torch.zeros(1, 1, frames)
    one[0, 0, at] = 1
    reached = torch.nonzero((network(one) - network(0 * one))[0, 0]).flatten()
    first = geometry.start + at * hop
    assert reached[0] == first - wider  # layers of 3 that keep the hop see two samples more
    assert reached[-1] == first + geometry.receptive_field - 1 + wider
    assert len(reached) == reached[-1] - reached[0] + 1


def test_a_stack_is_chosen_by_its_hop():
    assert stack_for(159, 16000) is STACKS[160]
    with pytest.raises(InputError, match=r"320 samples apart at 16000 Hz.*--form spectrum"):
        stack_for(320, 16000)


def test_contribution_of_isotropic_gaussian_items_is_the_documents():
    z = draws(60, 20, 8)
    chosen = pairs(60, 1200, torch.Generator().manual_seed(1))
    a, b = z[chosen[:, 0]], z[chosen[:, 1]]
    errors = measures.contribution(identity, a, b, measures.sizes(8))
    score = errors / errors[0]
    wanted = [0.857, 0.724, 0.599, 0.478, 0.354, 0.233, 0.112]
    np.testing.assert_allclose(score[1:8], wanted, atol=0.012)
    assert score[0] == 1
    assert score[8] == 0
    assert (np.diff(score) < 0).all()
    assert measures.area(range(9), score) == pytest.approx(0.48, abs=0.02)


def test_contribution_reaches_its_floor_where_the_difference_ends():
    a = draws(10, 6, 8)
    b = a.clone()
    b[:, :, [1, 4, 6]] = draws(10, 6, 3, seed=1) * torch.tensor([3.0, 1.0, 2.0]) + 5
    errors = measures.contribution(identity, a, b, range(9))
    assert (errors[:3] > 1e-3).all()
    assert (errors[3:] == 0).all()
    assert errors[0] == pytest.approx(float((a - b).square().mean()))


def test_contribution_ranks_by_means_over_time():
    a, b = torch.zeros(1, 2, 2), torch.tensor([[[9.0, 1.0], [-9.0, 1.0]]])
    assert measures.order(a, b).tolist() == [[1, 0]]  # the larger difference cancels over time


def test_area_is_over_all_dimensions_alike():
    assert measures.area([0, 1, 4], np.array([1.0, 0.5, 0.0])) == pytest.approx(1.5 / 4)
    assert measures.sizes(16) == list(range(17))
    assert measures.sizes(32) == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32]


@pytest.mark.parametrize(("scale", "low", "high"), [(1, 0.95, 1.05), (0.1, 3, 40), (3, 0.62, 0.70)])
def test_prior_realism_of_an_identity_decoder(scale, low, high):
    real, test, made = draws(2000, 8), draws(1000, 8, seed=1), draws(1000, 8, seed=2)
    ratio, back = measures.realism(made, test * scale, real * scale)
    assert low < ratio < high
    if scale == 3:
        assert back > 1.2  # over-dispersed: what is real is not reached


def test_nearest_is_exact_for_close_points():
    known = draws(50, 3) * 1e-4 + 1000
    found = measures.nearest(known + 1e-3, known)
    wanted = [min(float((k + 1e-3 - j).norm()) for j in known) for k in known]
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_paths_of_a_linear_decoder_are_straight():
    W = draws(8, 40, seed=3)
    found = measures.lines(lambda z: z @ W, draws(20, 4, 8), draws(20, 4, 8, seed=1))
    np.testing.assert_allclose(found.linearity, 1, atol=1e-5)
    np.testing.assert_allclose(found.jump, 1, atol=2e-3)
    assert found.bend.max() < 1e-5


def test_paths_that_turn_are_as_long_as_they_are():
    a, b = torch.zeros(1, 1, 1), torch.full((1, 1, 1), 3.5 * np.pi)
    found = measures.lines(torch.sin, a, b, steps=700)  # seven quarter turns to a distance of 1
    assert found.linearity[0] == pytest.approx(7, abs=1e-3)
    assert found.ends[0] == pytest.approx(1, abs=1e-5)


def test_a_decoder_of_steps_jumps():
    found = measures.lines(lambda z: (z > 0.3).float(), -torch.ones(1, 1, 2), torch.ones(1, 1, 2))
    assert found.jump[0] > 1e3
    assert found.linearity[0] == pytest.approx(1)


def test_a_path_whose_ends_meet_has_no_linearity():
    a, b = torch.tensor([[[-1.0]]]), torch.tensor([[[1.0]]])
    found = measures.lines(lambda z: z.square(), a, b)
    assert np.isnan(found.linearity[0])
    constant = measures.lines(torch.zeros_like, a, b)
    assert np.isnan(constant.linearity[0])
    assert constant.jump[0] == 1


def test_path_length_of_a_linear_decoder_is_the_squared_distance():
    a, b = draws(30, 2, 5), draws(30, 2, 5, seed=1)
    found = measures.path_length(lambda z: 3 * z, a, b, torch.linspace(0, 1, 30))
    assert found == pytest.approx(float((9 * (b - a).square()).mean()), rel=1e-3)


def test_effects_are_variances_of_each_channel():
    W = torch.tensor([[2.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    values = torch.linspace(-measures.REACH, measures.REACH, 9)
    found = measures.effects(lambda z: z @ W, draws(5, 3, 3), values)
    unit = float(values.var(correction=0))
    np.testing.assert_allclose(found, W.numpy() ** 2 * unit, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(measures.bandwidth(found), [0, 1, 0], atol=1e-5)


def test_effects_take_values_of_each_dimension():
    values = torch.stack([torch.linspace(-1, 1, 5), torch.linspace(-3, 3, 5)], 1)
    found = measures.effects(identity, draws(4, 1, 2), values)
    assert found[1, 1] / found[0, 0] == pytest.approx(9, rel=1e-5)


def test_bands_find_a_tone_and_the_waveform_has_it_again():
    rate, hop = 16000, 160
    wave = np.sin(2 * np.pi * 1000 * np.arange(9600) / rate).astype(np.float32)
    bands = Bands.for_hop(rate, hop, 40, False, rate / 2)
    assert bands.size == 512
    centres = (np.arange(60) + 0.5) * hop
    frames = bands.frames(wave, centres)
    nearest = int(np.abs(bands.centres - 1000).argmin())
    assert (frames[5:-5].argmax(1) == nearest).all()
    made = bands.waveform(frames, hop)
    assert len(made) == 9600
    spectrum = np.abs(np.fft.rfft(made[1600:8000]))
    assert abs(spectrum.argmax() * rate / 6400 - 1000) < rate / 2 / 41
    again = bands.frames(made, centres)
    assert np.abs(again - frames)[5:-5, nearest].max() < 6  # dB; bins of a band are made alike


def test_log_mel_is_what_bands_of_frames_are():
    wave = draws(1, 8192)
    found = mel_decibels(wave, 16000, 8000, 1024, 20)[0].T.numpy()
    bands = Bands(16000, 1024, 20, True, 8000)
    wanted = bands.frames(wave[0].numpy(), np.arange(len(found)) * 512)
    np.testing.assert_allclose(found[1:-1], wanted[1:-1], atol=1e-3)


@pytest.mark.parametrize("name", get_args(Loss))
def test_losses_vanish_where_nothing_differs(name):
    loss = loss_of(name, 16000, 8000)
    real = draws(2, 5120)
    made = (real + 0.1 * draws(2, 5120, seed=1)).requires_grad_()
    assert float(loss(real, real)) == 0
    found = loss(made, real)
    found.backward()
    assert float(found.detach()) > 0
    assert torch.isfinite(made.grad).all()
    if "+" in name:
        parts = [float(loss_of(part, 16000, 8000)(made, real).detach()) for part in name.split("+")]
        assert float(found.detach()) == pytest.approx(sum(parts), rel=1e-5)


def test_losses_of_several_windows_know_when_a_sound_is():
    real = torch.zeros(1, 10240)
    real[0, 4700:5000] = draws(300)
    late = real.roll(200, 1)  # 12 ms
    one, several = (float(loss_of(name, 16000, 8000)(late, real)) for name in ("mel", "mels"))
    assert several > 3 * one


def test_bands_louder_than_any_sound_are_heard_as_loud_and_not_as_infinity():
    bands = Bands(16000, 1024, 20, True, 8000)
    frames = np.full((8, 20), -50, np.float32)
    frames[:, 5] = 1e5
    made = bands.waveform(frames, 160.0)
    assert np.isfinite(made).all()
    assert np.abs(made).max() > 1
