"""Toy models: their theory against brute force, their training against the theory."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize

import actlas
from actlas.api.training import train_toy
from actlas.core import Dataset, DatasetError, InputError, ModelError
from actlas.plugins.capacity import capacities, capacity
from actlas.plugins.toy import (
    PHASES,
    TRIPLE,
    Recipe,
    ToyTask,
    Trained,
    density_for,
    draw,
    draw_evenly,
    feature_loss,
    keep_toy,
    kurtosis_of,
    marginal_benefit,
    norms2,
    optimum,
    pair_boundary,
    pair_capacity,
    quadratic_gradient,
    quadratic_loss,
    relu_boundaries,
    relu_losses,
    relu_phase,
    sample_vectors,
    settle,
    toy,
    train_quadratic,
    train_relu,
    train_sampled,
    vector_of,
    vector_text,
)
from actlas.plugins.toy.lbfgs import exact_step

from .test_cli import fails, good

ROOT = Path(__file__).parents[1]
SHORT = Recipe(steps=1200, batch=128, rate=6e-3)
OPTIONS = {"device": "cpu", "compute_dtype": "float32", "trust_remote_code": False}
# N, D, kurtosis, decay of importance, loss, capacities
REFERENCES = [
    (10, 4, 6, 0.8, 1.887269, [1, 1, 0.91418, 0.59801, 0.34508, 0.14273, 0, 0, 0, 0]),
    (6, 2, 5, 0.7, 1.670045, [1, 0.76471, 0.23529, 0, 0, 0]),
    (5, 2, 9, 1.0, 10.909091, [0.4] * 5),
    (200, 20, 50, 1.0, 2632.8358, [0.1] * 200),
]


def every_capacity(weights):
    """Capacities (…, features) of weights (…, features, dims)."""
    flat = [capacities(W) for W in weights.reshape(-1, *weights.shape[-2:])]
    return np.reshape(flat, weights.shape[:-1])


# The quadratic model's theory


@pytest.mark.parametrize(("N", "D", "kurtosis", "decay", "loss", "wanted"), REFERENCES)
def test_the_optimum_is_that_of_the_reference_cases(N, D, kurtosis, decay, loss, wanted):
    found = optimum(decay ** np.arange(N), kurtosis, D)
    assert found.capacity == pytest.approx(wanted, abs=6e-6)
    assert found.loss == pytest.approx(loss, rel=1e-6)
    assert found.capacity.sum() == pytest.approx(D)


@pytest.mark.parametrize("kurtosis", [3.5, 6.0, 20.0])
def test_water_filling_is_what_a_numerical_optimiser_finds(kurtosis):
    v = np.array([1.3, 0.9, 0.8, 0.5, 0.3, 0.1])
    found = optimum(v, kurtosis, 2)
    best = minimize(
        lambda C: feature_loss(v, kurtosis, C).sum(),
        np.full(6, 1 / 3),
        jac=lambda C: -marginal_benefit(v, kurtosis, C),
        bounds=[(0, 1)] * 6,
        constraints={"type": "ineq", "fun": lambda C: 2 - C.sum()},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.loss == pytest.approx(best.fun, rel=1e-7)
    assert found.capacity == pytest.approx(best.x, abs=1e-4)
    ignored, own = found.capacity == 0, found.capacity == 1
    assert (v[ignored] <= 2 * found.price + 1e-12).all()
    assert (v[own] >= (kurtosis - 1) * found.price - 1e-12).all()
    gain = marginal_benefit(v, kurtosis, found.capacity)
    shared = ~ignored & ~own
    assert np.ptp(gain[shared]) < 1e-9  # shared features gain alike from a little more


def test_without_diminishing_returns_the_most_important_features_have_a_dimension_each():
    assert optimum([0.2, 1, 0.5], 3, 2).capacity.tolist() == [0, 1, 1]
    assert optimum([1, 1, 1], 1.5, 1).capacity.tolist() == [1, 0, 0]
    assert optimum([1, 0.5, 0], 9, 5).capacity.tolist() == [1, 1, 0]  # more room than is needed


def test_the_best_norm_and_the_loss_at_a_capacity_are_those_of_a_search():
    v, kurtosis, C = 0.7, 6.0, 0.4
    n = np.linspace(0, 2, 200_001)
    loss = (kurtosis - 1) * (v - n) ** 2 + 2 * n**2 * (1 / C - 1)
    assert norms2(v, kurtosis, C) == pytest.approx(n[loss.argmin()], abs=1e-5)
    assert feature_loss(v, kurtosis, C) == pytest.approx(loss.min(), rel=1e-8)


@pytest.mark.parametrize("kurtosis", [2.0, 3.0, 4.0, 10.0])
def test_the_marginal_benefit_is_the_slope_of_the_loss(kurtosis):
    C = torch.linspace(0, 1, 7, dtype=torch.float64, requires_grad=True)
    loss = 2 * (kurtosis - 1) * 0.49 * (1 - C) / (2 + (kurtosis - 3) * C)
    assert feature_loss(0.7, kurtosis, C.detach().numpy()) == pytest.approx(loss.detach().numpy())
    (slope,) = torch.autograd.grad(loss.sum(), C)
    gain = marginal_benefit(0.7, kurtosis, C.detach().numpy())
    assert gain == pytest.approx(-slope.numpy())
    assert np.sign(np.diff(gain).round(12)).tolist() == [np.sign(3 - kurtosis)] * 6


@pytest.mark.parametrize("values", ["uniform", "gaussian", "sign"])
def test_the_loss_in_closed_form_is_that_of_drawn_samples(values):
    draws = torch.Generator().manual_seed(0)
    W = torch.randn(4, 2, generator=draws, dtype=torch.float64) / 2
    v, p = torch.tensor([1.0, 0.8, 0.5, 0.3], dtype=torch.float64), 0.4
    x = draw(values, torch.tensor(p, dtype=torch.float64), 400_000, 4, draws)
    off = (x @ W).square().sum(1) - x.square() @ v
    kurtosis = torch.tensor(kurtosis_of(values, p))
    assert float(quadratic_loss(W, v, kurtosis)) == pytest.approx(float(off.var()), rel=0.02)
    without = float(off.square().mean())
    assert float(quadratic_loss(W, v, kurtosis, bias=False)) == pytest.approx(without, rel=0.02)


@pytest.mark.parametrize("bias", [True, False])
def test_the_gradient_is_autograds(bias):
    draws = torch.Generator().manual_seed(1)
    W = torch.randn(3, 5, 2, generator=draws, dtype=torch.float64, requires_grad=True)
    v = torch.rand(3, 5, generator=draws, dtype=torch.float64)
    kurtosis = torch.tensor([2.0, 5.0, 9.0], dtype=torch.float64)
    loss = quadratic_loss(W, v, kurtosis, bias=bias).sum()
    (wanted,) = torch.autograd.grad(loss, W)
    torch.testing.assert_close(quadratic_gradient(W.detach(), v, kurtosis, bias=bias), wanted)


def test_two_features_in_one_dimension_have_the_capacities_of_the_table():
    wanted = {
        (4, 0.7): 0.0588, (4, 0.6): 0, (4, 1): 0.5, (10, 0.3): 0.0769, (10, 0.9): 0.4586,
        (50, 0.1): 0.0561, (50, 0.5): 0.3191,
    }  # fmt: skip
    for (kurtosis, r), C in wanted.items():
        assert pair_capacity(r, kurtosis) == pytest.approx(C, abs=5e-5)
        assert optimum([1, r], kurtosis, 1).capacity[1] == pytest.approx(C, abs=5e-5)
    assert pair_capacity([0.5, 1], 3).tolist() == [0, 0]
    table = {4: (0.6667, 0.6154), 5: (0.5, 0.4545), 10: (0.2222, 0.2062), 50: (0.0408, 0.0400)}
    for kurtosis, both in table.items():
        found = [float(pair_boundary(kurtosis, bias=bias)) for bias in (True, False)]
        assert found == pytest.approx(both, abs=5e-5)
    assert pair_boundary([1.5, 3]).tolist() == [1, 1]
    with pytest.raises(InputError, match="above 0 and at most 1"):
        pair_capacity(1.2, 5)


# The quadratic model, trained


@pytest.mark.parametrize(("N", "D", "kurtosis", "decay", "loss", "wanted"), REFERENCES)
def test_training_reaches_the_optimum_from_every_start(N, D, kurtosis, decay, loss, wanted):
    found = train_quadratic(decay ** np.arange(N), kurtosis, D, starts=3)
    best = optimum(decay ** np.arange(N), kurtosis, D)
    assert found.spread[0] < 1e-6
    assert found.loss[0].min() == pytest.approx(best.loss, rel=1e-6)
    assert every_capacity(found.weights[0]) == pytest.approx(
        np.tile(best.capacity, (3, 1)), abs=1e-6
    )
    n = (found.weights[0] ** 2).sum(axis=2)
    assert n == pytest.approx(np.tile(best.norm2, (3, 1)), abs=1e-6)
    assert found.bias.ravel() == pytest.approx([(decay ** np.arange(N)).sum() - n[0].sum()] * 3)


@pytest.mark.parametrize("bias", [True, False])
def test_trained_models_turn_where_the_formula_says(bias):
    kurtosis = np.array([4.0, 5, 8, 10, 50])
    low, high = np.full(5, 0.01), np.ones(5)
    for _ in range(12):
        r = (low + high) / 2
        found = train_quadratic(np.stack([np.ones(5), r], 1), kurtosis, 1, bias=bias, starts=2)
        C = every_capacity(found.best)[:, 1]
        assert pytest.approx(pair_capacity(r, kurtosis, bias=bias), abs=1e-4) == C
        there = C > 1e-5
        low, high = np.where(there, low, r), np.where(there, r, high)
    assert (low + high) / 2 == pytest.approx(pair_boundary(kurtosis, bias=bias), abs=1e-3)


def test_instances_trained_together_are_those_trained_alone():
    v = np.array([[1, 0.9, 0.5], [1, 0.3, 0.2]])
    both = train_quadratic(v, [5, 20], 2, starts=2)
    for cell, kurtosis in enumerate([5, 20]):
        alone = train_quadratic(v[cell], kurtosis, 2, starts=2, seed=3)
        assert both.loss[cell] == pytest.approx(alone.loss[0], rel=1e-9)
    again = train_quadratic(v, [5, 20], 2, starts=2)
    assert np.array_equal(both.weights, again.weights)


def test_below_kurtosis_3_a_feature_has_a_dimension_or_nothing():
    found = train_quadratic([1, 0.8, 0.6, 0.4], 2, 2, starts=12)
    assert capacities(found.best[0]) == pytest.approx([1, 1, 0, 0], abs=1e-6)


def test_a_line_is_followed_to_its_lowest_point():
    draws = np.random.default_rng(0)
    c = draws.standard_normal((50, 4)) * [1, 3, 3, 1]
    c[:, 0], c[:, 3] = -np.abs(c[:, 0]), np.abs(c[:, 3]) + 0.1
    c[0] = [-1e-9, 0.5e-9, 1e-18, 1e-26]  # as near the end of a descent
    found = exact_step(torch.from_numpy(c)).numpy()
    t = np.linspace(0, 40, 400_001)
    for line, step in zip(c, found, strict=True):
        powers = [t, t**2, t**3, t**4]
        values = sum(a * power for a, power in zip(line, powers, strict=True))
        assert step == pytest.approx(t[values.argmin()], abs=2e-4)
    assert exact_step(torch.zeros(1, 4, dtype=torch.float64)).tolist() == [0]


def test_drawn_samples_lead_to_the_same_optimum():
    v, p = [1.0, 0.6, 0.6], 1.8 / 9
    found = train_sampled(v, p, 1, starts=2, recipe=Recipe(2500, 512, 6e-3))
    best = optimum(v, kurtosis_of("uniform", p), 1)
    assert capacities(found.best[0]) == pytest.approx(best.capacity, abs=0.03)
    assert found.loss.min() == pytest.approx(best.loss, rel=0.06)
    without = train_sampled(v, p, 1, bias=False, starts=1, recipe=Recipe(2, 8, 1e-3))
    assert without.bias is None


# The ReLU model


def test_phases_are_those_of_losses_measured_on_samples():
    draws = torch.Generator().manual_seed(0)
    r, p = 0.6, 0.3
    x = draw("positive", torch.tensor(p, dtype=torch.float64), 400_000, 3, draws)
    weight = torch.tensor([1, 1, r])

    def measured(directions, biases=(0.0, 0.0, 0.0)):
        W = torch.tensor(directions, dtype=torch.float64)
        off = torch.relu(x @ W @ W.T + torch.tensor(biases)) - x
        return float((off.square() * weight).sum(1).mean())

    losses = [
        measured([[1.0, 0], [0, 1], [0, 0]], (0, 0, p / 2)),  # the last one ignored
        measured([[1.0, 0], [-1, 0], [0, 1]]),  # alone, the others share
        measured([[1.0, 0], [0, 1], [0, -1]]),  # shares
    ]
    assert relu_losses(3, r, p) == pytest.approx(losses, rel=0.02)
    assert PHASES[relu_phase(3, r, p)] == "last shares"
    one = [losses[0], p / 3 - p**2 / 4, losses[2]]  # of two, the other is left out
    assert relu_losses(2, r, p) == pytest.approx(one, rel=0.02)


def test_phases_meet_where_the_formulas_say():
    density = np.array([0.05, 0.2, 0.5])
    low, high = relu_boundaries(density)
    assert low == pytest.approx(2 * density / (4 - 5 * density))
    assert [PHASES[i] for i in relu_phase(2, low * 0.99, density)] == ["last ignored"] * 3
    assert [PHASES[i] for i in relu_phase(2, low * 1.01, density)] == ["last shares"] * 3
    assert [PHASES[i] for i in relu_phase(2, high * 1.01, density)] == ["last alone"] * 3
    assert [PHASES[i] for i in relu_phase(3, low * 0.99, density)] == ["last ignored"] * 3
    assert np.isnan(relu_boundaries(TRIPLE)[0])
    assert relu_losses(2, 1, TRIPLE) == pytest.approx([relu_losses(2, 1, TRIPLE)[0]] * 3)


def test_five_sparse_features_form_a_pentagon_in_two_dimensions():
    found = train_relu(np.ones(5), 0.05, 2, starts=8, recipe=SHORT)
    C = capacities(found.best[0])
    assert ((C > 0.38) & (C < 0.42)).all()
    assert 1.99 <= C.sum() <= 2 + 1e-6
    assert 0.0080 < found.loss.min() < 0.0096


@pytest.mark.parametrize(
    ("features", "dims", "wanted"),
    [(2, 1, [0.5] * 2), (3, 2, [0.5, 0.5, 1]), (4, 3, [0.5, 0.5, 1, 1]), (6, 3, [0.5] * 6)],
)
def test_sparse_features_form_antipodal_pairs(features, dims, wanted):
    found = train_relu(np.ones(features), 0.05, dims, starts=8, recipe=SHORT)
    assert sorted(capacities(found.best[0])) == pytest.approx(wanted, abs=0.03)


def test_a_linear_model_keeps_the_most_important_features_and_no_others():
    found = train_relu(0.8 ** np.arange(5), 0.5, 2, linear=True, starts=3, recipe=SHORT)
    assert capacities(found.best[0]) == pytest.approx([1, 1, 0, 0, 0], abs=0.05)
    variance = 0.5 / 3 - 0.5**2 / 4
    assert found.loss.min() == pytest.approx(variance * (0.8 ** np.arange(2, 5)).sum(), rel=0.02)
    again = train_relu(0.8 ** np.arange(5), 0.5, 2, linear=True, starts=3, recipe=SHORT)
    assert np.array_equal(found.weights, again.weights)


@pytest.mark.parametrize("values", ["uniform", "gaussian", "sign", "positive"])
def test_features_have_the_moments_they_are_said_to_have(values):
    x = draw(values, torch.tensor([0.1, 0.5]).double(), 200_000, 2, torch.Generator())
    assert x.shape == (2, 200_000, 2)
    for cell, p in zip(x, (0.1, 0.5), strict=True):
        assert float((cell != 0).double().mean()) == pytest.approx(p, rel=0.03)
        second, fourth = float(cell.square().mean()), float(cell.pow(4).mean())
        assert second == pytest.approx(p / 3 if values == "positive" else 1, rel=0.03)
        assert fourth / second**2 == pytest.approx(kurtosis_of(values, p), rel=0.05)
    assert density_for("uniform", 9) == pytest.approx(0.2)
    with pytest.raises(InputError, match=r"uniform values have at least kurtosis 1\.8"):
        density_for("uniform", 1.5)


def test_samples_that_starts_are_judged_by_have_the_same_means():
    density = torch.tensor([0.02, 0.3, 1.0]).double()
    x, weight = draw_evenly("positive", density, 100_000, 5, torch.Generator())
    for cell, w, p in zip(x, weight, density.tolist(), strict=True):
        assert float(w.mean()) == pytest.approx(1, rel=1e-3)
        assert ((w[:, None] * cell).mean(0) / p).numpy() == pytest.approx([0.5] * 5, rel=0.03)
        together = float((w * cell[:, 0] * cell[:, 1]).mean())
        assert together == pytest.approx(p**2 / 4, rel=0.05)
    met = (x[0] != 0).sum(1).bincount(minlength=3)
    assert met[2] > 10_000  # plain samples would have 400


# As models of the platform


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("toys") / "model"
    task = {"kind": "quadratic", "features": 6, "dims": 2, "importance": "0.7", "kurtosis": 5.0}
    train_toy(place, instances=3, samples=50, **task)
    return place


@pytest.fixture(scope="module")
def relu_folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("toys") / "relu"
    import actlas.plugins.toy.training as training

    patch = pytest.MonkeyPatch()
    patch.setattr(training, "recipe_named", lambda name: Recipe(30, 16, 1e-2))
    train_toy(place, kind="relu", features=4, dims=2, density=0.3, instances=2, samples=20)
    patch.undo()
    return place


def test_a_trained_model_is_extracted_like_any_other(folder, sqlite_store):
    model = toy(str(folder), **OPTIONS)
    data = actlas.read_dataset(folder / "samples.jsonl")
    made = sqlite_store.extract(model, data, dtype="float32")
    assert [(a.site, a.width) for a in made.sites] == [
        ("embed", 6),
        ("layers.0", 2),
        ("layers.1", 1),
    ]
    x = np.stack([vector_of(text, 6) for text in data.texts])
    assert np.array_equal(made.activations("embed").numpy(), x)
    h = made.activations("layers.0").numpy()
    assert h == pytest.approx(x @ model.weights["layers.0.weight"], abs=1e-5)
    out = (h**2).sum(axis=1, keepdims=True) + model.weights["layers.1.bias"]
    assert made.activations("layers.1").numpy() == pytest.approx(out, rel=1e-5)
    assert set(made.label_sets) == {"strongest", "active"}


def test_a_relu_models_output_is_what_it_makes_of_the_hidden_layer(relu_folder):
    model = toy(f"{relu_folder}#1", **OPTIONS | {"compute_dtype": "auto"})
    assert model.dtype == "float64"
    assert list(model.weights) == ["layers.0.weight", "layers.1.bias"]
    x = torch.from_numpy(sample_vectors(4, "positive", 0.3, 7, 0)).double()
    W, b = (torch.from_numpy(model.weights[n].copy()) for n in model.weights)
    assert torch.allclose(model.module(x), torch.relu(x @ W @ W.T + b))
    assert model.configuration["importance"] == [1, 1, 1, 1]


def test_instances_are_models_of_their_own(folder):
    first, other = (toy(f"{folder}{mark}", **OPTIONS) for mark in ("", "#2"))
    assert first.digest == toy(f"{folder}#0", **OPTIONS).digest != other.digest
    assert other.spec == f"toy:{folder}#2"
    exact = toy(str(folder), **OPTIONS | {"compute_dtype": "auto"})
    assert exact.digest == first.digest  # a run may load what was extracted in another dtype
    losses = first.configuration["loss"]
    assert losses == sorted(losses)


def test_the_analysis_of_capacity_finds_what_was_trained(folder):
    model = toy(str(folder), **OPTIONS | {"compute_dtype": "auto"})
    result = capacity(model.weights)
    found = [row["capacity"] for row in result.tables["features"]]
    assert found == pytest.approx([1, 0.76471, 0.23529, 0, 0, 0], abs=1e-5)
    assert [(row["size"], row["dimension"]) for row in result.tables["blocks"]] == [(2, 1), (1, 1)]


def test_the_scheme_is_an_entry_point():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert declared["actlas.loaders"]["toy"] == "actlas.plugins.toy:toy"
    assert toy.name == "toy"


def test_vectors_are_read_as_they_were_written():
    vectors = sample_vectors(5, "gaussian", 0.5, 200, 0)
    assert (vectors == 0).all(axis=1).any()
    for x in vectors:
        assert np.array_equal(vector_of(vector_text(x), 5), x)


@pytest.mark.parametrize("text", ["hello", "f9=1", "f0=x", "f0", "0=1", "f0=nan", "f-1=2"])
def test_what_is_no_vector_is_refused(folder, sqlite_store, text):
    with pytest.raises(DatasetError, match="is no feature of this toy model; a sample is a line"):
        sqlite_store.extract(toy(str(folder), **OPTIONS), Dataset.of(["f0=1", text]))


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("{folder}#3", "names no instance; .* to #2"),
        ("{folder}#x", "names no instance"),
        ("nowhere", "nowhere has no config.json; `actlas train toy -o nowhere` makes one"),
    ],
)
def test_what_is_no_toy_model_is_refused(folder, rest, said):
    with pytest.raises(ModelError, match=said):
        toy(rest.format(folder=folder), **OPTIONS)


def test_a_damaged_model_is_refused(folder, tmp_path):
    def copy(change):
        place = tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
        place.mkdir()
        for name in ("config.json", "model.safetensors"):
            (place / name).write_bytes((folder / name).read_bytes())
        change(place)
        return str(place)

    def altered(place, **changes):
        config = json.loads((place / "config.json").read_text()) | changes
        (place / "config.json").write_text(json.dumps(config))

    def rewritten(place, change):
        path = place / "model.safetensors"
        save_file(change(load_file(path)), path)

    def cut(path):
        path.write_bytes(path.read_bytes()[:-9])

    for change, said in (
        (lambda p: (p / "config.json").write_text("{}"), "is no toy model's"),
        (lambda p: altered(p, kind="cubic"), "kind 'cubic' of 'uniform' values is unknown"),
        (lambda p: altered(p, dims=3), r"holds .*\(3, 6, 2\).* configuration is of .*\(3, 6, 3\)"),
        (lambda p: altered(p, bias=False), "holds"),
        (lambda p: altered(p, loss=5), "loss of each instance"),
        (lambda p: altered(p, loss=[]), "loss of each instance"),
        (lambda p: altered(p, importance=[1.0]), "importance is of each feature"),
        (lambda p: rewritten(p, lambda a: {**a, "bias": np.zeros((3, 6))}), r"'bias': \(3, 6\)"),
        (lambda p: rewritten(p, lambda a: {**a, "bias": a["bias"] * np.nan}), "no finite numbers"),
        (lambda p: rewritten(p, lambda a: {k: v.astype(int) for k, v in a.items()}), "no finite"),
        (lambda p: cut(p / "model.safetensors"), "cannot be read"),
        (lambda p: (p / "model.safetensors").write_bytes(b"no"), "cannot be read"),
        (lambda p: (p / "model.safetensors").unlink(), "cannot be read"),
    ):
        with pytest.raises(ModelError, match=said):
            toy(copy(change), **OPTIONS)


TASK = {"kind": "quadratic", "features": 4, "dims": 2, "kurtosis": 6.0, "instances": 2}


def test_training_that_was_stopped_leaves_no_model_and_starts_again(tmp_path, monkeypatch):
    import actlas.plugins.toy.training as training

    def stopped(path, drawn):
        path.write_text("half a line")
        raise KeyboardInterrupt

    place = tmp_path / "model"
    train_toy(place, seed=1, **TASK)
    for again in ({"force": True}, {}):  # over a model, and where one was stopped
        with monkeypatch.context() as patch:
            patch.setattr(training, "write_vectors", stopped)
            with pytest.raises(KeyboardInterrupt):
                train_toy(place, **TASK, **again)
        with pytest.raises(ModelError, match=r"has no config\.json"):
            toy(str(place), **OPTIONS)
    train_toy(place, samples=7, **TASK)
    fresh = tmp_path / "fresh"
    train_toy(fresh, samples=7, **TASK)
    for name in ("config.json", "model.safetensors", "samples.jsonl"):
        assert (place / name).read_bytes() == (fresh / name).read_bytes()
    assert len(list(place.iterdir())) == 3


def test_samples_of_a_model_that_was_replaced_are_gone(tmp_path):
    train_toy(tmp_path, samples=5, **TASK)
    assert "samples" not in train_toy(tmp_path, samples=0, force=True, **TASK)
    assert not (tmp_path / "samples.jsonl").exists()


def test_a_folder_that_cannot_be_is_refused_before_training(tmp_path, monkeypatch):
    import actlas.plugins.toy.training as training

    monkeypatch.setattr(training, "train_quadratic", None)
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file/below", Path("/proc/none")):
        with pytest.raises(InputError, match=r"cannot be written .*; name a folder"):
            train_toy(place, **TASK)


def test_training_that_diverged_is_not_kept(tmp_path):
    config = settle(ToyTask(kind="relu", features=2, dims=1, density=0.1))
    for weight, loss in ((np.nan, 1.0), (1.0, np.inf)):
        found = Trained(np.full((1, 1, 2, 1), weight), np.array([[loss]]), np.zeros((1, 1, 2)))
        with pytest.raises(InputError, match="diverged to infinity"):
            keep_toy(config, found, tmp_path / "x", samples=0)
    assert not (tmp_path / "x").exists()


def test_a_folder_may_have_a_number_sign_in_its_name(tmp_path):
    place = tmp_path / "take#1"
    train_toy(place, **TASK)
    first, other = (toy(f"{place}{mark}", **OPTIONS) for mark in ("", "#1"))
    assert first.spec == f"toy:{place}"
    assert toy(first.spec.removeprefix("toy:"), **OPTIONS).digest == first.digest != other.digest


@pytest.mark.parametrize("kind", ["relu", "linear", "quadratic"])
def test_every_instance_of_every_kind_is_extracted_and_measured(kind, tmp_path, sqlite_store):
    task = ToyTask(kind=kind, features=5, dims=2, density=0.2, samples=6)
    draws = np.random.default_rng(0)
    outputs = 1 if kind == "quadratic" else 5
    found = Trained(
        draws.standard_normal((2, 3, 5, 2)), draws.random((2, 3)), draws.random((2, 3, outputs))
    )
    kept = keep_toy(settle(task), found.cell(1), tmp_path, samples=6)
    order = found.loss[1].argsort()
    assert np.array_equal(kept.weights, found.weights[1][order])
    data = actlas.read_dataset(tmp_path / "samples.jsonl")
    x = np.stack([vector_of(text, 5) for text in data.texts])
    for number in range(3):
        model = toy(f"{tmp_path}#{number}", **OPTIONS | {"compute_dtype": "auto"})
        W = found.weights[1, order[number]]
        rows = capacity(model.weights, parameter="layers.0.weight").tables["features"]
        assert rows["capacity"] == pytest.approx(capacities(W))
        made = sqlite_store.extract(model, data, dtype="float32")
        assert made.activations("layers.0").numpy() == pytest.approx(x @ W, abs=1e-5)


def test_the_command_trains_and_compares_with_the_optimum(tmp_path):
    place = tmp_path / "model"
    line = ["train", "toy", "-o", place, "--kind", "quadratic", "--features", 6, "--dims", 2]
    done = good(*line, "--importance", "0.7", "--kurtosis", 5, "--instances", 2, "--json").json
    assert done["loss"] == pytest.approx(done["optimal loss"]) == pytest.approx(1.670045)
    rows = done["features"]
    assert [row["capacity"] for row in rows] == pytest.approx(
        [row["optimal capacity"] for row in rows], abs=1e-6
    )
    assert [row["norm2"] for row in rows] == pytest.approx([row["optimal norm2"] for row in rows])
    assert len((place / "samples.jsonl").read_text().splitlines()) == 2000
    assert "holds a model already" in fails(*line, "--kurtosis", 5)
    good(*line, "--kurtosis", 5, "--no-bias", "--samples", 0, "--force")
    assert "give a quadratic model a --kurtosis or a --density" in fails(*line, "--force")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"kurtosis": 0.5}, "kurtosis is 0.5"),
        ({"kurtosis": 1.5}, "at least kurtosis 1.8"),
        ({"density": 0.0}, "density is 0"),
        ({"density": 0.1, "kurtosis": 5.0}, "one gives the other"),
        ({"kurtosis": 5.0, "importance": "1,2"}, "2 importances for 3 features"),
        ({"kurtosis": 5.0, "importance": "a"}, "is no number and no list"),
        ({"kurtosis": 5.0, "importance": "1,-1,1"}, "none below 0"),
        ({"kurtosis": 5.0, "importance": "0,0,0"}, "not all 0"),
        ({"kurtosis": 5.0, "values": "positive"}, "are uniform, gaussian or sign"),
        ({"kurtosis": 5.0, "recipe": "slow"}, "no recipe 'slow'; there is fast, tms, long, wide"),
        ({"kind": "relu", "kurtosis": 5.0}, "trained at a --density"),
        ({"kind": "relu", "density": 0.1, "recipe": "closed"}, "no loss in closed form"),
        ({"kind": "relu", "density": 0.1, "bias": False}, "leave --no-bias out"),
        ({"kind": "cubic", "density": 0.1}, "no kind 'cubic'"),
        ({"kurtosis": 5.0, "seed": -1}, "seed -1 must lie between 0"),
        ({"kurtosis": 5.0, "seed": 2**32}, "must lie between 0"),
        ({"kurtosis": 5.0, "dims": 0}, "at least 1 feature, 1 dimension"),
        ({"kurtosis": 2e6}, "training reaches up to 1e"),
        ({"density": 1e-6}, "training reaches up to 1e"),
        ({"kurtosis": 5.0, "importance": "1e200"}, "are finite"),
        ({"kurtosis": 5.0, "importance": "1,1e7,1"}, "largest importance is 1e"),
        ({"kurtosis": 5.0, "importance": "0,1e-7,0"}, "largest importance is 1e"),
    ],
)
def test_tasks_that_cannot_be_are_refused(task, said):
    with pytest.raises(InputError, match=said):
        settle(ToyTask(**{"kind": "quadratic", "features": 3, "dims": 2} | task))


@pytest.mark.parametrize(
    ("importance", "number", "dims", "said"),
    [
        (np.ones((3, 2)), [4, 5], 1, "do not pair"),
        ([1, np.nan], 5, 1, "are finite"),
        ([0, 0], 5, 1, "not all 0"),
        ([1, 1], 1, 1, "above 1"),
        ([1, 1], 5, 0, "dims is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(importance, number, dims, said):
    with pytest.raises(InputError, match=said):
        train_quadratic(importance, number, dims)


def test_density_is_a_chance():
    with pytest.raises(InputError, match=r"density is 1\.5"):
        train_relu([1, 1], 1.5, 1)
