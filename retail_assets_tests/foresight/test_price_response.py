"""Elasticities and lifts: found where they were planted, refused where prices followed demand."""

import numpy as np
import pandas as pd
import pytest

from retail_assets.analytics.price_response import (
    independent_changes,
    poisson_effects,
    price_response,
)

PRODUCTS, PERIODS = 120, 26


def planted(elasticity: float, follows_demand: float = 0.0, changes: float = 0.06, seed: int = 3) -> pd.DataFrame:
    """Products whose demand wanders and has a season; prices change of themselves, or follow the demand before."""
    draw = np.random.default_rng(seed)
    rows = []
    season = 0.5 * np.sin(np.arange(PERIODS) / 4)
    for product in range(PRODUCTS):
        base, wander, price = draw.normal(3, 0.7), 0.0, draw.uniform(1, 8)
        usual = price
        for period in range(PERIODS):
            if draw.random() < changes:
                price = usual = usual * np.exp(draw.choice([-1, 1]) * draw.uniform(0.1, 0.3))
            price = usual * np.exp(follows_demand * wander)
            wander = 0.9 * wander + draw.normal(0, 0.15 if follows_demand else 0.05)
            demand = np.exp(base + season[period] + wander + elasticity * np.log(price))
            rows.append((product, period, draw.poisson(demand), price))
    return pd.DataFrame(rows, columns=["product", "period", "sales", "price"])


def test_a_planted_elasticity_is_found_within_its_interval_and_published():
    found = price_response(planted(-1.5))
    assert found.passed, found.reason
    assert found.published is not None
    assert found.published.lower <= -1.5 <= found.published.upper
    assert found.published.upper - found.published.lower < 0.5
    assert found.placebo is not None
    assert found.placebo.lower <= 0 <= found.placebo.upper


def test_prices_that_follow_demand_are_refused_with_the_reason_in_figures():
    panel = planted(0.0, follows_demand=0.8)
    alone = poisson_effects(panel["product"], panel["period"], panel["sales"], np.log(panel[["price"]].to_numpy()))
    assert alone is not None
    assert alone[0].lower > 0.3, "there is something to be misled by: the dearer, the more is sold"
    found = price_response(panel)
    assert not found.passed
    assert found.published is None
    assert "which nobody knows yet, seems to have" in found.reason


def test_too_few_changes_are_refused_however_clear_they_look():
    found = price_response(planted(-1.5, changes=0.004))
    assert found.changes < 30
    assert not found.passed
    assert f"{found.changes} independent changes, of at least 30" in found.reason


def test_prices_that_never_change_tell_nothing():
    found = price_response(planted(-1.5, changes=0.0))
    assert (found.effect, found.changes, found.passed) == (None, 0, False)


def test_a_change_lasts_two_periods_and_what_all_products_do_at_once_counts_once():
    prices: dict[str, list[float]] = {
        "alone": [2, 2, 2, 3, 3, 3],
        "sale": [2, 2, 1, 2, 2, 2],
        "rounded": [2, 2, 2, 2.04, 2.04, 2.04],
    }
    rows = [(name, period, price) for name, of in prices.items() for period, price in enumerate(of)]
    rows += [(f"other{n}", period, 5.0 if period < 4 else 6.0 + n / 100) for n in range(30) for period in range(6)]
    found = independent_changes(pd.DataFrame(rows, columns=["product", "period", "price"]))
    assert found.to_dict("records") == [
        {"product": "alone", "period": 3, "before": 2.0, "after": 3.0},
        {"product": "other29", "period": 4, "before": 5.0, "after": pytest.approx(6.29)},
    ]
