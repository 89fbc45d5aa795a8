"""What the documentation shows works: its queries, its Python, its plugin, its commands."""

import re
from pathlib import Path

import pytest

import actlas
from actlas.cli import cli
from actlas.registry import Registry
from actlas.testing import checks

ROOT = Path(__file__).parents[1]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory, demo_model):
    """A store with the README's extraction, and a run of each analysis at one site."""
    path = tmp_path_factory.mktemp("docs") / "actlas.db"
    with actlas.open(str(path)) as store:
        store.extract(demo_model, "actlas:concepts", pooling="word")
        store.run("spectrum", sites="layers.0")
        store.run("probe", sites="layers.0", labels="category@target", groups="word@target")
        store.tag("actlas:demo", {"family": "minilm", "size": 22.7})
    return path


@pytest.mark.parametrize("query", blocks("docs/queries.md", "sql"))
def test_every_query_of_the_cookbook_runs(analysed, query):
    with actlas.open(str(analysed)) as store:
        found = store.sql(query)
        failed = store.sql("SELECT * FROM runs WHERE status = 'failed'")
    assert len(found) or "failed" in query
    assert len(failed) == 0


def test_the_python_of_the_readme_runs(analysed, monkeypatch, capsys):
    monkeypatch.chdir(analysed.parent)
    first, second, _ = blocks("README.md", "python")
    # One site instead of all seven: seconds instead of a quarter of a minute.
    scope: dict[str, object] = {}
    exec(first.replace('store.run("probe"', 'store.run("probe", sites="layers.0"'), scope)
    exec(second, scope)
    said = capsys.readouterr().out
    assert "layers.0 0." in said
    assert "[1 rows x 9 columns]" in said


def test_the_analysis_of_the_readme_conforms(tmp_path):
    path = tmp_path / "norms.py"
    path.write_text(blocks("README.md", "python")[2])
    for check in checks(Registry((path,)).get("norms")):
        check()


def test_every_command_of_the_readme_is_one():
    for block in blocks("README.md", "sh"):
        for name in re.findall(r"^actlas (\w+)", block, re.MULTILINE):
            assert name in cli.commands


def test_links_between_pages_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} → {target}"
