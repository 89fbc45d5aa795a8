"""Data sets: every format read, every mistake answered with file, line and remedy."""

import csv
import json
import re
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.core import Dataset, DatasetError, LabelError, LabelSet, read_dataset

RECORDS = [
    {"text": "A cat, sitting", "kind": "animal", "n": 1},
    {"text": 'She said "no".', "kind": "speech", "n": 2},
    {"text": "Çé 🍰", "kind": None, "n": 3},
]


@pytest.fixture
def write(tmp_path):
    def file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file


def lines(*records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def values(dataset, name):
    return {sample: value for sample, _, _, value in dataset.label_sets[name].items}


def check_records(dataset, kinds=("kind", "n")):
    assert list(dataset.texts) == [record["text"] for record in RECORDS]
    assert set(dataset.label_sets) == set(kinds)
    assert values(dataset, "kind") == {0: "animal", 1: "speech"}
    assert values(dataset, "n") == {0: "1", 1: "2", 2: "3"}
    assert {s.level for s in dataset.label_sets.values()} == {"sample"}
    assert dataset.skipped == 0


def test_json_lines(write):
    path = write("animals.jsonl", "\n" + lines(*RECORDS) + "\n\n")
    dataset = read_dataset(path)
    check_records(dataset)
    assert dataset.name == "animals"
    assert len(dataset) == 3
    check_records(read_dataset(str(path)))


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_separated_values(tmp_path, suffix, delimiter):
    path = tmp_path / f"animals.{suffix}"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["kind", "text", "n"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(RECORDS)
    check_records(read_dataset(path))


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "animals.parquet")
    check_records(read_dataset(tmp_path / "animals.parquet"))


def test_plain_text_is_one_sample_a_line(write):
    dataset = read_dataset(write("some.txt", "one\r\n\n  two \nthree"))
    assert dataset.texts == ["one", "  two ", "three"]
    assert dataset.label_sets == {}
    assert dataset.words is None


def test_a_byte_order_mark_is_no_part_of_the_text(write):
    for name in ("a.txt", "a.csv", "a.jsonl"):
        body = {"a.txt": "one\n", "a.csv": "text\none\n", "a.jsonl": '{"text": "one"}\n'}[name]
        assert read_dataset(write(name, b"\xef\xbb\xbf" + body.encode())).texts == ["one"]


def test_a_quoted_field_may_hold_line_breaks(write):
    dataset = read_dataset(write("a.csv", 'text,kind\n"one\ntwo",x\nthree,y\n'))
    assert dataset.texts == ["one\ntwo", "three"]


def test_hugging_face_data_sets_from_a_folder(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "kind": datasets.ClassLabel(names=["animal", "speech"]),
            "n": datasets.Value("int64"),
            "many": datasets.Sequence(datasets.Value("int64")),
        }
    )
    columns = {name: [record[name] for record in RECORDS] for name in ("text", "n")}
    columns |= {"kind": [0, 1, -1], "many": [[1], [2, 3], []]}
    data = datasets.Dataset.from_dict(columns, features=features)
    data.save_to_disk(str(tmp_path / "one"))
    check_records(read_dataset(f"hf:{tmp_path / 'one'}"))
    parts = datasets.DatasetDict({"train": data, "test": data.select([1])})
    parts.save_to_disk(str(tmp_path / "both"))
    check_records(read_dataset(f"hf:{tmp_path / 'both'}"))
    assert read_dataset(f"hf:{tmp_path / 'both'}", split="test").texts == [RECORDS[1]["text"]]
    with pytest.raises(DatasetError, match="both, split 'nope'"):
        read_dataset(f"hf:{tmp_path / 'both'}", split="nope")
    with pytest.raises(LabelError, match=r"no column 'absent'; it has text, .*many"):
        read_dataset(f"hf:{tmp_path / 'one'}", labels=["absent"])


def conllu(*rows, text=None):
    """A sentence from (id, form[, upos[, misc]])."""
    out = [] if text is None else [f"# text = {text}"]
    for ident, form, *rest in rows:
        upos, misc = [*rest, "_", "_"][:2] if len(rest) < 2 else rest
        out.append("\t".join([ident, form, "_", upos, "_", "_", "_", "_", "_", misc]))
    return "\n".join(out) + "\n\n"


def spelled(dataset, sample=0):
    return [dataset.texts[sample][s:e] for s, e in dataset.words_of(sample)]


def test_conllu_words_and_labels_stand_at_their_characters(write):
    content = conllu(
        ("1", "The", "DET"), ("2", "cat", "NOUN"), ("3", "sat", "VERB"), ("4", ".", "PUNCT"),
        text="The cat  sat.",
    ) + conllu(("1", "cat", "NOUN"), ("2", "cat", "_"), text="cat cat")  # fmt: skip
    dataset = read_dataset(write("a.conllu", content))
    assert dataset.texts == ["The cat  sat.", "cat cat"]
    assert spelled(dataset) == ["The", "cat", "sat", "."]
    assert list(dataset.words_of(1)) == [(0, 3), (4, 7)]
    assert set(dataset.label_sets) == {"upos"}  # columns without a value are no label sets
    assert list(dataset.label_set("upos").items) == [
        (0, 0, 3, "DET"), (0, 4, 7, "NOUN"), (0, 9, 12, "VERB"), (0, 12, 13, "PUNCT"),
        (1, 0, 3, "NOUN"),
    ]  # fmt: skip
    assert dataset.label_set("upos").level == "word"


def test_conllu_columns_are_label_sets(write):
    row = "1\tcat\tcat\tNOUN\tNN\tNumber=Sing\t0\troot\t_\t_"
    dataset = read_dataset(write("a.conllu", f"# text = cat\n{row}\n"))
    assert {name: s.items[0][3] for name, s in dataset.label_sets.items()} == {
        "upos": "NOUN",
        "xpos": "NN",
        "deprel": "root",
    }


def test_conllu_without_a_text_line_is_spelled_from_its_forms(write):
    content = conllu(
        ("1-2", "don't", "_", "_"), ("1", "do", "AUX"), ("2", "n't", "PART"),
        ("3", "go", "VERB", "SpaceAfter=No"), ("3.1", "ghost", "X"), ("4", "!", "PUNCT"),
    )  # fmt: skip
    dataset = read_dataset(write("a.conllu", content))
    assert dataset.texts == ["don't go!"]
    assert spelled(dataset) == ["do", "n't", "go", "!"]


def test_conllu_words_of_a_contraction_that_do_not_spell_it_have_the_whole_span(write):
    content = conllu(
        ("1-2", "du"), ("1", "de", "ADP"), ("2", "le", "DET"), ("3", "lait", "NOUN"),
        text="du lait",
    )  # fmt: skip
    dataset = read_dataset(write("a.conllu", content))
    assert spelled(dataset) == ["du", "du", "lait"]
    assert [item[3] for item in dataset.label_set("upos").items] == ["ADP", "DET", "NOUN"]


def test_conllu_words_of_a_contraction_that_spell_only_part_of_it_have_the_whole_span(write):
    content = conllu(("1-2", "al"), ("1", "a", "ADP"), ("2", "el", "DET"), ("3", "mar", "NOUN"))
    assert spelled(read_dataset(write("a.conllu", content))) == ["al", "al", "mar"]


def test_conllu_words_after_a_contraction_are_looked_for_behind_it(write):
    content = conllu(
        ("1-2", "du"), ("1", "de", "ADP"), ("2", "le", "DET"), ("3", "u", "X"), text="du u"
    )
    assert read_dataset(write("a.conllu", content)).words_of(0)[2] == (3, 4)


def test_conllu_empty_nodes_are_not_in_the_text(write):
    content = conllu(("1", "I", "PRON"), ("1.1", "am", "AUX"), ("2", "here", "ADV"), text="I here")
    assert spelled(read_dataset(write("a.conllu", content))) == ["I", "here"]


def test_conllu_takes_only_the_label_sets_asked_for(write):
    path = write("a.conllu", "1\tcat\tcat\tNOUN\tNN\t_\t0\troot\t_\t_\n")
    assert set(read_dataset(path, labels=["xpos"]).label_sets) == {"xpos"}
    with pytest.raises(LabelError, match=r"'nope'.*upos"):
        read_dataset(path, labels=["nope"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1\tcat\n", r"a\.conllu, line 1: no CoNLL-U word .*--skip-bad"),
        (conllu(("1", "dog"), text="cat"), r"a\.conllu, line 2: 'dog' is not in the rest"),
        (conllu(("one", "cat"), text="cat"), r"a\.conllu, line 2: no CoNLL-U word"),
    ],
)
def test_broken_conllu_is_refused_with_file_and_line_or_left_out(write, content, said):
    with pytest.raises(DatasetError, match=said):
        read_dataset(write("a.conllu", content))
    both = read_dataset(write("b.conllu", content + "\n" + conllu(("1", "ok"))), skip_bad=True)
    assert both.texts == ["ok"]
    assert both.skipped == 1


def test_comments_alone_are_no_sentence(write):
    content = "# newdoc id = 7\n\n" + conllu(("1", "ok"))
    assert read_dataset(write("a.conllu", content), skip_bad=True).texts == ["ok"]
    with pytest.raises(DatasetError):
        read_dataset(write("b.conllu", "# newdoc id = 7\n\n"))


CONCEPTS = 24


@pytest.fixture(scope="module")
def concepts():
    return read_dataset("actlas:concepts")


def rows_of_concepts(concepts):
    columns = [values(concepts, name) for name in ("word", "category", "supercategory")]
    return [(text, *(c[i] for c in columns)) for i, text in enumerate(concepts.texts)]


def test_concepts_are_many_sentences_of_many_categories(concepts):
    rows = rows_of_concepts(concepts)
    assert len(rows) == len(set(concepts.texts)) == 1200
    words = defaultdict(set)
    for _, word, category, _ in rows:
        words[category].add(word.lower())
    assert len(words) == CONCEPTS
    assert min(map(len, words.values())) >= 40
    assert min(map(len, words.values())) * 1.5 > max(map(len, words.values()))


def test_concepts_form_two_levels(concepts):
    above = defaultdict(set)
    for _, _, category, supercategory in rows_of_concepts(concepts):
        above[category].add(supercategory)
    assert {len(found) for found in above.values()} == {1}
    parents = [next(iter(found)) for found in above.values()]
    shared = {parent for parent in parents if parents.count(parent) >= 2}
    assert len(set(parents)) >= 5
    assert len(shared) >= 3


def test_concepts_name_each_word_exactly_once_as_a_whole_word(concepts):
    for text, word, _, _ in rows_of_concepts(concepts):
        found = re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
        assert len(found) == 1, (word, text)


def test_concepts_are_written_without_a_template(concepts):
    starts = defaultdict(list)
    for text, word, category, _ in rows_of_concepts(concepts):
        start = re.findall(r"\w+", text.lower())[:3]
        starts[category].append((" ".join(start), word))
    for category, found in starts.items():
        repeated = [s for s, _ in found if [t for t, _ in found].count(s) > 1]
        assert not repeated, (category, repeated)


def test_concepts_are_labelled_at_their_word(concepts):
    at_word = concepts.label_set("category@target")
    assert len(at_word.items) == len(concepts)
    for (text, word, category, _), (sample, start, end, value) in zip(
        rows_of_concepts(concepts), at_word.items, strict=True
    ):
        assert concepts.texts[sample] == text
        assert text[start:end].lower() == word.lower()
        assert value == category


def test_an_unknown_shipped_data_set_is_refused_with_those_there_are():
    with pytest.raises(DatasetError, match=r"no shipped data set 'actlas:nope'.*actlas:concepts"):
        read_dataset("actlas:nope")


def test_a_missing_file_is_refused_with_what_can_be_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no file .*absent\.jsonl.*actlas:concepts or hf:NAME"):
        read_dataset(tmp_path / "absent.jsonl")


def test_a_file_of_an_unknown_kind_is_refused_with_the_kinds_there_are(write, tmp_path):
    with pytest.raises(DatasetError, match=r"a\.xml.*should end in \.jsonl, \.csv"):
        read_dataset(write("a.xml", "<a/>"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DatasetError, match=r"folder\.csv"):
        read_dataset(tmp_path / "folder.csv")


@pytest.mark.parametrize("bad", ['{"text": "two"', "[1, 2]", '"two"', "two"])
def test_a_line_that_is_no_json_object_is_refused_with_its_number_or_left_out(write, bad):
    path = write("a.jsonl", '{"text": "one"}\n\n' + bad + '\n{"text": "three"}\n')
    with pytest.raises(DatasetError, match=r"a\.jsonl, line 3: not a JSON object.*--skip-bad"):
        read_dataset(path)
    dataset = read_dataset(path, skip_bad=True)
    assert dataset.texts == ["one", "three"]
    assert dataset.skipped == 1


@pytest.mark.parametrize("empty", ['""', '"  "', "null"])
def test_an_empty_text_is_refused_with_its_line_or_left_out(write, empty):
    body = '{"text": "one", "n": 1}\n{"text": EMPTY, "n": 2}\n{"text": "three", "n": 3}\n'
    path = write("a.jsonl", body.replace("EMPTY", empty))
    with pytest.raises(DatasetError, match=r"a\.jsonl, line 2: 'text' is empty.*--skip-bad"):
        read_dataset(path)
    dataset = read_dataset(path, skip_bad=True)
    assert dataset.texts == ["one", "three"]
    assert values(dataset, "n") == {0: "1", 1: "3"}
    assert dataset.skipped == 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_a_file_without_any_text_is_refused(write, name):
    content = {"a.jsonl": '{"text": ""}\n', "a.csv": "text\n", "a.txt": "\n \n"}[name]
    with pytest.raises(DatasetError, match=r"text"):
        read_dataset(write(name, content), skip_bad=True)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.conllu"])
def test_an_empty_file_is_refused(write, name):
    with pytest.raises(DatasetError):
        read_dataset(write(name, ""))


def test_a_missing_text_column_is_refused_with_the_columns_there_are(write):
    path = write("a.csv", "body,kind\none,x\n")
    with pytest.raises(DatasetError, match="no column named text; it has body, kind; use --text"):
        read_dataset(path)
    with pytest.raises(DatasetError, match="no column 'nope'; it has body, kind"):
        read_dataset(path, text="nope")
    dataset = read_dataset(path, text="body")
    assert dataset.texts == ["one"]
    assert set(dataset.label_sets) == {"kind"}


def test_a_missing_label_or_target_column_is_refused_with_the_columns_there_are(write):
    path = write("a.csv", "text,kind\none,x\n")
    for wrong in ({"labels": ["kind", "nope"]}, {"target": "nope"}):
        with pytest.raises(LabelError, match="no column 'nope'; it has text, kind"):
            read_dataset(path, **wrong)


def test_only_the_label_columns_asked_for_are_taken(write):
    path = write("a.csv", "text,kind,n\none,x,1\n")
    assert set(read_dataset(path, labels=["n"]).label_sets) == {"n"}
    assert read_dataset(path, labels=[]).label_sets == {}


def test_an_absent_label_set_is_refused_with_the_nearest(write):
    dataset = read_dataset(write("a.csv", "text,kind\none,x\n"))
    with pytest.raises(LabelError, match=r"no label set 'kinds'; did you mean kind\?"):
        dataset.label_set("kinds")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.conllu"])
def test_a_file_that_is_not_utf_8_is_refused_with_its_line(write, name):
    body = {"a.txt": "one\ncafé\n", "a.jsonl": '{"text": "one"}\n{"text": "café"}\n'}
    content = body.get(name, "text\ncafé\n" if name == "a.csv" else "# one\n# text = café\n")
    with pytest.raises(DatasetError, match=rf"{re.escape(name)}, line 2: not UTF-8"):
        read_dataset(write(name, content.encode("latin-1")))


def test_a_csv_line_with_other_fields_than_the_header_is_refused_or_left_out(write):
    path = write("a.csv", "text,kind\none,x\ntwo\nthree,y,z\nfour,w\n")
    with pytest.raises(DatasetError, match=r"a\.csv, line 3: 1 fields where the header has 2"):
        read_dataset(path)
    dataset = read_dataset(path, skip_bad=True)
    assert dataset.texts == ["one", "four"]
    assert values(dataset, "kind") == {0: "x", 1: "w"}
    assert dataset.skipped == 2


@pytest.mark.parametrize("content", ['text,kind\n"one,x\ntwo,y\n', '"text,kind\none,x\n'])
def test_a_quote_that_is_never_closed_is_refused_with_file_and_line(write, content):
    with pytest.raises(DatasetError, match=r"a\.csv, line \d"):
        read_dataset(write("a.csv", content))


def test_a_column_named_twice_is_refused(write):
    with pytest.raises(DatasetError, match="kind"):
        read_dataset(write("a.csv", "text,kind,kind\none,x,y\n"))


def test_a_file_that_is_no_parquet_is_refused(write):
    pytest.importorskip("pyarrow")
    with pytest.raises(DatasetError, match=r"a\.parquet: not a Parquet file"):
        read_dataset(write("a.parquet", "no"))


@pytest.mark.parametrize(
    ("character", "fault"), [("\ud800", "half a surrogate pair"), ("\0", "a NUL character")]
)
def test_what_no_store_or_tokenizer_takes_is_refused_with_its_line(write, character, fault):
    """JSON can spell half a surrogate pair; PostgreSQL stores no NUL."""
    path = write("a.jsonl", '{"text": "one"}\n' + json.dumps({"text": f"a{character}b"}) + "\n")
    with pytest.raises(DatasetError, match=rf"a\.jsonl, line 2: 'text' holds {fault}"):
        read_dataset(path)
    assert read_dataset(path, skip_bad=True).texts == ["one"]
    with pytest.raises(DatasetError, match=f"sample 0 holds {fault}"):
        Dataset.of([f"a{character}b"])


def test_a_nul_character_in_conllu_is_refused(write):
    with pytest.raises(DatasetError, match=r"a\.conllu.*NUL"):
        read_dataset(write("a.conllu", conllu(("1", "a\0b", "NOUN"))))


@pytest.mark.parametrize("character", ["\ud800", "\0"])
def test_labels_that_cannot_be_stored_are_refused(write, character):
    path = write("a.jsonl", json.dumps({"text": "one", "kind": f"a{character}"}) + "\n")
    with pytest.raises(DatasetError):
        read_dataset(path)


def test_a_limit_takes_the_first_samples_with_their_labels(write):
    path = write("a.jsonl", lines(*RECORDS))
    dataset = read_dataset(path, limit=2)
    assert list(dataset.texts) == [record["text"] for record in RECORDS[:2]]
    assert values(dataset, "n") == {0: "1", 1: "2"}
    assert dataset.name == "a[:2]"
    check_records(read_dataset(path, limit=3))
    check_records(read_dataset(path, limit=100))
    sentences = conllu(("1", "one", "NUM")) + conllu(("1", "two", "NUM"))
    words = read_dataset(write("a.conllu", sentences), limit=1)
    assert words.words == [[(0, 3)]]
    assert len(words.label_set("upos").items) == 1


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(write, limit):
    with pytest.raises(DatasetError, match="limit"):
        read_dataset(write("a.jsonl", lines(*RECORDS)), limit=limit)


def test_a_limit_keeps_the_count_of_what_was_left_out(write):
    path = write("a.jsonl", "{\n" + lines(*RECORDS))
    assert read_dataset(path, skip_bad=True).skipped == 1
    assert read_dataset(path, skip_bad=True, limit=2).skipped == 1


def test_a_target_is_its_first_whole_word_in_any_case():
    dataset = Dataset.of(
        ["A bobcat category of cat and cat", "CAT!", "(cat)"],
        labels={"kind": ["x", None, "z"]},
        target=["cat", "cat", "cat"],
    )
    assert list(dataset.label_set("kind@target").items) == [(0, 21, 24, "x"), (2, 1, 4, "z")]
    assert dataset.label_set("kind@target").level == "word"
    assert dataset.label_set("kind").level == "sample"


def test_a_target_that_is_not_in_its_text_is_refused():
    with pytest.raises(DatasetError, match="sample 1 does not contain its word 'cat'"):
        Dataset.of(["cat", "category"], labels={"k": [1, 2]}, target=["cat", "cat"])


def test_a_target_column_is_read_from_a_file(write):
    path = write("a.csv", "text,kind,word\nthe cat sat,x,cat\n")
    dataset = read_dataset(path, target="word", labels=["kind"])
    assert list(dataset.label_set("kind@target").items) == [(0, 4, 7, "x")]


def test_a_special_character_in_a_target_stands_for_itself():
    dataset = Dataset.of(["a C++ text, cxx"], labels={"k": [1]}, target=["C++"])
    assert dataset.label_set("k@target").items[0][1:3] == (2, 5)


@pytest.mark.parametrize("text", ["", "  \n", None, 3])
def test_texts_without_text_are_refused(text):
    with pytest.raises(DatasetError, match="sample 1 is empty"):
        Dataset.of(["one", text])


def test_labels_of_another_number_than_the_texts_are_refused():
    with pytest.raises(DatasetError, match="2 texts but 1 labels 'kind'"):
        Dataset.of(["one", "two"], labels={"kind": ["x"]})


def test_missing_labels_are_left_out():
    dataset = Dataset.of(list("abcdef"), labels={"k": [None, float("nan"), "", " ", 0, False]})
    assert values(dataset, "k") == {4: "0", 5: "False"}


TEXTS = ["one", "two", "three"]


def test_the_digest_follows_the_texts_and_nothing_else_but_words():
    base = Dataset.of(TEXTS, labels={"a": [1, 2, 3], "b": [4, 5, 6]})
    assert base.digest() == Dataset.of(TEXTS, name="other").digest()
    assert base.digest() == Dataset.of(TEXTS, labels={"b": [4, 5, 6], "a": [1, 2, 3]}).digest()
    others = [["one", "two", "thre"], ["two", "one", "three"], TEXTS[:2], ["one", "twothree"],
              ["onetwo", "", "three"]]  # fmt: skip
    digests = {Dataset("x", texts).digest() for texts in others}
    assert len(digests | {base.digest()}) == 6


def test_the_digest_follows_the_given_words():
    spans = [[(0, 3)], [(0, 3)], [(0, 5)]]
    other = [[(0, 3)], [(0, 2)], [(0, 5)]]
    digests = [Dataset("x", TEXTS, words=words).digest() for words in (None, spans, other)]
    assert len(set(digests)) == 3
    assert Dataset("y", TEXTS, {}, [list(w) for w in spans]).digest() == digests[1]


def test_the_digest_of_labels_follows_values_and_places():
    def digest(*items, name="k"):
        return LabelSet(name, "sample", list(items)).digest()

    base = digest((0, None, None, "x"), (1, None, None, "y"))
    assert base == digest((0, None, None, "x"), (1, None, None, "y"))
    assert base != digest((0, None, None, "x"), (1, None, None, "z"))
    assert base != digest((0, None, None, "x"), (2, None, None, "y"))
    assert base != digest((0, None, None, "x"))
    assert base != digest((0, 0, 1, "x"), (1, 0, 1, "y"))


@given(
    one=st.lists(st.text(max_size=4), min_size=1, max_size=4),
    two=st.lists(st.text(max_size=4), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=200)
def test_only_equal_texts_have_equal_digests(one, two):
    assert (Dataset("a", one).digest() == Dataset("b", two).digest()) == (one == two)


@given(
    rows=st.lists(
        st.tuples(
            st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1
            ).filter(str.strip),
            st.sampled_from(["x", "y", None]),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(deadline=None, max_examples=40)
def test_any_text_survives_json_lines_and_csv(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("round")
    records = [{"text": text, "kind": kind} for text, kind in rows]
    (folder / "a.jsonl").write_text(lines(*records), encoding="utf-8", newline="")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "kind"])
        writer.writeheader()
        writer.writerows(records)
    wanted = {i: kind for i, (_, kind) in enumerate(rows) if kind}
    for name in ("a.jsonl", "a.csv"):
        dataset = read_dataset(folder / name)
        assert list(dataset.texts) == [text for text, _ in rows]
        assert values(dataset, "kind") == wanted


def test_a_target_for_every_text_or_none():
    with pytest.raises(DatasetError, match="1 texts but 2 target words"):
        Dataset.of(["a b"], labels={"x": [1]}, target=["a", "b"])


def test_a_split_that_is_not_there_lists_those_that_are(tmp_path):
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_dict({"text": ["one"]})
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "saved")
    with pytest.raises(DatasetError, match="it has the splits train, test"):
        read_dataset(f"hf:{tmp_path / 'saved'}", split="nope")
