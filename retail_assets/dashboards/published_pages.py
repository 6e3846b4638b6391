"""Pages of a dashboard: composed of any source's sales and customers, held against its gold tables, and published."""

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
from dagster import MetadataValue
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.customers.actions import kept_share
from retail_assets.dashboards.dashboard_figures import TOP_RULES, figures, numbered, thousandths
from retail_assets.dashboards.dashboard_sums import ALL
from retail_assets.dashboards.this_week import of_page
from retail_assets.lakehouse.checks import RECONCILIATION, Evidence, Verdict, check
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Money,
    Text,
    column,
    money_of_real,
    of_source,
    partition,
    spark_schema,
    table_name,
)
from retail_assets.lakehouse.driver_rows import collected
from retail_assets.lakehouse.io_manager import DeltaIOManager
from retail_assets.lakehouse.table import Built
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.reports.charts import charts, picture, png
from retail_assets.reports.page import MOST_BYTES, Pages, charting_library, compose, embedded, publish


class PublishedPages(Contract):
    """One row per month: the page that was published for it, and the figures at its head.

    The page itself is a file of its own, `<source>-<yyyy-mm>.html` in the directory of dashboards. It needs nothing
    else: styles, script, charting library and figures are in it, and no network.
    """

    as_of_date: Day = column("First day after the month, but not later than the day after the newest drop")
    file: Text = column("Name of the page's file")
    bytes: Count = column("Size of the page", unit="bytes", gt=0, le=MOST_BYTES, of_the_writing=True)
    sha256: Text = column("SHA-256 of the page", str_matches="^[0-9a-f]{64}$", of_the_writing=True)
    customers: Count = column("Customers shown", ge=0)
    orders: Count = column("Orders of the month", ge=0)
    revenue: Money = column("Revenue of the month", unit=CURRENCY, ge=0)
    returns_value: Money = column("Returns of the month", unit=CURRENCY)
    snapshot_month: Day = partition("First day of the month")

    class Config:
        unique = ["snapshot_month"]


_DAILY = ("orders", "units", "revenue", "returns")


def differences(shown: Mapping[str, Any], gold: Mapping[str, pd.DataFrame], month: date) -> Iterator[str]:
    """Where the figures in a page are not those of the gold tables; money in thousandths of the currency.

    `gold`: daily (by `day`), geography (by `country`, of the month) and rfm (by `segment`).
    """
    sold = _sales_shown(shown)
    first = str(month)
    for name, ours, theirs in (
        ("daily_metrics", sold.groupby("day")[list(_DAILY)].sum(), gold["daily"].set_index("day")),
        (
            "geo_metrics",
            _of_countries(sold[sold["day"] >= first]).groupby("country")[list(_DAILY)].sum(),
            gold["geography"].set_index("country"),
        ),
        ("customer_rfm", _segments_shown(shown), gold["rfm"].set_index("segment")),
    ):
        both = ours.add_suffix(" shown").join(theirs, how="outer").fillna(0)
        for column_name in (name for name in ours.columns if name in theirs.columns):
            wrong = both[both[f"{column_name} shown"] != both[column_name]]
            for key, row in wrong.head(3).iterrows():
                yield f"{name} {key} {column_name}: {row[f'{column_name} shown']:.0f}, not {row[column_name]:.0f}"


def _of_countries(sold: pd.DataFrame) -> pd.DataFrame:
    return sold.assign(orders=sold["orders"] + sold["further"])


def _sales_shown(shown: Mapping[str, Any]) -> pd.DataFrame:
    sold = pd.DataFrame({name: shown["sales"][name] for name in ("day", *_DAILY, "further", "country")}, dtype="int64")
    days = pd.Timestamp(shown["first_day"] or shown["as_of"]) + pd.to_timedelta(sold["day"].cumsum(), unit="D")
    countries = [shown["countries"][place]["name"] for place in sold["country"]]
    return sold.assign(country=countries, day=days.dt.strftime("%Y-%m-%d"))


def _segments_shown(shown: Mapping[str, Any]) -> pd.DataFrame:
    profiles = pd.DataFrame(shown["profiles"])
    names = [shown["segments"][number]["name"] for number in profiles["segment"]]
    everywhere = profiles.assign(segment=names)[profiles["country"] == ALL]
    return everywhere.set_index("segment")[["customers", "monetary"]]


@check(
    "The page's figures, read back from it, are those of daily_metrics (every day), geo_metrics (every country) and "
    "customer_rfm (every segment), to the last decimal; a page for which they are not is not written",
    name="figures",
    family=RECONCILIATION,
)
def figures_are_the_tables(month: Evidence) -> Verdict:
    """What `differences` found, up to three of each figure."""
    wrong: list[str] = month.found("differences") or []
    told = f"{len(wrong)} figures differ: {'; '.join(wrong)}" if wrong else ""
    return Verdict.within(len(wrong), told, upper=0, metadata={"differences": wrong} if wrong else {})


@dataclass(frozen=True)
class Shown:
    """What pages are made of. `asked`: rows of all months, by name as `Sources` has them. `by_day` and `by_country`:
    gold's orders, units, revenue and returns, of every day and of the window's months, as far as gold has them."""

    asked: Mapping[str, DataFrame]
    by_day: DataFrame
    by_country: DataFrame


_OF_CUSTOMERS = ("snapshot_month", "customer_id", "country", "rfm_segment", "recency_days", "frequency")


def of_customers(
    rfm: DataFrame, summary: DataFrame, churn: DataFrame, clv: DataFrame, actions: DataFrame
) -> dict[str, DataFrame]:
    """What is asked of the tables that any source has of its customers."""
    return {
        "rfm": rfm.select(*_OF_CUSTOMERS, thousandths("monetary").alias("monetary"), kept_share().alias("kept")),
        "actions": of_page(actions),
        "summary": summary.withColumn("revenue", thousandths("revenue")),
        "churn": churn.select("snapshot_month", "customer_id", "churn_probability"),
        "clv": clv.select(
            "snapshot_month",
            "customer_id",
            "probability_alive",
            thousandths(money_of_real(F.col("clv_12m"))).alias("value"),
        ).filter("probability_alive IS NOT NULL"),
    }


def of_products(products: DataFrame, categories: DataFrame, affinities: DataFrame) -> dict[str, DataFrame]:
    """What is asked of tables of products."""
    return {
        "products": products.withColumn("revenue", thousandths("revenue")),
        "categories": categories.withColumn("revenue", thousandths("revenue")),
        "affinities": affinities.filter(F.col("rule_rank") <= TOP_RULES),
    }


def published(shown: Shown, as_of: Mapping[date, date], window: PartitionWindow, pages: Pages, page: "About") -> Built:
    """Composes the window's pages on the driver, and publishes those whose figures are the tables'."""
    spark = shown.by_day.sparkSession
    rows, found, metadata = [], {}, {}
    with ThreadPoolExecutor(max_workers=1) as beside:  # draws while Spark computes and while pages are composed
        charting = beside.submit(_charting)
        rows_of = collected({**shown.asked, "by_day": shown.by_day, "by_country": shown.by_country})
        drawn = charting.result()
        sources, held_against = numbered({name: rows_of[name] for name in shown.asked}), _Gold(rows_of)
        pictured = {}
        for key, month in zip(window.keys, window.days, strict=True):
            told = {name: value for name, value in asdict(page).items() if name != "source"}
            composed = compose(
                f"{page.title}: customers and sales, {month:%B %Y}", figures(sources, month, as_of[month], told), drawn
            )
            read_back = embedded(composed, "figures")
            pictures = beside.submit(_pictures, drawn, read_back, page.currency)
            gold = held_against.of(month, as_of[month])
            found[key] = list(differences(read_back, gold, month))
            encoded, path = composed.encode("utf-8"), pages.path(page.source, key[:7])
            if not found[key] and len(encoded) <= MOST_BYTES:
                publish(encoded, path)
            rows.append(_row(month, as_of[month], path.name, encoded, gold))
            pictured[key] = (path, pictures)
    metadata = {key: told_of(path, drawn.result(), pages) for key, (path, drawn) in pictured.items()}
    pages.index()
    return Built(spark.createDataFrame(rows, spark_schema(PublishedPages)), {"differences": found}, metadata)


@dataclass(frozen=True)
class About:
    """What a page says of where its figures are from. `tables`: name, version and moment of writing. `place`, `places`:
    what its customers are told apart by. `terms`: under which the data may be used, where that must be told. `chance`:
    of winning back who would have left."""

    source: str
    title: str
    currency: str
    tables: list[dict[str, Any]]
    chance: float
    place: str = "country"
    places: str = "countries"
    terms: str | None = None


def _charting() -> dict[str, dict[str, Any]]:
    """The charts; and the library is at hand that draws them."""
    charting_library()
    return charts()


class _Gold:
    """What pages are held against, of all months."""

    def __init__(self, rows_of: Mapping[str, pd.DataFrame]) -> None:
        self._by_day, self._by_country = rows_of["by_day"], rows_of["by_country"]
        by_segment = rows_of["rfm"].groupby(["snapshot_month", "rfm_segment"])["monetary"]
        sums = by_segment.agg(customers="size", monetary="sum").reset_index()
        self._segments = sums.rename(columns={"rfm_segment": "segment"})

    def of(self, month: date, as_of: date) -> dict[str, pd.DataFrame]:
        """What the page of a month is held against."""
        return {
            "daily": self._by_day[self._by_day["day"] < str(as_of)],
            "geography": _within(self._by_country, month),
            "rfm": _within(self._segments, month),
        }


def _within(rows: pd.DataFrame, month: date) -> pd.DataFrame:
    return rows[rows["snapshot_month"] == month].drop(columns="snapshot_month")


def gold_figures(rows: DataFrame, *keys: Column) -> DataFrame:
    money = {"revenue": thousandths("revenue"), "returns": thousandths("returns_value")}
    return rows.select(*keys, "orders", "units", *[value.alias(name) for name, value in money.items()])


def _row(month: date, as_of: date, file: str, page: bytes, gold: Mapping[str, pd.DataFrame]) -> tuple[Any, ...]:
    """The month's row, in the order of the contract."""
    days = gold["daily"][gold["daily"]["day"] >= str(month)]
    revenue, returns = (Decimal(int(days[name].sum())) / 1000 for name in ("revenue", "returns"))
    customers, orders = int(gold["rfm"]["customers"].sum()), int(days["orders"].sum())
    return as_of, file, len(page), sha256(page).hexdigest(), customers, orders, revenue, returns, month


def versions(io_manager: DeltaIOManager, source: str, contracts: Iterable[type[Contract]]) -> list[dict[str, Any]]:
    """The versions of the tables that pages are made of, for their footers."""
    return [_version(io_manager, table_name(of_source(contract, source))) for contract in contracts]


def _version(io_manager: DeltaIOManager, name: tuple[str, str]) -> dict[str, Any]:
    """A table's version; none where it has not been made yet."""
    if not io_manager.tables.exists(name):
        return {"table": ".".join(name), "version": None, "committed": None}
    version, committed = io_manager.tables.newest(name)
    return {"table": ".".join(name), "version": version, "committed": f"{committed:%Y-%m-%d %H:%M} UTC"}


DAYS_PICTURED = 120


def told_of(page: Path, pictures: Mapping[str, bytes], pages: Pages) -> dict[str, MetadataValue]:
    """What the Dagster UI says of a page: where it is, what opens it, and pictures of its main charts.

    Where pages are served, the first picture is in sight without a click: the UI shows Markdown so that has less than a
    thousand characters, too few for a picture, enough for the address of one that lies beside the page.
    """
    told: dict[str, MetadataValue] = {"page": MetadataValue.path(str(page))}
    if address := pages.address(page):
        first = page.with_suffix(".png")
        if page.is_file():
            publish(next(iter(pictures.values())), first)
        told = {"dashboard": MetadataValue.md(f"[![{next(iter(pictures))}]({pages.address(first)})]({address})"),
                "opens_at": MetadataValue.url(address), **told}  # fmt: skip
    for caption, drawn in pictures.items():
        told[re.split(r"[: ]", caption.lower())[0] + "_picture"] = picture(drawn, caption)
    return told


def _pictures(drawn: Mapping[str, Any], shown: Mapping[str, Any], currency: str) -> dict[str, bytes]:
    """Small pictures of the main charts, for Dagster's UI, by what they show."""
    daily = _sales_shown(shown).groupby("day")[["revenue"]].sum() / 1000
    means = {name: daily["revenue"].rolling(days).mean() for name, days in (("week", 7), ("thirty", 30))}
    daily = daily.assign(**{name: mean.astype(object).where(mean.notna(), None) for name, mean in means.items()})
    segments = _segments_shown(shown)
    shares = (segments / segments.sum()).rename(columns={"customers": "customer_share", "monetary": "revenue_share"})
    order = [item["name"] for item in shown["segments"] if item["name"] in shares.index]
    categories = [{"category": name, "revenue": revenue / 1000} for name, revenue, *_ in shown["categories"]]
    return {
        "Revenue a day": png(drawn["revenue"], _records(daily.tail(DAYS_PICTURED)), currency),
        "Segments: customers and revenue": png(drawn["segments"], _records(shares.loc[order]), currency),
        "Categories by revenue": png(drawn["categories"], categories, currency),
    }


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in rows.reset_index().to_dict("records")]
