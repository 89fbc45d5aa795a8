"""Figures that the analyses declare, of a bounded choice of runs, with the tables they read."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...api.pictures import can_draw, picture
from ...core import ResultTable, column_array
from ...registry import Analysis
from ...storage import sql_name
from .metrics import Metric, Setting
from .queries import Found
from .scope import Scope

LARGEST = 120_000  # characters of an SVG; of more marks it is a PNG


@dataclass(frozen=True)
class Run:
    """A run that may be drawn, and how it is called."""

    id: int
    title: str


@dataclass
class Tables(Mapping[str, ResultTable]):
    """Tables of a run, each asked for when a figure reads it; found: those that were."""

    scope: Scope
    analysis: Analysis
    run: int
    found: dict[str, Found] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ResultTable:
        spec = self.analysis.tables[name]
        if name not in self.found:
            columns = ", ".join(f'"{column.name}"' for column in spec.columns)
            self.found[name] = self.scope.ask(
                f"run_{self.run}_{name}",
                f"""SELECT {columns}
FROM "{sql_name(self.analysis.name, name)}"
WHERE run_id = {self.run}
ORDER BY item""",
            )
        rows = self.found[name].rows
        return ResultTable(
            name,
            {
                column.name: column_array(column.kind, [_typed(column.kind, r[i]) for r in rows])
                for i, column in enumerate(spec.columns)
            },
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.analysis.tables)

    def __len__(self) -> int:
        return len(self.analysis.tables)


def _typed(kind: str, value: Any) -> Any:
    """SQLite gives truths as numbers."""
    return bool(value) if kind == "bool" and value is not None else value


@dataclass(frozen=True)
class Drawn:
    """Figures of one run by title, the tables that they read, and what could not be drawn."""

    run: Run
    figures: list[tuple[str, str]]
    tables: list[Found]
    wrong: list[str]


@dataclass(frozen=True)
class Gallery:
    """What is drawn of a setting, and how many runs are not."""

    setting: Setting
    drawn: list[Drawn]
    left: int


@dataclass(frozen=True)
class _Choice:
    setting: Setting
    analysis: Analysis
    runs: list[Run]


def galleries(
    scope: Scope, settings: Sequence[Setting], metrics: Sequence[Metric], most: int
) -> list[Gallery]:
    """Draw figures of the highest run of each setting and data set, then of the next, …

    most: figures in all, beyond which no run is begun.
    """
    by_setting = {metric.setting.name: metric for metric in metrics}
    choice = {
        setting.name: _Choice(
            setting, analysis, _ranked(scope, setting, by_setting.get(setting.name))
        )
        for setting in settings
        if (analysis := scope.analysis(setting.analysis)) and analysis.figures
    }
    wanted = {name: (len(one.analysis.figures), len(one.runs)) for name, one in choice.items()}
    return [
        Gallery(
            choice[name].setting,
            [draw(scope, choice[name].analysis, run) for run in choice[name].runs[:taken]],
            choice[name].setting.runs - taken,
        )
        for name, taken in share(wanted, most if can_draw() else 0).items()
    ]


def share(wanted: Mapping[str, tuple[int, int]], most: int) -> dict[str, int]:
    """Deal runs in turn, one to each, while their figures are no more than `most`.

    wanted: figures of a run, and how many runs there are.
    """
    taken, left = dict.fromkeys(wanted, 0), most
    going = True
    while going:
        going = False
        for name, (figures, runs) in wanted.items():
            if taken[name] < runs and figures <= left:
                taken[name] += 1
                left -= figures
                going = True
    return taken


def _ranked(scope: Scope, setting: Setting, metric: Metric | None) -> list[Run]:
    """The best site of every model, the highest first and data sets in turn.

    Without a headline the runs in order: of comparisons those of few models, which can be read.
    """
    if metric is not None:
        rows = sorted(metric.best, key=lambda r: (r["rank"], scope.datasets.index(r["dataset"])))
    else:
        rows = list(
            scope.ask(
                "first",
                f"""SELECT a.dataset, a.model, MAX(a.site) AS site, MIN(a.run_id) AS run_id
FROM audit_run a
WHERE {setting.where}
GROUP BY a.dataset, a.model
ORDER BY MIN(a.run_id)""",
            )
        )
        nth: Counter[str] = Counter()
        for row in rows:
            nth[row["dataset"]] += 1
            row["rank"] = nth[row["dataset"]]
        rows.sort(key=lambda row: row["rank"])
    return [
        Run(row["run_id"], " · ".join(p for p in (row["dataset"], row["model"], row["site"]) if p))
        for row in rows
    ]


def draw(scope: Scope, analysis: Analysis, run: Run) -> Drawn:
    """Draw all figures of a run; one that cannot be drawn is told, and stops nothing."""
    tables, figures, wrong = Tables(scope, analysis, run.id), [], []
    for name, made in analysis.figures.items():
        title = name.replace("_", " ")
        try:
            figures.append((title, picture(made(tables), f"{title}: {run.title}", LARGEST)))
        except Exception as error:  # a plugin's own: whatever it raises
            wrong.append(f"{title}: {type(error).__name__}: {error}")
    return Drawn(run, figures, list(tables.found.values()), wrong)
