"""Sites: how they are named, chosen, refused and listed."""

from types import SimpleNamespace

import pytest
import torch
import transformers
from torch import nn

from actlas.core import LoadedModel, Site, SiteError, TextFeed, describe_sites, select_sites

SOME_SITES = [
    "embed",
    *("layers.0.attn", "layers.0.mlp", "layers.0"),
    *("layers.1.attn", "layers.1.mlp", "layers.1"),
    *("layers.2.attn", "layers.2.mlp", "layers.2"),
    "final",
]
INNER = ["norm1", "heads", "attn", "norm2", "mlp.hidden", "mlp"]
GPT2_SITES = [
    "embed",
    *(name for i in range(3) for name in (*(f"layers.{i}.{n}" for n in INNER), f"layers.{i}")),
    "final",
]


def some_sites(*names):
    return {
        name: Site(name, f"at.{name}", 4, residual=not name.endswith(("attn", "mlp")))
        for name in names
    }


SITES = some_sites(*SOME_SITES)


def names_of(sites):
    return [site.name for site in sites]


def test_sites_are_listed_in_the_order_of_the_forward_pass(tiny):
    assert list(tiny("gpt2").sites) == GPT2_SITES


def test_a_decoder_block_reads_the_encoder_between_its_other_branches(tiny):
    assert [n for n in tiny("t5").sites if n.startswith("decoder.layers.1")] == [
        *("decoder.layers.1.norm1", "decoder.layers.1.heads", "decoder.layers.1.attn"),
        *("decoder.layers.1.norm2", "decoder.layers.1.cross.heads", "decoder.layers.1.cross"),
        *("decoder.layers.1.norm3", "decoder.layers.1.mlp.hidden", "decoder.layers.1.mlp"),
        "decoder.layers.1",
    ]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("layers.1", ["layers.1"]),
        ("layers.*", ["layers.0", "layers.1", "layers.2"]),
        ("layers.*.attn", ["layers.0.attn", "layers.1.attn", "layers.2.attn"]),
        ("layers.2.*", ["layers.2.attn", "layers.2.mlp"]),
        ("*", ["embed", "final"]),
        ("*.*", ["layers.0", "layers.1", "layers.2"]),
        ("e*", ["embed"]),
        ("layers.-1", ["layers.2"]),
        ("layers.-3", ["layers.0"]),
        ("layers.-2.mlp", ["layers.1.mlp"]),
        ("residual", ["embed", "layers.0", "layers.1", "layers.2", "final"]),
        ("layers.2,embed", ["embed", "layers.2"]),
        (" layers.0 , layers.*.mlp,layers.0", ["layers.0.mlp", "layers.0", "layers.1.mlp",
                                               "layers.2.mlp"]),
        (["final", "layers.-1", "layers.2"], ["layers.2", "final"]),
    ],
)  # fmt: skip
def test_patterns_choose_each_site_once_in_order(pattern, wanted):
    assert select_sites(pattern, SITES) == wanted


def test_negative_indices_count_layers_as_numbers_not_as_text():
    sites = some_sites("embed", *(f"layers.{i}" for i in range(12)))
    assert select_sites("layers.-1", sites) == ["layers.11"]
    assert select_sites("layers.-12", sites) == ["layers.0"]
    assert select_sites("layers.1", sites) == ["layers.1"]
    assert select_sites("layers.1*", sites) == ["layers.1", "layers.10", "layers.11"]


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("layer.1", "layers.1"),
        ("layers.1.atn", "layers.1.attn"),
        ("finall", "final"),
        ("layers.3", "layers.2"),
        ("layers.-4", "layers.0"),
    ],
)
def test_an_unknown_site_is_refused_with_the_nearest_names(pattern, near):
    with pytest.raises(SiteError) as raised:
        select_sites(pattern, SITES)
    assert repr(pattern) in str(raised.value)
    said = str(raised.value).partition("did you mean ")[2]
    assert near in said.removesuffix("?").split(", ")


def test_a_name_like_no_other_is_refused_with_what_there_is():
    with pytest.raises(SiteError, match=r"no site 'quux'; there is embed, layers\.0\.attn"):
        select_sites("quux", SITES)


@pytest.mark.parametrize("pattern", ["nothing.*", "layers", "layers.", "layers.+", "layers.0.x*"])
def test_a_pattern_without_a_match_is_refused(pattern):
    with pytest.raises(SiteError, match="no site"):
        select_sites(f"embed,{pattern}", SITES)


@pytest.mark.parametrize("pattern", ["layersx1", "layers.[12]", "layers?1", "embed|final"])
def test_only_the_star_is_special_in_a_glob(pattern):
    with pytest.raises(SiteError, match="no site"):
        select_sites(f"{pattern}*", SITES)


@pytest.mark.parametrize("nothing", ["", " , ", []])
def test_no_pattern_at_all_is_refused(tiny, nothing):
    with pytest.raises(SiteError, match="no site named"):
        tiny("gpt2").select(nothing)


def test_globs_keep_the_stacks_of_an_encoder_decoder_apart(tiny):
    model = tiny("bart")
    assert names_of(model.select("encoder.layers.*")) == [f"encoder.layers.{i}" for i in range(3)]
    assert names_of(model.select("decoder.layers.-1")) == ["decoder.layers.1"]
    assert names_of(model.select("decoder.layers.*.cross")) == [
        "decoder.layers.0.cross",
        "decoder.layers.1.cross",
    ]
    with pytest.raises(SiteError, match="no site"):
        model.select("layers.*")


def test_residual_means_the_encoder_of_an_encoder_decoder(tiny):
    wanted = ["encoder.embed", *(f"encoder.layers.{i}" for i in range(3)), "encoder.final"]
    assert names_of(tiny("t5").select("residual")) == wanted


@pytest.mark.parametrize(
    "patterns",
    [
        "encoder.embed,decoder.embed",
        "*.layers.*",
        "encoder.layers.0,module:decoder.layers.0.fc1",
        "module:encoder.layers.0,module:decoder.layers.0",
    ],
)
def test_sites_of_the_encoder_and_the_decoder_do_not_mix(tiny, patterns):
    with pytest.raises(SiteError, match=r"encoder and decoder .* one after the other"):
        tiny("bart").select(patterns)


def test_any_submodule_with_a_vector_a_token_is_a_site(tiny):
    model = tiny("gpt2")
    (site,) = model.select("module:h.1.mlp.c_fc")
    assert (site.path, site.width, site.stack) == ("h.1.mlp.c_fc", 64, "")
    ids = torch.tensor([[5, 6, 7]])
    kept = []
    hook = model.module.h[1].mlp.c_fc.register_forward_hook(lambda m, x, y: kept.append(y))
    try:
        captured = model.capture(model.feed.batch(ids), [site])
    finally:
        hook.remove()
    assert torch.equal(captured[site.name], kept[0])


def test_submodules_of_the_decoder_belong_to_the_decoder(tiny):
    (site,) = tiny("bart").select("module:decoder.layers.0.fc1")
    assert site.stack == "decoder"
    (site,) = tiny("bart").select("module:encoder.layers.0.fc1")
    assert site.stack == "encoder"


def test_a_submodule_without_a_vector_a_token_is_refused_naming_its_shape(tiny):
    with pytest.raises(SiteError, match=r"module:wpe yields shape \(1, 5, 16\), not \(batch"):
        tiny("gpt2").select("module:wpe")
    with pytest.raises(
        SiteError, match=r"module:embeddings\.position_embeddings yields shape \(1,"
    ):
        tiny("bert").select("module:embeddings.position_embeddings")


def test_a_submodule_with_a_vector_a_sample_is_a_site_of_its_own_kind(tiny):
    model = tiny("bert")
    (site,) = model.select("module:pooler")
    assert (site.width, site.layout, site.stack, site.whole) == (16, "vector", "sample", True)
    ids = torch.tensor([[5, 6, 7], [8, 9, 4]])
    captured = model.capture(model.feed.batch(ids), [site])
    with torch.inference_mode():
        wanted = model.module(input_ids=ids).pooler_output
    assert captured[site.name].shape == (2, 1, 16)
    assert torch.equal(captured[site.name][:, 0], wanted)
    with pytest.raises(SiteError, match=r"places: layers\.1 \(token\), module:pooler \(sample\)"):
        model.select("layers.1,module:pooler")


def test_an_unknown_submodule_is_refused_with_the_nearest(tiny):
    with pytest.raises(SiteError, match=r"no submodule 'h\.1\.mpl'; did you mean .*h\.1\.mlp"):
        tiny("gpt2").select("module:h.1.mpl")


def test_submodules_can_be_chosen_by_a_glob_that_stops_at_dots(tiny):
    model = tiny("bert")
    assert names_of(model.select("module:encoder.layer.*.output")) == [
        f"module:encoder.layer.{i}.output" for i in range(3)
    ]
    assert names_of(model.select("module:encoder.layer.1.*.dense")) == [
        "module:encoder.layer.1.intermediate.dense", "module:encoder.layer.1.output.dense",
    ]  # fmt: skip
    mixed = model.select("module:encoder.layer.1.output,layers.0,module:encoder.layer.*.output")
    assert names_of(mixed) == [
        "layers.0", "module:encoder.layer.1.output", "module:encoder.layer.0.output",
        "module:encoder.layer.2.output",
    ]  # fmt: skip


def test_a_glob_leaves_out_submodules_without_a_vector_a_token(tiny):
    model = tiny("gpt2")
    assert names_of(model.select("module:w*")) == ["module:wte"]  # wpe gives one row of positions
    with pytest.raises(SiteError, match=r"module:wpe yields shape \(1, 5, 16\)"):
        model.select("module:wp*")
    with pytest.raises(SiteError, match=r"no submodule 'module:h\.\*\.mpl'; did you mean .*mlp"):
        model.select("module:h.*.mpl")


def test_a_glob_keeps_the_stacks_of_an_encoder_decoder_apart(tiny):
    model = tiny("bart")
    sites = model.select("module:decoder.layers.*.fc1")
    assert {site.stack for site in sites} == {"decoder"}
    with pytest.raises(SiteError, match="one after the other"):
        model.select("module:*.layers.0.fc1")


def test_negative_indices_reach_the_sites_inside_a_block(tiny):
    model = tiny("t5")
    assert names_of(model.select("encoder.layers.-1.mlp.hidden,encoder.layers.-2.heads")) == [
        "encoder.layers.1.heads", "encoder.layers.2.mlp.hidden",
    ]  # fmt: skip
    assert names_of(model.select("decoder.layers.*.cross.heads")) == [
        "decoder.layers.0.cross.heads", "decoder.layers.1.cross.heads",
    ]  # fmt: skip


def test_named_sites_and_submodules_can_be_read_together(tiny):
    model = tiny("gpt2")
    sites = model.select("module:h.0.mlp,layers.1,layers.0.mlp")
    assert names_of(sites) == ["layers.0.mlp", "layers.1", "module:h.0.mlp"]
    ids = torch.tensor([[5, 6, 7]])
    captured = model.capture(model.feed.batch(ids), sites)
    assert torch.equal(captured["layers.0.mlp"], captured["module:h.0.mlp"])


def test_a_submodule_named_twice_is_read_once(tiny):
    model = tiny("gpt2")
    sites = model.select("module:h.0,module:h.0")
    ids = torch.tensor([[5, 6, 7]])
    assert list(model.capture(model.feed.batch(ids), sites)) == ["module:h.0"]
    assert names_of(sites) == ["module:h.0"]


def test_sites_that_the_forward_does_not_reach_are_named(tiny):
    model = tiny("gpt2")
    ids = torch.tensor([[5, 6, 7]])
    never = Site("layers.0", "h.0", 16, call=1)
    with pytest.raises(SiteError, match=r"did not reach layers\.0"):
        model.capture(model.feed.batch(ids), [never])


def test_describing_lists_the_named_sites_with_their_modules(tiny):
    described = describe_sites(tiny("gpt2"))
    assert [row["site"] for row in described] == GPT2_SITES
    assert described[0] == {"site": "embed", "width": 16, "module": "h.0", "of": "input"}
    assert described[1] == {"site": "layers.0.norm1", "width": 16, "module": "h.0.ln_1",
                            "of": "input"}  # fmt: skip
    assert described[2]["module"] == described[3]["module"] == "h.0.attn.c_proj"
    assert [row["of"] for row in described[2:4]] == ["input", "output"]
    assert described[7] == {"site": "layers.0", "width": 16, "module": "h.0", "of": "output"}
    assert described[-1]["module"] == "ln_f"


def test_describing_everything_adds_only_submodules_that_can_be_chosen(tiny):
    model = tiny("gpt2")
    described = describe_sites(model, every=True)
    names = [row["site"] for row in described]
    assert names[: len(GPT2_SITES)] == GPT2_SITES
    extra = names[len(GPT2_SITES) :]
    assert "module:h.1.mlp.c_fc" in extra
    assert "module:wpe" not in extra
    assert len(set(names)) == len(names)
    for name in extra:
        (site,) = model.select(name)
        assert site.width == described[names.index(name)]["width"]


class Toy(nn.Module):
    """Embeds tokens and runs blocks over them."""

    def __init__(self, step, as_list=True):
        super().__init__()
        torch.manual_seed(0)
        self.config = SimpleNamespace(vocab_size=50, model_type="toy", pad_token_id=0)
        self.embedding = nn.Embedding(50, 6)
        blocks = [nn.Linear(6, 6) for _ in range(3)]
        self.blocks = nn.ModuleList(blocks) if as_list else nn.Sequential(*blocks)
        self.step = step

    def forward(self, input_ids, attention_mask=None):
        return self.step(self, self.embedding(input_ids))


def loaded(module):
    return LoadedModel("toy", module.eval(), TextFeed(None, module.config, 100), "0" * 32)


def chain(toy, stream):
    for block in toy.blocks:
        stream = block(stream)
    return stream


def sum_of_experts(toy, stream):
    return sum(block(stream) for block in toy.blocks)


def test_blocks_are_found_in_a_network_unknown_to_us():
    model = loaded(Toy(chain))
    assert list(model.sites) == ["embed", "layers.0", "layers.1", "layers.2"]


def test_blocks_in_a_sequential_are_found_too():
    model = loaded(Toy(chain, as_list=False))
    assert list(model.sites) == ["embed", "layers.0", "layers.1", "layers.2"]
    assert [model.sites[f"layers.{i}"].path for i in range(3)] == [f"blocks.{i}" for i in range(3)]


class Unpadded(nn.Sequential):
    """A network whose forward takes token ids and is a Sequential itself."""

    def forward(self, input_ids, attention_mask=None):
        return super().forward(input_ids)


def test_what_embeds_token_ids_is_no_block_of_a_sequential():
    torch.manual_seed(0)
    module = Unpadded(nn.Embedding(50, 6), nn.Linear(6, 6), nn.LayerNorm(6))
    module.config = Toy(chain).config
    assert [(s.name, s.path) for s in loaded(module).sites.values()] == [
        ("embed", "1"), ("layers.0", "1"), ("layers.1", "2")
    ]  # fmt: skip


def test_a_list_of_modules_goes_before_a_sequential_whatever_their_lengths():
    toy = Toy(lambda toy, x: chain(toy, toy.stem(x)))
    toy.stem = nn.Sequential(*[nn.Linear(6, 6) for _ in range(7)])
    paths = [site.path for site in loaded(toy).sites.values()]
    assert paths == ["blocks.0", "blocks.0", "blocks.1", "blocks.2"]


def test_without_a_chain_of_blocks_only_submodules_can_be_chosen():
    model = loaded(Toy(sum_of_experts))
    assert model.sites == {}
    for pattern in ("layers.*", "residual", "embed"):
        with pytest.raises(SiteError, match=r"Toy has no list of blocks .* module:PATH"):
            model.select(pattern)
    (site,) = model.select("module:blocks.1")
    assert site.width == 6
    assert [row["site"] for row in describe_sites(model)] == [
        *("module:embedding", "module:blocks.0", "module:blocks.1", "module:blocks.2")
    ]


class InPlace(nn.Module):
    """A block that adds to the stream it was given, as some implementations do."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, stream):
        stream += self.linear(stream)
        return stream


def test_a_block_that_writes_into_the_stream_changes_no_earlier_site():
    toy = Toy(chain)
    toy.blocks = nn.ModuleList([InPlace() for _ in range(3)])
    model = loaded(toy)
    ids = torch.tensor([[5, 6, 7]])
    sites = list(model.sites.values())
    together = model.capture(model.feed.batch(ids), sites)
    for site in sites:
        alone = model.capture(model.feed.batch(ids), [site])[site.name].clone()
        assert torch.equal(together[site.name], alone), site.name
    assert torch.equal(together["embed"], toy.embedding(ids))


def test_a_branch_that_is_added_to_in_place_is_kept_as_it_was():
    """Falcon adds attention into the output of its mlp."""
    torch.manual_seed(0)
    config = transformers.FalconConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    module = transformers.AutoModel.from_config(config)
    model = loaded(module)
    ids = torch.tensor([[5, 6, 7]])
    (mlp,) = model.select("module:h.0.mlp")
    alone = model.capture(model.feed.batch(ids), [mlp])[mlp.name].clone()
    together = model.capture(model.feed.batch(ids), [mlp, model.sites["layers.1"]])[mlp.name]
    assert torch.equal(together, alone)


def test_a_norm_in_a_head_is_not_the_final_norm_but_one_above_the_blocks_is():
    toy = Toy(lambda toy, x: toy.norm(toy.head(chain(toy, x)) * 0 + toy.last))
    toy.head = nn.Sequential(nn.LayerNorm(6))
    toy.norm = nn.LayerNorm(6)
    toy.last = torch.zeros(1)
    assert "final" not in loaded(toy).sites
    toy = Toy(lambda toy, x: [toy.head(y := chain(toy, x)), toy.norm(y)][1])
    toy.head, toy.norm = nn.Sequential(nn.LayerNorm(6)), nn.LayerNorm(6)
    assert loaded(toy).sites["final"].path == "norm"


def test_a_list_of_convolutions_before_the_blocks_is_not_the_stack():
    class Stem(nn.ModuleList):
        def forward(self, x):
            for layer in self:
                x = layer(x)
            return x

    toy = Toy(lambda toy, x: chain(toy, toy.stem(x.transpose(1, 2)).transpose(1, 2)))
    toy.stem = Stem(nn.Conv1d(6, 6, 1) for _ in range(7))
    paths = [site.path for site in loaded(toy).sites.values()]
    assert paths == ["blocks.0", "blocks.0", "blocks.1", "blocks.2"]
