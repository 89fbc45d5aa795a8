"""`superposition` tells neurons that stand for one concept from those that stand for several."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from actlas import Activations, InputError, LabelError, Labels
from actlas.plugins.capacity import concept_capacity, superposition
from actlas.testing import checks


def site(n=600, K=6, noise=0.1, basis=None, seed=0):
    """Class k lies along neuron k; or along the rows of a basis."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % K
    basis = np.eye(K) if basis is None else basis
    X = basis[codes] + noise * rng.standard_normal((n, basis.shape[1]))
    return Activations.of(X.astype(np.float32)), Labels.of(codes.tolist())


def one(result, table="summary"):
    return next(iter(result.tables[table]))


def rotation(d, seed=1):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


@pytest.mark.parametrize("check", checks(superposition), ids=repr)
def test_it_conforms(check):
    check()


def test_neurons_that_stand_for_one_concept_each():
    found = superposition(*site())
    row = one(found)
    assert (row["monosemantic_share"], row["polysemantic_share"]) == (1, 0)
    table = found.tables["neurons"]
    assert table["label"].tolist() == [str(k) for k in range(6)]
    assert (table["auroc"] > 0.99).all()
    assert (table["selectivity"] > 0.85).all()
    assert row["alignment"] > 0.85 > row["alignment_random"]


def test_a_rotation_makes_neurons_polysemantic_and_leaves_capacity_as_it_is():
    acts, labels = site()
    turned = Activations.of(acts.numpy() @ rotation(6))
    before, after = superposition(acts, labels), superposition(turned, labels)
    assert one(after)["polysemantic_share"] > 0.8
    assert one(after)["alignment"] < one(before)["alignment"] - 0.1
    assert one(after)["participation_ratio"] == pytest.approx(
        one(before)["participation_ratio"], rel=1e-5
    )
    totals = [
        one(concept_capacity(some, labels, permutations=1))["total"] for some in (acts, turned)
    ]
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)


def test_auroc_kurtosis_and_selectivity_are_those_of_the_books():
    acts, labels = site(n=300, K=3, noise=0.6)
    found = superposition(acts, labels)
    X = acts.numpy(np.float64)
    neurons = found.tables["neurons"]
    np.testing.assert_allclose(neurons["kurtosis"], stats.kurtosis(X, fisher=False), rtol=1e-9)
    for j in range(3):
        aurocs = [roc_auc_score(labels.codes == k, X[:, j]) for k in range(3)]
        best = int(np.abs(np.array(aurocs) - 0.5).argmax())
        assert neurons["auroc"][j] == pytest.approx(aurocs[best])
        assert neurons["label"][j] == str(best)
        told = sum(abs(a - 0.5) >= 0.3 for a in aurocs)
        assert neurons["concepts"][j] == told
        mu = [X[labels.codes == k, j].clip(0).mean() for k in range(3)]
        rest = (sum(mu) - max(mu)) / 2
        assert neurons["selectivity"][j] == pytest.approx((max(mu) - rest) / (max(mu) + rest))
    covariance = np.cov(X.T)
    ratio = np.trace(covariance) ** 2 / np.square(covariance).sum()
    assert one(found)["participation_ratio"] == pytest.approx(ratio)


def test_kurtosis_is_centred_and_pearsons():
    rng = np.random.default_rng(0)
    X = np.c_[rng.standard_normal(20_000), rng.random(20_000) < 0.02, rng.random(20_000)] + 100
    found = superposition(Activations.of(X), Labels.of((np.arange(20_000) % 2).tolist()))
    normal, sparse, even = found.tables["neurons"]["kurtosis"]
    assert normal == pytest.approx(3, abs=0.15)
    assert sparse > 30
    assert even == pytest.approx(1.8, abs=0.05)


def test_concepts_by_their_direction_in_neurons():
    acts, labels = site(K=4, noise=0.0, n=40)
    table = superposition(acts, labels).tables["concepts"]
    w = np.eye(4)[0] - 0.25
    np.testing.assert_allclose(table["alignment"], w.max() / np.linalg.norm(w))
    np.testing.assert_allclose(table["effective_neurons"], np.abs(w).sum() ** 2 / (w @ w))
    assert table["neuron"].tolist() == [0, 1, 2, 3]
    assert table["rows"].tolist() == [10] * 4


def test_a_constant_neuron_tells_nothing():
    acts, labels = site()
    X = np.c_[acts.numpy(), np.full(600, 7.0)]
    found = superposition(Activations.of(X), labels)
    assert one(found)["constant"] == 1
    last = list(found.tables["neurons"])[-1]
    assert (last["concepts"], np.isnan(last["kurtosis"])) == (0, True)
    X[:, -1] += 1e-6 * (labels.codes == 0)  # rounding of 7 that happens to tell a label
    last = list(superposition(Activations.of(X), labels).tables["neurons"])[-1]
    assert (last["auroc"], last["concepts"], np.isnan(last["kurtosis"])) == (1, 0, True)


def test_ranks_of_some_rows_are_enough_and_rows_without_a_label_are_left_out():
    acts, labels = site(n=3_000)
    whole, some = superposition(acts, labels), superposition(acts, labels, max_rows=500)
    np.testing.assert_allclose(
        whole.tables["neurons"]["auroc"], some.tables["neurons"]["auroc"], atol=0.03
    )
    values = labels.values()
    values[:1000] = [None] * 1000
    assert one(superposition(acts, Labels.of(values)))["rows"] == 2_000


@pytest.mark.parametrize(
    ("options", "said"),
    [({"least_auroc": 0.4}, "least_auroc"), ({"max_rows": 1}, "max_rows"), ({"seed": -1}, "seed")],
)
def test_bad_settings_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        superposition(*site(), **options)
    with pytest.raises(LabelError, match="two labels or more"):
        superposition(site()[0], Labels.of(["a"] * 600))


def test_polysemantic_neurons_are_those_that_were_planted():
    basis = np.zeros((6, 5))  # neuron 0 tells two, 1 one by falling silent, 2 three, 3 and 4 none
    basis[[0, 1], 0], basis[2, 1], basis[[3, 4, 5], 2] = 1, -1, 1
    acts, labels = site(K=6, noise=0.05, basis=basis, n=1200)
    found = superposition(acts, labels, least_auroc=0.85)
    told = found.tables["neurons"]["concepts"]
    # A label is told against the rest: of two equal ones each lies above 8 rows of 10 others,
    # and half of its twin's, AUROC 0.9; of three equal ones 0.8.
    assert told.tolist() == [2, 1, 0, 0, 0]
    assert (one(found)["polysemantic_share"], one(found)["monosemantic_share"]) == (0.2, 0.2)
    assert one(found)["concepts_per_neuron"] == pytest.approx(3 / 5)
    assert found.tables["concepts"]["neurons"].tolist() == [1, 1, 1, 0, 0, 0]
    assert found.tables["concepts"]["neuron"].tolist() == [0, 0, 1, 2, 2, 2]  # of 2: downwards
    silent = found.tables["neurons"]
    assert (silent["label"][1], silent["auroc"][1] < 0.01) == ("2", True)
    wider = superposition(acts, labels, least_auroc=0.78).tables["neurons"]["concepts"]
    assert wider.tolist() == [2, 1, 6, 0, 0]  # the other three by 0.2, as they never activate it


def test_order_sign_scale_and_shift_of_neurons_leave_what_they_should():
    basis = np.random.default_rng(3).standard_normal((4, 8))
    acts, labels = site(K=4, basis=basis)
    X, before = acts.numpy().astype(float), superposition(acts, labels)
    order = np.random.default_rng(0).permutation(8)
    signs = np.where(np.arange(8) % 2, -1.0, 1.0)
    for changed in (X[:, order], X * signs, X * 7, X + 3):
        after = superposition(Activations.of(changed), labels)
        for column in ("alignment", "effective_neurons", "neurons"):
            assert after.tables["concepts"][column] == pytest.approx(
                before.tables["concepts"][column], rel=1e-5
            )
        for column in ("polysemantic_share", "concepts_per_neuron", "kurtosis"):
            assert one(after)[column] == pytest.approx(one(before)[column], rel=1e-5)
    moved = superposition(Activations.of(X[:, order]), labels).tables["neurons"]
    for column in ("selectivity", "kurtosis", "auroc"):
        np.testing.assert_allclose(
            moved[column], before.tables["neurons"][column][order], rtol=1e-5
        )
    turned = superposition(Activations.of(X @ rotation(8)), labels)
    assert abs(one(turned)["alignment"] - one(before)["alignment"]) > 1e-3


def test_random_directions_have_the_kurtosis_of_normal_rows_and_unit_length():
    rng = np.random.default_rng(0)
    acts = Activations.of(rng.standard_normal((5_000, 30)))
    row = one(superposition(acts, Labels.of((np.arange(5_000) % 2).tolist())))
    assert row["kurtosis_random"] == pytest.approx(3, abs=0.1)
    unit = rng.standard_normal((2_000, 30))
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    assert row["alignment_random"] == pytest.approx(np.abs(unit).max(axis=1).mean(), abs=0.03)


def test_equal_values_share_their_rank():
    X = np.zeros((200, 2))
    X[:10, 0] = 1  # mostly silent: order among equal values must not count
    codes = np.r_[np.zeros(100, int), np.ones(100, int)]
    found = superposition(Activations.of(X + [[0, 1]] * X[:, :1]), Labels.of(codes.tolist()))
    assert found.tables["neurons"]["auroc"][0] == pytest.approx(roc_auc_score(codes == 0, X[:, 0]))
