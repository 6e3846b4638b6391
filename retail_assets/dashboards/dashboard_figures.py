"""The figures of a dashboard page, compact. Money is in thousandths of the currency, as whole numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.rfm import RECOMMENDED_ACTIONS
from retail_assets.customers.actions import LOST, WIN_BACK
from retail_assets.customers.segment_summary import RFM
from retail_assets.dashboards import dashboard_sums as sums
from retail_assets.dashboards import this_week, unusual_days, winning_back
from retail_assets.invoices.countries import ISO_CODES
from retail_assets.lakehouse.driver_rows import by_partition
from retail_assets.reports.page import shapes

TOP_PRODUCTS = 100
TOP_RULES = 200
DAYS_OF_ALL_SEASONS = 365 + 90
"""A year of snapshots whose 90 days have passed."""

# Shapes go by name here: they have ISO's numbers, tables its letters.
_SHAPE_NAMES = {
    "ARE": "United Arab Emirates", "AUS": "Australia", "AUT": "Austria", "BEL": "Belgium", "BRA": "Brazil",
    "CAN": "Canada", "CHE": "Switzerland", "CYP": "Cyprus", "CZE": "Czechia", "DEU": "Germany", "DNK": "Denmark",
    "ESP": "Spain", "FIN": "Finland", "FRA": "France", "GBR": "United Kingdom", "GRC": "Greece", "HUN": "Hungary",
    "IRL": "Ireland", "ISL": "Iceland", "ISR": "Israel", "ITA": "Italy", "JPN": "Japan", "KOR": "South Korea",
    "LBN": "Lebanon", "LTU": "Lithuania", "LUX": "Luxembourg", "MEX": "Mexico", "NGA": "Nigeria", "NLD": "Netherlands",
    "NOR": "Norway", "NZL": "New Zealand", "POL": "Poland", "PRT": "Portugal", "ROU": "Romania", "SAU": "Saudi Arabia",
    "SVK": "Slovakia", "SVN": "Slovenia", "SWE": "Sweden", "THA": "Thailand", "TUR": "Turkey",
    "USA": "United States of America", "ZAF": "South Africa",
}  # fmt: skip


class Months:
    """Rows of all months, each page takes its own: told apart once, not page by page."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._none, self._by_month = rows.iloc[:0], by_partition(rows, "snapshot_month")

    def of(self, month: date) -> pd.DataFrame:
        """Those of a month."""
        return self._by_month.get(month, self._none)


@dataclass(frozen=True)
class Sources:
    """What pages are made of, as the driver holds it."""

    sales: pd.DataFrame
    rfm: Months
    summary: Months
    churn: Months
    clv: Months
    actions: Months
    products: Months
    categories: Months
    affinities: Months
    quality: pd.DataFrame
    reasons: pd.DataFrame
    campaigns: Months
    ids: np.ndarray
    """Whose customers' numbers these are: the customer ids are numbers here, -1 where there is none."""

    @cached_property
    def expected(self) -> pd.DataFrame:
        """Of each day, what was to be expected of its revenue: for all pages at once."""
        return unusual_days.ranges_of(self.sales)


_AS_A_WHOLE = ("sales", "quality", "reasons")


def numbered(asked: Mapping[str, pd.DataFrame]) -> Sources:
    """The rows with numbers in place of customer ids, in their order: what is grouped and joined by them, page after
    page, is then no text."""
    of_customers = {name: asked[name] for name in ("sales", "rfm", "churn", "clv", "actions")}
    every = pd.concat([rows["customer_id"] for rows in of_customers.values()])
    numbers, ids = pd.factorize(every, sort=True)
    ends = np.cumsum([len(rows) for rows in of_customers.values()])[:-1]
    own = dict(zip(of_customers, np.split(numbers, ends), strict=True))
    rows = {**asked, **{name: asked[name].assign(customer_id=own[name]) for name in own}}
    rows["sales"] = rows["sales"].assign(invoice_date=pd.to_datetime(rows["sales"]["invoice_date"]))
    rows.setdefault("campaigns", pd.DataFrame({"snapshot_month": []}))  # a source without a table of them
    parts: dict[str, Any] = {name: of if name in _AS_A_WHOLE else Months(of) for name, of in rows.items()}
    return Sources(**parts, ids=np.asarray(ids))


def thousandths(amount: str | Column) -> Column:
    """Money as a whole number of thousandths of the currency."""
    return (F.coalesce(F.col(amount) if isinstance(amount, str) else amount, F.lit(0)) * 1000).cast("bigint")


def sales(transactions: DataFrame) -> DataFrame:
    """Orders, units, revenue and returns (as gold tables count them) by day, customer (NULL if unknown) and country.

    An order of several countries, or customers, is one: of the first of them. `further` are those that a country has
    besides, which are counted with another country's: orders of the country are the sum of both.
    """
    product = F.col("line_type") == "product"
    by_invoice = (
        transactions.filter(product | F.col("is_cancellation"))
        .groupBy("invoice_date", "customer_id", "country", "invoice_no")
        .agg(
            F.max(product).alias("placed"),
            F.coalesce(F.sum(F.when(product, F.col("quantity"))), F.lit(0)).alias("units"),
            thousandths(F.sum(F.when(product, F.col("line_total")))).alias("revenue"),
            thousandths(-F.sum(F.when(F.col("is_cancellation"), F.col("line_total")))).alias("returns"),
        )
    )
    placed, who = ["invoice_date", "invoice_no", "placed"], F.coalesce("customer_id", F.lit(""))
    of_all = F.row_number().over(Window.partitionBy(*placed).orderBy("country", who)) == 1
    of_country = F.row_number().over(Window.partitionBy(*placed, "country").orderBy(who)) == 1
    return (
        by_invoice.withColumns({"first": of_all & F.col("placed"), "first_here": of_country & F.col("placed")})
        .groupBy("invoice_date", "customer_id", "country")
        .agg(
            F.count_if("first").alias("orders"),
            F.count_if(F.col("first_here") & ~F.col("first")).alias("further"),
            *(F.sum(name).alias(name) for name in ("units", "revenue", "returns")),
        )
    )


def quality(transactions: DataFrame, quarantined: DataFrame) -> DataFrame:
    """Per month: rows clean, exact duplicates dropped, rows quarantined; landed is the sum of the three."""
    month = F.trunc("invoice_date", "MM").alias("month")
    clean = transactions.groupBy(month).agg(
        F.count_if(F.col("landed_rows") > 0).alias("clean"),
        F.sum(F.greatest(F.col("landed_rows") - 1, F.lit(0))).alias("duplicates"),
        F.count_if("is_outlier").alias("outliers"),
        F.count_if((F.col("line_type") == "product") & F.col("customer_id").isNull()).alias("without_customer"),
    )
    refused = quarantined.groupBy(month).agg(F.count("*").alias("quarantined"))
    return clean.join(refused, "month", "full").fillna(0)


def reasons(quarantined: DataFrame) -> DataFrame:
    """Per month and reason: rows quarantined."""
    month = F.trunc("invoice_date", "MM").alias("month")
    return quarantined.select(month, F.explode("reasons").alias("reason")).groupBy("month", "reason").count()


def figures(sources: Sources, month: date, as_of: date, told: Mapping[str, Any]) -> dict[str, Any]:
    """All that the page of a month shows, and nothing of later days; `told` besides: its currency and its tables."""
    sold, rfm = sources.sales[sources.sales["invoice_date"] < pd.Timestamp(as_of)], sources.rfm.of(month)
    countries = sorted({*sold["country"], *rfm["country"]})
    before = sources.rfm.of(_month_before(month))
    people = sums.customers(rfm, before, sources.churn.of(month), sources.clv.of(month), countries)
    dated = sums.dated(sold, people, countries)
    first_month, at_risk = sums.first_months(dated), winning_back.with_risk(people, sold, as_of)
    actions = sources.actions.of(month)
    lists = {
        "write": winning_back.listed(at_risk, actions, WIN_BACK, winning_back.WIN_BACK_SHOWN),
        "lost": winning_back.listed(people, actions, LOST, winning_back.LOST_SHOWN),
    }
    quality = sources.quality[sources.quality["month"] <= month].sort_values("month")
    reasons = sources.reasons[sources.reasons["month"] <= month].groupby("reason")["count"].sum()
    return {
        "month": f"{month:%Y-%m}",
        "as_of": str(as_of),
        "first_day": str(sold["invoice_date"].min().date()) if len(sold) else None,
        "newest_day": str(sold["invoice_date"].max().date()) if len(sold) else None,
        "countries": [{"name": name, "shape": _shape(name)} for name in countries],
        "segments": [{"name": name, "action": RECOMMENDED_ACTIONS[name]} for name in sums.SEGMENTS],
        "churn_note": _churn_note(sold, as_of),
        "sales": sums.sales(dated),
        "expected": unusual_days.expected(sources.expected, sold, sources.ids, as_of, told["currency"]),
        "buyers": sums.buyers(dated, first_month, month, as_of),
        "profiles": sums.profiles(people),
        "moves": sums.moves(people),
        "cohorts": sums.cohorts(dated, people, first_month),
        "churn": winning_back.churn(at_risk),
        "campaigns": this_week.campaigns(sources.campaigns.of(month)),
        "week": this_week.lists(actions, sources.ids),
        **{name: rows | {"id": sources.ids[rows["id"]].tolist()} for name, rows in lists.items()},
        "values": sums.values(people),
        "schemes": _schemes(sources.summary.of(month)),
        "products": _products(sources.products.of(month)),
        "abc": _abc(sources.products.of(month)),
        "categories": _categories(sources.categories.of(month)),
        "affinities": _affinities(sources.affinities.of(month)),
        "quality": {name: _plain(quality[name]) for name in quality.columns if name != "month"}
        | {"month": [f"{day:%Y-%m}" for day in quality["month"]]},
        "reasons": [{"reason": name, "rows": int(count)} for name, count in sorted(reasons.items())],
        **told,
    }


def _shape(country: str) -> str | None:
    """The id of the country's shape; None where the map has none."""
    return _shape_ids().get(_SHAPE_NAMES.get(ISO_CODES.get(country, ""), ""))


@cache
def _shape_ids() -> dict[str, str]:
    drawn = shapes()["objects"]["countries"]["geometries"]
    return {shape["properties"]["name"]: shape["id"] for shape in drawn if "id" in shape}


def _churn_note(sold: pd.DataFrame, as_of: date) -> str:
    """How far the probabilities of churn can be trusted; said beside them, as the season is not theirs to know."""
    seasonal = (
        "Trust the order of the customers more than the probabilities. Who is more likely to leave than whom held in "
        "every season; how many leave is foreseen only once a model has seen that season. In two years of a gift "
        "shop they were off by up to 0.25 in the first winter, and by at most 0.10 from the next spring on."
    )
    young = len(sold) and (pd.Timestamp(as_of) - sold["invoice_date"].min()).days < DAYS_OF_ALL_SEASONS
    return f"There is not yet a year of outcomes to learn from. {seasonal}" if young else seasonal


def _month_before(month: date) -> date:
    return (month.replace(day=1) - pd.Timedelta(days=1)).replace(day=1)


def _schemes(summary: pd.DataFrame) -> list[list[Any]]:
    """The same customers divided otherwise than by the grid that the page filters by."""
    others = summary[summary["scheme"] != RFM].sort_values(
        ["scheme", "revenue", "segment"], ascending=[True, False, True]
    )
    columns = ["scheme", "segment", "customers", "share", "revenue", "revenue_share"]
    medians = ["median_recency_days", "median_frequency", "median_monetary"]
    return _rows(others, [*columns, *medians, "recommended_action"])


def _products(products: pd.DataFrame) -> list[list[Any]]:
    top = products[products["orders"] > 0].sort_values("revenue_rank").head(TOP_PRODUCTS)
    columns = ["stock_code", "description", "category", "revenue", "units", "orders", "customers", "abc_class"]
    return _rows(top, [*columns, "return_rate", "month_over_month_growth"])


def _abc(products: pd.DataFrame) -> list[list[Any]]:
    sold = products[products["orders"] > 0].groupby("abc_class")["revenue"].agg(["size", "sum"]).reset_index()
    return _rows(sold, ["abc_class", "size", "sum"])


def _categories(categories: pd.DataFrame) -> list[list[Any]]:
    columns = ["category", "revenue", "units", "orders", "products", "revenue_share", "month_over_month_growth"]
    return _rows(categories.sort_values("revenue_rank"), columns)


def _affinities(affinities: pd.DataFrame) -> list[list[Any]]:
    columns = ["antecedent_description", "consequent_description", "together_baskets", "support", "confidence", "lift"]
    return _rows(affinities.sort_values("rule_rank"), columns)


def _rows(frame: pd.DataFrame, columns: list[str]) -> list[list[Any]]:
    return [list(row) for row in zip(*(_plain(frame[name]) for name in columns), strict=True)]


def _plain(column: pd.Series) -> list[Any]:
    """Values as JSON has them; what is not known is null."""
    return [None if pd.isna(value) else value for value in column.astype(object).tolist()]
