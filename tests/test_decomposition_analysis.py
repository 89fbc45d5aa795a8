"""`decomposition` and `decomposition_logits`: their tables, and what they refuse."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import actlas
from actlas import Activations, InputError, Layers, Samples
from actlas.plugins.decomposition import (
    captured,
    decomposition,
    decomposition_logits,
    decomposition_sources,
    decomposition_tokens,
    figures,
)
from actlas.plugins.decomposition.analysis import refuse_inexact
from actlas.plugins.decomposition.attribution import following
from actlas.plugins.decomposition.bound import bind
from actlas.plugins.decomposition.indicators import Moments, indicators
from actlas.testing import checks

from .tiny import VOCABULARY
from .wild import wild

TEXTS = ["The cat sat.", "One", "Activations are read at sites of a network."]
PRESET = "decomposition,layers.*.heads"


@pytest.fixture(scope="module")
def gpt2():
    model = wild("gpt2", torch.float32, "AutoModelForCausalLM", vocab_size=VOCABULARY)
    return model, captured(model, TEXTS, PRESET)


@pytest.fixture(scope="module")
def bert():
    model = wild("bert", torch.float32, vocab_size=VOCABULARY)
    return model, captured(model, TEXTS, PRESET)


@pytest.fixture(scope="module")
def everything(gpt2):
    model, layers = gpt2
    return decomposition(layers, model, by="heads", detail="tokens")


def table(result, name):
    return result.tables[name].to_pandas()


def rounded(layers, dtype):
    """The same states as a store of that dtype would have them."""
    return Layers.of(
        *(
            Activations.of(torch.from_numpy(a.numpy()).to(dtype), rows=a.rows, site=a.site)
            for a in layers
        )
    )


def test_indicators_by_hand():
    terms = torch.tensor([[[3.0, 0.0]], [[0.0, 4.0]], [[0.0, 0.0]]])
    found = indicators(terms, torch.tensor([[3.0, 4.0]]))[..., 0]
    expected = [
        [9 / 25, 16 / 25, 0], [3 / 5, 4 / 5, np.nan], [3 / 5, 4 / 5, 0], [4, 3, 5]
    ]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_moments_of_blocks_are_those_of_the_whole():
    rows = np.random.default_rng(0).normal(3, 2, (4, 5, 90))
    rows[1, 2, 7], rows[1, 3] = np.nan, np.nan
    whole = Moments.of(rows[..., :20]) + Moments.of(rows[..., 20:21]) + Moments.of(rows[..., 21:])
    none = np.isnan(rows).all(-1)
    assert np.array_equal(np.isnan(whole.known_mean), none)
    np.testing.assert_allclose(whole.known_mean[~none], np.nanmean(rows[~none], -1))
    np.testing.assert_allclose(whole.deviation[~none], np.nanstd(rows[~none], -1, ddof=1))


def test_indicators_keep_their_identities(everything):
    tokens = table(everything, "tokens")
    shares = tokens.groupby(["row", "depth"])["relative_dot"].sum()
    np.testing.assert_allclose(shares, 1, atol=1e-5)
    assert (tokens.groupby(["row", "depth"])["norm_ratio"].sum() > 1 - 1e-6).all()
    known = tokens[tokens["cosine"].notna()]
    product = known["cosine"] * known["norm_ratio"]
    np.testing.assert_allclose(known["relative_dot"], product, atol=2e-6)
    first = tokens[tokens["depth"] == 0]
    assert set(first[first["term"] == "input"]["relative_dot"].round(6)) == {1.0}
    assert set(first[first["term"] != "input"]["relative_dot"]) == {0.0}
    assert first[first["term"] != "input"]["cosine"].isna().all()


def test_distance_says_the_same_as_ratio_and_share(gpt2, everything):
    _, layers = gpt2
    tokens = table(everything, "tokens")
    for site, some in tokens.groupby("site"):
        size = np.linalg.norm(layers[site].numpy(np.float64), axis=1)[some["row"]]
        square = 1 + some["norm_ratio"] ** 2 - 2 * some["relative_dot"]
        np.testing.assert_allclose((some["distance"] / size) ** 2, square, atol=1e-5)


def test_means_are_those_of_the_tokens(gpt2, everything):
    model, layers = gpt2
    tokens, means = table(everything, "tokens"), table(everything, "indicators")
    for row in means.itertuples():
        some = tokens[(tokens["site"] == row.site) & (tokens["term"] == row.term)][row.indicator]
        assert row.n == some.notna().sum()
        if row.n:
            np.testing.assert_allclose([row.mean, row.sd], [some.mean(), some.std()], rtol=1e-9)
    samples = table(decomposition(layers, model, detail="samples"), "samples")
    of = layers[0].rows.sample[tokens["row"]]
    own = tokens.groupby([of, "depth", "term"])["norm_ratio"].mean()
    found = samples.set_index(["sample", "depth", "term"])["norm_ratio"]
    np.testing.assert_allclose(found.sort_index(), own.sort_index(), rtol=1e-9)


def test_layers_and_heads_sum_to_their_terms(everything):
    means, shares = table(everything, "indicators"), table(everything, "branches")
    last = means[(means["site"] == "final") & (means["indicator"] == "relative_dot")]
    summed = shares.groupby("term")["relative_dot"].sum()
    for row in last.itertuples():
        assert summed[row.term] == pytest.approx(row.mean, abs=1e-6)
    layers = shares.groupby("term")["layer"].apply(set).to_dict()
    assert layers["input"] == {0}
    assert layers["attention"] == layers["feed_forward"] == {1, 2}
    assert layers["correction"] == {1, 2, 3}
    heads = table(everything, "heads")
    assert len(heads) == 4
    by_layer = heads.groupby("layer")["relative_dot"].sum()
    own = shares[shares["term"] == "attention"].set_index("layer")["relative_dot"]
    np.testing.assert_allclose(by_layer, own.sort_index(), atol=1e-6)


def test_summary_says_how_exact_it_is(everything):
    summary = table(everything, "summary").iloc[0]
    assert summary["architecture"] == "gpt2"
    assert summary["max_relative_error"] < 1e-6
    assert summary["model_error"] < 1e-5
    assert (summary["rows"], summary["samples"], summary["terms"]) == (summary["rows"], 3, 4)
    assert summary["stored"] == "float32"


@pytest.mark.parametrize(("dtype", "least"), [(torch.float16, 1e-5), (torch.bfloat16, 1e-4)])
def test_half_precision_has_a_tolerance_of_its_own(gpt2, dtype, least):
    model, layers = gpt2
    summary = table(decomposition(rounded(layers, dtype), model), "summary").iloc[0]
    assert summary["stored"] == str(dtype).removeprefix("torch.")
    assert least < summary["max_relative_error"] < summary["tolerance"] <= 3e-2


def test_what_lies_between_blocks_is_read_by_a_convention(gpt2):
    model, layers = gpt2
    found = {
        how: table(decomposition(layers, model, convention=how, detail="tokens"), "tokens")
        for how in ("raw", "normed", "cached")
    }
    ends = [t[t["site"] == "final"]["norm_ratio"].to_numpy() for t in found.values()]
    assert np.array_equal(ends[0], ends[1])
    inner = {how: t[t["site"] == "layers.0"] for how, t in found.items()}
    assert not np.allclose(inner["raw"]["cosine"], inner["normed"]["cosine"], atol=1e-2)
    for how in ("normed", "cached"):
        shares = inner[how].groupby("row")["relative_dot"].sum()
        np.testing.assert_allclose(shares, 1, atol=1e-5)
    last = {how: t[t["site"] == "layers.1"]["distance"].to_numpy() for how, t in found.items()}
    np.testing.assert_allclose(last["normed"], last["cached"], rtol=1e-5)
    norm = model.module.base_model.ln_f
    start, state, end = (
        torch.from_numpy(layers[name].numpy()) for name in ("embed", "layers.0", "layers.1")
    )
    scale = (end.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    state = norm.weight * (state - state.mean(-1, keepdim=True)) / scale + norm.bias
    wanted = (norm.weight * start / scale).norm(dim=-1) / state.norm(dim=-1)
    given = inner["cached"][inner["cached"]["term"] == "input"]["norm_ratio"]
    np.testing.assert_allclose(given, wanted.detach(), rtol=1e-4)
    final = found["raw"][found["raw"]["site"] == "final"]["distance"]
    np.testing.assert_allclose(last["normed"], final, rtol=1e-4)


def test_blocks_need_no_layout_but_a_final_norm(gpt2, bert):
    model, layers = gpt2
    found = decomposition(layers, model, method="blocks", by="branches")
    assert set(found.tables["indicators"]["term"]) == {"input", "blocks", "correction"}
    assert found.tables["summary"]["method"][0] == "blocks"
    whole = table(decomposition(layers, model), "indicators").set_index(["site", "indicator"])
    own = table(found, "indicators").set_index(["site", "indicator"])
    one = whole[whole["term"] == "input"].loc[("final", "relative_dot"), "mean"]
    other = own[own["term"] == "input"].loc[("final", "relative_dot"), "mean"]
    assert one == pytest.approx(other, abs=1e-6)
    with pytest.raises(InputError, match="no norm after its last block"):
        decomposition(bert[1], bert[0], method="blocks")
    with pytest.raises(InputError, match="knows no heads"):
        decomposition(layers, model, method="blocks", by="heads")


def test_sites_that_lack_are_refused_with_the_command_that_adds_them(gpt2, bert):
    for model, layers in (gpt2, bert):
        some = Layers.of(*(a for a in layers if a.site not in ("layers.0.attn", "layers.1.mlp")))
        said = r"lack layers\.0\.attn and 1 more.*actlas extract wild:.*--sites 'decomposition'"
        with pytest.raises(InputError, match=said):
            decomposition(some, model)
        some = Layers.of(*(a for a in layers if "heads" not in a.site))
        with pytest.raises(InputError, match=r"'decomposition,layers\.\*\.heads'"):
            decomposition(some, model, by="heads")


def test_rows_that_are_no_tokens_are_refused(bert):
    """Means over tokens: each had a scale of its own."""
    model, layers = bert
    sample = layers[0].rows.sample
    pooled = [
        Activations.of(np.stack([a.numpy()[sample == s].mean(0) for s in range(3)]), site=a.site)
        for a in layers
    ]
    with pytest.raises(InputError, match=r"do not sum to .*: actlas extract .* --pooling token"):
        decomposition(Layers.of(*pooled), model)
    with pytest.raises(InputError, match="relative error nan, at most 5e-03 for float16"):
        refuse_inexact(float("nan"), "float16", bind(model), model.spec)


def test_depths_and_special_tokens_can_be_left_out(bert):
    model, layers = bert
    found = decomposition(layers, model, only="layers.0", by="branches")
    assert set(found.tables["indicators"]["site"]) == {"layers.0"}
    assert set(found.tables["branches"]["site"]) == {"layers.0"}
    assert max(found.tables["branches"]["layer"]) == 1
    both = decomposition(layers, model, only="layers.1, layers.0", by="branches")
    assert set(both.tables["branches"]["site"]) == {"layers.1"}  # the deeper, however named
    with pytest.raises(InputError, match=r"only='layers.9' is no depth; there is embed"):
        decomposition(layers, model, only="layers.9")
    special = np.arange(len(layers[0])) == 0
    rows = layers[0].rows
    marked = actlas.Rows.build(rows.sample, rows.position, rows.token, special=special)
    some = Layers.of(*(Activations.of(a.numpy(), rows=marked, site=a.site) for a in layers))
    assert decomposition(some, model, special=False).tables["summary"]["rows"] == len(rows) - 1


def test_a_batch_or_one_by_one_and_padding_give_the_same(bert):
    model, layers = bert
    alone = captured(model, TEXTS, PRESET, batch=1)
    for site in layers.names:
        np.testing.assert_allclose(alone[site].numpy(), layers[site].numpy(), atol=2e-5)


def test_attribution_sums_to_the_logit(gpt2):
    model, layers = gpt2
    found = {by: decomposition_logits(layers, model, by=by) for by in ("term", "layer", "head")}
    with torch.inference_mode():
        feed, rows = model.feed, layers[0].rows
        logits = [
            model.module(**feed.batch(torch.tensor([feed.tokenizer(text)["input_ids"]])).arguments)
            for text in TEXTS
        ]
    for result in found.values():
        explained, given = table(result, "explained"), table(result, "logits")
        sums = given.groupby("row")["contribution"].sum()
        for row in explained.itertuples():
            sample, position = rows.sample[row.row], rows.position[row.row]
            own = logits[sample].logits[0, position]
            assert row.token_id == rows.token_id[row.row + 1]
            assert row.logit == pytest.approx(float(own[row.token_id]), abs=1e-3)
            assert sums[row.row] == pytest.approx(row.logit, abs=1e-3)
            assert row.rank == int((own > own[row.token_id] + 1e-4).sum())
        assert rows.sample[explained["row"].max()] == 2
    kinds = [table(found[by], "logits").groupby("term")["contribution"].sum() for by in found]
    np.testing.assert_allclose(kinds[0], kinds[1], atol=1e-2)
    np.testing.assert_allclose(kinds[0], kinds[2], atol=1e-2)
    assert set(found["head"].tables["logits"]["head"]) == {None, 0, 1}


def test_logits_of_named_tokens_and_their_differences(gpt2):
    model, layers = gpt2
    one, two = (
        decomposition_logits(layers, model, target=token, rows=4).tables["explained"]["logit"]
        for token in ("7", "9")
    )
    found = decomposition_logits(layers, model, target="7", against="9", rows=4)
    np.testing.assert_allclose(found.tables["explained"]["logit"], one - two, atol=1e-4)
    np.testing.assert_allclose(found.tables["explained"]["summed"], one - two, atol=1e-3)
    top = decomposition_logits(layers, model, target="top", rows=4).tables["explained"]
    assert set(top["rank"]) == {0}
    for named, said in (("10000", "10000"), ("cat sat on", "tokens of")):
        with pytest.raises(InputError, match=said):
            decomposition_logits(layers, model, target=named)


def test_what_follows_stands_next_in_the_same_sample():
    tokens = np.array([5, 6, 7, 8, 9])
    rows = actlas.Rows.build([0, 0, 1, 1, 1], [0, 1, 2, 3, 5], token_id=tokens)
    places, found = following(rows, SimpleNamespace(transform=None), 0)
    assert (places.tolist(), found.tolist()) == ([0, 2], [6, 8])


def test_a_bias_of_the_head_is_taken_off_with_its_token():
    model = wild("gpt2", torch.float32, "AutoModelForCausalLM", vocab_size=VOCABULARY)
    model.module.lm_head.bias = torch.nn.Parameter(torch.arange(float(VOCABULARY)))
    found = decomposition_logits(captured(model, TEXTS), model, target="70", against="9", rows=4)
    table = found.tables["explained"]
    np.testing.assert_allclose(table["summed"], table["logit"], atol=1e-3)


def test_a_network_without_a_head_explains_no_logit(bert):
    with pytest.raises(actlas.ModelError, match="has no head that predicts tokens"):
        decomposition_logits(bert[1], bert[0])


def test_sources_sum_to_their_attention_and_none_is_later(gpt2):
    model, layers = gpt2
    samples = Samples.of(TEXTS, pooling="token")
    sources = table(decomposition_sources(layers, model, samples), "sources")
    shares = sources.groupby(["layer", "query"])["relative_dot"].sum()
    np.testing.assert_allclose(shares, 1, atol=1e-5)
    later = sources[sources["source"] > sources["query"]]
    assert len(later)
    assert later["norm_ratio"].max() == 0
    weights = sources.groupby(["layer", "query"])["attention"].sum()
    np.testing.assert_allclose(weights, 1, atol=1e-5)
    rows = layers[0].rows
    assert sources["query"].max() + 1 == (rows.sample == 0).sum()
    some = decomposition_sources(layers, model, samples, sample=2, layer=1).tables["sources"]
    assert (set(some["layer"]), set(some["sample"])) == ({2}, {2})
    words = Samples.of(TEXTS, pooling="word")  # the sample is run anew: rows are not read
    few = Layers.of(*(acts.take(np.arange(2)) for acts in layers))
    again = decomposition_sources(few, model, words, sample=2, layer=1).tables["sources"]
    assert again.to_pandas().equals(some.to_pandas())
    for wrong in ({"sample": 3}, {"layer": 2}):
        with pytest.raises(InputError, match="is not among 0"):
            decomposition_sources(layers, model, samples, **wrong)


def test_sources_of_a_decoder_are_its_own_and_those_of_the_encoder():
    model = wild("marian", torch.float32, vocab_size=VOCABULARY)
    dataset = actlas.Dataset.of(["a longer text to read", "b"], targets=["One", "two"])
    samples = Samples.of(dataset, pooling="token")
    layers = captured(model, samples)
    found = table(decomposition_sources(layers, model, samples), "sources")
    shares = found.groupby(["layer", "term", "query"])["relative_dot"].sum()
    np.testing.assert_allclose(shares, 1, atol=1e-4)
    ends = found.groupby("term")[["query", "source"]].max()
    assert ends.loc["cross_attention", "source"] > ends.loc["attention", "source"]
    assert (ends["query"] == ends.loc["attention", "source"]).all()


@pytest.mark.parametrize(
    ("analysis", "settings"),
    [
        (decomposition, {"by": "heads", "detail": "samples"}),
        (decomposition_logits, {"by": "head", "rows": 5}),
        (decomposition_sources, {}),
    ],
    ids=["terms", "logits", "sources"],
)
def test_it_keeps_to_what_every_analysis_must(gpt2, analysis, settings):
    model, layers = gpt2
    samples = Samples.of(TEXTS, pooling="token")
    given = {"model": model, "layers": layers, "samples": samples}
    for check in checks(
        analysis, inputs={name: given[name] for name in analysis.needs}, **settings
    ):
        check()


def test_a_store_says_the_whole_command_that_adds_what_lacks(tiny_folder, sqlite_store):
    spec = str(tiny_folder("bert"))
    dataset = actlas.Dataset.of(TEXTS, name="three")
    for analysis, pooling, options in (
        (decomposition, "token", "--pooling token --sites 'decomposition'"),
        (decomposition_tokens, "word", "--pooling token"),
    ):
        extraction = sqlite_store.extract(spec, dataset, pooling=pooling, sites="layers.0")
        with pytest.raises(actlas.LackingError) as caught:
            sqlite_store.run(analysis, extraction)
        store = f"--store '{sqlite_store.url}', DATA being the file or name of three"
        assert str(caught.value).endswith(f": actlas extract {spec} DATA {options} {store}")


def test_from_a_store_by_the_preset(tiny_folder, sqlite_store):
    folder = tiny_folder("bart")
    extraction = sqlite_store.extract(
        str(folder), actlas.Dataset.of(TEXTS), sites="decomposition", dtype="float32"
    )
    (run,) = sqlite_store.run(decomposition, extraction)
    tables = run.result.tables
    summary = next(iter(tables["summary"]))
    assert summary["stack"] == "decoder"
    assert summary["max_relative_error"] < 1e-5
    assert "cross_attention" in set(tables["indicators"]["term"])


@pytest.mark.parametrize("name", ["bert", "camembert", "ernie", "roberta", "distilbert", "gpt2"])
def test_the_input_is_word_position_and_type(name):
    model = wild(name, torch.float64, vocab_size=VOCABULARY)
    layers = captured(model, TEXTS)
    whole = decomposition(layers, model, by="branches", detail="tokens", precision="float64")
    split = decomposition(
        layers, model, by="branches", detail="tokens", split_input=True, precision="float64"
    )
    names = ["word", "position", *["type"] * (name not in ("distilbert", "gpt2"))]
    for kind, key in (("tokens", ["row", "site"]), ("branches", ["site"])):
        one, parts = table(whole, kind), table(split, kind)
        assert list(dict.fromkeys(parts["term"]))[-1] != "input"
        assert set(parts["term"]) == set(one["term"]) - {"input"} | set(names)
        summed = parts[parts["term"].isin(names)].groupby(key)["relative_dot"].sum()
        own = one[one["term"] == "input"].groupby(key)["relative_dot"].sum()
        np.testing.assert_allclose(summed, own, atol=1e-6)
    first = table(split, "tokens").query("depth == 0 and term == 'word'").set_index("row")
    embedding = model.module.base_model.get_input_embeddings().weight.detach().double()
    if name == "gpt2":
        state = torch.from_numpy(layers["embed"].numpy(np.float64))
        wanted = embedding[layers[0].rows.token_id].norm(dim=-1) / state.norm(dim=-1)
        np.testing.assert_allclose(first["norm_ratio"], wanted, rtol=1e-5)


def test_an_input_that_is_no_known_sum_is_refused(gpt2):
    llama = wild("llama", torch.float32, vocab_size=VOCABULARY)
    with pytest.raises(InputError, match="positions in the embedding of llama; --split-input is"):
        decomposition(captured(llama, TEXTS), llama, split_input=True)
    model, layers = gpt2
    moved = Layers.of(
        *(
            Activations.of(a.numpy(), rows=replace(a.rows, position=a.rows.position + 1),
                           site=a.site)
            for a in layers
        )
    )  # fmt: skip
    with pytest.raises(InputError, match="do not sum to the stored embedding"):
        decomposition(moved, model, split_input=True)


def test_terms_are_summed_as_precisely_as_is_asked(gpt2):
    model, layers = gpt2
    for precision, used in (("float32",) * 2, ("float64",) * 2, ("auto", "float32")):
        (summary,) = decomposition(layers, model, precision=precision).tables["summary"]
        assert summary["precision"] == used
    single = wild("gpt2", torch.float64, vocab_size=VOCABULARY)
    (summary,) = decomposition(captured(single, TEXTS), single).tables["summary"]
    assert summary["precision"] == "float64"


def test_figures_show_tokens_of_control_characters_as_escapes_and_no_nan():
    assert figures.text_of("\x15") == r"\x15"
    assert figures.text_of(" the") == "the"
    assert figures.known({"cosine": float("nan"), "text": "a"}) == {"cosine": None, "text": "a"}
