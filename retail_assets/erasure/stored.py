"""A person is taken out of what tables keep: old versions, their logs, and rows of results that name keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retail_assets.erasure.search import Ids, left_in

FORGOTTEN = "[forgotten]"
"""What stands in texts where an id was."""


def tables_below(lakehouse: Path) -> Iterator[Path]:
    """The tables that lie in a lakehouse."""
    yield from sorted(log.parent for log in lakehouse.glob("*/*/_delta_log") if log.is_dir())


def erase_from_table(place: Path, ids: Ids, is_made_anew: bool) -> bool:
    """Takes people out of all that a table keeps but its newest rows, and out of these unless they are made anew from
    drops. Whether there was anything.

    Old versions go as a whole, and the log up to now where it has an id in it. May be killed anywhere and done again.
    """
    from deltalake import DeltaTable

    table = DeltaTable(str(place))
    live = {Path(place, file.removeprefix("file://")).resolve() for file in table.file_uris()}
    found = [path for path in sorted(place.rglob("*")) if path.is_file() and any(True for _ in left_in(path, ids))]
    if not found:
        return False
    if not is_made_anew and any(path.resolve() in live for path in found):
        _write_anew(place, ids)
        table = DeltaTable(str(place))
    table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    if any(any(True for _ in left_in(path, ids)) for path in (place / "_delta_log").iterdir()):
        _shorten_log(place)
    return True


def _write_anew(place: Path, ids: Ids) -> None:
    from deltalake import DeltaTable, write_deltalake

    write_deltalake(str(place), _without(DeltaTable(str(place)).to_pyarrow_table(), ids), mode="overwrite")


def _without(table: Any, ids: Ids) -> Any:
    """An Arrow table with the ids struck out of its texts, also in lists."""
    import pyarrow as pa

    def struck(value: Any) -> Any:
        if isinstance(value, str):
            return ids.without(value, FORGOTTEN)
        return [struck(one) for one in value] if isinstance(value, list) else value

    for at, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type) or pa.types.is_list(field.type):
            values = pa.array([struck(value) for value in table.column(at).to_pylist()], field.type)
            table = table.set_column(at, field, values)
    return table


def _shorten_log(place: Path) -> None:
    """Leaves the log one checkpoint, of a commit that says nothing of rows, and removes what was before it."""
    from deltalake import DeltaTable

    table = DeltaTable(str(place))
    table.alter.set_table_properties(dict(table.metadata().configuration) or {"delta.appendOnly": "false"})
    table = DeltaTable(str(place))
    table.create_checkpoint()
    for path in (place / "_delta_log").iterdir():
        number = path.name.split(".")[0]
        if number.isdigit() and int(number) < table.version():
            path.unlink()


def revenue_of(place: Path, column: str) -> str | None:
    """The sum of a column of a table, as text; None where there is no such table."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(str(place)):
        return None
    values = DeltaTable(str(place)).to_pyarrow_table(columns=[column])[column]
    return str(pc.sum(values.cast(pa.decimal128(38, 3))).as_py() or 0)
