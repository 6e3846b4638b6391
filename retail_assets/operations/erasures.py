"""erasures: who was forgotten, known by a keyed hash alone, and what became of it.

Written by the job `forget`. It lies beside Dagster's storage, in the local lakehouse.
"""

import hmac
import os
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetSpec,
    asset_check,
)

from retail_assets.lakehouse.asset_metadata import asset_key, named_columns, written_asset
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Moment,
    Text,
    Texts,
    column,
    spark_schema,
    table_name,
)
from retail_assets.lakehouse.layers import QUALITY

UNDER_WAY, COMPLETE, LEFT = "under way", "complete", "left"
KEY_FILE = ".erasures.key"
"""In the lakehouse, where no RETAIL_PSEUDONYM_KEY is set: the key of the hashes, made once."""

NOTHING_LEFT = "nothing_left"


class Erasures(Contract):
    """One row per person who was forgotten, by source: when, what was touched, and what the search for them found.

    A person is known by a keyed hash of the id (HMAC-SHA256), so that a file that brings the person again is noticed.
    """

    source: Text = column("Source whose customer it was")
    person: Text = column("HMAC-SHA256 of the source and the id, by RETAIL_PSEUDONYM_KEY or the lakehouse's own key")
    status: Text = column("How far it is", isin=[UNDER_WAY, COMPLETE, LEFT])
    begun_at: Moment = column("When it was begun", unit="UTC")
    ended_at: Moment = column("When the search for the person ended", unit="UTC", nullable=True)
    last_version_gone_at: Moment = column("When the last old version of a table went", unit="UTC", nullable=True)
    drops: Count = column("Drops that were written anew, for all who were forgotten together", ge=0)
    lines: Count = column("Lines of these that went or lost the person, for all together", ge=0)
    tables: Texts = column("Tables of which old versions went, rows were written anew, or both")
    places_left: Texts = column("Files in which an id is left")

    class Config:
        unique = ["source", "person"]


KEY = asset_key(Erasures)


def place(lakehouse: str) -> Path:
    """Where the table lies."""
    return Path(lakehouse, *table_name(Erasures))


def key_of_hashes(lakehouse: str, pseudonym_key: str | None) -> bytes:
    """The secret key; it is made where there is none."""
    if pseudonym_key:
        return pseudonym_key.encode()
    path = Path(lakehouse, KEY_FILE)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{KEY_FILE}.{os.getpid()}")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        part.replace(path)
    return path.read_text(encoding="ascii").encode()


def person(key: bytes, source: str, identifier: str) -> str:
    """What a person is known by."""
    return hmac.new(key, f"{source}\0{identifier}".encode(), sha256).hexdigest()


def rows(lakehouse: str) -> list[dict[str, Any]]:
    """The table, as far as there is one."""
    from deltalake import DeltaTable

    at = str(place(lakehouse))
    return list(DeltaTable(at).to_pyarrow_table().to_pylist()) if DeltaTable.is_deltatable(at) else []


def keep(lakehouse: str, told: Sequence[dict[str, Any]]) -> int:
    """Puts rows in the place of those of the same people; the table's version then."""
    import pyarrow as pa
    from deltalake import DeltaTable, Schema, write_deltalake

    at, schema = str(place(lakehouse)), Schema.from_json(spark_schema(Erasures).json())
    kept = {(row["source"], row["person"]): row for row in (*rows(lakehouse), *told)}
    DeltaTable.create(at, schema, mode="ignore", name=table_name(Erasures)[1])
    data = pa.Table.from_pylist(list(kept.values()), pa.schema(schema.to_arrow()))
    write_deltalake(at, data, mode="overwrite")
    return int(DeltaTable(at).version())


def told(source: str, people: Iterable[str], status: str, begun: datetime, **known: Any) -> list[dict[str, Any]]:
    """A row for each of the people."""
    empty: dict[str, Any] = {
        "ended_at": None,
        "last_version_gone_at": None,
        "drops": 0,
        "lines": 0,
        "tables": [],
        "places_left": [],
    }
    return [{"source": source, "person": one, "status": status, "begun_at": begun, **empty, **known} for one in people]


def come_back(lakehouse: str, pseudonym_key: str | None, source: str, ids: Collection[str]) -> int:
    """How many of these customers were forgotten before."""
    forgotten = {row["person"] for row in rows(lakehouse) if row["source"] == source and row["status"] != UNDER_WAY}
    if not forgotten:
        return 0
    key = key_of_hashes(lakehouse, pseudonym_key)
    return sum(person(key, source, one) in forgotten for one in ids)


def erasures_asset() -> AssetSpec:
    """The table in the graph. It has no step of its own, and no partitions."""
    return written_asset(Erasures, QUALITY, named_columns(Erasures))


def nothing_left_check(lakehouse: str) -> AssetChecksDefinition:
    """What the last search for each of the people came to."""

    @asset_check(
        asset=KEY,
        name=NOTHING_LEFT,
        description="Of nobody who was forgotten is an id left in any stored file; the job forget searches them all",
    )
    def check(context: AssetCheckExecutionContext) -> AssetCheckResult:
        return verdict(rows(lakehouse))

    return check


def verdict(found: Sequence[dict[str, Any]]) -> AssetCheckResult:
    """Of the whole table."""
    left = sorted({path for row in found for path in row["places_left"]})
    return AssetCheckResult(
        passed=not left and all(row["status"] == COMPLETE for row in found),
        check_name=NOTHING_LEFT,
        asset_key=KEY,
        metadata={
            "forgotten": sum(row["status"] == COMPLETE for row in found),
            "under_way": sum(row["status"] == UNDER_WAY for row in found),
            "places_left": left[:100],
        },
    )
