"""Whose data are kept for longer than the shop says."""

from calendar import monthrange
from datetime import date
from pathlib import Path

CLEAN = "clean_transactions"


def overdue(source: Path, months: int, today: date) -> list[str]:
    """The customers of a source (the directory of its tables) whose last invoice line is older than so many months."""
    from deltalake import DeltaTable

    place = str(source / CLEAN)
    if not DeltaTable.is_deltatable(place):
        return []
    lines = DeltaTable(place).to_pyarrow_table(columns=["customer_id", "invoice_date"])
    last = lines.group_by("customer_id").aggregate([("invoice_date", "max")]).to_pylist()
    bound = months_before(today, months)
    return sorted(row["customer_id"] for row in last if row["customer_id"] and row["invoice_date_max"] < bound)


def months_before(day: date, months: int) -> date:
    """The same day so many months earlier, or the last of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
