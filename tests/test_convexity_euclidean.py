"""`convexity_euclidean` gives shares of segments that can be worked out by hand."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import actlas
from actlas import (
    Activations,
    InputError,
    LabelError,
    Labels,
    LoadedModel,
    Others,
    Result,
    ResultTable,
    Rows,
    Samples,
)
from actlas.plugins.convexity.euclidean import convexity_euclidean
from actlas.plugins.convexity.euclidean.decisions import Function
from actlas.plugins.convexity.euclidean.heads import ProbeHead
from actlas.plugins.convexity.euclidean.pairs import draw
from actlas.plugins.convexity.euclidean.remarks import remarks
from actlas.plugins.convexity.euclidean.tables import Class, Summary
from actlas.plugins.probe import probe
from actlas.testing import checks

from .test_sites import Toy
from .tiny import TEXTS, pictures, recordings, save_classifier


def a_probe(coef, intercept, names):
    """A stored probe with these weights."""
    arrays = {"coef": np.array(coef, float), "intercept": np.array(intercept, float)}
    return Result({"classes": ResultTable("classes", {"label": np.array(names)})}, arrays)


def run(X, y, base=None, **settings):
    acts = Activations.of(np.asarray(X, np.float32))
    settings = {"decision": "probe" if base else "centroid"} | settings
    return convexity_euclidean(acts, Labels.of(y), base=base, **settings)


def summary(result):
    return next(iter(result.tables["summary"]))


def scores(result, column="euclidean_convexity"):
    table = result.tables["classes"]
    return dict(zip(table["label"], table[column], strict=True))


def blobs(classes=4, n=30, width=6, gap=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), n)
    return rng.normal(size=(classes, width))[y] * gap + rng.normal(size=(len(y), width)), y


def by_function(X, y, logits, points=10):
    """Mean score by class of all pairs, judged by a function of points."""
    found = Function(np.asarray(X, np.float32), logits, ("0", "1"))
    means = []
    for label in np.unique(y):
        pairs = draw(np.flatnonzero(y == label), found.spaces, 0, np.random.default_rng(0))
        along = found.judge(pairs.first, pairs.second, points)
        means.append((along.predicted == label).mean())
    return means


POSITIVE = a_probe([[1.0], [-1.0]], [0, 0], ["c", "d"])


def test_three_points_on_a_line():
    result = run([[1], [3], [-1]], [*"ccc"], POSITIVE)
    assert scores(result) == {"c": pytest.approx(23 / 30)}
    # (1, 3) is inside; of (1, −1) half, of (3, −1) three quarters.
    assert scores(result, "continuum") == {"c": pytest.approx(2.25 / 3)}
    assert scores(result, "recall") == {"c": pytest.approx(2 / 3)}
    assert scores(result, "both_right") == {"c": pytest.approx(1 / 3)}
    pairs = [1.0, 0.5, 0.8]
    assert scores(result, "sem")["c"] == pytest.approx(np.std(pairs, ddof=1) / np.sqrt(3))
    assert result.arrays["row_scores"] == pytest.approx([0.75, 0.9, 0.65])


@pytest.mark.parametrize("decision", ["probe", "centroid"])
def test_linear_regions_are_convex_by_construction(decision):
    X, y = blobs(6, gap=0.5)
    base = a_probe(np.random.default_rng(1).normal(size=(6, 6)), np.arange(6) / 9, [*"012345"])
    base = base if decision == "probe" else None
    own = run(X, y, base, against="prediction")
    assert set(scores(own).values()) <= {1.0}
    assert set(scores(own, "continuum").values()) <= {1.0}
    assert summary(own)["vacuous"]
    assert any("vacuous" in w for w in own.warnings)
    truth = run(X, y, base)
    assert not summary(truth)["vacuous"]
    assert any("below 1 only by the rows it gets wrong" in w for w in truth.warnings)
    for row in truth.tables["classes"]:
        assert row["both_right"] <= row["euclidean_convexity"] < 1


def test_a_constant_prediction_is_convex_for_one_class_only():
    X, y = blobs()
    result = run(X, y, a_probe(np.zeros((4, 6)), [1, 0, 0, 0], [*"0123"]))
    assert list(scores(result).values()) == [1, 0, 0, 0]
    assert (summary(result)["macro"], summary(result)["accuracy"]) == (0.25, 0.25)


def test_labels_dealt_out_score_one_over_the_classes():
    X, y = blobs(4, 20)
    base = a_probe(np.random.default_rng(1).normal(size=(4, 6)), np.zeros(4), [*"0123"])
    rng = np.random.default_rng(2)
    dealt = [summary(run(X, rng.permutation(y), base))["macro"] for _ in range(40)]
    expected = summary(run(X, y, base))["chance"]
    assert expected == 0.25
    assert np.mean(dealt) == pytest.approx(expected, abs=4 * np.std(dealt) / np.sqrt(40))
    assert np.isnan(summary(run(X, y, base, against="prediction"))["chance"])


def test_micro_weights_classes_by_their_pairs():
    X, y = blobs(2, 20, gap=0.3)
    keep = np.r_[0:20, 20:25]
    found = run(X[keep], y[keep])
    (a, b), table = scores(found).values(), found.tables["classes"]
    assert table["pairs"].tolist() == [190, 10]
    assert summary(found)["macro"] == pytest.approx((a + b) / 2)
    assert summary(found)["micro"] == pytest.approx((190 * a + 10 * b) / 200)
    assert summary(found)["sem"] == pytest.approx(table["sem"].mean())


def test_exclusive_or_and_a_disc_in_a_ring():
    rng = np.random.default_rng(0)
    P = rng.uniform(-1, 1, size=(2000, 2))
    y = (P[:, 0] * P[:, 1] > 0).astype(int)
    some = rng.permutation(2000)[:500]

    def xor(x):
        same = x[:, 0] * x[:, 1]
        return np.column_stack([-same, same]).astype(float)

    assert np.mean(by_function(P[some], y[some], xor)) == pytest.approx(0.8509, abs=0.015)
    i = np.arange(700)  # a spiral that fills the disc evenly: closer than as many random points
    r, angle = np.sqrt((i + 0.5) / 700), i * np.pi * (3 - np.sqrt(5))
    P = np.column_stack([r * np.cos(angle), r * np.sin(angle)])

    def disc(x):
        outside = (x.astype(float) ** 2).sum(1) - 0.5
        return np.column_stack([-outside, outside])

    y = ((P**2).sum(1) > 0.5).astype(int)
    inner, outer = by_function(P, y, disc)
    assert inner == 1.0
    assert outer == pytest.approx(0.508, abs=0.01)


@pytest.mark.parametrize("points", [1, 7, 10])
def test_linear_scores_are_those_of_points_judged_one_by_one(points):
    X, y = blobs(3, 12, gap=0.3)
    X = X.astype(np.float32).astype(float)
    W = np.random.default_rng(2).normal(size=(3, 6))
    result = run(X, y, a_probe(W, [0, 0.1, 0.2], [*"012"]), points=points)
    for label in range(3):
        pairs = []
        for i, j in itertools.combinations(np.flatnonzero(y == label), 2):
            share = np.arange(1, points + 1)[:, None] / (points + 1)
            logits = (share * X[i] + (1 - share) * X[j]) @ W.T + [0, 0.1, 0.2]
            pairs.append((logits.argmax(1) == label).mean())
        row = next(r for r in result.tables["classes"] if r["label"] == str(label))
        assert row["euclidean_convexity"] == pytest.approx(np.mean(pairs))
        assert row["sem"] == pytest.approx(np.std(pairs, ddof=1) / np.sqrt(12))
    fine = run(X, y, a_probe(W, [0, 0.1, 0.2], [*"012"]), points=4000)
    assert scores(result, "continuum") == pytest.approx(scores(fine), abs=1e-3)


def test_an_affine_map_with_its_head_changes_nothing():
    X, y = blobs(3, 20, gap=0.4)
    rng = np.random.default_rng(3)
    A, b, W = rng.normal(size=(6, 6)), rng.normal(size=6), rng.normal(size=(3, 6))
    back = W @ np.linalg.inv(A)
    plain = run(X, y, a_probe(W, np.zeros(3), [*"012"]))
    moved = run(X @ A.T + b, y, a_probe(back, -back @ b, [*"012"]))
    assert scores(moved) == pytest.approx(scores(plain), abs=1e-3)

    def bent(x):
        return np.column_stack([np.sin(x[:, 0]), x[:, 1] ** 2 - 0.5]).astype(float)

    y = y % 2
    turned = by_function(X @ A.T + b, y, lambda x: bent((x - b) @ np.linalg.inv(A).T))
    assert turned == pytest.approx(by_function(X, y, bent), abs=1e-3)


def test_pairs_are_all_there_are_or_drawn_without_repeats():
    members, spaces = np.array([3, 5, 8, 9, 11, 14]), np.zeros(15, np.int64)
    spaces[[5, 9, 14]] = 1
    rng = np.random.default_rng(0)
    every = draw(members, np.zeros(15, np.int64), 0, rng)
    found = {frozenset(p) for p in zip(every.first, every.second, strict=True)}
    assert found == set(map(frozenset, itertools.combinations(members, 2)))
    apart = draw(members, spaces, 0, rng)
    found = {frozenset(p) for p in zip(apart.first, apart.second, strict=True)}
    own = [itertools.combinations(p, 2) for p in ([3, 8, 11], [5, 9, 14])]
    assert found == set(map(frozenset, itertools.chain(*own)))
    assert (apart.possible, apart.all) == (6, 15)
    big = draw(np.arange(5000), np.zeros(5000, np.int64), 4000, rng)
    drawn = {frozenset(p) for p in zip(big.first.tolist(), big.second.tolist(), strict=True)}
    assert len(drawn) == 4000
    assert all(len(p) == 2 for p in drawn)
    assert len(set(big.first.tolist())) > 1500


def test_drawn_pairs_estimate_all_of_them():
    X, y = blobs(3, 60, gap=0.4)
    every, drawn = run(X, y, max_pairs=0), run(X, y, max_pairs=300, seed=1)
    assert every.tables["classes"]["pairs"].tolist() == [60 * 59 // 2] * 3
    assert drawn.tables["classes"]["pairs"].tolist() == [300] * 3
    assert scores(drawn) == scores(run(X, y, max_pairs=300, seed=1))
    assert scores(drawn) != scores(run(X, y, max_pairs=300, seed=2))
    for label, score in scores(drawn).items():
        assert score == pytest.approx(scores(every)[label], abs=4 * 0.35 / np.sqrt(300))


def test_a_small_network_is_trained_on_one_half_and_judges_the_other():
    rng = np.random.default_rng(0)
    P = rng.uniform(-1, 1, size=(600, 2)) * 3
    y = P[:, 0] * P[:, 1] > 0
    groups = np.arange(600) // 2
    acts = Activations.of(P.astype(np.float32))
    result = convexity_euclidean(acts, Labels.of(y, groups=groups), decision="mlp", max_pairs=1000)
    rows = result.arrays["rows"]
    assert len(rows) == 300
    assert set(np.bincount(groups[rows], minlength=300)) == {0, 2}
    assert summary(result)["accuracy"] > 0.93
    assert summary(result)["macro"] == pytest.approx(0.85, abs=0.04)
    assert summary(result)["bend"] > 0.1
    assert np.isnan(summary(result)["continuum"])


@pytest.mark.parametrize("names", [[1, 2, 3, 4], [9, 3, 7, 5], [*"dbac"]])
def test_names_of_labels_do_not_matter(names):
    X, y = blobs(gap=0.5)
    found, other = scores(run(X, y)), scores(run(X, [names[i] for i in y]))
    assert {str(names[int(label)]): s for label, s in found.items()} == other
    order = np.random.default_rng(0).permutation(len(X))
    assert scores(run(X[order], y[order])) == pytest.approx(found, abs=1e-12)


# The rest of a network


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    made = {}

    def load(kind):
        if kind not in made:
            folder = save_classifier(kind, tmp_path_factory.mktemp(f"{kind}-ec"))
            made[kind] = actlas.load_model(str(folder), device="cpu")
        return made[kind]

    return load


WORDS = ["cat", "dog", "moon", "mat", "town", "row", "site", "token", "batch", "text"]
SHORT = [f"The {a} and the {b}." for a, b in itertools.product(WORDS, WORDS)][::3]


def judged(model, data, site, labels, **settings):
    acts = Activations.of(np.zeros((len(data), 2), np.float32), site=site)
    settings = {"decision": "network"} | settings
    return convexity_euclidean(
        acts, Labels.of(labels), model=model, samples=Samples.of(data), **settings
    )


def by_hand(model, texts, site, labels, points, classes):
    """Scores of all pairs of equal length, one text and one point at a time."""
    headed = actlas.load_classifier(model)
    feed, place = headed.feed, headed.sites[site]
    data = actlas.Dataset.of(texts)
    encoded = feed.encode(data, range(len(texts)), site=place, max_length=100)
    batches = [feed.collate([one]) for one in encoded]
    states = [headed.capture(batch, [place])[site] for batch in batches]
    found = {}
    for label in classes:
        pairs = []
        members = [i for i, one in enumerate(labels) if one == label]
        for i, j in itertools.combinations(members, 2):
            if len(encoded[i]) != len(encoded[j]):
                continue
            inside = 0
            for share in np.arange(1, points + 1) / (points + 1):
                x = share * states[i] + (1 - share) * states[j]
                logits = headed.rerun(batches[i], {place: x.float()}).output.logits
                inside += classes[int(logits.argmax())] == label
            pairs.append(inside / points)
        found[label] = (np.mean(pairs), len(pairs))
    return found


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("site", ["embed", "layers.0", "layers.2"])
def test_a_network_judges_points_as_one_by_one(tuned, kind, site):
    model, texts = tuned(kind), SHORT[:9]
    labels = [*"abcabcaab"]
    result = judged(model, texts, site, labels, points=3)
    wanted = by_hand(model, texts, site, labels, 3, [*"abc"])
    for row in result.tables["classes"]:
        score, pairs = wanted[row["label"]]
        assert row["pairs"] == pairs
        assert (row["euclidean_convexity"] == pytest.approx(score)) or not pairs
    assert summary(result)["bend"] > 1e-4


def test_rows_are_judged_as_the_checkpoint_judges_them(tuned):
    model = tuned("bert")
    headed = actlas.load_classifier(model)
    result = judged(model, SHORT, "layers.1", [*"abc"] * 11 + ["a"], against="prediction")
    ids = [headed.feed.tokenizer(t, return_tensors="pt").input_ids for t in SHORT]
    with torch.inference_mode():
        own = [int(headed.module(input_ids=i).logits.argmax()) for i in ids]
    counts = np.bincount(own, minlength=3)
    assert {r["label"]: r["n"] for r in result.tables["classes"]} == {
        name: n for name, n in zip("abc", counts.tolist(), strict=True) if n
    }
    truth = ["abc".index(c) for c in [*"abc"] * 11 + ["a"]]
    assert summary(result)["accuracy"] == pytest.approx(np.mean(np.array(own) == truth))
    assert summary(result)["both_right"] == 1


def test_texts_of_unlike_length_are_joined_only_when_padded(tuned):
    model, labels = tuned("bert"), [*"aabba"]
    with pytest.raises(InputError, match="lengths=padded"):
        judged(model, TEXTS, "layers.1", labels)
    result = judged(model, TEXTS, "layers.1", labels, lengths="padded", points=4)
    assert result.tables["classes"]["pairs"].tolist() == [3, 1]
    # The shorter as the network itself runs it beside the longer.
    headed = actlas.load_classifier(model)
    site = headed.sites["layers.1"]
    data = actlas.Dataset.of(TEXTS)
    two = headed.feed.encode(data, [2, 3], site=site, max_length=100)
    states = headed.capture(headed.feed.collate(two), [site])["layers.1"]
    alone = headed.feed.collate(two[1:])
    inside = [
        int(
            headed.rerun(
                alone, {site: s * states[:1] + (1 - s) * states[1:]}
            ).output.logits.argmax()
        )
        for s in (0.2, 0.4, 0.6, 0.8)
    ]
    assert scores(result)["b"] == pytest.approx(np.mean(np.array(inside) == 1))
    mixed = judged(model, [*SHORT[:20], *TEXTS], "layers.1", [*"ab"] * 10 + labels)
    assert 0 < summary(mixed)["joinable_share"] < 1
    assert any("lengths=padded joins all" in w for w in mixed.warnings)


@pytest.mark.parametrize("kind", ["vit", "wav2vec2"])
def test_images_and_recordings_are_judged_too(tuned, tmp_path, kind):
    made = {"vit": (pictures, (32, 32)), "wav2vec2": (recordings, 8000)}
    save, size = made[kind]
    data = save(tmp_path, [size] * 6)
    result = judged(tuned(kind), data, "layers.0", [*"aabbcc"], points=2)
    assert result.tables["classes"]["pairs"].tolist() == [1, 1, 1]
    assert summary(result)["joinable_share"] == 1


def test_a_probe_at_a_later_site_reads_a_network_without_a_head(tiny):
    model, site = tiny("bert"), "layers.2"
    data = actlas.Dataset.of(SHORT)
    place = model.sites[site]
    encoded = model.feed.encode(data, range(len(SHORT)), site=place, max_length=100)
    X = torch.cat([model.capture(model.feed.collate([e]), [place])[site].mean(1) for e in encoded])
    y = np.where(X[:, 0] > X[:, 0].median(), "high", "low")
    last = Activations.of(X, site=site)
    read = probe(last, Labels.of(y), permutations=0)
    others = Others.of(last, bases=[read])
    result = judged(model, SHORT, "layers.0", y, others=others, points=3)
    assert summary(result)["head"] == "probe at layers.2"
    own = (X.numpy() @ read.arrays["coef"].T + read.arrays["intercept"]).argmax(1)
    truth = np.array(["high", "low"])[own] == y
    assert summary(result)["accuracy"] == pytest.approx(truth.mean())
    # At that very site nothing bends between it and the probe, and pairs are those of the rows.
    there = judged(model, SHORT, site, y, others=others, against="prediction")
    assert summary(there)["vacuous"]
    assert set(scores(there).values()) == {1.0}
    with pytest.raises(InputError, match="leave --other out"):
        convexity_euclidean(last, Labels.of(y), others=others, decision="centroid")
    words = Samples.of(SHORT, pooling="word")
    with pytest.raises(InputError, match="pooled by word"):
        convexity_euclidean(last, Labels.of(y), others=others, model=model, samples=words)


class Headed(nn.Module):
    """A stack of blocks and a head: linear, or one that reads the first block's state too."""

    def __init__(self, leaks):
        super().__init__()
        self.body, self.leaks = Toy(None), leaks
        self.config = self.body.config
        self.head = nn.Linear(6, 2)

    def forward(self, input_ids, attention_mask=None):
        stream = self.body.embedding(input_ids)
        first = None
        for block in self.body.blocks:
            stream = torch.tanh(block(stream)) if block is self.body.blocks[0] else block(stream)
            first = stream if first is None else first
        return self.head((stream + first * self.leaks).mean(1))


class Letters:
    """A tokenizer of five letters a text."""

    is_fast, pad_token_id, model_max_length = True, 0, 100

    def __call__(self, texts, **_):
        ids = [[ord(c) % 40 + 1 for c in text[-6:-1]] for text in texts]
        spans = [[(i, i + 1) for i in range(5)] for _ in texts]
        return {
            "input_ids": ids, "special_tokens_mask": [[0] * 5 for _ in texts],
            "offset_mapping": spans,
        }  # fmt: skip


def toy(leaks):
    module = Headed(leaks).eval()
    feed = actlas.TextFeed(Letters(), module.config, 100)
    return LoadedModel("torch:toys:headed", module, feed, "0" * 32)


def test_a_linear_end_of_a_network_is_called_vacuous():
    model, labels = toy(0.0), [*"01"] * 17
    for site, bends in (("module:body.blocks.1", False), ("module:body.blocks.0", True)):
        own = judged(model, SHORT, site, labels, against="prediction")
        assert (summary(own)["bend"] > 1e-4) == bends
        assert summary(own)["vacuous"] != bends
    assert set(scores(judged(model, SHORT, "module:body.blocks.1", labels, against="prediction"))
               .values()) == {1.0}  # fmt: skip


def test_a_nearly_linear_end_is_said_to_be_near_trivial():
    X, y = blobs(2)
    given = run(X, y)
    classes = [Class(**row) for row in given.tables["classes"]]
    said = {0.0: "is linear", 0.03: "nearly linear (logits bend by 3.0%)", 0.3: ""}
    for bend, text in said.items():
        row = Summary(**(summary(given) | {"bend": bend}))
        found = " ".join(remarks(row, classes, []))
        assert (text in found) if text else ("linear" not in found)


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_heads_of_encoder_decoders_are_refused_and_probes_within_the_encoder_read(tuned, kind):
    model, y = tuned(kind), [*"ab"] * 17
    with pytest.raises(actlas.ModelError, match="is an encoder–decoder, whose heads are not run"):
        judged(model, SHORT, "encoder.layers.0", y)
    width = model.sites["encoder.layers.1"].width
    X = np.random.default_rng(0).normal(size=(34, width)).astype(np.float32)
    last = Activations.of(X, site="encoder.layers.1")
    others = Others.of(last, bases=[probe(last, Labels.of(y), permutations=0)])
    result = judged(model, SHORT, "encoder.layers.0", y, others=others, points=2)
    assert summary(result)["head"] == "probe at encoder.layers.1"
    assert summary(result)["bend"] > 0.01


def test_a_head_that_reads_earlier_states_too_is_refused():
    labels = [*"01"] * 17
    with pytest.raises(InputError, match="reads earlier states too"):
        judged(toy(1.0), SHORT, "module:body.blocks.1", labels)
    judged(toy(1.0), SHORT, "module:body.embedding", labels)


def test_labels_of_words_are_refused_and_those_of_samples_taken_once(tuned):
    rows = Rows.build(np.repeat(np.arange(8), 3))
    acts = Activations.of(np.zeros((24, 2), np.float32), rows=rows, site="layers.1")
    given = {"model": tuned("bert"), "samples": Samples.of(SHORT[:8], pooling="token")}
    labels = np.repeat([*"abababab"], 3)
    result = convexity_euclidean(acts, Labels.of(labels), **given)
    assert result.arrays["rows"].tolist() == list(range(0, 24, 3))
    labels[1] = "b"
    with pytest.raises(LabelError, match="labels words"):
        convexity_euclidean(acts, Labels.of(labels), **given)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"points": 0}, "points ≥ 1"),
        ({"max_pairs": -1}, "max_pairs, per_class, seed ≥ 0"),
        ({"decision": "probe"}, "needs base"),
        ({"decision": "network"}, "needs model"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(settings, said):
    X, y = blobs()
    with pytest.raises(InputError) as raised:
        run(X, y, **settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_labels_that_the_decision_does_not_know():
    X, y = blobs()
    base = a_probe(np.eye(6)[:4], np.zeros(4), [*"0123"])
    with pytest.raises(InputError, match=r"has x0, x1, x2, … and what judges tells 0, 1, 2"):
        run(X, [f"x{i}" for i in y], base)
    some = run(X, [f"x{i}" if i == 3 else i for i in y], base)
    assert list(scores(some)) == ["0", "1", "2"]
    assert any("does not know them: x3" in w for w in some.warnings)
    numbered = a_probe(np.eye(6)[:4], np.zeros(4), [f"LABEL_{i}" for i in range(4)])
    assert scores(run(X, y, numbered)) == scores(run(X, y, base))
    with pytest.raises(InputError, match="reads 5 dimensions, these rows have 6"):
        run(X, y, a_probe(np.zeros((4, 5)), np.zeros(4), [*"0123"]))


def test_one_class_only_is_called_vacuous():
    X, _ = blobs(1)
    result = run(X, ["c"] * len(X))
    assert summary(result)["vacuous"]
    assert "vacuous: there is one class only, and every point is predicted as it" in result.warnings
    with pytest.raises(LabelError, match="labels of two classes or more"):
        run(X, ["c"] * len(X), decision="mlp")


def test_a_class_of_one_row_has_no_score():
    X, y = blobs(3, 10)
    result = run(X[:21], y[:21])
    assert np.isnan(scores(result)["2"])
    assert any("no score: 2" in w for w in result.warnings)
    assert summary(result)["classes"] == 2


@pytest.mark.parametrize("check", checks(convexity_euclidean, decision="centroid"), ids=repr)
def test_conforms(check):
    check()


@pytest.mark.parametrize("check", checks(convexity_euclidean, decision="probe"), ids=repr)
def test_conforms_on_a_probe(check):
    check()


def test_bands_stay_where_scores_can_be():
    X, y = blobs(classes=2, n=4, gap=2.5)
    X[0] = X[y == 1].mean(axis=0)
    found = summary(run(X, y))
    assert found["macro"] + 1.96 * found["sem"] > 1
    assert found["high"] == 1


def test_of_classes_that_lead_equally_the_exact_share_is_the_firsts():
    found = summary(run(np.ones((9, 3)), np.arange(9) % 3))  # all means are the same
    assert found["macro"] == pytest.approx(1 / 3)
    assert found["continuum"] == pytest.approx(1 / 3)


def test_labels_that_a_head_does_not_know_are_refused_before_any_sample_is_run(tuned, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a sample was run")

    model = tuned("bert")
    monkeypatch.setattr(actlas.LoadedModel, "rerun", never)
    monkeypatch.setattr(actlas.LoadedModel, "capture", never)
    with pytest.raises(InputError, match=r"labels has x, y, … and what judges tells"):
        judged(model, SHORT[:8], "layers.1", [*"xyxyxyxy"])


def test_errors_name_the_analysis_that_was_run():
    for X, y in ((np.eye(4), [*"abcd"]), (np.array([[np.nan], [1.0], [2.0]]), [*"aab"])):
        with pytest.raises(InputError, match=r"^convexity_euclidean: "):
            run(X, y, decision="centroid")


def test_a_probe_at_a_later_site_reads_the_positions_that_are_the_samples_own():
    states = torch.arange(12.0).reshape(2, 3, 2) ** 2
    seen = SimpleNamespace(states={"final": states})
    own, base = np.array([2, 3]), a_probe(np.eye(2), np.zeros(2), [*"ab"])
    expected = {
        "first": [states[0, 0], states[1, 0]],
        "last": [states[0, 1], states[1, 2]],
        "mean": [states[0, :2].mean(dim=0), states[1].mean(dim=0)],
    }
    for pooling, rows in expected.items():
        found = ProbeHead(SimpleNamespace(name="final"), base, pooling).logits(seen, own)
        np.testing.assert_allclose(found, torch.stack(rows))
