"""What the benchmarks say, and the comparison with peers, without measuring anything."""

import sqlite3
from pathlib import Path

import pytest

from benchmarks.common import Bar
from benchmarks.peers.__main__ import Measured, line
from benchmarks.peers.models import FILES, sentences
from benchmarks.servers import drop, fresh_url


@pytest.mark.parametrize(
    ("value", "at_least", "verdict"),
    [(1.9, False, "met"), (2.1, False, "MISSED"), (1.9, True, "MISSED"), (2.0, True, "met")],
)
def test_a_bar_is_an_upper_limit_or_with_at_least_a_lower_one(value, at_least, verdict):
    shown = str(Bar("something", value, 2.0, at_least=at_least))
    assert verdict in shown.split()
    assert f"({'≥' if at_least else '≤'} 2)" in shown


def measured(seconds: float, rows: int = 100, mean: float = 0.5) -> Measured:
    return Measured(rows, seconds, 1.0, 1.0, [mean, 2 * mean])


def test_the_comparison_is_the_median_ratio_of_rates():
    shown = line("it", [measured(1), measured(2), measured(1)], [measured(3)] * 3)
    assert "3.000" in shown
    assert "met" in shown.split()
    assert "MISSED" in line("it", [measured(2)], [measured(3)]).split()


def test_a_peer_that_stored_something_else_is_not_compared():
    for other in (measured(9, rows=101), measured(9, mean=0.51)):
        assert "NOT COMPARABLE" in line("it", [measured(1)], [other])
    assert "NOT COMPARABLE" not in line("it", [measured(1)], [measured(9, mean=0.501)])


def test_a_peer_that_fails_says_why():
    assert "cannot run: ImportError: x" in line("it", [measured(1)], ["ImportError: x"])


def test_sentences_come_in_the_order_of_the_files_and_are_repeated(tmp_path: Path):
    for name, texts in zip(FILES, (["a b", "c"], ["d = e"]), strict=True):
        blocks = [f"# sent_id = 1\n# text = {text}\n1\tx\n" for text in texts]
        (tmp_path / name).write_text("\n".join(blocks), encoding="utf-8")
    assert sentences(2, tmp_path) == ["a b", "c"]
    assert sentences(4, tmp_path) == ["a b", "c", "d = e", "a b"]


def test_without_the_files_the_demo_sentences_are_taken(tmp_path: Path):
    found = sentences(1300, tmp_path)
    assert len(found) == 1300
    assert found[0] == found[1200]
    assert len(set(found)) == 1200


def test_a_store_is_copied_from_a_template_and_removed(tmp_path: Path):
    template = fresh_url(str(tmp_path))
    with sqlite3.connect(template.removeprefix("sqlite:///")) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    copy = fresh_url(str(tmp_path), template)
    with sqlite3.connect(copy.removeprefix("sqlite:///")) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.close()
    drop(str(tmp_path), copy)
    assert [p.name for p in tmp_path.iterdir()] == [Path(template).name]
