"""Two forward passes at once give what one gives, and only where they share nothing."""

import pytest
import torch

import actlas
from actlas.core import Dataset, ExtractOptions, Extractor
from actlas.core.passes import Passes, passes_at_once
from actlas.storage import Database

from .tiny import TEXTS


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def rows(model):
    options = ExtractOptions(dtype="float32", batch_tokens=64)
    run = Extractor(model, Dataset.of(TEXTS * 8), model.select("residual"), options)
    return next(run.windows()).data


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_two_passes_at_once_give_what_one_gives(tiny, monkeypatch, two_threads, kind):
    model = tiny(kind)
    assert passes_at_once(model) == 2
    both = rows(model)
    for name in ("extraction", "passes"):
        monkeypatch.setattr(f"actlas.core.{name}.passes_at_once", lambda model: 1)
    alone = rows(model)
    assert both.keys() == alone.keys()
    for name in both:
        torch.testing.assert_close(both[name], alone[name], rtol=1e-4, atol=1e-5)


def test_threads_share_the_cores_and_leave_the_setting_as_it_was(tiny, two_threads):
    seen = []
    with Passes(tiny("bert")) as passes:
        list(passes.map(lambda _: seen.append(torch.get_num_threads()), range(8)))
        assert torch.get_num_threads() == 2
    assert seen == [1] * 8


def test_networks_that_may_keep_something_run_alone(tiny, two_threads, monkeypatch):
    model = tiny("llama")
    assert passes_at_once(model) == 2
    monkeypatch.setattr(model.config, "rope_parameters", {"rope_type": "dynamic"}, raising=False)
    assert passes_at_once(model) == 1
    torch.set_num_threads(1)
    assert passes_at_once(tiny("bert")) == 1


def test_a_large_write_leaves_its_log_to_be_brought_into_the_file(tmp_path, demo_model):
    path = tmp_path / "s.db"
    with actlas.open(f"sqlite:///{path}") as store:
        store.extract(demo_model, Dataset.of(["one", "two"]), "layers.0")
    database = Database.open(f"sqlite:///{path}")
    size = path.stat().st_size
    with database.write(large=True) as session:
        driver = session.connection().connection.driver_connection
        driver.execute("INSERT INTO payloads (data) VALUES (zeroblob(10000000))")
    database._wait()
    assert path.stat().st_size > size + 9_000_000
    database.close()
