"""`ica_cosine` against the cosine itself, quadrature and draws."""

import numpy as np
import pytest
from scipy import integrate, special, stats

import actlas
from actlas import Activations, InputError
from actlas.plugins.ica import Axes, ica, ica_cosine
from actlas.plugins.ica.cosine import product_tail, share_tail
from actlas.testing import checks


@pytest.mark.parametrize("check", checks(ica_cosine), ids=repr)
def test_conformance(check):
    check()


@pytest.fixture(scope="module")
def sparse():
    rng = np.random.default_rng(0)
    S = rng.exponential(size=(2_000, 12)) * (rng.random((2_000, 12)) < 0.2)
    acts = Activations.of((S @ rng.standard_normal((12, 12))).astype(np.float32))
    return acts, ica(acts, restarts=0), S


def summary(result):
    (row,) = result.tables["summary"]
    return row


def test_terms_sum_to_the_cosine_of_whitened_rows_in_either_basis(sparse):
    acts, base, _ = sparse
    X = acts.numpy(np.float64)
    Z = (X - X.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(X.T, bias=True))).T
    for row, other in ((0, 1), (5, 9), (3, 3)):
        found = ica_cosine(acts, base, row=row, with_row=other, top=12)
        wanted = Z[row] @ Z[other] / np.linalg.norm(Z[row]) / np.linalg.norm(Z[other])
        ours, pca = found.arrays["products"].sum(axis=1)
        assert abs(ours - pca) < 1e-10
        assert ours == pytest.approx(wanted, abs=1e-6)  # numpy's own mean and covariance
        assert summary(found)["cosine"] == ours
        terms = found.tables["terms"]
        for basis in ("ica", "pca"):
            mine = terms["basis"] == basis
            assert terms["product"][mine].sum() == pytest.approx(ours, abs=1e-10)
            np.testing.assert_allclose(terms["cumulative"][mine][-1], ours, atol=1e-10)
            assert (np.diff(terms["product"][mine]) <= 0).all()
            np.testing.assert_allclose(terms["x"] * terms["y"], terms["product"])


def test_shares_are_those_of_the_axes(sparse):
    acts, base, _ = sparse
    found = ica_cosine(acts, base, row=4, with_row=7, top=3)
    terms = found.tables["terms"]
    assert terms["rank"].tolist() == [1, 2, 3] * 2
    for basis in ("ica", "pca"):
        S = Axes.of(base, basis).exact(acts[[4, 7]])
        x, y = S / np.linalg.norm(S, axis=1, keepdims=True)
        mine = terms["basis"] == basis
        np.testing.assert_allclose(terms["x"][mine], x[terms["axis"][mine]])
        np.testing.assert_allclose(terms["y"][mine], y[terms["axis"][mine]])
        assert terms["axis"][mine].tolist() == np.argsort(-x * y)[:3].tolist()


@pytest.mark.parametrize("x", [0.0, 1e-8, 1e-3, 0.1, 0.5, 1.0, 2.0, 5.0])
def test_the_chance_of_a_product_is_the_integral_of_k0(x):
    wanted = 0.5 - special.iti0k0(x)[1] / np.pi
    assert product_tail(x / 7, 7) == pytest.approx(wanted, rel=1e-9, abs=1e-16)
    assert product_tail(-x / 7, 7) == product_tail(x / 7, 7)


@pytest.mark.parametrize("x", [1.0, 3.0, 12.0, 13.0, 40.0, 100.0, 300.0, 600.0])
def test_it_keeps_its_digits_where_it_is_tiny(x):
    scaled = integrate.quad(lambda u: special.k0e(x + u) * np.exp(-u), 0, np.inf, epsabs=0)[0]
    assert product_tail(x / 50, 50) == pytest.approx(np.exp(-x) * scaled / np.pi, rel=1e-9)


def test_it_is_the_share_of_draws():
    d = 40
    u, v = np.random.default_rng(0).normal(scale=d**-0.5, size=(2, 400_000))
    for t in (0.005, 0.02, 0.06):
        assert product_tail(t, d) == pytest.approx((u * v > t).mean(), rel=0.03)
        assert share_tail(-3 * t, d) == pytest.approx((u > 3 * t).mean(), rel=0.03)
    assert product_tail(1.0, 2000) >= 0
    far = share_tail(0.9, 500)  # 1 − Φ would be 0
    assert 0 < far == pytest.approx(stats.norm.sf(0.9 * 500**0.5), rel=1e-12)


def test_significance_is_after_bonferroni(sparse):
    acts, base, _ = sparse
    found = ica_cosine(acts, base, row=0, with_row=2, top=12)
    terms, said = found.tables["terms"], summary(found)
    np.testing.assert_allclose(terms["p_product"], product_tail(terms["product"], 12))
    np.testing.assert_allclose(terms["p_x"], share_tail(terms["x"], 12))
    assert (terms["significant"] == (terms["p_product"] * 12 <= 0.05)).all()
    ours = terms["basis"] == "ica"
    assert said["significant"] == terms["significant"][ours].sum()
    assert said["significant_y_pca"] == (terms["p_y"][~ours] * 12 <= 0.05).sum()
    p = np.sort(terms["p_product"])[2]  # a level between without and with Bonferroni
    strict = ica_cosine(acts, base, row=0, with_row=2, top=12, level=float(p) * 2)
    assert (strict.tables["terms"]["p_product"] <= p * 2).sum() >= 3
    assert strict.tables["terms"]["significant"].sum() < 3


def test_rows_of_one_source_are_alike_in_its_axis(sparse):
    acts, base, S = sparse
    strong = np.argsort(-S[:, 0] / np.linalg.norm(S + 1e-9, axis=1))[:2]
    row, other = map(int, strong)
    found = ica_cosine(acts, base, row=row, with_row=other)
    said = summary(found)
    assert said["top5_share"] > said["top5_share_pca"]
    first = next(iter(found.tables["terms"]))
    axes = (acts.numpy() - base.arrays["mean"]) @ base.arrays["reading"].T
    r = np.corrcoef(axes.T, S.T)[:12, 12:]
    assert np.abs(r[first["axis"]]).argmax() == 0
    terms = found.arrays["products"]
    assert said["top5"] == pytest.approx(np.sort(terms[0])[-5:].sum())
    assert said["top5_share_pca"] == pytest.approx(np.sort(terms[1])[-5:].sum() / said["cosine"])


def test_a_cosine_that_is_not_positive_has_no_share(sparse):
    acts, base, _ = sparse
    S = Axes.of(base).exact(acts.numpy())
    U = S / np.linalg.norm(S, axis=1, keepdims=True)
    found = summary(ica_cosine(acts, base, with_row=int((U[0] @ U.T).argmin())))
    assert found["cosine"] < 0
    assert np.isnan(found["top5_share"]) or found["top5_share"] is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"row": 2_000}, "row=2000 is outside 0…1999"),
        ({"with_row": -1}, "with_row=-1 is outside 0…1999"),
        ({"level": 1.0}, "0 < level < 1"),
        ({"top": 0}, "top ≥ 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(sparse, settings, said):
    with pytest.raises(InputError) as raised:
        ica_cosine(sparse[0], sparse[1], **settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_row_at_the_mean_has_no_direction():
    X = np.random.default_rng(0).exponential(size=(101, 3)).round(1)
    X[100] = 0
    X = np.vstack([X, -X])  # the mean is 0 exactly
    acts = Activations.of(X)
    with pytest.raises(InputError, match="row 100 is the mean"):
        ica_cosine(acts, ica(acts, restarts=0), row=100)


def test_a_stored_run_names_tokens(tmp_path, demo_model):
    data = actlas.read_dataset("actlas:concepts", limit=60)
    with actlas.open(f"sqlite:///{tmp_path}/s.db") as store:
        store.extract(demo_model, data, sites="layers.1")
        base = store.run("ica", n_components=6, restarts=0)[0].result
        acts = store.extraction().activations("layers.1")
        found = ica_cosine(acts, base, row=3, with_row=8)
        assert summary(found)["token"] == acts.rows.token[3]
        ends = {(r["axis"], r["end"]): r["token"] for r in base.tables["top_rows"] if r["rank"] < 2}
        for row in found.tables["terms"]:
            end = "high" if row["x"] >= 0 else "low"
            wanted = ends[row["axis"], end] if row["basis"] == "ica" else None
            assert row["axis_token"] == wanted
