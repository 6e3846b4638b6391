"""BG/NBD and Gamma-Gamma against the literature (CDNOW), against integration, and where they cannot be fitted."""

from collections.abc import Callable
from dataclasses import astuple
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from scipy.special import betaln, log_expit

from retail_assets.analytics import lifetime_value
from retail_assets.analytics.lifetime_value import (
    BgNbd,
    GammaGamma,
    LifetimeModel,
    NotFitted,
    bg_nbd_log_likelihood,
    discounted,
    fit_bg_nbd,
    fit_gamma_gamma,
    fit_lifetime,
    month_ends,
    naive_value,
    purchase_summaries,
)

CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426, log_likelihood=-9582.4, customers=2357)
"""The published estimates, in weeks."""


@pytest.fixture(scope="module")
def cdnow(real_data: Path) -> pd.DataFrame:
    """The published summary: 2,357 customers, calibration 39 weeks; frequency, recency and T in weeks."""
    return pd.read_csv(real_data / "cdnow" / "cdnow_summary_with_value.csv.gz")


@pytest.fixture(scope="module")
def cdnow_purchases(real_data: Path) -> pd.DataFrame:
    """Every purchase of the same customers, one row per customer and day, in calibration and after it."""
    lines = pd.read_csv(
        real_data / "cdnow" / "cdnow_sample.txt.gz",
        sep=r"\s+",
        names=["master_id", "customer", "day", "cds", "value"],
    )
    lines["day"] = pd.to_datetime(lines["day"], format="%Y%m%d")
    return lines.groupby(["customer", "day"])["value"].sum().reset_index()


@pytest.fixture(scope="module")
def fitted(cdnow: pd.DataFrame) -> BgNbd:
    return fit_bg_nbd(cdnow["x"], cdnow["t_x"], cdnow["T"])


def test_cdnow_gives_the_published_bg_nbd(fitted: BgNbd):
    assert (round(fitted.r, 3), round(fitted.alpha, 3), round(fitted.a, 3), round(fitted.b, 3)) == (
        0.243, 4.414, 0.793, 2.426,
    )  # fmt: skip
    assert round(fitted.log_likelihood, 1) == -9582.4
    assert fitted.customers == 2357


def test_cdnow_gives_the_published_expected_purchases(fitted: BgNbd, cdnow: pd.DataFrame):
    assert round(float(fitted.expected_purchases(39, 2, 30.43, 38.86)), 3) == 1.226
    # What was published per customer came from the estimates above.
    assert float(CDNOW.expected_purchases(39, 2, 30.43, 38.86)) == pytest.approx(1.226, abs=0.0005)
    alive = fitted.probability_alive(cdnow["x"], cdnow["t_x"], cdnow["T"])
    assert ((alive > 0) & (alive <= 1)).all()
    assert (alive[cdnow["x"] == 0] == 1).all()


def test_cdnow_purchases_give_the_published_gamma_gamma(cdnow_purchases: pd.DataFrame):
    calibration = cdnow_purchases[cdnow_purchases["day"] <= "1997-09-30"]
    first = calibration.groupby("customer")["day"].transform("min")
    repeats = calibration[calibration["day"] > first].groupby("customer")["value"].agg(["size", "mean"])
    assert len(repeats) == 946
    model = fit_gamma_gamma(repeats["size"], repeats["mean"])
    assert (round(model.p, 2), round(model.q, 2), round(model.v, 2)) == (6.25, 3.74, 15.44)
    assert model.customers == 946
    # The published note's summary, with means rounded to cents, differs in the last digit.
    assert model.mean_value == pytest.approx(6.25 * 15.44 / 2.74, abs=0.1)


def test_the_published_summary_gives_the_same_gamma_gamma_as_far_as_its_cents_go(cdnow: pd.DataFrame):
    model = fit_gamma_gamma(cdnow["x"], cdnow["zbar"])
    assert astuple(model)[:3] == pytest.approx((6.25, 3.74, 15.44), abs=0.01)
    assert model.customers == 946


def test_cdnow_holdout_is_foreseen(fitted: BgNbd, cdnow: pd.DataFrame, cdnow_purchases: pd.DataFrame):
    """Over all 78 weeks the paper's BG/NBD lies about 4 % under the actual repeat purchases."""
    later = cdnow_purchases[cdnow_purchases["day"] > "1997-09-30"]
    bought = later.groupby("customer").size().reindex(cdnow["ID"]).fillna(0)
    predicted = fitted.expected_purchases(39, cdnow["x"], cdnow["t_x"], cdnow["T"])
    tracked = cdnow["x"].sum()
    assert 0.93 < (tracked + predicted.sum()) / (tracked + bought.sum()) < 0.97
    assert np.corrcoef(predicted, bought)[0, 1] > 0.6


def made(customers: int = 3000, seed: int = 1, model: BgNbd = CDNOW, weeks: float = 78.0) -> pd.DataFrame:
    """Customers drawn as the model supposes: frequency, recency, age, and the purchases of the 39 weeks after."""
    random = np.random.default_rng(seed)
    rows = []
    for rate, leaving, age in zip(
        random.gamma(model.r, 1 / model.alpha, customers),
        random.beta(model.a, model.b, customers),
        random.uniform(weeks / 2, weeks, customers),
        strict=True,
    ):
        time, purchases = 0.0, []
        while time < age + 39:
            time += random.exponential(1 / max(rate, 1e-9))
            if time < age + 39:
                purchases.append(time)
            if random.random() < leaving:
                break
        before = [purchase for purchase in purchases if purchase < age]
        rows.append((len(before), before[-1] if before else 0.0, age, len(purchases) - len(before)))
    return pd.DataFrame(rows, columns=["frequency", "recency", "age", "later"])


def test_customers_drawn_by_the_model_give_it_back():
    customers = made()
    model = fit_bg_nbd(customers["frequency"], customers["recency"], customers["age"])
    assert model.r == pytest.approx(CDNOW.r, rel=0.1)
    assert model.alpha == pytest.approx(CDNOW.alpha, rel=0.2)
    assert model.a / (model.a + model.b) == pytest.approx(CDNOW.a / (CDNOW.a + CDNOW.b), rel=0.2)
    foreseen = model.expected_purchases(39, customers["frequency"], customers["recency"], customers["age"])
    assert foreseen.sum() == pytest.approx(customers["later"].sum(), rel=0.1)


def test_the_fit_is_a_maximum_of_the_likelihood(fitted: BgNbd, cdnow: pd.DataFrame):
    best = (fitted.r, fitted.alpha, fitted.a, fitted.b)
    history = (cdnow["x"], cdnow["t_x"], cdnow["T"])
    assert bg_nbd_log_likelihood(best, *history) == pytest.approx(fitted.log_likelihood, rel=1e-12)
    for number in range(4):
        for factor in (0.99, 1.01):
            near = [value * (factor if i == number else 1) for i, value in enumerate(best)]
            assert bg_nbd_log_likelihood((near[0], near[1], near[2], near[3]), *history) < fitted.log_likelihood


def test_the_same_customers_in_any_order_and_any_unit_of_time_give_the_same_model():
    customers = made(500)
    columns = ["frequency", "recency", "age"]
    first = fit_bg_nbd(*(customers[name] for name in columns))
    shuffled = customers.sample(frac=1, random_state=3)
    assert fit_bg_nbd(*(shuffled[name] for name in columns)) == first
    in_days = fit_bg_nbd(customers["frequency"], customers["recency"] * 7, customers["age"] * 7)
    assert (in_days.r, in_days.alpha / 7, in_days.a, in_days.b) == pytest.approx(astuple(first)[:4], rel=1e-4)
    value = np.random.default_rng(2).gamma(5, 3, 500)
    order = shuffled.index.to_numpy()
    shuffled_too = fit_gamma_gamma(customers["frequency"].to_numpy()[order], value[order])
    assert shuffled_too == fit_gamma_gamma(customers["frequency"], value)


def by_integration(model: BgNbd, horizon: float, frequency: int, recency: float, age: float) -> float:
    """E[Y(t)] another way: the mean over p ~ Beta(a, b + x) of what a customer alive is to buy, times being so.

    Over the logit of p, where the trapezoidal rule is exact to rounding.
    """
    logit = np.linspace(-400, 150, 55_001)
    log_p, log_q = log_expit(logit), log_expit(-logit)
    a, b = model.a, model.b + frequency
    buying = -np.expm1(-(model.r + frequency) * np.log1p(np.exp(log_p) * horizon / (model.alpha + age)))
    mean = (buying * np.exp((a - 1) * log_p + b * log_q - betaln(a, b))).sum() * (logit[1] - logit[0])
    gone = 0.0
    if frequency:
        gone = a / (b - 1) * np.exp((model.r + frequency) * np.log((model.alpha + age) / (model.alpha + recency)))
    return mean / (1 + gone)


@pytest.mark.parametrize("a", [0.3, 0.793, 1.0, 1.00001, 1.5, 2.0, 3.0, 50.0])
@pytest.mark.parametrize("b", [0.4, 2.426, 80.0, 160_000.0])
@pytest.mark.parametrize("r", [0.243, 1.0, 5.0, 50.0])
def test_expected_purchases_are_right_where_the_published_formula_overflows_too(a: float, b: float, r: float):
    model = BgNbd(r, 4.414, a, b, 0.0, 0)
    for frequency, age, horizon in [(0, 1.0, 5000.0), (1, 40.0, 39.0), (60, 1.0, 5000.0), (400, 400.0, 39.0)]:
        recency = 0.98 * age if frequency else 0.0
        found = float(model.expected_purchases(horizon, frequency, recency, age))
        assert found == pytest.approx(by_integration(model, horizon, frequency, recency, age), rel=1e-6)


def test_nothing_overflows_for_customers_of_thousands_of_purchases():
    frequency = np.array([0, 1, 10, 1_000, 20_000])
    recency = np.array([0, 3.0, 300, 700, 729])
    with np.errstate(all="raise", under="ignore"):
        alive = CDNOW.probability_alive(frequency, recency, 730.0)
        expected = CDNOW.expected_purchases(365.0, frequency, recency, 730.0)
        likelihood = bg_nbd_log_likelihood((0.243, 4.414, 0.793, 2.426), frequency, recency, 730.0)
    assert ((alive >= 0) & (alive <= 1)).all()
    assert ((expected >= 0) & (expected <= 365.0 / 730 * (frequency + 1))).all()
    assert np.isfinite(likelihood)


def test_who_was_silent_longer_or_bought_less_is_less_alive_and_expected_less():
    silence = CDNOW.probability_alive(5, np.array([38.0, 30.0, 20.0, 5.0]), 39.0)
    assert (np.diff(silence) < 0).all()
    horizons = CDNOW.expected_purchases(np.array([0.0, 1.0, 10.0, 100.0]), 5, 38.0, 39.0)
    assert horizons[0] == 0
    assert (np.diff(horizons) > 0).all()
    assert (np.diff(CDNOW.expected_purchases(39, np.array([1, 3, 9]), 38.0, 39.0)) > 0).all()


def test_expected_value_lies_between_the_customers_own_mean_and_everybodys():
    model = GammaGamma(p=6.25, q=3.74, v=15.44, log_likelihood=0.0, customers=946)
    everybody = 6.25 * 15.44 / 2.74
    assert model.mean_value == pytest.approx(everybody)
    own = model.expected_value([0, 1, 5, 50, 5000], 100.0)
    assert own[0] == pytest.approx(everybody)
    assert (np.diff(own) > 0).all()
    assert own[-1] == pytest.approx(100, rel=0.01)
    # The published closed form, worked out by hand: 6.25 (15.44 + 2 · 22.35) / (6.25 · 2 + 3.74 - 1)
    assert float(model.expected_value(2, 22.35)) == pytest.approx(375.875 / 15.24)


def test_a_year_of_months_adds_up_and_discounting_takes_off_what_a_middle_of_the_year_costs():
    model = LifetimeModel(CDNOW, GammaGamma(6.25, 3.74, 15.44, 0.0, 946))
    customers = pd.DataFrame({"frequency": [0, 5, 50], "recency": [0, 300, 310], "age": 320})
    months = np.diff(model.expected_purchases(customers, month_ends()), axis=1)
    assert months.shape == (3, 12)
    assert months.sum(axis=1) == pytest.approx(CDNOW.expected_purchases(365, [0, 5, 50], [0.0, 300, 310], 320.0))
    assert (np.diff(months) < 0).all()
    assert discounted(months, 0.0) == pytest.approx(months.sum(axis=1))
    even = discounted(np.full((1, 12), 1.0), 0.1)
    assert float(even[0]) == pytest.approx(sum(1.1 ** -((k + 0.5) / 12) for k in range(12)))
    assert float(even[0]) / 12 == pytest.approx(0.9541, abs=0.0005)


@pytest.mark.parametrize(
    ("frequency", "recency", "age"),
    [([-1], [0], [5]), ([1], [6], [5]), ([0], [2], [5]), ([2], [0], [5]), ([1], [np.nan], [5])],
    ids=["negative", "after the as-of date", "no repeat but recency", "repeat without recency", "no number"],
)
def test_what_is_no_history_is_refused(frequency: list, recency: list, age: list):
    with pytest.raises(ValueError, match="1 of 1 customers have no possible history"):
        fit_bg_nbd(frequency, recency, age)


def test_customers_of_one_history_are_worked_out_once(cdnow: pd.DataFrame, monkeypatch: pytest.MonkeyPatch):
    """A hundred thousand who bought once on one of some hundred days cost as little as these days."""
    seen: list[int] = []

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def count(parameters: Any, *rows: Any) -> Any:
            seen.append(len(rows[0]))
            return function(parameters, *rows)

        return count

    for name in ("_bg_nbd", "_gamma_gamma"):
        monkeypatch.setattr(lifetime_value, name, counted(getattr(lifetime_value, name)))
    customers = pd.DataFrame(
        {"frequency": [0] * 900 + [1, 2] * 50, "recency": [0] * 900 + [7, 20] * 50, "age": [30, 60] * 500}
    ).assign(mean_value=[10.0, 40.0, 20.0, 40.0] * 250)
    model = fit_lifetime(customers)
    assert max(seen) == 6
    assert (model.purchases.customers, model.values.customers) == (1_000, 1_000)
    history = [customers[name] for name in ("frequency", "recency", "age")]
    of_each = model.purchases.expected_purchases(90, *history)
    assert model.expected_purchases(customers, [30, 90])[:, 1].tolist() == of_each.tolist()
    p = model.purchases
    likelihood = bg_nbd_log_likelihood((p.r, p.alpha, p.a, p.b), *history)
    assert p.log_likelihood == pytest.approx(likelihood, rel=1e-12)


def test_with_too_few_who_came_back_nothing_is_fitted():
    customers = made(500)
    back = customers.index[customers["frequency"] > 0]
    few = customers.drop(index=back[19:])
    with pytest.raises(NotFitted, match="19 customers to learn from, fewer than 20"):
        fit_bg_nbd(few["frequency"], few["recency"], few["age"])
    with pytest.raises(NotFitted, match="0 customers to learn from"):
        fit_gamma_gamma(np.zeros(50), np.full(50, 3.0))


def test_where_nobody_is_seen_to_leave_everyone_is_alive_and_it_is_said_that_this_is_a_limit():
    """Everyone buys to the end: the likelihood grows as the chance of leaving goes to nothing."""
    random = np.random.default_rng(4)
    age = random.uniform(20, 60, 400)
    rate = random.gamma(2, 0.1, 400)
    frequency = random.poisson(rate * age)
    recency = np.where(frequency > 0, age - random.uniform(0, 1, 400) * age / (frequency + 1), 0)
    model = fit_bg_nbd(frequency, recency, age)
    assert "a" in model.at_bounds
    assert model.mean_chance_of_leaving < 1e-4
    assert model.probability_alive(frequency, recency, age).min() > 0.999
    # What is left is the NBD: rates of Gamma(r + x, alpha + T).
    nbd = 30 * (model.r + frequency) / (model.alpha + age)
    assert model.expected_purchases(30, frequency, recency, age) == pytest.approx(nbd, rel=1e-3)


def test_where_customers_are_all_alike_in_leaving_the_model_says_so_and_still_foresees():
    """Everyone leaves with the same chance: the likelihood grows as the spread of the chances goes to nothing."""
    alike = made(model=BgNbd(r=0.9, alpha=6.0, a=1500.0, b=8500.0, log_likelihood=0.0, customers=0))
    model = fit_bg_nbd(alike["frequency"], alike["recency"], alike["age"])
    assert model.at_bounds == ("a",)
    assert model.mean_chance_of_leaving == pytest.approx(0.15, abs=0.02)
    foreseen = model.expected_purchases(39, alike["frequency"], alike["recency"], alike["age"])
    assert foreseen.sum() == pytest.approx(alike["later"].sum(), rel=0.1)


def test_where_all_values_are_alike_they_are_expected_to_stay_so():
    model = fit_gamma_gamma(np.full(100, 3), np.full(100, 20.0))
    assert model.at_bounds
    assert model.expected_value([1, 3, 9], 20.0) == pytest.approx(20.0, rel=1e-3)


def test_a_search_that_ends_nowhere_is_no_fit(monkeypatch: pytest.MonkeyPatch):
    """The optimiser is let take two steps only; that it stopped is not taken for success."""
    from scipy import optimize

    unlimited = optimize.minimize

    def two_steps(*arguments: Any, options: dict[str, Any], **others: Any) -> Any:
        return unlimited(*arguments, options=options | {"maxiter": 2}, **others)

    monkeypatch.setattr(optimize, "minimize", two_steps)
    customers = made(300)
    with pytest.raises(NotFitted, match="BG/NBD: no maximum after 2 steps; the slope is still"):
        fit_bg_nbd(customers["frequency"], customers["recency"], customers["age"])


HISTORY = (
    "customer_id string, activity_month date, active_days int, revenue decimal(18,3), first_purchase_date date, "
    "last_purchase_date date"
)


def test_a_purchase_is_a_day_and_a_summary_knows_only_the_months_so_far(spark: SparkSession):
    january, march, april = date(2026, 1, 1), date(2026, 3, 1), date(2026, 4, 1)
    activity = spark.createDataFrame(
        [
            ("a", january, 2, Decimal(30), date(2026, 1, 5), date(2026, 1, 20)),
            ("a", march, 1, Decimal(60), date(2026, 3, 31), date(2026, 3, 31)),
            ("a", april, 9, Decimal(999), date(2026, 4, 1), date(2026, 4, 30)),
            ("b", march, 1, Decimal(7), date(2026, 3, 10), date(2026, 3, 10)),
            ("returns only", march, 0, Decimal(0), None, None),
        ],
        HISTORY,
    )
    snapshots = spark.createDataFrame(
        [(january, date(2026, 2, 1)), (march, april)], "snapshot_month date, as_of_date date"
    )
    rows = purchase_summaries(activity, snapshots).orderBy("snapshot_month", "customer_id").collect()
    assert [tuple(row) for row in rows] == [
        # frequency, recency, age, mean value, spend
        (january, date(2026, 2, 1), "a", 1, 15, 27, 15.0, 30.0),
        (march, april, "a", 2, 85, 86, 30.0, 90.0),
        (march, april, "b", 0, 0, 22, 7.0, 7.0),
    ]
    summary = pd.DataFrame([rows[1].asDict(), rows[2].asDict()])
    assert naive_value(summary, 365).tolist() == pytest.approx([90 / 86 * 365, 7 / 22 * 365])
