"""What lifetime value foresaw against what came: in all, by decile of predicted value, and month by month."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail_assets.analytics.lifetime_value import LifetimeModel, Numbers, naive_value
from retail_assets.analytics.standing import parts

DECILES = 10

Chosen = slice | NDArray[np.bool_]
"""Which customers."""


@dataclass(frozen=True)
class Holdout:
    """A window after `as_of` that is over: `ends` are the ends of its months, the last that of the window.

    An end is the first day that is no longer in it.
    """

    as_of: date
    ends: tuple[date, ...]

    @property
    def days(self) -> list[int]:
        """Days from the as-of date to each end."""
        return [(end - self.as_of).days for end in self.ends]


def holdout_rows(holdout: Holdout, customers: pd.DataFrame, later: pd.DataFrame, model: LifetimeModel) -> pd.DataFrame:
    """Predicted, naive and actual sums of the window: `slice, number, customers, predicted_purchases,
    actual_purchases, predicted_value, naive_value, actual_value, rank_correlation, naive_rank_correlation`.

    `customers`: rows of `purchase_summaries` as of `holdout.as_of`, to which `model` was fitted. `later`:
    `customer_id`, `month` (0 the first of the window), `purchases`, `spend`; strangers to `customers` are left out.
    Slices: `all` (number 0), `decile` (1 the tenth of customers of highest predicted value) and `month` (sums from the
    as-of date to the end of so many months: cumulative tracking). Rank correlations with actual spend over the
    customers are of `all` only, and None where everyone is alike.
    """
    # Of rows in order already, as both tables have them, a stable sort only makes sure.
    customers = customers.sort_values("customer_id", ignore_index=True, kind="stable")
    worth = model.expected_value(customers)[:, None]
    purchases = model.expected_purchases(customers, holdout.days)
    naive = np.column_stack([naive_value(customers, days) for days in holdout.days])
    bought, spent = (_cumulative(customers, later, of, len(holdout.ends)) for of in ("purchases", "spend"))

    def sums(chosen: Chosen, month: int) -> dict[str, object]:
        return {
            "customers": len(customers.index[chosen]),
            "predicted_purchases": float(purchases[chosen, month].sum()),
            "actual_purchases": round(bought[chosen, month].sum()),
            "predicted_value": float((purchases * worth)[chosen, month].sum()),
            "naive_value": float(naive[chosen, month].sum()),
            "actual_value": Decimal(f"{spent[chosen, month].sum():.3f}"),
        }

    everyone, value = slice(None), (purchases * worth)[:, -1]
    decile = parts(value, DECILES)
    rows = [
        {
            "slice": "all",
            "number": 0,
            **sums(everyone, -1),
            "rank_correlation": _rank_correlation(value, spent[:, -1]),
            "naive_rank_correlation": _rank_correlation(naive[:, -1], spent[:, -1]),
        }
    ]
    rows += [{"slice": "decile", "number": n, **sums(decile == n, -1)} for n in sorted(set(decile.tolist()))]
    rows += [{"slice": "month", "number": n + 1, **sums(everyone, n)} for n in range(len(holdout.ends))]
    return pd.DataFrame(rows)


def _cumulative(customers: pd.DataFrame, later: pd.DataFrame, of: str, months: int) -> Numbers:
    """What each customer had of it by the end of each month: customers × months."""
    by_month = later.pivot_table(index="customer_id", columns="month", values=of, aggfunc="sum")
    known = by_month.reindex(index=customers["customer_id"], columns=range(months))
    return known.fillna(0.0).to_numpy(dtype=np.float64).cumsum(axis=1)


def _rank_correlation(one: Numbers, other: Numbers) -> float | None:
    from scipy.stats import spearmanr

    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(one, other).statistic)
