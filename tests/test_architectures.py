"""The residual stream at layers.i is the block's own output, bit for bit, on every architecture.

The blocks' paths are written down here once more, on purpose: the package finds them by tracing.
"""

import copy
import dataclasses

import pytest
import torch
from torch.testing import assert_close

from .tiny import ARCHITECTURES, DECODERS, ENCODER_DECODERS, ENCODERS, TEXTS

BLOCKS = {  # (architecture, stack) → the paths of its blocks, in order
    ("albert", ""): ["encoder.albert_layer_groups.0"] * 3,
    ("bert", ""): [f"encoder.layer.{i}" for i in range(3)],
    ("roberta", ""): [f"encoder.layer.{i}" for i in range(3)],
    ("distilbert", ""): [f"transformer.layer.{i}" for i in range(3)],
    ("gpt2", ""): [f"h.{i}" for i in range(3)],
    ("llama", ""): [f"layers.{i}" for i in range(3)],
    ("qwen2", ""): [f"layers.{i}" for i in range(3)],
    ("gemma2", ""): [f"layers.{i}" for i in range(3)],
    ("opt", ""): [f"decoder.layers.{i}" for i in range(3)],
    ("gpt_neox", ""): [f"layers.{i}" for i in range(3)],
    ("t5", "encoder"): [f"encoder.block.{i}" for i in range(3)],
    ("t5", "decoder"): [f"decoder.block.{i}" for i in range(2)],
    ("bart", "encoder"): [f"encoder.layers.{i}" for i in range(3)],
    ("bart", "decoder"): [f"decoder.layers.{i}" for i in range(2)],
    ("marian", "encoder"): [f"encoder.layers.{i}" for i in range(3)],
    ("marian", "decoder"): [f"decoder.layers.{i}" for i in range(2)],
}
STACKS = list(BLOCKS)
NORMED_LAST = [*((kind, "") for kind in DECODERS), ("t5", "encoder"), ("t5", "decoder")]
PRE_NORM = NORMED_LAST  # the same architectures: norms before the branches, one at the end
POST_NORM = [stack for stack in STACKS if stack not in PRE_NORM]


def test_every_architecture_has_its_blocks_written_down():
    assert {kind for kind, _ in STACKS} == set(ARCHITECTURES)
    assert set(ARCHITECTURES) == {*ENCODERS, *DECODERS, *ENCODER_DECODERS}


@pytest.fixture(scope="module")
def lively(tiny):
    """Tiny models whose weights are far from their starting values.

    Fresh weights are so small, and fresh norms so alike, that a forgotten branch or a wrong
    norm would hardly show.
    """
    made = {}

    def load(kind):
        if kind not in made:
            model = tiny(kind)
            module = copy.deepcopy(model.module)
            generator = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
            made[kind] = dataclasses.replace(model, module=module)
        return made[kind]

    return load


def batch(model, texts=TEXTS):
    """Token ids and mask, padded at the end."""
    limit = min(model.max_length, 36)
    ids = [model.tokenizer(text, truncation=True, max_length=limit)["input_ids"] for text in texts]
    longest = max(map(len, ids))
    padded = torch.tensor([one + [model.feed.pad_id] * (longest - len(one)) for one in ids])
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
    return padded, mask


def arguments(model, ids, mask, **more):
    """What the network is called with; a decoder reads the text one place to the right."""
    given = {"input_ids": ids, "attention_mask": mask, **more}
    if model.config.is_encoder_decoder:
        start = torch.full((len(ids), 1), model.config.decoder_start_token_id)
        given["decoder_input_ids"] = torch.cat([start, ids[:, :-1]], dim=1)
        given["decoder_attention_mask"] = mask
    return given


@torch.inference_mode()
def run(model, ids, mask, **more):
    return model.module(**arguments(model, ids, mask, **more))


def first(output):
    return output if isinstance(output, torch.Tensor) else output[0]


def block_outputs(model, paths, ids, mask):
    """What the blocks give, by plain hooks."""
    outputs = []
    hooks = [
        model.module.get_submodule(path).register_forward_hook(
            lambda module, given, output: outputs.append(first(output).clone())
        )
        for path in dict.fromkeys(paths)
    ]
    run(model, ids, mask, **({} if model.config.model_type in ENCODERS else {"use_cache": False}))
    for hook in hooks:
        hook.remove()
    return outputs


def named(stack, name):
    return f"{stack}.{name}" if stack else name


def capture(model, stack, *names):
    ids, mask = batch(model)
    sites = [model.sites[named(stack, name)] for name in names]
    captured = model.capture(model.feed.batch(ids, mask), sites)
    return [captured[site.name] for site in sites]


def hidden_states(model, stack):
    ids, mask = batch(model)
    output = run(model, ids, mask, output_hidden_states=True)
    return output[f"{stack}_hidden_states"] if stack else output.hidden_states


def last_hidden_state(model, stack):
    output = run(model, *batch(model))
    return output["encoder_last_hidden_state" if stack == "encoder" else "last_hidden_state"]


@pytest.mark.parametrize(("kind", "stack"), STACKS)
def test_layers_are_the_outputs_of_the_blocks_bit_for_bit(lively, kind, stack):
    model = lively(kind)
    paths = BLOCKS[kind, stack]
    wanted = block_outputs(model, paths, *batch(model))
    captured = capture(model, stack, *(f"layers.{i}" for i in range(len(paths))))
    assert len(wanted) == len(paths)
    for mine, theirs in zip(captured, wanted, strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(wanted[0], wanted[1])


@pytest.mark.parametrize(("kind", "stack"), STACKS)
def test_each_block_has_one_site_and_no_other_layer_exists(lively, kind, stack):
    names = lively(kind).sites
    layers = [n for n in names if n.removeprefix(f"{stack}.").count(".") == 1]
    wanted = [named(stack, f"layers.{i}") for i in range(len(BLOCKS[kind, stack]))]
    assert [n for n in layers if n in wanted] == wanted
    assert named(stack, f"layers.{len(wanted)}") not in names


@pytest.mark.parametrize(("kind", "stack"), STACKS)
def test_embed_and_inner_layers_are_the_hidden_states(lively, kind, stack):
    model = lively(kind)
    depth = len(BLOCKS[kind, stack])
    theirs = hidden_states(model, stack)
    assert len(theirs) == depth + 1
    inner = capture(model, stack, "embed", *(f"layers.{i}" for i in range(depth - 1)))
    for mine, state in zip(inner, theirs[:-1], strict=True):
        assert torch.equal(mine, state)


@pytest.mark.parametrize(("kind", "stack"), NORMED_LAST)
def test_final_is_the_last_hidden_state_after_the_norm(lively, kind, stack):
    model = lively(kind)
    last = f"layers.{len(BLOCKS[kind, stack]) - 1}"
    final, before = capture(model, stack, "final", last)
    assert torch.equal(final, last_hidden_state(model, stack))
    assert not torch.equal(final, before)


@pytest.mark.parametrize(("kind", "stack"), POST_NORM)
def test_without_a_final_norm_the_last_layer_is_the_last_hidden_state(lively, kind, stack):
    model = lively(kind)
    assert named(stack, "final") not in model.sites
    (last,) = capture(model, stack, f"layers.{len(BLOCKS[kind, stack]) - 1}")
    assert torch.equal(last, last_hidden_state(model, stack))


def branch_names(model, stack, layer):
    names = [f"layers.{layer}.{branch}" for branch in ("attn", "cross", "mlp")]
    return [name for name in names if named(stack, name) in model.sites]


@pytest.mark.parametrize(("kind", "stack"), STACKS)
def test_only_decoders_that_read_an_encoder_have_a_cross_branch(lively, kind, stack):
    model = lively(kind)
    for layer in range(len(BLOCKS[kind, stack])):
        branches = [name.rpartition(".")[2] for name in branch_names(model, stack, layer)]
        cross = ["cross"] if stack == "decoder" else []
        assert branches == ["attn", *cross, "mlp"]


@pytest.mark.parametrize(("kind", "stack"), STACKS)
def test_every_site_gives_batch_length_width(lively, kind, stack):
    model = lively(kind)
    ids, mask = batch(model)
    sites = [site for site in model.sites.values() if site.stack == stack]
    for name, tensor in model.capture(model.feed.batch(ids, mask), sites).items():
        assert tuple(tensor.shape) == (*ids.shape, model.sites[name].width), name


@pytest.mark.parametrize(("kind", "stack"), PRE_NORM)
def test_each_layer_is_the_one_before_plus_its_branches(lively, kind, stack):
    model = lively(kind)
    for layer in range(len(BLOCKS[kind, stack])):
        before = f"layers.{layer - 1}" if layer else "embed"
        names = branch_names(model, stack, layer)
        stream, out, *terms = capture(model, stack, before, f"layers.{layer}", *names)
        terms = [term.reshape(out.shape) for term in terms]  # another test checks their shape
        assert_close(stream + sum(terms), out, rtol=1e-5, atol=1e-5)
        for term in terms:  # none is so small that leaving it out would go unseen
            assert term.abs().mean() > 1e-2


def bert_block(block, stream, attn, mlp):
    middle = block.attention.output.LayerNorm(stream + attn)
    return block.output.LayerNorm(middle + mlp)


def distilbert_block(block, stream, attn, mlp):
    return block.output_layer_norm(block.sa_layer_norm(stream + attn) + mlp)


def albert_block(block, stream, attn, mlp):
    layer = block.albert_layers[0]
    return layer.full_layer_layer_norm(layer.attention.LayerNorm(stream + attn) + mlp)


def bart_block(block, stream, attn, *rest):
    stream = block.self_attn_layer_norm(stream + attn)
    if len(rest) == 2:
        stream = block.encoder_attn_layer_norm(stream + rest[0])
    return block.final_layer_norm(stream + rest[-1])


REBUILD = {
    "albert": albert_block, "bart": bart_block, "bert": bert_block, "distilbert": distilbert_block,
    "marian": bart_block, "roberta": bert_block,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "stack"), POST_NORM)
@torch.inference_mode()
def test_each_layer_is_rebuilt_from_branches_and_the_blocks_own_norms(lively, kind, stack):
    model = lively(kind)
    for layer, path in enumerate(BLOCKS[kind, stack]):
        before = f"layers.{layer - 1}" if layer else "embed"
        names = branch_names(model, stack, layer)
        stream, out, *terms = capture(model, stack, before, f"layers.{layer}", *names)
        rebuilt = REBUILD[kind](model.module.get_submodule(path), stream, *terms)
        assert_close(rebuilt, out, rtol=1e-5, atol=1e-5)
        for term in terms:
            assert term.abs().mean() > 1e-2


@pytest.mark.parametrize(("kind", "stack"), STACKS)
@pytest.mark.parametrize(("site", "blocks"), [("embed", 0), ("layers.0", 1), ("layers.1.attn", 1)])
def test_the_forward_stops_after_the_last_wanted_site(lively, kind, stack, site, blocks):
    model = lively(kind)
    finished = []
    hooks = [
        model.module.get_submodule(path).register_forward_hook(
            lambda module, given, output, side=side: finished.append(side)
        )
        for side in {side for known, side in STACKS if known == kind}
        for path in dict.fromkeys(BLOCKS[kind, side])
    ]
    try:
        capture(model, stack, site)
    finally:
        for hook in hooks:
            hook.remove()
    assert finished.count(stack) == blocks
    if stack == "encoder":
        assert "decoder" not in finished


def count_hooks(model):
    """Hooks on the network: transformers leaves some of its own."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.module.modules())


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_stopped_forward_leaves_the_network_as_it_was(lively, kind):
    model = lively(kind)
    ids, mask = batch(model)
    stack = "encoder" if kind in ENCODER_DECODERS else ""
    before, states = run(model, ids, mask).last_hidden_state, hidden_states(model, stack)
    hooks = count_hooks(model)
    capture(model, stack, "embed", "layers.0")
    assert count_hooks(model) == hooks
    assert torch.equal(run(model, ids, mask).last_hidden_state, before)
    for now, then in zip(hidden_states(model, stack), states, strict=True):
        assert torch.equal(now, then)


@pytest.mark.parametrize(("kind", "stack"), STACKS)
def test_padding_does_not_leak_into_real_tokens(lively, kind, stack):
    model = lively(kind)
    ids, mask = batch(model)
    sites = [site for site in model.sites.values() if site.stack == stack]
    lengths = mask.sum(dim=1).tolist()
    assert min(lengths) < max(lengths) / 4
    together = model.capture(model.feed.batch(ids, mask), sites)
    for i, length in enumerate(lengths):
        alone = model.capture(model.feed.batch(ids[i : i + 1, :length]), sites)
        for site in sites:
            tensor = together[site.name].reshape(*ids.shape, -1)[i, :length]
            assert_close(alone[site.name].reshape(tensor.shape), tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [*ENCODERS, "gpt2", "bart", "marian"])
def test_the_longest_text_allowed_runs(lively, kind):
    model = lively(kind)
    ids = torch.full((1, model.max_length), 7)
    site = next(site for site in model.sites.values() if site.residual)
    captured = model.capture(model.feed.batch(ids), [site])
    assert captured[site.name].shape[1] == model.max_length


def test_roberta_numbers_positions_after_its_padding_index(lively):
    model = lively("roberta")
    assert model.max_length == model.config.max_position_embeddings - model.feed.pad_id - 1
    ids = torch.full((1, model.max_length + 1), 7)
    with pytest.raises((IndexError, RuntimeError)):
        model.capture(model.feed.batch(ids), [model.sites["embed"]])


def test_albert_runs_one_block_many_times_with_other_values_each_time(lively):
    model = lively("albert")
    names = ["layers.0", "layers.1", "layers.2"]
    assert {model.sites[name].path for name in names} == {"encoder.albert_layer_groups.0"}
    assert [model.sites[name].call for name in names] == [0, 1, 2]
    for part in ("", ".attn", ".mlp"):
        one, two, three = capture(model, "", *(name + part for name in names))
        assert (one - two).abs().max() > 1e-2
        assert (two - three).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
def test_row_t_of_a_decoder_depends_on_earlier_tokens_only_through_the_encoder(lively, kind):
    """The decoder reads the text shifted: changing its last token changes no decoder input."""
    model = lively(kind)
    ids, mask = batch(model, TEXTS[3:4])
    changed = ids.clone()
    changed[0, -1] = 9
    assert torch.equal(model.feed.shifted(ids), model.feed.shifted(changed))
    assert model.feed.shifted(ids)[0, 0] == model.config.decoder_start_token_id
    assert torch.equal(model.feed.shifted(ids)[0, 1:], ids[0, :-1])
    embed = [
        model.capture(model.feed.batch(x, mask), [model.sites["decoder.embed"]])
        for x in (ids, changed)
    ]
    assert torch.equal(embed[0]["decoder.embed"], embed[1]["decoder.embed"])
