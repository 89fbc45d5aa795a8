"""The preset of sites that a decomposition reads, and the sites that it adds."""

import pytest
import torch

from actlas.core import presets

from .wild import MODELS, padded, sides, wild


@pytest.mark.parametrize("name", ["bert", "gpt2", "gemma2", "granite", "bart"])
def test_the_preset_is_what_the_decomposition_reads(name):
    from actlas.plugins.decomposition.bound import bind

    own = wild(name)
    for side in sides(own):
        bound = bind(own, side)
        chosen = own.select(f"{bound.prefix}decomposition")
        assert {site.name for site in chosen} == set(bound.sites()) | {f"{bound.prefix}embed"}
        assert all(site.stack == side for site in chosen)
    assert own.select("decomposition") == chosen  # of an encoder–decoder the decoder's


def test_a_model_says_what_presets_stand_for():
    named = presets(wild("bart").sites)
    assert list(named) == ["residual", "decomposition", "encoder.decomposition"]
    assert named["decomposition"][0] == "decoder.embed.norm"
    assert named["encoder.decomposition"][-1] == "encoder.layers.1"
    assert list(presets(wild("bert").sites)) == ["residual", "decomposition"]


@torch.inference_mode()
@pytest.mark.parametrize("name", ["bert", "distilbert", "mbart"])
def test_the_embedding_before_its_norm_is_a_site(name):
    own = wild(name)
    for side in sides(own):
        prefix = f"{side}." if side else ""
        given = own.capture(padded(own), [own.sites[f"{prefix}embed{n}"] for n in (".norm", "")])
        norm = own.module.get_submodule(own.sites[f"{prefix}embed.norm"].path)
        assert torch.equal(norm(given[f"{prefix}embed.norm"]), given[f"{prefix}embed"])


@pytest.mark.parametrize("name", MODELS)
def test_only_models_with_such_a_norm_have_that_site(name):
    own = wild(name)
    has = {site.name for site in own.sites.values() if site.name.endswith("embed.norm")}
    with_norm = ("bert", "roberta", "distilbert", "bart", "mbart")
    assert bool(has) == (name in with_norm)
