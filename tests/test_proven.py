"""Extractions are proven before they are stored: what is recorded, refused and left unwritten."""

import copy
import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import actlas
from actlas.api.records import shown
from actlas.cli import cli
from actlas.core import (
    Dataset,
    ExtractOptions,
    Extractor,
    LabelError,
    Proof,
    ProofError,
    check_sites,
    prove,
)
from actlas.core.proof import tolerance
from actlas.storage import codecs, pack_window, record_proofs, reread
from actlas.storage.codecs import pack

from .tiny import MEDIA, STAGED, TEXTS, VISION, pictures, recordings

DATA = Dataset.of([*TEXTS, "Two words", "Three little words", "And now four words"])
TARGETS = [text[::-1] for text in TEXTS]


@pytest.fixture
def store(tmp_path):
    with actlas.open(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {"image": pictures(folder / "images"), "audio": recordings(folder / "talks")}


def lively(model):
    """A copy whose weights are far from their starting values."""
    module = copy.deepcopy(model.module)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return dataclasses.replace(model, module=module, digest=f"{model.digest}-lively")


def blind(model):
    """A model whose attention sees padding."""
    model = lively(model)
    forward = model.module.forward
    model.module.forward = lambda *args, **given: forward(
        *args, **{name: value for name, value in given.items() if "mask" not in name}
    )
    return dataclasses.replace(model, digest=f"{model.digest}-blind")


def tables(store):
    return {
        name: int(store.sql(f"SELECT count(*) AS n FROM {name}")["n"][0])
        for name in ("rows", "chunks", "payloads", "top_indexes")
    }


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16", "int8"])
@pytest.mark.parametrize("pooling", ["token", "word", "mean"])
def test_every_site_has_the_difference_found_and_what_was_allowed(tiny, store, dtype, pooling):
    model = lively(tiny("llama"))
    done = store.extract(model, DATA, "residual,layers.1.heads", dtype=dtype, pooling=pooling)
    assert len(done.sites) == 6
    for site in done.sites:
        assert site.complete
        assert 0 <= site.difference <= site.tolerance < (0.2 if dtype == "int8" else 0.02)
        assert site.against.startswith("single forward")
        assert ("hidden states" in site.against) == (site.site != "layers.1.heads")
    record = shown(store, "extractions", str(done.id))["sites"]
    assert [row["tolerance"] for row in record] == [site.tolerance for site in done.sites]
    assert {"difference", "against"} <= set(record[0])


def test_what_does_not_hold_is_refused_before_a_row_is_written(tiny, store):
    with pytest.raises(ProofError, match=r"^layers\.\d: a batch gives other rows") as raised:
        store.extract(blind(tiny("bert")), DATA)
    assert "\n" not in str(raised.value)
    assert set(tables(store).values()) == {0}
    for name in ("extractions", "activations", "shards"):  # nor is there an empty record
        assert int(store.sql(f"SELECT count(*) AS n FROM {name}")["n"][0]) == 0


def test_a_site_that_holds_can_be_stored_after_another_was_refused(tiny, store):
    model = blind(tiny("bert"))
    with pytest.raises(ProofError, match=r"layers\.2: "):
        store.extract(model, DATA, "embed,layers.2")
    done = store.extract(model, DATA, "embed")
    assert {site.site: site.complete for site in done.sites} == {"embed": True}
    assert tables(store)["rows"] > 0


def test_the_second_pass_of_an_extraction_is_proven_too(tiny, store):
    model = lively(tiny("bert"))
    before = store.extract(model, DATA, "layers.1")
    kept = tables(store)
    broken = dataclasses.replace(blind(tiny("bert")), digest=model.digest)
    with pytest.raises(ProofError, match=r"^layers\.2: "):
        store.extract(broken, DATA, "layers.1,layers.2")
    assert tables(store) == kept
    assert store.extraction(before.id).activations("layers.1").numpy().shape[1] == 16


def test_a_shard_that_does_not_hold_leaves_the_others_as_they_are(tiny, store):
    model = lively(tiny("bert"))
    store.extract(model, DATA, shard=(1, 2))
    kept = tables(store)
    broken = dataclasses.replace(blind(tiny("bert")), digest=model.digest)
    with pytest.raises(ProofError):
        store.extract(broken, DATA, shard=(2, 2))
    assert tables(store) == kept
    done = store.extract(model, DATA, shard=(2, 2))
    assert all(site.complete for site in done.sites)


def test_of_several_passes_the_greatest_difference_stays(tiny, store):
    done = store.extract(lively(tiny("bert")), DATA, "layers.1")
    for apart, against in ((0.5, "a"), (0.25, "b")):
        record_proofs(store.database, done.record, [Proof("layers.1", apart, 1.0, against)])
        (site,) = store.extraction(done.id).sites
        assert (site.difference, site.tolerance, site.against) == (0.5, 1.0, "a")


def test_what_a_larger_data_set_takes_over_keeps_its_proof(tiny, store):
    model = lively(tiny("bert"))
    small = store.extract(model, DATA.head(6), "layers.1")
    record_proofs(store.database, small.record, [Proof("layers.1", 0.5, 1.0, "a")])
    (large,) = store.extract(model, DATA, "layers.1").sites
    assert (large.difference, large.tolerance, large.against) == (0.5, 1.0, "a")


def first_window(model, sites, **options):
    run = Extractor(model, DATA, model.select(sites), ExtractOptions(**options))
    return run, next(run.windows())


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16", "int8"])
def test_rows_read_back_are_those_that_were_packed(dtype):
    torch.manual_seed(0)
    matrix = torch.randn(40_000, 32) * torch.logspace(-2, 2, 40_000)[:, None]
    matrix[:, 5] *= 200  # kept apart in int8
    given = matrix if dtype == "int8" else matrix.to(getattr(torch, dtype))
    packed = list(pack(given, dtype))
    assert len(packed) > 1
    rows = np.array([3, 39_999, 0, 24_000])
    found, step, halves = reread(packed, 32, rows)
    apart = np.abs(found - given[rows].float().numpy())
    if dtype == "int8":
        rest = np.delete(apart, 5, axis=1)
        assert rest.max() / 1.001 <= step < 4 * rest.max()
        assert (apart[:, 5] <= np.abs(found[:, 5]) / 2048).all()
        assert halves
    else:
        assert step == apart.max() == 0
        assert halves == (dtype == "float16")
    assert reread(packed, 32, np.empty(0, np.int64))[0].shape == (0, 32)


@pytest.mark.parametrize("spoil", ["scale", "order", "apart"])
def test_rows_that_int8_spoils_are_refused(tiny, store, monkeypatch, spoil):
    """Packing that is wrong: another scale, rows in another order, columns kept in wrong places."""
    records = codecs._records

    def wrong(scale, numbers, kept, columns, error):
        if spoil == "scale":
            numbers = (numbers.float() * 0.7).to(torch.int8)
        elif spoil == "order":
            numbers = numbers.flip(0)
        else:
            numbers = numbers.roll(1, dims=1)
        return records(scale, numbers, kept, columns, error)

    monkeypatch.setattr(codecs, "_records", wrong)
    with pytest.raises(ProofError):
        store.extract(lively(tiny("gpt2")), DATA, "layers.1", dtype="int8")
    assert tables(store)["chunks"] == 0


def test_int8_is_allowed_half_a_step_and_no_more(tiny):
    run, window = first_window(lively(tiny("gpt2")), "layers.1", dtype="int8")
    packed = pack_window(window, "int8")["layers.1"]
    half = []

    def stored(site, rows):
        found, step, halves = reread(packed, 16, rows)
        half.append((found, step))
        assert not halves
        return torch.from_numpy(found), step, halves

    (plain,) = prove(run, window)
    (proof,) = prove(run, window, stored)
    found, step = half[0]
    wanted = plain.tolerance + step / np.abs(found).mean()
    assert proof.tolerance == pytest.approx(wanted, rel=0.01)
    assert proof.tolerance / 20 < proof.difference <= proof.tolerance


def test_rows_that_int8_would_spoil_are_proven_as_float16(demo_model, store):
    few = actlas.read_dataset("actlas:concepts", limit=40)
    extraction = store.extract(demo_model, few, "layers.3", dtype="int8")
    found = extraction.activations("layers.3").numpy()
    np.testing.assert_array_equal(found, found.astype(np.float16))


@pytest.mark.parametrize("kind", MEDIA)
def test_every_site_of_models_of_images_and_recordings_holds(tiny, files, kind):
    model = tiny(kind)
    proofs = check_sites(model, files[model.feed.modality])
    assert [proof.site for proof in proofs] == list(model.sites)
    assert [proof for proof in proofs if not proof.holds] == []
    compared = {proof.site for proof in proofs if "hidden states" in proof.against}
    assert compared == {site.name for site in model.sites.values() if site.residual}


@pytest.mark.parametrize("pooling", ["token", "mean", "first", "last"])
@pytest.mark.parametrize("kind", ["dinov2_registers", "resnet", "wavlm", "hubert", "whisper"])
def test_images_and_recordings_are_stored_with_their_proofs(tiny, files, store, kind, pooling):
    model = tiny(kind)
    sites = "layers.1" if kind in STAGED and pooling == "token" else "residual"
    for dtype in ("float16", "int8"):
        done = store.extract(model, files[model.feed.modality], sites, pooling=pooling, dtype=dtype)
        for site in done.sites:
            assert site.difference <= site.tolerance
            assert site.against == "single forward, hidden states"


@pytest.mark.parametrize("pooling", ["token", "mean"])
@pytest.mark.parametrize("kind", [*VISION, "convnext", "wav2vec2", "wavlm_layer", "whisper"])
def test_a_hook_on_the_wrong_block_of_images_or_recordings_is_found(tiny, files, kind, pooling):
    model = tiny(kind)
    wrong, sites = dataclasses.replace(model), dict(model.sites)
    right, first = sites["layers.1"], sites["layers.0"]
    # Stages have other widths each, so there it is the first block of the stage.
    path = f"{right.path}.layers.0" if kind in STAGED else first.path
    sites["layers.1"] = dataclasses.replace(right, path=path)
    wrong.__dict__["sites"] = sites
    chosen = wrong.select("layers.1", pooling)
    run = Extractor(wrong, files[model.feed.modality], chosen, ExtractOptions(pooling=pooling))
    with pytest.raises(ProofError, match=r"^layers\.1: what is read there is not the hidden"):
        prove(run, next(run.windows()))


def test_states_of_other_shapes_are_not_compared(tiny, files, monkeypatch):
    own = Extractor.hidden_states
    monkeypatch.setattr(
        Extractor, "hidden_states", lambda self, one: tuple(s[:, 1:] for s in own(self, one))
    )
    proofs = check_sites(tiny("vit"), files["image"])
    assert {proof.against for proof in proofs} == {"single forward"}


def test_where_stages_hide_their_depth_every_submodule_may_round(tiny):
    model = tiny("resnet")
    site = model.sites["layers.0"]
    assert len(model.calls) > 50  # ten times the four sites of the stream, and one
    unit = torch.finfo(torch.float32).eps * site.width**0.5 / 2
    wanted = 16 * unit * len(model.calls) ** 0.5
    assert tolerance(model, site, "float32") == pytest.approx(wanted)


def test_padding_of_recordings_that_the_network_hears_is_found(tiny, files, store):
    """Recordings of unlike lengths share a batch only where the mask is read."""
    with pytest.raises(ProofError, match="a batch gives other rows than the same sample alone"):
        store.extract(blind(tiny("wav2vec2_layer")), files["audio"], "layers.1")
    assert tables(store)["chunks"] == 0


PACKAGE = '''
import torch
from torch import nn

torch.manual_seed(0)


class Mixing(nn.Module):
    """Subtracts the mean of the batch, so that a sample depends on its neighbours."""

    def forward(self, x):
        return x - x.mean(dim=0, keepdim=True)


def numbers(images):
    import numpy as np

    return torch.stack([torch.from_numpy(np.asarray(i.resize((8, 8)), np.float32)).permute(2, 0, 1)
                        for i in images]) / 255


def perceptron():
    layers = [nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()]
    return nn.Sequential(*layers), numbers, "image"


def convolution():
    module = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
                           nn.Conv2d(6, 6, 3, padding=1))
    return module, numbers, "image"


def mixing():
    return nn.Sequential(nn.Conv2d(3, 6, 3), Mixing(), nn.Conv2d(6, 6, 3)), numbers, "image"
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "proven_factories.py").write_text(PACKAGE)
    monkeypatch.chdir(tmp_path)
    yield "torch:proven_factories"
    sys.modules.pop("proven_factories", None)


@pytest.mark.parametrize("name", ["perceptron", "convolution"])
def test_any_torch_module_is_proven_by_single_forwards(package, store, files, name):
    model = actlas.load_model(f"{package}:{name}", device="cpu")
    proofs = check_sites(model, files["image"])
    assert proofs
    assert all(proof.holds and proof.against == "single forward" for proof in proofs)
    site = proofs[0].site
    (stored,) = store.extract(model, files["image"], site).sites
    assert stored.against == "single forward"


def test_a_torch_module_that_mixes_the_samples_of_a_batch_is_refused(package, store, files):
    model = actlas.load_model(f"{package}:mixing", device="cpu")
    store.extract(model, files["image"], "layers.0")
    kept = tables(store)
    with pytest.raises(ProofError, match=r"^layers\.1: a batch gives other rows"):
        store.extract(model, files["image"], "layers.0,layers.1")
    assert tables(store) == kept


def invoke(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments), "--device", "cpu"])


@pytest.mark.parametrize("kind", ["vit", "clip", "whisper"])
def test_the_command_line_checks_models_of_images_and_recordings(tiny_folder, tmp_path, kind):
    make = recordings if kind == "whisper" else pictures
    make(tmp_path / "data")
    done = invoke("sites", tiny_folder(kind), tmp_path / "data", "--check", "--json")
    assert done.exit_code == 0, done.output
    listed = json.loads(done.stdout)
    assert {"embed", "layers.1.heads", "layers.2"} <= {row["site"] for row in listed}
    assert all(row["holds"] for row in listed)


def test_the_command_line_checks_any_torch_module(package, tmp_path):
    pictures(tmp_path / "data")
    done = invoke("sites", f"{package}:mixing", tmp_path / "data", "--check", "--json")
    assert done.exit_code == 1
    assert {row["site"]: row["holds"] for row in json.loads(done.stdout)} == {
        "embed": True, "layers.0": True, "layers.1": False, "layers.2": False,
    }  # fmt: skip


def test_texts_for_a_model_of_images_are_refused(tiny_folder):
    done = invoke("sites", tiny_folder("vit"), "--check")
    assert "reads images, and actlas:concepts[:32] holds texts" in str(done.exception)


def labelled():
    words = [[(0, 3)] for _ in TEXTS]
    found = Dataset.of(TEXTS, labels={"kind": list("ababa")}, targets=TARGETS)
    items = [(i, 0, 3, "first") for i in range(len(TEXTS))]
    sets = found.label_sets | {"place": actlas.core.LabelSet("place", "word", items)}
    return dataclasses.replace(found, label_sets=sets, words=words)


def test_labels_of_words_are_refused_on_rows_of_other_texts(tiny, store, tmp_path):
    """Their spans are in the text, and rows of a decoder with targets have theirs in these."""
    model, data = tiny("t5"), labelled()
    done = store.extract(model, data, "decoder.layers.1")
    refusal = r"^label set 'place' labels words of the texts, and these rows are .* the encoder$"
    with pytest.raises(LabelError, match=refusal):
        done.labels("place")
    with pytest.raises(LabelError, match=refusal):
        done.labels("kind", groups="place")
    with pytest.raises(LabelError, match=refusal):
        store.run("probe", done.id, "decoder.layers.1", labels="place")
    assert store.records("runs") == []
    with pytest.raises(LabelError, match=refusal):
        store.export(done.id, tmp_path / "out.parquet", labels=["place"])
    assert set(done.labels("kind").names) == {"a", "b"}
    store.export(done.id, tmp_path / "all.parquet")
    encoded = store.extract(model, data, "encoder.layers.1")
    assert "first" in encoded.labels("place").names
    plain = store.extract(model, dataclasses.replace(data, targets=None), "decoder.layers.1")
    assert "first" in plain.labels("place").names


def test_what_a_decoder_reads_is_stored_beside_the_text(tiny, store):
    store.extract(tiny("t5"), labelled(), "decoder.layers.1")
    found = store.sql("SELECT text, target FROM samples ORDER BY sample")
    assert list(found["text"]) == TEXTS
    assert list(found["target"]) == TARGETS
