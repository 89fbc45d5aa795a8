"""Models of images: sites, patches and stages against the networks' own outputs."""

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from transformers import AutoImageProcessor

import actlas
from actlas.core import (
    Dataset,
    DatasetError,
    ExtractOptions,
    Extractor,
    InputError,
    ModelError,
    SiteError,
    check_fit,
)

from .tiny import MEDIA, STAGED, VISION, joined_rows, media_set, pictures

SPECIAL = {"vit": 1, "dinov2": 1, "dinov2_registers": 3, "clip": 1}
STAGES = {"resnet": "encoder.stages", "convnext": "encoder.stages"}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def pixels(images, tiny_folder):
    """What transformers itself makes of the images for a model."""

    def processed(kind):
        processor = AutoImageProcessor.from_pretrained(tiny_folder(kind), backend="pil")
        opened = [Image.open(one.path).convert("RGB") for one in images.media]
        return processor(images=opened, return_tensors="pt")["pixel_values"]

    return processed


def extracted(model, data, sites, **options):
    """Rows and matrices of an extraction in float32."""
    options = ExtractOptions(**{"dtype": "float32", **options})
    chosen = model.select(sites, options.pooling)
    windows = list(Extractor(model, data, chosen, options).windows())
    matrices = {s.name: np.concatenate([w.data[s.name] for w in windows]) for s in chosen}
    return joined_rows([window.rows for window in windows]), matrices


@torch.inference_mode()
def hidden_states(model, pixel_values):
    return model.module(pixel_values=pixel_values, output_hidden_states=True)


@pytest.mark.parametrize("kind", VISION)
def test_rows_are_the_networks_own_hidden_states(tiny, images, pixels, kind):
    model = tiny(kind)
    rows, data = extracted(model, images, "residual")
    own = hidden_states(model, pixels(kind))
    states = [state.reshape(-1, 16).numpy() for state in own.hidden_states]
    names = ["embed", "layers.0", "layers.1", "layers.2"]
    for name, state in zip(names, states, strict=True):
        np.testing.assert_allclose(data[name], state, rtol=1e-5, atol=1e-6)
    if kind == "clip":  # its last norm reads the class token alone
        assert list(data) == names
    else:
        last = own.last_hidden_state.reshape(-1, 16).numpy()
        np.testing.assert_allclose(data["final"], last, rtol=1e-5, atol=1e-6)
        assert np.abs(data["final"] - data["layers.2"]).max() > 0.1
    assert len(rows) == len(states[0])


@pytest.mark.parametrize("kind", VISION)
def test_a_row_is_a_patch_or_a_special_token(tiny, images, kind):
    rows, _ = extracted(tiny(kind), images, "embed")
    special = SPECIAL[kind]
    one = [rows[i] for i in range(special + 16)]
    assert [row.token for row in one[:special]] == ["[CLS]", "[REG0]", "[REG1]"][:special]
    assert [row.token for row in one[special:]] == [f"r{r}c{c}" for r in range(4) for c in range(4)]
    assert [row.special for row in one] == [True] * special + [False] * 16
    assert [row.position for row in one] == list(range(special + 16))
    assert rows.sample.tolist() == sorted([0, 1, 2] * (special + 16))
    assert {(row.start, row.end, row.token_id) for row in one} == {(None, None, None)}


def changed_rows(model, folder, box, site="embed", **options):
    """Names of the rows that change when pixels in a box (left, upper, right, lower) do."""
    pixels = np.full((32, 32, 3), 90, np.uint8)
    left, upper, right, lower = box
    folder.mkdir()
    data = []
    for i in range(2):
        if i:
            pixels[upper:lower, left:right] = 200
        path = folder / f"{i}.png"
        Image.fromarray(pixels).save(path)
        data.append(actlas.Media(str(path), "image"))
    rows, matrices = extracted(model, media_set(data), site, **options)
    first, second = np.split(matrices[site], 2)
    difference = np.abs(first - second).max(axis=1)
    return {rows.token[i] for i in np.flatnonzero(difference > 1e-3)}


def test_a_patch_is_named_by_its_row_and_column(tiny, tmp_path):
    assert changed_rows(tiny("vit"), tmp_path / "a", (24, 8, 32, 16)) == {"r1c3"}
    assert changed_rows(tiny("vit"), tmp_path / "b", (0, 24, 8, 32)) == {"r3c0"}


def test_a_place_in_a_stage_is_named_by_its_row_and_column(tiny, tmp_path):
    """ConvNeXt's stem cuts patches of 4 × 4 out of 64 × 64 pixels: 2 × 2 of the original."""
    names = changed_rows(tiny("convnext"), tmp_path / "a", (24, 4, 26, 6))
    assert "r2c12" in names
    places = {tuple(map(int, name[1:].split("c"))) for name in names}
    assert all(abs(row - 2) <= 1 and abs(column - 12) <= 1 for row, column in places)


def block_outputs(model, pixel_values):
    """What the stages give, by plain hooks, channels last."""
    outputs, inputs = [], []
    stages = model.module.encoder.stages
    hooks = [stage.register_forward_hook(lambda m, x, y: outputs.append(y)) for stage in stages]
    hooks += [stages[0].register_forward_pre_hook(lambda m, x: inputs.append(x[0]))]
    with torch.inference_mode():
        model.module(pixel_values=pixel_values)
    for hook in hooks:
        hook.remove()
    return [t.permute(0, 2, 3, 1) for t in (*inputs, *outputs)]


@pytest.mark.parametrize("kind", STAGED)
def test_stages_are_layers_and_their_places_are_rows(tiny, images, pixels, kind):
    model = tiny(kind)
    wanted = block_outputs(model, pixels(kind))
    assert list(model.sites) == ["embed", "layers.0", "layers.1", "layers.2"]
    for (name, site), tensor in zip(model.sites.items(), wanted, strict=True):
        rows, data = extracted(model, images, name)
        height, width = tensor.shape[1:3]
        assert site.stack == f"{height}x{width}"
        assert data[name].shape == (3 * height * width, tensor.shape[-1])
        flat = tensor.reshape(-1, site.width).numpy()
        np.testing.assert_allclose(data[name], flat, rtol=1e-5, atol=1e-6)
        assert rows.token[: width + 1] == [*(f"r0c{c}" for c in range(width)), "r1c0"]
        assert rows.position[: height * width].tolist() == list(range(height * width))


@pytest.mark.parametrize("kind", STAGED)
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_stages_of_different_sizes_share_an_extraction_of_a_row_a_sample(
    tiny, images, pixels, kind, pooling
):
    model = tiny(kind)
    rows, data = extracted(model, images, "residual", pooling=pooling)
    for name, tensor in zip(data, block_outputs(model, pixels(kind)), strict=True):
        flat = tensor.flatten(1, 2).numpy()
        wanted = {"mean": flat.mean(axis=1), "first": flat[:, 0], "last": flat[:, -1]}[pooling]
        np.testing.assert_allclose(data[name], wanted, rtol=1e-5, atol=1e-6)
    assert rows.sample.tolist() == [0, 1, 2]
    assert rows.token == [None] * 3


@pytest.mark.parametrize("kind", STAGED)
def test_stages_of_different_sizes_do_not_share_rows_of_places(tiny, kind):
    with pytest.raises(SiteError, match=r"different places: .*layers\.1 \(8x8\).*--pooling mean"):
        tiny(kind).select("residual")
    assert [s.name for s in tiny(kind).select("embed,layers.0")] == ["embed", "layers.0"]


@pytest.mark.parametrize("kind", [*VISION, *STAGED])
def test_a_batch_gives_what_each_image_gives_alone(tiny, images, kind):
    model = tiny(kind)
    sites = "layers.1" if kind in STAGED else "residual"
    together, alone = (
        extracted(model, images, sites, batch_tokens=tokens)[1] for tokens in (4000, 1)
    )
    for name, matrix in together.items():
        np.testing.assert_allclose(matrix, alone[name], rtol=1e-3, atol=1e-5)
    samples = np.split(together["layers.1"], 3)
    assert np.abs(samples[0] - samples[1]).max() > 0.1


def test_the_first_convolution_of_a_vit_is_a_site_of_its_own_grid(tiny, images, pixels):
    model = tiny("vit")
    name = "module:embeddings.patch_embeddings.projection"
    rows, data = extracted(model, images, name)
    with torch.inference_mode():
        wanted = model.module.embeddings.patch_embeddings.projection(pixels("vit"))
    np.testing.assert_allclose(
        data[name], wanted.permute(0, 2, 3, 1).reshape(-1, 16).numpy(), rtol=1e-5, atol=1e-6
    )
    assert rows.token[:5] == ["r0c0", "r0c1", "r0c2", "r0c3", "r1c0"]
    with pytest.raises(SiteError, match=r"layers\.0 \(token\).*projection \(4x4\)"):
        model.select(f"{name},layers.0")


def test_a_forward_that_fails_is_told_in_one_line(tiny):
    model = tiny("vit")

    class Broken(torch.nn.Module):
        def forward(self, pixel_values):
            raise RuntimeError("shapes\ndo not fit")

    broken = dataclasses.replace(model, module=Broken())
    with pytest.raises(ModelError, match=r"small example .*\(image\): RuntimeError: shapes do not"):
        broken.select("embed")


def test_a_pooler_gives_one_row_an_image(tiny, images, pixels):
    model = tiny("vit")
    rows, data = extracted(model, images, "module:pooler")
    wanted = hidden_states(model, pixels("vit")).pooler_output.numpy()
    np.testing.assert_allclose(data["module:pooler"], wanted, rtol=1e-5, atol=1e-6)
    assert rows.sample.tolist() == [0, 1, 2]


def test_a_glob_over_submodules_takes_those_that_yield_a_vector_a_place(tiny, images):
    model = tiny("vit")
    named = {s.name for s in model.select("module:layers.*.layernorm_before")}
    assert named == {f"module:layers.{i}.layernorm_before" for i in range(3)}
    with pytest.raises(SiteError, match=r"no submodule 'module:no\.\*'"):
        model.select("module:no.*")
    _, data = extracted(model, images, "module:layers.*")
    np.testing.assert_array_equal(
        data["module:layers.1"], extracted(model, images, "layers.1")[1]["layers.1"]
    )


def test_a_store_holds_the_patches_of_labelled_images(tiny, images, sqlite_store):
    model = tiny("vit")
    made = sqlite_store.extract(model, images, dtype="float32")
    acts = made.activations("layers.-1")
    rows, data = extracted(model, images, "layers.-1")
    np.testing.assert_array_equal(acts.numpy(), data["layers.2"])
    assert list(made.rows.token) == list(rows.token)
    assert made.texts([1]) == {1: "1.png"}
    again = sqlite_store.extract(model, images, dtype="float32")
    assert again.id == made.id


def test_sites_of_different_sizes_are_extractions_of_their_own(tiny, images, sqlite_store):
    model = tiny("resnet")
    first, second = (sqlite_store.extract(model, images, f"layers.{i}") for i in (1, 2))
    assert first.id != second.id
    assert (first.record.options["stack"], second.record.options["stack"]) == ("8x8", "4x4")
    assert (len(first.rows), len(second.rows)) == (3 * 64, 3 * 16)
    mean = sqlite_store.extract(model, images, "residual", pooling="mean")
    assert [a.site for a in mean.sites] == ["embed", "layers.0", "layers.1", "layers.2"]
    more = sqlite_store.extract(model, images, "layers.2", pooling="mean")
    assert more.id == mean.id


def test_a_network_of_two_towers_is_loaded_by_what_the_data_are(
    tiny_folder, images, pixels, sqlite_store
):
    folder = str(tiny_folder("clip"))
    made = sqlite_store.extract(folder, images, "layers.1", device="cpu", dtype="float32")
    texts = sqlite_store.extract(folder, Dataset.of(["a cat", "the moon"]), device="cpu")
    specs = [model.spec for model in sqlite_store.records("models")]
    assert specs == [f"{folder}#image", f"{folder}#text"]
    both = actlas.core.load_model(f"{folder}#text", device="cpu")
    assert both.architecture == "CLIPTextModel"
    assert [a.site for a in texts.sites] == ["embed", "layers.0", "layers.1", "layers.2", "final"]
    tower = actlas.load_model(specs[0], device="cpu")
    own = hidden_states(tower, pixels("clip")).hidden_states[2].reshape(-1, 16)
    np.testing.assert_allclose(made.activations("layers.1").numpy(), own, rtol=1e-5, atol=1e-6)
    assert tower.digest != both.digest
    assert tower.digest == actlas.load_model(folder, device="cpu", modality="image").digest


def test_the_text_tower_is_read_as_the_network_reads_it(tiny_folder):
    model = actlas.load_model(f"{tiny_folder('clip')}#text", device="cpu")
    ids = model.tokenizer("a cat on the mat", return_tensors="pt")["input_ids"]
    captured = model.capture(model.feed.batch(ids), model.select("layers.0,final"))
    with torch.inference_mode():
        own = model.module(input_ids=ids, output_hidden_states=True)
    assert_close(captured["layers.0"], own.hidden_states[1])
    assert_close(captured["final"], own.last_hidden_state)


@pytest.mark.parametrize(
    ("end", "said"),
    [("", r"has several towers; add #image or #text"), ("#audio", "has no tower #audio; it has im"),
     ("#vision", "no tower 'vision' .* write #image, #text or #audio")],
)  # fmt: skip
def test_a_tower_that_is_not_chosen_or_not_there_is_refused(tiny_folder, end, said):
    with pytest.raises(ModelError, match=said):
        actlas.load_model(f"{tiny_folder('clip')}{end}", device="cpu")


def test_a_tower_of_a_network_that_has_one_is_refused(tiny_folder):
    with pytest.raises(ModelError, match=r"has no tower #image; it has one network only"):
        actlas.load_model(f"{tiny_folder('vit')}#image", device="cpu")


def test_the_digest_covers_how_images_are_prepared(tiny_folder, tmp_path):
    before = actlas.load_model(str(tiny_folder("vit")), device="cpu").digest
    folder = tmp_path / "other"
    shutil.copytree(tiny_folder("vit"), folder)
    processor = {**MEDIA["vit"][2], "image_mean": [0.4] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    assert actlas.load_model(str(folder), device="cpu").digest != before


def test_data_of_another_kind_than_the_model_reads_are_refused(tiny, images, tiny_folder):
    texts = Dataset.of(["one"], name="notes")
    recordings = dataclasses.replace(images, modality="audio", name="talks")
    kinds = {
        "bert": ("texts", texts),
        "vit": ("images", images),
        "wavlm": ("recordings", recordings),
    }
    for kind, (reads, own) in kinds.items():
        check_fit(tiny(kind), own, "token")
        for holds, data in kinds.values():
            if holds != reads:
                said = rf"{kind}\d* reads {reads}, and {data.name} holds {holds}; choose a model of"
                with pytest.raises(InputError, match=said):
                    check_fit(tiny(kind), data, "token")


def test_images_have_no_words_and_are_not_cut(tiny, images):
    with pytest.raises(InputError, match="images have no words; use --pooling token or mean"):
        extracted(tiny("vit"), images, "embed", pooling="word")
    with pytest.raises(InputError, match=r"cannot be cut .* leave --max-length out"):
        extracted(tiny("vit"), images, "embed", max_length=5)


def test_images_that_the_processor_leaves_at_different_sizes_are_refused(
    tiny_folder, tmp_path, images
):
    folder = tmp_path / "sizes"
    shutil.copytree(tiny_folder("resnet"), folder)
    processor = {**MEDIA["resnet"][2], "do_resize": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    model = actlas.load_model(str(folder), device="cpu")
    with pytest.raises(DatasetError, match=r"0\.png becomes \(3, 30, 40\), others \(3, 224, 224\)"):
        extracted(model, images, "layers.0")


def test_without_pillow_the_extra_is_named(tiny_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModelError, match=r"needs Pillow; pip install 'actlas\[vision\]'"):
        actlas.load_model(str(tiny_folder("vit")), device="cpu")


def test_weights_that_are_not_loaded_are_refused(tiny):
    model = tiny("vit")
    with torch.device("meta"):
        module = type(model.module)(model.config)
    with pytest.raises(ModelError, match=r"weights are not loaded \(embeddings.* is on the meta"):
        dataclasses.replace(model, module=module)
