"""The @analysis decorator: what it reads from a signature, what it refuses, what it checks."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest

from actlas import (
    Activations,
    AnalysisError,
    InputError,
    Labels,
    Layers,
    NonFiniteError,
    Others,
    Result,
    analysis,
)
from actlas.core.results import Figures
from actlas.registry import INPUTS, refuse_nonfinite


@dataclass(frozen=True)
class Norm:
    """Length of one row."""

    row: Annotated[int, "index of the row"]
    norm: Annotated[float | None, "length, activation units"]


ACTS = Activations.of(np.arange(12, dtype=np.float32).reshape(4, 3))
LABELS = Labels.of(["a", "b", "a", "b"])


@analysis(version=3, tables={"norms": Norm}, arrays={"mean": "(width,) mean"}, headline="norm")
def every_kind(
    acts: Activations,
    labels: Labels,
    *,
    n_top: Annotated[int, "how many"] = 2,
    scale: Annotated[float, "factor"] = 1.5,
    title: Annotated[str, "heading"] = "norms",
    centred: Annotated[bool, "subtract the mean"] = False,
    how: Annotated[Literal["l1", "l2"], "which norm"] = "l2",
    steps: Annotated[Literal[1, 2, 4], "step width"] = 2,
    limit: Annotated[int | None, "largest"] = None,
    corner: Annotated[Literal["left", "right"] | None, "side"] = None,
) -> Result:
    """Lengths of the rows.

    More about them.
    """
    every_kind_seen.append((n_top, scale, title, centred, how, steps, limit, corner))
    X = acts.numpy()
    norms = np.linalg.norm(X, axis=1) * scale
    return Result({"norms": {"row": np.arange(len(X)), "norm": norms}}, {"mean": X.mean(axis=0)})


every_kind_seen = []


def returning(tables=None, arrays=None, *, declared=None, arrays_declared=None):
    """Make an analysis that returns what it is told to."""

    @analysis(
        version=1,
        tables={"norms": Norm} if declared is None else declared,
        arrays=arrays_declared or {},
    )
    def canned(acts: Activations) -> Result:
        """Give what was asked for."""
        return Result(tables or {}, arrays or {})

    return canned


def test_needs_and_parameters_come_from_the_signature():
    assert every_kind.needs == ("acts", "labels")
    found = {p.name: p for p in every_kind.parameters}
    assert list(found) == [
        "n_top", "scale", "title", "centred", "how", "steps", "limit", "corner"
    ]  # fmt: skip
    assert [p.type for p in every_kind.parameters] == [int, float, str, bool, str, int, int, str]
    assert [p.default for p in every_kind.parameters] == [
        2, 1.5, "norms", False, "l2", 2, None, None
    ]  # fmt: skip
    assert found["how"].choices == ("l1", "l2")
    assert found["steps"].choices == (1, 2, 4)
    assert found["corner"].choices == ("left", "right")
    assert found["n_top"].choices == ()
    assert [p.name for p in every_kind.parameters if p.optional] == ["limit", "corner"]
    assert found["n_top"].option == "--n-top"
    assert found["n_top"].help == "how many"


def test_name_version_docs_tables_and_headline_are_kept():
    assert (every_kind.name, every_kind.version) == ("every_kind", 3)
    assert every_kind.summary == "Lengths of the rows."
    assert every_kind.doc.endswith("More about them.")
    spec = every_kind.tables["norms"]
    assert spec.doc == "Length of one row."
    assert [(c.name, c.kind, c.nullable, c.doc) for c in spec.columns] == [
        ("row", "int", False, "index of the row"),
        ("norm", "float", True, "length, activation units"),
    ]
    assert every_kind.arrays == {"mean": "(width,) mean"}
    assert every_kind.headline == "norm"


def test_a_name_can_be_given():
    @analysis(version=1, name="other_name")
    def whatever(acts: Activations) -> Result:
        """Nothing."""
        return Result()

    assert whatever.name == "other_name"


def test_string_annotations_are_understood():
    @analysis(version=1)
    def quoted(acts: "Activations", *, n: "Annotated[int, 'number']" = 1) -> "Result":
        """Nothing."""
        return Result()

    assert quoted.needs == ("acts",)
    assert quoted.parameters[0].type is int


def unknown_input(vectors: Activations) -> Result:
    """Doc."""


def wrong_type(acts: Labels) -> Result:
    """Doc."""


def no_type(acts) -> Result:
    """Doc."""


def parameter_before_star(acts: Activations, n: Annotated[int, "number"] = 1) -> Result:
    """Doc."""


@pytest.mark.parametrize("bad", [unknown_input, wrong_type, no_type, parameter_before_star])
def test_an_unknown_input_is_refused_with_the_table_of_known_ones(bad):
    with pytest.raises(AnalysisError) as refused:
        analysis(version=1)(bad)
    said = str(refused.value)
    assert repr(bad.__name__) in said
    for name, (kind, meaning) in INPUTS.items():
        assert f"{name}: {kind.__name__} ({meaning})" in said
    assert "parameters go after the *" in said


def no_help(acts: Activations, *, size: int = 1) -> Result:
    """Doc."""


def no_hint(acts: Activations, *, size=1) -> Result:
    """Doc."""


def no_default(acts: Activations, *, size: Annotated[int, "how big"]) -> Result:
    """Doc."""


def strange_type(acts: Activations, *, size: Annotated[list, "how big"] = ()) -> Result:
    """Doc."""


def two_types(acts: Activations, *, size: Annotated[int | str, "how big"] = 1) -> Result:
    """Doc."""


@pytest.mark.parametrize("bad", [no_help, no_hint, no_default, strange_type, two_types])
def test_a_parameter_without_type_help_or_default_is_refused(bad):
    with pytest.raises(AnalysisError, match=r'size: Annotated\[int, "help"\]') as refused:
        analysis(version=1)(bad)
    assert repr(bad.__name__) in str(refused.value)


def text_for_int(acts: Activations, *, size: Annotated[int, "how big"] = "1") -> Result:
    """Doc."""


def bool_for_int(acts: Activations, *, size: Annotated[int, "how big"] = True) -> Result:
    """Doc."""


def none_for_int(acts: Activations, *, size: Annotated[int, "how big"] = None) -> Result:  # noqa: RUF013
    """Doc."""


def no_choice(acts: Activations, *, size: Annotated[Literal["s", "l"], "how"] = "m") -> Result:
    """Doc."""


@pytest.mark.parametrize("bad", [text_for_int, bool_for_int, none_for_int, no_choice])
def test_a_default_that_does_not_fit_is_refused(bad):
    with pytest.raises(AnalysisError, match=r"default does not fit.*size="):
        analysis(version=1)(bad)


def no_docstring(acts: Activations) -> Result:
    return Result()


def blank_docstring(acts: Activations) -> Result:
    """ """
    return Result()


def no_input(*, n: Annotated[int, "number"] = 1) -> Result:
    """Doc."""


def returns_nothing(acts: Activations):
    """Doc."""


def returns_dict(acts: Activations) -> dict:
    """Doc."""


def unknown_name(acts: Activations, *, n: "Anotated[int, 'x']" = 1) -> Result:  # noqa: F821
    """Doc."""


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (no_docstring, "no docstring"),
        (blank_docstring, "no docstring"),
        (no_input, "needs no input"),
        (returns_nothing, "return Result"),
        (returns_dict, "return Result"),
        (unknown_name, "'Anotated' is not defined"),
    ],
)
def test_a_function_that_is_no_analysis_is_refused(bad, said):
    with pytest.raises(AnalysisError, match=said) as refused:
        analysis(version=1)(bad)
    assert repr(bad.__name__) in str(refused.value)


@pytest.mark.parametrize("name", ["Upper", "with-dash", "1st", "with space", "ä"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(AnalysisError, match="no analysis name; use lower case"):
        analysis(version=1, name=name)(no_type)


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True])
def test_a_bad_version_is_refused(version):
    with pytest.raises(AnalysisError, match="whole number from 1"):
        analysis(version=version)(returns_dict)


@pytest.mark.parametrize(
    "name",
    ["sites", "labels", "groups", "other", "nonfinite", "device", "force", "progress", "store",
     "extraction", "analysis", "json"],
)  # fmt: skip
def test_a_parameter_with_a_name_that_the_host_uses_is_refused(name):
    given = {"Annotated": Annotated, "Activations": Activations, "Result": Result}
    exec(
        f"def f(acts: Activations, *, {name}: Annotated[int, 'x'] = 1) -> Result:\n    'Doc.'",
        given,
    )
    with pytest.raises(AnalysisError, match=name):
        analysis(version=1)(given["f"])


def test_a_headline_must_be_a_column_of_the_first_table():
    with pytest.raises(AnalysisError, match=r"headline 'size' is no column of \['row', 'norm'\]"):
        analysis(version=1, tables={"norms": Norm}, headline="size")(every_kind.function)


class Plain:
    """No dataclass."""

    x: Annotated[int, "number"]


@dataclass
class Bare:
    """A column without its meaning."""

    x: int


@dataclass
class Empty:
    """A column with an empty note."""

    x: Annotated[int, ""]


@dataclass
class Strange:
    """A column of no SQL type."""

    x: Annotated[list, "numbers"]


@dataclass
class Reserved:
    """A column that the store adds itself."""

    run_id: Annotated[int, "number"]


@dataclass
class ReservedItem:
    """The other column that the store adds itself."""

    item: Annotated[int, "number"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Plain, "'bad'.*no dataclass; add @dataclass"),
        (Bare, "'bad', column 'x': write it as"),
        (Empty, "'bad', column 'x': write it as"),
        (Strange, "'bad', column 'x': write it as"),
        (Reserved, "'run_id'.*a name other than run_id and item"),
        (ReservedItem, "'item'.*a name other than run_id and item"),
    ],
)
def test_a_table_that_is_not_described_is_refused(row, said):
    with pytest.raises(AnalysisError, match=said):
        analysis(version=1, tables={"bad": row})(every_kind.function)


def test_a_table_whose_docstring_is_blank_is_refused():
    @dataclass
    class Blank:
        """ """

        x: Annotated[int, "number"]

    with pytest.raises(AnalysisError, match="'bad'"):
        analysis(version=1, tables={"bad": Blank})(every_kind.function)


def test_inputs_by_place_and_by_name_are_the_same():
    by_place = every_kind(ACTS, LABELS)
    by_name = every_kind(labels=LABELS, acts=ACTS)
    assert np.array_equal(by_place.tables["norms"]["norm"], by_name.tables["norms"]["norm"])
    expected = 1.5 * np.linalg.norm(ACTS.numpy(), axis=1)
    assert by_place.tables["norms"]["norm"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((), "every_kind needs acts: rows × width of one site"),
        ((ACTS,), "every_kind needs labels: one label a row"),
        ((np.ones((4, 3)), LABELS), r"acts is ndarray, not actlas.Activations.*Activations.of"),
        ((ACTS, ["a", "b", "a", "b"]), r"labels is list, not actlas.Labels.*Labels.of"),
        ((LABELS, ACTS), "acts is Labels"),
        ((ACTS, LABELS, ACTS), "takes acts, labels, not 3 inputs"),
    ],
)
def test_wrong_inputs_are_refused(inputs, said):
    with pytest.raises(InputError, match=said):
        every_kind(*inputs)


def test_an_input_given_twice_is_refused():
    with pytest.raises((InputError, TypeError), match="acts"):
        every_kind(ACTS, LABELS, acts=ACTS)


def test_unequal_rows_are_refused_with_their_numbers():
    with pytest.raises(InputError, match="same rows: acts has 4, labels has 3"):
        every_kind(ACTS, Labels.of(["a", "b", "a"]))


def test_unequal_rows_of_a_second_site_are_refused():
    @analysis(version=1)
    def pair(acts: Activations, other: Activations) -> Result:
        """Nothing."""
        return Result()

    assert pair(ACTS, ACTS).tables == {}
    with pytest.raises(InputError, match="acts has 4, other has 2"):
        pair(ACTS, Activations.of(np.ones((2, 3), np.float32)))


def test_what_is_built_on_comes_with_every_site():
    @analysis(version=1, base="every_kind")
    def built(acts: Activations, others: Others, base: Result) -> Result:
        """Look at what it is given."""
        assert [o.base.parameters["n_top"] for o in others] == [5, 6]
        return Result(warnings=[f"{base.parameters['n_top']}", *(o.name for o in others)])

    bases = [every_kind(ACTS, LABELS, n_top=n) for n in (4, 5, 6)]
    far = Activations.of(np.ones((9, 2), np.float32), site="far")
    found = built(ACTS, Others.of(ACTS, far, bases=bases[1:]), bases[0])
    assert found.warnings == ("4", "array", "far")
    with pytest.raises(InputError, match=r"builds on every_kind.*Others.of\(…, bases="):
        built(ACTS, Others.of(ACTS, far), bases[0])
    with pytest.raises(InputError, match="at least one row"):
        built(ACTS, Others.of(far.take(slice(0, 0)), bases=bases[:1]), bases[0])


def test_results_of_several_analyses_come_as_one_at_every_layer():
    @analysis(version=1, base=("every_kind", "probe"))
    def built(layers: Layers, others: Others) -> Result:
        """Look at what it is given."""
        joined = layers.bases[0]
        return Result(warnings=[*joined.tables, *(next(iter(others)).base.warnings)])

    one, two = every_kind(ACTS, LABELS), Result({"t": []}, {}, ["said"], parameters={"c": 1})
    base = Result.joined({"every_kind": one, "probe": two})
    assert base.parameters == {"every_kind": one.parameters, "probe": {"c": 1}}
    assert list(base.arrays) == [f"every_kind_{name}" for name in one.arrays]
    layers, others = Layers.of(ACTS, bases=[base]), Others.of(ACTS, bases=[base])
    found = built(layers, others).warnings
    tables = [f"every_kind_{name}" for name in one.tables]
    assert found == (*tables, "probe_t", *one.warnings, "said")
    with pytest.raises(
        InputError, match=r"every_kind and probe.*Layers\.of\(…, bases=\[Result\.jo"
    ):
        built(Layers.of(ACTS), others)


def test_others_are_told_apart():
    assert Others.of(ACTS, ACTS).names == ("0:array", "1:array")
    for wrong in ({"names": ["a", "a"]}, {"names": ["a"]}, {"bases": [Result()]}):
        with pytest.raises(InputError, match="one site or more"):
            Others.of(ACTS, ACTS, **wrong)
    with pytest.raises(InputError, match="one site or more"):
        Others.of()


def test_a_base_is_declared_and_taken():
    with pytest.raises(AnalysisError, match="go together"):

        @analysis(version=1)
        def undeclared(acts: Activations, base: Result) -> Result:
            """Nothing."""
            return Result()

    with pytest.raises(AnalysisError, match="go together"):

        @analysis(version=1, base="probe")
        def untaken(acts: Activations) -> Result:
            """Nothing."""
            return Result()


def test_what_stands_beside_without_a_base_may_be_none():
    for needs in ("acts: Activations", "acts: Activations, base: Result", "layers: Layers"):
        with pytest.raises(AnalysisError, match=r"take `base: Result \| None` beside `acts`"):
            _declared(needs)
    assert _declared("acts: Activations, base: Result | None")(ACTS).warnings == ()


def _declared(needs):
    scope = {"analysis": analysis, "Result": Result, "Activations": Activations, "Layers": Layers}
    text = f"@analysis(version=1, beside='probe')\ndef near({needs}) -> Result:\n    'Nothing.'\n"
    exec(f"{text}    return Result()", scope)
    return scope["near"]


def test_no_rows_are_refused():
    empty = Activations.of(np.zeros((0, 3), np.float32))
    with pytest.raises(InputError, match="at least one row"):
        returning()(empty)


def test_layers_are_counted_as_sites_not_as_rows():
    @analysis(version=1)
    def deep(layers: Layers, labels: Labels) -> Result:
        """Nothing."""
        return Result()

    assert deep(Layers.of(ACTS, ACTS), LABELS).tables == {}


def test_parameters_reach_the_function_with_defaults_filled_in():
    every_kind_seen.clear()
    every_kind(ACTS, LABELS, scale=2, n_top=np.int64(5), limit=7, how="l1", corner="left")
    assert every_kind_seen == [(5, 2.0, "norms", False, "l1", 2, 7, "left")]
    assert type(every_kind_seen[0][0]) is int
    assert type(every_kind_seen[0][1]) is float


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_top": "2"}, "every_kind: n_top='2' does not fit; it is of type int"),
        ({"n_top": 2.0}, "n_top=2.0 does not fit; it is of type int"),
        ({"n_top": True}, "n_top=True does not fit"),
        ({"n_top": None}, "n_top=None does not fit"),
        ({"scale": "big"}, "scale='big' does not fit; it is of type float"),
        ({"scale": True}, "scale=True does not fit"),
        ({"title": 3}, "title=3 does not fit; it is of type str"),
        ({"centred": 1}, "centred=1 does not fit; it is of type bool"),
        ({"how": "l3"}, "how='l3' does not fit; it is 'l1' or 'l2'"),
        ({"steps": 3}, "steps=3 does not fit; it is 1 or 2 or 4"),
        ({"limit": "no"}, "limit='no' does not fit"),
        ({"n_tops": 1}, "has no parameter 'n_tops'; did you mean n_top"),
    ],
)
def test_wrong_parameters_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        every_kind(ACTS, LABELS, **given)


def test_an_analysis_without_parameters_says_so():
    with pytest.raises(InputError, match=r"no parameter 'n'; it has no parameters"):
        returning({"norms": Norm(0, 1.0)})(ACTS, n=1)


@pytest.mark.parametrize(
    "given",
    [
        Norm(3, 0.5),
        [Norm(3, 0.5)],
        {"row": [3], "norm": [0.5]},
        {"norm": np.array([0.5], np.float32), "row": np.array([3], np.uint8)},
        {"row": [np.int32(3)], "norm": (0.5,)},
    ],
)
def test_a_table_is_given_as_row_rows_or_columns(given):
    table = returning({"norms": given})(ACTS).tables["norms"]
    assert list(table) == [{"row": 3, "norm": 0.5}]
    assert list(table.columns) == ["row", "norm"]
    assert (table["row"].dtype, table["norm"].dtype) == (np.int64, np.float64)


def test_a_table_may_be_empty():
    table = returning({"norms": []})(ACTS).tables["norms"]
    assert len(table) == 0
    assert list(table) == []


@pytest.mark.parametrize("nothing", [float("nan"), np.float32("nan"), None])
def test_nan_becomes_nothing_where_the_column_may_be_missing(nothing):
    table = returning({"norms": {"row": [0, 1], "norm": [nothing, 1.0]}})(ACTS).tables["norms"]
    assert np.isnan(table["norm"]).tolist() == [True, False]


@dataclass(frozen=True)
class Strict:
    """One row of columns that may not be missing."""

    i: Annotated[int, "number"] = 0
    f: Annotated[float, "number"] = 0.0
    s: Annotated[str, "text"] = ""
    b: Annotated[bool, "truth"] = False


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Strict(i=1.0), "column 'i': 1.0 is no finite int"),
        (Strict(i=True), "column 'i': True is no finite int"),
        (Strict(i=None), "column 'i': missing, but not declared so"),
        (Strict(f="x"), "column 'f': 'x' is no finite float"),
        (Strict(f=True), "column 'f': True is no finite float"),
        (Strict(f=float("inf")), "column 'f': inf is no finite float"),
        (Strict(f=-np.inf), "column 'f': -inf is no finite float"),
        (Strict(f=np.float32("inf")), "column 'f': inf is no finite float"),
        (Strict(f=float("nan")), "column 'f': missing, but not declared so"),
        (Strict(s=1), "column 's': 1 is no finite str"),
        (Strict(s=None), "column 's': missing"),
        (Strict(b=1), "column 'b': 1 is no finite bool"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(row, said):
    with pytest.raises(AnalysisError, match=f"'canned', table 'strict', {re.escape(said)}"):
        returning({"strict": row}, declared={"strict": Strict})(ACTS)


def test_a_number_that_fits_no_column_is_refused():
    with pytest.raises(AnalysisError, match="column 'i'"):
        returning({"strict": Strict(i=2**70)}, declared={"strict": Strict})(ACTS)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({}, r"declares the tables \['norms'\] but returned \[\]"),
        ({"norms": [], "more": []}, r"declares the tables \['norms'\] but returned \['more', 'nor"),
        ({"norms": {"row": [1]}}, r"columns \['row', 'norm'\] but returned \['row'\]"),
        ({"norms": {"row": [1], "norm": [1.0], "x": [1]}}, r"returned \['norm', 'row', 'x'\]"),
        ({"norms": {"row": [1, 2], "norm": [1.0]}}, "columns of different lengths"),
        ({"norms": [Strict()]}, "a row is Strict, not its declared type"),
        ({"norms": [(1, 2.0)]}, "a row is tuple, not its declared type"),
        ({"norms": {"row": np.ones((2, 2), int), "norm": [1.0, 2.0]}}, "column 'row'"),
    ],
)
def test_tables_that_are_not_as_declared_are_refused(tables, said):
    with pytest.raises(AnalysisError, match=said):
        returning(tables)(ACTS)


@pytest.mark.parametrize("given", [{"row": 0, "norm": 1.0}, 3.0, None])
def test_a_table_that_is_no_sequence_is_refused(given):
    with pytest.raises(AnalysisError, match="norms"):
        returning({"norms": given})(ACTS)


def test_undeclared_and_missing_arrays_are_refused():
    row = {"norms": Norm(0, 1.0)}
    with pytest.raises(AnalysisError, match=r"declares the arrays \[\] but returned \['axes'\]"):
        returning(row, {"axes": np.eye(2)})(ACTS)
    with pytest.raises(AnalysisError, match=r"arrays \['axes'\] but returned \[\]"):
        returning(row, arrays_declared={"axes": "(2, 2) axes"})(ACTS)


def test_an_array_that_holds_objects_is_refused():
    ragged = np.array([[1], [1, 2]], object)
    wrong = returning({"norms": []}, {"axes": ragged}, arrays_declared={"axes": "(n,) lists"})
    with pytest.raises(AnalysisError, match="axes"):
        wrong(ACTS)


def test_what_is_no_result_is_refused():
    @analysis(version=1)
    def forgetful(acts: Activations) -> Result:
        """Forgets to return."""

    with pytest.raises(AnalysisError, match=r"'forgetful' returned no actlas\.Result"):
        forgetful(ACTS)


def test_the_key_depends_on_version_parameters_and_inputs():
    settings, inputs = every_kind.settings({}), {"extraction": "abc", "sites": ["layers.0"]}
    key = every_kind.key(settings, inputs)
    assert key == every_kind.key(dict(reversed(settings.items())), inputs)
    others = [
        every_kind.key(settings | {"n_top": 3}, inputs),
        every_kind.key(settings, inputs | {"extraction": "abd"}),
        analysis(version=4, name="every_kind", tables={"norms": Norm})(every_kind.function).key(
            settings, inputs
        ),
        analysis(version=3, name="another", tables={"norms": Norm})(every_kind.function).key(
            settings, inputs
        ),
    ]
    assert len({key, *others}) == 5


def test_rows_that_are_not_finite_are_refused_unless_allowed():
    with pytest.raises(NonFiniteError, match=r"array: 1 of 4 rows hold NaN or infinity"):
        refuse_nonfinite(every_kind, ACTS, 1)
    refuse_nonfinite(every_kind, ACTS, 0)

    @analysis(version=1, allow_nonfinite=True)
    def robust(acts: Activations) -> Result:
        """Takes anything."""
        return Result()

    refuse_nonfinite(robust, ACTS, 1)


def test_asking_whether_a_figure_is_there_draws_none():
    drawn = []
    figures = Figures({"one": drawn.append}, {})
    assert "one" in figures
    assert "two" not in figures
    assert not drawn
