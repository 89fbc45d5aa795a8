"""`sim_training`: metrics of a training as tables, verdicts and figures."""

import json
from math import exp, log
from pathlib import Path

import pytest

import actlas
from actlas import InputError
from actlas.plugins.sim import Scaling, build, recipe, save_model
from actlas.plugins.sim.history import sim_training
from actlas.testing import checks

from .test_sim_network import talk

EPOCHS = 6


def line(epoch, module, **changes):
    """What a training writes of a module in an epoch, one that goes well."""
    nce = 1.0 + 1.3 * exp(-epoch)
    return {
        "epoch": epoch, "step": 20 * epoch, "module": f"layers.{module}", "nce": nce,
        "accuracy": 0.5,
        "kl": 12.0 + module, "kl_code": 190.0, "beta": 0.002 * epoch, "active_units": 4,
        "seconds": 0.5 * epoch, "held_out_nce": nce + 0.1, "held_out_accuracy": 0.45, **changes,
    }  # fmt: skip


def only(module, **changes):
    """The line of a training that has one loss."""
    return line(1, 0) | {"module": module, **changes}


def trained(folder, config, lines):
    folder.mkdir(exist_ok=True)
    save_model(folder, build(config), Scaling(0.0, 0.1), {"epochs": EPOCHS})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return actlas.load_model(f"sim:{folder}", device="cpu")


def sim_config(**changes):
    return recipe("sim", channels=4, **changes)


@pytest.fixture
def model(tmp_path):
    """Module 0 is healthy, 1 has collapsed, 2 learned nothing."""
    broken = [
        {}, {"active_units": 1, "kl": 0.01, "nce": 2.1}, {"nce": 2.3},
    ]  # fmt: skip
    lines = [line(e, m, **broken[m]) for e in range(1, EPOCHS + 1) for m in range(3)]
    return trained(tmp_path / "sim", sim_config(), lines)


def test_every_line_is_a_row_and_the_last_of_each_module_is_judged(model):
    result = sim_training(model)
    epochs = result.tables["epochs"]
    assert len(epochs) == 3 * EPOCHS
    assert epochs["module"].tolist()[:4] == ["layers.0", "layers.1", "layers.2", "layers.0"]
    assert epochs["beta"].tolist() == [0.002 * e for e in range(1, EPOCHS + 1) for _ in range(3)]
    (summary,) = result.tables["summary"]
    assert summary == {
        "kind": "sim", "modules": 3, "epochs": EPOCHS, "steps": 120, "seconds": 3.0,
        "steps_per_second": 40.0, "bound": pytest.approx(log(11)), "chance": 1 / 11,
        "collapsed": 2, "collapsed_modules": "layers.1, layers.2",
    }  # fmt: skip
    modules = list(result.tables["modules"])
    assert [m["collapsed"] for m in modules] == [False, True, True]
    assert modules[0]["gap"] == pytest.approx(log(11) - 1 - 1.3 * exp(-EPOCHS))
    assert [m["verdict"] for m in modules] == [
        "trained", "1 of 4 units active", "NCE 2.30 of log(N + 1) = 2.40",
    ]  # fmt: skip
    assert modules[2]["held_out_gap"] == pytest.approx(modules[0]["held_out_gap"])
    assert [w.split(" is not")[0] for w in result.warnings] == ["layers.1", "layers.2"]


def test_time_is_that_of_every_stretch_between_interruptions(tmp_path):
    clock = [1.0, 2.0, 3.5, 0.5, 1.5, 4.0]  # stopped after the third epoch
    lines = [line(e, m, seconds=clock[e - 1]) for e in range(1, 7) for m in range(3)]
    (summary,) = sim_training(trained(tmp_path / "sim", sim_config(), lines)).tables["summary"]
    assert (summary["seconds"], summary["steps_per_second"]) == (7.5, 16.0)


def test_models_without_a_posterior_or_a_contrast_leave_those_columns_empty(tmp_path):
    none = {"kl": None, "kl_code": None, "beta": 0.0, "active_units": None}
    cpc = recipe("cpc", channels=4, gru=3)
    (module,) = sim_training(trained(tmp_path / "cpc", cpc, [only("context", **none)])).tables[
        "modules"
    ]
    assert (module["channels"], module["collapsed"], module["active_units"]) == (3, False, None)
    config = recipe("supervised", channels=4, classes=("a", "b"))
    result = sim_training(trained(tmp_path / "own", config, [only("classifier", **none)]))
    (summary,) = result.tables["summary"]
    assert summary["bound"] != summary["bound"]  # NaN: nothing is contrasted
    for chart in result.figures.values():
        chart.to_dict()


def test_it_keeps_to_what_every_analysis_must(model):
    for check in checks(sim_training, inputs={"model": model}):
        check()


@pytest.mark.parametrize("text", [None, ""])
def test_a_model_without_metrics_says_so(model, text):
    path = Path(model.spec.removeprefix("sim:")) / "metrics.jsonl"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"metrics.jsonl has no epoch: .* `actlas train sim`"):
        sim_training(model)


def test_a_model_of_another_kind_is_refused(tiny):
    with pytest.raises(InputError, match=r"choose an extraction of a sim: model"):
        sim_training(tiny("gpt2"))


def test_a_run_is_done_once_and_again_only_after_another_training(tmp_path, sqlite_store):
    talk(tmp_path / "talk", "a.wav", 3000)
    lines = [line(1, m) for m in range(3)]

    def run(config):
        spec = trained(tmp_path / "sim", config, lines).spec
        made = sqlite_store.extract(spec, tmp_path / "talk", "layers.*", pooling="mean")
        (done,) = sqlite_store.run("sim_training", made, device="cpu")
        return done

    first = run(sim_config())
    assert run(sim_config()).reused
    again = run(sim_config(seed=1))
    assert not again.reused
    assert again.record.key != first.record.key
    assert len(sqlite_store.sql("SELECT * FROM sim_training_epochs")) == 6
