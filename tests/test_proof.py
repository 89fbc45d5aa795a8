"""The proof of an extraction: what holds, and that whatever is really broken is found."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import actlas
from actlas.cli import cli
from actlas.core import (
    POOLINGS,
    STORAGE_DTYPES,
    Dataset,
    ExtractOptions,
    Extractor,
    ProofError,
    buffers,
    check_sites,
    prove,
    read_dataset,
)
from actlas.core import extraction as extracting
from actlas.core.proof import difference, measure, tolerance

from .tiny import ARCHITECTURES, DECODERS, ENCODER_DECODERS, ENCODERS, TEXTS

DATA = Dataset.of([*TEXTS, "Two words", "Three little words", "And now four words"])
COMPUTE = ["float32", "bfloat16", "float16"]


def lively(model, dtype="float32"):
    """A copy whose weights are far from their starting values: nothing is small by chance."""
    module = copy.deepcopy(model.module)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return dataclasses.replace(model, module=module.to(getattr(torch, dtype)))


def first_window(model, sites="residual", data=DATA, **options):
    run = Extractor(model, data, model.select(sites), ExtractOptions(**options))
    return run, next(run.windows())


def proofs_of(model, sites="residual", **options):
    return {p.site: p for p in prove(*first_window(model, sites, **options))}


def refused(model, sites="residual", **options):
    with pytest.raises(ProofError) as raised:
        proofs_of(model, sites, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("compute", COMPUTE)
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_site_of_a_sound_model_holds(tiny, kind, compute):
    model = lively(tiny(kind), compute)
    proofs = check_sites(model, DATA)
    assert [p.site for p in proofs] == list(model.sites)
    assert all(p.holds for p in proofs), [p for p in proofs if not p.holds]
    stream = {s.name for s in model.sites.values() if s.residual}
    hidden = {p.site for p in proofs if "hidden states" in p.against}
    assert hidden == stream
    assert all("single forward" in p.against for p in proofs)


@pytest.mark.parametrize("storage", STORAGE_DTYPES)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", ["roberta", "llama"])
def test_every_pooling_and_storage_dtype_holds(tiny, kind, pooling, storage):
    model = lively(tiny(kind))
    proofs = proofs_of(model, pooling=pooling, dtype=storage, batch_tokens=64)
    eps = 0 if storage == "int8" else torch.finfo(getattr(torch, storage)).eps
    assert all(p.tolerance < max(2 * eps, 1e-4) for p in proofs.values())


def swap_site(model, name, other):
    """Let a site read where another one should."""
    sites = dict(model.sites)
    taken = sites[other]
    sites[name] = dataclasses.replace(
        sites[name], path=taken.path, port=taken.port, call=taken.call
    )
    model.__dict__["sites"] = sites
    return model


@pytest.mark.parametrize("compute", COMPUTE)
@pytest.mark.parametrize("kind", [*ENCODERS, *DECODERS])
@pytest.mark.parametrize(
    ("name", "other"),
    [("layers.1", "layers.0"), ("layers.0", "layers.1"), ("layers.2", "layers.1"),
     ("layers.1", "layers.1.mlp"), ("embed", "layers.0")],
)  # fmt: skip
def test_a_hook_on_the_wrong_block_is_found(tiny, kind, name, other, compute):
    """Also in bfloat16, where rounding is coarse: the states are compared bit for bit."""
    said = refused(swap_site(lively(tiny(kind), compute), name, other))
    assert said.startswith(f"{name}: what is read there is not the hidden state")
    assert "module:PATH" in said


@pytest.mark.parametrize("kind", DECODERS)
def test_a_final_norm_taken_for_the_last_block_is_found(tiny, kind):
    assert refused(swap_site(lively(tiny(kind)), "layers.2", "final")).startswith("layers.2: ")
    model = lively(tiny(kind))
    wrong = dataclasses.replace(model.sites["layers.2"], name="final")
    run = Extractor(model, DATA, [wrong], ExtractOptions())
    with pytest.raises(ProofError, match=r"^final: .*not the hidden state"):
        prove(run, next(run.windows()))


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_both_stacks_of_an_encoder_decoder_are_proven(tiny, kind, side):
    data = Dataset.of(DATA.texts, targets=[t[::-1] for t in DATA.texts])
    sites = [s.name for s in tiny(kind).sites.values() if s.residual and s.stack == side]
    found = proofs_of(lively(tiny(kind)), sites, data=data)
    assert {p.against for p in found.values()} == {"single forward, hidden states"}
    wrong = swap_site(lively(tiny(kind)), f"{side}.layers.0", f"{side}.layers.1")
    assert refused(wrong, sites, data=data).startswith(f"{side}.layers.0: ")


def without_mask(model):
    """Let attention see padding."""
    forward = model.module.forward

    def blind(*args, **given):
        return forward(*args, **{n: v for n, v in given.items() if "mask" not in n})

    model.module.forward = blind
    return model


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    ("kind", "compute"),
    [*((kind, dtype) for kind in ("bert", "roberta", "distilbert") for dtype in COMPUTE),
     ("albert", "float32"), ("albert", "float16")],  # it leaks 0.15, less than bfloat16 allows
)  # fmt: skip
def test_attention_that_sees_padding_is_found(tiny, kind, pooling, compute):
    said = refused(without_mask(lively(tiny(kind), compute)), "layers.*", pooling=pooling)
    assert "padding that is not masked" in said
    assert "--batch-tokens 1" in said


def test_padding_that_is_seen_harms_no_causal_model(tiny):
    """A causal model pads at the end, where nothing before it looks."""
    proofs_of(without_mask(lively(tiny("gpt2"))))


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_a_decoder_that_sees_the_padding_of_the_encoder_is_found(tiny, kind):
    data = Dataset.of(DATA.texts, targets=["Always the same words"] * len(DATA))
    refused(without_mask(lively(tiny(kind))), "decoder.layers.*", data=data)


SAME = Dataset.of([*["four words are here"] * 40, *["five words are here now"] * 40])


def test_padding_is_tried_where_the_first_window_has_none(tiny):
    """A later window may have some."""
    model = lively(tiny("bert"))
    _, window = first_window(model, data=SAME)
    assert not window.padded
    proofs_of(model, data=SAME)
    refused(without_mask(lively(tiny("bert"))), data=SAME)


def test_one_sample_a_batch_needs_no_mask(tiny):
    blind = without_mask(lively(tiny("bert")))
    data = Dataset.of(["four words are here", "five words are here now"])
    one, two = (len(ids) for ids in blind.tokenizer(list(data.texts))["input_ids"])
    run, window = first_window(blind, data=data, batch_tokens=2 * one - 1)
    assert [len(p.encoded) for p in window.witnesses] == [one, two]
    prove(run, window)
    refused(blind, data=data, batch_tokens=2 * two)


def test_a_padded_sample_is_a_witness_and_the_other_has_another_length(tiny):
    _, window = first_window(lively(tiny("bert")))
    short, long = (len(p.encoded) for p in window.witnesses)
    assert window.padded
    assert short < long
    assert short == min(len(ids) for ids in tiny("bert").tokenizer(list(DATA.texts))["input_ids"])


def test_where_only_long_samples_are_padded_one_of_them_is_a_witness(tiny):
    longer = "a text that is longer than all the others"
    data = Dataset.of([*SAME.texts, *[longer] * 5, f"{longer} in here"])
    model = lively(tiny("bert"))
    _, window = first_window(model, data=data)
    short, long = (len(p.encoded) for p in window.witnesses)
    assert window.padded
    assert short == len(model.tokenizer(data.texts[0])["input_ids"])
    assert long == len(model.tokenizer(longer)["input_ids"]) > short
    refused(without_mask(lively(tiny("bert"))), data=data)


@pytest.mark.parametrize("texts", [["alone"], ["twin one", "twin one"]])
def test_a_data_set_without_padding_is_proven_all_the_same(tiny, texts):
    model = lively(tiny("bert"))
    assert set(proofs_of(model, data=Dataset.of(texts))) == {"embed", *(f"layers.{i}" for i in
                                                                       range(3))}  # fmt: skip
    refused(swap_site(model, "layers.1", "layers.0"), data=Dataset.of(texts))


def test_samples_without_rows_are_no_witnesses(tiny):
    model = lively(tiny("bert"))
    data = Dataset("holes", ["one two", "three four", "five"], words=[[], [(0, 5)], []])
    _, window = first_window(model, data=data, pooling="word")
    assert [p.encoded.sample for p in window.witnesses] == [1]
    proofs_of(model, data=data, pooling="word")
    none = Dataset("none", ["one two", "three"], words=[[], []])
    assert all(p.difference == 0 for p in proofs_of(model, data=none, pooling="word").values())


def wrongly_aimed(monkeypatch, change):
    """Break where the rows of a batch come from or go to."""
    aim = buffers.Buffers.aim

    def wrong(self, source, lengths, target):
        return aim(self, *change(source, lengths, target))

    monkeypatch.setattr(buffers.Buffers, "aim", wrong)


@pytest.mark.parametrize("storage", STORAGE_DTYPES)
@pytest.mark.parametrize("pooling", ["token", "mean", "first", "last"])
def test_rows_of_samples_that_changed_places_are_found(tiny, monkeypatch, pooling, storage):
    wrongly_aimed(monkeypatch, lambda s, n, t: (s, n, t[::-1].copy()))
    refused(lively(tiny("bert")), "layers.*", pooling=pooling, dtype=storage)


@pytest.mark.parametrize("pooling", ["token", "word", "first", "last"])
def test_a_row_pooled_from_the_next_token_is_found(tiny, monkeypatch, pooling):
    shift = {"first": 1, "last": -1}.get(pooling, 1)
    wrongly_aimed(monkeypatch, lambda s, n, t: ((s + shift).clip(0, s.max()), n, t))
    refused(lively(tiny("bert")), "layers.*", pooling=pooling)


def test_a_mean_that_counts_padding_is_found(tiny, monkeypatch):
    from actlas.core import tokens

    def wrong(one, pooling, words, name):
        made = pool(one, pooling, words, name)
        fewer = np.arange(len(one) - 1)
        return dataclasses.replace(made, positions=fewer, lengths=np.array([len(fewer)]))

    pool = tokens.pool
    monkeypatch.setattr(extracting, "pool", wrong)
    refused(lively(tiny("bert")), "layers.*", pooling="mean")


@pytest.mark.parametrize("storage", STORAGE_DTYPES)
@pytest.mark.parametrize("site", ["layers.1", "layers.1.attn", "layers.1.heads"])
def test_one_number_off_by_two_percent_is_found(tiny, storage, site):
    run, window = first_window(lively(tiny("gpt2")), site, dtype=storage)
    prove(run, window)
    row = int(np.flatnonzero(window.rows.sample == window.witnesses[0].encoded.sample)[-1])
    data = window.data[site] = window.data[site].clone()
    unit = int(data[row].abs().argmax())
    data[row, unit] *= 1.02
    with pytest.raises(ProofError, match=rf"^{site}: "):
        prove(run, window)


@pytest.mark.parametrize("compute", COMPUTE)
def test_dropout_left_on_is_found(tiny, compute):
    model = lively(tiny("bert"), compute)
    torch.manual_seed(0)
    model.module.train()
    found = [p for p in measure(*first_window(model)) if not p.holds]
    assert {p.site for p in found} == {"embed", "layers.0", "layers.1", "layers.2"}


@pytest.mark.parametrize(("noise", "found"), [(1e-2, True), (1e-3, True), (0.0, False)])
def test_a_model_that_gives_other_numbers_each_time_is_found(tiny, noise, found):
    model = lively(tiny("llama"))
    model.module.layers[1].mlp.register_forward_hook(
        lambda m, x, y: y + noise * torch.randn(y.shape)
    )
    broken = {p.site for p in measure(*first_window(model, dtype="float32")) if not p.holds}
    assert broken == ({"layers.1", "layers.2", "final"} if found else set())


def test_batch_statistics_are_found(tiny):
    """Batch norm left in train mode mixes the samples of a batch."""
    model = lively(tiny("gpt2"))
    norm = torch.nn.BatchNorm1d(16)
    model.module.h[0].mlp.register_forward_hook(lambda m, x, y: norm(y.flatten(0, 1)).view_as(y))
    said = refused(model, "layers.0", data=SAME)
    assert "a batch gives other rows than the same sample alone" in said


def test_a_change_is_seen_beside_units_of_huge_values():
    """Some units of real models are a thousand times the others; these must still count."""
    own = torch.randn(20, 768, generator=torch.Generator().manual_seed(0))
    own[0, 7] = 3000.0
    assert difference(own * (1 + 1e-6), own) < 1e-5
    off = own.clone()
    off[5, 100] += 1.0
    assert difference(off, own) > 0.1


@given(
    arrays.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)),
    arrays.arrays(np.float32, (3, 4), elements=st.floats(-1, 1, width=32)),
)
@settings(max_examples=60, deadline=None)
def test_the_difference_is_the_formula(own, error):
    stored = own + error
    scale = np.abs(own.astype(np.float64)).mean()
    bottom = np.maximum(np.abs(own.astype(np.float64)), scale)
    apart = np.abs(stored.astype(np.float64) - own)
    apart[apart < 1e-40] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.where(apart == 0, 0, apart / bottom).max()
    mine = difference(torch.from_numpy(stored), torch.from_numpy(own))
    assert mine == pytest.approx(float(wanted), rel=1e-9)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@given(arrays.arrays(np.float32, (5, 6), elements=st.floats(-1e5, 1e5, width=32)))
@settings(max_examples=60, deadline=None)
def test_a_cast_alone_is_no_difference(dtype, own):
    """Numbers beyond the range become infinity, tiny ones zero: on both sides alike."""
    own = torch.from_numpy(own)
    assert difference(own.to(getattr(torch, dtype)), own) == 0


def test_the_smallest_numbers_of_a_dtype_may_be_a_step_apart():
    """Beside such a step the mean of a very small site is no scale."""
    own = torch.full((2, 4), 2e-7)
    step = 2.0**-24
    assert difference((own + step).half(), own) == 0
    assert difference((own + 3 * step).half(), own) > 0.5


def test_infinities_and_nans_agree_only_with_themselves():
    inf, nan = float("inf"), float("nan")
    row = torch.tensor([[1.0, inf, nan, -inf]])
    assert difference(row, row) == 0
    for place, value in ((0, inf), (0, nan), (1, 1.0), (1, -inf), (2, 0.0), (3, nan)):
        other = row.clone()
        other[0, place] = value
        assert difference(other, row) == inf
    assert difference(torch.ones(2, 3), torch.ones(3, 2)) == inf
    assert difference(torch.zeros(2, 2), torch.zeros(2, 2)) == 0
    assert difference(torch.ones(1, 2), torch.zeros(1, 2)) == inf


def test_rows_with_nan_are_proven_like_others(tiny):
    model = lively(tiny("gpt2"))
    token = model.tokenizer("Two words")["input_ids"][-1]
    with torch.no_grad():
        model.module.wte.weight[token] = float("nan")
    run, window = first_window(model, data=Dataset.of(["Two words", "Three little words"]))
    assert window.nonfinite["layers.1"]
    prove(run, window)


def test_numbers_too_large_for_the_storage_dtype_are_proven_like_others(tiny):
    model = lively(tiny("gpt2"))
    with torch.no_grad():
        model.module.h[1].mlp.c_proj.bias[3] = 1e6
    run, window = first_window(model)
    assert window.overflow["layers.1"]
    prove(run, window)


def test_what_storage_adds_widens_the_tolerance(tiny):
    run, window = first_window(lively(tiny("gpt2")), "layers.1", dtype="float32")
    (plain,) = prove(run, window)
    window.data["layers.1"] = window.data["layers.1"] + 0.01
    with pytest.raises(ProofError):
        prove(run, window)
    (wide,) = prove(run, window, lambda site, rows: (window.data[site][rows], 0.02, False))
    own = run.capture([window.witnesses[0].encoded])["layers.1"]
    assert wide.tolerance - plain.tolerance == pytest.approx(0.02 / own.abs().mean(), rel=0.5)
    assert plain.tolerance < wide.difference < wide.tolerance


def test_tolerances_grow_with_rounding_and_depth_only(demo_model):
    site = demo_model.sites["layers.5"]
    single = tolerance(demo_model, site, "float32")
    assert 1e-4 < single < 2e-4
    assert tolerance(demo_model, site, "float16") < 1.2e-3
    assert tolerance(demo_model, site, "bfloat16") < 9e-3


def test_a_refusal_says_what_differs_by_how_much_and_what_to_do(tiny):
    said = refused(without_mask(lively(tiny("bert"))), "layers.1")
    assert said.startswith("layers.1: a batch gives other rows than the same sample alone (diff")
    assert "tolerance 0.0" in said
    assert said.endswith("--compute-dtype float32, or leave the site out")


def test_a_proof_takes_three_short_forward_passes(tiny, monkeypatch):
    model = lively(tiny("bert"))
    run, window = first_window(model)
    seen = []
    forward = model.module.forward

    def counted(*args, **given):
        seen.append(tuple(given["input_ids"].shape))
        return forward(*args, **given)

    monkeypatch.setattr(model.module, "forward", counted)
    prove(run, window)
    lengths = [len(p.encoded) for p in window.witnesses]
    assert seen == [(1, lengths[0]), (1, lengths[1]), (1, lengths[1])]


def test_the_shipped_model_holds_with_room(demo_model):
    proofs = check_sites(demo_model, read_dataset("actlas:concepts", limit=32))
    assert max(p.difference / p.tolerance for p in proofs) < 0.5


def invoke(*arguments):
    return CliRunner().invoke(cli, ["sites", *map(str, arguments), "--device", "cpu"])


def test_the_command_line_checks_sites(tiny_folder, tmp_path):
    folder = tiny_folder("bert")
    done = invoke(folder, "--check", "--json")
    assert done.exit_code == 0
    listed = json.loads(done.stdout)
    plain = json.loads(invoke(folder, "--json").stdout)
    assert [row["site"] for row in listed] == [row["site"] for row in plain]
    assert list(listed[0]) == [
        "site", "width", "module", "difference", "tolerance", "against", "holds",
    ]  # fmt: skip
    file = tmp_path / "own.txt"
    file.write_text("\n".join(TEXTS))
    table = invoke(folder, "--check", file)
    assert table.exit_code == 0
    assert "single forward, hidden states" in table.stdout


def test_the_command_line_exits_with_1_where_a_site_fails(tiny_folder, monkeypatch):
    forward = transformers.BertModel.forward

    def blind(self, input_ids=None, attention_mask=None, **given):
        return forward(self, input_ids=input_ids, **given)

    monkeypatch.setattr(transformers.BertModel, "forward", blind)
    done = invoke(tiny_folder("bert"), "--check", "--json")
    assert done.exit_code == 1
    holds = {row["site"]: row["holds"] for row in json.loads(done.stdout)}
    assert holds["embed"]
    assert not holds["layers.2"]


@pytest.mark.parametrize("arguments", [["TEXTS.txt"], ["--check", "--all"]])
def test_options_that_do_not_go_together_are_refused(tiny_folder, arguments):
    done = invoke(tiny_folder("bert"), *arguments)
    assert done.exit_code == 2
    assert "DATASET goes with --check" in done.output


def test_a_proof_error_is_one_of_ours():
    assert issubclass(actlas.ProofError, actlas.InputError)
