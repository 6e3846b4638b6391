"""Recency, frequency, monetary: quintile scores, the ten named segments of their grid, twelve segments by value and
engagement, and what to do about each."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.standing import standing

# Pattern over recency score and frequency score -> segment: total and disjoint on the 5×5 grid. Source: the
# catalogue of tables, after the widely used grid of Putler and of G. Martin, "RFM Segmentation with Python".
RFM_SEGMENTS = {
    "[12][12]": "Hibernating",
    "[12][34]": "At Risk",
    "[12]5": "Can't Lose Them",
    "3[12]": "About To Sleep",
    "33": "Need Attention",
    "(3[45]|44|45)": "Loyal Customers",
    "41": "Promising",
    "51": "New Customers",
    "[45][23]": "Potential Loyalists",
    "5[45]": "Champions",
}

RECOMMENDED_ACTIONS = {
    "Champions": "Reward them, show new products first, ask for reviews and referrals",
    "Loyal Customers": "Offer more of what they buy; invite to the loyalty programme",
    "Potential Loyalists": "Recommend related products; offer membership",
    "New Customers": "Welcome them; help the first order succeed and suggest a second",
    "Promising": "Build awareness; a small offer for a second order",
    "Need Attention": "A limited-time offer on what they bought before",
    "About To Sleep": "Reconnect with popular products and a discount before they are lost",
    "At Risk": "Write personally with a renewal offer",
    "Can't Lose Them": "Call them; win them back before a competitor does",
    "Hibernating": "A cheap reminder of relevant products; do not overspend",
}

QUINTILES = 5
MIDDLE = 3

VALUES = ("High", "Growing", "Base")
ENGAGEMENTS = ("Active & Engaged", "At Risk", "Developing", "Inactive")

VALUE_ENGAGEMENT_ACTIONS = {
    ("High", "Active & Engaged"): "Reward and keep: a named contact, early access, no discounts",
    ("High", "At Risk"): "Call them this week: find out why they stopped, a personal renewal offer",
    ("High", "Developing"): "Turn large orders into regular ones: standing orders, reminders to reorder",
    ("High", "Inactive"): "Win them back with an offer on what they bought; write personally",
    ("Growing", "Active & Engaged"): "Raise the order value: bundles, free delivery above a threshold",
    ("Growing", "At Risk"): "A limited-time offer before they are lost",
    ("Growing", "Developing"): "Recommend related products soon after each order",
    ("Growing", "Inactive"): "One seasonal win-back campaign",
    ("Base", "Active & Engaged"): "Show more of the range: they come often and buy little",
    ("Base", "At Risk"): "A small voucher with an end date",
    ("Base", "Developing"): "Welcome them; help with a second and third order",
    ("Base", "Inactive"): "A cheap newsletter only; do not spend on them",
}
"""What marketing does about each of the twelve segments by value and engagement."""


def with_rfm_scores(frame: DataFrame, within: str) -> DataFrame:
    """Adds `r_score, f_score, m_score` (INT, 1 to 5), `rfm_score` (STRING, "555") and `rfm_segment`.

    Reads `recency_days` (days, fewer is better), `frequency` (orders) and `monetary` (money), none of them null.
    Customers are compared with those who have the same value in the column `within` (a snapshot's date, say).
    A score is min(5, 1 + floor(5 · share before)), recency's reversed. Equal values always get equal scores, by where
    they stand together (`standing`): the best are always 5, the last always 1, and where all are alike they are 3.
    """

    def quintile(column: str) -> Column:
        stands = standing(column, within)
        share = stands.before / F.greatest(stands.count - 1, F.lit(1))
        return (
            F.when(stands.all_alike, MIDDLE)
            .when(stands.is_first, 1)
            .when(stands.is_last, QUINTILES)
            .otherwise(F.least(F.lit(QUINTILES), F.lit(1) + F.floor(share * QUINTILES)))
            .cast("int")
        )

    recency, frequency, monetary = (F.col(name).cast("string") for name in ("r_score", "f_score", "m_score"))
    cell = F.concat(recency, frequency)
    segment = F.coalesce(*(F.when(cell.rlike(rf"^{cells}\z"), name) for cells, name in RFM_SEGMENTS.items()))
    return (
        frame.withColumn("r_score", F.lit(QUINTILES + 1) - quintile("recency_days"))
        .withColumn("f_score", quintile("frequency"))
        .withColumn("m_score", quintile("monetary"))
        .withColumn("rfm_score", F.concat(recency, frequency, monetary))
        .withColumn("rfm_segment", segment)
    )


def with_value_and_engagement(frame: DataFrame, within: str) -> DataFrame:
    """Adds `value_segment` and `engagement_segment` (STRING): where a customer lies by the medians of its snapshot.

    Reads what `with_rfm_scores` reads. Value: more than twice the median of monetary is High, above the median Growing,
    else Base. Engagement: recent (recency at most the median) and frequent (frequency above the median) is Active &
    Engaged, frequent but not recent At Risk, recent but not frequent Developing, else Inactive. Equal values are always
    judged alike. Where so many are equals that the median is theirs, the best are High and frequent all the same, and
    those who have been away longest are not recent; where all are alike they are Growing and Developing.
    """
    everyone = Window.partitionBy(within)

    def median(column: str) -> Column:
        return F.median(F.col(column).cast("double")).over(everyone)

    def least(column: str) -> Column:
        return F.col(column) == F.min(column).over(everyone)

    def most(column: str) -> Column:
        return F.col(column) == F.max(column).over(everyone)

    monetary = F.col("monetary").cast("double")
    recent = (F.col("recency_days") <= median("recency_days")) & (least("recency_days") | ~most("recency_days"))
    frequent = (F.col("frequency") > median("frequency")) | (most("frequency") & ~least("frequency"))
    high, growing, base = VALUES
    engaged, at_risk, developing, inactive = ENGAGEMENTS
    return frame.withColumns(
        {
            "value_segment": F.when(most("monetary"), F.when(least("monetary"), growing).otherwise(high))
            .when(monetary > 2 * median("monetary"), high)
            .when(monetary > median("monetary"), growing)
            .otherwise(base),
            "engagement_segment": F.when(frequent & recent, engaged)
            .when(frequent, at_risk)
            .when(recent, developing)
            .otherwise(inactive),
        }
    )


def value_engagement_action(value: Column, engagement: Column) -> Column:
    """What marketing does about a segment by value and engagement; null for any other names."""
    return F.coalesce(
        *(F.when((value == v) & (engagement == e), action) for (v, e), action in VALUE_ENGAGEMENT_ACTIONS.items())
    )


def recommended_action(rfm_segment: Column) -> Column:
    """What marketing does about a segment of `RFM_SEGMENTS`; null for any other name."""
    return F.coalesce(*(F.when(rfm_segment == name, action) for name, action in RECOMMENDED_ACTIONS.items()))
