"""What a contestant arrived at, and whether it is right: a fast wrong answer is no answer."""

import json
from decimal import Decimal
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from benchmarks.datasets import History

COMPARED = ("clean_rows", "customers", "monetary")


def printed_figures(log: Path) -> dict[str, object]:
    """The figures a baseline printed as its last line of JSON."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("{")]
    figures = json.loads(lines[-1])
    return {**figures, "monetary": Decimal(figures["monetary"])}


def figures_of_tables(lakehouse: Path) -> dict[str, object]:
    """The same figures from the product's tables, read by engines that share no code with what wrote them."""
    source = lakehouse / "online_retail"
    with duckdb.connect() as database:
        for table in ("clean_transactions", "customer_rfm"):
            database.register(table, DeltaTable(str(source / table)).to_pyarrow_dataset())
        rows = database.execute("SELECT count(*) FROM clean_transactions").fetchall()[0][0]
        customers, monetary = database.execute(
            "SELECT count(*), sum(monetary) FROM customer_rfm"
            " WHERE as_of_date = (SELECT max(as_of_date) FROM customer_rfm)"
        ).fetchall()[0]
    return {"clean_rows": rows, "customers": customers, "monetary": monetary}


def differences(figures: dict[str, object], history: History) -> list[str]:
    """One sentence for each figure that is not the reference figure; nothing where none is known."""
    return [
        f"{name} is {figures[name]}, not {history.figures[name]}"
        for name in COMPARED
        if name in history.figures and figures[name] != history.figures[name]
    ]
