"""What Dagster and its UI are told of a table, from its contract alone: key, layout, column schema, column lineage."""

import inspect
from collections.abc import Callable
from typing import Any

from dagster import (
    AssetKey,
    AssetSpec,
    CodeReferencesMetadataValue,
    LocalFileCodeReference,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
)

from retail_assets.lakehouse.contracts import (
    Contract,
    Origin,
    column_in_role,
    described,
    origins,
    partition_column,
    rules,
    spark_schema,
    table_name,
    unique_key,
)
from retail_assets.lakehouse.layers import Layer
from retail_assets.lakehouse.lineage_picture import lineage_shown
from retail_assets.partitions.keys import DIRECTORY, PARTITION


def asset_key(contract: type[Contract]) -> AssetKey:
    """The asset key of a table."""
    return AssetKey(list(table_name(contract)))


def pool_of(key: AssetKey) -> str:
    """The pool of all that writes a table: one at a time, as Delta on a local file system needs it."""
    return f"write_{'_'.join(key.path)}"


def layout(contract: type[Contract]) -> dict[str, str]:
    """How the table lies on disk, as the I/O manager wants to know it."""
    directory = column_in_role(contract, "directory")
    return {PARTITION: partition_column(contract)} | ({DIRECTORY: directory} if directory else {})


def definition_metadata(contract: type[Contract], build: Callable[..., Any]) -> dict[str, Any]:
    """What the UI shows of a table before it was ever made: its layout, name, columns, and where its code is."""
    source, line = inspect.getsourcefile(build), inspect.getsourcelines(build)[1]
    return {
        **layout(contract),
        **named_columns(contract),
        **lineage_shown(contract),
        "dagster/code_references": CodeReferencesMetadataValue(
            code_references=[
                LocalFileCodeReference(file_path=str(source), line_number=line, label=f"{table_name(contract)[1]}.py")
            ]
        ),
    }


def written_asset(contract: type[Contract], layer: Layer, metadata: dict[str, Any]) -> AssetSpec:
    """A table in the graph that no step of its own makes: others write it. It has no partitions."""
    return AssetSpec(
        asset_key(contract),
        description=inspect.getdoc(contract),
        group_name=layer.name,
        kinds={"delta"},
        owners=[layer.owner],
        metadata=metadata,
    )


def named_columns(contract: type[Contract]) -> dict[str, Any]:
    """A table's name and its columns, for the UI."""
    return {
        "dagster/table_name": ".".join(table_name(contract)),
        "dagster/column_schema": column_schema(contract),
    }


def column_schema(contract: type[Contract]) -> TableSchema:
    """Columns with types, descriptions, origins and constraints, for the Dagster UI: of itself it shows the lineage of
    columns in Dagster+ only (see `lineage_picture`)."""
    by_column: dict[str, list[str]] = {}
    for rule in rules(contract):
        if rule.column and not rule.name.endswith("_not_null"):
            by_column.setdefault(rule.column, []).append(rule.description.split(": ", 1)[1])
    key = set(unique_key(contract))
    made_from = origins(contract)
    return TableSchema(
        [
            TableColumn(
                item.name,
                item.dataType.simpleString(),
                described(contract, item.name) + _origins(made_from[item.name]),
                TableColumnConstraints(
                    nullable=item.nullable, unique=key == {item.name}, other=by_column.get(item.name, [])
                ),
            )
            for item in spark_schema(contract)
        ]
    )


def _origins(made_from: list[Origin]) -> str:
    tables = [f"{table_name(origin)[1]}: {', '.join(sources)}" for origin, *sources in made_from]
    return f" (from {'; '.join(tables)})" if tables else ""


def column_lineage(contract: type[Contract]) -> TableColumnLineage:
    """Which columns of which tables each column is made from, as the contract states."""
    return TableColumnLineage(
        {
            name: [TableColumnDep(asset_key(origin), source) for origin, *sources in made_from for source in sources]
            for name, made_from in origins(contract).items()
            if made_from
        }
    )
