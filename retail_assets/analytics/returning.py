"""Whether customers come back at all: where hardly anybody does, there is no leaving to foresee, and nothing is fitted.

On a marketplace on which 99 of 100 buy once, a model that calls everybody lost is right 99 times, whatever it knows of
them: what it says of one customer is what it says of all.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

LEAST_RETURNING = 0.05
"""Share of the customers that have to buy again. Online Retail II, within 90 days: 0.33 to 0.58. Olist: 0.003 to 0.009,
and forest and boosting foresaw who comes back with a ROC AUC of 0.50 to 0.61, days since the last purchase with 0.54 to
0.59."""


@dataclass(frozen=True)
class Returning:
    """Of so many `customers` so many `returned`, that is, bought again."""

    customers: int
    returned: int

    @property
    def needed(self) -> int:
        """How many of them have to buy again, so that there is something to learn."""
        return -int(-self.customers * LEAST_RETURNING // 1)

    @property
    def of_whom(self) -> str:
        """What there are too few of."""
        return f"of {self.customers:,} known outcomes are another purchase in time"

    def shown(self) -> dict[str, str]:
        """What the UI says of a month that has no model for this reason."""
        told = f"Cannot be learned: {self.returned:,} {self.of_whom}, fewer than {LEAST_RETURNING:.0%}"
        return {} if self.enough else {"churn": told}

    @property
    def enough(self) -> bool:
        """Whether so many did."""
        return self.returned >= self.needed


def outcomes(activity: DataFrame, snapshots: DataFrame, window_days: int) -> DataFrame:
    """One row per snapshot: `as_of_date`, `customers` who had bought by then, and how many of them `returned` within
    so many days.

    `activity` and `snapshots` as of `churn_feature_frame`; without its features, so that it costs little to ask first.
    """
    in_order = Window.partitionBy("customer_id").orderBy("activity_month")
    bought = activity.filter("orders > 0").select(
        "activity_month",
        F.lead("activity_month").over(in_order).alias("next_month"),
        F.lead("first_purchase_date").over(in_order).alias("next_purchase_date"),
    )
    newest_known = (F.col("activity_month") <= F.col("snapshot_month")) & (
        F.col("next_month").isNull() | (F.col("next_month") > F.col("snapshot_month"))
    )
    in_time = F.col("next_purchase_date") < F.date_add("as_of_date", window_days)
    return (
        bought.join(F.broadcast(snapshots.select("snapshot_month", "as_of_date")), newest_known)
        .groupBy("as_of_date")
        .agg(F.count("*").alias("customers"), F.count_if(in_time).alias("returned"))
    )


class KnownOutcomes:
    """Rows of `outcomes` on the driver, and what could be learned from them on any day."""

    def __init__(self, rows: pd.DataFrame, window_days: int, snapshots: int) -> None:
        """`snapshots`: of how many, the newest, a model is made."""
        self._of = {
            of: Returning(int(customers), int(returned))
            for of, customers, returned in zip(rows["as_of_date"], rows["customers"], rows["returned"], strict=True)
        }
        self._window, self._snapshots = timedelta(days=window_days), snapshots

    @property
    def any_enough(self) -> bool:
        """Whether there may be a day on which something can be learned; if not, there is none."""
        return any(one.enough for one in self._of.values())

    def known(self, day: date) -> Returning:
        """The outcomes that a model made on `day` learns from, of the newest snapshots that were closed by then."""
        newest = sorted(of for of in self._of if of + self._window <= day)[-self._snapshots :]
        return Returning(sum(self._of[of].customers for of in newest), sum(self._of[of].returned for of in newest))
