"""campaigns: whom each campaign contacted, and whom it held out as control group, as the shop landed it."""

from dagster import Failure
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.invoices.customer_month_activity import CustomerMonthActivity
from retail_assets.lakehouse.checks import REFERENTIAL_INTEGRITY, WARN, Audit, Evidence, Verdict, check
from retail_assets.lakehouse.contracts import Contract, Day, Text, column, partition
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.table import table
from retail_assets.landing.campaign_lists import GROUPS, ListRefused, landed_contacts
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly, months_so_far
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.shops.shop import Shop


class Campaigns(Contract):
    """One row for each campaign and customer of its list, by month of contact.

    Lists are landed by `retail campaign`. A customer of the control group was held out: the day is that on which the
    others were contacted. A list that is landed again replaces what it says of its campaign and day.
    """

    campaign: Text = column("What the campaign is called")
    customer_id: Text = column("Customer, by the shop's own id")
    contacted_on: Day = column("Day of contact; for the control group that of the others")
    group: Text = column("contacted, or control: held out by chance", isin=list(GROUPS))
    source_file: Text = column("Name of the list's file in the landing zone")
    snapshot_month: Day = partition("First day of the month of contact")

    class Config:
        unique = ["snapshot_month", "campaign", "customer_id"]


def _strangers(audit: Audit) -> DataFrame:
    """Of each month how many of its lists' customers have never been seen."""
    known = audit.inputs["activity"].select("customer_id").distinct()
    unknown = audit.frame.join(known, "customer_id", "left_anti")
    return unknown.groupBy("snapshot_month").agg(F.count("*").alias("unknown"))


@check(
    "Customers of the lists are customers of the shop; a list of pseudonyms, or of another shop's, is not",
    asks=_strangers,
    family=REFERENTIAL_INTEGRITY,
    severity=WARN,
)
def customers_of_the_shop(month: Evidence) -> Verdict:
    """Customers of lists that are nobody's."""
    unknown = month.asked[0]["unknown"] if month.asked else 0
    told = f"{unknown} of {month.rows} customers of lists are not known: land lists by the shop's own ids"
    return Verdict.within(unknown, told if unknown else "", upper=0)


@table(
    Campaigns,
    monthly,
    layer=SILVER,
    reads={"activity": (CustomerMonthActivity, months_so_far)},
    checks=[customers_of_the_shop],
)
def build(activity: DataFrame, window: PartitionWindow, landing: LandingZone, source: Shop) -> DataFrame:
    """The lists of the window's months. What the customers did is read for the check only."""
    try:
        rows = [
            (each.campaign, each.customer_id, each.contacted_on, each.group, drop.name, drop.day.replace(day=1))
            for drop, contacts in landed_contacts(landing, source.name, window.days)
            for each in contacts
        ]
    except ListRefused as refusal:
        raise Failure(f"{refusal} Land the list again: retail campaign.", allow_retries=False) from None
    columns = "campaign string, customer_id string, contacted_on date, `group` string, source_file string"
    return activity.sparkSession.createDataFrame(rows, f"{columns}, snapshot_month date")
