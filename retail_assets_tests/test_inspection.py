"""Looking at quality: what is in quarantine and why, how it is mended upstream, and what a table's columns hold."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from dagster import AssetKey
from deltalake import write_deltalake

from retail_assets.inspection import profile, quarantine
from retail_assets.lakehouse.contracts import Contract, Day, Integer, Money, Text, column, partition
from retail_assets.lakehouse.profile import ColumnProfile, profile_column, suggestions
from retail_assets.settings import Settings
from retail_assets_tests.made_shop import INVOICES
from retail_assets_tests.workbench import Workbench, line

FIRST, SECOND = "2011-01-04", "2011-01-05"
TABLES = [
    "raw_invoices",
    "quarantined_invoices",
    "clean_transactions",
    "bronze_daily_quality",
    "bronze_silver_comparison",
    "daily_counts",
]


def shown(settings: Settings, command, *arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), obj=settings, env={"COLUMNS": "250"})
    assert result.exit_code == 0, result.output
    return result.output


def test_a_quarantined_row_is_looked_at_corrected_upstream_and_replayed(workbench: Workbench):
    workbench.drop(FIRST, [line(), line("500002", quantity=-3), line("500003", price="cheap"), line("500004")])
    workbench.drop(SECOND, [line("500005", when=f"{SECOND} 09:00:00"), line("500006", when=f"{SECOND} 09:00:00")])
    assert workbench.run(TABLES, last=SECOND).succeeded

    everything = shown(workbench.settings, quarantine)
    assert "2 rows are in quarantine" in everything
    assert "negative_quantity" in everything
    assert "Negative without being a cancellation" in everything
    of_reason = shown(workbench.settings, quarantine, "--reason", "invalid_unit_price", "--day", FIRST)
    assert f"online_retail_{FIRST}.csv" in of_reason
    assert "500003" in of_reason
    assert "500002" not in of_reason
    assert "0 rows" in shown(workbench.settings, quarantine, "--day", SECOND)
    refused = CliRunner().invoke(quarantine, ["--reason", "ugly"], obj=workbench.settings)
    assert refused.exit_code == 2
    assert "There are: malformed_line" in refused.output

    def day(table: str, key: str) -> dict[str, object]:
        (row,) = workbench.table(table).filter(f"invoice_date = DATE'{key}'").collect()
        return row.asDict()

    quality = day("bronze_daily_quality", FIRST)
    wanted = {"records": 4, "files": 1, "unusable": 2, "bad_quantities": 1, "bad_prices": 1, "score": 50.0}
    assert {name: quality[name] for name in wanted} == wanted
    comparison = day("bronze_silver_comparison", FIRST)
    assert (comparison["bronze_value"], comparison["silver_value"]) == (Decimal("-2.550"), Decimal("5.100"))
    # 2.55 is between 2^1.25 and 2^1.5.
    assert comparison["order_values"] == {"5": 2}

    # Corrected upstream: the same drop, with the right quantity and price. Its day is due again, and no other.
    workbench.drop(FIRST, [line(), line("500002", quantity=3), line("500003", price="1.00"), line("500004")])
    again = workbench.run(TABLES, last=SECOND)
    made = {key: table.partitions for key, table in again.tables.items()}
    assert made[AssetKey(["online_retail", "clean_transactions"])] == {FIRST}
    assert made[AssetKey(["online_retail", "daily_counts"])] == {FIRST, SECOND}  # which is compared with the first
    assert workbench.table("quarantined_invoices").count() == 0
    assert workbench.table("clean_transactions").filter(f"invoice_date = DATE'{FIRST}'").count() == 4
    assert day("bronze_daily_quality", FIRST)["score"] == 100.0
    assert day("daily_counts", FIRST)["silver_rows"] == 4
    assert "0 rows are in quarantine" in shown(workbench.settings, quarantine)

    share = workbench.table("dq_results").filter(f"rule = 'quarantine_share' AND partition_key = '{FIRST}'")
    verdicts = [(row["status"], row["observed"], row["upper"]) for row in share.orderBy("evaluated_at").collect()]
    assert verdicts == [("failed", 0.5, 0.05), ("passed", 0.0, 0.05)]

    profiled = shown(workbench.settings, profile, "clean_transactions")
    assert "clean_transactions: 6 rows" in profiled
    assert "unit_price" in profiled
    unknown = CliRunner().invoke(profile, ["invoices"], obj=workbench.settings)
    assert unknown.exit_code == 2
    assert "No table is called invoices" in unknown.output


def test_a_table_that_is_not_there_yet_is_refused(workbench: Workbench):
    result = CliRunner().invoke(profile, ["raw_invoices"], obj=workbench.settings)
    assert result.exit_code == 2
    assert "There is no table at" in result.output


def test_what_landed_is_shown_as_it_landed_even_if_it_looks_like_markup(tmp_path: Path):
    settings = Settings.read({"RETAIL_LAKEHOUSE": str(tmp_path)})
    rows = pa.table(
        {
            **{name: pa.array([None] * 3, pa.string()) for name in INVOICES.columns},
            "description": ["MUG [damaged] :bug:", "SET [/x] OF 4", None],
            "malformed_line": [None, None, "500001,[red]MUG[/y]"],
            "reasons": [["invalid_quantity"], ["invalid_quantity"], ["malformed_line"]],
            "source_file": ["a [bold]_2011-01-04.csv"] * 3,
            "line_number": [2, 3, 4],
            "invoice_date": [date(2011, 1, 4)] * 3,
        }
    )
    write_deltalake(str(tmp_path / "online_retail" / "quarantined_invoices"), rows)
    in_quarantine = shown(settings, quarantine, "--day", FIRST)
    for text in ("MUG [damaged] :bug:", "SET [/x] OF 4", "500001,[red]MUG[/y]", "a [bold]_2011-01-04.csv"):
        assert text in in_quarantine
    profiled = shown(settings, profile, "quarantined_invoices")
    for text in ("MUG [damaged] :bug:", "SET [/x] OF 4"):
        assert text in profiled


# Profiles ------------------------------------------------------------------------------------------------------------


class Parcels(Contract):
    """Parcels, by day."""

    __module__ = "lake.shop.parcels"

    number: Text = column("Number", nullable=True)
    grams: Integer = column("Weight", nullable=True)
    price: Money = column("Price", ge=0)
    kind: Text = column("Kind", isin=["box", "bag", "tube"])
    state: Text = column("State")
    day: Day = partition("Day")


def profiled() -> list[ColumnProfile]:
    columns = {
        "number": pa.chunked_array([[f"AB{n:04}" for n in range(200)]]),
        "grams": pa.chunked_array([[None, *range(100, 299)]], pa.int32()),
        "price": pa.chunked_array([[Decimal(n).scaleb(-3) for n in range(200)]], pa.decimal128(18, 3)),
        "kind": pa.chunked_array([["box", "bag"] * 100]),
        "state": pa.chunked_array([["sent", "sent", "lost", "kept"] * 50]),
        "day": pa.chunked_array([[date(2011, 1, 4)] * 200]),
    }
    return [profile_column(name, values) for name, values in columns.items()]


def test_a_profile_tells_what_the_columns_hold():
    number, grams, price, kind, _, day = profiled()
    assert (number.rows, number.nulls, number.distinct, number.pattern) == (200, 0, 200, "[A-Z]{2}[0-9]{4}")
    assert (grams.nulls, grams.least, grams.most, grams.mean) == (1, 100, 298, 199.0)
    assert grams.quantiles == (109.9, 199.0, 288.1)
    assert (price.least, price.most) == (Decimal("0.000"), Decimal("0.199"))
    assert kind.common == (("bag", 100), ("box", 100))
    assert (day.least, day.distinct) == (date(2011, 1, 4), 1)


def test_rules_are_suggested_that_all_rows_keep_and_the_contract_does_not_ask_for():
    assert suggestions(profiled(), Parcels) == {
        "number": ["nullable=False", 'str_matches=r"^[A-Z]{2}[0-9]{4}$"', "unique"],
        "grams": ["ge=1"],
        "state": ["isin=['kept', 'lost', 'sent']"],
    }


@pytest.mark.parametrize("rows", [0, 99])
def test_of_few_rows_nothing_is_suggested(rows: int):
    few = [profile_column("number", pa.chunked_array([[f"{n:06}" for n in range(rows)]], pa.string()))]
    assert suggestions(few, Parcels) == {}
