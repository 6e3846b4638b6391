import pickle
import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from retail_assets.analytics import segment_engines
from retail_assets.analytics.segment_assignment import nearest_cluster
from retail_assets.analytics.segment_engines import OnDriver, segment
from retail_assets.analytics.segmentation import (
    FEATURES,
    HABITS,
    LABEL_ACTIONS,
    LABELS,
    Candidate,
    Segmentation,
    Transform,
    choose,
    labels,
    model_of,
)
from retail_assets_tests.analytics.conftest import real_customers

KINDS = {"best": (5, 30, 9_000), "recent": (8, 2, 300), "lapsing": (160, 8, 2_500), "dormant": (400, 1, 120)}


def made_customers(count: int, kinds: list[str] | None = None) -> pd.DataFrame:
    """Customers of the kinds above in equal parts, each measure spread around its kind's."""
    random = np.random.default_rng(7)
    centres = np.array([KINDS[kind] for kind in kinds or KINDS])
    values = centres[np.arange(count) % len(centres)] * np.exp(random.normal(0, 0.25, (count, 3)))
    frame = pd.DataFrame(np.round(values, 3), columns=FEATURES)
    return frame.assign(frequency=frame.frequency.round().clip(1), customer_id=[f"c{n:05d}" for n in range(count)])


@pytest.fixture(scope="module")
def made() -> tuple[pd.DataFrame, Segmentation]:
    customers = made_customers(800)
    return customers, segment(customers)


def test_planted_kinds_of_customers_are_found_named_and_numbered_by_value(made: tuple[pd.DataFrame, Segmentation]):
    _, found = made
    assert found.chosen is not None
    assert found.chosen.clusters == 4
    assert [cluster.cluster for cluster in found.clusters] == [0, 1, 2, 3]
    values = [cluster.value_score for cluster in found.clusters]
    assert values == sorted(values, reverse=True)
    by_label = {cluster.label: cluster for cluster in found.clusters}
    assert set(by_label) == {"Best customers", "Recent light buyers", "Lapsing regulars", "Dormant"}
    for label, kind in zip(
        ("Best customers", "Recent light buyers", "Lapsing regulars", "Dormant"), KINDS, strict=True
    ):
        cluster = by_label[label]
        assert cluster.customers == 200
        assert cluster.share == 0.25
        # The centroid in original units is the kind that was planted.
        recency, frequency, monetary = KINDS[kind]
        assert cluster.recency_days == pytest.approx(recency, rel=0.1)
        assert cluster.frequency == pytest.approx(frequency, rel=0.15)
        assert cluster.monetary == pytest.approx(monetary, rel=0.1)


def test_every_number_of_clusters_is_measured_by_every_measure(made: tuple[pd.DataFrame, Segmentation]):
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

    customers, found = made
    assert [candidate.clusters for candidate in found.candidates] == list(range(2, 11))
    assert found.model is not None
    chosen = found.chosen
    scaled = (np.log1p(customers[FEATURES].to_numpy()) - found.scaling.mean) / found.scaling.deviation
    assigned = found.model.predict(customers[FEATURES])
    assert chosen is not None
    assert chosen.silhouette == pytest.approx(silhouette_score(scaled, assigned))
    assert chosen.calinski_harabasz == pytest.approx(calinski_harabasz_score(scaled, assigned))
    assert chosen.davies_bouldin == pytest.approx(davies_bouldin_score(scaled, assigned))
    centres = np.array([[c.recency_scaled, c.frequency_scaled, c.monetary_scaled] for c in found.clusters])
    assert chosen.inertia == pytest.approx(((scaled - centres[assigned]) ** 2).sum())
    assert chosen.smallest_share == 0.25
    assert chosen.stability > 0.99
    # Splitting a planted group splits it at random: another sample splits it elsewhere.
    assert found.candidates[-1].stability < 0.9
    assert sum(cluster.share for cluster in found.clusters) == pytest.approx(1)


def candidate(clusters: int, **measures: float) -> Candidate:
    fair = {"calinski_harabasz": 1.0, "davies_bouldin": 1.0, "inertia": 1.0, "smallest_share": 0.2, "stability": 0.9}
    return Candidate(clusters=clusters, **{"silhouette": 0.4, **fair, **measures})


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([candidate(2, silhouette=0.99, smallest_share=0.001), candidate(3), candidate(4, silhouette=0.3)], 3),
        ([candidate(2, silhouette=0.9), candidate(3, silhouette=0.3), candidate(4, silhouette=0.4)], 4),
        ([candidate(3, silhouette=0.9, stability=0.5), candidate(5)], 5),
        ([candidate(3, silhouette=0.9, smallest_share=0.04), candidate(5)], 5),
        ([candidate(3), candidate(4)], 3),
        ([candidate(2, silhouette=0.9), candidate(3, stability=0.5)], 3),
        ([candidate(2), candidate(3, smallest_share=0.01)], 2),
        ([candidate(2, smallest_share=0.01), candidate(3, smallest_share=0.01)], None),
        ([], None),
    ],
)
def test_a_degenerate_or_unstable_clustering_is_never_preferred(candidates: list[Candidate], chosen: int | None):
    picked, rule = choose(tuple(candidates))
    assert (picked.clusters if picked else None) == chosen
    assert rule


def test_a_handful_of_outliers_does_not_become_a_segment():
    customers = made_customers(600)
    customers.loc[:3, ["frequency", "monetary"]] = [5e5, 5e9]
    found = segment(customers)
    assert len(found.clusters) >= 3
    assert min(cluster.share for cluster in found.clusters) >= 0.05
    assert found.candidates[0].clusters == 2
    # What the rule refuses was there to be had.
    assert any(one.smallest_share < 0.05 for one in found.candidates)


def made_buyers(count: int, came_again: int) -> pd.DataFrame:
    """Customers who bought once, of three kinds by recency and value, and so many of them five times."""
    customers = made_customers(count, ["recent", "lapsing", "dormant"])
    return customers.assign(frequency=np.where(np.arange(count) < came_again, 5.0, 1.0))


def test_a_measure_in_which_fewer_differ_than_make_a_segment_is_held_and_the_others_tell_customers_apart():
    once = segment(made_buyers(1_000, 49))
    assert (once.scaling.floor, once.scaling.cap) == ((0.0, 1.0, 0.0), (np.inf, 1.0, np.inf))
    assert [(one.label, one.customers) for one in once.clusters] == [
        ("Recent light buyers", 334), ("Lapsed big spenders", 333), ("Dormant", 333)
    ]  # fmt: skip
    assert [one.frequency for one in once.clusters] == pytest.approx([1.0, 1.0, 1.0])
    enough = segment(made_buyers(1_000, 50))
    assert enough.scaling.cap == (np.inf, np.inf, np.inf)


def test_no_name_tells_of_a_habit_where_frequency_tells_nobody_apart():
    lapsed = np.array([[0.4, 0.0, 0.4], [0.0, 0.0, 0.0]])
    assert labels(lapsed + np.array([0.0, 0.4, 0.0]))[0] == "Lapsing regulars"
    assert not set(labels(lapsed)) & set(HABITS)
    # Value is then monetary alone, not the mean of it and of nothing.
    assert labels(np.array([[0.7, 0.0, 1.4], [-0.2, 0.0, 0.1]])) == ["Lapsed big spenders", "Occasional buyers"]


def test_of_many_customers_the_same_are_learnt_from_and_all_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(segment_engines, "LEARNT_FROM", 300)
    customers = made_customers(1_200)
    engine = OnDriver(customers)
    again = OnDriver(customers.sample(frac=1, random_state=3))
    assert engine.sample.shape == (300, 3)
    assert engine.sample.tobytes() == again.sample.tobytes()
    found = segment(customers)
    assert [cluster.customers for cluster in found.clusters] == [300] * 4
    assert found.chosen is not None
    assert found.chosen.smallest_share == pytest.approx(0.25, abs=0.06)  # of those it was learnt from
    monkeypatch.undo()
    assert OnDriver(customers).sample.shape == (1_200, 3)


def test_no_customers_give_no_clusters():
    found = segment(made_customers(0))
    assert (found.candidates, found.clusters, found.model) == ((), (), None)
    assert found.model_rows().empty
    assert {"cluster", "label", "recency_scaled", "monetary_mean", "frequency_deviation"} <= set(found.model_rows())


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_customers_are_segmented_without_an_error_and_add_up(count: int):
    customers = made_customers(count)
    found = segment(customers)
    assert sum(cluster.customers for cluster in found.clusters) == count
    assert found.model is not None
    assert sorted(found.model.predict(customers[FEATURES])) == sorted(
        number for cluster in found.clusters for number in [cluster.cluster] * cluster.customers
    )
    assert found == replace(segment(customers), model=found.model)


def test_identical_customers_are_one_cluster_at_their_own_values():
    customers = made_customers(50).assign(recency_days=30.0, frequency=2.0, monetary=99.0)
    (only,) = segment(customers).clusters
    assert (only.customers, only.share) == (50, 1.0)
    assert (only.recency_days, only.frequency, only.monetary) == pytest.approx((30.0, 2.0, 99.0))


def test_the_order_of_the_rows_changes_nothing(made: tuple[pd.DataFrame, Segmentation]):
    customers, found = made
    shuffled = segment(customers.sample(frac=1, random_state=3))
    assert shuffled == replace(found, model=shuffled.model)


def test_a_new_process_finds_the_same_segments_bit_for_bit(made: tuple[pd.DataFrame, Segmentation]):
    _, found = made
    program = (
        "from retail_assets.analytics.segment_engines import segment;"
        "from retail_assets_tests.analytics.test_segmentation import made_customers;"
        "found = segment(made_customers(800));"
        "print([found.candidates, found.scaling, found.clusters])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # The representation of a float is exact.
    assert result.stdout.strip() == repr([found.candidates, found.scaling, found.clusters])


@settings(max_examples=200, deadline=None)
@given(centres=st.lists(st.tuples(*[st.floats(-4, 4)] * 3), min_size=1, max_size=10))
def test_each_cluster_has_a_name_of_its_own_whatever_its_number(centres):
    names = labels(np.array(centres))
    assert len(set(names)) == len(centres)
    assert set(names) <= set(LABELS)


def test_every_name_says_what_to_do_and_a_name_that_is_taken_is_not_given_again():
    assert set(LABEL_ACTIONS) == set(LABELS)
    centres = np.array([[-1.2, 1.6, 1.6]])
    assert labels(centres) == ["Best customers"]
    assert labels(centres, taken=["Best customers"]) == ["Steady buyers"]


@pytest.mark.parametrize("transform", ["log", "winsorised"])
def test_a_model_made_of_its_rows_alone_predicts_the_same(transform):
    customers = made_customers(200).assign(monetary=lambda frame: frame.monetary - 200)  # some below 0
    found = segment(customers, transform)
    assert found.model is not None
    again = model_of(found.model_rows().sample(frac=1, random_state=1))
    assert again.predict(customers[FEATURES]).tolist() == found.model.predict(customers[FEATURES]).tolist()


def test_winsorised_measures_are_held_between_their_quantiles():
    customers = made_customers(400)
    customers.loc[0, "monetary"] = 5e9
    found = segment(customers, "winsorised")
    low, high = np.quantile(customers[FEATURES].to_numpy(), (0.01, 0.99), axis=0)
    assert (found.scaling.floor, found.scaling.cap) == (tuple(low), tuple(high))
    held = customers[FEATURES].clip(low, high, axis=1)
    assert found.scaling.mean == pytest.approx(tuple(held.mean()))
    assert found.scaling.deviation == pytest.approx(tuple(held.std(ddof=0)))
    # The centroid of the best is the mean of the held values, not drawn away by one customer.
    best = found.clusters[0]
    assert best.monetary == pytest.approx(KINDS["best"][2], rel=0.1)


def test_the_same_kind_keeps_its_name_when_the_clusters_are_renumbered():
    centres = np.array([[-1.1, 1.5, 1.4], [-0.9, -0.3, -0.2], [0.4, 0.3, 0.4], [0.9, -0.9, -0.9]])
    names = labels(centres)
    assert names == ["Best customers", "Recent light buyers", "Lapsing regulars", "Dormant"]
    assert labels(centres[[2, 0, 3, 1]]) == [names[2], names[0], names[3], names[1]]


def test_the_model_loads_and_predicts_without_this_package(made: tuple[pd.DataFrame, Segmentation], tmp_path):
    customers, found = made
    assert found.model is not None
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(found.model))
    customers[FEATURES].to_csv(tmp_path / "customers.csv", index=False)
    program = (
        "import sys, pickle, pandas; sys.modules['retail_assets'] = None;"
        "model = pickle.load(open('model.pkl', 'rb'));"
        "print(list(map(int, model.predict(pandas.read_csv('customers.csv')))))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str(found.model.predict(customers[FEATURES]).tolist())


def assert_spark_agrees(spark: SparkSession, months: dict[date, pd.DataFrame], transforms: list[Transform]) -> None:
    """Spark's nearest cluster is scikit-learn's prediction for every customer of every month."""
    customers, models, expected = [], [], []
    for (month, frame), transform in zip(months.items(), transforms, strict=True):
        found = segment(frame, transform)
        assert found.model is not None
        customers.append(frame.assign(month=month))
        models.append(found.model_rows().assign(month=month))
        names = {cluster.cluster: cluster.label for cluster in found.clusters}
        predicted = found.model.predict(frame[FEATURES])
        distance = np.sqrt(
            (found.model[:-1].transform(frame[FEATURES]) - found.model[-1].cluster_centers_[predicted]) ** 2
            @ np.ones(3)
        )
        expected.append(
            frame.assign(month=month, cluster=predicted, label=[names[n] for n in predicted], distance=distance)
        )
    assigned = nearest_cluster(
        spark.createDataFrame(pd.concat(customers)), spark.createDataFrame(pd.concat(models)), on="month"
    ).toPandas()
    merged = assigned.merge(pd.concat(expected), on=["month", "customer_id"], suffixes=("", "_expected"))
    assert len(merged) == len(assigned) == sum(len(frame) for frame in months.values())
    assert (merged.cluster == merged.cluster_expected).all()
    assert (merged.label == merged.label_expected).all()
    assert np.allclose(merged.distance, merged.distance_expected, atol=1e-9)


def test_spark_assigns_each_customer_as_scikit_learn_predicts_month_by_month(spark: SparkSession):
    months = {
        date(2026, 1, 1): made_customers(300),
        date(2026, 2, 1): made_customers(90, ["best", "lapsing", "dormant"]),
    }
    assert_spark_agrees(spark, months, ["log", "winsorised"])


def test_of_equally_near_clusters_the_lower_is_taken_and_a_month_without_a_model_stays_unassigned(spark: SparkSession):
    scales = dict.fromkeys((f"{name}_mean" for name in ("recency", "frequency", "monetary")), 0.0)
    scales |= dict.fromkeys((f"{name}_deviation" for name in ("recency", "frequency", "monetary")), 1.0)
    scales |= dict.fromkeys((f"{name}_floor" for name in ("recency", "frequency", "monetary")), 0.0)
    scales |= dict.fromkeys((f"{name}_cap" for name in ("recency", "frequency", "monetary")), float("inf"))
    places = [(2, "far", 5.0), (1, "right", 1.0), (0, "left", -1.0)]
    model = spark.createDataFrame(
        pd.DataFrame(
            [
                {"month": "a", "cluster": number, "label": label, "recency_scaled": place, **scales}
                for number, label, place in places
            ]
        ).assign(frequency_scaled=0.0, monetary_scaled=0.0, transform="log")
    )
    customers = spark.createDataFrame(
        [("a", "1", 0, 0, 0.0), ("a", "2", 2, 0, -5.0), ("b", "1", 0, 0, 0.0)],
        "month string, customer_id string, recency_days int, frequency int, monetary double",
    )
    rows = nearest_cluster(customers, model, on="month").orderBy("month", "customer_id").collect()
    assert [(row.month, row.customer_id, row.cluster, row.label) for row in rows] == [
        ("a", "1", 0, "left"),
        ("a", "2", 1, "right"),
        ("b", "1", None, None),
    ]
    assert rows[0].distance == 1.0


def test_real_customers_get_the_same_four_kinds_in_every_season(spark: SparkSession, real_activity):
    months = {as_of: real_customers(real_activity, as_of) for as_of in (date(2010, 12, 1), date(2011, 12, 10))}
    assert [len(frame) for frame in months.values()] == [4_239, 5_853]
    for frame in months.values():
        found = segment(frame)
        assert found.chosen is not None
        assert found.chosen.silhouette > 0.3
        assert found.chosen.stability > 0.8
        assert found.chosen.smallest_share > 0.15
        assert {cluster.label for cluster in found.clusters} == {
            "Best customers", "Recent light buyers", "Lapsing regulars", "Dormant",
        }  # fmt: skip
    assert_spark_agrees(spark, months, ["log", "log"])
