"""The table of landed events, written exactly once by compare-and-swap.

Where it has got to stands in its own log: each commit names, per partition of the topic, the offset up to which
messages have landed, as a transaction of Delta. delta-rs does not refuse the same transaction twice, but of two commits
from one version that name the same transaction it refuses the second. So a writer refreshes, compares the transaction
with where it believes to be, and commits from that very version: a consumer that another has overtaken is told so, and
a commit that was killed has either happened, with its offsets, or not. Upkeep commits in between and does no harm.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from retail_assets.lakehouse.contracts import of_source, table_name, written_schema
from retail_assets.lakehouse.delta_tables import LOG_RETENTION, Replacement
from retail_assets.streaming.landed_events import LandedEvents

COMMIT_TRIES = 50
COMMIT_PAUSE_SECONDS = 0.05
TOPIC_ID = "retail.topic."
"""Property of the table: which topic, by the broker's own id, is the one of this name."""

LOG_KEPT = "interval 7 days"
"""A commit a second would be millions of entries by the time that other tables forget theirs."""


class StreamRefused(Exception):
    """The stream cannot go on; the message says what is wrong, with the offsets, and what to do."""


class Fenced(StreamRefused):
    """Another consumer has landed what this one was about to."""


@dataclass(frozen=True)
class Moved:
    """A partition of a topic whose messages from `before` on, up to but without `after`, have landed by a commit."""

    topic_id: str
    topic: str
    partition: int
    before: int
    after: int

    @property
    def transaction(self) -> str:
        """By what its place is known in the table's log."""
        return transaction(self.topic, self.topic_id, self.partition)


def transaction(topic: str, topic_id: str, partition: int) -> str:
    """By what the place of a partition is known: a topic that was made anew has another id, and begins anew."""
    return f"kafka:{topic}:{topic_id}:{partition}"


class EventLog:
    """The landed events of one source, below the root of a lakehouse on a disk."""

    def __init__(self, root: str, source: str) -> None:
        self.contract = of_source(LandedEvents, source)
        self._root = root.rstrip("/")
        self.place = "/".join([self._root, *table_name(self.contract)])
        self._table: Any = None

    def exists(self) -> bool:
        """Whether anything was ever landed."""
        from deltalake import DeltaTable

        return bool(DeltaTable.is_deltatable(self.place))

    def create(self) -> None:
        """Creates the table if there is none."""
        from retail_assets.lakehouse.path_tables import PathTables

        if self.exists():
            return
        tables = PathTables(cast(Any, None), self._root)  # no rows go through an engine
        schema = written_schema(self.contract)
        tables.prepare(Replacement(table_name(self.contract), "event_day", [], "event_month", schema))
        self._fresh().alter.set_table_properties({LOG_RETENTION: LOG_KEPT})

    def schema(self) -> pa.Schema:
        """Of the rows that are appended."""
        return pa.schema(self._fresh().schema().to_arrow())

    def position(self, topic: str, topic_id: str, partition: int) -> int | None:
        """The offset of the first message of a partition that has not landed; None where none ever has."""
        found = self._fresh().transaction_version(transaction(topic, topic_id, partition))
        return None if found is None else int(found)

    def topic_id(self, topic: str) -> str | None:
        """The id of the topic whose messages have landed under this name."""
        return cast("str | None", self._fresh().metadata().configuration.get(TOPIC_ID + topic))

    def keep_topic_id(self, topic: str, topic_id: str) -> None:
        """From now on messages of this name are those of the topic of this id."""
        self._fresh().alter.set_table_properties({TOPIC_ID + topic: topic_id}, raise_if_not_exists=False)

    def append(self, rows: pa.Table, moved: list[Moved]) -> None:
        """Appends rows and moves the partitions in one commit. Raises Fenced where a partition is no longer where it
        was `before`."""
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import CommitFailedError

        properties = CommitProperties(
            app_transactions=[Transaction(each.transaction, each.after) for each in moved],
            custom_metadata={"offsets": json.dumps(_ranges(moved))},
        )
        for _ in range(COMMIT_TRIES):
            table = self._fresh()
            self._compare(table, moved)
            try:
                if rows.num_rows:
                    write_deltalake(table, rows, mode="append", commit_properties=properties)
                else:
                    table.create_write_transaction([], "append", table.schema(), ["event_month"], None, properties)
            except CommitFailedError:  # of another consumer, as the next look shows, or of upkeep
                time.sleep(COMMIT_PAUSE_SECONDS)
            else:
                return
        raise StreamRefused(
            f"{self.place}: {COMMIT_TRIES} times another writer's commit came in between. What was read is not lost: "
            "it is read again by the next retail stream, once the table is not written to so often."
        )

    def _compare(self, table: Any, moved: list[Moved]) -> None:
        for each in moved:
            found = table.transaction_version(each.transaction)
            if found is not None and found != each.before:
                raise Fenced(
                    f"{each.topic}/{each.partition}: another consumer has landed messages up to offset {found}, and "
                    f"this one was at {each.before}. Nothing was landed twice. Let only one retail stream run for "
                    f"{self.place}; to go on with this one, stop the other and start it again."
                )

    def _fresh(self) -> Any:
        from deltalake import DeltaTable

        if self._table is None:
            self._table = DeltaTable(self.place)
        else:
            self._table.update_incremental()
        return self._table


def _ranges(moved: list[Moved]) -> Mapping[str, list[int]]:
    return {f"{each.topic}/{each.partition}": [each.before, each.after - 1] for each in moved}
