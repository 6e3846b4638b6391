"""Recency, frequency, monetary: quintile scores, the ten named segments, and what to do about each."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

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


def with_rfm_scores(frame: DataFrame, within: str) -> DataFrame:
    """Adds `r_score, f_score, m_score` (INT, 1 to 5), `rfm_score` (STRING, "555") and `rfm_segment`.

    Reads `recency_days` (days, fewer is better), `frequency` (orders) and `monetary` (money), none of them null.
    Customers are compared with those who have the same value in the column `within` (a snapshot's date, say).
    A score is min(5, 1 + floor(5 · percent_rank)), recency's reversed: equal values always get equal scores,
    and the most recent customers always get 5.
    """

    def quintile(column: str) -> Column:
        rank = F.percent_rank().over(Window.partitionBy(within).orderBy(column))
        return F.least(F.lit(QUINTILES), F.lit(1) + F.floor(rank * QUINTILES)).cast("int")

    recency, frequency, monetary = (F.col(name).cast("string") for name in ("r_score", "f_score", "m_score"))
    cell = F.concat(recency, frequency)
    segment = F.coalesce(*(F.when(cell.rlike(f"^{cells}$"), name) for cells, name in RFM_SEGMENTS.items()))
    return (
        frame.withColumn("r_score", F.lit(QUINTILES + 1) - quintile("recency_days"))
        .withColumn("f_score", quintile("frequency"))
        .withColumn("m_score", quintile("monetary"))
        .withColumn("rfm_score", F.concat(recency, frequency, monetary))
        .withColumn("rfm_segment", segment)
    )


def recommended_action(rfm_segment: Column) -> Column:
    """What marketing does about a segment of `RFM_SEGMENTS`; null for any other name."""
    return F.coalesce(*(F.when(rfm_segment == name, action) for name, action in RECOMMENDED_ACTIONS.items()))
