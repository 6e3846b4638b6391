"""The data dictionary: every table, column, rule and check in words, from the contracts alone."""

from collections.abc import Iterable

from retail_assets.lakehouse.contracts import described, origins, rules, spark_schema, table_name
from retail_assets.lakehouse.results_table import ResultsTable
from retail_assets.lakehouse.table import Table


def data_dictionary(tables: Iterable[Table | ResultsTable]) -> str:
    """Markdown of all tables, in the order given."""
    head = "# Data dictionary\n\nWritten by `retail dictionary` from the contracts; a test holds it current.\n"
    return "\n".join([head, *map(_section, tables)])


def _section(table: Table | ResultsTable) -> str:
    contract = table.contract
    made_from = origins(contract)
    read = ", ".join(f"`{'.'.join(table_name(upstream))}`" for upstream, _ in table.reads.values())
    lines = [
        f"## {'.'.join(table_name(contract))}",
        "",
        str(contract.__doc__).strip().replace("\n    ", "\n"),
        "",
        f"Group {table.layer.name}; {_source(table, read)}.",
        "",
        "| column | type | nullable | meaning | made from |",
        "| --- | --- | --- | --- | --- |",
    ]
    for field in spark_schema(contract):
        named = (
            f"{table_name(origin)[1]}.{source}" for origin, *sources in made_from[field.name] for source in sources
        )
        nullable = "yes" if field.nullable else "no"
        meaning = described(contract, field.name).replace("|", "\\|")
        lines.append(
            f"| `{field.name}` | {field.dataType.simpleString()} | {nullable} | {meaning} | {', '.join(named)} |"
        )
    across = [f"`{rule.name}` ({rule.description})" for rule in rules(contract) if rule.column is None]
    if across:
        lines += ["", f"Rules across columns: {'; '.join(across)}."]
    if table.checks:
        lines += ["", "| check | blocks | promise |", "| --- | --- | --- |"]
    lines += [f"| `{c.name}` | {'yes' if c.blocking else 'no'} | {c.promise} |" for c in table.checks]
    return "\n".join([*lines, ""])


def _source(table: Table | ResultsTable, read: str) -> str:
    if isinstance(table, ResultsTable):
        return table.told
    return f"reads {read or 'landed files'}"
