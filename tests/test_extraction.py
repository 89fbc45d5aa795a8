"""Extraction gives the same rows and numbers however it is batched, interrupted or chunked."""

import copy
import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from actlas.core import (
    POOLINGS,
    Activations,
    Dataset,
    ExtractOptions,
    Extractor,
    InputError,
    LabelError,
    Labels,
    Layers,
    Rows,
    read_dataset,
)
from actlas.core.extraction import packed_batches

from .tiny import TEXTS, joined_rows

DATA = Dataset.of([f"{n} {TEXTS[n * 7 % 5][: 5 + n * 13 % 60]}" for n in range(100)])


def extractor(model, dataset=DATA, sites="residual", **options):
    return Extractor(model, dataset, model.select(sites), ExtractOptions(**options))


def joined(windows):
    windows = list(windows)
    names = windows[0].data
    rows = joined_rows([window.rows for window in windows])
    return rows, {n: torch.cat([window.data[n] for window in windows]) for n in names}


def same_rows(one, two):
    return (
        one.same_places(two)
        and list(one.token) == list(two.token)
        and np.array_equal(one.token_id, two.token_id)
        and np.array_equal(one.special, two.special)
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_rows_leave_in_the_order_of_the_data_set(tiny, pooling):
    model = tiny("bert")
    lengths = [len(ids) for ids in model.tokenizer(list(DATA.texts))["input_ids"]]
    assert lengths != sorted(lengths) != lengths[::-1]
    windows = list(extractor(model, pooling=pooling, batch_tokens=32).windows())
    assert len(windows) > 2
    rows, _ = joined(windows)
    assert rows.sample.tolist() == sorted(rows.sample.tolist())
    assert set(rows.sample.tolist()) == set(range(len(DATA)))
    if pooling in ("token", "word"):
        for sample in range(len(DATA)):
            positions = rows.position[rows.sample == sample]
            assert positions.tolist() == list(range(len(positions)))
    else:
        assert len(rows) == len(DATA)


def test_windows_follow_on_one_another(tiny):
    windows = list(extractor(tiny("bert"), batch_tokens=32).windows())
    bounds = [(w.first_sample, w.stop_sample) for w in windows]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == len(DATA)
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    for window in windows:
        assert set(window.rows.sample.tolist()) == set(
            range(window.first_sample, window.stop_sample)
        )
        assert {len(data) for data in window.data.values()} == {len(window.rows)}


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_each_row_is_the_vector_of_its_own_token(tiny, kind):
    """Against one plain forward pass a text, with nothing sorted or padded."""
    model = tiny(kind)
    last = "final" if "final" in model.sites else "layers.2"
    rows, data = joined(extractor(model, dtype="float32", batch_tokens=64).windows())
    for sample, text in enumerate(DATA.texts):
        ids = model.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            wanted = model.module(ids).last_hidden_state[0]
        here = torch.from_numpy(rows.sample == sample)
        torch.testing.assert_close(data[last][here], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["token", "word", "mean", "last"])
@pytest.mark.parametrize("kind", ["roberta", "gpt2", "llama"])
def test_the_size_of_a_batch_changes_nothing(tiny, kind, pooling):
    model = tiny(kind)
    options = {"pooling": pooling, "dtype": "float32"}
    rows, data = joined(extractor(model, batch_tokens=4096, **options).windows())
    for batch_tokens in (1, 50, 300):
        others, numbers = joined(extractor(model, batch_tokens=batch_tokens, **options).windows())
        assert same_rows(rows, others)
        for name, matrix in data.items():
            torch.testing.assert_close(numbers[name], matrix, rtol=1e-5, atol=1e-5)


def test_no_batch_is_larger_than_asked_for_unless_one_text_is(tiny, monkeypatch):
    model = tiny("bert")
    seen = []
    forward = type(model.module).forward

    def watched(self, input_ids=None, **given):
        seen.append(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, **given)

    run = extractor(model, batch_tokens=100)
    monkeypatch.setattr(type(model.module), "forward", watched)
    list(run.windows())
    assert sum(rows for rows, _ in seen) == len(DATA)
    assert all(rows * length <= 100 or rows == 1 for rows, length in seen)
    assert max(rows for rows, _ in seen) > 1


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_run_taken_up_again_gives_the_same_bits(tiny, dtype):
    model = tiny("bert")
    whole = list(extractor(model, batch_tokens=32, dtype=dtype).windows())
    assert len(whole) > 3
    for done in range(1, len(whole)):
        again = extractor(model, batch_tokens=32, dtype=dtype)  # a new process would make a new one
        rest = list(again.windows(first_sample=whole[done - 1].stop_sample))
        assert len(rest) == len(whole) - done
        for one, two in zip(whole[done:], rest, strict=True):
            assert (one.first_sample, one.stop_sample) == (two.first_sample, two.stop_sample)
            assert same_rows(one.rows, two.rows)
            for name, matrix in one.data.items():
                assert torch.equal(matrix, two.data[name])


def test_a_run_taken_up_again_far_into_a_large_data_set_has_the_same_windows(tiny):
    """Texts are tokenized some hundred at a time; a window may end anywhere between."""
    data = Dataset.of([f"{'cat ' * (1 + n % 6)}{n}" for n in range(600)])
    run = extractor(tiny("bert"), data, "embed", batch_tokens=96, dtype="float32")
    whole = list(run.windows())
    for done in (1, len(whole) // 2, len(whole) - 1):
        first = next(run.windows(first_sample=whole[done].first_sample))
        assert first.stop_sample == whole[done].stop_sample
        assert torch.equal(first.data["embed"], whole[done].data["embed"])
    assert list(run.windows(first_sample=len(data))) == []


@pytest.mark.parametrize("pooling", ["token", "word", "mean"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_storing_is_the_cast_of_torch(tiny, dtype, pooling):
    model = tiny("gpt2")
    _, exact = joined(extractor(model, dtype="float32", pooling=pooling).windows())
    _, stored = joined(extractor(model, dtype=dtype, pooling=pooling).windows())
    for name, matrix in stored.items():
        assert matrix.dtype == getattr(torch, dtype)
        assert torch.equal(matrix, exact[name].to(getattr(torch, dtype)))
        assert not torch.equal(matrix.float(), exact[name])


def test_a_width_that_is_no_multiple_of_eight_bytes_is_stored_alike(tiny):
    model = copy.deepcopy(tiny("bert").module)
    odd = torch.nn.Linear(24, 7)
    model.encoder.layer[1].output.dense = torch.nn.Sequential(odd, torch.nn.Linear(7, 16))
    model = dataclasses.replace(tiny("bert"), module=model)
    site = "module:encoder.layer.1.output.dense.0"
    (window,) = extractor(model, sites=site, dtype="float16").windows()
    (exact,) = extractor(model, sites=site, dtype="float32").windows()
    assert window.data[site].shape == (len(window.rows), 7)
    assert torch.equal(window.data[site], exact.data[site].half())


def changed(model, change):
    module = copy.deepcopy(model.module)
    with torch.no_grad():
        change(module)
    return dataclasses.replace(model, module=module)


def token_of(model, text):
    return model.tokenizer(text)["input_ids"][0]


def counts_of(model, sites="embed", batch_tokens=32, **options):
    """Rows, the windows' counts of non-finite and overflown rows, and the data."""
    windows = list(extractor(model, sites=sites, batch_tokens=batch_tokens, **options).windows())
    assert len(windows) > 1
    rows, data = joined(windows)
    nonfinite = {n: sum(w.nonfinite[n] for w in windows) for n in data}
    overflow = {n: sum(w.overflow[n] for w in windows) for n in data}
    return rows, nonfinite, overflow, data


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_counted(tiny, bad, dtype):
    base = tiny("llama")
    token = token_of(base, "at")

    def spoil(module):
        module.embed_tokens.weight[token, 3] = bad

    rows, nonfinite, overflow, data = counts_of(changed(base, spoil), dtype=dtype)
    wanted = int((rows.token_id == token).sum())
    assert 0 < wanted < len(rows)
    assert nonfinite == {"embed": wanted}
    assert overflow == {"embed": 0}
    assert int((~torch.isfinite(data["embed"]).all(1)).sum()) == wanted


def test_infinities_of_both_signs_are_counted(tiny):
    base = tiny("llama")
    token = token_of(base, "at")

    def spoil(module):
        module.embed_tokens.weight[token, 3] = math.inf
        module.embed_tokens.weight[token, 4] = -math.inf

    rows, nonfinite, _, _ = counts_of(changed(base, spoil))
    assert nonfinite == {"embed": int((rows.token_id == token).sum())}


@pytest.mark.parametrize("pooling", ["mean", "word", "last"])
def test_pooled_rows_that_are_not_finite_are_counted(tiny, pooling):
    base = tiny("llama")
    token = base.tokenizer(DATA.texts[0])["input_ids"][-1]

    def spoil(module):
        module.embed_tokens.weight[token] = 1e6

    model = changed(base, spoil)
    exact = counts_of(model, pooling=pooling, dtype="float32")[3]["embed"]
    wanted = int((exact.abs() >= 65520).any(1).sum())
    assert 0 < wanted < len(exact)
    _, nonfinite, overflow, _ = counts_of(model, pooling=pooling)
    assert nonfinite == overflow == {"embed": wanted}


@pytest.mark.parametrize(
    ("dtype", "value", "overflows"),
    [
        ("float16", 1e6, True),
        ("float16", -1e6, True),
        ("float16", 65520.0, True),
        ("float16", 65519.0, False),  # rounds down to the largest number there is
        ("bfloat16", 1e6, False),
        ("bfloat16", 3.4e38, True),
        ("float32", 3.4e38, False),
    ],
)
def test_rows_that_overflow_in_storage_are_counted(tiny, dtype, value, overflows):
    base = tiny("llama")
    token = token_of(base, "at")

    def scale(module):
        module.embed_tokens.weight[token, 0] = value

    rows, nonfinite, overflow, _ = counts_of(changed(base, scale), dtype=dtype)
    wanted = int((rows.token_id == token).sum()) if overflows else 0
    assert nonfinite == overflow == {"embed": wanted}


def test_sums_that_overflow_where_no_number_does_are_not_counted(tiny):
    base = tiny("llama")

    def scale(module):
        module.embed_tokens.weight[:] = 3e38

    _, nonfinite, overflow, _ = counts_of(changed(base, scale), dtype="float32")
    assert nonfinite == overflow == {"embed": 0}


def test_what_stands_in_padding_is_not_counted(tiny):
    base = tiny("llama")

    def spoil(module):
        module.embed_tokens.weight[base.feed.pad_id] = math.nan

    model, seen = changed(base, spoil), []
    model.module.embed_tokens.register_forward_pre_hook(lambda module, ids: seen.append(ids[0]))
    run = extractor(model, sites="embed", batch_tokens=300)
    for window in run.windows():
        assert base.feed.pad_id not in window.rows.token_id
        assert window.nonfinite == {"embed": 0}
    assert any((ids == base.feed.pad_id).any() for ids in seen)


def test_each_site_has_its_own_count(tiny):
    base = tiny("gpt2")

    def spoil(module):
        module.h[1].mlp.c_proj.bias[0] = math.inf

    rows, nonfinite, overflow, _ = counts_of(changed(base, spoil), "layers.*")
    assert nonfinite == {"layers.0": 0, "layers.1": len(rows), "layers.2": len(rows)}
    assert set(overflow.values()) == {0}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_estimate_is_near_the_real_thing(tiny, pooling):
    data = read_dataset("actlas:concepts")
    run = extractor(tiny("gpt2"), data, "embed,layers.0", pooling=pooling, batch_tokens=8192)
    estimate = run.estimate(timed=False)
    windows = list(run.windows())
    rows = sum(len(window.rows) for window in windows)
    assert estimate.samples == len(data)
    assert estimate.rows == pytest.approx(rows, rel=0.2)
    stored = sum(m.nbytes for window in windows for m in window.data.values())
    assert estimate.bytes == pytest.approx(stored, rel=0.2)
    assert estimate.seconds == 0


def test_the_estimate_of_few_samples_is_exact_and_timed(tiny):
    run = extractor(tiny("bert"), dtype="float32")
    rows, data = joined(run.windows())
    estimate = run.estimate()
    assert estimate.rows == len(rows)
    assert estimate.bytes == sum(matrix.nbytes for matrix in data.values())
    assert 0 < estimate.seconds < 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"pooling": "max"},
        {"dtype": "int4"},
        {"batch_tokens": 0},
        {"max_length": 0},
        {"on_long": "eror"},
    ],
)
def test_options_that_do_not_exist_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ExtractOptions(**wrong)


MATRIX = np.arange(20, dtype=np.float64).reshape(5, 4)
matrices = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 30), st.integers(1, 5)),
    elements=st.floats(-1e6, 1e6, width=32),
)


@given(matrix=matrices, size=st.integers(1, 40), chunk=st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_the_size_of_a_chunk_changes_nothing_that_is_read(matrix, size, chunk):
    acts = Activations.of(matrix, chunk_rows=chunk)
    for found in (acts.chunks(size), iter(acts), iter(acts.chunked(size)), acts.torch_chunks(size)):
        parts = [np.asarray(part) for part in found]
        assert [part.dtype for part in parts] == [np.float32] * len(parts)
        assert np.array_equal(np.concatenate([np.empty((0, acts.width)), *parts]), matrix)
    assert [len(part) for part in acts.chunks(size)] == [
        min(size, len(matrix) - start) for start in range(0, len(matrix), size)
    ]
    assert np.array_equal(acts.numpy(), matrix)


@given(matrix=matrices, data=st.data(), size=st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_any_rows_are_those_of_the_matrix(matrix, data, size):
    n = len(matrix)
    acts = Activations.of(matrix)
    index = data.draw(st.lists(st.integers(-n, n - 1), max_size=20) if n else st.just([]))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    cut = data.draw(st.slices(n))
    for picked in (np.array(index, int), mask, cut):
        assert np.array_equal(acts[picked], matrix[picked])
        view = acts.take(picked)
        assert view.shape == matrix[picked].shape
        assert np.array_equal(view.numpy(), matrix[picked])
        assert view.rows.sample.tolist() == np.arange(n)[picked].tolist()
        chunks = [np.empty((0, view.width)), *view.chunks(size)]
        assert np.array_equal(np.concatenate(chunks), matrix[picked])
        back = view.take(slice(None, None, -1))
        assert np.array_equal(back.numpy(), matrix[picked][::-1])


def test_one_row_is_a_vector():
    acts = Activations.of(MATRIX)
    assert acts[1].tolist() == acts[np.int64(1)].tolist() == [4, 5, 6, 7]
    assert acts[-1].tolist() == [16, 17, 18, 19]
    assert acts[[-5]].tolist() == [[0, 1, 2, 3]]
    assert acts[1].dtype == np.float32
    assert acts.take([3, 1])[-1].tolist() == acts[1].tolist()
    assert (len(acts), acts.width, acts.shape) == (5, 4, (5, 4))


@pytest.mark.parametrize("row", [5, -6, [0, 5], [-6, 0]])
def test_a_row_that_is_not_there_is_refused(row):
    with pytest.raises(InputError, match=r"outside 0…4"):
        Activations.of(MATRIX)[row]
    with pytest.raises(InputError, match=r"outside 0…4"):
        Activations.of(MATRIX).take(np.atleast_1d(row))


@pytest.mark.parametrize("mask", [[True], [True] * 6, np.ones((5, 1), bool)])
def test_a_mask_of_another_length_is_refused(mask):
    with pytest.raises(InputError, match="a mask over 5 rows"):
        Activations.of(MATRIX)[mask]


def test_an_index_that_is_no_whole_number_is_refused():
    with pytest.raises(InputError):
        Activations.of(MATRIX)[[0.7]]


def test_a_chunk_of_no_rows_is_refused():
    with pytest.raises(InputError):
        list(Activations.of(MATRIX).chunks(-1))


@pytest.mark.parametrize(
    "wrong", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2), complex), np.full((2, 2), "a")]
)
def test_only_a_matrix_of_real_numbers_is_activations(wrong):
    with pytest.raises(InputError, match=r"matrix \(rows, width\) of real numbers"):
        Activations.of(wrong)


def test_provenance_of_another_length_is_refused():
    with pytest.raises(InputError, match="5 activations but provenance of 3 rows"):
        Activations.of(MATRIX, rows=Rows.of_samples(3))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64"])
def test_tensors_of_any_kind_are_read_as_float32(dtype):
    tensor = torch.tensor([[1.5, 2], [3, 4]]).to(getattr(torch, dtype))
    acts = Activations.of(tensor)
    assert np.array_equal(acts.numpy(), tensor.float().numpy())


def test_tensors_with_a_gradient_are_read():
    assert Activations.of(torch.ones(2, 2, requires_grad=True)).numpy().sum() == 4


def test_reading_gives_copies_in_the_dtype_asked_for():
    given = MATRIX.copy()
    acts = Activations.of(given)
    whole = acts.numpy(np.float64)
    assert whole.dtype == np.float64
    assert next(acts.chunks(2, np.float16)).dtype == np.float16
    whole[:] = 0
    acts.torch()[:] = 0
    next(iter(acts))[:] = 0
    acts[0][:] = 0
    assert np.array_equal(given, MATRIX)
    assert np.array_equal(acts.numpy(), MATRIX)


def test_torch_gives_float32_on_the_device_asked_for():
    tensor = Activations.of(MATRIX).torch("cpu")
    assert (tensor.dtype, tensor.device.type) == (torch.float32, "cpu")
    assert np.array_equal(tensor.numpy(), MATRIX)
    parts = list(Activations.of(MATRIX).torch_chunks(2, "cpu"))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat(parts), tensor)


def test_rows_with_numbers_that_are_not_finite_are_found():
    matrix = MATRIX.copy()
    matrix[1, 2], matrix[3, 0] = np.nan, -np.inf
    acts = Activations.of(matrix, chunk_rows=2)
    assert acts.finite_rows().tolist() == [True, False, True, False, True]
    assert np.isfinite(acts.take(acts.finite_rows()).numpy()).all()
    assert len(Activations.of(np.zeros((0, 3))).finite_rows()) == 0


def test_layers_are_found_by_place_and_by_name():
    one, two = Activations.of(MATRIX, site="embed"), Activations.of(-MATRIX, site="layers.0")
    layers = Layers.of(one, two)
    assert layers.names == ("embed", "layers.0")
    assert list(layers) == [one, two]
    assert len(layers) == 2
    assert layers[1] is layers[-1] is layers["layers.0"] is two
    with pytest.raises(InputError, match=r"no site 'layers\.1'; there is embed, layers\.0"):
        layers["layers.1"]


def test_layers_with_unequal_rows_are_refused():
    with pytest.raises(InputError, match="the same rows"):
        Layers.of(Activations.of(MATRIX), Activations.of(MATRIX[:4]))


ROWS = Rows.build(
    np.array([0, 0, 1]),
    position=np.array([0, 1, 0]),
    token=["[CLS]", "cat", "dog"],
    token_id=np.array([7, 8, 9]),
    start=np.array([-1, 4, 0]),
    end=np.array([-1, 7, 3]),
    special=np.array([True, False, False]),
)


def test_a_row_says_none_where_a_column_does_not_apply():
    assert ROWS[0] == (0, 0, 0, "[CLS]", 7, None, None, True)
    assert ROWS[1] == (1, 0, 1, "cat", 8, 4, 7, False)
    assert Rows.of_samples(2)[1] == (1, 1, None, None, None, None, None, False)


def test_rows_are_taken_in_the_order_asked_for():
    taken = ROWS.take(np.array([2, 0]))
    assert taken.token == ["dog", "[CLS]"]
    assert taken.token_id.tolist() == [9, 7]
    assert taken.special.tolist() == [False, True]
    assert same_rows(ROWS.take(np.array([0, 1, 2])), ROWS)


def test_rows_of_the_same_places_may_have_other_tokens():
    other = dataclasses.replace(ROWS, token=["a", "b", "c"])
    assert ROWS.same_places(other)
    for column in ("sample", "position", "start", "end"):
        moved = dataclasses.replace(ROWS, **{column: getattr(ROWS, column) + 1})
        assert not ROWS.same_places(moved)
    assert not ROWS.same_places(ROWS.take(np.array([0, 1])))


@pytest.mark.parametrize(
    ("values", "names", "codes"),
    [
        (["b", None, "a", "b"], ("a", "b"), [1, -1, 0, 1]),
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        (np.array([10, -1, 9]), ("-1", "9", "10"), [2, 0, 1]),
        ([True, False, None], ("False", "True"), [1, 0, -1]),
        ([1.5, math.nan, 0.5], ("0.5", "1.5"), [1, -1, 0]),
        (np.array([np.nan, 2.0]), ("2.0",), [-1, 0]),
        (["10", "9"], ("10", "9"), [0, 1]),
        ([1, "1", "a"], ("1", "a"), [0, 0, 1]),
        ([None, None], (), [-1, -1]),
        ([], (), []),
        (["", "a"], ("", "a"), [0, 1]),
    ],
)
def test_labels_are_named_and_coded(values, names, codes):
    labels = Labels.of(values)
    assert labels.names == names
    assert labels.codes.tolist() == codes
    assert labels.known.tolist() == [code >= 0 for code in codes]
    assert labels.counts.tolist() == [codes.count(i) for i in range(len(names))]
    assert labels.values() == [names[code] if code >= 0 else None for code in codes]
    assert len(labels) == len(codes)


@pytest.mark.parametrize(
    "groups",
    [["x", "y", "x"], [7, 2, 7], np.array([1.5, 0.0, 1.5]), [("s", 1), ("s", 2), ("s", 1)]],
)
def test_rows_of_one_group_share_a_number(groups):
    numbers = Labels.of(["a", "b", "a"], groups=groups).groups
    assert numbers.shape == (3,)
    assert numbers[0] == numbers[2] != numbers[1]


def test_without_groups_every_row_stands_alone():
    assert Labels.of(["a", "a"]).groups.tolist() == [0, 1]


def test_groups_of_another_length_are_refused():
    with pytest.raises(LabelError, match="2 labels but groups for 3 rows"):
        Labels.of(["a", "b"], groups=[1, 2, 3])


@given(
    values=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=12),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_taking_rows_keeps_their_labels_and_groups_and_drops_unused_names(values, data):
    n = len(values)
    index = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=12)), int)
    labels = Labels.of(values, groups=list(range(n)), name="kind")
    taken = labels.take(index)
    assert taken.values() == [values[i] for i in index]
    assert taken.names == tuple(sorted({values[i] for i in index} - {None}))
    assert taken.groups.tolist() == index.tolist()
    assert taken.name == "kind"
    mask = np.isin(np.arange(n), index)
    assert labels.take(mask).values() == [v for v, kept in zip(values, mask, strict=True) if kept]


@pytest.mark.parametrize(
    ("lengths", "budget", "dear", "sizes"),
    [
        ([], 10, 0, []),
        ([5], 3, 0, [1]),  # longer than the budget, by itself
        ([4, 4, 4, 4, 4], 8, 0, [2, 2, 1]),
        ([4, 3, 3], 12, 2, [3]),  # padding of 2 is no dearer than another pass
        ([4, 3, 3], 12, 1, [1, 2]),
        ([4, 3, 3], 11, 9, [1, 2]),  # over the budget together
    ],
)
def test_batches_of_like_length_are_cut_where_it_costs_least(lengths, budget, dear, sizes):
    assert packed_batches(lengths, budget, dear) == sizes


@given(
    st.lists(st.integers(1, 9), max_size=12).map(lambda given: sorted(set(given), reverse=True)),
    st.integers(1, 30),
    st.integers(0, 10),
)
def test_no_cut_of_unequal_lengths_costs_less(lengths, budget, dear):
    def cost(sizes):
        total, start = 0, 0
        for size in sizes:
            padded = lengths[start] * size
            if padded > budget and size > 1:
                return float("inf")
            total, start = total + padded + dear, start + size
        return total

    def every(n):
        return [[]] if n == 0 else [[k, *rest] for k in range(1, n + 1) for rest in every(n - k)]

    found = packed_batches(lengths, budget, dear)
    assert sum(found) == len(lengths)
    assert cost(found) == min(map(cost, every(len(lengths))))
