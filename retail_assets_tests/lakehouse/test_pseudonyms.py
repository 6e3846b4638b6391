"""Pseudonyms are real HMACs, the same everywhere, and gold holds nothing else."""

import hmac
from hashlib import sha256
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import Contract, Day, Text, column, partition
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.pseudonyms import key_of, pseudonym, pseudonymised
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import same_window
from retail_assets.settings import Settings
from retail_assets_tests.lakehouse.shop import Sales, daily
from retail_assets_tests.lakehouse.test_table import DAYS, FIRST_DAY, SALES, Shop, sold
from retail_assets_tests.workbench import Workbench, line

KEY = "a key of more than thirty-two characters"
SEVEN = hmac.new(key_of(KEY, "shop").encode(), b"7", sha256).hexdigest()
"""The pseudonym of customer 7 of the shop."""


@pytest.mark.parametrize("key", [KEY, "k" * 64, "longer than SHA-256's block, which is 64 bytes " * 3, "schlüssel" * 5])
def test_a_pseudonym_is_the_hmac_that_python_makes(spark: SparkSession, key: str):
    ids = ["13085", "", "Zoë", "12346.0"]
    made = spark.createDataFrame([(i,) for i in ids], "customer_id string").select(pseudonym(key, F.col("customer_id")))
    assert [row[0] for row in made.collect()] == [hmac.new(key.encode(), i.encode(), sha256).hexdigest() for i in ids]


def test_no_customer_stays_no_customer_and_other_columns_stay_as_they_are(spark: SparkSession):
    rows = spark.createDataFrame([("1", None), ("2", "13085")], "invoice_no string, customer_id string")
    first, second = pseudonymised(rows, KEY, ["customer_id"]).orderBy("invoice_no").collect()
    assert (first.invoice_no, first.customer_id, second.invoice_no) == ("1", None, "2")
    assert len(second.customer_id) == 64
    unconcerned = rows.select("invoice_no")
    assert pseudonymised(unconcerned, KEY, ["customer_id"]) is unconcerned


def test_another_source_has_another_key_from_which_neither_follows():
    assert key_of(KEY, "shop") == hmac.new(KEY.encode(), b"shop", sha256).hexdigest()
    assert len({key_of(KEY, "shop"), key_of(KEY, "boxes"), key_of("k" * 40, "shop"), KEY}) == 4


class Tickets(Contract):
    """Every ticket there was."""

    __module__ = "lake.shop.tickets"

    ticket: Text = column("Number of the ticket", origin=(Sales, "ticket"))
    day: Day = partition("Day", origin=(Sales, "day"))


@table(Tickets, daily, layer=GOLD, reads={"sold": (Sales, same_window)})
def tickets(sold: DataFrame) -> DataFrame:
    """As they were sold."""
    return sold.select("ticket", "day")


@pytest.mark.parametrize(
    ("groups", "expected"),
    [(["gold"], SEVEN), (["gold", "silver"], "7"), (["ml"], "7")],
    ids=["gold", "both", "neither"],
)
def test_ids_are_swapped_where_a_table_of_the_groups_reads_one_that_is_of_none(
    spark: SparkSession, tmp_path: Path, groups: list[str], expected: str
):
    shop = Shop(spark, tmp_path, pseudonym_key=KEY, id_columns=["ticket"], pseudonymous_layers=groups)
    shop.assets.append(tickets.asset(FIRST_DAY))
    shop.till.rows = [sold("7", DAYS[0])]
    assert shop.run(DAYS[0]).success
    assert shop.rows(SALES, "ticket") == [("7",)]
    assert shop.rows(tickets.key, "ticket") == [(expected,)]
    shop.instance.dispose()


@pytest.mark.long
def test_gold_holds_pseudonyms_only_and_every_check_still_agrees_with_silver(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
):
    customers = [str(12000 + n) for n in range(40)]
    for day in ("2010-12-31", "2011-01-01"):
        workbench.drop(
            day,
            [
                line(invoice=f"{500000 + n}", customer=customer, when=f"{day} 10:00:00", quantity=1 + n % 7)
                for n, customer in enumerate(customers)
            ],
        )
    monkeypatch.setenv("RETAIL_PSEUDONYM_KEY", KEY)
    workbench.environment["RETAIL_ONLINE_RETAIL_LAST_DAY"] = "2011-01-01"
    workbench.settings = Settings.read({**workbench.environment, "RETAIL_PSEUDONYM_KEY": KEY})

    silver = ["raw_invoices", "quarantined_invoices", "clean_transactions", "customer_month_activity"]
    summary = workbench.run([*silver, "customer_rfm", "geo_metrics"])

    assert summary.succeeded, summary.failures
    assert sum(table.failed for table in summary.tables.values()) == 0
    assert {row[0] for row in workbench.table("customer_month_activity").select("customer_id").collect()} == set(
        customers
    )
    own = key_of(KEY, "online_retail")
    expected = {hmac.new(own.encode(), customer.encode(), sha256).hexdigest() for customer in customers}
    scored = [row[0] for row in workbench.table("customer_rfm").select("customer_id").collect()]
    assert (len(scored), set(scored)) == (2 * len(customers), expected), "both months"
    (newest,) = workbench.table("geo_metrics").filter("snapshot_month = DATE'2011-01-01'").collect()
    assert (newest.customers, newest.new_customers) == (40, 0), "found again from a silver table joined to another"
