"""Components by token sum to the state, and each is what a frozen network makes of its token."""

import numpy as np
import pytest
import torch
import transformers

from actlas import InputError, Layers, LoadedModel, Samples, TextFeed
from actlas.plugins.decomposition.bound import bind
from actlas.plugins.decomposition.states import captured
from actlas.plugins.decomposition.tokenwise import attribution, figures, groups, passes
from actlas.plugins.decomposition.tokenwise.analysis import decomposition_tokens
from actlas.plugins.decomposition.tokenwise.gradients import given_by_token
from actlas.plugins.decomposition.tokenwise.groups import positions_of, split_start
from actlas.plugins.decomposition.tokenwise.passes import plan_of, run
from actlas.plugins.decomposition.tokenwise.propagate import Propagation
from actlas.plugins.decomposition.tokenwise.slopes import settled, slopes

from . import tiny
from .frozen import frozen as linear_twin
from .wild import MODELS, PADDED, made_wild, padded, sides, valid, wild

LAYER_NORM, RMS_NORM, SINGLE = 1e-10, 1e-6, 1e-5
LENGTHS = [len(some) for some in PADDED]


@pytest.fixture(scope="module")
def model():
    """Make each model once in double precision."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = wild(name)
        return made[name]

    return get


def frozen_of(own, side, rule="default", *, centring_to_bias=False):
    plan = plan_of(own, bind(own, side), rule, centring_to_bias=centring_to_bias)
    return run(own, plan, padded(own))


def by_token(frozen):
    """The components of every position at every depth, padding in no component."""
    group = torch.full((len(PADDED), max(LENGTHS)), -1)
    for i, count in enumerate(LENGTHS):
        group[i, :count] = torch.arange(count)
    return list(Propagation(frozen, split_start(frozen, group, max(LENGTHS))).steps())


def pooled(frozen):
    group = torch.full((len(PADDED), max(LENGTHS)), -1)
    for i, count in enumerate(LENGTHS):
        group[i, :count] = 0
    return list(Propagation(frozen, split_start(frozen, group, 1)).steps())


def error(found, wanted):
    gap = torch.stack([valid(part) for part in (found - wanted)[None]])
    return float((gap.norm(dim=-1) / valid(wanted).norm(dim=-1)).max())


def rules(own, side):
    gated = any(branch.spec.gate for branch in bind(own, side).branches)
    return ["freeze_gate", "tangent", "half"] if gated else ["tangent", "zero_origin"]


@pytest.mark.parametrize("name", MODELS)
def test_components_sum_to_every_state_whatever_the_rule(model, name):
    own = model(name)
    limit = LAYER_NORM if MODELS[name][2] else RMS_NORM
    for side in sides(own):
        for rule in rules(own, side):
            for centring in (False, True):
                frozen = frozen_of(own, side, rule, centring_to_bias=centring)
                for one, all_ in zip(by_token(frozen), pooled(frozen), strict=True):
                    assert error(one.components.sum(0), one.state) < limit, (one.site, rule)
                    tokens = one.components[: max(LENGTHS)].sum(0)
                    size = valid(one.state).norm(dim=-1).mean()
                    assert valid(tokens - all_.components[0]).abs().max() < 1e-10 * size
                    assert (
                        valid(one.components[-1] - all_.components[-1]).abs().max() < 1e-10 * size
                    )


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "gemma2", "t5", "marian"])
def test_single_precision(name):
    own = wild(name, torch.float32)
    for side in sides(own):
        for step in by_token(frozen_of(own, side)):
            assert error(step.components.sum(0), step.state) < SINGLE


EMBEDS = {"": "inputs_embeds", "decoder": "decoder_inputs_embeds"}


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "gemma2", "olmo2", "gpt_neox", "marian"])
def test_each_component_is_what_the_frozen_network_makes_of_its_token(model, name):
    own = model(name)
    side = sides(own)[-1]
    bound = bind(own, side)
    batch = padded(own)
    mine = by_token(frozen_of(own, side))[-1]
    embedded = own.capture(batch, [own.sites[bound.start]])[bound.start]
    gated = bool(bound.branches[-1].spec.gate)
    twin = linear_twin(own.module, dict(batch.arguments), gated=gated)
    scale = getattr(own.config, "scale_embedding", False)
    given = {
        n: t for n, t in batch.arguments.items() if n not in ("input_ids", "decoder_input_ids")
    }
    if side:
        given["encoder_outputs"] = (torch.zeros_like(embedded),)
    for k in range(max(LENGTHS)):
        one = torch.zeros_like(embedded)
        one[:, k] = embedded[:, k] / (own.config.hidden_size**0.5 if scale else 1)
        for i, count in enumerate(LENGTHS):
            one[i, count:] = 0
        with torch.no_grad():
            wanted = twin(**given, **{EMBEDS[side]: one}, use_cache=False)[0]
        gap = valid(mine.components[k] - wanted).norm(dim=-1)
        assert float(gap.max() / valid(mine.state).norm(dim=-1).mean()) < 1e-6, k


@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox"])
def test_no_token_gives_to_an_earlier_one_in_a_decoder(model, name):
    for step in by_token(frozen_of(model(name), "")):
        for k in range(max(LENGTHS)):
            assert not step.components[k, :, :k].any()


def test_tokens_give_to_earlier_ones_in_an_encoder(model):
    last = by_token(frozen_of(model("bert"), ""))[-1]
    assert (last.components[3, 0, :3].norm(dim=-1) > 1e-6).all()


@pytest.mark.parametrize("name", ["gemma", "mistral", "phi3"])
def test_without_biases_and_means_a_frozen_gate_leaves_nothing_to_the_correction(model, name):
    for step in pooled(frozen_of(model(name), "")):
        assert not step.components[-1].any()
    tangent = pooled(frozen_of(model(name), "", "tangent"))[-1]
    assert tangent.components[-1].abs().max() > 1e-3  # the intercepts


def test_all_that_cross_attention_reads_is_the_sources(model):
    frozen = frozen_of(model("marian"), "decoder")
    first = pooled(frozen)
    assert not first[0].components[1].any()
    assert first[-1].components[1].any()
    doubled = Propagation(
        frozen, split_start(frozen, torch.zeros(2, max(LENGTHS), dtype=torch.long), 1),
        memory=2 * frozen.memory,
    )  # fmt: skip
    last = list(doubled.steps())[-1].components
    plain = Propagation(
        frozen, split_start(frozen, torch.zeros(2, max(LENGTHS), dtype=torch.long), 1)
    )
    once = list(plain.steps())[-1].components
    assert torch.allclose(valid(last[1]), 2 * valid(once[1]))
    assert torch.equal(last[0], once[0])
    assert torch.equal(last[2], once[2])


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "gemma2", "t5", "bart"])
def test_gradients_give_what_vectors_give(model, name):
    own = model(name)
    ids = torch.tensor([PADDED[0]])
    mask = torch.ones_like(ids)
    decoder = (ids.roll(1, 1), mask) if own.two_sided else None
    for side in sides(own):
        plan = plan_of(own, bind(own, side), "default", centring_to_bias=False)
        frozen = run(own, plan, own.feed.batch(ids, mask, decoder=decoder))
        count = ids.shape[1]
        *_, last = Propagation(
            frozen, split_start(frozen, torch.arange(count)[None], count)
        ).steps()
        directions = torch.randn(count, last.state.shape[-1], dtype=torch.float64)
        given = given_by_token(frozen, torch.arange(count), directions)
        wanted = torch.einsum("ktd,td->tk", last.components[:count, 0], directions)
        assert torch.allclose(given.target, wanted, atol=1e-10 * float(wanted.abs().max()))
        assert (given.source is None) == (side != "decoder")
        if given.source is not None:
            wanted = (last.components[count, 0] * directions).sum(-1)
            assert torch.allclose(given.source.sum(1), wanted, atol=1e-9)


def test_slopes_are_those_of_their_rules():
    act = torch.nn.functional.gelu
    up = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    gate = torch.tensor([0.5, -2.0, 0.0], dtype=torch.float64)
    slope = torch.func.jvp(act, (up,), (torch.ones_like(up),))[1]
    assert torch.allclose(slopes("tangent", act, up, None).up, slope)
    origin = slopes("zero_origin", act, up, None).up
    assert torch.allclose(origin * up, act(up))
    assert origin[1] == 0.5
    relu = slopes("tangent", torch.relu, up, None)
    assert relu.up.tolist() == [0, 0, 1]
    assert torch.equal(relu.up * up, relu.value)
    frozen = slopes("freeze_gate", act, up, gate)
    assert frozen.gate is None
    assert torch.equal(frozen.up, act(gate))
    half = slopes("half", act, up, gate)
    assert torch.allclose(half.up * up + half.gate * gate, half.value)
    assert torch.allclose(half.up * up, half.value / 2)
    tangent = slopes("tangent", act, up, gate)
    partial = torch.func.jvp(lambda g: act(g) * up, (gate,), (torch.ones_like(gate),))[1]
    assert torch.allclose(tangent.gate, partial)
    assert torch.equal(tangent.up, act(gate))


def test_a_rule_that_does_not_fit_is_refused():
    assert settled("default", gated=True) == "freeze_gate"
    assert settled("default", gated=False) == "tangent"
    with pytest.raises(InputError, match="not gated; use tangent or zero_origin"):
        settled("half", gated=False)
    with pytest.raises(InputError, match="is gated; use freeze_gate"):
        settled("zero_origin", gated=True)


def headed(kind, name, dtype=torch.float64):
    """A tiny model that reads texts, with its head and without."""
    config = tiny.config(name)
    if name == "gemma2":
        config.final_logit_softcapping = 1.0  # where it matters
    torch.manual_seed(0)
    module = made_wild(getattr(transformers, kind).from_config(config)).to(dtype).eval()
    feed = TextFeed(tiny.tokenizer(wrapped=name not in tiny.DECODERS), config, 30)
    whole = LoadedModel(f"tiny:{name}", module, feed, name)
    return whole, LoadedModel(f"tiny:{name}", module.base_model, feed, name)


@pytest.fixture
def explained(monkeypatch):
    def explain(kind, name, **settings):
        whole, base = headed(kind, name)
        monkeypatch.setattr(attribution, "load_language_model", lambda _: whole)
        samples = Samples.of(tiny.TEXTS[:3], pooling="token")
        layers = captured(base, samples)
        given = attribution.decomposition_token_logits(layers, base, samples, **settings)
        return whole, layers, given

    return explain


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("AutoModelForCausalLM", "gpt2"),
        ("AutoModelForCausalLM", "gemma2"),
        ("AutoModelForMaskedLM", "bert"),
        ("AutoModelForSeq2SeqLM", "marian"),
        ("AutoModelForSeq2SeqLM", "t5"),
    ],
)
def test_what_tokens_give_to_a_logit_sums_to_the_models_own(explained, kind, name):
    whole, _layers, given = explained(kind, name, rows=12)
    table = given.tables["explained"].to_pandas()
    assert len(table) == 12
    assert (table.logit - table.summed).abs().max() < 1e-6
    logits = given.tables["logits"].to_pandas()
    summed = logits.groupby("row").contribution.sum().reindex(table.row)
    assert np.allclose(summed, table.summed)
    if name in ("gpt2", "gemma2"):
        texts = whole.tokenizer(tiny.TEXTS[0], return_tensors="pt")["input_ids"]
        with torch.no_grad():
            every = whole.module(texts).logits[0, :-1]
        own, likely = (
            found.gather(1, texts[0, 1:, None])[:, 0] for found in (every, every.softmax(-1))
        )
        count = min(len(own), 12)
        assert np.allclose(table.probability[:count], likely[:count].numpy(), atol=1e-7)
        cap = getattr(whole.config, "final_logit_softcapping", None)
        capped = table.logit if cap is None else cap * np.tanh(table.logit / cap)
        assert np.allclose(capped[:count], own[:count].numpy(), atol=1e-6)
        assert table.token_id[:count].tolist() == texts[0, 1 : count + 1].tolist()
        early = logits[(logits.term == "target")]
        assert (early.source <= early.row).all()


def test_importance_is_what_the_token_loses_without_a_vector(explained):
    _, _, given = explained("AutoModelForCausalLM", "gpt2", rows=4, importance=True, target="top")
    logits = given.tables["logits"].to_pandas()
    targets = logits[logits.term == "target"]
    assert targets.importance.notna().all()
    whole, base = headed("AutoModelForCausalLM", "gpt2")
    plan = plan_of(base, bind(base), "default", centring_to_bias=False)
    ids = torch.tensor([whole.tokenizer(tiny.TEXTS[0])["input_ids"]])
    frozen = run(base, plan, base.feed.batch(ids, torch.ones_like(ids)))
    count = ids.shape[1]
    *_, last = Propagation(frozen, split_start(frozen, torch.arange(count)[None], count)).steps()
    row = targets[targets.row == 3]
    with torch.no_grad():
        own = whole.module.lm_head(last.state[0, 3]).log_softmax(-1)
        without = whole.module.lm_head(last.state[0, 3] - last.components[:4, 0, 3]).log_softmax(-1)
    token = int(own.argmax())
    assert row.token_id.tolist() == [token] * 4
    assert np.allclose(row.importance, ((own[token] - without[:, token]) / np.log(2)).numpy())


def test_the_analysis_gathers_terms_and_sources():
    _, base = headed("AutoModelForCausalLM", "gpt2")
    samples = Samples.of(tiny.TEXTS, pooling="token")
    layers = captured(base, samples)
    given = decomposition_tokens(layers, base, samples)
    table = given.tables["indicators"].to_pandas()
    dots = table[table.indicator == "relative_dot"]
    assert np.allclose(dots.groupby("site")["mean"].sum(), 1)
    assert (dots.n == len(layers[0])).all()
    assert set(dots.term) == {"target", "correction"}
    (summary,) = given.tables["summary"]
    assert summary["max_relative_error"] < LAYER_NORM
    assert summary["rows"] == len(layers[0])
    each = decomposition_tokens(layers, base, samples, by="tokens", first=2)
    sources = each.tables["sources"].to_pandas()
    assert np.allclose(sources.groupby("row").relative_dot.sum(), 1)
    known = layers[0].rows
    assert sorted(set(sources.row)) == np.flatnonzero(known.sample < 2).tolist()
    own = sources[(sources.row == sources.source)]
    assert own.text.tolist() == [known.token[row] for row in own.row]
    again = decomposition_tokens(layers, base, samples, by="words", first=2)
    words = again.tables["sources"].to_pandas()
    assert len(words) < len(sources)
    state = sources[(sources.row == 10) & (sources.term == "target")].relative_dot.sum()
    assert np.isclose(words[(words.row == 10) & (words.term == "target")].relative_dot.sum(), state)


def test_words_are_stretches_that_no_space_parts():
    _, base = headed("AutoModelForMaskedLM", "bert")
    samples = Samples.of([tiny.TEXTS[0], "Don't  stop"], pooling="token")
    site = base.sites["embed"]
    first, second = samples.encoded(base, site, [0, 1])
    for one, text in ((first, tiny.TEXTS[0]), (second, "Don't  stop")):
        groups = positions_of(one, "words")
        assert groups[0] == 0
        assert groups[-1] == groups.max()
        words = {int(g): "" for g in groups[~one.special]}
        for at in np.flatnonzero(~one.special):
            words[int(groups[at])] += one.text[one.starts[at] : one.ends[at]]
        assert [word.strip() for word in words.values()] == text.split()


def test_first_must_be_a_number_of_samples():
    _, base = headed("AutoModelForCausalLM", "gpt2")
    samples = Samples.of(tiny.TEXTS[:2], pooling="token")
    with pytest.raises(InputError, match="first=0 must be 1 or more"):
        decomposition_tokens(captured(base, samples), base, samples, first=0)


def test_the_model_is_as_it_was():
    whole, base = headed("AutoModelForCausalLM", "gpt2")
    before = whole.module.config._attn_implementation
    ids = torch.tensor([PADDED[0]])
    with torch.no_grad():
        first = whole.module(ids).logits
    samples = Samples.of(tiny.TEXTS[:2], pooling="token")
    decomposition_tokens(captured(base, samples), base, samples)
    assert whole.module.config._attn_implementation == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in whole.module.modules())
    with torch.no_grad():
        assert torch.equal(whole.module(ids).logits, first)


@pytest.mark.parametrize("name", ["gpt2", "marian"])
def test_groups_come_some_at_a_time(model, name, monkeypatch):
    own = model(name)
    frozen = frozen_of(own, sides(own)[-1])
    group = torch.full((len(PADDED), max(LENGTHS)), -1)
    for i, count in enumerate(LENGTHS):
        group[i, :count] = torch.arange(count)
    whole = by_token(frozen)[-1].components[: max(LENGTHS)]
    widest = max(len(inner.up.weight) for inner in frozen.plan.inner.values())
    monkeypatch.setattr(groups, "HELD", 2 * group.numel() * widest)
    parts = list(groups.group_parts(frozen, group, max(LENGTHS)))
    assert all(len(part) <= 2 for _, part in parts)
    assert [first for first, _ in parts] == list(range(0, max(LENGTHS), 2))
    found = torch.cat([part for _, part in parts])
    gaps = [valid(gap).abs().max() for gap in found - whole]
    assert max(gaps) < 1e-10 * whole.abs().max()


def test_batches_are_no_larger_than_attention_weights_allow(monkeypatch):
    _, base = headed("AutoModelForCausalLM", "gpt2")
    samples = Samples.of(tiny.TEXTS, pooling="token")
    plan = plan_of(base, bind(base), "default", centring_to_bias=False)
    numbers = list(range(len(tiny.TEXTS)))
    (whole,) = passes.batches(base, plan, samples, numbers[:8], 8)
    heads = sum(len(b.heads.output) for b in plan.bound.branches if b.heads)
    longest = max(len(one) for one in whole.encoded)
    monkeypatch.setattr(passes, "HELD", 2 * longest**2 * heads)
    parts = list(passes.batches(base, plan, samples, numbers[:8], 8))
    assert [one.sample for p in parts for one in p.encoded] == numbers[:8]
    assert len(parts) > 1
    for part in parts:
        size = max(len(one) for one in part.encoded) ** 2 * len(part.encoded) * heads
        assert size <= passes.HELD


@pytest.mark.parametrize("analysis", [decomposition_tokens, attribution.decomposition_token_logits])
def test_rows_that_are_not_the_positions_are_refused(analysis, monkeypatch):
    whole, base = headed("AutoModelForCausalLM", "gpt2")
    monkeypatch.setattr(attribution, "load_language_model", lambda _: whole)
    samples = Samples.of(tiny.TEXTS[:2], pooling="token")
    layers = captured(base, samples)
    with pytest.raises(InputError, match=r"pooled \(word\).*DATA --pooling token"):
        analysis(layers, base, Samples.of(tiny.TEXTS[:2], pooling="word"))
    some = Layers.of(*(acts.take(np.arange(1, len(acts))) for acts in layers))
    with pytest.raises(
        InputError, match=r"of sample 0 are not its .*: actlas extract .* --pooling token"
    ):
        analysis(some, base, samples)


def test_terms_of_tokens_are_summed_as_precisely_as_is_asked():
    _, base = headed("AutoModelForCausalLM", "gpt2", torch.float32)
    samples = Samples.of(tiny.TEXTS[:2], pooling="token")
    given = decomposition_tokens(captured(base, samples), base, samples, precision="float64")
    assert next(iter(given.tables["summary"]))["precision"] == "float64"


def test_rows_of_like_tokens_have_rows_of_their_own_in_the_figure(explained):
    _, _, given = explained("AutoModelForCausalLM", "gpt2", target="top", rows=0)
    table = given.tables["explained"].to_pandas()
    of = {row["of"] for row in _values(figures.contributions(given.tables))}
    assert len(of) == min(len(table), figures.SHOWN_ROWS)
    same = [dict(row, text="a", token="b") for row in given.tables["explained"]]
    of = {row["of"] for row in _values(figures.contributions({**given.tables, "explained": same}))}
    assert len(of) == min(len(table), figures.SHOWN_ROWS)


def _values(chart):
    return chart.data["values"]
