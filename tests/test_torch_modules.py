"""Any torch module through torch:package.module:factory."""

import sys

import numpy as np
import pytest
import torch

import actlas
from actlas.core import (
    Dataset,
    ExtractOptions,
    Extractor,
    InputError,
    ModelError,
    SiteError,
    describe_sites,
)

from .test_cli import fails, good
from .tiny import joined_rows, pictures, recordings

PACKAGE = '''
import numpy as np
import torch
from torch import nn

torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        return x + torch.tanh(self.linear(x))


class Reader(nn.Module):
    """Reads characters."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(256, 6)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.norm = nn.LayerNorm(6)

    def forward(self, codes):
        x = self.embedding(codes)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def codes(texts, length=None):
    length = length or max(map(len, texts))
    rows = [[ord(c) % 256 for c in t[:length].ljust(length)] for t in texts]
    return torch.tensor(rows)


def padded():
    def collate(texts):
        longest = max(map(len, texts))
        mask = [[int(i < len(t)) for i in range(longest)] for t in texts]
        return {"codes": codes(texts), "attention_mask": torch.tensor(mask)}

    return Reader(), collate


def fixed():
    return Reader(), lambda texts: codes(texts, 12)


def ragged():
    return Reader(), codes


def convolution():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3),
        nn.Flatten(), nn.Linear(5 * 14 * 14, 7),
    )

    def collate(images):
        arrays = [np.asarray(image.resize((32, 32)), np.float32) / 255 for image in images]
        return (torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2),)

    return module, collate, "image"


def sound():
    module = nn.Sequential(nn.Conv1d(1, 4, 5, stride=5), nn.BatchNorm1d(4), nn.Conv1d(4, 6, 1))

    def collate(samples):
        return torch.stack([torch.from_numpy(wave[:1000])[None] for wave, rate in samples])

    return module, collate, "audio"


def raising():
    raise RuntimeError("no\\nweights")


def collate_raises():
    def collate(texts):
        raise ValueError("cannot read")

    return Reader(), collate


def left_padded():
    def collate(texts):
        made = padded()[1](texts)
        return {**made, "attention_mask": made["attention_mask"].flip(1)}

    return Reader(), collate


def on_meta():
    with torch.device("meta"):
        return Reader(), codes


def no_collate():
    return Reader()


def wrong_modality():
    return Reader(), codes, "video"


nothing = 3
'''
TEXTS = ["a cat", "the moon and the stars", "one"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in the current directory, which is not on the path."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "nets.py").write_text(PACKAGE)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    assert sys.path == path
    for name in [n for n in sys.modules if n == "mine" or n.startswith("mine.")]:
        del sys.modules[name]


def load(name):
    return actlas.load_model(f"torch:mine.nets:{name}", device="cpu")


def extracted(model, data, sites="residual", **options):
    options = ExtractOptions(**{"dtype": "float32", **options})
    chosen = model.select(sites, options.pooling)
    windows = list(Extractor(model, data, chosen, options).windows())
    matrices = {s.name: np.concatenate([w.data[s.name] for w in windows]) for s in chosen}
    return joined_rows([window.rows for window in windows]), matrices


@torch.inference_mode()
def stream(module, text):
    """The residual stream of the reader over one text, computed by hand."""
    states = [module.embedding(torch.tensor([[ord(c) for c in text]]))]
    for block in module.blocks:
        states.append(states[-1] + torch.tanh(block.linear(states[-1])))
    return [*states, module.norm(states[-1])]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("batch_tokens", [1, 1000])
def test_a_mask_says_which_positions_are_rows(batch_tokens):
    model = load("padded")
    assert list(model.sites) == ["embed", "layers.0", "layers.1", "layers.2", "final"]
    rows, data = extracted(model, Dataset.of(TEXTS), batch_tokens=batch_tokens)
    assert np.bincount(rows.sample).tolist() == list(map(len, TEXTS))
    assert rows.position[:5].tolist() == [0, 1, 2, 3, 4]
    assert set(rows.token) == {None}
    wanted = zip(*(stream(model.module, text) for text in TEXTS), strict=True)
    for name, states in zip(data, wanted, strict=True):
        flat = np.concatenate([state[0] for state in states])
        np.testing.assert_allclose(data[name], flat, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("package")
def test_without_a_mask_every_sample_has_the_traced_length():
    model = load("fixed")
    rows, data = extracted(model, Dataset.of(TEXTS), "layers.0")
    assert np.bincount(rows.sample).tolist() == [12, 12, 12]
    state = stream(model.module, TEXTS[0].ljust(12))[1][0]
    np.testing.assert_allclose(data["layers.0"][:12], state, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("package")
def test_without_a_mask_another_length_is_refused():
    with pytest.raises(
        SiteError, match=r"layers\.0 gives 5 positions .* where 23 .* attention_mask"
    ):
        extracted(load("ragged"), Dataset.of(["a cat"]), "layers.0")


@pytest.mark.usefixtures("package")
def test_a_network_of_images_in_one_sequential(tmp_path):
    model = load("convolution")
    images = pictures(tmp_path / "images")
    described = {row["site"]: (row["width"], row["positions"]) for row in describe_sites(model)}
    assert described == {
        "embed": (3, "32x32"), "layers.0": (4, "32x32"), "layers.1": (4, "32x32"),
        "layers.2": (4, "16x16"), "layers.3": (5, "14x14"), "layers.4": (980, "sample"),
        "layers.5": (7, "sample"),
    }  # fmt: skip
    pixels = [np.asarray(one.load().resize((32, 32)), np.float32) / 255 for one in images.media]
    with torch.inference_mode():
        states = [torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)]
        for layer in model.module:
            states.append(layer(states[-1].clone()))
    rows, data = extracted(model, images, "layers.3")
    wanted = states[4].permute(0, 2, 3, 1).reshape(-1, 5)
    np.testing.assert_allclose(data["layers.3"], wanted, rtol=1e-4, atol=1e-5)
    assert rows.position.max() == 14 * 14 - 1
    _, data = extracted(model, images, "residual", pooling="mean")
    for name, state in zip(data, states, strict=True):
        wanted = state.flatten(2).mean(dim=2) if state.ndim == 4 else state
        np.testing.assert_allclose(data[name], wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(SiteError, match="different places"):
        model.select("layers.3,layers.5")


@pytest.mark.usefixtures("package")
def test_a_network_of_recordings_with_channels_first(tmp_path):
    model = load("sound")
    talks = recordings(tmp_path / "talks", (4000, 2000))
    rows, data = extracted(model, talks, "layers.0,layers.2")
    waves = [one.load()[0][:1000] for one in talks.media]
    with torch.inference_mode():
        state = model.module[0](torch.from_numpy(np.stack(waves))[:, None])
        wanted = [state, model.module(torch.from_numpy(np.stack(waves))[:, None])]
    for matrix, tensor in zip(data.values(), wanted, strict=True):
        flat = tensor.transpose(1, 2).reshape(400, -1)
        np.testing.assert_allclose(matrix, flat, rtol=1e-4, atol=1e-5)
    assert rows.position[:200].tolist() == list(range(200))


@pytest.mark.usefixtures("package")
def test_submodules_are_sites_by_path_and_glob():
    model = load("padded")
    named = [site.name for site in model.select("module:blocks.*.linear")]
    assert named == [f"module:blocks.{i}.linear" for i in range(3)]
    _, data = extracted(model, Dataset.of(["a cat"]), "module:blocks.1.linear")
    with torch.inference_mode():
        wanted = model.module.blocks[1].linear(stream(model.module, "a cat")[1])[0]
    np.testing.assert_allclose(data["module:blocks.1.linear"], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("package")
def test_the_digest_is_of_the_weights_the_class_and_the_spec():
    first, again = load("fixed"), load("fixed")
    assert first.digest != again.digest  # the generator went on: other weights
    state = first.module.state_dict()
    again.module.load_state_dict(state)
    from actlas.core.factories import digest_module

    assert digest_module(again.spec, again.module) == first.digest
    assert digest_module("torch:mine.nets:other", again.module) != first.digest
    with torch.no_grad():
        again.module.norm.bias[0] += 1e-6
    assert digest_module(again.spec, again.module) != first.digest


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_packed_weights_have_a_digest():
    from actlas.core.factories import digest_module

    class Packed(torch.nn.Module):
        """As layers of torch.ao are: their state holds tuples and dtypes."""

        def __init__(self, *values):
            super().__init__()
            self.values = values

        def get_extra_state(self):
            kept = torch.quantize_per_tensor(torch.tensor(self.values), 0.1, 0, torch.qint8)
            return kept, torch.qint8, None

    one, same, other = (digest_module("x", Packed(v, 2.0)) for v in (1.0, 1.0, 1.5))
    assert one == same != other


@pytest.mark.usefixtures("package")
def test_the_compute_dtype_is_that_asked_for():
    model = actlas.load_model("torch:mine.nets:padded", device="cpu", compute_dtype="bfloat16")
    assert model.dtype == "bfloat16"
    assert model.configuration == {}
    _, data = extracted(model, Dataset.of(["a cat"]), "embed", dtype="float32")
    own = model.module.embedding(torch.tensor([[ord(c) for c in "a cat"]]))[0]
    np.testing.assert_array_equal(data["embed"], own.detach().float())


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent", r"mine\.nets has no function 'absent'"),
        ("nothing", r"mine\.nets has no function 'nothing'"),
        ("raising", r"raising fails: RuntimeError: no weights"),
        ("on_meta", r"weights are not loaded \(embedding\.weight is on the meta device\)"),
        ("no_collate", r"returns \(Reader\); it must return \(module, collate\)"),
        ("wrong_modality", r"returns \(Reader, function, str\); it must return .*'image'"),
    ],
)
def test_a_factory_that_is_wrong_is_refused_in_one_line(name, said):
    with pytest.raises(ModelError, match=said) as refused:
        load(name)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("torch:mine.absent:padded", "mine.absent cannot be imported from .*ModuleNotFoundError"),
        ("torch:mine.nets", "names no factory; write torch:package.module:factory"),
        ("torch:mine.nets:", "names no factory"),
    ],
)
def test_a_spec_that_names_no_factory_is_refused(spec, said):
    with pytest.raises(ModelError, match=said):
        actlas.load_model(spec, device="cpu")


@pytest.mark.usefixtures("package")
def test_a_collate_that_raises_or_pads_in_front_is_refused():
    with pytest.raises(ModelError, match="collate fails: ValueError: cannot read"):
        load("collate_raises").select("embed")
    with pytest.raises(InputError, match="pad at the end"):
        extracted(load("left_padded"), Dataset.of(["a cat", "the moon"]), "embed", batch_tokens=99)


@pytest.mark.usefixtures("package")
def test_the_command_line_extracts_from_a_factory(package):
    (package / "texts.txt").write_text("a cat\nthe moon\n")
    done = good("extract", "torch:mine.nets:padded", "texts.txt", "--json").json
    assert done["rows"] == 13
    assert done["sites"] == ["embed", "layers.0", "layers.1", "layers.2", "final"]
    assert fails("extract", "torch:mine.nets:convolution", "texts.txt") == (
        "torch:mine.nets:convolution reads images, and texts holds texts; choose a model of texts"
    )
