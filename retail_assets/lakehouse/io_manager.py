"""The Dagster I/O manager: Spark DataFrames to Delta tables and back, by partition.

An asset says by its definition metadata how its table is laid out: `partition_expr`, the DATE column that holds the
partition, and optionally `directory`, the column by which files are laid out. Writes replace the partitions of the run;
reads return the partitions that the asset's partition mapping asks for. Where no partition window can be built the
write is refused: the public Delta I/O manager overwrites the whole table in that case (dagster#34064).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from dagster import (
    ConfigurableIOManager,
    DataVersion,
    InputContext,
    MetadataValue,
    OutputContext,
    ResourceDependency,
)
from dagster_pyspark import LazyPySparkResource
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.catalog_tables import CatalogTables
from retail_assets.lakehouse.delta_tables import Commit, Staged, Tables, WriteRefused
from retail_assets.lakehouse.interrupts import interrupts_kept
from retail_assets.lakehouse.layers import LAYERS
from retail_assets.lakehouse.path_tables import PathTables
from retail_assets.lakehouse.pseudonyms import key_of, pseudonymised
from retail_assets.lakehouse.retries import verdicts_kept
from retail_assets.partitions.keys import PARTITION, as_days

COLUMNS = "dagster/column_schema"
DATA_VERSION_TAG = "dagster/data_version"


class NotMaterialized(Exception):
    """A table that is read before it was ever made; the message names it and says what to do."""


@dataclass(frozen=True)
class Publication:
    """What a table's step hands over: the rows staged for its partitions, what is to be remembered of where they are
    from, by partition key, in the same commit, and what is to be done between the commit and its being told to Dagster.
    `keys`: only these partitions of those that the rows were staged for."""

    staged: Staged
    provenance: Mapping[str, Any] = field(default_factory=dict)
    committed: Callable[[Commit], None] | None = None
    keys: Sequence[str] | None = None

    def publish(self) -> Commit:
        """Replaces the partitions and returns what the commit did."""
        commit = self.staged.publish(None if self.keys is None else as_days(self.keys), self.provenance)
        if self.committed:
            self.committed(commit)
        return commit


OPTIONAL = "optional"
"""Metadata of an input: where its table was not made yet, it has no rows."""


class DeltaIOManager(ConfigurableIOManager):
    """Stores each asset as a Delta table at `<root>/<asset key>`, or in a catalog as `<catalog>.<asset key>`.

    With a `pseudonym_key`, what tables of the `pseudonymous_layers` read of other tables has pseudonyms in place of the
    ids in `id_columns`.
    """

    pyspark: ResourceDependency[LazyPySparkResource]
    root: str
    catalog: str | None = None
    clustered: bool = False
    pseudonym_key: str | None = None
    id_columns: list[str] = []
    pseudonymous_layers: list[str] = [layer.name for layer in LAYERS if layer.pseudonymous]

    @property
    def tables(self) -> Tables:
        """The tables themselves, for what is not a partition's read or write."""
        if self.catalog:
            return CatalogTables(self.pyspark.spark_session, self.catalog, self.clustered)
        return PathTables(self.pyspark.spark_session, self.root)

    def staged(
        self,
        name: Sequence[str],
        layout: Mapping[str, Any],
        rows: DataFrame,
        keys: Sequence[str],
        schema: T.StructType | None = None,
    ) -> AbstractContextManager[Staged]:
        """Rows that are to replace the partitions `keys` of table `name`; see Tables.stage."""
        if PARTITION not in layout:
            raise WriteRefused(
                f"{'.'.join(name)}: its definition metadata has no {PARTITION!r}, so the partitions to replace are "
                "unknown and nothing was written. Declare the asset with @table, or name its partition column."
            )
        return self.tables.stage(name, rows, layout, as_days(keys), schema)

    @verdicts_kept()
    @interrupts_kept()
    def handle_output(self, context: OutputContext, obj: DataFrame | Publication) -> None:
        """Writes the partitions of this run; the Delta version becomes the data version."""
        if not context.has_asset_partitions:
            raise WriteRefused(
                f"{context.asset_key.to_user_string()} was run without a partition, so the partitions to replace are "
                "unknown and nothing was written. Give the run a partition or a range of partitions."
            )
        if isinstance(obj, Publication):
            commit = obj.publish()
        else:
            layout, name = dict(context.definition_metadata or {}), context.asset_key.path
            with self.staged(name, layout, obj, context.asset_partition_keys) as staged:
                commit = Publication(staged).publish()
        context.add_output_metadata(commit_metadata(commit, self.tables.place(context.asset_key.path)))
        context.step_context.set_data_version(context.asset_key, DataVersion(str(commit.version)))

    @verdicts_kept()
    @interrupts_kept()
    def load_input(self, context: InputContext) -> DataFrame:
        """The partitions that the partition mapping asks for; the whole table if the asset reads all of it.

        Metadata `delta_version` on the input reads the table as it was at that version.
        """
        version = (context.definition_metadata or {}).get("delta_version")
        upstream = context.upstream_output
        layout = dict(upstream.definition_metadata or {}) if upstream else {}
        if not self.tables.exists(context.asset_key.path):
            asked_for_nothing = context.has_asset_partitions and not context.asset_partition_keys
            optional = (context.definition_metadata or {}).get(OPTIONAL)
            if (asked_for_nothing or optional) and COLUMNS in layout:
                # It begins later than what reads it, or this does without it.
                columns = ", ".join(f"`{column.name}` {column.type}" for column in layout[COLUMNS].columns)
                return self.pyspark.spark_session.createDataFrame([], columns)
            raise NotMaterialized(
                f"{'.'.join(context.asset_key.path)} has not been materialized yet; there is no table at "
                f"{self.tables.place(context.asset_key.path)}. Materialize it first, or together with what reads it."
            )
        frame = self._partitions(context, layout, version)
        if self.pseudonym_key and _crosses_into(context, self.pseudonymous_layers):
            own = key_of(self.pseudonym_key, context.asset_key.path[0])
            frame = pseudonymised(frame, own, self.id_columns)
        return frame

    def _partitions(self, context: InputContext, layout: dict[str, Any], version: int | None) -> DataFrame:
        name = context.asset_key.path
        if not context.has_asset_partitions or PARTITION not in layout:
            return self.tables.read(name, version)
        keys = context.asset_partition_keys
        if not keys:
            return self.tables.read(name, version).filter(F.lit(False))
        return self.tables.read_partitions(name, layout[PARTITION], as_days(keys), version)


def _crosses_into(context: InputContext, groups: Sequence[str]) -> bool:
    """Whether a table of none of these groups is read by one of them."""
    reader, assets = context.step_context.assets_def, context.step_context.job_def.asset_layer.asset_graph
    if reader is None or assets.get(context.asset_key).group_name in groups:
        return False
    return any(group in groups for group in reader.group_names_by_key.values())


def commit_metadata(commit: Commit, path: str) -> dict[str, Any]:
    """What the Dagster UI shows of a write, without what is not known of it."""
    counts = {
        "dagster/row_count": commit.table_rows,
        "delta_version": commit.version,
        "rows_written": commit.rows,
        "files_written": commit.files,
        "bytes_written": commit.bytes,
    }
    return {
        "dagster/uri": path,
        **{name: MetadataValue.int(count) for name, count in counts.items() if count is not None},
        "write_seconds": MetadataValue.float(round(commit.seconds, 2)),
    }
