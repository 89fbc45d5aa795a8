"""Terms, parts, heads and sources of every architecture sum to what the model gives itself."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from actlas import InputError
from actlas.plugins.decomposition.bound import Branch, bind
from actlas.plugins.decomposition.check import check
from actlas.plugins.decomposition.layouts import LAYOUTS, SubLayer, Value
from actlas.plugins.decomposition.norms import Norm
from actlas.plugins.decomposition.parts import parts
from actlas.plugins.decomposition.terms import Seen, running, split
from actlas.plugins.decomposition.unembedding import Transform, Unembedding, bind_head, check_head

from .wild import MODELS, padded, sides, valid, wild

LAYER_NORM, RMS_NORM, SINGLE = 1e-10, 1e-6, 1e-5


@pytest.fixture(scope="module")
def model():
    """Make each model once in double precision."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = wild(name)
        return made[name]

    return get


def states_of(model, bound):
    """What the model gives at every site that is read, padding left out (n, width)."""
    sites = [model.sites[name] for name in bound.sites(heads=True)]
    return {name: valid(t) for name, t in model.capture(padded(model), sites).items()}


def hidden(model, side):
    """The hidden states as transformers gives them (n, width), the last after its norm."""
    given = model.hidden_states(padded(model), side)
    return [valid(state) for state in given]


def error(found, wanted):
    return float(((found - wanted).norm(dim=-1) / wanted.norm(dim=-1)).max())


def bound_of(name):
    return LAYER_NORM if MODELS[name][2] else RMS_NORM


@pytest.mark.parametrize("name", MODELS)
def test_terms_sum_to_every_hidden_state_and_parts_to_their_terms(model, name):
    own = model(name)
    for side in sides(own):
        bound = bind(own, side)
        states, seen, found = states_of(own, bound), Seen(), {}
        for depth in running(bound, states, seen):
            found[depth.site] = depth.terms.clone()
        given = hidden(own, side)
        at = [*bound.depths]
        if bound.final_norm is not None:
            at.remove(f"{bound.prefix}layers.{bound.layers - 1}")  # transformers gives the normed
        if name.startswith("opt, post"):
            given = given[:-1]  # the last is projected
            at = at[:-1]
        for site, wanted in zip(at, given, strict=True):
            assert error(found[site].sum(0), wanted) < bound_of(name), site
        for site, terms in found.items():
            size = terms.sum(0).norm(dim=-1).mean()
            summed = torch.zeros_like(terms)
            for part in parts(bound, states, seen, site, heads=True):
                summed[bound.terms.index(part.term)] += part.vector
                if part.heads is not None:
                    assert float((part.heads.sum(0) - part.vector).abs().max() / size) < 1e-12
            assert float((summed - terms).abs().max() / size) < 1e-12, site


@pytest.mark.parametrize("name", MODELS)
def test_heads_and_sources_sum_to_what_the_branch_gives(model, name):
    own = model(name)
    for side in sides(own):
        assert check(own, bind(own, side)) < RMS_NORM  # attention's softmax may run in float32


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {entry for entry, *_ in MODELS.values()}))
def test_every_other_architecture_with_a_layout_is_exact(name):
    own = wild(name)
    for side in sides(own):
        assert check(own, bind(own, side)) < RMS_NORM


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "gemma2", "t5", "bart"])
def test_single_precision(name):
    own = wild(name, torch.float32)
    for side in sides(own):
        bound = bind(own, side)
        states = states_of(own, bound)
        for depth in running(bound, states):
            assert error(depth.terms.sum(0), depth.state) < SINGLE
        assert check(own, bound) < SINGLE


def test_every_layout_is_of_an_architecture_that_can_be_made():
    from .branches import CONFIGS

    assert set(LAYOUTS) <= {name.partition("/")[0] for name in CONFIGS}


LANGUAGE = {
    "AutoModelForMaskedLM": ["bert", "roberta", "distilbert", "electra"],
    "AutoModelForCausalLM": [
        "gpt2", "opt", "opt, post-norm", "llama", "qwen2", "gemma2", "gpt_neox", "olmo2", "granite",
        "phi3",
    ],
    "AutoModelForSeq2SeqLM": ["t5", "t5, gated", "bart", "marian", "mbart"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in LANGUAGE.items() for name in names]
)
def test_contributions_sum_to_every_logit(kind, name):
    headed = wild(name, kind=kind)
    base = replace(headed, module=headed.module.base_model)
    side = sides(base)[-1]
    bound = bind(base, side)
    head = bind_head(headed, bound)
    assert check_head(headed, head, base, bound) < bound_of(name)
    with torch.inference_mode():
        own = valid(headed.module(**padded(base).arguments).logits)
    if head.cap is not None:
        own = head.cap * torch.atanh(own / head.cap)  # before the cap
    states, seen = states_of(base, bound), Seen()
    *_, last = running(bound, states, seen)
    pieces = list(parts(bound, states, seen, bound.depths[-1]))
    for token in range(own.shape[1]):
        direction, constant = head.directions(last.state, torch.full((len(own),), token))
        summed = constant + sum((part.vector * direction).sum(-1) for part in pieces)
        assert float((summed - own[:, token]).abs().max() / own.abs().max()) < bound_of(name)


def test_heads_that_give_other_logits_are_refused():
    headed = wild("bart", kind="AutoModelForSeq2SeqLM")
    base = replace(headed, module=headed.module.base_model)
    bound = bind(base, "decoder")
    head = bind_head(headed, bound)
    with pytest.raises(InputError, match="gives other logits than its layout says"):
        check_head(headed, replace(head, bias=head.bias + 0.1), base, bound)
    with pytest.raises(InputError, match=r"predicts no token from the encoder states"):
        bind_head(headed, bind(base, "encoder"))


def test_where_a_dense_layer_gives_zeros_the_slope_is_that_at_zero():
    norm = Norm("", torch.ones(4), torch.arange(4.0), 0.01, True)
    dense = Transform(torch.zeros(4, 4), torch.zeros(4), torch.nn.functional.gelu, norm)
    head = Unembedding(torch.eye(4), None, dense, None)
    torch.testing.assert_close(head.logits(torch.ones(1, 4)), norm.bias[None], atol=1e-5, rtol=0)


def terms_at_the_end(model, side=""):
    bound = bind(model, side)
    *_, last = running(bound, states_of(model, bound))
    return dict(zip(bound.terms, last.terms.clone(), strict=True))


@pytest.mark.parametrize("name", ["bert", "llama", "gpt_neox", "bart"])
def test_a_value_bias_moves_only_the_correction_of_its_layer(name):
    """Σ terms = state cannot see a value bias that is left in attention, so it is changed."""
    side = sides(wild(name))[-1]
    before, after = wild(name), wild(name)
    bound = bind(after, side)
    branch = next(b for b in reversed(bound.branches) if b.kind == "attention")
    path = f"{branch.block}.{branch.spec.value.path}"
    projection = after.module.get_submodule(path)
    size, heads = branch.heads.value.shape[1], branch.heads.value.shape[0]
    rows = torch.arange(len(projection.bias))
    if branch.spec.value.form == "interleaved":
        rows = rows.reshape(heads, 3, size)[:, 2].reshape(-1)
    with torch.no_grad():
        projection.bias[rows] += torch.randn(len(rows), dtype=torch.float64)
    found = [states_of(model, bind(model, side)) for model in (before, after)]
    main = [
        found[i][branch.site] - next(
            b for b in bind(model, side).branches if b.site == branch.site
        ).bias
        for i, model in enumerate((before, after))
    ]  # fmt: skip
    assert error(*main) < 1e-7
    assert error(found[0][branch.site], found[1][branch.site]) > 1e-2


@pytest.mark.parametrize("name", ["bert", "gpt2", "gemma2", "marian"])
def test_without_what_mixes_heads_attention_is_nothing(name):
    own = wild(name)
    side = sides(own)[-1]
    with torch.no_grad():
        for branch in bind(own, side).branches:
            if branch.kind == "attention":
                own.module.get_submodule(f"{branch.block}.{branch.spec.output}").weight.zero_()
    found = terms_at_the_end(own, side)
    assert found["attention"].abs().max() == 0
    assert found["feed_forward"].abs().max() > 0


@pytest.mark.parametrize("name", ["bert", "opt", "granite", "t5, gated"])
def test_without_its_last_projection_the_feed_forward_is_nothing(name):
    own = wild(name)
    side = sides(own)[-1]
    with torch.no_grad():
        for branch in bind(own, side).branches:
            if branch.kind == "feed_forward":
                own.module.get_submodule(f"{branch.block}.{branch.spec.output}").weight.zero_()
    found = terms_at_the_end(own, side)
    assert found["feed_forward"].abs().max() == 0
    assert found["attention"].abs().max() > 0


def test_where_nothing_has_a_bias_there_is_no_correction():
    """LLaMA's kin without biases: RMSNorm has neither mean nor shift."""
    found = terms_at_the_end(wild("mistral"))
    assert found["correction"].abs().max() == 0


def test_of_a_pre_norm_stream_the_input_stays_the_embedding():
    own = wild("gpt2")
    bound = bind(own)
    states = states_of(own, bound)
    for depth in running(bound, states):
        if depth.site != "final":
            assert torch.equal(depth.terms[0], states["embed"])


def test_the_cross_attention_is_a_term_of_its_own():
    own = wild("marian")
    assert bind(own, "decoder").terms == (
        "input", "attention", "cross_attention", "feed_forward", "correction",
    )  # fmt: skip
    assert bind(own, "encoder").terms == ("input", "attention", "feed_forward", "correction")


def test_flags_decide_and_not_the_name():
    assert bind(wild("opt, post-norm")).post
    assert not bind(wild("opt")).post


# What a layout may have wrong, and the sub-layer that is named then.
WRONG = {
    "values of the wrong rows": ("gpt_neox", {"value": Value("attention.query_key_value", "last")},
                                 "sources do not sum to layers.0.attn"),
    "no norm after attention": ("bert", {"post_norm": ""}, "layers.0.mlp"),
    "a norm of another place": ("gpt2", {"pre_norm": "ln_2"}, "layers.0.attn"),
    "a branch that is no branch": ("gpt2", {"output": "attn.c_attn"}, "layers.0.attn"),
}  # fmt: skip


@pytest.mark.parametrize("what", ["values of the wrong rows", "no norm after attention"])
def test_a_wrong_layout_is_refused_naming_the_sub_layer(monkeypatch, model, what):
    name, change, said = WRONG[what]
    own = model(name)
    kind = own.config.model_type
    layout = next(one for one in LAYOUTS[kind] if one.fits(own.config))
    stack = layout.stacks[""]
    wrong = replace(stack, sublayers=(replace(stack.sublayers[0], **change), *stack.sublayers[1:]))
    monkeypatch.setitem(LAYOUTS, kind, (replace(layout, stacks={"": wrong}),))
    with pytest.raises(InputError, match=said):
        check(own, bind(own))


MUTANTS = {
    "another ε": lambda norm: replace(norm, epsilon=norm.epsilon * 1.1),
    "no shift": lambda norm: replace(norm, bias=None),
    "no mean": lambda norm: replace(norm, centred=False),
    "a gain more": lambda norm: replace(norm, gain=norm.gain + 0.01),
}


@pytest.mark.parametrize("what", MUTANTS)
def test_a_norm_that_is_read_wrongly_is_refused(model, what):
    own = model("bert")
    bound = bind(own)
    branch = bound.branches[2]
    wrong = replace(branch, post_norm=MUTANTS[what](branch.post_norm))
    branches = (*bound.branches[:2], wrong, *bound.branches[3:])
    with pytest.raises(InputError, match=r"after layers\.1\.attn \(encoder\.layer\.1"):
        check(own, replace(bound, branches=branches))


def test_a_value_bias_in_the_wrong_head_is_refused(model):
    """Heads tiled where they are repeated one by one: the sum of all terms is the same."""
    own = model("llama")
    bound = bind(own)
    branch = bound.branches[0]
    tiled = branch.heads.value_bias[[0, 2, 0, 2]]
    constant = (tiled[:, None] @ branch.heads.output).sum(0)[0]
    own_constant = (branch.heads.value_bias[:, None] @ branch.heads.output).sum(0)[0]
    wrong = replace(
        branch,
        heads=replace(branch.heads, value_bias=tiled),
        bias=branch.bias - own_constant + constant,
    )
    assert error(wrong.bias[None], branch.bias[None]) > 1e-3
    with pytest.raises(InputError, match=r"sources do not sum to layers\.0\.attn"):
        check(own, replace(bound, branches=(wrong, *bound.branches[1:])))


def test_heads_that_do_not_sum_to_their_branch_are_refused(model):
    bound = bind(model("llama"))
    branch = bound.branches[0]
    wrong = replace(branch.heads, value_bias=branch.heads.value_bias + 0.1)
    branches = (replace(branch, heads=wrong), *bound.branches[1:])
    with pytest.raises(InputError, match=r"heads do not sum to layers\.0\.attn"):
        check(model("llama"), replace(bound, branches=branches))


def test_states_that_are_no_numbers_are_refused():
    own = wild("gpt2")
    bound = bind(own)
    with torch.no_grad():
        own.module.h[1].mlp.c_proj.bias[0] = torch.nan
    with pytest.raises(InputError, match=r"after layers\.1\.mlp \(relative error nan"):
        check(own, bound)


def test_a_normed_branch_that_is_multiplied_by_hand():
    """g ⊙ (main + bias − m) / s + β, all of it times the multiplier."""
    given, bias = torch.randn(5, 8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    gain, shift = torch.randn(2, 8, dtype=torch.float64)
    for centred in (True, False):
        norm = Norm("", gain, shift, 0.01, centred)
        spec = SubLayer("feed_forward", "")
        branch = Branch("", 1, "feed_forward", bias, 0.5, None, norm, None, None, spec, "")
        found = split(branch, given)
        mean = given.mean(-1, keepdim=True) * centred
        scale = (((given - mean) ** 2).mean(-1, keepdim=True) + 0.01).sqrt()
        assert torch.allclose(found.main, 0.5 * gain * (given - bias) / scale)
        assert torch.allclose(found.rest, 0.5 * (gain * (bias - mean) / scale + shift))
        assert torch.allclose(found.factor * (given - bias), found.main)


def test_training_mode_is_refused():
    own = wild("bert")
    own.module.encoder.layer[1].train()
    with pytest.raises(InputError, match=r"training mode.*eval"):
        bind(own)


class Packed(torch.nn.Module):
    """As layers of torch.ao are: the weight is a method."""

    def weight(self):
        raise NotImplementedError


def test_quantised_weights_are_refused():
    own = wild("gpt2")
    own.module.config.quantization_config = {"quant_method": "bitsandbytes"}
    with pytest.raises(InputError, match="quantised"):
        bind(own)
    del own.module.config.quantization_config
    whole = torch.nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False)
    own.module.h[0].mlp.register_parameter("packed", whole)
    with pytest.raises(InputError, match="quantised"):
        bind(own)
    own = wild("bert")
    own.module.encoder.layer[1].output.dense = Packed().eval()
    with pytest.raises(InputError, match="quantised"):
        bind(own)


def test_an_architecture_without_a_layout_is_refused_with_those_that_work(tiny):
    with pytest.raises(InputError, match=r"albert.*bart, bert, .*--method blocks"):
        bind(tiny("albert"))


def test_the_model_is_as_before_also_after_an_exception():
    own = wild("gpt2")
    batch = padded(own)
    own.module.set_attn_implementation("sdpa")
    before = own.module(**batch.arguments).last_hidden_state
    bound = bind(own)
    wrong = replace(bound, final_norm=replace(bound.final_norm, epsilon=1.0))
    expected = (nullcontext(), pytest.raises(InputError, match="after the final norm"))
    for checked, outcome in zip((bound, wrong), expected, strict=True):
        with outcome:
            check(own, checked)
        parts_ = list(own.module.modules())
        assert own.module.config._attn_implementation == "sdpa"
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts_)
        assert not any(part.training for part in parts_)
        assert torch.equal(own.module(**batch.arguments).last_hidden_state, before)
    # What transformers keeps by itself works on.
    assert len(own.hidden_states(batch)) == 3


def test_weights_of_attention_are_read_and_what_was_set_is_put_back(model):
    own = model("bart")
    own.module.set_attn_implementation("sdpa")
    found = own.attentions(padded(own))
    assert set(found) == {
        f"{side}.layers.{i}.{kind}"
        for side, kind in (("encoder", "attn"), ("decoder", "attn"), ("decoder", "cross"))
        for i in range(2)
    }
    assert own.module.config._attn_implementation == "sdpa"
    sums = found["decoder.layers.0.cross"].sum(-1)
    assert torch.allclose(sums, torch.ones_like(sums))

    def fail(*_):
        raise RuntimeError("stopped")

    handle = own.module.decoder.layers[0].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="stopped"):
        own.attentions(padded(own))
    handle.remove()
    assert own.module.config._attn_implementation == "sdpa"
