"""geo_metrics: what each country bought in each month, how it grows, and which customers live there."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.growth import growth
from retail_assets.customers.customer_month_activity import CustomerMonthActivity
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.customers.snapshots import Dated, as_of_dates, in_as_long, of_months
from retail_assets.invoices.clean_transactions import CleanTransactions, sums_of_lines
from retail_assets.invoices.countries import CODES, ECONOMIES, NO_COUNTRIES
from retail_assets.invoices.economies import Economies
from retail_assets.invoices.sales import SALES, is_sale, sales
from retail_assets.lakehouse.checks import (
    REFERENTIAL_INTEGRITY,
    WARN,
    Audit,
    Evidence,
    Verdict,
    check,
    nothing_to_judge,
    reconciles,
)
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    CountMap,
    Day,
    Money,
    Real,
    Text,
    column,
    money,
    partition,
    ratio,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import all_of_it, monthly, months_so_far, preceding, same_window
from retail_assets.partitions.keys import PartitionWindow

_TOTALS = [(CleanTransactions, "line_total", "line_type")]
_SHARE: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}


class GeoMetrics(Contract):
    """One row for each month and country with any line. Orders, units and revenue are those of product lines."""

    country: Text = column("Country as the shop writes it", origin=(CleanTransactions, "country"))
    iso_code: Text = column(
        "ISO 3166-1 alpha-3 code; NULL where the name is no country",
        nullable=True,
        origin=(CleanTransactions, "country"),
    )
    orders: Count = column("Distinct invoices with product lines", ge=0, origin=(CleanTransactions, "invoice_no"))
    customers: Count = column(
        "Distinct known customers with a purchase", ge=0, origin=(CleanTransactions, "customer_id")
    )
    new_customers: Count = column(
        "Customers whose first purchase ever was in the month",
        ge=0,
        origin=(CustomerMonthActivity, "first_purchase_date"),
    )
    units: Count = column("Units sold", ge=0, origin=(CleanTransactions, "quantity"))
    revenue: Money = column("Value of product lines", unit=CURRENCY, ge=0, origin=_TOTALS)
    # May be negative: a cancellation of positive quantity (the published data has one) takes returns back.
    returns_value: Money = column("Value of cancelled lines, sign reversed", unit=CURRENCY, origin=_TOTALS)
    return_rate: Real = column("Returns value per revenue", nullable=True, origin=_TOTALS)
    average_order_value: Money = column("Revenue per order", unit=CURRENCY, nullable=True, origin=_TOTALS)
    revenue_share: Real = column("Share of the month's revenue", nullable=True, origin=_TOTALS, **_SHARE)
    month_over_month_growth: Real = column(
        "Revenue against the month before; of an unfinished month against as many days of it",
        nullable=True,
        origin=_TOTALS,
    )
    year_over_year_growth: Real = column(
        "Revenue against the same month a year before; of an unfinished month against as many days of it",
        nullable=True,
        origin=_TOTALS,
    )
    top_product: Text = column(
        "Stock code of the highest revenue", nullable=True, origin=(CleanTransactions, "stock_code")
    )
    top_product_description: Text = column("Its description", nullable=True, origin=(CleanTransactions, "description"))
    segment_mix: CountMap = column(
        "Customers of the country so far by RFM segment", origin=[(CustomerRfm, "country", "rfm_segment")]
    )
    population: Real = column(
        "Inhabitants, in the newest year up to the month's that there is a figure of; NULL where none have landed, and "
        "where the name is no economy",
        nullable=True,
        origin=(Economies, "population"),
    )
    gdp_per_head: Real = column(
        "Gross domestic product per inhabitant of that year", unit="current USD", nullable=True,
        origin=(Economies, "gdp_per_head"),
    )  # fmt: skip
    revenue_per_million_inhabitants: Real = column(
        "Revenue of the month by inhabitants", unit=CURRENCY, nullable=True,
        origin=[*_TOTALS, (Economies, "population")],
    )  # fmt: skip
    snapshot_month: Day = partition("First day of the month", origin=(CleanTransactions, "invoice_date"))

    class Config:
        unique = ["snapshot_month", "country"]


def geo_metrics(
    transactions: DataFrame,
    activity: DataFrame,
    rfm: DataFrame,
    economies: DataFrame | None = None,
    ends: Mapping[date, date] | None = None,
) -> DataFrame:
    """One row per month and country, for every month of the transactions; growth where earlier months are there, and
    figures of inhabitants where there are `economies`. `ends`: the months' as-of dates, by which unfinished ones are
    known."""
    product = is_sale()
    lines = transactions.withColumn("snapshot_month", F.trunc("invoice_date", "MM"))
    place = ["snapshot_month", "country"]
    sums = lines.groupBy(place).agg(*sales(*SALES))
    for months, name in ((1, "month_over_month_growth"), (12, "year_over_year_growth")):
        counted = product & in_as_long(F.col("invoice_date"), ends or {}, months)
        earlier = lines.groupBy(F.add_months("snapshot_month", months).alias("snapshot_month"), "country").agg(
            money(F.sum(F.when(counted, F.col("line_total")))).alias("before")
        )
        grown = growth(F.col("revenue"), F.col("before"))
        sums = sums.join(earlier, place, "left").withColumn(name, grown).drop("before")
    whole_month = F.sum("revenue").over(Window.partitionBy("snapshot_month"))
    revenue = F.col("revenue")
    return with_inhabitants(
        sums.join(_new_customers(lines.filter(product), activity), place, "left")
        .join(_top_products(lines.filter(product)), place, "left")
        .join(_segment_mix(rfm), place, "left")
        .withColumns(
            {
                "new_customers": F.coalesce("new_customers", F.lit(0)),
                "segment_mix": F.coalesce("segment_mix", F.create_map().cast("map<string,bigint>")),
                "iso_code": _code_of(CODES),
                "return_rate": F.when(revenue > 0, ratio(F.col("returns_value"), revenue)),
                "average_order_value": F.when(F.col("orders") > 0, money(revenue / F.col("orders"))),
                "revenue_share": F.when(whole_month > 0, ratio(revenue, whole_month)),
            }
        ),
        economies,
    )


def _code_of(codes: Mapping[str, str]) -> Column:
    """The code of the row's country, NULL if it has none."""
    return F.try_element_at(F.create_map(*[F.lit(text) for pair in codes.items() for text in pair]), "country")


def with_inhabitants(metrics: DataFrame, economies: DataFrame | None) -> DataFrame:
    """Adds `population`, `gdp_per_head` and `revenue_per_million_inhabitants`, of the newest year up to the month's
    that has a figure of inhabitants; NULL without `economies`."""
    if economies is None:
        nothing = F.lit(None).cast("double")
        return metrics.withColumns(dict.fromkeys(_INHABITANTS, nothing))
    known = economies.filter("population IS NOT NULL").select("country_code", "year", "population", "gdp_per_head")
    months = metrics.select("snapshot_month").distinct()
    newest = F.max_by(F.struct("population", "gdp_per_head"), F.col("year")).alias("newest")
    by_month = known.join(F.broadcast(months), F.col("year") <= F.year("snapshot_month"))
    figures = by_month.groupBy("snapshot_month", "country_code").agg(newest)
    return (
        metrics.withColumn("country_code", _code_of(ECONOMIES))
        .join(figures.select("snapshot_month", "country_code", "newest.*"), ["snapshot_month", "country_code"], "left")
        .withColumn("revenue_per_million_inhabitants", ratio(F.col("revenue"), F.col("population") / 1_000_000))
        .drop("country_code")
    )


_INHABITANTS = ("population", "gdp_per_head", "revenue_per_million_inhabitants")


def _without_inhabitants(known: bool) -> Column:
    """Whether nothing is known of a row's inhabitants, though it ought to be, or as it is no country's."""
    no_country = F.col("country").isin(*NO_COUNTRIES)
    return F.col("population").isNull() & (no_country if known else ~no_country)


@check(
    "Every country that revenue came from has figures of its inhabitants, but for names that are known to be none",
    measures={
        "lost": lambda: F.coalesce(F.sum(F.when(_without_inhabitants(known=False), F.col("revenue"))), F.lit(0)),
        "names": lambda: F.array_sort(F.collect_set(F.when(_without_inhabitants(known=False), F.col("country")))),
        "no_country": lambda: F.coalesce(F.sum(F.when(_without_inhabitants(known=True), F.col("revenue"))), F.lit(0)),
    },
    family=REFERENTIAL_INTEGRITY,
    severity=WARN,
)
def countries_matched(month: Evidence) -> Verdict:
    """Revenue that falls out of the join with figures of inhabitants."""
    if not month.found("economies"):
        return nothing_to_judge("No figures of inhabitants have landed")
    lost, names = month.total("lost"), month.measures["names"] or []
    told = f"{lost} of revenue is of {len(names)} names without figures of inhabitants: {', '.join(names[:5])}"
    metadata = {"revenue_of_no_country": str(month.total("no_country"))}
    return Verdict.within(len(names), told if names else "", upper=0, metadata=metadata)


def _new_customers(products: DataFrame, activity: DataFrame) -> DataFrame:
    """Customers by the month and country of their first purchase ever."""
    first = activity.groupBy("customer_id").agg(F.trunc(F.min("first_purchase_date"), "MM").alias("snapshot_month"))
    bought = products.select("snapshot_month", "country", "customer_id").distinct()
    return (
        bought.join(first, ["snapshot_month", "customer_id"])
        .groupBy("snapshot_month", "country")
        .agg(F.count("*").alias("new_customers"))
    )


def _top_products(products: DataFrame) -> DataFrame:
    by_product = products.groupBy("snapshot_month", "country", "stock_code").agg(
        F.sum("line_total").alias("total"), F.max("description").alias("description")
    )
    # Of equal totals the higher code wins: any stated order will do, chance will not.
    best = F.max_by(F.struct("stock_code", "description"), F.struct("total", "stock_code"))
    return (
        by_product.groupBy("snapshot_month", "country")
        .agg(best.alias("best"))
        .select(
            "snapshot_month",
            "country",
            F.col("best.stock_code").alias("top_product"),
            F.col("best.description").alias("top_product_description"),
        )
    )


def _segment_mix(rfm: DataFrame) -> DataFrame:
    counts = rfm.groupBy("snapshot_month", "country", "rfm_segment").agg(F.count("*").alias("customers"))
    entries = F.array_sort(F.collect_list(F.struct("rfm_segment", "customers")))
    return counts.groupBy("snapshot_month", "country").agg(F.map_from_entries(entries).alias("segment_mix"))


def _revenue_of_the_month(audit: Audit) -> DataFrame:
    lines, month = of_months(audit.inputs["transactions"], audit.days, (0,)), F.trunc("invoice_date", "MM")
    return sums_of_lines(lines, "snapshot_month", month, "revenue", "returns_value", "units")


@table(
    GeoMetrics,
    monthly,
    layer=GOLD,
    reads={
        "transactions": (CleanTransactions, preceding(12)),
        "activity": (CustomerMonthActivity, months_so_far),
        "rfm": (CustomerRfm, same_window),
        "economies": (Economies, all_of_it),
    },
    checks=[
        countries_matched,
        reconciles(
            "reconciliation",
            "Revenue, returns and units of all countries are those of the month in silver, to the last decimal",
            ours={
                "revenue": lambda: F.sum("revenue"),
                "returns_value": lambda: F.sum("returns_value"),
                "units": lambda: F.sum("units"),
            },
            theirs=_revenue_of_the_month,
        ),
    ],
)
def build(
    transactions: DataFrame,
    activity: DataFrame,
    rfm: DataFrame,
    economies: DataFrame | None,
    window: PartitionWindow,
    landing: LandingZone,
    source: Dated,
) -> Built:
    """The window's months; the month and the year before them are read for growth only."""
    sold, ends = of_months(transactions, window.days, (0, 1, 12)), as_of_dates(window, landing, source)
    every = geo_metrics(sold, activity, rfm, economies, ends)
    wanted = every.filter(F.col("snapshot_month").isin([F.lit(month) for month in window.days]))
    return Built(wanted, findings={"economies": dict.fromkeys(window.keys, economies is not None)})
