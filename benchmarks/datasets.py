"""The histories that are measured: Online Retail II or generated data, times 1, 3, 10, made once and kept."""

import datetime
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from benchmarks.contestants import generate

REAL_HISTORY = Path(__file__).resolve().parents[2] / "shared" / "data" / "online_retail_ii" / "online_retail_ii.csv.gz"
REAL_ROWS = 1_067_371
CACHE = Path(tempfile.gettempdir()) / "retail-benchmarks"

# What the catalogue of tables states of the real data; copies multiply it.
REAL_CLEAN_ROWS, REAL_CUSTOMERS, REAL_MONETARY = 1_029_637, 5_853, Decimal("17068538.287")

# Real invoice numbers span 489,434–581,587 and customer ids 12,346–18,287. Ten copies of the invoices just fit into
# six digits, so a copy's numbers are as valid as the original's.
INVOICE_SPAN, CUSTOMER_SPAN, MOST_COPIES = 92_154, 10_000, 10


@dataclass(frozen=True)
class History:
    """One history as CSV files: all of it, all but its last day, its last day. `as_of` is the day after the last.

    `figures` are `clean_rows`, `customers` and `monetary` where they are known beforehand.
    """

    description: str
    rows: int
    whole: Path
    without_last_day: Path
    last_day: Path
    as_of: datetime.date
    figures: dict[str, int | Decimal]


def history(scale: int, generated: bool = False) -> History:
    """Writes the files unless an earlier call has. Raises ValueError for a scale the real data cannot be copied to."""
    real = REAL_HISTORY.exists() and not generated
    if real and not 1 <= scale <= MOST_COPIES:
        raise ValueError(f"The real rows can be copied up to {MOST_COPIES} times, not {scale}.")
    CACHE.mkdir(parents=True, exist_ok=True)
    stem = f"{'real' if real else 'generated'}-x{scale}"
    whole, without_last_day, last_day = (CACHE / f"{stem}{part}.csv" for part in ("", "-without-last-day", "-last-day"))
    with duckdb.connect() as database:
        database.execute("SET enable_progress_bar = false")
        if not whole.exists():
            _write(database, _copies(scale) if real else _generated(scale), whole)
        database.execute(f"CREATE VIEW history AS SELECT * FROM {_read(whole)}")
        date_column = next(name for (name, *_) in database.execute("DESCRIBE history").fetchall() if "Date" in name)
        day = f'try_cast("{date_column}" AS DATE)'
        rows, newest = database.execute(f"SELECT count(*), max({day}) FROM history").fetchall()[0]
        if not last_day.exists():
            is_last = f"coalesce({day} = DATE '{newest}', false)"
            _write(database, f"SELECT * FROM history WHERE NOT {is_last}", without_last_day)
            _write(database, f"SELECT * FROM history WHERE {is_last}", last_day)
    return History(
        description="Online Retail II" if real else "generated data",
        rows=rows,
        whole=whole,
        without_last_day=without_last_day,
        last_day=last_day,
        as_of=newest + datetime.timedelta(days=1),
        figures={
            "clean_rows": REAL_CLEAN_ROWS * scale,
            "customers": REAL_CUSTOMERS * scale,
            "monetary": REAL_MONETARY * scale,
        }
        if real
        else {},
    )


def _read(path: Path | str) -> str:
    return f"read_csv('{path}', header = true, all_varchar = true, union_by_name = true, ignore_errors = true)"


def _write(database: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Under another name first: what is in the cache is whole."""
    unfinished = path.with_suffix(".unfinished")
    database.execute(f"COPY ({query}) TO '{unfinished}' (FORMAT csv, HEADER true)")
    unfinished.rename(path)


def _copies(scale: int) -> str:
    """The real rows, on the same days, `scale` times; each copy with customers and invoices of its own."""
    invoice = f"(regexp_extract(Invoice, '[0-9]+$')::INTEGER + copy * {INVOICE_SPAN}) % 1000000"
    customer = f"regexp_extract(\"Customer ID\", '^[0-9]+')::INTEGER + copy * {CUSTOMER_SPAN}"
    return f"""
        SELECT * EXCLUDE (copy) REPLACE (
            regexp_replace(Invoice, '[0-9]+$', '') || lpad(({invoice})::VARCHAR, 6, '0') AS Invoice,
            ({customer}) || '.0' AS "Customer ID"
        )
        FROM (SELECT *, unnest(range({scale})) AS copy FROM {_read(REAL_HISTORY)})
        ORDER BY InvoiceDate, copy
    """


def _generated(scale: int) -> str:
    """Lets the product generate as many rows, and gathers the drops into one history."""
    landing = CACHE / f"generated-x{scale}-landing"
    environment = {
        **os.environ,
        "RETAIL_LANDING": str(landing),
        "RETAIL_LAKEHOUSE": str(CACHE / "unused"),
        "DAGSTER_HOME": str(CACHE / "dagster_home"),
    }
    subprocess.run(generate(REAL_ROWS * scale), env=environment, check=True, stdout=sys.stderr)
    return f"SELECT * FROM {_read(f'{landing}/online_retail/**/*.csv*')}"
