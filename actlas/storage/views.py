"""Views that make comparison one line of SQL; made anew after every change of what they show."""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .tables import ResultTable as Catalog

SUMMARY = "summary"  # the table of each analysis that is shown
NUMERIC = ("int", "float", "bool")
VIEWS = {
    "latest_run": (
        "The newest finished run of every analysis at every site, one row for each set of "
        "labels, parameters and further sites."
    ),
    "metric": (
        "Every number of every analysis's table `summary`, one a row; what is null there is left "
        "out. depth: 0 at the embedding, 1 after the last block."
    ),
    "model_tag": "What is known of models: family, size, step, quality; number where it is one.",
    "audit_run": (
        "The finished runs of every audit, with the names that its file gives to models and data "
        "sets; place: that of the site among the model's."
    ),
}
LATEST = """
CREATE VIEW latest_run AS
SELECT run_id, analysis, version, model_id, model, dataset, extraction_id, site, depth, labels,
  parameters, started, seconds
FROM (
  SELECT r.id AS run_id, r.analysis, r.version, m.id AS model_id, m.spec AS model,
    d.name AS dataset, r.extraction_id, r.site, a.relative_depth AS depth, r.labels,
    CAST(r.parameters AS TEXT) AS parameters, r.started, r.seconds,
    ROW_NUMBER() OVER (
      PARTITION BY r.analysis, r.extraction_id, r.site, r.labels, CAST(r.parameters AS TEXT),
        {others}
      ORDER BY r.id DESC
    ) AS place
  FROM runs r
  JOIN extractions e ON e.id = r.extraction_id
  JOIN models m ON m.id = e.model_id
  JOIN datasets d ON d.id = e.dataset_id
  LEFT JOIN activations a ON a.extraction_id = r.extraction_id AND a.site = r.site
  WHERE r.status = 'done'
) AS numbered
WHERE place = 1
"""
OTHERS = {"sqlite": "r.inputs ->> '$.others'", "postgresql": "r.inputs ->> 'others'"}
MODEL_TAG = """
CREATE VIEW model_tag AS
SELECT t.model_id, m.spec AS model, t.name AS tag, t.value, t.number
FROM tags t JOIN models m ON m.id = t.model_id
"""
AUDIT_RUN = """
CREATE VIEW audit_run AS
SELECT u.name AS audit, j.audit_id, j.job, j.model, j.dataset, j.pooling, r.analysis, r.version,
  r.labels, CAST(r.parameters AS TEXT) AS parameters, r.extraction_id, r.site, a.depth AS place,
  a.relative_depth AS depth, r.id AS run_id
FROM audits u
JOIN audit_jobs j ON j.audit_id = u.id
CROSS JOIN {numbers} AS n
JOIN runs r ON r.id = CAST(n.value AS BIGINT)
LEFT JOIN activations a ON a.extraction_id = r.extraction_id AND a.site = r.site
WHERE r.status = 'done'
"""
NUMBERS = {"sqlite": "json_each(j.runs)", "postgresql": "json_array_elements_text(j.runs)"}
METRIC = """
CREATE VIEW metric AS
SELECT v.run_id, v.item, m.id AS model_id, m.spec AS model, d.name AS dataset, r.extraction_id,
  r.site, a.relative_depth AS depth, r.analysis, r.version, r.labels,
  CAST(r.parameters AS TEXT) AS parameters, v.metric, v.value
FROM ({values}) AS v
JOIN runs r ON r.id = v.run_id
JOIN extractions e ON e.id = r.extraction_id
JOIN models m ON m.id = e.model_id
JOIN datasets d ON d.id = e.dataset_id
LEFT JOIN activations a ON a.extraction_id = r.extraction_id AND a.site = r.site
WHERE v.value IS NOT NULL
"""
# One arm a table, not a column: SQLite takes no more than 500.
ARM = """
SELECT t.run_id, t.item, n.column1 AS metric, CASE n.column1 {cases} END AS value
FROM "{table}" t CROSS JOIN (VALUES {names}) AS n
"""
NO_ARM = (
    "SELECT CAST(NULL AS BIGINT) AS run_id, CAST(NULL AS BIGINT) AS item, "
    "CAST(NULL AS TEXT) AS metric, CAST(NULL AS DOUBLE PRECISION) AS value"
)


def drop_views(connection: Connection) -> None:
    """Drop the views, so that what they show can be changed."""
    for name in VIEWS:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def make_views(connection: Connection) -> None:
    """Make all views anew."""
    drop_views(connection)
    others = OTHERS.get(connection.dialect.name, "CAST(r.inputs AS TEXT)")
    numbers = NUMBERS.get(connection.dialect.name, NUMBERS["sqlite"])
    for statement in (
        LATEST.format(others=others),
        MODEL_TAG,
        AUDIT_RUN.format(numbers=numbers),
        _metric(connection),
    ):
        connection.exec_driver_sql(statement)


def make_metric(connection: Connection) -> None:
    """Make the view `metric` anew, after a table of results has been added or widened."""
    connection.exec_driver_sql("DROP VIEW IF EXISTS metric")
    connection.exec_driver_sql(_metric(connection))


def _metric(connection: Connection) -> str:
    statement = sa.select(Catalog.sql_name, Catalog.columns).where(Catalog.name == SUMMARY)
    arms = list(_arms([(name, columns) for name, columns in connection.execute(statement)]))
    return METRIC.format(values=" UNION ALL ".join(sorted(arms) or [NO_ARM]))


def _arms(tables: list[tuple[str, list[dict[str, str]]]]) -> Iterator[str]:
    for table, columns in tables:
        chosen = {c["name"]: c["kind"] for c in columns if c["kind"] in NUMERIC}
        if chosen:
            cases = " ".join(f"WHEN '{c}' THEN {_number(c, k)}" for c, k in chosen.items())
            names = ", ".join(f"('{c}')" for c in chosen)
            yield ARM.format(table=table, cases=cases, names=names)


def _number(column: str, kind: str) -> str:
    found = f't."{column}"'
    if kind == "bool":  # PostgreSQL turns it into no double
        found = f"CASE WHEN {found} THEN 1 WHEN NOT {found} THEN 0 END"
    return f"CAST({found} AS DOUBLE PRECISION)"
