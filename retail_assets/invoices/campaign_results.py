"""campaign_results: what each campaign brought against its control group, as of each month's end."""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.churn import WINDOW_DAYS
from retail_assets.customers.snapshots import snapshots
from retail_assets.invoices.campaigns import Campaigns
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.checks import Audit, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Integer,
    Real,
    Text,
    column,
    days_between,
    partition,
    row_rule,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.landing.campaign_lists import CONTACTED, CONTROL
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly, months_so_far
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.shops.shop import Shop

FEWEST = 30
"""Of a smaller group no interval is told: the normal distribution that it rests on does not hold."""

Z = 1.96
"""Of a normal distribution 95 % lies within so many standard deviations."""

MORE, LESS, CANNOT_BE_TOLD = "more", "less", "cannot be told"

_WHO = [(Campaigns, "customer_id", "group", "contacted_on")]
_SPENT = [*_WHO, (CleanTransactions, "line_total", "line_type", "invoice_date")]
_SHARE: dict[str, Any] = {"nullable": True, "in_range": {"min_value": 0.0, "max_value": 1.0}}
_DIFFERENCE: dict[str, Any] = {"nullable": True, "origin": _SPENT}


class CampaignResults(Contract):
    """One row for each month and campaign that had begun by its end: what the contacted bought beside those held out.

    Counted is what each customer bought in the 90 days from the day of contact, before returns, as far as they have
    passed by the as-of date; of the control group, from the same day. Whoever bought nothing counts with nothing. The
    intervals hold 95 % (normal approximation, variances of both groups). "cannot be told": a group of fewer than 30, no
    control group, or an interval that holds 0; what a campaign brought is then not known, whatever was spent.
    """

    campaign: Text = column("What the campaign is called", origin=(Campaigns, "campaign"))
    contacted_on: Day = column("First day of contact", origin=(Campaigns, "contacted_on"))
    as_of_date: Day = column("First day after the month, but not later than the day after the newest drop")
    days_seen: Integer = column("Days of the window that have passed", unit="days", ge=0, le=WINDOW_DAYS)
    contacted: Count = column("Customers contacted", ge=0, origin=_WHO)
    held_out: Count = column("Customers of the control group", ge=0, origin=_WHO)
    contacted_bought: Real = column("Share of the contacted who bought", origin=_SPENT, **_SHARE)
    control_bought: Real = column("Share of the control group who bought", origin=_SPENT, **_SHARE)
    uplift_bought: Real = column("Difference of the shares", **_DIFFERENCE)
    uplift_bought_lower: Real = column("Lower end of its interval", **_DIFFERENCE)
    uplift_bought_upper: Real = column("Upper end of its interval", **_DIFFERENCE)
    contacted_spend: Real = column("Spend per contacted customer", unit=CURRENCY, nullable=True, origin=_SPENT)
    control_spend: Real = column("Spend per customer of the control group", unit=CURRENCY, nullable=True, origin=_SPENT)
    uplift_spend: Real = column("Difference of the two", unit=CURRENCY, **_DIFFERENCE)
    uplift_spend_lower: Real = column("Lower end of its interval", unit=CURRENCY, **_DIFFERENCE)
    uplift_spend_upper: Real = column("Upper end of its interval", unit=CURRENCY, **_DIFFERENCE)
    bought_verdict: Text = column("Whether more or less bought, or cannot be told", isin=[MORE, LESS, CANNOT_BE_TOLD])
    spend_verdict: Text = column("Whether more or less was spent, or cannot be told", isin=[MORE, LESS, CANNOT_BE_TOLD])
    snapshot_month: Day = partition("First day of the snapshot's month")

    class Config:
        unique = ["snapshot_month", "campaign"]

    @row_rule("What is told lies apart from nothing")
    def told_apart_from_nothing() -> Column:
        apart = (F.col("uplift_spend_lower") > 0) | (F.col("uplift_spend_upper") < 0)
        return (F.col("spend_verdict") == CANNOT_BE_TOLD) | apart


def campaign_results(campaigns: DataFrame, transactions: DataFrame, of: DataFrame) -> DataFrame:
    """One row for each snapshot of `of` and campaign that had begun in its month or before."""
    lists = campaigns.withColumnRenamed("snapshot_month", "begun")
    begun = lists.join(F.broadcast(of), F.col("begun") <= F.col("snapshot_month"))
    # Whole thousandths, so that sums are the same in whatever order rows come.
    value = (F.col("line_total") * 1000).cast("bigint").cast("double").alias("value")
    bought = transactions.filter("line_type = 'product'").select("customer_id", "invoice_date", value)
    within = (F.col("invoice_date") >= F.col("contacted_on")) & (
        F.col("invoice_date") < F.least(F.date_add("contacted_on", WINDOW_DAYS), F.col("as_of_date"))
    )
    keys = ["snapshot_month", "campaign", "customer_id", "contacted_on"]
    spent = begun.join(bought, "customer_id").filter(within).groupBy(keys).agg(F.sum("value").alias("spent"))
    every = begun.join(spent, keys, "left").withColumns(
        {"bought": F.col("spent").isNotNull().cast("double"), "spent": F.coalesce(F.col("spent"), F.lit(0.0)) / 1000}
    )
    seen = F.greatest(F.least(days_between("contacted_on", "as_of_date"), F.lit(WINDOW_DAYS)), F.lit(0))
    groups = ((CONTACTED, "contacted"), (CONTROL, "control"))
    return _compared(
        every.groupBy("snapshot_month", "as_of_date", "campaign").agg(
            F.min("contacted_on").alias("contacted_on"),
            F.min(seen).cast("int").alias("days_seen"),
            *(figure for group, name in groups for figure in _figures(F.col("group") == group, name)),
        )
    )


def _figures(member: Column, name: str) -> list[Column]:
    """Of one group: customers, and of what they bought and spent the means and variances; NULL of none."""
    customers = F.count_if(member)
    found = [customers.alias(f"{name}_customers")]
    for measure in ("bought", "spent"):
        value = F.when(member, F.col(measure))
        mean, square = F.sum(value) / customers, F.sum(value * value) / customers
        variance = F.greatest(square - mean * mean, F.lit(0.0))
        known = [(mean, f"{name}_{measure}"), (variance, f"{name}_{measure}_variance")]
        found += [F.when(customers > 0, figure).alias(called) for figure, called in known]
    return found


def _compared(sums: DataFrame) -> DataFrame:
    enough = (F.col("contacted_customers") >= FEWEST) & (F.col("control_customers") >= FEWEST)
    made: dict[str, Column] = {}
    for measure, name in (("bought", "bought"), ("spent", "spend")):
        uplift = F.col(f"contacted_{measure}") - F.col(f"control_{measure}")
        parts = [F.col(f"{g}_{measure}_variance") / (F.col(f"{g}_customers") - 1) for g in ("contacted", "control")]
        half = F.when(enough, F.sqrt(parts[0] + parts[1]) * Z)
        lower, upper = uplift - half, uplift + half
        made |= {
            f"uplift_{name}": uplift, f"uplift_{name}_lower": lower, f"uplift_{name}_upper": upper,
            f"{name}_verdict": F.when(lower > 0, MORE).when(upper < 0, LESS).otherwise(CANNOT_BE_TOLD),
        }  # fmt: skip
    shown = {"contacted": F.col("contacted_customers"), "held_out": F.col("control_customers")}
    shown |= {f"{group}_spend": F.col(f"{group}_spent") for group in ("contacted", "control")}
    aside = [
        f"{g}_{m}"
        for g in ("contacted", "control")
        for m in ("customers", "spent", "bought_variance", "spent_variance")
    ]
    return sums.withColumns(made).withColumns(shown).drop(*aside)


def _contacts(audit: Audit) -> DataFrame:
    """Customers of all lists that had begun by each month, counted without the results."""
    contacts = audit.inputs["campaigns"].select(F.col("snapshot_month").alias("begun"), "group")
    months = contacts.join(F.broadcast(audit.partitions()), F.col("begun") <= F.col("snapshot_month"))
    counts = {"contacted": F.col("group") == CONTACTED, "held_out": F.col("group") == CONTROL}
    return months.groupBy("snapshot_month").agg(*(F.count_if(of).alias(name) for name, of in counts.items()))


@table(
    CampaignResults,
    monthly,
    layer=GOLD,
    reads={"campaigns": (Campaigns, months_so_far), "transactions": (CleanTransactions, months_so_far)},
    checks=[
        reconciles(
            "reconciliation",
            "Every customer of every list that had begun is counted, contacted or held out",
            ours={"contacted": lambda: F.sum("contacted"), "held_out": lambda: F.sum("held_out")},
            theirs=_contacts,
        )
    ],
)
def build(
    campaigns: DataFrame, transactions: DataFrame, window: PartitionWindow, landing: LandingZone, source: Shop
) -> DataFrame:
    """The window's months."""
    of = snapshots(campaigns.sparkSession, window, landing, source)
    first = campaigns.agg(F.min("contacted_on")).first()
    # Most months of most shops have no campaign: then nothing else is read.
    begun = first[0] if first else None
    sold = transactions.filter(F.col("invoice_date") >= F.lit(begun)) if begun else transactions.limit(0)
    return campaign_results(campaigns, sold, of)
