import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

import actlas
from actlas.plugins.capacity import capacity
from actlas.plugins.toy import Recipe, toy
from examples.capacity_toy import __main__, verdicts
from examples.capacity_toy.geometry import Known, Setting
from examples.capacity_toy.study import Size, phases

HASTY = Recipe(steps=20, batch=16, rate=1e-2)
EQUAL = Setting(6, 2, 1.0, "fast", {1.0: Known(1.0), 0.2: Known(None, 5, {"2/5": 5})}, 0.9)
TINY = Size(4, 2, 2, HASTY, (replace(EQUAL, features=5, decay=0.5), EQUAL), HASTY)


def test_the_page_has_every_figure_and_every_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(__main__, "QUICK", TINY)
    done = CliRunner().invoke(__main__.main, ["--quick", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "quick/report.html").read_text()
    assert page.count("<figure><svg") == 11
    assert "A quick try" in page
    cells = json.loads((tmp_path / "quick/cells.json").read_text())
    assert [len(cells[name]) for name in ("with bias", "without bias", "relu 2", "relu 3")] == [
        16, 16, 4, 4,
    ]  # fmt: skip
    assert len(re.findall("<tr", page)) > 40
    assert len(cells["geometry"]) == 4
    assert f"toy:{tmp_path}/quick/models/" in page
    for row in cells["geometry"]:
        place = tmp_path / "quick/models" / row["model"]
        model = toy(str(place), device="cpu", compute_dtype="auto", trust_remote_code=False)
        found = capacity(model.weights, parameter="layers.0.weight").tables["features"]
        assert row["capacities"] == pytest.approx(found["capacity"], abs=1e-9)
        data = actlas.read_dataset(place / "samples.jsonl")
        made = actlas.open(f"sqlite:///{tmp_path}/x.db").extract(model, data)
        assert made.activations("layers.0").numpy().shape == (200, row["dims"])
    judged = json.loads((tmp_path / "quick/verdicts.json").read_text())
    assert [one["verdict"] for one in judged[:4]] == ["supported"] * 4  # no samples in these


def test_verdicts_fall_where_numbers_miss():
    case = {"error": 2e-4, "loss": 1.0, "optimal": 1.0}
    assert verdicts.on_cases([case]).verdict == "not supported"
    assert verdicts.on_cases([case | {"error": 1e-5}]).verdict == "supported"
    assert verdicts.on_cases([case | {"error": 1e-5, "loss": 1.1}]).verdict == "not supported"
    edge = {"trained": 0.5, "analytic": 0.502}
    assert verdicts.on_boundaries([edge]).verdict == "not supported"
    assert verdicts.on_quadratic([edge]).verdict == "not supported"
    shared = {"kurtosis": 6.0, "gain": 1.0, "trained": 0.5}
    assert verdicts.on_benefit([shared] * 2).verdict == "supported"
    greedy = shared | {"trained": 0.0, "gain": 1.1}
    assert verdicts.on_benefit([shared, greedy]).verdict == "not supported"
    assert verdicts.on_benefit([shared, greedy | {"gain": 0.9}]).verdict == "supported"
    cell = {"density": 0.1, "ratio": 0.5, "margin": 0.5, "phase": "a", "analytic": "a"}
    other = cell | {"phase": "b"}
    assert verdicts.on_relu([cell, other], 2).verdict == "not supported"
    assert verdicts.on_relu([cell, other | {"margin": 0.01}], 2).verdict == "supported"
    five = {"features": 5, "dims": 2, "capacities": [0.3] + [0.4] * 4}
    assert verdicts.on_outcomes([five]).verdict == "not supported"


def test_phases_are_told_by_capacity():
    assert phases([0.0, 0.5, 1.0, 0.04, 0.96]) == [
        "last ignored", "last shares", "last alone", "last ignored", "last alone",
    ]  # fmt: skip


def test_many_features_are_judged_beside_what_was_measured_before():
    row = {
        "setting": "80 in 10", "dims": 10, "decay": 1.0, "density": 0.5, "fill": 0.999,
        "total": 9.995, "each": 0.56, "known_each": 0.559, "represented": 18,
        "known_represented": 18, "at": {"1/2": 18}, "known_at": {"1/2": 18},
    }  # fmt: skip
    judges = (verdicts.on_totals, verdicts.on_known, verdicts.on_lines)
    assert [judge([row]).verdict for judge in judges] == ["supported"] * 3
    for judge, change in (
        (verdicts.on_totals, {"total": 9.98}),
        (verdicts.on_known, {"each": 0.52}),
        (verdicts.on_known, {"represented": 16}),
        (verdicts.on_lines, {"at": {"1/2": 8}}),
    ):
        assert judge([row, row | change]).verdict == "not supported", change
        off = {"fill": None, "known_each": None, "known_represented": None, "known_at": {}}
        assert judge([row, row | change | off]).verdict == "supported", change
    dense = row | {"decay": 0.7, "density": 1.0, "represented": 9}
    sparse = dense | {"density": 0.1, "represented": 14}
    assert verdicts.on_unequal([row, sparse, dense]).verdict == "supported"
    assert verdicts.on_unequal([dense, sparse | {"represented": 10}]).verdict == "not supported"
    assert verdicts.on_unequal([dense | {"represented": 11}, sparse]).verdict == "not supported"
    middle = sparse | {"density": 0.5, "represented": 15}
    assert verdicts.on_unequal([dense, middle, sparse]).verdict == "not supported"
