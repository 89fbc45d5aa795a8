"""Several label sets of the same rows: the input `factors`, and optional second sites."""

from typing import Annotated

import numpy as np
import pytest
from click.testing import CliRunner

import actlas
from actlas import (
    Activations,
    AnalysisError,
    Factors,
    InputError,
    LabelError,
    Labels,
    Result,
    analysis,
)
from actlas.cli import cli


def labels(values, name, groups=None):
    return Labels.of(values, name=name, groups=groups)


@analysis(version=1)
def seen(
    acts: Activations,
    factors: Factors | None,
    other: Activations | None,
    *,
    only: Annotated[bool, "nothing"] = False,
) -> Result:
    """Says what it was given."""
    said = [] if factors is None else [f"{f.name}: {f.values()}" for f in factors]
    groups = "" if factors is None else f"{len(np.unique(factors.groups))} groups"
    return Result(warnings=[f"{len(acts)}", "" if other is None else other.site, groups, *said])


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with two sites of six rows, one of them not finite, and three label sets."""
    folder = tmp_path_factory.mktemp("factors")
    X = np.arange(12, dtype=np.float32).reshape(6, 2)
    Y = X.copy()
    Y[5] = np.nan
    np.savez(folder / "x.npz", one=X, two=X + 1, three=Y)
    (folder / "rows.csv").write_text(
        "digit,speaker,pitch\n0,ann,1.5\n1,ann,2\n0,bob,\n1,bob,3\n2,cid,4\n0,cid,1e2\n"
    )
    with actlas.open(f"sqlite:///{folder}/store.db") as store:
        store.import_matrix(folder / "x.npz", rows=folder / "rows.csv")
        yield store


def test_factors_hold_label_sets_of_the_same_rows():
    found = Factors.of(labels([1, 2, 1], "a", [0, 0, 1]), labels(["x", None, "y"], "b", [0, 0, 1]))
    assert (len(found), found.names, found.groups.tolist()) == (3, ("a", "b"), [0, 0, 1])
    assert found["b"].values() == ["x", None, "y"]
    some = found.take(np.array([0, 1]))
    assert [f.values() for f in some] == [["1", "2"], ["x", None]]
    assert some["b"].names == ("x",)
    with pytest.raises(LabelError, match="no factor 'c'; there is a, b"):
        found["c"]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ([], "one label set or more"),
        ([labels([1, 2], "a"), labels([3, 4], "a")], "two factors are called 'a'"),
        ([labels([1, 2], "a"), labels([1, 2, 3], "b")], "those of 'b' are not those of 'a'"),
        ([labels([1, 2], "a"), labels([1, 2], "b", [0, 0])], "give all the same groups"),
    ],
)
def test_sets_that_do_not_go_together_are_refused(sets, said):
    with pytest.raises(LabelError, match=said):
        Factors.of(*sets)


def test_labels_that_are_all_numbers_are_numbers():
    found = labels([1.5, None, "2", 1e3], "a").numbers()
    assert found.tolist()[::2] == [1.5, 2.0]
    assert np.isnan(found[1])
    assert found[3] == 1000
    assert labels(["1", "x"], "a").numbers() is None
    assert labels(["1", "inf"], "a").numbers() is None


def test_a_store_binds_every_label_set_with_the_same_groups(filled):
    (run,) = filled.run(seen, sites="one", labels="digit, pitch", groups="speaker")
    assert run.record.labels == "digit, pitch"
    assert list(run.record.warnings)[2:] == [
        "3 groups",
        "digit: ['0', '1', '0', '1', '2', '0']",
        "pitch: ['1.5', '2', None, '3', '4', '1e2']",
    ]
    (again,) = filled.run(seen, sites="one", labels=["digit", "pitch"], groups="speaker")
    assert again.result.warnings == run.result.warnings
    for changed in ({"labels": "digit,speaker"}, {"groups": None}, {"labels": "pitch,digit"}):
        given = {"labels": "digit, pitch", "groups": "speaker"} | changed
        (new,) = filled.run(seen, sites="one", **given)
        assert not new.reused
        assert new.record.key != run.record.key


def test_spaces_between_names_are_no_other_run(filled):
    (run,) = filled.run(seen, sites="two", labels="digit, speaker")
    (again,) = filled.run(seen, sites="two", labels=["digit", "speaker"])
    assert again.reused
    assert again.id == run.id


def test_what_is_optional_is_left_out_or_given(filled):
    (run,) = filled.run(seen, sites="one")
    assert list(run.result.warnings) == ["6", "", ""]
    (run,) = filled.run(seen, sites="one", other="two")
    assert list(run.result.warnings) == ["6", "two", ""]


def test_rows_that_are_not_finite_are_dropped_from_all(filled):
    (run,) = filled.run(
        seen, sites="one", other="three", labels="digit,pitch", nonfinite="drop"
    )  # fmt: skip
    assert run.result.warnings[0] == "5"
    assert run.result.warnings[3] == "digit: ['0', '1', '0', '1', '2']"


def test_an_unknown_label_set_is_named_with_those_there_are(filled):
    with pytest.raises(LabelError, match=r"no label set 'nope'.*digit"):
        filled.run(seen, sites="one", labels="digit,nope")


def test_an_analysis_that_needs_factors_says_how_to_give_them(filled):
    @analysis(version=1)
    def needy(acts: Activations, factors: Factors) -> Result:
        """Needs factors."""
        return Result()

    with pytest.raises(InputError, match="needs labels: name one with --labels NAME; there is"):
        filled.run(needy, sites="one")
    with pytest.raises(InputError, match="needs factors: several label sets of the same rows"):
        needy(Activations.of(np.ones((3, 2))))
    with pytest.raises(InputError, match="acts has 3, factors has 2"):
        needy(Activations.of(np.ones((3, 2))), Factors.of(labels([1, 2], "a")))
    with pytest.raises(InputError, match=r"wrap it with actlas\.Factors\.of"):
        needy(Activations.of(np.ones((3, 2))), labels([1, 2, 3], "a"))


def test_an_analysis_takes_labels_or_factors():
    def both(acts: Activations, labels: Labels, factors: Factors) -> Result:
        """Both."""

    with pytest.raises(AnalysisError, match="both are named by --labels; take one"):
        analysis(version=1)(both)


def test_the_command_takes_several_label_sets(filled, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from actlas import Activations, Factors, Result, analysis\n\n\n@analysis(version=1)\n"
        "def named(acts: Activations, factors: Factors) -> Result:\n"
        '    """Names them."""\n    return Result(warnings=[" and ".join(factors.names)])\n'
    )
    given = ["--site", "one", "--labels", "digit,speaker", "--store", filled.url]
    done = CliRunner().invoke(cli, ["run", "--plugin", str(plugin), "named", *given])
    assert "warning: one: digit and speaker" in done.stderr
    shown = CliRunner().invoke(cli, ["run", "--plugin", str(plugin), "named", "--help"])
    assert "--labels A,B" in shown.stdout
