"""The conformance kit: our own analyses pass it, and bad ones fail the check meant for them."""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Annotated, Any

import numpy as np
import pytest

import actlas
from actlas import Activations, InputError, Labels, Layers, LoadedModel, Result, Weights, analysis
from actlas.registry import Analysis
from actlas.testing import checks, outcomes, scaffold

from .studied import QUALITIES, example

OWN = sorted(
    e.name for e in entry_points(group="actlas") if e.dist is not None and e.dist.name == "actlas"
)
RUNS = "runs and returns what it declares"
REPEATABLE = "is repeatable"
CHUNKS = "gives the same for any chunk size"
PURE = "leaves its inputs as they were"
MISSING = "refuses missing inputs"
UNKNOWN = "refuses unknown parameters"
DOCUMENTED = "documents itself"
FIGURES = "draws its figures"
ALL = [RUNS, REPEATABLE, CHUNKS, PURE, MISSING, UNKNOWN, DOCUMENTED, FIGURES]


@dataclass(frozen=True)
class Summary:
    """One number of a site."""

    value: Annotated[float | None, "some number"]


def summary(value):
    return Result({"summary": Summary(float(value))})


one_number = analysis(version=1, tables={"summary": Summary})


def failed(bad):
    """Names of the checks that an analysis fails, in the order of the kit."""
    return [found["check"] for found in outcomes(bad) if found["outcome"] == "failed"]


def why(bad, check):
    return next(found["why"] for found in outcomes(bad) if found["check"] == check)


# With their defaults these need what cannot be made up; tests of their own give it.
SETTINGS: dict[str, dict[str, Any]] = {
    "convexity_euclidean": {"decision": "centroid"},
    "sim_decode": {"target": "site", "epochs": 5, "pairs": 20, "steps": 3},
    "decomposition_study": {"inputs": {"runs": example()}, "qualities": QUALITIES, "draws": 100},
}
# They need a model, which test_decomposition_analysis gives them.
MODELS = {
    "decomposition", "decomposition_logits", "decomposition_sources", "decomposition_token_logits",
    "decomposition_tokens",
}  # fmt: skip


def test_our_own_analyses_are_checked():
    assert {"probe", "spectrum"} <= set(OWN)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        (name, check)
        for name in OWN
        if name not in MODELS
        for check in checks(actlas.get(name), **SETTINGS.get(name, {}))
    ],
    ids=lambda value: str(value),
)
def test_our_own_analyses_conform(name, check):
    check()


def test_a_good_analysis_passes_every_check():
    @one_number
    def good(
        acts: Activations, labels: Labels, *, scale: Annotated[float, "factor"] = 1.0
    ) -> Result:
        """Mean square of the labelled rows."""
        total = sum(float((chunk.astype(np.float64) ** 2).sum()) for chunk in acts)
        return summary(scale * total / len(acts))

    assert outcomes(good) == [{"check": name, "outcome": "passed", "why": ""} for name in ALL]
    assert [repr(check) for check in checks(good)] == ALL


def test_parameters_and_inputs_can_be_given():
    seen = []

    @one_number
    def curious(acts: Activations, *, k: Annotated[int, "number"] = 1) -> Result:
        """Remember what came in."""
        seen.append((acts.site, k))
        return summary(k)

    acts = Activations.of(np.ones((3, 2), np.float32), site="given")
    for check in checks(curious, inputs={"acts": acts}, k=5):
        check()
    assert set(seen) == {("given", 5)}


def test_every_kind_of_input_is_made_up():
    seen = {}

    @analysis(version=1)
    def greedy(
        acts: Activations, other: Activations, layers: Layers, labels: Labels, weights: Weights
    ) -> Result:
        """Take all there is."""
        seen.update(acts=acts, other=other, layers=layers, labels=labels, weights=weights)
        return Result()

    assert failed(greedy) == []
    assert len(seen["acts"]) == len(seen["other"]) == len(seen["labels"])
    assert len(seen["layers"]) == 2
    assert len(seen["labels"].names) > 2
    assert len(np.unique(seen["labels"].groups)) < len(seen["labels"])
    assert len(seen["weights"]) == 1


def test_an_analysis_of_a_model_is_not_run_without_one():
    @analysis(version=1)
    def deep(model: LoadedModel) -> Result:
        """Needs the network itself."""
        return Result()

    found = {o["check"]: o for o in outcomes(deep)}
    for name in (RUNS, REPEATABLE, CHUNKS, PURE, FIGURES):
        assert found[name]["outcome"] == "not run"
        assert "model" in found[name]["why"]
    assert found[MISSING]["outcome"] == "passed"


def test_random_numbers_without_a_seed_are_not_repeatable():
    @one_number
    def lucky(acts: Activations) -> Result:
        """Another number every time."""
        return summary(np.random.default_rng().normal())

    assert REPEATABLE in failed(lucky)
    assert "summary.value" in why(lucky, REPEATABLE)


def test_seeded_random_numbers_are_repeatable():
    @one_number
    def seeded(acts: Activations, *, seed: Annotated[int, "seed"] = 0) -> Result:
        """The same number every time."""
        return summary(np.random.default_rng(seed).normal())

    assert failed(seeded) == []


def test_random_arrays_are_not_repeatable():
    @analysis(version=1, arrays={"axes": "(3,) numbers"})
    def lucky(acts: Activations) -> Result:
        """Another array every time."""
        return Result(arrays={"axes": np.random.default_rng().normal(size=3)})

    assert REPEATABLE in failed(lucky)
    assert "array 'axes'" in why(lucky, REPEATABLE)


def test_another_number_of_rows_is_not_repeatable():
    lengths = iter(range(100))

    @one_number
    def growing(acts: Activations) -> Result:
        """One row more every time."""
        return Result({"summary": [Summary(1.0)] * next(lengths)})

    assert REPEATABLE in failed(growing)
    assert "number of rows in table 'summary'" in why(growing, REPEATABLE)


def test_another_text_is_not_repeatable():
    @dataclass(frozen=True)
    class Name:
        """A name."""

        name: Annotated[str, "a text"]

    calls = iter(range(100))

    @analysis(version=1, tables={"names": Name})
    def fickle(acts: Activations) -> Result:
        """Another text every time."""
        return Result({"names": Name(f"call {next(calls)}")})

    assert REPEATABLE in failed(fickle)


def test_a_result_of_nulls_only_is_repeatable():
    @one_number
    def silent(acts: Activations) -> Result:
        """Nothing to say."""
        return summary(np.nan)

    assert failed(silent) == []


def test_a_mean_of_chunk_means_depends_on_the_chunk_size():
    @one_number
    def careless(acts: Activations) -> Result:
        """Mean of the largest numbers of the chunks."""
        return summary(np.mean([chunk.max() for chunk in acts]))

    assert failed(careless) == [CHUNKS]
    assert "chunks of 1 rows" in why(careless, CHUNKS)


def test_reading_only_the_first_chunk_is_found():
    @one_number
    def lazy(acts: Activations) -> Result:
        """Sum of the first chunk."""
        return summary(next(iter(acts)).sum())

    assert failed(lazy) == [CHUNKS]


def test_chunks_of_layers_and_of_a_second_site_are_varied_too():
    @one_number
    def of_layers(layers: Layers) -> Result:
        """Number of chunks of the last site."""
        return summary(sum(1 for _ in layers[-1]))

    @one_number
    def of_other(acts: Activations, other: Activations) -> Result:
        """Number of chunks of the second site."""
        return summary(sum(1 for _ in other))

    assert failed(of_layers) == [CHUNKS]
    assert failed(of_other) == [CHUNKS]


def test_changing_its_input_is_found():
    @one_number
    def spoiler(acts: Activations) -> Result:
        """Doubles what it is given."""
        acts.source.array[...] *= 2
        return summary(0)

    assert PURE in failed(spoiler)
    assert "it changed its input 'acts'" in why(spoiler, PURE)


def test_changing_its_input_to_the_same_every_time_is_found():
    @one_number
    def zeroing(acts: Activations) -> Result:
        """Empties what it is given; a second time changes nothing more."""
        acts.source.array[...] = 0
        return summary(0)

    assert PURE in failed(zeroing)


def test_changing_a_second_site_is_found():
    @one_number
    def spoiler(acts: Activations, other: Activations) -> Result:
        """Doubles the second site."""
        other.source.array[...] *= 2
        return summary(0)

    assert PURE in failed(spoiler)


def test_changing_labels_is_found():
    @one_number
    def spoiler(acts: Activations, labels: Labels) -> Result:
        """Turns the labels round."""
        labels.codes[:] = labels.codes[::-1].copy()
        return summary(0)

    assert PURE in failed(spoiler)


def test_changing_layers_is_found():
    @one_number
    def spoiler(layers: Layers) -> Result:
        """Doubles the first site."""
        layers[0].source.array[...] *= 2
        return summary(0)

    assert PURE in failed(spoiler)


def test_changing_a_chunk_is_allowed():
    @one_number
    def in_place(acts: Activations) -> Result:
        """Works in the chunk it was given."""
        total = 0.0
        for chunk in acts:
            chunk *= 2
            total += float(chunk.sum(dtype=np.float64))
        return summary(total)

    assert failed(in_place) == []


@pytest.mark.parametrize(
    ("tables", "arrays", "said"),
    [
        ({"summary": {"value": [1.0], "extra": [2.0]}}, {}, "declares columns"),
        ({"summary": Summary(1.0), "extra": []}, {}, "declares the tables"),
        ({}, {}, "declares the tables"),
        ({"summary": Summary("one")}, {}, "'one' is no finite float"),
        ({"summary": Summary(float("inf"))}, {}, "inf is no finite float"),
        ({"summary": Summary(1.0)}, {"axes": np.eye(2)}, "declares the arrays"),
    ],
)
def test_what_was_not_declared_is_found(tables, arrays, said):
    @one_number
    def undeclared(acts: Activations) -> Result:
        """Returns something else."""
        return Result(tables, arrays)

    run = next(check for check in checks(undeclared) if check.name == RUNS)
    with pytest.raises(AssertionError, match=said):
        run()


def test_what_was_not_declared_is_an_outcome_and_no_crash():
    @one_number
    def undeclared(acts: Activations) -> Result:
        """Returns nothing."""
        return Result()

    found = {o["check"]: o for o in outcomes(undeclared)}
    assert found[RUNS]["outcome"] == "failed"
    assert found[DOCUMENTED]["outcome"] == "passed"


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_arrays_that_are_not_finite_are_found(number):
    @analysis(version=1, arrays={"axes": "(2,) numbers"})
    def overflowing(acts: Activations) -> Result:
        """Overflows."""
        return Result(arrays={"axes": np.array([1.0, number])})

    assert failed(overflowing) == [RUNS]
    assert "array 'axes' holds NaN or infinity" in why(overflowing, RUNS)


def test_an_analysis_that_raises_is_reported_and_the_other_checks_go_on():
    @one_number
    def crashing(acts: Activations) -> Result:
        """Divides by zero."""
        return summary(1 / (len(acts) - len(acts)))

    found = {o["check"]: o for o in outcomes(crashing)}
    assert found[RUNS]["outcome"] == "failed"
    assert "ZeroDivisionError" in found[RUNS]["why"]
    assert found[DOCUMENTED]["outcome"] == "passed"


class Swallowing(Analysis):
    """An analysis of which the host's own checks are switched off."""

    def __call__(self, *inputs, **named):
        """Run whatever comes."""
        return self._checked(summary(1.0), {})


def swallowing(function):
    plain = one_number(function)
    return Swallowing(**{name: getattr(plain, name) for name in plain.__dataclass_fields__})


def test_swallowing_missing_inputs_and_unknown_parameters_is_found():
    @swallowing
    def swallows(acts: Activations, labels: Labels) -> Result:
        """Takes anything."""
        return summary(1.0)

    assert failed(swallows) == [MISSING, UNKNOWN]
    assert "without 'acts' it ran all the same" in why(swallows, MISSING)


def test_a_first_line_that_is_no_sentence_is_found():
    @one_number
    def terse(acts: Activations) -> Result:
        """number"""
        return summary(1.0)

    assert failed(terse) == [DOCUMENTED]
    assert "no sentence" in why(terse, DOCUMENTED)


def test_a_table_without_docstring_is_found():
    @dataclass(frozen=True)
    class Row:
        value: Annotated[float, "some number"]

    @analysis(version=1, tables={"summary": Row})
    def silent(acts: Activations) -> Result:
        """A number."""
        return Result({"summary": Row(1.0)})

    assert failed(silent) == [DOCUMENTED]
    assert "table 'summary' has no docstring" in why(silent, DOCUMENTED)


def test_a_table_named_as_its_class_without_docstring_is_found():
    @dataclass(frozen=True)
    class Numbers:
        value: Annotated[float, "some number"]

    @analysis(version=1, tables={"numbers": Numbers})
    def silent(acts: Activations) -> Result:
        """A number."""
        return Result({"numbers": Numbers(1.0)})

    assert failed(silent) == [DOCUMENTED]


def test_a_figure_that_is_no_chart_is_found():
    @analysis(version=1, tables={"summary": Summary}, figures={"plot": lambda tables: "a chart"})
    def drawing(acts: Activations) -> Result:
        """A number with a figure."""
        return summary(1.0)

    assert failed(drawing) == [FIGURES]
    assert "figure 'plot' is str, no chart" in why(drawing, FIGURES)


def test_a_figure_that_cannot_be_drawn_is_found():
    def draw(tables):
        return tables["no_such_table"]

    @analysis(version=1, tables={"summary": Summary}, figures={"plot": draw})
    def drawing(acts: Activations) -> Result:
        """A number with a figure."""
        return summary(1.0)

    assert failed(drawing) == [FIGURES]


def test_a_new_distribution_has_all_its_files_and_names(tmp_path):
    folder = scaffold("row_size", tmp_path / "new")
    assert folder == tmp_path / "new"
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == ["README.md", "actlas_row_size.py", "pyproject.toml", "tests/test_row_size.py"]
    import tomllib

    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["name"] == "actlas-row-size"
    assert project["project"]["entry-points"]["actlas"] == {"row_size": "actlas_row_size:row_size"}
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        "actlas_row_size.py"
    ]
    assert all("$" not in p.read_text() for p in folder.rglob("*") if p.is_file())


def test_a_new_distribution_passes_its_own_tests(tmp_path):
    folder = scaffold("row_size", tmp_path / "new")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "tests"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALL)} passed" in done.stdout


def test_a_new_analysis_measures_what_it_says(monkeypatch, tmp_path):
    folder = scaffold("row_length", tmp_path / "new")
    monkeypatch.syspath_prepend(str(folder))
    from actlas_row_length import row_length

    result = row_length(Activations.of(np.array([[3.0, 4.0], [6.0, 8.0]])))
    assert list(result.tables["summary"]) == [{"mean_norm": 7.5}]


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"mine is there already; name another with --folder"):
        scaffold("row_size", folder)
    assert [p.name for p in folder.iterdir()] == ["README.md"]
    assert (folder / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["Row", "row-size", "1st", "", "row size", "../up", "class", "lambda", "np"]
)
def test_a_name_that_makes_no_working_module_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="name"):
        scaffold(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()
