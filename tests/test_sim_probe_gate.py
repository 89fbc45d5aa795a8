"""What the gate of sim_probe calls collapsed, partly collapsed, uninformative, informative."""

import numpy as np
import pytest

from actlas import Activations, Factors, Labels, Result, ResultTable
from actlas.plugins.sim.decoding import sim_decode
from actlas.plugins.sim.probing import sim_probe
from actlas.plugins.sim.probing.measured import Task, above_chance
from actlas.plugins.sim.probing.rows import Target

FEW = {"c": 1.0, "topk": False, "rotations": 1, "permutations": 1}
CODES = np.random.default_rng(0).integers(0, 3, 600)
CLASSES = Factors.of(Labels.of(CODES.tolist(), name="class"))


def means(scale, width=4, noise=1.0):
    """Rows of three classes, apart along three of the dimensions."""
    rng = np.random.default_rng(1)
    X = 3 * np.eye(width)[CODES] + noise * rng.standard_normal((600, width))
    return (scale * X).astype(np.float32)


def gate(X, logvar=None, factors=CLASSES, decoder=None):
    other = None if logvar is None else Activations.of(np.full(X.shape, logvar, np.float32))
    base = None
    if decoder is not None:
        r2, trained_on = decoder
        columns = {"r2": np.array([r2]), "trained_on": np.array([trained_on])}
        base = Result({"sim_decode_summary": ResultTable("summary", columns)})
    result = sim_probe(Activations.of(X), factors, other, base, **FEW)
    (summary,) = result.tables["summary"]
    return summary, summary["gate"]


def test_a_posterior_that_is_no_prior_is_untrained_and_not_collapsed():
    _, said = gate(means(1e-4), logvar=0.0)
    assert said.startswith("collapsed: posteriors are the prior (rate ")
    summary, said = gate(
        means(0.01), logvar=-4.0
    )  # a rate of 1.5 nats a dimension that says naught
    assert said.startswith("uninformative: ")
    assert "posteriors are not the prior (rate 1.5 nats a dimension): untrained" in said
    assert not summary["informative"]
    summary, said = gate(means(0.01), logvar=-12.0)  # read from draws too: yet no unit is active
    assert said.startswith("uninformative: class above chance, no posterior mean varies")
    assert not summary["informative"]


def test_rows_that_vary_and_say_nothing_are_uninformative():
    noise = np.random.default_rng(2).standard_normal((600, 4)).astype(np.float32)
    for logvar in (None, -2.0):
        summary, said = gate(noise, logvar)
        assert said.startswith("uninformative: no factor is read above chance")
        assert not summary["informative"]
    assert "4 of 4 units are active" in said
    assert gate(np.ones((600, 4), np.float32))[1].startswith("collapsed: no dimension varies")


@pytest.mark.parametrize(("dead", "word"), [(0, "informative"), (1, "informative"), (2, "partly")])
def test_half_of_the_dimensions_dead_is_partly_collapsed(dead, word):
    X = means(1.0)
    X[:, 4 - dead :] = 5.0
    summary, said = gate(X)
    assert said.startswith(word)
    assert (f"{dead} of 4 dimensions do not vary" in said) == (dead > 0)
    assert summary["informative"]
    assert np.isnan(summary["marginal_kl"]) == (word == "partly")


def test_three_errors_above_the_commonest_class_and_permuted_labels_are_wanted():
    codes = np.repeat([0, 1], [60, 40])
    right = np.arange(100) % 10 < 8  # 80 of 100: 3 errors are 0.12, so 0.66 is the lower end
    outputs = np.eye(2)[np.where(right, codes, 1 - codes)]

    task = Task(Target("y", ("a", "b"), codes), codes, codes, None, None, np.arange(100), codes)
    assert above_chance(task, outputs, [])
    assert above_chance(task, outputs, [0.3, 0.6])
    assert not above_chance(task, outputs, [0.3, 0.67])
    fewer = np.eye(2)[np.where(np.arange(100) % 10 < 7, codes, 1 - codes)]
    assert not above_chance(task, fewer, [])  # 0.7 is above 0.6, by two errors only


def test_the_gate_of_rows_that_are_read_says_which_factors_are():
    noise = Labels.of(np.random.default_rng(3).integers(0, 2, 600).tolist(), name="noise")
    _, said = gate(means(1.0), factors=Factors.of(CLASSES["class"], noise))
    no_decoder = "; no decoder (sim_decode) was run here"
    assert said == f"informative: class above chance, not noise{no_decoder}"


@pytest.mark.parametrize(
    ("scale", "logvar", "decoder", "informative", "words"),
    [
        (1.0, None, (0.4, "means"), True, "informative: class above chance; a decoder explains 40"),
        (1.0, None, (0.01, "means"), False, "uninformative: class above chance, yet a decoder fi"),
        (1.0, -4.0, (0.01, "samples"), True, "informative: "),  # units are active: either will do
        (0.01, -12.0, (0.4, "samples"), True, "partly collapsed: class above chance; no posterior"),
        (0.01, -12.0, (0.4, "means"), False, "uninformative: class above chance, no posterior"),
        (1e-4, 0.0, (0.4, "means"), False, "collapsed: posteriors are the prior"),
        (1e-4, 0.0, (0.4, "samples"), False, "uninformative: no factor is read above"),
    ],
)
def test_a_decoder_is_evidence_where_it_reads_what_probes_read(
    scale, logvar, decoder, informative, words
):
    summary, said = gate(means(scale), logvar, decoder=decoder)
    assert said.startswith(words)
    assert summary["informative"] == informative
    assert summary["decoder_r2"] == decoder[0]
    no_evidence = logvar is not None and decoder[1] == "means"
    assert ("from means, which is no evidence" in said) == no_evidence


def test_without_factors_a_decoder_is_named_and_nothing_judged():
    summary, said = gate(means(1.0), factors=None, decoder=(0.4, "means"))
    assert said == "not judged: there are no factors; a decoder explains 40.0%"
    assert summary["informative"] is None


def test_the_decoder_is_the_stored_run_of_the_site(sqlite_store, tmp_path):
    X = means(1.0)
    np.savez(tmp_path / "a.npz", x=X, y=X @ np.ones((4, 2), np.float32))
    table = "class,take\n" + "".join(f"c{code},{i % 9}\n" for i, code in enumerate(CODES))
    (tmp_path / "a.csv").write_text(table)
    kept = sqlite_store.import_matrix(tmp_path / "a.npz", rows=tmp_path / "a.csv")
    told = {"labels": "class", **FEW}
    (run,) = sqlite_store.run("sim_probe", kept, "x", **told)
    assert np.isnan(next(iter(run.result.tables["summary"]))["decoder_r2"])
    (decoded,) = sqlite_store.run(
        "sim_decode", kept, "x", other="y", target="site", decoder="ridge", pairs=5, steps=2,
        labels="take",  # others than the probe's
    )  # fmt: skip
    (run,) = sqlite_store.run("sim_probe", kept, "x", **told)
    r2 = next(iter(decoded.result.tables["summary"]))["r2"]
    assert r2 > 0.9
    assert next(iter(run.result.tables["summary"]))["decoder_r2"] == r2
    assert sim_decode.tables["summary"].columns  # the names that the gate reads
