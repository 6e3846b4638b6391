"""Twenty customers are forgotten, by a command that is killed at ten random points, and nothing of them is left."""

import hmac
import random
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from retail_assets.lakehouse.pseudonyms import key_of
from retail_assets.operations import erasures
from retail_assets_tests.operations.as_written import OF_A_YOUNG_HISTORY, all_rows
from retail_assets_tests.operations.command import RetailCommand, kill

KILLS, FORGOTTEN = 10, 20
OF_LINES = ["raw_invoices", "quarantined_invoices", "clean_transactions"]


def lines(lakehouse: Path, table: str) -> list[dict[str, Any]]:
    return list(DeltaTable(str(lakehouse / "online_retail" / table)).to_pyarrow_table().to_pylist())


def revenue(lakehouse: Path) -> Decimal:
    return sum((line["line_total"] for line in lines(lakehouse, "clean_transactions")), Decimal(0))


def of_others(lakehouse: Path, people: set[str]) -> dict[str, Counter[str]]:
    """Table -> rows of invoice lines that are none of these people's, nor nobody's."""
    found = {}
    for table in OF_LINES:
        rows = [row for row in lines(lakehouse, table) if row["customer_id"]]
        others = [row for row in rows if row["customer_id"].removesuffix(".0") not in people]
        moments = ("ingested_at", "quarantined_at")
        found[table] = Counter(repr([value for name, value in row.items() if name not in moments]) for row in others)
    return found


def places_left(directory: Path, people: set[str]) -> Iterator[str]:
    """Files in whose bytes, or in whose Parquet, one of the ids stands by itself: without our own search."""
    key = key_of(SECRETS["RETAIL_PSEUDONYM_KEY"], "online_retail")
    known_as = [*people, *(hmac.digest(key.encode(), one.encode(), "sha256").hex() for one in people)]
    pattern = rf"(^|[^0-9A-Za-z.])({'|'.join(known_as)})(\.0)?($|[^0-9A-Za-z.])"
    in_bytes = re.compile(pattern.encode())
    for path in sorted(directory.rglob("*")):
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            query = f"SELECT count(*) FROM read_parquet('{path}') rows WHERE regexp_matches(rows::VARCHAR, '{pattern}')"
            with duckdb.connect() as connection:
                found = connection.execute(query).fetchall()
            if found[0][0]:
                yield str(path)
        elif in_bytes.search(path.read_bytes()):
            yield str(path)


SECRETS = {
    "RETAIL_PSEUDONYM_KEY": "planted-key-that-nobody-may-ever-see",
    "RETAIL_POSTGRES_PASSWORD": "planted-word-of-postgres",
    "MLFLOW_TRACKING_PASSWORD": "planted-word-of-mlflow",
    "DATABRICKS_TOKEN": "planted-token-of-databricks",
    "ALERTS_SMTP_PASSWORD": "planted-word-of-mail",
}


def secrets_found(directory: Path) -> list[str]:
    """Files in which one of the secrets stands, with the secret's name."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    return [f"{name}: {path}" for path in files for name, word in SECRETS.items() if word.encode() in path.read_bytes()]


def some_customers(command: RetailCommand) -> set[str]:
    """Customers with purchases whose ids are no product's code, at random."""
    clean = lines(command.lakehouse, "clean_transactions")
    codes = {row["stock_code"] for row in clean} | {row["invoice_no"] for row in clean}
    known = sorted({row["customer_id"] for row in clean if row["customer_id"]} - codes)
    return set(random.Random(21).sample(known, FORGOTTEN))


@pytest.mark.long
def test_twenty_customers_are_forgotten_though_it_is_killed_ten_times(tmp_path: Path):
    command = RetailCommand(tmp_path / "shop")
    command.environment |= SECRETS
    assert command("generate", "--lines", "1500", "--days", "70", "--until", "2026-09-30").returncode == 0
    assert command("run").returncode == 0
    people = some_customers(command)
    assert len(list(places_left(command.directory, people))) > FORGOTTEN
    before, money = of_others(command.lakehouse, people), revenue(command.lakehouse)
    (command.directory / "ids.txt").write_text("\n".join(people))

    began, chance = time.monotonic(), random.Random(7)
    asked = ("forget", "--file", "ids.txt", "--yes")
    process, takes = command.start(*asked), 20.0
    for _ in range(KILLS):
        try:
            process.wait(chance.uniform(2, takes))
        except subprocess.TimeoutExpired:
            kill(process)
        else:  # it was done before it could be killed: the moments must be earlier
            takes = max(4.0, (time.monotonic() - began) / 2)
        began = time.monotonic()
        process = command.start(*asked)
        takes += 10  # a machine that is slow is given more
    assert process.wait() == 0, (command.directory / "command.log").read_text()[-3000:]
    assert command("forget").stdout == "Nobody is to be forgotten.\n"

    (command.directory / "ids.txt").unlink()
    assert list(places_left(command.directory, people)) == []
    assert revenue(command.lakehouse) == money
    assert of_others(command.lakehouse, people) == before
    told = erasures.rows(str(command.lakehouse))
    assert len(told) == FORGOTTEN
    assert {(row["status"], tuple(row["places_left"])) for row in told} == {("complete", ())}

    assert secrets_found(command.directory) == []

    # All tables are those of a shop to which nobody of them ever came.
    other = RetailCommand(tmp_path / "other")
    other.environment |= SECRETS
    shutil.rmtree(other.zone)
    shutil.copytree(command.zone, other.zone)
    assert other("run").returncode == 0
    assert all_rows(command.lakehouse, OF_A_YOUNG_HISTORY) == all_rows(other.lakehouse, OF_A_YOUNG_HISTORY)

    # And who comes again is told.
    drop = max(command.zone.glob("*.csv"))
    again = f"600001,85123A,BOX,1,{drop.stem[-10:]} 10:00:00,2.55,{sorted(people)[0]},United Kingdom\n"
    drop.write_text(drop.read_text() + again)
    time.sleep(6)  # a drop that changed a moment ago may still be written to
    told_again = command("run", "--select", "raw_invoices")
    assert "1 customers of online_retail are there again who were forgotten" in told_again.stdout + told_again.stderr
