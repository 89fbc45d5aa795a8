"""Loaders of models from plugins: schemes of installed distributions and of files."""

import sys
from pathlib import Path

import pytest
import torch

import actlas
from actlas.api import plugin_list
from actlas.core import Dataset, ModelError, PluginError
from actlas.registry import Registry, registry

from .test_cli import fails, good

FAKE = Path(__file__).parent / "fake_distribution"
PLUGIN = '''
import torch
from torch import nn
from actlas import LoadedModel, TorchFeed, loader


@loader("tiny")
def tiny(rest, *, device, compute_dtype, trust_remote_code):
    """A network of one linear map: tiny:ANYTHING."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 4)).eval()
    collate = lambda texts: torch.tensor([[[float(len(t))]] for t in texts])
    return LoadedModel(f"tiny:{rest}", module, TorchFeed(collate), rest)
'''


@pytest.fixture(autouse=True)
def _as_new(monkeypatch, tmp_path):
    """Nothing of a plugin is imported or remembered, before and after; no store is found."""

    def forget():
        registry.cache_clear()
        for name in [n for n in sys.modules if n.startswith(("actlas_fake", "actlas_plugin_"))]:
            del sys.modules[name]

    monkeypatch.chdir(tmp_path)
    for name in ("ACTLAS_PLUGINS", "ACTLAS_STORE"):
        monkeypatch.delenv(name, raising=False)
    forget()
    yield
    forget()


@pytest.fixture
def installed(monkeypatch):
    """Install the fake distribution."""
    monkeypatch.syspath_prepend(str(FAKE))


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.usefixtures("installed")
def test_schemes_are_known_before_anything_is_imported():
    found = Registry()
    fake = ["fake_broken_loader", "fake_misnamed_loader", "fake_wrong"]
    assert found.loader_names == [*fake, "sim", "spikes", "toy"]
    assert not any(name.startswith("actlas_fake") for name in sys.modules)
    assert "spikes" not in found.names
    found.loader("spikes")
    assert [n for n in sys.modules if n.startswith("actlas_fake")] == ["actlas_fake_sim"]


@pytest.mark.usefixtures("installed")
def test_a_strangers_model_is_loaded_by_its_scheme_and_extracted(sqlite_store):
    model = actlas.load_model("spikes:6", device="cpu")
    assert (model.spec, model.architecture, model.dtype) == ("spikes:6", "Spikes", "float32")
    made = sqlite_store.extract("spikes:6", Dataset.of(["ab", "c"]), device="cpu", dtype="float32")
    assert [a.site for a in made.sites] == ["embed", "layers.0", "layers.1"]
    embedding = model.module.embedding(torch.tensor([97, 98, 99])).detach()
    assert torch.equal(torch.from_numpy(made.activations("embed").numpy()), embedding)
    half = actlas.load_model("spikes:6", device="cpu", compute_dtype="bfloat16")
    assert half.dtype == "bfloat16"


@pytest.mark.usefixtures("installed")
def test_an_analysis_that_needs_the_model_loads_it_by_its_scheme(sqlite_store):
    made = sqlite_store.extract("spikes:6", Dataset.of(["ab", "c"]), "layers.0", device="cpu")

    @actlas.analysis(version=1, arrays={"bias": "(width,) of the first layer"})
    def bias(acts: actlas.Activations, weights: actlas.Weights) -> actlas.Result:
        """Bias of the first layer."""
        return actlas.Result(arrays={"bias": weights["layers.0.bias"]})

    (run,) = sqlite_store.run(bias, made, "layers.0", device="cpu")
    own = actlas.load_model("spikes:6", device="cpu").weights["layers.0.bias"]
    assert run.result.arrays["bias"].tolist() == own.tolist()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        (
            "spiks:6",
            ModelError,
            r"unknown scheme 'spiks' in 'spiks:6'; there is hf, .*, spikes",
        ),
        ("fake_broken_loader:x", PluginError, "of actlas-fake fails: RuntimeError: this plugin is"),
        ("fake_misnamed_loader:x", PluginError, "gives the loader 'spikes'; it must agree"),
        ("fake_wrong:x", PluginError, r"'fake_wrong' returns str; it must return a LoadedModel\("),
    ],
)
def test_a_scheme_that_is_unknown_or_broken_is_refused_in_one_line(spec, error, said):
    with pytest.raises(error, match=said) as refused:
        actlas.load_model(spec, device="cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("installed")
def test_the_plugin_list_shows_loaders():
    rows = {row["name"]: row for row in plugin_list()}
    assert rows["spikes:"]["summary"] == "A simulated network of the width named: spikes:WIDTH."
    assert rows["spikes:"]["source"] == "actlas-fake"
    assert rows["fake_broken_loader:"]["summary"].startswith("broken: plugin 'fake_broken_loader'")
    assert "spectrum" in rows


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("only", "there"),
    [("spikes", ["sim", "spikes", "toy"]), ("", ["sim", "toy"]), ("fake_norms", ["sim", "toy"])],
)
def test_the_environment_says_which_loaders_are_admitted(monkeypatch, only, there):
    monkeypatch.setenv("ACTLAS_PLUGINS", only)
    assert Registry().loader_names == there


def test_a_file_gives_its_loaders_on_the_command_line(plugin, tmp_path):
    (tmp_path / "texts.txt").write_text("a cat\nthe moon\n")
    done = good("extract", "tiny:x", "texts.txt", "--plugin", plugin, "--json").json
    assert (done["rows"], done["sites"]) == (2, ["embed", "layers.0", "layers.1"])
    listed = good("sites", "tiny:x", "--plugin", plugin, "--json").json
    assert [row["site"] for row in listed] == ["embed", "layers.0", "layers.1"]
    shown = good("plugins", "list", "--plugin", plugin, "--json").json
    assert "tiny:" in {row["name"] for row in shown}
    assert fails("sites", "tiny:x") == (
        "unknown scheme 'tiny' in 'tiny:x'; there is hf, actlas, torch, sim, toy"
    )


def test_a_scheme_given_twice_names_both_owners(plugin, tmp_path):
    again = tmp_path / "again.py"
    again.write_text(PLUGIN)
    with pytest.raises(PluginError, match=r"loader 'tiny' of .*again\.py is already .*mine\.py"):
        Registry((plugin, again))


@pytest.mark.parametrize(
    ("scheme", "signature", "doc", "said"),
    [
        ("hf", "rest, **options", "Doc.", "scheme 'hf' is taken"),
        ("Sim", "rest, **options", "Doc.", "scheme 'Sim' is taken or no lower-case word"),
        ("sim", "rest", "Doc.", r"must take \(rest, \*, device, compute_dtype, trust_remote_code"),
        ("sim", "rest, **options", "", "has no docstring; say what sim: loads"),
    ],
)
def test_a_loader_that_is_wrong_is_refused_where_it_is_written(scheme, signature, doc, said):
    space = {}
    exec(f"def load({signature}):\n    {doc!r}", space)
    with pytest.raises(PluginError, match=f"loader load.*{said}"):
        actlas.loader(scheme)(space["load"])
