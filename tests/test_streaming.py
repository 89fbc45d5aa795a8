"""Data sets larger than memory: places are kept, texts are read when asked for."""

import csv
import json
import os
import pickle
import random
import re
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.core import Dataset, DatasetError, LabelSet, Rows, read_dataset
from actlas.core.label_sets import INTERNED, Coder, LabelItems
from actlas.core.reading.source import Source

N = 200  # several blocks of a lazy sequence


def text_of(i):
    return f"sentence {i} " + "é🍰 word " * (i % 7) + "."


TEXTS = [text_of(i) for i in range(N)]


def as_jsonl(path, texts, eol="\n"):
    body = "".join(json.dumps({"text": t, "k": f"k{i % 3}"}) + eol for i, t in enumerate(texts))
    path.write_bytes(b"\xef\xbb\xbf" + body.encode())


def as_csv(path, texts):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(["k", "text"])
        writer.writerows([f"k{i % 3}", t] for i, t in enumerate(texts))


def as_text(path, texts):
    path.write_bytes("\r\n\n".join(texts).encode())


def as_conllu(path, texts):
    def sentence(text):
        rows = [f"{i}\t{w}\t_\tX\t_\t_\t_\t_\t_\t_" for i, w in enumerate(text.split(), 1)]
        return "\n".join([f"# text = {text}", *rows])

    path.write_text("\n\n".join(map(sentence, texts)), encoding="utf-8")


def as_parquet(path, texts):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    kinds = [f"k{i % 3}" for i in range(len(texts))]
    table = pyarrow.table({"k": kinds, "text": texts, "many": [[1]] * len(texts)})
    parquet.write_table(table, path, row_group_size=max(17, len(texts) // 10))


WRITERS = {
    "jsonl": as_jsonl, "csv": as_csv, "tsv": as_csv, "txt": as_text, "conllu": as_conllu,
    "parquet": as_parquet,
}  # fmt: skip
formats = pytest.mark.parametrize("kind", WRITERS)


@pytest.fixture
def made(tmp_path):
    def make(kind, texts=TEXTS):
        path = tmp_path / f"a.{kind}"
        WRITERS[kind](path, texts)
        return path

    return make


@formats
def test_texts_are_the_same_in_any_order_of_asking(made, kind):
    dataset = read_dataset(made(kind))
    texts = dataset.texts
    assert not isinstance(texts, list)
    assert list(texts) == TEXTS
    order = random.Random(1).sample(range(-N, N), 150)
    assert [texts[i] for i in order] == [TEXTS[i] for i in order]
    assert list(texts[5:90:7]) == TEXTS[5:90:7]
    assert list(texts[100:][:30]) == TEXTS[100:130]
    assert list(texts[::-1]) == TEXTS[::-1]
    assert texts == TEXTS
    assert texts != TEXTS[:-1]
    assert texts != [*TEXTS[:-1], "other"]
    for outside in (N, -N - 1):
        with pytest.raises(IndexError):
            texts[outside]


@formats
def test_the_digest_of_the_one_pass_is_that_of_the_texts(made, kind):
    dataset = read_dataset(made(kind))
    words = None if dataset.words is None else list(dataset.words)
    assert dataset.digest() == Dataset("x", TEXTS, words=words).digest()
    assert (
        dataset.head(70).digest() == Dataset("x", TEXTS[:70], words=words and words[:70]).digest()
    )


@formats
def test_threads_may_read_one_data_set(made, kind):
    texts = read_dataset(made(kind)).texts
    orders = [random.Random(i).sample(range(N), N) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda order: [texts[i] for i in order], orders))
    assert found == [[TEXTS[i] for i in order] for order in orders]


@formats
def test_a_data_set_travels_to_another_process(made, kind):
    path = made(kind)
    dataset = read_dataset(path)
    assert dataset.texts[3] == TEXTS[3]  # what is open now must not travel
    twin = pickle.loads(pickle.dumps(dataset))
    assert list(twin.texts) == TEXTS
    assert twin.digest() == dataset.digest()
    assert {n: s.digest() for n, s in twin.label_sets.items()} == {
        n: s.digest() for n, s in dataset.label_sets.items()
    }


@formats
@pytest.mark.parametrize("opened", [False, True])
def test_a_file_that_grows_after_it_was_read_is_noticed(made, kind, opened):
    path = made(kind)
    texts = read_dataset(path).texts
    if opened:
        assert texts[0] == TEXTS[0]
    with path.open("ab") as file:
        file.write(b" ")
    with pytest.raises(DatasetError, match=rf"a\.{kind} changed while reading"):
        texts[150]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "conllu"])
def test_other_content_of_the_same_size_and_time_is_noticed_where_it_does_not_parse(made, kind):
    path = made(kind)
    texts, stat = read_dataset(path).texts, path.stat()
    path.write_bytes(b'"' * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DatasetError, match="changed while reading"):
        texts[150]


def test_a_field_that_is_no_text_any_more_is_noticed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "1234"}\n')
    texts, stat = read_dataset(path).texts, path.stat()
    path.write_text('{"text":  12345}\n')
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DatasetError, match="changed while reading"):
        texts[0]


def test_a_file_that_changes_during_the_pass_is_noticed(made):
    path = made("txt")
    lines = Source(path).lines()
    next(lines)
    with path.open("ab") as file:
        file.write(b"\nmore")
    with pytest.raises(DatasetError, match="changed while reading"):
        list(lines)


def test_a_file_that_is_replaced_is_noticed_when_it_is_opened_again(made):
    path = made("txt")
    dataset = read_dataset(path)
    assert dataset.texts[0] == TEXTS[0]
    data = pickle.dumps(dataset)
    other = path.with_name("other.txt")
    as_text(other, TEXTS[::-1])
    other.replace(path)
    assert list(dataset.texts) == TEXTS  # the file that is open is still the old one
    with pytest.raises(DatasetError, match="changed while reading"):
        pickle.loads(data)


def test_a_file_that_is_gone_is_named(made):
    path = made("jsonl")
    texts = read_dataset(path).texts
    path.unlink()
    with pytest.raises(DatasetError, match=r"a\.jsonl cannot be read: No such file"):
        texts[0]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "txt", "parquet"])
def test_memory_holds_places_not_texts(made, kind):
    texts = [f"sentence {i} " + "word " * 30 for i in range(20_000)]
    path = made(kind, texts)
    list(read_dataset(made(kind, TEXTS)).texts)  # whatever is loaded once is loaded
    path = made(kind, texts)
    del texts
    tracemalloc.start()
    try:
        dataset = read_dataset(path)
        held = sum(map(len, dataset.texts))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held > 150 * 20_000
    assert peak < 60 * 20_000


def test_hugging_face_texts_are_read_when_asked_for(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    kinds = [None if i % 5 == 0 else f"k{i % 3}" for i in range(N)]
    columns = {"text": [" " if i == 3 else t for i, t in enumerate(TEXTS)], "k": kinds}
    datasets.Dataset.from_dict(columns).save_to_disk(str(tmp_path / "d"))
    dataset = read_dataset(f"hf:{tmp_path / 'd'}", skip_bad=True)
    kept = TEXTS[:3] + TEXTS[4:]
    assert dataset.skipped == 1
    assert dataset.texts == kept
    assert dataset.texts[100] == kept[100]
    assert pickle.loads(pickle.dumps(dataset)).texts == kept
    values = [(i, None, None, k) for i, k in enumerate(kinds[:3] + kinds[4:]) if k]
    assert list(dataset.label_set("k").items) == values
    with pytest.raises(DatasetError, match="record 3: 'text' is empty"):
        read_dataset(f"hf:{tmp_path / 'd'}")


def test_parquet_records_left_out_do_not_shift_the_others(made):
    texts = ["" if i % 10 == 0 else t for i, t in enumerate(TEXTS)]
    path = made("parquet", texts)
    with pytest.raises(DatasetError, match=r"a\.parquet, record 1: 'text' is empty"):
        read_dataset(path)
    dataset = read_dataset(path, skip_bad=True)
    assert dataset.skipped == 20
    assert list(dataset.texts) == [t for t in texts if t]
    assert dataset.texts[100] == [t for t in texts if t][100]
    assert set(dataset.label_sets) == {"k"}  # lists are no labels
    asked = read_dataset(path, skip_bad=True, labels=["many"])
    assert asked.label_set("many").items[0] == (0, None, None, "[1]")


def test_a_damaged_parquet_file_is_named(made):
    path = made("parquet")
    body = bytearray(path.read_bytes())
    body[4:600] = b"\xff" * 596
    path.write_bytes(body)
    with pytest.raises(DatasetError, match=r"a\.parquet: damaged Parquet file"):
        read_dataset(path)


NOT_UTF8 = {
    "jsonl": b'{"text": "one"}\n{"text": "caf\xe9"}\n{"text": "two"}\n',
    "txt": b"one\ncaf\xe9\ntwo\n",
    "csv": b'text\none\n"caf\xe9\n, still bad"\ntwo\n',
    "conllu": b"# text = one\n1\tone\t_\tX\t_\t_\t_\t_\t_\t_\n\n"
    b"1\tcaf\xe9\t_\tX\t_\t_\t_\t_\t_\t_\n\n1\ttwo\t_\tX\t_\t_\t_\t_\t_\t_\n",
}


@pytest.mark.parametrize("kind", NOT_UTF8)
def test_records_that_are_not_utf_8_are_refused_or_left_out(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(NOT_UTF8[kind])
    said = rf"a\.{kind}, line \d: not UTF-8; convert the file to UTF-8.*--skip-bad"
    with pytest.raises(DatasetError, match=said):
        read_dataset(path)
    dataset = read_dataset(path, skip_bad=True)
    assert list(dataset.texts) == ["one", "two"]
    assert dataset.skipped == 1


def test_a_header_that_is_not_utf_8_is_refused_all_the_same(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,caf\xe9\none,x\n")
    with pytest.raises(DatasetError, match=r"a\.csv, line 1: not UTF-8"):
        read_dataset(path, skip_bad=True)


def test_line_ends_of_any_kind_and_breaks_in_fields(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'text,k\r\n\r\n"one\r\ntwo ""2""",x\r\nthree,y\r\n\r\n" four\n",z')
    dataset = read_dataset(path)
    assert list(dataset.texts) == ['one\ntwo "2"', "three", " four\n"]
    assert dataset.texts[2] == " four\n"
    as_jsonl(tmp_path / "b.jsonl", TEXTS, eol="\r\n\r\n")
    assert read_dataset(tmp_path / "b.jsonl").texts == TEXTS


def test_bad_records_between_good_ones_do_not_shift_them(tmp_path):
    path = tmp_path / "a.jsonl"
    good = [json.dumps({"text": t}) for t in TEXTS]
    bad = ["{", "[1]", '{"text": ""}', '{"other": 1}', "", "[" * 100_000]
    path.write_text("\n".join(line for i, g in enumerate(good) for line in (bad[i % 6], g)))
    dataset = read_dataset(path, skip_bad=True)
    assert list(dataset.texts) == TEXTS
    assert dataset.texts[77] == TEXTS[77]
    assert dataset.skipped == sum(1 for i in range(N) if bad[i % 6])


def test_columns_may_come_late(tmp_path):
    path = tmp_path / "a.jsonl"
    records = [{"text": "a", "l": 1}, {"late": "x", "text": "b"}, {"text": "c", "l": [1]},
               {"text": "d", "l": 2, "late": "y"}]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, records)))
    dataset = read_dataset(path)
    assert {n: list(s.items) for n, s in dataset.label_sets.items()} == {
        "late": [(1, None, None, "x"), (3, None, None, "y")]
    }
    asked = read_dataset(path, labels=["l"])  # asked for by name, a list is written out
    assert [item[3] for item in asked.label_set("l").items] == ["1", "[1]", "2"]


def test_records_before_the_first_text_are_refused_or_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"version": 3}\n{"text": "a"}\n')
    with pytest.raises(DatasetError, match=r"a\.jsonl, line 1: 'text' is empty"):
        read_dataset(path)
    dataset = read_dataset(path, skip_bad=True)
    assert list(dataset.texts) == ["a"]
    assert dataset.skipped == 1
    with pytest.raises(DatasetError, match="no column 'body'; it has version, text"):
        read_dataset(path, text="body")


def test_a_label_that_cannot_be_stored_is_named_with_its_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "k": "x"}\n{"text": "b", "k": "x\\u0000"}\n')
    with pytest.raises(DatasetError, match=r"a\.jsonl, line 2: a label holds a NUL"):
        read_dataset(path)


def test_a_second_column_is_what_the_decoder_reads(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,out,k\none,eins,x\ntwo,zwei,y\n")
    dataset = read_dataset(path, decoder_text="out")
    assert list(dataset.targets) == ["eins", "zwei"]
    assert set(dataset.label_sets) == {"k"}
    assert dataset.digest() != read_dataset(path).digest()
    assert dataset.head(1).targets == ["eins"]
    with pytest.raises(DatasetError, match="no column 'nope'; it has text, out, k; use --decoder"):
        read_dataset(path, decoder_text="nope")
    path.write_text("text,out\none,eins\ntwo,\n")
    with pytest.raises(DatasetError, match="line 3: 'out' is empty, which --decoder-text names"):
        read_dataset(path, decoder_text="out")
    assert list(read_dataset(path, decoder_text="out", skip_bad=True).targets) == ["eins"]


def test_digests_stay_what_they_were_in_the_first_release(tmp_path):
    """Stores hold these digests: another one would compute everything again."""
    concepts = read_dataset("actlas:concepts")
    assert concepts.digest() == "47e7aab6d8d606cfe851225d3ec6d391"
    assert concepts.label_set("category").digest() == "4e5fb5228cbbb9d32e520779ec4e9748"
    assert concepts.label_set("category@target").digest() == "97b1e2e5c4dac1d021d9bce1b37e408f"
    some = Dataset.of(["one", "two", "three"], labels={"a": [1, None, True]})
    assert some.digest() == "5ec661a74790d33dce25e080c75ca49c"
    assert some.label_set("a").digest() == "8d32031693e2b36bded1e5751e3758f4"
    words = Dataset("x", ["one two"], words=[[(0, 3), (4, 7)]])
    assert words.digest() == "66a5a436e61488b55568279793464715"
    path = tmp_path / "a.conllu"
    as_conllu(path, ["one two"])
    assert read_dataset(path).digest() == words.digest()


spans = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3)
samples = st.lists(st.tuples(st.text(max_size=4), spans, st.text(max_size=3)), max_size=8)


@given(
    samples=samples,
    given_words=st.booleans(),
    given_targets=st.booleans(),
    lengths=st.lists(st.integers(-1, 9), max_size=6),
)
@settings(deadline=None, max_examples=150)
def test_prefix_digests_are_the_digests_of_heads(samples, given_words, given_targets, lengths):
    dataset = Dataset(
        "x",
        [text for text, _, _ in samples],
        words=[words for _, words, _ in samples] if given_words else None,
        targets=[target for _, _, target in samples] if given_targets else None,
    )
    inside = {n for n in lengths if 0 <= n <= len(samples)}
    found = dataset.prefix_digest(lengths)
    assert found == {n: dataset.head(n).digest() for n in inside}


def test_a_data_set_grown_by_rows_is_recognised(made):
    old = read_dataset(made("jsonl", TEXTS[:120])).digest()
    new = read_dataset(made("jsonl"))
    assert new.prefix_digest([120, 200]) == {120: old, 200: new.digest()}


def test_targets_count_only_when_given():
    base = Dataset("x", TEXTS)
    one = Dataset("x", TEXTS, targets=TEXTS)
    other = Dataset("x", TEXTS, targets=TEXTS[::-1])
    assert len({base.digest(), one.digest(), other.digest()}) == 3


@given(values=st.lists(st.sampled_from([None, "", "a", "b", 3, 2.5]), min_size=1, max_size=9),
       cut=st.integers(0, 10))  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_packed_labels_are_as_good_as_a_list_of_them(values, cut):
    dataset = Dataset.of(["t"] * len(values), labels={"k": values})
    packed = dataset.label_set("k")
    listed = [(i, None, None, str(v)) for i, v in enumerate(values) if v not in (None, "")]
    plain = LabelSet("k", "sample", listed)
    assert packed.items == listed
    assert [packed.items[i] for i in range(-len(listed), len(listed))] == listed * 2
    assert packed.digest() == plain.digest()
    assert packed.head(cut).items == plain.head(cut).items
    n = len(values)
    none = np.full(n, -1)
    rows = Rows(np.arange(n), none, ["t"] * n, none, none, none, np.zeros(n, bool))
    assert packed.row_values(rows) == plain.row_values(rows)


def test_labels_of_words_with_gaps_are_as_good_as_a_list_of_them():
    sample, start, end = (np.array(a, np.int32) for a in ([0, 0, 2, 2], [0, 4, 0, 2], [3, 7, 1, 5]))
    items = LabelItems(np.array([1, -1, 0, 1], np.int32), ["a", "b"], sample, (start, end))
    listed = [(0, 0, 3, "b"), (2, 0, 1, "a"), (2, 2, 5, "b")]
    assert items == listed
    assert items[1:] == listed[1:]
    assert items.head(2) == listed[:1]
    assert items.head(3) == listed
    assert all(type(part) is int for part in items[0][:3])  # databases know no numpy


def test_a_column_of_more_values_than_classes_keeps_every_value():
    coder = Coder()
    values = [f"v{i}" for i in range(INTERNED + 20)] + ["v3", "v3"]
    for place, value in enumerate(values):
        coder.put(place, value)
    found = coder.label_set("k").items
    assert not isinstance(found.names, list)  # Python strings would take thrice the memory
    assert [found[i][3] for i in (0, 5, INTERNED - 1)] == ["v0", "v5", f"v{INTERNED - 1}"]
    assert [item[3] for item in found] == values


def test_an_unclosed_quote_is_refused_even_when_bad_lines_are_left_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text\none\n"two\nthree\n')
    with pytest.raises(DatasetError, match=re.escape("a.csv, line ")):
        read_dataset(path, skip_bad=True)


@pytest.mark.parametrize("option", ["text", "media", "target", "decoder_text"])
def test_conllu_has_no_columns_to_choose(made, option):
    with pytest.raises(DatasetError, match="no columns to choose from but --labels"):
        read_dataset(made("conllu"), **{option: "form"})
