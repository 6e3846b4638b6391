"""What to do this week, as of each month's end: what every source's table `actions` is, and whom of its customers it
names. Products and countries are named by the source's own table."""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.churn import WINDOW_DAYS
from retail_assets.analytics.win_back import MEDIUM_PROBABILITY, is_lost
from retail_assets.customers.churn_scores import ChurnScores
from retail_assets.customers.customer_clv import CustomerClv
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.lakehouse.checks import RECONCILIATION, Audit, Evidence, RuleResult, Verdict, check
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Day,
    Integer,
    Money,
    Text,
    column,
    money,
    money_of_real,
    partition,
    ratio,
    row_rule,
)

WIN_BACK, THANK, SECOND_PURCHASE, LOST = "win_back", "thank", "second_purchase", "lost"
RESTOCK, DROP, COUNTRY = "restock", "drop", "country"
OF_CUSTOMERS = (WIN_BACK, SECOND_PURCHASE, THANK, LOST)
ACTIONS = (*OF_CUSTOMERS, RESTOCK, DROP, COUNTRY)

TO_THANK = ("Champions", "Loyal Customers")

MOST_CUSTOMERS = 5_000
"""Of each action so many are named, the most valuable first: nobody writes to more in a week."""

MOST_OF_EACH = 50
"""And so many of every country and segment, whatever there is elsewhere."""

MOST_KEPT = 0.9
"""Who has returned more than the rest is told of with it."""

MOST_OTHERS = 50
"""Products and countries of each action."""

CHANGED = 0.25
"""From here on a country's revenue has changed."""

FEWEST_ORDERS = 5
"""Of fewer orders nothing is said: a product or country that one customer bought."""

_ORDERS = (CustomerRfm, "frequency", "recency_days")
_WORTH = [
    (CustomerClv, "clv_12m"),
    (ChurnScores, "churn_probability"),
    (CustomerRfm, "monetary", "net_monetary"),
]


class Actions(Contract):
    """What to do, and to whom: one row for each month, action and customer, product or country, the best first.

    A customer is in one list at most. What a customer is worth is what could be won: expected in the next 12 months
    (`customer_clv`) × the part of their purchases not returned × probability of no purchase in 90 days
    (`churn_scores`) × the chance that who would leave stays when written to (`RETAIL_WIN_BACK_CHANCE`, an assumption);
    NULL where hardly anybody comes back, or the history is too young, so that it cannot be told. `win_back`: at least
    50 % likely not to buy. `second_purchase`: bought once, in the last 90 days; `product` is what to offer. `thank`:
    Champions and Loyal Customers who are likely to buy. `lost`: less than 10 % likely to be a customer still, or gone
    for more than 365 days after a single order; nothing is expected of them. Of each action the first 5,000 customers,
    and the first 50 of every country and segment, are named, or 50 products or countries.
    """

    action: Text = column("What to do", isin=list(ACTIONS))
    rank: Integer = column("Place in the action's list, 1 the most valuable", ge=1)
    customer_id: Text = column("Customer whom it is about", nullable=True, origin=(CustomerRfm, "customer_id"))
    product: Text = column("Product that it is about, or that is to be offered", nullable=True)
    country: Text = column("Country that it is about, or of the customer", nullable=True)
    worth: Money = column(
        "Value that can be had; NULL where it cannot be told", unit=CURRENCY, nullable=True, ge=0, origin=_WORTH
    )
    reason: Text = column("Why, in words and figures", origin=[_ORDERS, *_WORTH])
    as_of_date: Day = column("First day after the month, but not later than the day after the newest drop")
    snapshot_month: Day = partition("First day of the month", origin=(CustomerRfm, "snapshot_month"))

    class Config:
        unique = ["snapshot_month", "action", "rank"]

    @row_rule("An action is about a customer, a product or a country")
    def is_about_something() -> Column:
        of_customers, of_products = F.col("action").isin(*OF_CUSTOMERS), F.col("action").isin(RESTOCK, DROP)
        about = F.when(of_customers, F.col("customer_id")).when(of_products, F.col("product"))
        return about.isNotNull() | (~of_customers & ~of_products & F.col("country").isNotNull())

    @row_rule("Nothing is expected of the lost")
    def lost_are_worth_nothing() -> Column:
        return (F.col("action") != LOST) | (F.col("worth") == 0)


def kept_share() -> Column:
    """Of what a customer (customer_rfm) has bought, the part that was not returned."""
    kept = F.least(F.greatest(ratio(F.col("net_monetary"), F.col("monetary")), F.lit(0.0)), F.lit(1.0))
    return F.when(F.col("monetary") > 0, kept).otherwise(0.0)


def _could_be_won(chance: float) -> Column:
    """Value of the next 12 months × part kept × probability of leaving × chance."""
    return F.col("clv_12m") * F.col("kept") * F.col("leaving") * chance


def amount(value: Column, sign: str) -> Column:
    """Money in words, in whole units: £1,234."""
    whole = F.floor(F.abs(value.cast("double")) + 0.5).cast("bigint")
    rest = F.substring((F.pmod(whole, F.lit(1000)) + 1000).cast("string"), 2, 3)
    thousands = F.floor(whole / 1000).cast("bigint").cast("string")
    return F.when(whole < 1000, F.concat(F.lit(sign), whole.cast("string"))).otherwise(
        F.concat(F.lit(sign), thousands, F.lit(","), rest)
    )


def percent(share: Column) -> Column:
    """A share in words, in whole per cent: 81%."""
    return F.concat(F.floor(share * 100 + 0.5).cast("bigint").cast("string"), F.lit("%"))


def said(*parts: str | Column) -> Column:
    """Texts and columns, one after the other."""
    return F.concat(*(F.lit(part) if isinstance(part, str) else part.cast("string") for part in parts))


def ranked(actions: Sequence[DataFrame]) -> DataFrame:
    """The lists together, each ranked by worth, then by `second_to`, then by whom it names; the first of all are kept,
    and the first of each `choice`.

    Reads the contract's columns but `rank`, `second_to` (DOUBLE), what counts where worth is the same or not known, and
    `choice` (STRING), of customers.
    """
    every = reduce(DataFrame.unionByName, actions)
    named = F.coalesce("customer_id", "product", "country")
    best_first = [F.desc(F.coalesce(F.col("worth").cast("double"), F.lit(-1.0))), F.desc("second_to"), named]
    of_action = Window.partitionBy("snapshot_month", "action")
    of_choice = Window.partitionBy("snapshot_month", "action", "choice").orderBy("rank")
    most = F.when(F.col("action").isin(*OF_CUSTOMERS), MOST_CUSTOMERS).otherwise(MOST_OTHERS)
    first_of_choice = F.col("choice").isNotNull() & (F.row_number().over(of_choice) <= MOST_OF_EACH)
    return (
        every.withColumn("rank", F.row_number().over(of_action.orderBy(*best_first)).cast("int"))
        .withColumn("named", (F.col("rank") <= most) | first_of_choice)
        .filter("named")
        .drop("named", "choice", "second_to")
    )


_OF_RFM = ("as_of_date", "country", "rfm_segment", "recency_days", "frequency", "monetary")


def customer_actions(
    rfm: DataFrame, churn: DataFrame, clv: DataFrame, offers: DataFrame | None, chance: float, sign: str
) -> DataFrame:
    """Whom to win back, to bring to a second purchase, to thank, and who is lost, for `ranked`.

    `offers`: by `snapshot_month` and `customer_id` the `product` that goes with what was bought, and `offer`, why.
    `chance`: of winning back; `sign`: of the currency.
    """
    keys = ["snapshot_month", "customer_id"]
    known = (
        rfm.select(*keys, *_OF_RFM, kept_share().alias("kept"))
        .join(churn.select(*keys, F.col("churn_probability").alias("leaving")), keys, "left")
        .join(clv.select(*keys, "clv_12m", "probability_alive"), keys, "left")
    )
    offered = known.join(offers, keys, "left") if offers is not None else _without_offers(known)
    could_be_won = money_of_real(_could_be_won(chance))
    return (
        offered.withColumn("action", _action())
        .filter("action IS NOT NULL")
        .withColumns(
            {
                "worth": F.when(F.col("action") == LOST, F.lit(0).cast("decimal(18,3)")).otherwise(could_be_won),
                "reason": _reason(chance, sign),
                "product": F.when(F.col("action") == SECOND_PURCHASE, F.col("product")),
                "second_to": F.col("monetary").cast("double"),
                "choice": F.concat_ws("|", "country", "rfm_segment"),
            }
        )
        .select(*keys, "as_of_date", "action", "product", "country", "worth", "reason", "second_to", "choice")
    )


def _without_offers(known: DataFrame) -> DataFrame:
    return known.withColumns(dict.fromkeys(("product", "offer"), F.lit(None).cast("string")))


def _action() -> Column:
    """The one list that a customer belongs to; NULL for none."""
    once, likely_to_leave = F.col("frequency") == 1, F.col("leaving") >= MEDIUM_PROBABILITY
    return (
        F.when(is_lost(F.coalesce("probability_alive", F.lit(1.0)), F.col("frequency"), F.col("recency_days")), LOST)
        .when(once & (F.col("recency_days") <= WINDOW_DAYS), SECOND_PURCHASE)
        .when(likely_to_leave & (F.col("clv_12m") > 0), WIN_BACK)
        .when(F.col("rfm_segment").isin(*TO_THANK) & (F.coalesce("leaving", F.lit(0.0)) < MEDIUM_PROBABILITY), THANK)
    )


def _reason(chance: float, sign: str) -> Column:
    """Why a customer is in a list."""
    orders = F.when(F.col("frequency") == 1, "1 order").otherwise(said(F.col("frequency"), " orders"))
    bought = said(orders, " for ", amount(F.col("monetary"), sign), ", the last ", F.col("recency_days"), " days ago")
    returned = F.when(F.col("kept") < MOST_KEPT, said(" (", percent(1 - F.col("kept")), " returned so far)")).otherwise(
        ""
    )
    future = said(
        "; expected to spend ", amount(F.col("clv_12m") * F.col("kept"), sign), returned, " in the next 12 months, ",
        percent(F.col("leaving")), " likely to buy nothing in 90 days: ", amount(_could_be_won(chance), sign),
        " can be ", F.when(F.col("action") == WIN_BACK, "won").otherwise("kept"), " if ", f"{100 * chance:g}%",
        " of those who would leave stay",
    )  # fmt: skip
    unknown = F.lit("; what can be had cannot be told from so little coming back")
    alive = F.when(
        F.col("frequency") > 1, said("; ", percent(F.col("probability_alive")), " likely to be a customer still")
    ).otherwise(F.lit("; after a single order and so long a time nothing is expected"))
    offer = F.when(F.col("offer").isNotNull(), said("; offer ", F.col("offer"))).otherwise("")
    return F.when(F.col("action") == LOST, said(bought, alive)).otherwise(
        said(bought, F.coalesce(future, unknown), F.when(F.col("action") == SECOND_PURCHASE, offer).otherwise(""))
    )


def country_actions(countries: DataFrame, sign: str) -> DataFrame:
    """Which countries changed, for `ranked`, worth what is missing (what is more is had already): of each its
    `revenue`, `orders` and growth over the month before."""
    growth, revenue = F.col("month_over_month_growth"), F.col("revenue")
    change = revenue.cast("double") * growth / (growth + 1)
    words = F.when(growth > 0, "more than in as long of the month before: find out what it is that sells there")
    return countries.filter(
        (F.col("orders") >= FEWEST_ORDERS) & (F.abs(growth) >= CHANGED) & (growth > -1)
    ).select(
        "snapshot_month",
        F.lit(COUNTRY).alias("action"),
        F.lit(None).cast("string").alias("product"),
        "country",
        money(F.when(growth < 0, -change).otherwise(0.0)).alias("worth"),
        said(
            F.col("country"), " bought for ", amount(revenue, sign), ", ", amount(change, sign), " (",
            percent(F.abs(growth)), ") ", words.otherwise("less than in as long of the month before: ask why"),
        ).alias("reason"),
        F.abs(change).alias("second_to"),
    )  # fmt: skip


def of_no_customer(actions: DataFrame, of: DataFrame) -> DataFrame:
    """Actions about products and countries, with what those about customers have besides; `of`: as-of dates."""
    nothing = F.lit(None).cast("string")
    return actions.withColumns(dict.fromkeys(("customer_id", "choice"), nothing)).join(
        F.broadcast(of), "snapshot_month"
    )


def _of_the_models(audit: Audit) -> DataFrame:
    """Of each month the rows of customers whom `customer_rfm` does not know, whose worth is not the models', and who
    are in more than one list."""
    keys, chance = ["snapshot_month", "customer_id"], audit.findings["chance"]["of winning back"]
    named = audit.frame.filter("customer_id IS NOT NULL")
    held = (
        named.join(audit.inputs["rfm"].select(*keys, kept_share().alias("kept")), keys, "left")
        .join(audit.inputs["churn"].select(*keys, F.col("churn_probability").alias("leaving")), keys, "left")
        .join(audit.inputs["clv"].select(*keys, "clv_12m"), keys, "left")
    )
    won = money_of_real(_could_be_won(chance))
    wrong = (F.col("action") != LOST) & ~F.col("worth").eqNullSafe(won)
    counts = held.groupBy("snapshot_month").agg(
        F.count_if(F.col("kept").isNull()).alias("unknown"), F.count_if(wrong).alias("wrong")
    )
    twice = named.groupBy(*keys).agg(F.count("*").alias("lists")).groupBy("snapshot_month")
    return counts.join(twice.agg(F.count_if(F.col("lists") > 1).alias("twice")), "snapshot_month")


@check(
    "Every customer named is known from customer_rfm and is in one list; what could be won is expected value × "
    "part kept × probability × chance, to the last decimal",
    asks=_of_the_models,
    family=RECONCILIATION,
)
def customers_are_the_models(month: Evidence) -> Verdict:
    """Customers of the lists against the tables that they come from."""
    found = month.asked[0].asDict() if month.asked else dict.fromkeys(("unknown", "wrong", "twice"), 0)
    results = [
        RuleResult.within(rule, found[rule], f"{found[rule]} {words}", upper=0)
        for rule, words in (
            ("unknown", "customers are not in customer_rfm"),
            ("wrong", "customers are worth something else by customer_clv and churn_scores"),
            ("twice", "customers are in more than one list"),
        )
    ]
    return Verdict.of(results, {result.rule: result.observed for result in results})
