"""Decoders that read a text of their own: targets given, or written by the model itself."""

import dataclasses
import json

import pytest
import torch
import transformers
from click.testing import CliRunner

import actlas
from actlas.cli import cli
from actlas.core import (
    Dataset,
    DatasetError,
    ExtractOptions,
    Extractor,
    InputError,
    ModelError,
    Site,
    TextFeed,
    generate_targets,
    read_dataset,
)

from .tiny import ENCODER_DECODERS, TEXTS, config, joined_rows, tokenizer

TARGETS = [
    "Le chat.", "Je ne sais pas pourquoi, mais le café est bon et le gâteau aussi !",
    "Une phrase bien plus longue que celle qu'elle traduit", "Oui", "Lignes et colonnes.",
]  # fmt: skip
DATA = Dataset.of(TEXTS, targets=TARGETS)


def extracted(model, data, sites="decoder.layers.*,decoder.embed", **options):
    """Rows and matrices of a whole data set, in float32."""
    chosen = model.select(sites)
    run = Extractor(model, data, chosen, ExtractOptions(dtype="float32", **options))
    windows = list(run.windows())
    data = {s.name: torch.cat([w.data[s.name] for w in windows]) for s in chosen}
    return joined_rows([w.rows for w in windows]), data


def decoder_input(model, text):
    """What teacher forcing gives a decoder: the start token, and the text without its end."""
    return [model.config.decoder_start_token_id, *model.tokenizer(text)["input_ids"][:-1]]


@pytest.mark.parametrize("batch_tokens", [1, 64, 4096])
@pytest.mark.parametrize("kind", ENCODER_DECODERS)
@torch.inference_mode()
def test_rows_are_the_decoders_own_hidden_states(tiny, kind, batch_tokens):
    """Against one plain call of transformers a sample, nothing padded."""
    model = tiny(kind)
    rows, data = extracted(model, DATA, batch_tokens=batch_tokens)
    for sample, (text, target) in enumerate(zip(TEXTS, TARGETS, strict=True)):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        read = torch.tensor([decoder_input(model, target)])
        theirs = model.module(
            input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=read,
            decoder_attention_mask=torch.ones_like(read), output_hidden_states=True,
        ).decoder_hidden_states  # fmt: skip
        here = torch.from_numpy(rows.sample == sample)
        for name, wanted in (("decoder.embed", theirs[0]), ("decoder.layers.0", theirs[1])):
            torch.testing.assert_close(data[name][here], wanted[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
@torch.inference_mode()
def test_a_padded_batch_of_transformers_gives_the_same(tiny, kind):
    """Both sides padded and masked, as transformers itself is called on a batch."""
    model = tiny(kind)

    def padded(lists):
        longest = max(map(len, lists))
        ids = torch.tensor([one + [model.feed.pad_id] * (longest - len(one)) for one in lists])
        return ids, torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in lists])

    ids, mask = padded([model.tokenizer(text)["input_ids"] for text in TEXTS])
    read, read_mask = padded([decoder_input(model, text) for text in TARGETS])
    theirs = model.module(
        input_ids=ids, attention_mask=mask, decoder_input_ids=read,
        decoder_attention_mask=read_mask, output_hidden_states=True,
    ).decoder_hidden_states[1]  # fmt: skip
    _, data = extracted(model, DATA)
    torch.testing.assert_close(
        data["decoder.layers.0"], theirs[read_mask.bool()], rtol=1e-5, atol=1e-5
    )


def test_tokens_and_spans_are_those_of_the_target(tiny):
    model = tiny("bart")
    rows, _ = extracted(model, DATA)
    for sample, target in enumerate(TARGETS):
        at = [i for i, s in enumerate(rows.sample.tolist()) if s == sample]
        assert rows.token_id[at].tolist() == decoder_input(model, target)
        assert rows.position[at].tolist() == list(range(len(at)))
        first, second, *rest = (rows[i] for i in at)
        assert (first.token, first.start, first.special) == ("</s>", None, True)
        assert (second.token, second.special) == ("<s>", True)
        for row in rest:
            assert row.token == target[row.start : row.end]
        assert rest[-1].end == len(target)


def test_the_encoder_reads_the_text_whatever_the_target(tiny):
    model = tiny("bart")
    rows, data = extracted(model, DATA, sites="encoder.layers.0")
    others, plain = extracted(model, Dataset.of(TEXTS), sites="encoder.layers.0")
    assert rows.token == others.token
    assert torch.equal(data["encoder.layers.0"], plain["encoder.layers.0"])


def test_a_target_that_is_the_text_gives_what_is_read_without_one(tiny):
    model = tiny("t5")
    rows, data = extracted(model, Dataset.of(TEXTS, targets=TEXTS))
    others, plain = extracted(model, Dataset.of(TEXTS))
    assert rows.token == others.token
    for name, matrix in data.items():
        assert torch.equal(matrix, plain[name])


@pytest.mark.parametrize("kind", ["t5", "marian"])
def test_words_and_pooled_rows_are_of_the_target(tiny, kind):
    model = tiny(kind)
    tokens, vectors = extracted(model, DATA, "decoder.layers.1")
    words, means = extracted(model, DATA, "decoder.layers.1", pooling="word")
    assert [t for t, s in zip(words.token, words.sample, strict=True) if s == 3] == ["Oui"]
    kept = (words.sample == 4).nonzero()[0]
    assert [words.token[i] for i in kept] == ["Lignes", "et", "colonnes", "."]
    parts = (tokens.sample == 4) & (tokens.start >= 0) & (tokens.end <= len("Lignes"))
    torch.testing.assert_close(
        means["decoder.layers.1"][kept[0]],
        vectors["decoder.layers.1"][torch.from_numpy(parts)].mean(0), rtol=1e-5, atol=1e-5,
    )  # fmt: skip
    for pooling, pick in (("first", lambda m: m[0]), ("last", lambda m: m[-1]),
                          ("mean", lambda m: m.mean(0))):  # fmt: skip
        _, pooled = extracted(model, DATA, "decoder.layers.1", pooling=pooling)
        for sample in range(len(TEXTS)):
            mine = vectors["decoder.layers.1"][torch.from_numpy(tokens.sample == sample)]
            torch.testing.assert_close(
                pooled["decoder.layers.1"][sample], pick(mine), rtol=1e-5, atol=1e-5
            )


def test_a_long_target_is_cut_and_counted_or_refused(tiny):
    model = tiny("bart")
    data = Dataset.of(["One", "Two"], targets=["short", "word " * 60])
    (window,) = Extractor(
        model, data, model.select("decoder.embed"), ExtractOptions(max_length=20)
    ).windows()
    assert window.truncated == 1
    assert (window.rows.sample == 1).sum() == 20
    with pytest.raises(DatasetError, match=r"the target of sample 1 has .* the limit is 20"):
        extracted(model, data, max_length=20, on_long="error")


def test_a_target_whose_tokenizer_ends_no_text_is_read_whole(tiny):
    model = tiny("t5")
    feed = TextFeed(tokenizer(wrapped=False), model.config, model.max_length)
    model = dataclasses.replace(model, feed=feed)
    rows, _ = extracted(model, DATA)
    at = rows.sample == 3
    ids = model.tokenizer("Oui")["input_ids"]
    assert rows.token_id[at].tolist() == [model.feed.decoder_start_id, *ids]
    assert rows.end[at].tolist()[-1] == len("Oui")


def test_no_batch_exceeds_the_budget_on_either_side(tiny):
    model = tiny("t5")
    data = Dataset.of(TEXTS * 2, targets=[*TARGETS, *(["short"] * 4), "long " * 30])
    run = Extractor(model, data, model.select("decoder.embed"), ExtractOptions(batch_tokens=150))
    shapes = [
        {name: tuple(tensor.shape) for name, tensor in batch.arguments.items()}
        for batch in run.batches()
    ]
    assert sum(batch["input_ids"][0] for batch in shapes) == len(data)
    assert any(batch["decoder_input_ids"][1] > batch["input_ids"][1] for batch in shapes)
    assert max(batch["input_ids"][0] for batch in shapes) > 1
    for batch in shapes:
        (samples, ids), (others, read) = batch["input_ids"], batch["decoder_input_ids"]
        assert batch.get("attention_mask", (samples, ids)) == (samples, ids)
        assert batch.get("decoder_attention_mask", (samples, read)) == (samples, read)
        assert samples == others
        assert samples == 1 or max(ids, read) * samples <= 150


def test_each_side_of_a_padded_batch_has_its_own_mask(tiny):
    model = tiny("bart")
    data = Dataset.of(["One two three", "One"], targets=["Oui", "Une phrase plus longue"])
    run = Extractor(model, data, model.select("decoder.embed"), ExtractOptions())
    (batch,) = run.batches()
    for prefix in ("", "decoder_"):
        ids, mask = (
            batch.arguments[f"{prefix}input_ids"],
            batch.arguments[f"{prefix}attention_mask"],
        )
        assert ids.shape == mask.shape
        assert torch.equal(mask == 0, ids == model.feed.pad_id)
        assert not mask.all()


def test_a_vector_a_sample_is_of_a_decoder_that_reads_the_target(tiny):
    model = tiny("bart")
    site = Site("module:decoder.last", "decoder.last", 16, layout="vector")
    encoded = model.feed.encode(DATA, [0, 1], site=site, max_length=60)
    assert [one.decoded for one in encoded] == [decoder_input(model, t) for t in TARGETS[:2]]
    assert [len(one) for one in encoded] == [1, 1]
    batch = model.feed.collate(encoded)
    assert batch.shape == (2, 1)
    assert batch.arguments["decoder_input_ids"][0, :3].tolist() == encoded[0].decoded[:3]


def test_targets_are_part_of_what_a_data_set_is():
    plain = Dataset.of(TEXTS)
    changed = Dataset.of(TEXTS, targets=[*TARGETS[:-1], "Autre"])
    assert len({plain.digest(), DATA.digest(), changed.digest()}) == 3
    assert DATA.digest() == Dataset.of(TEXTS, targets=list(TARGETS), name="other").digest()
    assert DATA.head(2).targets == TARGETS[:2]
    spans = Dataset("x", ["a b"], words=[[(0, 1)]]).digest()
    assert spans != Dataset("x", ["a b"], words=None, targets=["[(0, 1)]"]).digest()


def test_targets_that_do_not_fit_are_refused():
    with pytest.raises(DatasetError, match="5 texts but 1 targets"):
        Dataset.of(TEXTS, targets=["one"])
    with pytest.raises(DatasetError, match="the target of sample 1 is empty"):
        Dataset.of(["a", "b"], targets=["c", " "])


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "pairs.jsonl"
    pairs = [{"text": t, "fr": f, "kind": "x"} for t, f in zip(TEXTS, TARGETS, strict=True)]
    path.write_text("\n".join(map(json.dumps, pairs)))
    return path


def test_a_column_of_a_file_is_what_the_decoder_reads(table):
    data = read_dataset(table, decoder_text="fr")
    assert list(data.targets) == TARGETS
    assert list(data.label_sets) == ["kind"]  # neither text is a label set
    assert read_dataset(table).targets is None
    assert "fr" in read_dataset(table).label_sets


def test_bad_columns_for_the_decoder_are_refused_in_one_line(table, tmp_path):
    with pytest.raises(DatasetError, match="no 'de', which --decoder-text names; it has text, fr"):
        read_dataset(table, decoder_text="de")
    with pytest.raises(DatasetError, match="no column 'de'; it has text, fr, kind; use --decoder"):
        read_dataset(table, decoder_text="de", skip_bad=True)
    with table.open("a") as file:
        file.write('\n{"text": "good", "fr": ""}\n{"text": "", "fr": "bon"}\n')
    with pytest.raises(DatasetError, match=r"line 6: 'fr' is empty, which .*; mend it, or"):
        read_dataset(table, decoder_text="fr")
    data = read_dataset(table, decoder_text="fr", skip_bad=True)
    assert (len(data), data.skipped) == (5, 2)
    assert list(data.targets) == TARGETS
    with pytest.raises(DatasetError, match=r"concepts.* no column 'fr'; it has .*--decoder-text"):
        read_dataset("actlas:concepts", decoder_text="fr")


@pytest.fixture(scope="module")
def writer_folder(tmp_path_factory):
    """A checkpoint with the head that predicts tokens, lively enough to write something."""
    made = {}

    def folder(kind):
        if kind not in made:
            torch.manual_seed(0)
            module = transformers.AutoModelForSeq2SeqLM.from_config(config(kind)).eval()
            with torch.no_grad():
                for name, parameter in module.named_parameters():
                    if parameter.requires_grad and "embed_positions" not in name:
                        parameter += 0.6 * torch.randn(parameter.shape)
            module.tie_weights()
            made[kind] = tmp_path_factory.mktemp(f"{kind}-writer")
            module.save_pretrained(made[kind])
            tokenizer(wrapped=True).save_pretrained(made[kind])
        return made[kind]

    return folder


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
def test_generated_targets_are_the_models_greedy_output(writer_folder, kind):
    """Against generate() of transformers, one text at a time."""
    folder = writer_folder(kind)
    model = actlas.load_model(str(folder), device="cpu")
    data = generate_targets(model, Dataset.of(TEXTS), 8)
    own = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    for text, written in zip(TEXTS, data.targets, strict=True):
        given = model.tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        ids = own.generate(**given, do_sample=False, num_beams=1, max_new_tokens=8)[0]
        assert written == model.tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert len(set(data.targets)) > 1
    assert data.texts == TEXTS
    rows, _ = extracted(model, data)
    assert set(rows.sample.tolist()) == set(range(len(TEXTS)))


def test_what_cannot_generate_is_refused_in_one_line(tiny, writer_folder):
    with pytest.raises(ModelError, match="name an encoder–decoder, or leave out --generate"):
        generate_targets(tiny("bert"), Dataset.of(TEXTS), 8)
    model = actlas.load_model(str(writer_folder("t5")), device="cpu")
    with pytest.raises(DatasetError, match="leave out --generate or --decoder-text"):
        generate_targets(model, DATA, 8)
    with pytest.raises(InputError, match="leaves no token; use 1 or more"):
        generate_targets(model, Dataset.of(TEXTS), 0)


def test_a_sample_for_which_nothing_is_written_has_only_what_starts_a_text(tiny):
    model = tiny("t5")
    data = Dataset("silent", TEXTS[:2], targets=["", "Oui"])
    rows, _ = extracted(model, data)
    assert rows.token_id[rows.sample == 0].tolist() == [model.feed.decoder_start_id, 1]  # and <s>


def test_sinusoids_left_out_of_a_checkpoint_are_computed(writer_folder):
    """Marian's checkpoints do not hold their positions: they are no weights that lack."""
    folder = writer_folder("marian")
    model = actlas.load_model(str(folder), device="cpu")
    own = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    mine = model.module.encoder.embed_positions.weight
    assert torch.equal(mine, own.model.encoder.embed_positions.weight)
    assert mine.abs().max() == 1


def test_the_command_line_takes_a_column_or_generates(table, writer_folder, tmp_path):
    store = f"sqlite:///{tmp_path}/store.db"
    common = [str(writer_folder("t5")), str(table), "--sites", "decoder.layers.0",
              "--store", store, "--device", "cpu", "--json"]  # fmt: skip
    rows = []
    for more in (["--decoder-text", "fr"], ["--generate", "4"], []):
        done = CliRunner().invoke(cli, ["extract", *common, *more])
        assert done.exit_code == 0, done.output
        rows.append(json.loads(done.stdout)["rows"])
    assert rows[0] == sum(len(tokenizer(wrapped=True)(t)["input_ids"]) for t in TARGETS)
    assert rows[1] <= 5 * len(TEXTS) + 5
    assert rows[2] == sum(len(tokenizer(wrapped=True)(t)["input_ids"]) for t in TEXTS)
    both = CliRunner().invoke(cli, ["extract", *common, "--decoder-text", "fr", "--generate", "4"])
    assert isinstance(both.exception, DatasetError)
