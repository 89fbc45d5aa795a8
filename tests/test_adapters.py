"""What the table of branches says of an architecture is what its blocks compute."""

import pytest
import torch
from torch.testing import assert_close

from actlas.core import sites as finding
from actlas.core.adapters import BRANCHES
from actlas.core.tracing import trace

from .branches import CONFIGS, POST_NORM, build, inputs

SCALED = {"granite"}  # branches are scaled after the submodule that gives them
NO_HEADS = {"wavlm"}
MIXTURES = {"deepseek_v3", "gpt_oss", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"}
CROSS = {"bart", "m2m_100", "marian", "mbart", "mt5", "pegasus", "t5", "umt5", "whisper"}


def line(name):
    return name.partition("/")[0]


def test_every_line_of_the_table_is_checked_here():
    assert {line(name) for name in CONFIGS} == set(BRANCHES)


@pytest.fixture(scope="module")
def traced():
    """Each network, its sites, and what every site gave in one forward pass."""
    made = {}

    @torch.inference_mode()
    def get(name):
        if name not in made:
            module = build(name)
            calls = trace(module, lambda: module(**inputs(module)))
            streams = [c for c in calls if c.output is not None and len(c.output.shape) == 3]
            shape = next(c.output.shape for c in reversed(streams) if c.output.shape[-1] == 16)
            two_sided = module.config.is_encoder_decoder
            found = finding.find_sites(module, calls, tuple(shape[:2]), two_sided=two_sided)
            made[name] = module, found, read(module, found.values())
        return made[name]

    return get


@torch.inference_mode()
def read(module, sites):
    """What sites give, by hooks of our own (batch, length, width)."""
    given = {}
    counts = {}

    def keep(site, tensor):
        number = counts.get(site.name, 0)
        counts[site.name] = number + 1
        if number == site.call:
            given[site.name] = tensor.clone()

    hooks = []
    for site in sites:
        sub = module.get_submodule(site.path)
        if site.port == "input":

            def before(_, args, kwargs, site=site):
                keep(site, args[0] if args else kwargs["hidden_states"])

            hooks.append(sub.register_forward_pre_hook(before, with_kwargs=True))
        else:

            def after(_, args, output, site=site):
                keep(site, output if isinstance(output, torch.Tensor) else output[0])

            hooks.append(sub.register_forward_hook(after))
    module(**inputs(module))
    for hook in hooks:
        hook.remove()
    shape = next(given[s.name].shape[:2] for s in sites if s.residual)
    return {n: t.reshape(*shape, t.shape[-1]) for n, t in given.items()}


def layers(found):
    """(prefix of a layer, the site before it), in order."""
    for side in dict.fromkeys(site.stack for site in found.values()):
        prefix = f"{side}." if side else ""
        before = f"{prefix}embed"
        depth = 0
        while (layer := f"{prefix}layers.{depth}") in found:
            yield layer, before
            before, depth = layer, depth + 1


def close(one, two):
    assert_close(one, two.reshape(one.shape), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_sites_inside_a_block_are_those_the_architecture_has(traced, name):
    _, found, _ = traced(name)
    listed = list(layers(found))
    assert len(listed) >= 2
    for layer, _ in listed:
        inner = {n.removeprefix(f"{layer}.") for n in found if n.startswith(f"{layer}.")}
        wanted = set() if line(name) in SCALED else {"attn", "mlp"}
        wanted |= set() if line(name) in NO_HEADS else {"heads"}
        wanted |= {"cross", "cross.heads"} if layer.startswith("decoder") else set()
        assert wanted <= inner, layer
        raw = {"attn.out", "mlp.out"} if BRANCHES[line(name)].attn_out else set()
        assert raw <= inner
        assert {n for n in inner - wanted - raw if not n.startswith("norm")} <= {"mlp.hidden"}
        assert ("mlp.hidden" in inner) or line(name) in MIXTURES
        assert "norm1" in inner


@pytest.mark.parametrize("name", [n for n in CONFIGS if n not in POST_NORM | SCALED])
def test_branches_add_up_to_the_stream(traced, name):
    _, found, given = traced(name)
    for layer, before in layers(found):
        terms = [given[n] for b in ("attn", "cross", "mlp") if (n := f"{layer}.{b}") in found]
        close(given[before] + sum(terms), given[layer])
        for term in terms:  # none is so small that leaving it out would go unseen
            assert term.abs().mean() > 1e-3


@pytest.mark.parametrize("name", sorted(POST_NORM))
@torch.inference_mode()
def test_norms_after_the_branches_read_the_stream_with_a_branch_added(traced, name):
    module, found, given = traced(name)
    for layer, before in layers(found):
        stream = given[before]
        terms = [n for b in ("attn", "cross", "mlp") if (n := f"{layer}.{b}") in found]
        for number, term in enumerate(terms, 1):
            norm = f"{layer}.norm{number}"
            close(stream + given[term], given[norm])
            stream = module.get_submodule(found[norm].path)(given[norm])
        close(stream, given[layer])
        assert f"{layer}.norm{len(terms) + 1}" not in found


@pytest.mark.parametrize("name", [n for n in CONFIGS if n not in POST_NORM | SCALED])
def test_the_first_norm_of_a_block_reads_the_stream_or_the_first_branch(traced, name):
    """Norms come before the branches (most), or after them inside (OLMo 2, EXAONE 4)."""
    _, found, given = traced(name)
    for layer, before in layers(found):
        first = given[f"{layer}.norm1"]
        if line(name) not in {"olmo2", "olmo3", "exaone4"}:
            assert torch.equal(first, given[before])
        else:
            assert f"{layer}.norm3" not in found


def projected(module, site, tensor):
    """The projection that reads `site`, computed from its weights alone."""
    sub = module.get_submodule(site.path)
    weight = sub.weight if type(sub).__name__ == "Conv1D" else sub.weight.T
    return tensor @ weight + (0 if sub.bias is None else sub.bias)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(
    ("inner", "branch"), [("heads", "attn"), ("cross.heads", "cross"), ("mlp.hidden", "mlp")]
)
@torch.inference_mode()
def test_a_branch_is_the_projection_of_what_is_inside_it(traced, name, inner, branch):
    module, found, given = traced(name)
    for layer, _ in layers(found):
        site, whole = found.get(f"{layer}.{inner}"), found.get(f"{layer}.{branch}")
        if site is None or whole is None:
            continue
        out = projected(module, site, given[site.name])
        if not site.path.startswith(whole.path):  # its own norm or scale comes after
            out = module.get_submodule(whole.path)(out)
        close(out, given[whole.name])


@torch.inference_mode()
def test_granite_scales_its_branches_on_their_way_into_the_stream(traced):
    module, found, given = traced("granite")
    factor = module.config.residual_multiplier
    for layer, before in layers(found):
        terms = [
            projected(module, found[f"{layer}.{inner}"], given[f"{layer}.{inner}"])
            for inner in ("heads", "mlp.hidden")
        ]
        close(given[before] + factor * sum(terms), given[layer])


@pytest.mark.parametrize("name", CONFIGS)
def test_heads_divide_the_width(traced, name):
    module, found, given = traced(name)
    config = module.config
    for site in found.values():
        if not site.name.endswith("heads"):
            assert site.heads is None
            continue
        wanted = config.num_attention_heads
        if line(name) in {"bart", "m2m_100", "marian", "mbart", "pegasus", "whisper"}:
            wanted = {"encoder": 4, "decoder": 2}[site.stack]
        assert site.heads == wanted
        assert site.width % site.heads == 0
        assert given[site.name].shape[-1] == site.width


@pytest.mark.parametrize(
    ("name", "value", "stack", "kind"),
    [
        ("bert", "encoder.layer.1.attention.self.value", "", "attentions"),
        ("phi", "layers.1.self_attn.v_proj", "", "attentions"),
        ("bart", "encoder.layers.1.self_attn.v_proj", "encoder", "encoder_attentions"),
        ("bart", "decoder.layers.1.self_attn.v_proj", "decoder", "decoder_attentions"),
        ("bart", "decoder.layers.1.encoder_attn.v_proj", "decoder", "cross_attentions"),
        ("t5", "decoder.block.1.layer.1.EncDecAttention.v", "decoder", "cross_attentions"),
    ],
)
@torch.inference_mode()
def test_each_head_is_its_own_attention_times_its_own_values(traced, name, value, stack, kind):
    """Against the attention weights that transformers gives, head by head."""
    module, found, given = traced(name)
    values = []
    hook = module.get_submodule(value).register_forward_hook(lambda m, x, y: values.append(y))
    output = module(**inputs(module), output_attentions=True)
    hook.remove()
    prefix = f"{stack}." if stack else ""
    site = found[f"{prefix}layers.1.{'cross.' if kind == 'cross_attentions' else ''}heads"]
    weights = output[kind][1]  # (batch, heads, length, read)
    mine = given[site.name].unflatten(-1, (site.heads, -1))  # (batch, length, heads, size)
    theirs = values[0].unflatten(-1, (site.heads, -1)).transpose(1, 2)
    close((weights @ theirs).transpose(1, 2), mine)
    assert weights.shape[1] == site.heads > 1


def test_sites_inside_a_block_come_in_the_order_of_the_forward_pass(traced):
    _, found, _ = traced("t5")
    assert [n for n in found if n.startswith("decoder.layers.1")] == [
        "decoder.layers.1." + part
        for part in (
            "norm1", "heads", "attn", "norm2", "cross.heads", "cross", "norm3", "mlp.hidden", "mlp",
        )
    ] + ["decoder.layers.1"]  # fmt: skip


def test_norms_of_queries_and_keys_are_no_sites(traced):
    for name in ("olmo2", "olmoe", "qwen3", "persimmon"):
        _, found, _ = traced(name)
        paths = [site.path for n, site in found.items() if "norm" in n]
        assert paths
        assert not [p for p in paths if p.rpartition(".")[2].startswith(("q_", "k_"))]


def captured(model):
    """What every site of a loaded model gives for the two samples it is traced with."""
    return model.capture(model.feed.example(), list(model.sites.values()))


BEFORE = ["vit", "dinov2", "dinov2_registers", "clip", "hubert", "wav2vec2_layer", "wavlm_layer",
          "whisper"]  # fmt: skip


@pytest.mark.parametrize("kind", BEFORE)
def test_branches_of_loaded_models_of_images_and_recordings_add_up(tiny, kind):
    model = tiny(kind)
    given = captured(model)
    for layer, before in layers(model.sites):
        close(given[before] + given[f"{layer}.attn"] + given[f"{layer}.mlp"], given[layer])
        assert torch.equal(given[f"{layer}.norm1"], given[before])
        close(given[before] + given[f"{layer}.attn"], given[f"{layer}.norm2"])


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm"])
@torch.inference_mode()
def test_norms_of_loaded_models_read_the_stream_with_a_branch_added(tiny, kind):
    model = tiny(kind)
    given = captured(model)
    for layer, before in layers(model.sites):
        close(given[before] + given[f"{layer}.attn"], given[f"{layer}.norm1"])
        norm = model.module.get_submodule(model.sites[f"{layer}.norm1"].path)
        close(norm(given[f"{layer}.norm1"]) + given[f"{layer}.mlp"], given[f"{layer}.norm2"])


@pytest.mark.parametrize("kind", [*BEFORE, "wav2vec2"])
@torch.inference_mode()
def test_what_is_inside_the_branches_of_loaded_models_is_what_they_project(tiny, kind):
    model = tiny(kind)
    given, shared = captured(model), {"heads": "attn", "mlp.hidden": "mlp"}
    for layer, _ in layers(model.sites):
        for inner, branch in shared.items():
            site, whole = model.sites.get(f"{layer}.{inner}"), model.sites[f"{layer}.{branch}"]
            if site is None:
                assert (kind, inner) == ("wavlm_layer", "heads")
                continue
            out = projected(model.module, site, given[site.name])
            if not site.path.startswith(whole.path):
                out = model.module.get_submodule(whole.path)(out)
            close(out, given[whole.name])
            assert site.heads == (2 if inner == "heads" else None)
