"""Sites that a loader names, and networks whose blocks have positions of their own."""

import numpy as np
import pytest
import torch
from torch import nn

from actlas import Batch, Encoded, Feed, LoadedModel, ModelError, SiteError
from actlas.core import Dataset, TextFeed, describe_sites, proof
from actlas.testing import model_checks

from .test_sites import Toy, chain

STRIDES = {"embed": 1, "layers.0": 2, "layers.1": 6, "context": 6}


class Noise(nn.Module):
    """Says nothing of its layout, as a sampler does."""

    def forward(self, x):
        return x + 0.5


class Block(nn.Module):
    """A convolution over time with a head beside its output."""

    def __init__(self, width, out, stride):
        super().__init__()
        self.conv = nn.Conv1d(width, out, stride, stride)
        self.spread = nn.Conv1d(out, out, 1)
        self.sampler = Noise()

    def forward(self, x):
        x = self.conv(x)
        self.sampler(self.spread(x))
        return x


class Encoder(nn.Module):
    """Characters (batch, 1, time) to blocks of hop 2 and 6, and a GRU on top."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([Block(1, 3, 2), Block(3, 7, 3)])
        self.gru = nn.GRU(7, 5, batch_first=True)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.gru(x.transpose(1, 2))[0]


class Characters(Feed):
    """Texts as waves of character codes; only those of equal length share a batch."""

    def encode(self, dataset, samples, *, site, max_length, on_long="truncate"):
        return [self._one(dataset.texts[i], i, site) for i in samples]

    def _one(self, text, sample, site):
        hop = STRIDES[".".join(site.name.split(".")[:2])]
        starts = np.arange(len(text) // hop) * hop
        wave = np.array([[ord(c) for c in text]], np.float32) / 100
        special = np.zeros(len(starts), bool)
        names = [None] * len(starts)
        one = Encoded(
            sample, text, wave, len(text), starts, starts + hop, special, names=names,
            group=len(text),
        )  # fmt: skip
        return one.as_one() if site.whole else one

    def collate(self, encoded):
        waves = torch.from_numpy(np.stack([one.inputs for one in encoded]))
        return Batch({}, (len(encoded), max(map(len, encoded))), (waves,))

    def example(self):
        return Batch({}, (2, 0), (torch.linspace(0, 1, 48).reshape(2, 1, 24),))


NAMES = {
    "context": "gru",
    "layers.1.sample": "layers.1.sampler",
    "layers.0.logvar": "layers.0.spread",
    "layers.1.logvar": "layers.1.spread",
}
TEXTS = ["a cat sat on it", "the moon is round", "it is so", "a cat ate on it"]


def model(names=NAMES):
    return LoadedModel("waves:x", Encoder().eval(), Characters(), "waves", names=names)


def test_named_sites_stand_in_the_order_of_the_forward_pass_with_their_own_positions():
    rows = [(r["site"], r["width"], s.layout, s.frame, s.stack) for r, s in
            zip(describe_sites(model()), model().sites.values(), strict=True)]  # fmt: skip
    assert rows == [
        ("embed", 1, "channels_first", (24,), "24"),
        ("layers.0.logvar", 3, "channels_first", (12,), "12"),
        ("layers.0", 3, "channels_first", (12,), "12"),
        ("layers.1.logvar", 7, "channels_first", (4,), "4"),
        ("layers.1.sample", 7, "channels_first", (4,), "4"),
        ("layers.1", 7, "channels_first", (4,), "4"),
        ("context", 5, "tokens", (4,), "4"),
    ]


def test_a_name_below_a_site_of_convolutions_is_laid_out_as_its_own_module_says():
    site = model({"layers.1.state": "gru"}).sites["layers.1.state"]
    assert (site.width, site.layout, site.frame) == (5, "tokens", (4,))


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("layers.*.logvar", ["layers.0.logvar", "layers.1.logvar"]),
        ("layers.-1.logvar", ["layers.1.logvar"]),
        ("layers.*", ["layers.0", "layers.1"]),
        ("con*", ["context"]),
        ("residual", ["embed", "layers.0", "layers.1"]),
    ],
)
def test_globs_and_indices_choose_named_sites(pattern, wanted):
    assert [site.name for site in model().select(pattern, "mean")] == wanted


def test_every_site_gives_what_the_network_computes_and_positions_follow_its_hop(sqlite_store):
    own = model()
    for sites in (["layers.0", "layers.0.logvar"], ["layers.1", "layers.1.sample", "context"]):
        made = sqlite_store.extract(own, Dataset.of(TEXTS), sites, dtype="float32")
        rows = made.activations(sites[0]).rows
        hop = STRIDES[sites[0]]
        assert [len(t) // hop for t in TEXTS] == np.bincount(rows.sample, minlength=4).tolist()
        assert (rows.end - rows.start == hop).all()
        for name in sites:
            stored = torch.from_numpy(made.activations(name).numpy())
            torch.testing.assert_close(stored, torch.cat([truth(own, t)[name] for t in TEXTS]))


def truth(own, text):
    """Every site's rows, by the network's own modules."""
    net, x = own.module, torch.tensor([[[ord(c) / 100 for c in text]]])
    with torch.no_grad():
        zero = net.layers[0].conv(x)
        one = net.layers[1].conv(zero)
        found = {
            "layers.0": zero, "layers.0.logvar": net.layers[0].spread(zero), "layers.1": one,
            "layers.1.sample": net.layers[1].spread(one) + 0.5,
        }  # fmt: skip
        context = net.gru(one.transpose(1, 2))[0][0]
    return {name: t[0].T for name, t in found.items()} | {"context": context}


def test_sites_of_unlike_hops_share_an_extraction_of_whole_samples_only():
    with pytest.raises(SiteError, match=r"different places: layers.0 \(12\), context \(4\)"):
        model().select("layers.0,context")
    assert {site.stack for site in model().select("layers.0,context", "mean")} == {"sample"}
    proofs = proof.check_sites(model(), Dataset.of(TEXTS[:2]), model().select("layers.*", "mean"))
    assert all(one.holds for one in proofs)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"extra": "layers.1.spraed"}, r"runs no submodule 'layers.1.spraed', which is to be the "
                                       r"site 'extra'; did you mean .*layers.1.spread"),
        ({"extra": "unused"}, r"runs no submodule 'unused'"),
        ({"layers.1": "gru"}, r"'layers.1' \(submodule 'gru'\) is found already"),
        ({"residual": "gru"}, r"'residual' .* is no name of a site"),
        ({"a,b": "gru"}, r"'a,b' .* is no name of a site; name it like"),
    ],
)  # fmt: skip
def test_a_name_that_gives_no_site_is_refused(names, said):
    with pytest.raises(SiteError, match=said):
        model(names).select("layers.0")


def test_a_named_site_of_a_model_of_texts_may_have_positions_of_its_own():
    class OnTop(Toy):
        def __init__(self):
            super().__init__(chain)
            self.top = nn.Conv1d(6, 4, 2, 2)
            self.flat = nn.Flatten(0)

        def forward(self, input_ids, attention_mask=None):
            stream = chain(self, self.embedding(input_ids))
            self.flat(stream)
            return self.top(stream.transpose(1, 2))

    module = OnTop().eval()
    feed = TextFeed(None, module.config, 100)
    top = LoadedModel("toy", module, feed, "0" * 32, names={"top": "top"}).sites["top"]
    assert (top.width, top.layout, top.frame, top.stack) == (4, "channels_first", (2,), "2")
    with pytest.raises(SiteError, match=r"'flat' .* yields shape \(60,\), not \(2, …\)"):
        LoadedModel("toy", module, feed, "0" * 32, names={"flat": "flat"}).select("flat")


AGAIN, *CHECKS = model_checks(model(), Dataset.of(TEXTS))


@pytest.mark.parametrize("check", CHECKS, ids=repr)
def test_the_kit_for_loaders_passes_a_model_whose_feed_says_the_truth(check):
    check()


def test_the_kit_finds_positions_noise_leaks_and_specs_that_are_wrong(tmp_path, monkeypatch):
    def failing(changed):
        return [c.name for c in model_checks(changed, Dataset.of(TEXTS))[1:] if fails(c)]

    wrong = model()
    monkeypatch.setitem(STRIDES, "context", 3)
    monkeypatch.setitem(STRIDES, "layers.1", 3)
    assert "gives the positions that its feed says" in failing(wrong)
    monkeypatch.undo()
    random = model()
    random.module.layers[1].sampler.forward = lambda x: x + torch.rand_like(x)
    assert "gives the same twice" in failing(random)
    assert "gives a sample in a batch what it gives it alone" in failing(random)
    assert fails(AGAIN)


def fails(check):
    try:
        check()
    except (AssertionError, ModelError, SiteError):
        return True
    return False
