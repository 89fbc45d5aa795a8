"""Inputs that some settings need only, and the samples that rows were made of."""

from typing import Annotated, Literal

import pytest
import torch

import actlas
from actlas import (
    Activations,
    AnalysisError,
    Dataset,
    DatasetError,
    InputError,
    Labels,
    LoadedModel,
    Others,
    Result,
    Samples,
    analysis,
)
from actlas.plugins.convexity.euclidean import convexity_euclidean
from actlas.plugins.probe import probe

from .tiny import pictures, save_classifier

SHORT = [f"The {a} and the {b}." for a in ("cat", "dog", "sun") for b in ("moon", "mat", "town")]


@analysis(
    version=1,
    arrays={"state": "(samples, positions, width)", "pooled": "(1,) whether others were given"},
    when={"model": {"how": "run"}, "samples": {"how": "run"}},
)
def again(
    acts: Activations,
    model: LoadedModel | None,
    samples: Samples | None,
    others: Others | None,
    *,
    how: Annotated[Literal["run", "not"], "run the samples again"] = "run",
) -> Result:
    """Run samples again."""
    if model is None or samples is None:
        assert model is samples
        return Result(arrays={"state": [0.0], "pooled": [others is not None]})
    (site,) = model.select(acts.site)
    encoded = samples.encoded(model, site, range(len(samples)))
    batch = model.feed.collate(encoded)
    state = model.capture(batch, [site])[site.name]
    return Result(arrays={"state": state.numpy(), "pooled": [others is not None]})


def test_settings_say_which_inputs_are_needed():
    assert again.needs == ("acts", "model", "samples", "others")
    assert again.wanted({"how": "run"}) == ("acts", "model", "samples")
    assert again.wanted({"how": "not"}) == ("acts",)
    acts = Activations.of(torch.zeros(3, 2))
    assert not again(acts, how="not").arrays["pooled"][0]
    assert again(acts, others=Others.of(acts), how="not").arrays["pooled"][0]
    with pytest.raises(InputError, match="again needs model: the network itself"):
        again(acts)
    with pytest.raises(InputError, match=r"model is str, not actlas\.LoadedModel"):
        again(acts, model="bert", how="not")


def test_what_optional_inputs_depend_on_is_checked():
    def bad(acts: Activations, labels: Labels, *, n: Annotated[int, "number"] = 1) -> Result:
        """Doc."""

    for when in ({"labels": {"n": 1}}, {"acts": {}}, {"nothing": {"n": 1}}):
        with pytest.raises(AnalysisError, match=r"annotated `\| None`, and parameters"):
            analysis(version=1, when=when)(bad)

    def good(acts: Activations, labels: Labels | None, *, n: Annotated[int, "n"] = 1) -> Result:
        """Doc."""

    with pytest.raises(AnalysisError, match="and parameters"):
        analysis(version=1, when={"labels": {"m": 1}})(good)
    with pytest.raises(InputError, match="n='x' does not fit"):
        analysis(version=1, when={"labels": {"n": "x"}})(good)
    assert analysis(version=1, when={"labels": {"n": 2}})(good).wanted({"n": 2}) == (
        "acts", "labels",
    )  # fmt: skip


def test_samples_are_read_again_as_they_were_extracted(tiny_folder, sqlite_store):
    data = Dataset.of([*SHORT, "A much longer text about the cat, the moon and the town."])
    folder = str(tiny_folder("bert"))
    options = {"pooling": "mean", "sites": "layers.1", "dtype": "float32", "max_length": 9}
    extraction = sqlite_store.extract(folder, data, device="cpu", **options)
    (done,) = sqlite_store.run(again, extraction, "layers.1", device="cpu")
    states = torch.from_numpy(done.result.arrays["state"].copy())
    assert states.shape[1] == 9
    stored = torch.from_numpy(extraction.activations("layers.1").numpy())
    assert torch.allclose(states[-1].mean(0), stored[-1], atol=1e-5)
    (plain,) = sqlite_store.run(again, extraction, "layers.1", how="not")
    assert not plain.result.arrays["pooled"][0]
    (other,) = sqlite_store.run(again, extraction, "layers.1", how="not", other="layers.1")
    assert other.result.arrays["pooled"][0]


def test_files_are_found_again_or_asked_for(tiny_folder, sqlite_store, tmp_path, monkeypatch):
    data = pictures(tmp_path / "images")
    extraction = sqlite_store.extract(
        str(tiny_folder("vit")), str(tmp_path / "images"), device="cpu", pooling="mean",
        sites="layers.1", dtype="float32",
    )  # fmt: skip
    options = {"device": "cpu", "force": True}
    with pytest.raises(DatasetError, match=r"0.png of images is not in .* --data FOLDER"):
        sqlite_store.run(again, extraction, "layers.1", **options)
    monkeypatch.chdir(tmp_path)
    (done,) = sqlite_store.run(again, extraction, "layers.1", **options)
    stored = extraction.activations("layers.1").numpy()
    assert done.result.arrays["state"].mean(1) == pytest.approx(stored, abs=1e-5)
    monkeypatch.chdir("/")
    folder = str(tmp_path / "images")
    sqlite_store.run(again, extraction, "layers.1", data=folder, **options)
    (tmp_path / "images" / "0.png").write_bytes((tmp_path / "images" / "1.png").read_bytes())
    with pytest.raises(DatasetError, match="not those that were extracted"):
        sqlite_store.run(again, extraction, "layers.1", data=folder, **options)
    with pytest.raises(InputError, match="reads no samples again; leave --data out"):
        sqlite_store.run("spectrum", extraction, data=folder)
    assert len(data) == 3


def test_a_tuned_checkpoint_is_judged_by_its_own_head(tmp_path, sqlite_store):
    folder = str(save_classifier("bert", tmp_path / "tuned"))
    labels = [*"abcabcabc"]
    data = Dataset.of(SHORT, labels={"topic": labels})
    extraction = sqlite_store.extract(folder, data, device="cpu", pooling="mean", dtype="float32")
    options = {"points": 3, "lengths": "padded"}
    settings = {"labels": "topic", "device": "cpu", **options}
    runs = sqlite_store.run(convexity_euclidean, extraction, "layers.*", **settings)
    assert [r.site for r in runs] == ["layers.0", "layers.1", "layers.2"]
    model = actlas.load_model(folder, device="cpu")
    for done in runs:
        acts = extraction.activations(done.site)
        alone = convexity_euclidean(
            acts, Labels.of(labels), model=model, samples=Samples.of(SHORT), **options
        )
        for column in ("euclidean_convexity", "sem", "recall", "pairs"):
            one, other = (r.tables["classes"][column] for r in (alone, done.result))
            assert one == pytest.approx(other, nan_ok=True)
    # No probe of the site, another network, then the newest of the site.
    with pytest.raises(InputError, match=r"no run of probe at layers\.0"):
        sqlite_store.run(convexity_euclidean, extraction, "layers.0", decision="probe", **settings)
    sqlite_store.run(probe, extraction, "layers.0,layers.2", labels="topic", permutations=0)
    (linear,) = sqlite_store.run(
        convexity_euclidean, extraction, "layers.0", decision="probe", **settings
    )
    assert linear.result.parameters["decision"] == "probe"
    (read,) = sqlite_store.run(
        convexity_euclidean, extraction, "layers.0", other="layers.2", **settings
    )
    assert next(iter(read.result.tables["summary"]))["head"] == "probe at layers.2"
    (same,) = sqlite_store.run(convexity_euclidean, extraction, "layers.0", **settings)
    assert same.reused
    assert same.id == runs[0].id
