"""The report of an audit: what stands on the page is what the store has, and opens offline."""

import csv
import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from click.testing import CliRunner

import actlas
from actlas.auditing.report import page as pages
from actlas.auditing.report import report
from actlas.auditing.report.colours import EACH, PALETTE, REST, colours
from actlas.auditing.report.curves import apart, kind
from actlas.auditing.report.drawn import galleries, share
from actlas.auditing.report.head import troubles
from actlas.auditing.report.metrics import differing, metrics, settings
from actlas.auditing.report.queries import LARGEST_CSV, Found, literal
from actlas.auditing.report.scope import Scope
from actlas.auditing.report.similarity import PAIRS, extremes, matrix, ordered
from actlas.cli import cli

from .audited import NAMES, make_audit

BLOCK = re.compile(
    r'<details class="data">.*?(?:href="data:text/csv;charset=utf-8,([^"]*)".*?)?'
    r'<pre><code class="sql">(.*?)</code></pre>',
    re.DOTALL,
)
FIGURES = 12
VOID = {"meta", "link", "img", "br", "hr", "input"}


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("audit")
    url = f"sqlite:///{folder}/store.db"
    with actlas.open(url) as store:
        extractions = make_audit(store, tiny, folder)
        path = folder / "report.html"
        written = report("try 'it'", path, store=store, figures=FIGURES)
        assert written.size == path.stat().st_size
        yield store, path.read_text("utf-8"), extractions, folder


def table_rows(html):
    """Texts of the cells of every row of every table."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [
        [
            unescape(re.sub("<[^>]*>", "", cell))
            for cell in re.findall("<td.*?</td>", row, re.DOTALL)
        ]
        for row in rows
    ]


def test_every_query_gives_the_rows_of_the_csv_beside_it(made):
    store, html, _, _ = made
    blocks = BLOCK.findall(html)
    assert len(blocks) == html.count('<details class="data">') > 20
    for link, sql in blocks:
        columns, rows = store.database.select(unescape(sql))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        assert unquote(unescape(link)) == text.getvalue()
    assert sum(len(unquote(link).splitlines()) for link, _ in blocks) > 200


def test_the_page_asks_no_network_and_is_well_formed(made):
    html = made[1]
    addresses = re.findall(r'(?:href|src|action)="([^"]*)"', html)
    assert addresses
    assert all(a.startswith(("#", "data:")) for a in addresses)
    assert not re.search(r"@import|url\(\s*['\"]?http|<link|fetch\(|XMLHttpRequest", html)
    opened = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in VOID:
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

        def handle_startendtag(self, tag, attrs):
            pass

    Reader().feed(html)
    assert not opened


def test_names_and_errors_of_users_are_escaped(made):
    html = made[1]
    assert html.count("<script") == 1
    assert "alert(1)" in html
    assert "<weights>" not in html
    assert "&lt;weights&gt;" in html
    assert "<i>topic" not in html
    assert "<b>luck" not in html
    assert "no &lt;b&gt;luck" in html
    assert "its <meaning>" not in html


def test_the_best_site_of_each_model_is_ranked(made):
    store, html, extractions, _ = made
    best = {}
    for (model, data), extraction in extractions.items():
        runs = [
            r for r in store.records("runs")
            if r.extraction_id == extraction.id and r.analysis == "quick" and r.parameters["k"] == 1
        ]  # fmt: skip
        scores = {r.site: store.result(r.id).result.tables["summary"]["score"][0] for r in runs}
        site = max(scores, key=scores.get)
        best[model, data] = (site, scores[site])
    section = html.split("Ranks by quick · k = 1: score")[1].split("</details>")[0]
    for data, part in zip(("one", "two"), section.split("<h4>")[1:], strict=True):
        wanted = sorted((m for m, d in best if d == data), key=lambda m: -best[m, data][1])
        rows = [row for row in table_rows(part) if row]
        assert [row[1] for row in rows] == wanted
        assert [row[0] for row in rows] == ["1", "2", "3", "4"][: len(wanted)]
        for row in rows:
            site, score = best[row[1], data]
            assert row[2] == f"{score:.4g}"
            assert row[4:7] == [f"{score - 0.1:.4g}", f"{score + 0.1:.4g}", "0.5"]
            assert row[7] == site


def test_the_board_has_every_metric_with_its_site(made):
    html = made[1]
    board = html.split('id="leaders"')[1].split("<details")[0]
    first, second = board.split("<h3>")[1:]
    assert first.startswith("one")
    assert second.startswith("two")
    for part, models in ((first, 4), (second, 2)):
        rows = [row for row in table_rows(part) if row]
        assert {row[0] for row in rows} == set(list(NAMES.values())[:models])
        for row in rows:
            (site, one), (again, two) = (cell.split() for cell in row[1:])
            assert site == again
            assert float(two) == pytest.approx(2 * float(one), rel=2e-3)
        assert part.count("lead") == 2
        assert "lead" in part.split("<tr>")[2]  # the highest in all stands first


def test_curves_are_of_every_model_with_bands_and_chance(made):
    html = made[1]
    layers = html.split('id="layers"')[1].split("<h2")[0]
    charts = re.findall("<svg.*?</svg>", layers, re.DOTALL)
    assert len(charts) == 4  # two metrics by two data sets
    for chart, models in zip(charts, (4, 2, 4, 2), strict=True):
        assert chart.count('aria-roledescription="line mark"') == 2 * models  # and by chance
        assert chart.count('aria-roledescription="area mark"') == models
        assert "stroke-dasharray" in chart
        assert "relative depth" in chart
        assert all(name in unescape(chart) for name in list(NAMES.values())[1:models])
        assert "currentColor" in chart
    assert "k = 1" in layers
    assert "k = 2" in layers
    assert "Dashed: by chance" in layers


def test_similarity_of_two_models_is_that_of_their_best_matching_sites(made):
    store, html, extractions, _ = made
    section = html.split('id="similar"')[1].split("<h2")[0]
    link, sql = BLOCK.findall(section)[0]
    found = {
        frozenset((r["model_a"], r["model_b"])): float(r["value"])
        for r in csv.DictReader(io.StringIO(unquote(unescape(link))))
    }
    assert len(found) == 6
    assert "model_a" in sql
    one, other = extractions["distil", "one"], extractions["it's gpt2", "one"]
    run = next(
        r for r in store.records("runs") if r.analysis == "cka" and r.extraction_id == one.id
    )
    pairs = {
        (r["a"], r["b"].partition(":")[2]): r["cka"]
        for r in store.result(run.id).result.tables["pairs"]
        if ":" not in r["a"] and r["b"].startswith(f"{other.id}:")
    }
    sides = [
        [max(v for k, v in pairs.items() if k[side] == site) for site in {k[side] for k in pairs}]
        for side in (0, 1)
    ]
    wanted = np.mean(sides[0] + sides[1])
    assert found[frozenset(("distil", "it's gpt2"))] == pytest.approx(wanted, rel=1e-9)
    assert section.count("<svg") == (1 + 6) + (1 + 1)


def test_associations_stand_with_their_intervals_the_surest_first(made):
    html = made[1]
    section = html.split('id="association"')[1].split("<h2")[0]
    rows = [row for row in table_rows(section) if row]
    assert {row[0] for row in rows} >= {"score", "low", "high"}
    assert "chance" not in {row[0] for row in rows}  # it does not vary
    p = [float(row[6]) for row in rows]
    assert p == sorted(p)
    for row in rows:
        assert -1 <= float(row[3]) <= 1
        assert row[4:6] == ["–", "–"]  # fewer than eight models have no interval
        assert float(row[6]) <= float(row[8])
    assert "goes with quality" in section


def test_figures_of_analyses_are_drawn_from_what_the_query_gave(made):
    html = made[1]
    section = html.split('id="figures"')[1].split("<h2")[0]
    assert section.count("broken: ValueError: no") == section.count("<figcaption>bars") > 1
    assert "_units" in section
    assert "_summary" not in section.split("quick · k = 1")[1].split("<h3")[0]
    of = re.findall(r"(\d+) of (\d+) runs(?:; (\d+) are left out)?", section)
    assert all(int(drawn) + int(left) == int(runs) for drawn, runs, left in of)
    assert sum(2 * int(drawn) for drawn, _, _ in of) == FIGURES  # two of each run


def test_fewer_figures_are_asked_for_and_the_rest_is_told(made):
    scope = Scope.of(made[0].database, None)
    found = [one for one in settings(scope) if one.analysis != "association"]
    drawn = galleries(scope, found, metrics(scope, found)[0], 3)
    said = [(g.setting.title, len(g.drawn), g.left) for g in drawn]
    assert said == [("quick · k = 1", 1, 26), ("quick · k = 2", 0, 27), ("cka", 0, 4)]
    assert [title for title, _ in drawn[0].drawn[0].figures] == ["bars"]
    assert "actlas report --figures 200" in made[1]


def test_what_is_missing_stands_first_and_with_its_reason(made):
    html = made[1]
    top = html.split("<nav>")[0]
    assert re.search(r"not finished: \d+ of \d+ jobs are done, 0 run, 1 wait", top)
    assert "1 failed and 2 were skipped" in top
    missing = [row for row in table_rows(html.split('id="missing"')[1]) if row]
    assert [row[0] for row in missing] == ["failed", "skipped", "skipped", "waiting"]
    assert missing[0][1:4] == ["extract", "1", "no <weights> (tried 3 times)"]
    assert missing[0][4].split() == ["extract", "never", "one"]
    assert "label set '<i>topic</i>'" in missing[1][3]
    assert "Never extracted: never" in html
    assert "actlas audit run FILE" in html


def test_provenance_names_models_data_and_versions(made):
    store, html, extractions, _ = made
    head = html.split('id="what"')[1].split('id="leaders"')[0]
    rows = table_rows(head)
    for model in store.records("models"):
        row = next(r for r in rows if r and r[-1] == model.digest[:8])
        assert row[2] == model.architecture
        assert "family = " in row[4]
        assert "quality = " in row[4]
    for data in store.records("datasets"):
        assert data.digest[:8] in head
    assert f"actlas {actlas.__version__}" in head
    assert f"{len(extractions)} extractions" in head
    sites = sum(len(e.sites) for e in extractions.values())
    assert f"{sites} of {sites} sites compared with the model&#39;s own output" in head
    assert "quick" in head


def test_a_finished_audit_without_faults_says_nothing_first(made, monkeypatch):
    store, _, _, _ = made
    scope = Scope.of(store.database, None)
    scope.audit.finished = "2026-01-01T01:00:00Z"
    kept = Scope(store.database, scope.audit, [job for job in scope.jobs if job.status == "done"])
    assert pages.head(kept).remarks == []


def test_without_plots_there_are_tables_and_how_to_get_figures(made, monkeypatch):
    store, _, _, folder = made
    for name in ("page", "drawn"):
        monkeypatch.setattr(f"actlas.auditing.report.{name}.can_draw", lambda: False)
    path = folder / "bare.html"
    report(None, path, store=store)
    html = path.read_text("utf-8")
    assert "pip install &#39;actlas[plots]&#39;" in html or "pip install 'actlas[plots]'" in html
    assert "<svg" not in html
    assert "Ranks by quick" in html


@pytest.fixture
def empty(sqlite_store, tmp_path):
    """A store with an audit that has done nothing."""
    make_audit(sqlite_store, None, tmp_path, ())
    return sqlite_store


def test_a_report_is_written_whole_or_not_at_all(empty, tmp_path, monkeypatch):
    store, folder = empty, tmp_path
    path = folder / "whole.html"
    report(None, path, store=store, figures=0)
    before, there = path.read_text("utf-8"), set(folder.iterdir())

    def fails(*args, **named):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(pages, "render", fails)
    with pytest.raises(RuntimeError, match="in the middle"):
        report(None, path, store=store)
    assert path.read_text("utf-8") == before
    monkeypatch.undo()
    monkeypatch.setattr("pathlib.Path.replace", fails)
    with pytest.raises(RuntimeError):
        report(None, path, store=store, figures=0)
    monkeypatch.undo()
    assert path.read_text("utf-8") == before
    assert set(folder.iterdir()) == there


def test_a_file_that_is_no_report_is_not_overwritten(empty, tmp_path):
    store, folder = empty, tmp_path
    other = folder / "notes.html"
    other.write_text("<p>mine</p>")
    with pytest.raises(actlas.InputError, match="is no report"):
        report(None, other, store=store)
    assert other.read_text() == "<p>mine</p>"
    for path in (folder, folder / "none" / "report.html"):
        with pytest.raises(actlas.InputError, match="name a file in a folder"):
            report(None, path, store=store)
    with pytest.raises(actlas.InputError, match="figures=-1"):
        report(None, folder / "x.html", store=store, figures=-1)


def test_the_command_writes_it_and_names_audits_that_are_there(empty, tmp_path, monkeypatch):
    store = empty
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["report", "--store", store.url, "--figures", "0"])
    assert done.exit_code == 0, done.output
    assert "report.html: audit try 'it'" in done.output
    assert "not finished" in done.stderr
    done = CliRunner().invoke(cli, ["report", "--store", store.url, "--json"])
    said = json.loads(done.stdout)
    assert (said["path"], said["audit"]) == ("report.html", "try 'it'")
    assert said["size"] == (tmp_path / "report.html").stat().st_size
    wrong = CliRunner().invoke(cli, ["report", "trial", "--store", store.url])
    assert "no audit 'trial'; there is try 'it'" in str(wrong.exception)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_queries_hold_on_postgresql_and_pages_are_the_same_each_time(store, tiny, tmp_path):
    make_audit(store, tiny, tmp_path, ("bert", "gpt2"))
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for path in pages:
        report(None, path, store=store, figures=1)
    html, again = (path.read_text("utf-8") for path in pages)
    assert html == again
    blocks = BLOCK.findall(html)
    assert len(blocks) > 10
    assert any("MATERIALIZED" in sql for _, sql in blocks)
    for link, sql in blocks:
        columns, rows = store.database.select(unescape(sql))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        assert unquote(unescape(link)) == text.getvalue()
    assert html.count("<svg") >= 8


def test_a_table_that_is_too_long_for_the_page_has_its_query_alone():
    few = Found("few", "SELECT 1", ("a",), (("x, é\n",),))
    assert unquote(few.link.partition(",")[2]) == 'a\n"x, é\n"\n'
    many = Found("many", "SELECT 1", ("a",), (("x" * LARGEST_CSV,),))
    assert many.link is None


def test_texts_are_quoted_in_sql(made):
    said = "' -- it's"
    assert made[0].database.select(f"SELECT {literal(said)}")[1] == [(said,)]


def test_names_are_moved_apart_no_further_than_needed():
    assert apart([0.0, 5.0, 10.0], 1.0, 0.0, 10.0) == [0.0, 5.0, 10.0]
    assert apart([4.9, 5.0, 5.1], 1.0, 0.0, 10.0) == pytest.approx([4.0, 5.0, 6.0])
    assert apart([9.8, 9.9, 10.0], 1.0, 0.0, 10.0) == pytest.approx([8.0, 9.0, 10.0])
    assert apart([0.0, 0.1], 1.0, 0.0, 10.0) == pytest.approx([0.0, 1.0])
    crowded = apart(list(np.sort(np.random.default_rng(0).random(30))), 0.04, 0.0, 1.0)
    assert np.diff(crowded).min() >= 0.04 - 1e-12
    assert apart([], 1.0, 0.0, 1.0) == []


@pytest.mark.parametrize(
    ("site", "called"),
    [
        ("embed", "residual stream"),
        ("layers.11", "residual stream"),
        ("final", "residual stream"),
        ("decoder.layers.0", "decoder.residual stream"),
        ("layers.3.attn", "layers.*.attn"),
        ("layers.4.attn", "layers.*.attn"),
        ("layers.4.heads.2", "layers.*.heads.2"),
        ("module:pooler", "module:pooler"),
    ],
)
def test_a_curve_joins_the_stream_or_one_branch_of_every_block(site, called):
    assert kind(site) == called


def test_few_models_have_a_colour_each_and_many_that_of_their_family():
    few = [f"m{i}" for i in range(EACH)]
    assert list(colours(few, {}).of.values()) == list(PALETTE)
    many = [f"m{i}" for i in range(24)]
    tagged = {m: {"family": f"f{i % 3}", "seed": str(i)} for i, m in enumerate(many)}
    chosen = colours(many, tagged)
    assert chosen.by == "family"
    assert len(chosen.legend) == len(set(chosen.of.values())) == 3
    assert chosen.of["m0"] == chosen.of["m3"] != chosen.of["m1"]
    wide = colours(many, {m: {"family": f"f{i // 2}"} for i, m in enumerate(many)})
    assert wide.legend["others"] == REST
    assert len(wide.legend) == len(PALETTE) + 1
    grey = colours(many, {m: {"seed": str(i)} for i, m in enumerate(many)})
    assert set(grey.of.values()) == {REST}


def test_models_of_a_kind_stand_beside_each_other():
    rows = tuple(
        ("d", a, b, 0.9 if a[0] == b[0] else 0.1, 2)
        for a in ("a1", "b1", "a2", "b2") for b in ("a1", "b1", "a2", "b2") if a < b
    )  # fmt: skip
    found = Found("x", "", ("dataset", "model_a", "model_b", "value", "sites"), rows)
    names, values = matrix(found, ["a1", "b1", "a2", "b2", "c"])
    assert names == ["a1", "b1", "a2", "b2"]
    np.testing.assert_array_equal(values, values.T)
    np.testing.assert_array_equal(np.diag(values), 1.0)
    order = [names[i][0] for i in ordered(values)]
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])
    values[0, 1] = values[1, 0] = np.nan
    assert ordered(values) == [0, 1, 2, 3]


def test_pairs_most_and_least_alike_are_drawn():
    ranked = [(str(i), "x") for i in range(10)]
    assert extremes(ranked[:PAIRS]) == ranked[:PAIRS]
    assert extremes(ranked) == [*ranked[:3], *ranked[-3:]]


def test_runs_are_dealt_in_turn_within_the_figures_allowed():
    assert share({"a": (2, 5), "b": (3, 1)}, 10) == {"a": 3, "b": 1}
    assert share({"a": (2, 5), "b": (3, 5)}, 4) == {"a": 2, "b": 0}
    assert share({"a": (1, 2)}, 0) == {"a": 0}
    assert share({}, 5) == {}


def test_parameters_that_differ_tell_settings_apart():
    every = ['{"k": 5, "m": "x"}', '{"k": 10, "m": "x"}', '{"k": 10, "m": "x", "n": 1}']
    assert [differing(own, every) for own in every] == [
        '{"k": 5}',
        '{"k": 10}',
        '{"k": 10, "n": 1}',
    ]


def test_cells_of_one_reason_are_one_line():
    names = ("job", "kind", "status", "analysis", "attempts", "error")
    rows = (
        ("probe m", "analyse", "skipped", "probe", 1, "why"),
        ("x m", "extract", "failed", "", 2, "w"),
        ("cka m", "compare", "skipped", "cka", 2, "why"),
        ("probe n", "analyse", "skipped", "probe", 1, "no"),
    )
    found = [(t.status, t.what, t.cells, t.attempts) for t in troubles(Found("x", "", names, rows))]
    assert found == [
        ("failed", "extract", ["x m"], 2),
        ("skipped", "probe, cka", ["probe m", "cka m"], 2),
        ("skipped", "probe", ["probe n"], 1),
    ]


def test_the_query_of_the_documentation_runs(made):
    page = (Path(__file__).parents[1] / "docs" / "auditing_report.md").read_text("utf-8")
    query = re.search("```sql\n(.*?)```", page, re.DOTALL)[1].replace("effective_rank", "score")
    rows = made[0].database.select(query)[1]
    assert {row[1] for row in rows} == set(NAMES.values())


def test_a_plugin_that_is_gone_is_told(made, tmp_path):
    scope = Scope.of(made[0].database, None)
    scope.audit.folder = str(tmp_path)
    shown, notes = metrics(scope, settings(scope))
    assert shown == []
    assert [note.split(",")[0] for note in notes] == ["The plugin of quick is not installed here"]
    assert "quick.py" in pages.head(scope).remarks[-1]
