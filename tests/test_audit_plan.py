"""From files to jobs: the grid, what each needs, what cannot be, and what adding changes."""

import json
import os

import pytest

import actlas
from actlas.auditing import parse, plan

CSV = "text,kind,size\n" + "".join(
    f"The {noun} is {size} today.,{kind},{size}\n"
    for noun, kind in (("cat", "animal"), ("dog", "animal"), ("hill", "place"), ("lake", "place"))
    for size in ("big", "small", "old")
)
CONLLU = """\
1\tCats\tcat\tNOUN\tNNS\t_\t2\tnsubj\t_\t_
2\tsleep\tsleep\tVERB\tVBP\t_\t0\troot\t_\t_

"""


@pytest.fixture
def planned(tmp_path, tiny_folder):
    """Write an audit file of tiny models and small data, and plan it."""
    (tmp_path / "data.csv").write_text(CSV)
    (tmp_path / "tree.conllu").write_text(CONLLU * 3)
    for kind in ("bert", "gpt2", "vit"):
        if not (tmp_path / kind).exists():
            (tmp_path / kind).symlink_to(tiny_folder(kind))

    def jobs(body, models=("bert",), data=("data.csv",), store=None, head=""):
        text = f'[audit]\nname = "tiny"\n{head}'
        text += "".join(f'[[models]]\nspec = "{m}"\ntags = {{ n = {i} }}\n'
                        for i, m in enumerate(models))  # fmt: skip
        text += "".join(f'[[datasets]]\npath = "{d}"\n' for d in data)
        (tmp_path / "audit.toml").write_text(text + body)
        found = plan(parse(tmp_path / "audit.toml"), store.database if store else None)
        names = [job.name for job in found]
        assert len(set(names)) == len(names)
        places = {name: i for i, name in enumerate(names)}
        assert all(places[need] < places[job.name] for job in found for need in job.needs)
        json.dumps([dict(job.work) for job in found])  # they are sent and stored
        return {job.name: job for job in found}

    return jobs


def entry(name, *more, table="analyses"):
    return f'[[{table}]]\nname = "{name}"\n' + "".join(f"{line}\n" for line in more)


def test_models_data_sets_entries_and_grids_are_multiplied(planned):
    body = '[[extract]]\npooling = ["mean", "token"]\nsites = "layers.*"\n'
    body += entry("probe", 'labels = ["kind", "size"]', "c = [0.5, 1.0]", 'poolings = "mean"')
    found = planned(body, models=("bert", "gpt2"))
    assert list(found)[:4] == [
        "extract bert data mean", "extract bert data token",
        "extract gpt2 data mean", "extract gpt2 data token",
    ]  # fmt: skip
    assert [name for name in found if name.startswith("probe bert")] == [
        f"probe bert data mean labels={labels} c={c}"
        for labels in ("kind", "size") for c in (0.5, 1.0)
    ]  # fmt: skip
    job = found["probe gpt2 data mean labels=size c=0.5"]
    assert (job.kind, job.model, job.dataset, job.pooling, job.analysis) == (
        "analyse", "gpt2", "data", "mean", "probe",
    )  # fmt: skip
    assert job.needs == ("extract gpt2 data mean",)
    assert job.parameters["c"] == 0.5
    assert job.work["extraction"] == "extract gpt2 data mean"
    assert (job.work["labels"], job.work["sites"]) == ("size", ["layers.*"])
    assert job.work["parameters"] == dict(job.parameters)
    assert not any(one.skipped for one in found.values())


def test_extractions_say_all_that_is_to_be_done(planned, tmp_path):
    body = '[[extract]]\nmax_length = 8\ndtype = "float32"\n[limits]\ndevice = "cpu"\n'
    (job,) = planned(body).values()
    assert job.name == "extract bert data mean max_length=8 dtype=float32"
    work = job.work["extract"]
    assert (work["model"], work["path"]) == (f"{tmp_path}/bert", f"{tmp_path}/data.csv")
    assert work["options"] == {
        "dtype": "float32", "max_length": 8, "on_long": "truncate", "batch_tokens": 2048,
    }  # fmt: skip
    assert (work["device"], work["compute_dtype"], work["tags"]) == ("cpu", "float32", {"n": 0})


def test_sites_of_several_entries_are_extracted_once(planned):
    body = '[[extract]]\nsites = "embed"\n[[extract]]\nsites = ["layers.1", "embed"]\n'
    body += '[[extract]]\nsites = "final"\ndtype = "float32"\n'
    found = planned(body)
    sites = {name: job.work["extract"]["sites"] for name, job in found.items()}
    assert sites == {
        "extract bert data mean": ["embed", "layers.1"],
        "extract bert data mean dtype=float32": ["final"],
    }


@pytest.mark.parametrize(
    ("sites", "read"),
    [("layers.-1", "layers.-1"), ("layers.-2", "residual"), ("layers.-12", "residual"),
     ("layers.-1.mlp", "layers.-1.mlp"), ("layers.1", "layers.1")],
)  # fmt: skip
def test_negative_indices_mean_the_same_layer_when_read_again(planned, sites, read):
    found = planned(f'[[extract]]\nsites = "{sites}"\n' + entry("spectrum"))
    assert found["extract bert data mean"].work["extract"]["sites"] == [sites]
    assert found["spectrum bert data mean"].work["sites"] == [read]


def test_entries_are_of_the_models_and_data_sets_named(planned):
    body = '[[extract]]\nmodels = "ber*"\n[[extract]]\nmodels = "gpt2"\npooling = "token"\n'
    body += entry("spectrum", 'models = ["gpt2", "bert"]', 'datasets = "tree"')
    found = planned(body, models=("bert", "gpt2"), data=("data.csv", "tree.conllu"))
    assert list(found) == [
        "extract bert data mean", "extract bert tree mean",
        "extract gpt2 data token", "extract gpt2 tree token",
        "spectrum bert tree mean", "spectrum gpt2 tree token",
    ]  # fmt: skip


def test_the_same_file_gives_the_same_plan_and_a_model_more_adds_only_its_own(planned):
    body = entry("spectrum") + entry("cka", table="compare")
    body += entry("association", 'of = "spectrum"', 'quality = "n"', table="compare")
    before = planned(body, models=("bert", "gpt2"))
    assert planned(body, models=("bert", "gpt2")) == before
    after = planned(body, models=("bert", "gpt2", "actlas:demo"))
    new = [name for name in after if name not in before]
    assert new == [
        "extract demo data mean",
        "spectrum demo data mean",
        "compare cka demo data mean",
    ]
    changed = [name for name in before if after[name] != before[name]]
    assert changed == ["compare association of spectrum data mean quality=n"]


def test_comparisons_are_of_each_model_with_those_before_it(planned):
    body = entry("cka", 'other_sites = "layers.-1"', table="compare")
    found = planned(body, models=("bert", "gpt2", "actlas:demo"))
    second, third = (found[f"compare cka {m} data mean other_sites=layers.-1"]
                     for m in ("gpt2", "demo"))  # fmt: skip
    assert second.work["others"] == ["extract bert data mean"]
    assert third.work["others"] == ["extract bert data mean", "extract gpt2 data mean"]
    assert (third.work["extraction"], third.model) == ("extract demo data mean", "demo")
    assert third.needs == ("extract demo data mean", *third.work["others"])
    assert (third.work["other_sites"], third.enough) == (["layers.-1"], 2)


def test_an_analysis_of_runs_is_over_those_that_differ_by_their_model(planned):
    body = entry("probe", 'labels = ["kind", "size"]', "c = [0.5, 1.0]")
    body += entry("association", 'of = "probe"', 'quality = "n"', table="compare")
    found = planned(body, models=("bert", "gpt2"))
    over = [job for name, job in found.items() if "association" in name]
    assert [job.work["runs"] for job in over] == [
        [f"probe {m} data mean labels={labels}{c}" for m in ("bert", "gpt2")]
        for labels in ("kind", "size") for c in (" c=0.5", " c=1.0")
    ]  # fmt: skip
    assert all("extraction" not in job.work and job.model == "" for job in over)


def test_what_builds_on_others_needs_their_jobs_at_every_point_of_their_grid(planned):
    body = entry("ica_cosine") + entry("ica", "n_components = [2, 3]", 'sites = "layers.1"')
    body += entry("ica_match", table="compare")
    found = planned(body, models=("bert", "gpt2"))
    names = [f"ica bert data mean sites=layers.1 n_components={n}" for n in (2, 3)]
    for n, base in zip((2, 3), names, strict=True):
        on = f"on=(ica sites=layers.1 n_components={n})"
        job = found[f"ica_cosine bert data mean {on}"]
        assert job.work["base"] == [base]
        assert job.needs == ("extract bert data mean", base)
        assert job.work["sites"] == ["layers.1"]  # where what it builds on is
        match = found[f"compare ica_match gpt2 data mean {on}"]
        assert match.work["base"] == [base.replace("bert", "gpt2"), base]
        assert set(match.work["base"]) < set(match.needs)


def test_labels_of_what_is_built_on_are_those_asked_for(planned):
    body = entry("probe", 'labels = ["kind", "size"]')
    body += entry("convexity", 'labels = "size"', 'regions = ["probe", "label"]', "k = 3")
    body += entry("convexity_layers")
    found = planned(body)
    plain, of_probe = sorted(
        (job for job in found.values() if job.analysis == "convexity"),
        key=lambda job: len(job.name),
    )
    assert "on=(probe labels=size)" in of_probe.name
    assert of_probe.work["base"] == ["probe bert data mean labels=size"]
    assert "base" not in plain.work
    layers = [job for job in found.values() if job.analysis == "convexity_layers"]
    assert [job.work["labels"] for job in layers] == ["size", "size"]
    assert {job.work["base"][0] for job in layers} == {of_probe.name, plain.name}


def test_cells_that_cannot_be_are_skipped_and_say_why(planned):
    body = '[[extract]]\npooling = ["mean", "word"]\n'
    body += entry("probe", 'labels = ["kind", "upos"]')
    found = planned(body, models=("bert", "vit"), data=("data.csv", "tree.conllu"))
    skipped = {name: job.skipped for name, job in found.items()}
    assert skipped["extract vit data mean"] == "vit reads images, and data holds texts"
    assert skipped["probe vit data mean labels=kind"] == skipped["extract vit data mean"]
    assert skipped["probe bert data mean labels=kind"] == ""
    assert skipped["probe bert data mean labels=upos"] == (
        "audit.toml:15: data set data has no label set 'upos'; there is kind, size"
    )
    assert skipped["probe bert tree word labels=upos"] == ""
    assert "labels words, and with pooling mean rows" in skipped["probe bert tree mean labels=upos"]


def test_a_skipped_cell_skips_what_builds_on_it_and_leaves_comparisons(planned):
    body = entry("probe", 'labels = "kind"') + entry("convexity_layers")
    body = body.replace("convexity_layers", "convexity") + 'labels = "kind"\nregions = "probe"\n'
    body += entry("cka", table="compare")
    body += entry("association", 'of = "probe"', 'quality = "n"', table="compare")
    found = planned(body, models=("vit", "bert", "gpt2"), data=("data.csv", "tree.conllu"))
    built = found["convexity bert tree mean labels=kind regions=probe on=(probe labels=kind)"]
    assert "has no label set 'kind'" in built.skipped
    assert found["compare cka gpt2 data mean"].work["others"] == ["extract bert data mean"]
    assert found["compare cka bert data mean"].skipped == "no model before it to compare with"
    runs = {name: job for name, job in found.items() if "association" in name}
    data, tree = runs.values()
    assert [name.split()[1] for name in data.work["runs"]] == ["bert", "gpt2"]
    assert (tree.work["runs"], "has no label set" in tree.skipped) == ([], True)


def test_a_data_set_that_cannot_be_read_skips_its_cells(planned, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    found = planned(entry("spectrum"), data=("data.csv", "bad.csv"))
    assert found["spectrum bert data mean"].skipped == ""
    assert "bad cannot be read: " in found["spectrum bert bad mean"].skipped


def test_fingerprints_follow_files_and_keys_follow_work(planned, tmp_path, tiny_folder):
    import shutil

    (tmp_path / "copy").mkdir()
    for file in tiny_folder("bert").iterdir():
        shutil.copy2(file, tmp_path / "copy")
    body = entry("spectrum")
    before = planned(body, models=("copy", "gpt2"))

    def changed(attribute):
        after = planned(body, models=("copy", "gpt2"))
        return {n for n in before if getattr(after[n], attribute) != getattr(before[n], attribute)}

    assert changed("fingerprint") == set()
    os.utime(tmp_path / "copy" / "model.safetensors", ns=(1, 1))
    assert changed("fingerprint") == {"extract copy data mean", "spectrum copy data mean"}
    assert changed("key") == set()
    before = planned(body, models=("copy", "gpt2"))
    (tmp_path / "copy" / "notes.md").write_text("beside the checkpoint")
    assert changed("fingerprint") == set()
    (tmp_path / "data.csv").write_text(CSV + "More.,place,old\n")
    assert changed("fingerprint") == set(before)
    before = planned(body, models=("copy", "gpt2"))
    body = entry("spectrum").replace("name", 'sites = "layers.0"\nname')
    after = planned(body, models=("copy", "gpt2"))
    keys = {job.key for job in before.values()}
    assert [n for n in after if after[n].key not in keys] == [
        "spectrum copy data mean sites=layers.0", "spectrum gpt2 data mean sites=layers.0",
    ]  # fmt: skip


def test_files_of_parameters_plugins_and_tags_are_in_fingerprints(planned, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text('''
from typing import Annotated
from actlas import Activations, Result, analysis

@analysis(version=1)
def mine(acts: Activations, *, words: Annotated[str, "a list", "file"] = "") -> Result:
    """Nothing."""
    return Result()
''')
    (tmp_path / "words.txt").write_text("one")
    body = entry("mine", 'words = "words.txt"') + entry("spectrum")
    body += entry("association", 'of = "spectrum"', 'quality = "n"', table="compare")

    def prints(models=("bert", "gpt2")):
        head = 'plugins = "mine.py"\n'
        return {n: job.fingerprint for n, job in planned(body, models, head=head).items()}

    first = prints()
    (name,) = [n for n in first if n.startswith("mine bert")]
    assert f"words={tmp_path}/words.txt" in name
    (tmp_path / "words.txt").write_text("one two")
    second = prints()
    assert {n for n in first if second[n] != first[n]} == {name, name.replace("bert", "gpt2")}
    planned(body, ("bert", "gpt2"), head='plugins = "mine.py"\n')
    path = tmp_path / "audit.toml"
    path.write_text(path.read_text().replace("n = 1", "n = 7"))
    third = {job.name: job.fingerprint for job in plan(parse(path), None)}
    assert [n for n in first if third[n] != second[n]] == [n for n in first if "association" in n]
    plugin.write_text(plugin.read_text() + "\n")
    assert all(prints()[n] != second[n] for n in first)


def test_jobs_of_two_audits_that_do_the_same_have_one_key(planned, tmp_path):
    before = planned(entry("spectrum"))
    text = (tmp_path / "audit.toml").read_text()
    text = text.replace('spec = "bert"', 'spec = "bert"\nname = "other"')
    (tmp_path / "audit.toml").write_text(text)
    after = plan(parse(tmp_path / "audit.toml"), None)
    assert [job.name for job in after] == ["extract other data mean", "spectrum other data mean"]
    assert [job.key for job in after] == [job.key for job in before.values()]


def test_label_sets_come_from_the_store_once_they_are_known(planned, tmp_path, monkeypatch):
    from actlas.auditing import audit, facts

    url = f"sqlite:///{tmp_path}/x.db"
    planned('[[extract]]\nsites = "layers.0"\n' + entry("probe", 'labels = "kind"'))
    audit(tmp_path / "audit.toml", store=url, workers=0)
    body = '[[extract]]\nsites = "layers.0"\n' + entry("probe", 'labels = ["kind", "sort"]')

    def refuse(*_, **__):
        raise AssertionError("read again")

    with actlas.open(url) as store:
        monkeypatch.setattr(facts, "read_dataset", refuse)
        found = planned(body, store=store)
        assert [bool(job.skipped) for job in found.values()] == [False, False, True]
        assert found["probe bert data mean labels=kind"].seconds > 0
        assert found["extract bert data mean"].seconds > 0
        (tmp_path / "data.csv").write_text(CSV)
        with pytest.raises(AssertionError, match="read again"):
            planned(body, store=store)


def test_the_hub_is_not_asked(planned, monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    body = entry("probe", 'labels = "kind"')
    found = planned(body, models=("bert", "hf:nobody/nothing"), data=("data.csv", "hf:no/data"))
    assert not any(job.skipped for job in found.values())
    assert "probe nobody/nothing no/data mean labels=kind" in found
