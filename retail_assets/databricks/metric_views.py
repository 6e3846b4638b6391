"""The metric layer as metric views of Unity Catalog: `SELECT month, MEASURE(revenue) FROM …clean_transactions_metrics`.

A view's comment ends with what its definition hashes to, so that one that is as it should be is left alone. Where the
catalog is not Unity Catalog's there are none.
"""

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256

from pyspark.sql import SparkSession

from retail_assets import metrics
from retail_assets.lakehouse.delta_tables import literal, quoted


def views_of(tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], metrics.Sheet]:
    """(source, view) -> the metrics that it has, of tables by source and name."""
    sheets = {sheet.table: sheet for sheet in metrics.SHEETS}
    return {(source, f"{name}{metrics.SCHEMA}"): sheets[name] for source, name in tables if name in sheets}


def view_statements(
    catalog: str, tables: Iterable[tuple[str, str]], comments: Mapping[tuple[str, str], str]
) -> list[str]:
    """The SQL that makes the views of these tables, (source, name), what they should be. `comments`: those of the views
    and tables that there are; what is not there yet is left for the next run, as its view is."""
    known, found = set(tables), []
    for (source, view), sheet in views_of(known).items():
        if (source, sheet.table) not in comments:
            continue
        place = f"{quoted(catalog)}.{quoted(source)}"
        name = f"{place}.{quoted(view)}"
        statement = metrics.metric_view(sheet, name, f"{place}.{quoted(sheet.table)}", replaced=True)
        comment = f"Figures of the trade over {sheet.table}. Definition {sha256(statement.encode()).hexdigest()[:12]}."
        if comments.get((source, view)) != comment:
            found += [statement, f"COMMENT ON TABLE {name} IS {literal(comment)}"]
    return found


def make_metric_views(spark: SparkSession, catalog: str, tables: Collection[tuple[str, str]]) -> list[str]:
    """Makes the views what they should be, and returns the statements it took."""
    schemas = ", ".join(literal(source) for source in sorted({source for source, _ in tables}))
    asked = (
        f"SELECT table_schema, table_name, comment FROM {quoted(catalog)}.information_schema.tables "
        f"WHERE table_schema IN ({schemas})"
    )
    comments = {(row.table_schema, row.table_name): row.comment or "" for row in spark.sql(asked).collect()}
    done = view_statements(catalog, tables, comments)
    for statement in done:
        spark.sql(statement)
    return done
