"""What sales do as prices change, and whether the data can tell at all.

A regression of sales on prices says whatever its author wants, unless prices changed independently of what else moves
sales. Two gates decide: there must be enough lasting changes of single products, and a placebo, the price of the period
to come, which no customer knows yet, must seem to matter little. What passes is published, with its interval; what does
not is refused, with the figures.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail_assets.analytics.threads import one_thread

Reals = NDArray[np.float64]

LEAST_CHANGES = 30
"""Independent changes that an elasticity must rest on."""

LEAST_CHANGE = 0.03
"""A price that differs by less is the same, rounded otherwise."""

TOGETHER = 0.1
"""Where more than this share of the products changes price in the same period, something happened to the shop: that
is one event, not as many experiments."""

PLACEBO_SHARE = 0.25
"""The placebo's share of the effect up to which it is one."""

Z = 1.96


@dataclass(frozen=True)
class Effect:
    """An estimated coefficient with its 95 % interval."""

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} ({self.lower:+.2f} to {self.upper:+.2f})"


@dataclass(frozen=True)
class Response:
    """What sales did, what the placebo says, on how many independent changes; `published` is None where it cannot be
    told, and `reason` says why, or why it can."""

    effect: Effect | None
    placebo: Effect | None
    changes: int
    products: int
    passed: bool
    reason: str

    @property
    def published(self) -> Effect | None:
        """The effect, if the gates let it pass."""
        return self.effect if self.passed else None


def independent_changes(panel: pd.DataFrame) -> pd.DataFrame:
    """Lasting changes of single products: `product`, `period`, `before`, `after`.

    `panel`: `product`, `period` (0, 1, …, without gaps within a product), `price`; or, in its place, `usual`, the price
    where nearly all paid the same, else NaN. A change lasts if the price was the same for two periods before it and
    stays the same for two. Where too many products change in a period, it counts
    once: for the one that changed most.
    """
    rows = panel.sort_values(["product", "period"], ignore_index=True)
    rows = rows.assign(price=rows["usual"]) if "usual" in rows else rows
    of = rows.groupby("product")["price"]
    before, earlier, later = of.shift(1), of.shift(2), of.shift(-1)

    def differs(one: "pd.Series[float]", other: "pd.Series[float]") -> "pd.Series[bool]":
        return np.abs(np.log(one) - np.log(other)) >= LEAST_CHANGE

    known = rows["price"].notna() & before.notna() & earlier.notna() & later.notna()
    lasting = known & differs(rows["price"], before) & ~differs(before, earlier) & ~differs(later, rows["price"])
    found = rows[lasting].assign(before=before[lasting], after=rows.loc[lasting, "price"])
    products = rows.groupby("period").size()
    together = found.groupby("period")["product"].transform("size") > TOGETHER * found["period"].map(products)
    size = pd.Series(np.abs(np.log(found["after"]) - np.log(found["before"])), found.index)
    by_size = size.sort_values(ascending=False, kind="stable").index
    largest = ~found.loc[by_size].duplicated("period").reindex(found.index)
    return found.loc[~together | largest, ["product", "period", "before", "after"]].reset_index(drop=True)


def price_response(panel: pd.DataFrame) -> Response:
    """The elasticity of sales, held against both gates.

    `panel`: `product`, `period`, `sales` (a count), `price` (above 0), without gaps within a product.
    """
    changes = len(independent_changes(panel))
    rows = panel.sort_values(["product", "period"], ignore_index=True)
    now = np.log(rows["price"])
    to_come = now.groupby(rows["product"]).shift(-1)
    kept = to_come.notna()
    return _gated(rows[kept], np.column_stack([now[kept], to_come[kept]]), changes)


def _gated(rows: pd.DataFrame, prices: Reals, changes: int) -> Response:
    """`prices`: logarithms of each row's price, and of that of the period to come."""
    products = int(rows["product"].nunique())
    effects = poisson_effects(rows["product"], rows["period"], rows["sales"], prices)
    if effects is None:
        reason = f"cannot be told: {changes} independent changes of {products} products, too few to estimate from"
        return Response(None, None, changes, products, False, reason)
    effect, placebo = effects
    problems = []
    if changes < LEAST_CHANGES:
        problems.append(f"{changes} independent changes, of at least {LEAST_CHANGES}")
    if effect.lower <= 0 <= effect.upper:
        problems.append(f"elasticity {effect} may be none")
    if abs(placebo.value) > PLACEBO_SHARE * abs(effect.value):
        problems.append(
            f"the price of the next period, which nobody knows yet, seems to have {placebo}, beside {effect}: "
            f"more than {PLACEBO_SHARE:.0%} of it"
        )
    told = f"elasticity {effect}, placebo {placebo}, {changes} independent changes of {products} products"
    reason = f"cannot be told: {'; '.join(problems)}" if problems else told
    return Response(effect, placebo, changes, products, not problems, reason)


@one_thread()
def poisson_effects(product: Any, period: Any, sales: Any, columns: Reals) -> list[Effect] | None:
    """Coefficients of the columns in a Poisson regression with an effect of each product and of each period (Santos
    Silva and Tenreyro 2006), intervals by a sandwich clustered by product;
    None where the columns do not vary within products and periods."""
    sold = np.asarray(sales, dtype=float)
    groups = [np.unique(np.asarray(of), return_inverse=True)[1] for of in (product, period)]
    kept = (np.bincount(groups[0], sold)[groups[0]] > 0) & (np.bincount(groups[1], sold)[groups[1]] > 0)
    if not kept.any():
        return None
    groups = [np.unique(of[kept], return_inverse=True)[1] for of in groups]
    y, x = sold[kept], np.asarray(columns, dtype=float)[kept]
    beta, fitted = np.zeros(x.shape[1]), np.maximum(y, 0.1)
    for _ in range(50):
        working = np.log(fitted) + (y - fitted) / fitted
        within = _within(np.column_stack([working, x]), fitted, groups)
        resid_x, resid_y = within[:, 1:], within[:, 0]
        bread = resid_x.T @ (resid_x * fitted[:, None])
        if np.linalg.cond(bread) > 1e10 or np.diag(bread).min() < 1e-6:
            return None
        step = np.linalg.solve(bread, resid_x.T @ (fitted * resid_y))
        # What is left of the working response is its residual; the rest is the linear predictor.
        fitted = np.exp(np.clip(working - (resid_y - resid_x @ step), -20, 20))
        moved, beta = np.abs(step - beta).max(), step
        if moved < 1e-8:
            break
    scores = resid_x * (y - fitted)[:, None]
    clusters = np.column_stack([np.bincount(groups[0], column) for column in scores.T])
    number, inverse = len(clusters), np.linalg.inv(bread)
    variance = inverse @ (clusters.T @ clusters) @ inverse * number / max(number - 1, 1)
    deviations = np.sqrt(np.diag(variance))
    return [Effect(float(b), float(b - Z * d), float(b + Z * d)) for b, d in zip(beta, deviations, strict=True)]


def _within(columns: Reals, weights: Reals, groups: list[Any]) -> Reals:
    """The columns less weighted means of products and periods, by turns, until nothing is left of them."""
    left = columns.copy()
    for _ in range(200):
        moved = 0.0
        for of in groups:
            total = np.bincount(of, weights)
            for position in range(left.shape[1]):
                mean = (np.bincount(of, weights * left[:, position]) / total)[of]
                left[:, position] -= mean
                moved = max(moved, float(np.abs(mean).max()))
        if moved < 1e-9:
            break
    return left
