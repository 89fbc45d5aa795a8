import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import actlas
from actlas.plugins.capacity import capacities, capacity
from actlas.plugins.toy import Recipe, toy
from examples.capacity_toy import __main__, study, verdicts
from examples.capacity_toy.geometry import LINES, Known, Setting
from examples.capacity_toy.study import Size, phases

HASTY = Recipe(steps=20, batch=16, rate=1e-2)
EQUAL = Setting(
    6, 2, 1.0, "fast", {1.0: Known(1.0), 0.2: Known(None, 5, {"2/5": 5}, (0.3, 0.4))}, 1.8
)
TINY = Size(4, 2, 2, HASTY, (replace(EQUAL, features=5, decay=0.5), EQUAL), HASTY)


def test_the_page_has_every_figure_and_every_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(__main__, "QUICK", TINY)
    line = ["--quick", "--folder", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(study, "relu_cells", None)  # stops the run half-way
        assert CliRunner().invoke(__main__.main, line).exit_code == 1
    done = CliRunner().invoke(__main__.main, line)
    assert done.exit_code == 0, done.output
    assert done.output.count("(finished before)") == 9
    assert not (tmp_path / "quick/unfinished").exists()  # the next run is a new one
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
    assert [one["verdict"] for one in judged[:5]] == ["supported"] * 5  # no samples in these


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
    five = {"dims": 2, "capacities": [0.4] * 5, "wanted": [0.4] * 5, "total": 2.0}
    assert verdicts.on_outcomes([five]).verdict == "supported"
    for change in ({"capacities": [0.37] + [0.4] * 4}, {"total": 1.98}, {"total": 2.001}):
        assert verdicts.on_outcomes([five, five | change]).verdict == "not supported"


def test_verdicts_on_single_starts_fall_where_numbers_miss():
    low = {"kurtosis": 2.0, "there": 39, "starts": 40, "few": 0.0, "many": 0.0, "worst": 0.2}
    assert verdicts.on_minima([low]).verdict == "supported"
    for change in ({"many": 0.05}, {"there": 40}):
        assert verdicts.on_minima([low, low | change]).verdict == "not supported"
    cell = {"largest": 0.01, "mean": 0.002, "total": 0.001, "edge": False}
    assert verdicts.on_drawn([cell, cell | {"edge": True, "largest": 0.3}]).verdict == "supported"
    for change in ({"largest": 0.03}, {"mean": 0.006}, {"total": 0.002}):
        assert verdicts.on_drawn([cell, cell | change]).verdict == "not supported"
    known = {"share": 0.4, "pentagon": 0.0784, "digons": 0.0823, "norm": 1.03, "bias": -0.13}
    five = {
        "density": 0.2, "share": 0.5, "pentagon": 0.0785, "digons": 0.0823, "least": 0.0785,
        "norm": 1.03, "bias": -0.13, "known": known,
    }  # fmt: skip
    judges = (verdicts.on_shares, verdicts.on_losses, verdicts.on_pentagons)
    assert [judge([five]).verdict for judge in judges] == ["supported"] * 3
    pairs = {"pentagon": 0.09, "least": 0.0823}
    assert verdicts.on_losses([five | pairs | {"density": 0.3}]).verdict == "supported"
    for judge, change in (
        (verdicts.on_shares, {"share": 0.75}),
        (verdicts.on_losses, pairs),
        (verdicts.on_losses, {"least": 0.07}),
        (verdicts.on_losses, {"density": 0.3}),
        (verdicts.on_pentagons, {"pentagon": 0.0805}),
        (verdicts.on_pentagons, {"digons": None}),
        (verdicts.on_pentagons, {"norm": 1.05}),
        (verdicts.on_pentagons, {"bias": -0.14}),
    ):
        assert judge([five, five | change]).verdict == "not supported", change


def test_lines_are_the_capacities_of_regular_arrangements():
    turn = 2 * np.pi * np.arange(8) / 8
    ring = np.c_[np.cos(turn), np.sin(turn), np.where(np.arange(8) % 2, 1, -1) / np.sqrt(3)]
    antiprism = ring / [np.sqrt(1.5), np.sqrt(1.5), 1]
    shapes = {
        "1": np.eye(3), "3/4": [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]],
        "2/3": [[np.cos(a), np.sin(a)] for a in 2 * np.pi * np.arange(3) / 3],
        "1/2": [[1.0], [-1.0]], "2/5": [[np.cos(a), np.sin(a)] for a in 0.4 * np.pi * np.arange(5)],
        "3/8": antiprism,
    }  # fmt: skip
    assert list(shapes) == list(LINES)
    for name, shape in shapes.items():
        assert capacities(np.array(shape, float)) == pytest.approx(LINES[name]), name


def test_phases_are_told_by_capacity():
    assert phases([0.0, 0.5, 1.0, 0.04, 0.96]) == [
        "last ignored", "last shares", "last alone", "last ignored", "last alone",
    ]  # fmt: skip


def test_many_features_are_judged_beside_what_was_measured_before():
    row = {
        "setting": "80 in 10", "dims": 10, "decay": 1.0, "density": 0.5, "least": 9.99,
        "total": 9.995, "each": 0.56, "known_each": 0.559, "represented": 18,
        "known_represented": 18, "at": {"1/2": 18}, "known_at": {"1/2": 18}, "typical": 0.5,
        "known_typical": (0.48, 0.5),
    }  # fmt: skip
    judges = (verdicts.on_totals, verdicts.on_known, verdicts.on_lines, verdicts.on_typical)
    assert [judge([row]).verdict for judge in judges] == ["supported"] * 4
    for judge, change in (
        (verdicts.on_totals, {"total": 9.98}),
        (verdicts.on_known, {"each": 0.52}),
        (verdicts.on_known, {"represented": 16}),
        (verdicts.on_lines, {"at": {"1/2": 8}}),
        (verdicts.on_typical, {"typical": 0.52}),
        (verdicts.on_typical, {"typical": None}),
    ):
        assert judge([row, row | change]).verdict == "not supported", change
        off = {
            "least": None, "known_each": None, "known_represented": None, "known_at": {},
            "known_typical": None,
        }  # fmt: skip
        assert judge([row, row | change | off]).verdict == "supported", change
    none = row | {"density": 1.0, "represented": 1, "known_represented": 0}
    assert verdicts.on_known([row, none]).verdict == "not supported"
    assert verdicts.on_known([row, none | {"represented": 0}]).verdict == "supported"
    dense = row | {"decay": 0.7, "density": 1.0, "represented": 9}
    sparse = dense | {"density": 0.1, "represented": 14}
    assert verdicts.on_unequal([row, sparse, dense]).verdict == "supported"
    assert verdicts.on_unequal([dense, sparse | {"represented": 10}]).verdict == "not supported"
    assert verdicts.on_unequal([dense | {"represented": 11}, sparse]).verdict == "not supported"
    middle = sparse | {"density": 0.5, "represented": 15}
    assert verdicts.on_unequal([dense, middle, sparse]).verdict == "not supported"
