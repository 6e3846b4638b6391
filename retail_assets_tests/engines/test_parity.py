"""Every table is the same, whichever engine made it, and whichever continued what the other began."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import land
from retail_assets_tests.engines.lakehouses import Shop, differences, generated
from retail_assets_tests.made_shop import INVOICES

pytestmark = pytest.mark.jvm  # the embedded engine in a process of its own, beside this one

SAMPLE = [
    *("raw_invoices", "quarantined_invoices", "clean_transactions", "bronze_daily_quality", "bronze_silver_comparison"),
    *("daily_counts", "daily_metrics", "customer_month_activity", "customer_rfm", "monthly_activity", "geo_metrics"),
    *("product_metrics", "category_metrics", "product_affinities"),
]
"""Tables that engines compute; what models are made of them is compared in the long run."""


@dataclass(frozen=True)
class Asked:
    """What is made: a first part up to `middle`, by one engine, and the rest by the other."""

    middle: date
    last: date
    tables: Sequence[str] = ()


def in_turns(directory: Path, spark: SparkSession, asked: Asked, landed: Callable[[Path], object]) -> tuple[Path, Path]:
    """Two lakehouses of what has `landed`: one that this engine began and the other continued, one the other way round.
    Each engine makes a part while the other makes the same part elsewhere."""
    first, second = (Shop(directory / name, spark, str(asked.last)) for name in ("first", "second"))
    for shop in (first, second):
        landed(shop.zone)
    with ThreadPoolExecutor(1) as beside:
        begun = beside.submit(second.elsewhere, str(asked.middle), asked.tables)
        first.here(str(asked.middle), asked.tables)
        begun.result()
        ended = beside.submit(first.elsewhere, None, asked.tables)
        second.here(None, asked.tables)
        ended.result()
    return first.lakehouse, second.lakehouse


def test_a_lakehouse_is_the_same_whichever_engine_made_it(tmp_path: Path, spark: SparkSession):
    last = date(2011, 2, 20)
    first, second = (Shop(tmp_path / name, spark, str(last)) for name in ("first", "second"))
    for shop in (first, second):
        generated(shop.zone, 600, 34, last)
    with ThreadPoolExecutor(1) as beside:
        made = beside.submit(second.elsewhere, None, SAMPLE)
        first.here(None, SAMPLE)
        made.result()
    assert differences(first.lakehouse, second.lakehouse) == {}


@pytest.mark.long
def test_a_lakehouse_is_the_same_whichever_engine_began_it(tmp_path: Path, spark: SparkSession):
    asked = Asked(date(2011, 2, 4), date(2011, 2, 20), SAMPLE)
    assert differences(*in_turns(tmp_path, spark, asked, lambda zone: generated(zone, 600, 34, asked.last))) == {}


@pytest.mark.long
def test_every_table_of_a_generated_shop_is_the_same(tmp_path: Path, spark: SparkSession):
    asked = Asked(date(2011, 7, 10), date(2011, 8, 20))
    assert differences(*in_turns(tmp_path, spark, asked, lambda zone: generated(zone, 6_000, 250, asked.last))) == {}


@pytest.mark.long
def test_every_table_of_the_published_data_is_the_same(tmp_path: Path, spark: SparkSession, real_data: Path):
    asked = Asked(date(2011, 3, 15), date(2011, 12, 9))

    def landed(zone: Path) -> None:
        land([real_data / "online_retail_ii" / "online_retail_ii.csv.gz"], LandingZone(str(zone.parent)), INVOICES)

    assert differences(*in_turns(tmp_path, spark, asked, landed)) == {}
