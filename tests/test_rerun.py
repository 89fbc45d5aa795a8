"""What a site gives can be replaced, and the rest of the network runs on from there."""

import collections
import dataclasses

import pytest
import torch
from torch import nn

import actlas
from actlas import ModelError, SiteError
from actlas.core import LoadedModel
from actlas.core.replacing import _with_first

from .test_sites import Toy, loaded
from .tiny import ARCHITECTURES, SPEECHES, STAGED, VISION, save_classifier, save_tiny

CLASSIFIERS = [
    "bert", "roberta", "distilbert", "albert", "gpt2", "llama", "vit", "dinov2", "wav2vec2",
    "hubert",
]  # fmt: skip
KINDS = [*ARCHITECTURES, *VISION, *STAGED, *SPEECHES, "whisper"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    made = {}

    def load(kind):
        if kind not in made:
            folder = save_classifier(kind, tmp_path_factory.mktemp(f"{kind}-head"))
            made[kind] = actlas.load_classifier(actlas.load_model(str(folder), device="cpu"))
        return made[kind]

    return load


def tensors(output):
    return [v for v in output.values() if isinstance(v, torch.Tensor)]


def replaceable(model):
    return [site for site in model.sites.values() if site.stack in ("", "encoder", "decoder")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_site_replaced_by_its_own_numbers_changes_nothing(tiny, kind):
    model = tiny(kind)
    batch, sites = model.feed.example(), list(model.sites.values())
    plain = model.rerun(batch, {}, sites)
    for site in sites:
        own = plain.states[site.name]
        for value in (own, lambda rows: rows.clone()):
            again = model.rerun(batch, {site: value}, sites)
            assert all(map(torch.equal, tensors(plain.output), tensors(again.output)))
            assert all(torch.equal(again.states[n], plain.states[n]) for n in plain.states)


@pytest.mark.parametrize("kind", KINDS)
def test_later_sites_follow_what_was_put_in_and_earlier_ones_do_not(tiny, kind):
    model = tiny(kind)
    batch, sites = model.feed.example(), list(model.sites.values())
    plain = model.rerun(batch, {}, sites)
    side = "encoder.layers" if model.two_sided else "layers"
    site = model.sites[f"{side}.1"]
    noise = torch.randn(plain.states[site.name].shape, generator=torch.Generator().manual_seed(0))
    again = model.rerun(batch, {site: lambda own: own + noise}, sites)
    assert torch.equal(again.states[site.name], plain.states[site.name] + noise)
    places = list(model.sites)
    before, after = places[: places.index(site.name)], f"{side}.2"
    assert all(torch.equal(again.states[n], plain.states[n]) for n in before)
    assert not torch.allclose(again.states[after], plain.states[after])


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_has_the_sites_of_the_network_and_its_head_reads_on(classifier, kind):
    model = classifier(kind)
    batch = model.feed.example()
    plain = model.rerun(batch, {}, list(model.sites.values()))
    assert plain.output.logits.shape == (2, 3)
    for site in model.sites.values():
        swapped = model.rerun(batch, {site: lambda own: own.flip(0)})
        residual = site.residual and site.name != "final"
        if residual:
            wanted = plain.output.logits.flip(0)
            assert torch.allclose(swapped.output.logits, wanted, atol=1e-5)


def test_at_the_last_block_it_is_the_head_applied_by_hand(classifier):
    model = classifier("bert")
    batch, site = model.feed.example(), model.sites["layers.2"]
    states = model.rerun(batch, {}, [site]).states["layers.2"]
    between = 0.3 * states[:1] + 0.7 * states[1:]
    found = model.rerun(batch, {site: torch.cat([between, states[:1]])}).output.logits
    with torch.inference_mode():
        by_hand = model.module.classifier(model.module.bert.pooler(between))
    assert torch.allclose(found[:1], by_hand, atol=1e-6)
    assert not torch.allclose(found[:1], found[1:])


@pytest.mark.parametrize("kind", ["bert", "albert", "roberta", "vit", "wav2vec2"])
def test_many_rows_for_a_batch_of_one_run_what_is_before_once(classifier, kind):
    model = classifier(kind)
    example, site = model.feed.example(), model.sites["layers.1"]
    rows = model.rerun(example, {}, [site]).states["layers.1"]
    one = actlas.Batch({n: t[:1] for n, t in example.arguments.items()}, (1, example.shape[1]))
    points = torch.cat([rows, rows.flip(0), rows.mean(0, keepdim=True)])
    read = [model.sites["layers.0"], model.sites["layers.2"]]
    found = model.rerun(one, {site: points}, read)
    pairs = [points[:2], points[2:4], points[4:].expand(2, -1, -1)]
    wanted = [model.rerun(example, {site: pair}).output.logits for pair in pairs]
    assert torch.allclose(found.output.logits, torch.cat(wanted)[:5], atol=1e-5)
    assert len(found.states["layers.0"]) == 1
    assert len(found.states["layers.2"]) == 5


def test_what_is_not_met_or_does_not_fit_is_refused(tiny):
    model = tiny("bert")
    batch, site = model.feed.example(), model.sites["layers.1"]
    own = model.rerun(batch, {}, [site]).states["layers.1"]
    for wrong in (own[:1], own[:, :3], own[..., :4]):
        with pytest.raises(SiteError, match=r"layers.1 gives \(2, 5, 16\), which .* cannot"):
            model.rerun(batch, {site: wrong})
    gone = actlas.core.Site("gone", site.path, 16, call=1)
    with pytest.raises(SiteError, match="did not reach gone"):
        model.rerun(batch, {gone: own})
    with pytest.raises(SiteError, match="one vector"):
        model.rerun(batch, {dataclasses.replace(site, reduce="mean"): own[:, :1]})


class Tupled(nn.Module):
    """A block whose state is the first of several things that it gives."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, hidden_states, kept=None):
        return self.linear(hidden_states), (hidden_states + 1).detach(), kept


def test_other_members_of_what_a_module_gives_stay():
    seen = {}

    def step(toy, stream):
        kept = None
        for number, block in enumerate(toy.blocks):
            given = block(stream, kept=kept)
            assert isinstance(given, tuple)
            seen[number] = given[1]
            stream, kept = given[0], given[1]
        return stream

    toy = Toy(step)
    toy.blocks = nn.ModuleList([Tupled() for _ in range(3)])
    model = loaded(toy)
    batch = model.feed.example()
    plain = model.rerun(batch, {}, [model.sites["layers.0"]])
    kept = dict(seen)
    model.rerun(batch, {model.sites["layers.0"]: plain.states["layers.0"] * 2})
    assert torch.equal(seen[0], kept[0])
    assert not torch.equal(seen[1], kept[1])


def test_the_first_tensor_of_any_kind_of_output_is_replaced():
    old, new, rest = torch.zeros(1), torch.ones(1), torch.full((1,), 2.0)
    pair = collections.namedtuple("Pair", "a b")
    assert _with_first(old, new) is new
    for output in ((old, rest), [old, rest], pair(old, rest), ((old, rest), rest)):
        found = _with_first(output, new)
        assert type(found) is type(output)
        assert found[1] is rest
        assert (found[0] if found[0] is new else found[0][0]) is new
    assert _with_first({"x": old, "y": rest}, new) == {"x": new, "y": rest}


def test_a_checkpoint_without_a_head_or_without_its_weights_is_refused(tmp_path):
    plain = actlas.load_model(str(save_tiny("bert", tmp_path / "plain")), device="cpu")
    with pytest.raises(ModelError, match=r"has no head that tells classes apart \(BertModel"):
        actlas.load_classifier(plain)
    config = tmp_path / "plain" / "config.json"
    config.write_text(config.read_text().replace("BertModel", "BertForSequenceClassification"))
    lacking = actlas.load_model(str(tmp_path / "plain"), device="cpu")
    with pytest.raises(ModelError, match="lacks 2 weights of BertForSequenceClassification"):
        actlas.load_classifier(lacking)
    toy = LoadedModel("torch:toys:make", nn.Linear(2, 2), plain.feed, "0" * 32)
    assert actlas.load_classifier(toy) is toy


def test_a_head_does_not_change_what_the_checkpoint_is(tmp_path):
    model = actlas.load_model(str(save_classifier("bert", tmp_path)), device="cpu")
    headed = actlas.load_classifier(model)
    assert model.architecture == "BertModel"
    assert headed.architecture == "BertForSequenceClassification"
    assert (headed.digest, headed.spec, list(headed.sites)) == (
        model.digest, model.spec, list(model.sites),
    )  # fmt: skip
    batch = model.feed.example()
    sites = list(model.sites)
    one = model.capture(batch, [model.sites[n] for n in sites])
    other = headed.capture(batch, [headed.sites[n] for n in sites])
    assert all(torch.equal(one[n], other[n]) for n in sites)
