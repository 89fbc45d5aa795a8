"""The analysis `spectrum` against numpy, closed forms and invariances."""

import numpy as np
import pytest
from scipy.stats import entropy, ortho_group

from actlas import Activations, InputError
from actlas.plugins.spectrum import spectrum

ROWS, WIDTH = 300, 20


def matrix(seed=0, rows=ROWS, width=WIDTH):
    """Rows of decaying variance around a mean that is not zero, as stored: float32."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, width)) * np.geomspace(5, 0.05, width) + rng.normal(size=width)
    return X.astype(np.float32)


def run(X, *, chunk_rows=64, **parameters):
    return spectrum(Activations.of(X, chunk_rows=chunk_rows), **parameters)


def summary(X, **options):
    (row,) = run(X, **options).tables["summary"]
    return row


def eigenvalues(X, **options):
    return run(X, **options).tables["eigenvalues"]["eigenvalue"]


def independent(X):
    """Eigenvalues, largest first, by the singular values of the centred rows in float64."""
    X = X.astype(np.float64)
    return np.linalg.svd(X - X.mean(axis=0), compute_uv=False) ** 2 / len(X)


@pytest.mark.parametrize(("rows", "width"), [(300, 20), (12, 20), (2, 5), (50, 1)])
def test_eigenvalues_are_those_of_numpy(rows, width):
    X = matrix(rows=rows, width=width)
    expected = np.linalg.eigvalsh(np.atleast_2d(np.cov(X.T.astype(np.float64), bias=True)))[::-1]
    found = eigenvalues(X)
    assert found.shape == (width,)
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)
    assert (found >= 0).all()
    assert (np.diff(found) <= 0).all()


def test_the_summary_is_that_of_numpy_and_scipy():
    X = matrix()
    values = independent(X)
    share = values / values.sum()
    found = summary(X)
    X = X.astype(np.float64)
    assert found["rows"] == ROWS
    assert found["width"] == found["rank"] == WIDTH
    assert found["total_variance"] == pytest.approx(X.var(axis=0).sum(), rel=1e-10)
    assert found["effective_rank"] == pytest.approx(np.exp(entropy(values)), rel=1e-10)
    assert found["participation_ratio"] == pytest.approx(1 / (share**2).sum(), rel=1e-10)
    assert found["stable_rank"] == pytest.approx(values.sum() / values[0], rel=1e-10)
    assert found["top_share"] == pytest.approx(share[0], rel=1e-10)
    power = (X.mean(axis=0) ** 2).sum() / (X**2).sum(axis=1).mean()
    assert found["mean_share"] == pytest.approx(power, rel=1e-10)


def test_shares_add_up_and_the_index_counts():
    table = run(matrix()).tables["eigenvalues"]
    assert table["index"].tolist() == list(range(WIDTH))
    assert table["share"] == pytest.approx(table["eigenvalue"] / table["eigenvalue"].sum())
    assert table["cumulative"] == pytest.approx(np.cumsum(table["share"]))
    assert table["cumulative"][-1] == pytest.approx(1)


def test_the_mean_is_kept_as_an_array():
    X = matrix()
    assert run(X).arrays["mean"] == pytest.approx(X.mean(axis=0, dtype=np.float64), rel=1e-12)


def test_isotropic_rows_have_every_rank_equal_to_the_width():
    signs = np.sqrt(WIDTH) * np.vstack([np.eye(WIDTH), -np.eye(WIDTH)]).astype(np.float32)
    found = summary(signs)
    assert found["rank"] == WIDTH
    for name in ("effective_rank", "participation_ratio", "stable_rank"):
        assert found[name] == pytest.approx(WIDTH, rel=1e-6)
    assert found["top_share"] == pytest.approx(1 / WIDTH, rel=1e-6)
    assert found["mean_share"] == pytest.approx(0, abs=1e-12)


def test_rows_on_a_line_have_rank_one():
    direction = np.arange(1, WIDTH + 1, dtype=np.float32)
    found = summary(np.outer(np.arange(-8, 9), direction))
    assert found["rank"] == 1
    for name in ("effective_rank", "participation_ratio", "stable_rank", "top_share"):
        assert found[name] == pytest.approx(1, rel=1e-9)
    assert found["total_variance"] == pytest.approx(24 * (direction @ direction), rel=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_the_rank_of_rows_in_a_subspace_is_its_dimension(rank):
    rng = np.random.default_rng(rank)
    factors = rng.integers(-4, 5, (200, rank)), rng.integers(-4, 5, (rank, WIDTH))
    X = (factors[0] @ factors[1]).astype(np.float32)  # exact: small whole numbers
    assert summary(X)["rank"] == np.linalg.matrix_rank(X - X.mean(axis=0)) == rank


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1e4])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_rows_that_do_not_vary_have_no_ranks(value, rows):
    result = run(np.full((rows, 5), value, np.float32), chunk_rows=3)
    (found,) = result.tables["summary"]
    for name in ("effective_rank", "participation_ratio", "stable_rank", "top_share"):
        assert np.isnan(found[name]), name
    assert found["rank"] == 0
    assert found["total_variance"] == pytest.approx(0, abs=1e-12 * max(1, value**2))
    if value:
        assert found["mean_share"] == pytest.approx(1, rel=1e-12)
    else:
        assert np.isnan(found["mean_share"])
    shares = result.tables["eigenvalues"]["share"]
    assert np.isnan(shares).all(), "no shares of a variance that is not there"


def test_a_known_covariance_is_found():
    # Two orthogonal contrasts with variances 9 and 4 at 45 degrees: covariance 6.5, 2.5.
    a, b = np.array([1, 1]) / np.sqrt(2), np.array([1, -1]) / np.sqrt(2)
    X = np.array([3 * s * a + 2 * t * b for s in (-1, 1) for t in (-1, 1)], np.float32)
    assert np.cov(X.T, bias=True) == pytest.approx(np.array([[6.5, 2.5], [2.5, 6.5]]), rel=1e-6)
    found = summary(X)
    assert eigenvalues(X) == pytest.approx([9, 4], rel=1e-6)
    assert found["total_variance"] == pytest.approx(13, rel=1e-6)
    assert found["participation_ratio"] == pytest.approx(169 / 97, rel=1e-6)
    assert found["stable_rank"] == pytest.approx(13 / 9, rel=1e-6)
    shares = np.array([9, 4]) / 13
    assert found["effective_rank"] == pytest.approx(np.prod(shares**-shares), rel=1e-6)


def test_a_rotation_changes_no_eigenvalue():
    X = matrix()
    turned = X.astype(np.float64) @ ortho_group.rvs(WIDTH, random_state=1)
    # The rotated rows are rounded to float32 once more.
    assert eigenvalues(turned) == pytest.approx(eigenvalues(X), rel=1e-4, abs=1e-7)
    before, after = summary(X), summary(turned)
    for name in ("effective_rank", "participation_ratio", "stable_rank", "mean_share"):
        assert after[name] == pytest.approx(before[name], rel=1e-5)


def test_a_shift_changes_the_mean_share_and_no_eigenvalue():
    X = np.round(matrix() * 256) / 256  # so that adding 8 is exact in float32
    before, after = summary(X), summary(X + 8)
    assert eigenvalues(X + 8) == pytest.approx(eigenvalues(X), rel=1e-9, abs=1e-12)
    assert after["effective_rank"] == pytest.approx(before["effective_rank"], rel=1e-9)
    assert after["mean_share"] > before["mean_share"] + 0.1


def test_a_scale_changes_variances_by_its_square_and_no_rank():
    X = matrix()
    before, after = summary(X), summary(X * 4)
    assert eigenvalues(X * 4) == pytest.approx(16 * eigenvalues(X), rel=1e-12)
    for name in ("rank", "effective_rank", "participation_ratio", "stable_rank", "mean_share"):
        assert after[name] == pytest.approx(before[name], rel=1e-12)


def test_the_order_of_the_rows_does_not_matter():
    X = matrix()
    assert eigenvalues(X[::-1]) == pytest.approx(eigenvalues(X), rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("size", [1, 2, 7, 64, ROWS - 1, ROWS, 10 * ROWS])
def test_the_chunk_size_does_not_matter(size):
    X = matrix()
    assert eigenvalues(X, chunk_rows=size) == pytest.approx(
        eigenvalues(X, chunk_rows=ROWS), rel=1e-9, abs=1e-13
    )
    whole, parts = run(X, chunk_rows=ROWS), run(X, chunk_rows=size)
    (a,), (b,) = whole.tables["summary"], parts.tables["summary"]
    assert b == pytest.approx(a, rel=1e-9)
    assert list(parts.tables["massive"]["row"]) == list(whole.tables["massive"]["row"])


@pytest.mark.parametrize("chunk_rows", [1, 16, 4096])
def test_a_huge_offset_loses_no_precision(chunk_rows):
    """The reference subtracts the mean in float64; 1e-7 of the largest is left for rounding."""
    X = (matrix() + 1e6).astype(np.float32)
    expected = independent(X)
    assert eigenvalues(X, chunk_rows=chunk_rows) == pytest.approx(
        expected, rel=1e-7, abs=1e-7 * expected[0]
    )
    assert summary(X, chunk_rows=chunk_rows)["effective_rank"] == pytest.approx(
        np.exp(entropy(expected)), rel=1e-6
    )


def test_a_huge_offset_hides_no_dimension():
    X = np.random.default_rng(0).normal(size=(600, 200)) * 1000 + 1e9
    X = X.astype(np.float32)  # spacing 64 at 1e9: the variance is real, far above rounding
    assert np.linalg.matrix_rank(X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)) == 200
    assert summary(X)["rank"] == 200


def test_an_offset_of_one_massive_dimension_hides_no_other():
    X = matrix(rows=400, width=100)
    X[:, 7] += 1e6
    expected = independent(X)
    found = run(X)
    assert found.tables["summary"]["rank"].tolist() == [100]
    assert found.tables["eigenvalues"]["eigenvalue"] == pytest.approx(expected, rel=1e-5)


def test_a_drift_between_chunks_is_variance():
    X = matrix(rows=128)
    X[64:] += 100
    expected = independent(X)
    assert eigenvalues(X) == pytest.approx(expected, rel=1e-8, abs=1e-11 * expected[0])


def test_a_massive_dimension_is_found_with_its_row():
    X = matrix()
    X[211, 13] = -5000
    X[17, 4] = 3000
    table = run(X, top=3).tables["massive"]
    assert table["dimension"][:2].tolist() == [13, 4]
    assert table["row"][:2].tolist() == [211, 17]
    assert table["max_abs"][:2].tolist() == [5000, 3000]
    assert table["mean"] == pytest.approx(X.mean(axis=0, dtype=np.float64)[table["dimension"]])
    rms = np.sqrt((X.astype(np.float64) ** 2).mean(axis=0))
    assert table["ratio"] == pytest.approx(table["max_abs"] / np.median(rms))
    assert len(table) == 3


def test_massive_dimensions_are_those_of_numpy():
    X = matrix()
    table = run(X, top=WIDTH + 5).tables["massive"]
    order = np.argsort(-np.abs(X).max(axis=0))
    assert table["dimension"].tolist() == order.tolist()
    assert table["row"].tolist() == np.abs(X).argmax(axis=0)[order].tolist()


def test_of_equal_largest_values_the_first_row_is_named():
    X = np.zeros((10, 2), np.float32)
    X[[3, 8], 1] = 5
    table = run(X, chunk_rows=4, top=1).tables["massive"]
    assert (table["dimension"].tolist(), table["row"].tolist()) == ([1], [3])


def test_all_zero_rows_have_no_ratio():
    table = run(np.zeros((4, 3), np.float32)).tables["massive"]
    assert np.isnan(table["ratio"]).all()
    assert table["max_abs"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("top", [0, -1])
def test_a_list_of_nothing_is_refused(top):
    with pytest.raises(InputError, match=f"top={top} lists nothing; use 1 or more"):
        run(matrix(), top=top)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_refused_by_name(bad):
    X = matrix()
    X[5, 2] = bad
    with pytest.raises(InputError, match="NaN or infinity"):
        run(X)


def test_the_figure_shows_every_positive_share():
    pytest.importorskip("altair")
    chart = run(matrix()).figures["spectrum"].to_dict()
    assert [row["rank"] for row in chart["data"]["values"]] == list(range(1, WIDTH + 1))
    assert chart["encoding"]["y"]["field"] == "share"
