"""A month's model becomes champion if it passes its gates; labels stay with the customers they are of."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from retail_assets.analytics.champions import AGREEMENT_FLOOR, overlap, panel, standings
from retail_assets.analytics.segment_engines import segment
from retail_assets.analytics.segmentation import FEATURES
from retail_assets_tests.analytics.conftest import real_customers
from retail_assets_tests.analytics.test_segmentation import made_customers

JANUARY, FEBRUARY, MARCH, APRIL = (date(2026, month, 1) for month in (1, 2, 3, 4))


def garbage(count: int = 400) -> pd.DataFrame:
    """Customers whose measures have nothing to do with each other or with any kind."""
    random = np.random.default_rng(11)
    frame = pd.DataFrame(np.exp(random.uniform(0, 7, (count, 3))), columns=FEATURES)
    return frame.assign(customer_id=[f"c{n:05d}" for n in range(count)])


def rows_of(customers: pd.DataFrame) -> pd.DataFrame:
    """The rows of their model, as the model table keeps them."""
    found = segment(customers)
    return found.model_rows().assign(silhouette=found.chosen.silhouette if found.chosen else None)


@pytest.fixture(scope="module")
def year() -> tuple[dict[date, pd.DataFrame], dict[date, pd.DataFrame]]:
    """Two good months, garbage, a good month: their models and customers."""
    good = made_customers(400)
    customers = {JANUARY: good, FEBRUARY: good, MARCH: garbage(), APRIL: good}
    models = {JANUARY: rows_of(good), MARCH: rows_of(customers[MARCH])}
    return models | {FEBRUARY: models[JANUARY], APRIL: models[JANUARY]}, customers


def test_a_champion_that_most_customers_are_new_to_has_no_say():
    few, as_many, more = made_customers(400), garbage(800), garbage(801)
    models = {JANUARY: rows_of(few), FEBRUARY: rows_of(as_many)}
    kept = standings(models, {JANUARY: few, FEBRUARY: as_many})[FEBRUARY]
    assert (kept.champion, kept.failed_gates) == (JANUARY, ("agreement_with_champion",))
    outgrown = standings(models | {FEBRUARY: rows_of(more)}, {JANUARY: few, FEBRUARY: more})[FEBRUARY]
    assert (outgrown.champion, outgrown.failed_gates) == (FEBRUARY, ())
    assert (outgrown.agreement or 0) < AGREEMENT_FLOOR


def test_a_month_of_garbage_does_not_replace_the_champion_and_its_gate_is_named(year):
    found = standings(*year)
    assert {month: standing.champion for month, standing in found.items()} == {
        JANUARY: JANUARY, FEBRUARY: FEBRUARY, MARCH: FEBRUARY, APRIL: APRIL,
    }  # fmt: skip
    assert [found[month].promoted for month in found] == [True, True, False, True]
    assert "agreement_with_champion" in found[MARCH].failed_gates
    assert (found[MARCH].agreement or 0) < AGREEMENT_FLOOR
    assert (found[JANUARY].agreement, found[FEBRUARY].agreement, found[APRIL].agreement) == (None, 1.0, 1.0)
    assert found[MARCH].labels == found[FEBRUARY].labels


@pytest.mark.parametrize(
    ("values", "gate"),
    [({"silhouette": 0.19}, "silhouette"), ({"silhouette": None}, "silhouette"), ({"share": 0.04}, "smallest_share")],
)
def test_each_gate_keeps_the_champion(year, values: dict[str, float], gate: str):
    models, customers = year
    spoiled = models | {FEBRUARY: models[FEBRUARY].assign(**values)}
    found = standings(spoiled, customers)
    assert found[FEBRUARY].failed_gates == (gate,)
    assert found[FEBRUARY].champion == JANUARY


def test_while_no_model_passed_the_months_own_scores_and_the_first_that_passes_is_champion(year):
    models, customers = year
    spoiled = models | {JANUARY: models[JANUARY].assign(silhouette=0.1)}
    found = standings(spoiled, customers)
    assert (found[JANUARY].champion, found[JANUARY].promoted) == (JANUARY, False)
    assert (found[FEBRUARY].champion, found[FEBRUARY].promoted, found[FEBRUARY].agreement) == (FEBRUARY, True, None)


def test_a_month_decides_the_same_however_many_later_ones_there_are(year):
    models, customers = year
    whole = standings(models, customers)
    for last in models:
        assert standings({m: rows for m, rows in models.items() if m <= last}, customers)[last] == whole[last]


def test_a_champion_of_over_a_year_gives_way_to_a_model_that_is_otherwise_good(year):
    models, customers = year
    other = customers[MARCH]
    late = dict.fromkeys((date(2027, 1, 1), date(2027, 2, 1)), models[MARCH].assign(silhouette=0.5, share=0.25))
    found = standings({JANUARY: models[JANUARY], **late}, {JANUARY: customers[JANUARY], **dict.fromkeys(late, other)})
    kept, replaced = found[date(2027, 1, 1)], found[date(2027, 2, 1)]
    assert kept.agreement == replaced.agreement
    assert (kept.agreement or 0) < AGREEMENT_FLOOR
    assert (kept.champion, kept.failed_gates) == (JANUARY, ("agreement_with_champion",))
    assert (replaced.champion, replaced.promoted) == (date(2027, 2, 1), True)


def test_a_cluster_of_the_same_customers_keeps_its_label_whatever_its_number_and_place(year):
    models, customers = year
    # The same clusters, numbered the other way round and named otherwise by where they lie.
    turned = models[FEBRUARY].assign(cluster=lambda rows: 3 - rows.cluster, label=["w", "x", "y", "z"])
    found = standings({JANUARY: models[JANUARY], FEBRUARY: turned}, customers)
    before, now = found[JANUARY].labels, found[FEBRUARY].labels
    assert found[FEBRUARY].promoted
    assert now == {3 - cluster: label for cluster, label in before.items()}


def test_clusters_are_matched_by_the_customers_they_share():
    before = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    now = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    assert overlap(now, before) == [(0, 1, 0.6), (1, 0, 0.75)]


def test_a_panel_holds_the_same_customers_of_large_months_and_all_of_small_ones(spark: SparkSession):
    rows = spark.createDataFrame(
        [
            (month, f"{n:04d}")
            for month, count in ((JANUARY, 1_000), (FEBRUARY, 50), (MARCH, 1_000))
            for n in range(count)
        ],
        "month date, customer_id string",
    )
    kept = panel(rows, {JANUARY: 1_000, FEBRUARY: 50, MARCH: 1_000}, "month", largest=200).toPandas()
    sizes = kept.groupby("month").size().to_dict()
    assert sizes[FEBRUARY] == 50
    assert 150 < sizes[JANUARY] == sizes[MARCH] < 250
    assert set(kept[kept.month == JANUARY].customer_id) == set(kept[kept.month == MARCH].customer_id)
    assert panel(rows, {JANUARY: 200}, "month", largest=200) is rows


def test_a_december_that_finds_other_groups_is_scored_by_november(real_activity):
    months = {date(2010, 11, 1): date(2010, 12, 1), date(2010, 12, 1): date(2011, 1, 1)}
    customers = {month: real_customers(real_activity, as_of) for month, as_of in months.items()}
    found = standings({month: rows_of(frame) for month, frame in customers.items()}, customers)
    december = found[date(2010, 12, 1)]
    assert december.champion == date(2010, 11, 1)
    assert december.failed_gates == ("agreement_with_champion",)
    assert set(december.labels.values()) == {
        "Best customers", "Recent light buyers", "Lapsing regulars", "Dormant",
    }  # fmt: skip
