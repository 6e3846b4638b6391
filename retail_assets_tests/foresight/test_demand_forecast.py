"""Demand: what is said of the weeks to come adds up, is in order, knows nothing of them, and is judged by what came."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from retail_assets.analytics.demand_bands import QUANTILES, TOTAL, bands, pattern_of, volume_of
from retail_assets.analytics.demand_models import (
    LAST_YEAR,
    LEARNED,
    MODELS,
    SEASONAL,
    SMOOTHED,
    forecasts,
    learned,
    why_not_learned,
)
from retail_assets.analytics.demand_outcomes import (
    ALL,
    COUNTRY,
    FAMILY,
    HORIZONS,
    LEVELS,
    PRODUCT,
    SHOP,
    champion,
    past_errors,
    said_by,
)
from retail_assets.analytics.demand_panel import panel_of
from retail_assets.analytics.stock_cover import reorder_points
from retail_assets.analytics.threads import one_thread
from retail_assets.foresight.demand_candidates import DemandCandidates, demand_candidates
from retail_assets.foresight.demand_forecast import DemandForecast, demand_forecast, reason
from retail_assets.foresight.forecast_evaluation import ForecastEvaluation, forecast_evaluation
from retail_assets.foresight.reorder_evaluation import reorder_evaluation
from retail_assets.lakehouse.contracts import spark_schema
from retail_assets_tests.foresight.made_demand import made_demand, week

ORIGIN = 80
"""The week that is forecast from; its four weeks are over in the made demand."""

CLOSED = (64, 68, 72, 76)


def fit(estimator, rows, outcome):
    with one_thread():  # on a busy machine several threads wait for each other longer than they work
        return estimator.fit(rows, outcome)


@cache
def demand() -> pd.DataFrame:
    return made_demand()


@cache
def said(number: int) -> pd.DataFrame:
    panel = panel_of(demand(), week(number))
    return demand_candidates(panel, learned(panel, fit) if number == ORIGIN else None)


@pytest.fixture(scope="module")
def candidates() -> pd.DataFrame:
    return pd.concat([said(number) for number in (*CLOSED, ORIGIN)], ignore_index=True)


@pytest.fixture(scope="module")
def shares() -> pd.DataFrame:
    codes = sorted(set(demand()["stock_code"]))
    return pd.DataFrame(
        [(code, *of) for code in codes for of in (("France", 0.25), ("United Kingdom", 0.75))],
        columns=["stock_code", "country", "share"],
    )


@pytest.fixture(scope="module")
def forecast(candidates, shares) -> pd.DataFrame:
    return demand_forecast(candidates, demand(), shares, LEARNED, week(ORIGIN))


def test_a_changed_future_changes_no_forecast(candidates, shares, forecast):
    changed = demand().copy()
    later = changed["week"] > week(ORIGIN)
    changed.loc[later, ["units", "revenue", "orders"]] *= 17
    changed.loc[later, "family"] = "Changed"
    panel = panel_of(changed, week(ORIGIN))
    again = demand_candidates(panel, learned(panel, fit))
    pd.testing.assert_frame_equal(again, said(ORIGIN))
    pd.testing.assert_frame_equal(demand_forecast(candidates, changed, shares, LEARNED, week(ORIGIN)), forecast)


def test_a_changed_past_does_change_it():
    changed = demand().copy()
    changed.loc[changed["week"] == week(ORIGIN), "units"] *= 17
    panel = panel_of(changed, week(ORIGIN))
    assert not demand_candidates(panel, None).equals(said(ORIGIN))


def test_everything_adds_up(forecast):
    sums = forecast.groupby(["level", "horizon"])["units"].sum().unstack()
    assert list(sums.index) == sorted(LEVELS)
    for level in (FAMILY, COUNTRY, SHOP):
        np.testing.assert_allclose(sums.loc[level], sums.loc[PRODUCT])
    np.testing.assert_allclose(sums[[h for h in HORIZONS if h != TOTAL]].sum(axis=1), sums[TOTAL])


def test_bands_are_in_order_and_nothing_is_negative(forecast):
    told = forecast[forecast["level"] != COUNTRY]
    quantiles = told[list(QUANTILES)].to_numpy()
    assert not np.isnan(quantiles).any()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles >= 0).all()
    assert (forecast["units"] >= 0).all()
    assert forecast[forecast["level"] == COUNTRY][list(QUANTILES)].isna().all().all()


def test_rows_are_those_of_the_contracts(candidates, forecast):
    assert set(spark_schema(DemandForecast).fieldNames()) <= set(forecast.columns)
    assert set(spark_schema(DemandCandidates).fieldNames()) <= set(candidates.columns)
    evaluated = forecast_evaluation(candidates, demand(), week(ORIGIN + 4))
    assert set(spark_schema(ForecastEvaluation).fieldNames()) <= set(evaluated.columns)


def test_every_product_sold_within_a_quarter_is_forecast_and_no_other():
    long_gone = demand()[(demand()["stock_code"] != "20010") | (demand()["week"] < week(ORIGIN - 12))]
    made = demand_candidates(panel_of(long_gone, week(ORIGIN)), None)
    assert "20010" not in set(made["stock_code"])
    assert set(made["stock_code"]) == set(said(ORIGIN)["stock_code"]) - {"20010"}


def test_nothing_is_learned_of_too_short_a_history(candidates):
    assert learned(panel_of(demand(), week(60)), fit) is None
    by_origin = candidates.groupby("week")["model"].agg(set)
    assert by_origin[week(CLOSED[0])] == {SEASONAL, SMOOTHED, LAST_YEAR}
    assert by_origin[week(ORIGIN)] == set(MODELS)


def test_nothing_is_learned_where_hardly_anything_sells_every_week():
    rare = demand()[demand()["week"].map(lambda day: day.day < 8)]  # one week in four or five
    assert (why_not_learned(panel_of(demand(), week(ORIGIN))), why_not_learned(panel_of(rare, week(60)))) == (
        None,
        "60 weeks of history, of at least 73",
    )
    few = rare.assign(units=1)
    assert "make 0% of the units" in str(why_not_learned(panel_of(few, week(ORIGIN))))


def test_last_year_is_told_only_where_there_was_one():
    models = {number: set(forecasts(panel_of(demand(), week(number)), None)["model"]) for number in (50, 51)}
    assert models == {50: {SEASONAL, SMOOTHED}, 51: {SEASONAL, SMOOTHED, LAST_YEAR}}


def test_before_anything_was_learned_the_errors_are_those_of_what_would_have_been_gone_by(candidates):
    panel = panel_of(demand(), week(ORIGIN))
    errors = past_errors(said_by(candidates, LEARNED), panel)
    instead = past_errors(said_by(candidates, SEASONAL), panel)
    pd.testing.assert_frame_equal(errors, instead)
    assert set(errors["week"]) == {week(number) for number in CLOSED}


def test_measures_are_what_they_are_called(candidates):
    rows = forecast_evaluation(candidates, demand(), week(ORIGIN + 4)).to_dict("records")
    evaluated = {(row["level"], row["product_class"], row["model"]): row for row in rows}
    own = said(ORIGIN)[said(ORIGIN)["model"] == SMOOTHED].set_index("stock_code")
    ahead = [week(ORIGIN + number) for number in range(1, 5)]
    came = demand()[demand()["week"].isin(ahead)].groupby("stock_code")["units"].sum().reindex(own.index, fill_value=0)
    told = own[["week_1", "week_2", "week_3", "week_4"]].sum(axis=1)
    row = evaluated[PRODUCT, ALL, SMOOTHED]
    assert row["wape"] == pytest.approx((told - came).abs().sum() / came.sum())
    assert row["bias"] == pytest.approx((told.sum() - came.sum()) / came.sum())
    assert evaluated[SHOP, ALL, SMOOTHED]["wape"] == pytest.approx(abs(row["bias"]))
    assert 0 < row["rmsse"] < 2
    assert evaluated[PRODUCT, ALL, LEARNED]["wape"] < evaluated[PRODUCT, ALL, LAST_YEAR]["wape"]


def test_the_first_origin_is_judged_without_bands(candidates, shares):
    first = candidates[candidates["week"] == week(CLOSED[0])]
    evaluated = forecast_evaluation(first, demand(), week(CLOSED[0] + 4))
    assert evaluated["coverage_80"].isna().all()
    assert set(evaluated["model"]) == {SEASONAL, SMOOTHED, LAST_YEAR}
    told = demand_forecast(first, demand(), shares, SEASONAL, week(CLOSED[0]))
    assert told[list(QUANTILES)].isna().all().all()


def test_reorder_points_cover_what_they_promise_and_nothing_of_the_future(candidates):
    points = reorder_points(said_by(candidates, LEARNED), panel_of(demand(), week(ORIGIN)), week(ORIGIN))
    assert len(points) == 9 * candidates[candidates["week"] == week(ORIGIN)]["stock_code"].nunique()
    assert (points["reorder_point"] >= points["expected_units"] - 1).all()
    evaluated = reorder_evaluation(candidates, demand(), week(ORIGIN + 4)).set_index(["lead_weeks", "service_level"])
    assert evaluated["reached"].min() >= 0.85
    by_level = evaluated["reached"].unstack()
    assert (by_level[98] >= by_level[90]).all()
    assert reorder_evaluation(candidates, demand(), week(CLOSED[0] + 4)).empty


def test_what_was_not_forecast_four_weeks_before_is_not_judged(candidates):
    assert len(forecast_evaluation(candidates, demand(), week(ORIGIN + 3))) == 0


def test_the_smallest_error_does_not_score_if_it_forecasts_too_little():
    def of(model, wape, bias):
        return [{"origin": week(4 * n), "model": model, "wape": wape, "bias": bias} for n in range(3)]

    evaluated = pd.DataFrame([*of(LEARNED, 0.45, -0.31), *of(SEASONAL, 0.5, 0.05), *of(SMOOTHED, 0.55, 0.1)])
    assert champion(evaluated, {LEARNED, SEASONAL, SMOOTHED})[0] == SEASONAL
    assert champion(evaluated, {LEARNED, SMOOTHED})[0] == SMOOTHED
    of_last_year = pd.DataFrame(of(LAST_YEAR, 0.1, 0.0))
    assert champion(pd.concat([evaluated, of_last_year]), {*MODELS})[0] == SEASONAL
    better = evaluated.assign(bias=0.1)
    assert champion(better, {LEARNED, SEASONAL, SMOOTHED})[0] == LEARNED


def test_without_three_closed_origins_the_rule_is_the_same_for_every_shop():
    nothing = pd.DataFrame(columns=["origin", "model", "wape", "bias"])
    assert champion(nothing, set(MODELS))[0] == LEARNED
    assert champion(nothing, {SEASONAL, SMOOTHED, LAST_YEAR})[0] == SEASONAL


def test_bands_hold_what_they_promise_of_errors_like_those_they_are_made_of():
    random = np.random.default_rng(3)
    units = random.gamma(2, 20, 4000)
    kinds = {"volume": "over 40", "pattern": "steady", "horizon": TOTAL}
    past = pd.DataFrame({**kinds, "error": random.gamma(1, 1, 4000) - 1})
    told = bands(pd.DataFrame({**kinds, "units": units}), past)
    came = units + (random.gamma(1, 1, 4000) - 1) * (units + 1)
    within = ((came >= told["quantile_10"]) & (came <= told["quantile_90"])).mean()
    assert within == pytest.approx(0.8, abs=0.02)


def test_without_closed_origins_there_is_no_band():
    kinds = {"volume": "over 40", "pattern": "steady", "horizon": TOTAL}
    none = bands(pd.DataFrame([{**kinds, "units": 5.0}]), pd.DataFrame(columns=[*kinds, "error"]))
    assert none.isna().all().all()


def test_products_are_told_apart_by_what_they_sell():
    assert list(volume_of(np.array([40, 39.9, 4, 0.2]))) == ["over 40", "12 to 40", "4 to 12", "under 1"]
    assert list(pattern_of(np.array([4, 60, 60]), np.array([0.9, 0.3, 0.1]))) == ["new", "intermittent", "steady"]


def test_the_reason_is_told_in_words():
    product = {
        "weekly_units": 25.0,
        "weeks_known": 70,
        "weeks_without": 2,
        "last_year_units": 31.0,
        "pattern": "steady",
    }
    assert reason(product) == "sold in 11 of 13 weeks, 25.0 units a week; in these weeks of last year 31.0"
    fresh = {**product, "pattern": "new", "weeks_known": 2, "weekly_units": 4.0, "weeks_without": 11}
    assert reason(fresh) == "new: sold for 2 weeks, 26 units a week"
