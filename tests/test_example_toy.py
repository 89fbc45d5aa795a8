import json
import re

from click.testing import CliRunner

from actlas.plugins.toy import Recipe
from examples.capacity_toy import __main__, verdicts
from examples.capacity_toy.study import Size, phases

TINY = Size(4, 2, 2, Recipe(steps=20, batch=16, rate=1e-2))


def test_the_page_has_every_figure_and_every_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(__main__, "QUICK", TINY)
    monkeypatch.setattr("examples.capacity_toy.page.QUICK", TINY)
    done = CliRunner().invoke(__main__.main, ["--quick", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "quick/report.html").read_text()
    assert page.count("<figure><svg") == 8
    assert "A quick try" in page
    cells = json.loads((tmp_path / "quick/cells.json").read_text())
    assert [len(cells[name]) for name in ("with bias", "without bias", "relu 2", "relu 3")] == [
        16, 16, 4, 4,
    ]  # fmt: skip
    assert len(re.findall("<tr", page)) > 40
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
