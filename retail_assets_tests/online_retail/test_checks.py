"""Every check of every table sees the fault it is there for, in the partition that has it, and sees no other."""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, cast

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from retail_assets.analytics.champions import ENOUGH_CUSTOMERS as ENOUGH_FOR_MODELS
from retail_assets.customers.churn_evaluation import (
    AUC_CEILING,
    AUC_FLOOR,
    CALIBRATION_CEILING,
    ChurnEvaluation,
)
from retail_assets.customers.churn_scores import ChurnScores
from retail_assets.customers.clv_holdout import LEAST, MOST, ClvHoldout
from retail_assets.customers.customer_clv import CustomerClv
from retail_assets.customers.customer_rfm import CustomerRfm, customer_rfm
from retail_assets.customers.customer_segments import CustomerSegments, customer_segments
from retail_assets.customers.segment_champion import SegmentChampion
from retail_assets.customers.segment_drift import SegmentDrift
from retail_assets.customers.segment_model import SegmentModel
from retail_assets.customers.segment_summary import SegmentSummary, segment_summary
from retail_assets.dashboards.dashboard import Dashboard
from retail_assets.invoices.actions import Actions
from retail_assets.invoices.bronze_daily_quality import BronzeDailyQuality, bronze_daily_quality
from retail_assets.invoices.bronze_silver_comparison import BronzeSilverComparison, bronze_silver_comparison
from retail_assets.invoices.campaign_results import CampaignResults
from retail_assets.invoices.campaigns import Campaigns
from retail_assets.invoices.category_metrics import CategoryMetrics, category_metrics
from retail_assets.invoices.clean_transactions import CleanTransactions, clean_transactions
from retail_assets.invoices.customer_month_activity import CustomerMonthActivity, customer_month_activity
from retail_assets.invoices.daily_counts import DailyCounts, daily_counts
from retail_assets.invoices.daily_metrics import DailyMetrics, daily_metrics
from retail_assets.invoices.day_anomalies import ANOMALIES
from retail_assets.invoices.economies import Economies
from retail_assets.invoices.geo_metrics import GeoMetrics, geo_metrics
from retail_assets.invoices.monthly_activity import MonthlyActivity, monthly_activity
from retail_assets.invoices.product_affinities import ProductAffinities
from retail_assets.invoices.product_metrics import ProductMetrics, product_metrics
from retail_assets.invoices.quarantined_invoices import QuarantinedInvoices, quarantined_invoices
from retail_assets.invoices.raw_invoices import RawInvoices
from retail_assets.lakehouse.checks import (
    DISTRIBUTION_DRIFT,
    ENOUGH,
    FAMILIES,
    MODEL_QUALITY,
    RECONCILIATION,
    VALIDITY,
    Audit,
    Evidence,
    TableCheck,
    Verdict,
)
from retail_assets.lakehouse.contracts import Contract, conform, partition_column, table_name, unique_key
from retail_assets.lakehouse.evaluation import PartitionEvaluation
from retail_assets.lakehouse.judging import Judged, judge
from retail_assets.lakehouse.path_tables import PathTables
from retail_assets.lakehouse.results import keep_results, result_rows
from retail_assets.lakehouse.table import Table
from retail_assets.project import project_root
from retail_assets_tests.made_shop import BY_THE_WEEK, INVOICES, RESULTS, RULES
from retail_assets_tests.made_shop import TABLES as EVERY_TABLE
from retail_assets_tests.online_retail import test_day_anomalies
from retail_assets_tests.online_retail.frames import frame, landed

MONTHS = [date(2011, month, 1) for month in range(1, 13)]
DAYS = [month + timedelta(days=3) for month in MONTHS]
"""One day a month, so that daily and monthly tables are judged over the same lines."""

EVERY_DAY = [date(2010, 11, 1) + timedelta(days=n) for n in range(430)]
"""What the days of the anomaly checks are compared with."""

TABLES = [table for table in EVERY_TABLE if table.key.path[-1] not in BY_THE_WEEK]
BY_NAME = {table.key.path[-1]: table for table in TABLES}
Rows = list[dict[str, Any]]
MILLI = Decimal("0.001")


@dataclass
class Sample:
    """A partition of a table as its checks see it; faults are planted by changing it."""

    key: str
    rows: Rows
    inputs: dict[str, Rows]
    findings: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong in a table, and the check that is to see it; `seen` must stand in its metadata, and
    `told` in its explanation."""

    table: str
    check: str
    name: str
    plant: Callable[[Sample], None]
    seen: Mapping[str, Any] = field(default_factory=dict)
    told: str = ""

    def __str__(self) -> str:
        return f"{self.table}-{self.check}-{self.name}".replace(" ", "_")


def changed(row: int = 0, **values: Any) -> Callable[[Sample], None]:
    """A row with other values."""
    return lambda sample: sample.rows[row].update(values)


def more(row: int = 0, **amounts: Any) -> Callable[[Sample], None]:
    """A row with more in it."""
    return lambda sample: sample.rows[row].update({name: sample.rows[row][name] + n for name, n in amounts.items()})


def of_all(**values: Any) -> Callable[[Sample], None]:
    """Every row with other values."""

    def plant(sample: Sample) -> None:
        for row in sample.rows:
            row.update(values)

    return plant


def repeated(**split: Any) -> Callable[[Sample], None]:
    """A row twice, the amounts divided between the two, so that sums stay what they were."""

    def plant(sample: Sample) -> None:
        first = next(row for row in sample.rows if all(row[name] > amount for name, amount in split.items()))
        sample.rows.append(first | split)
        first.update({name: first[name] - amount for name, amount in split.items()})

    return plant


def of_input(name: str, row: int = 0, **values: Any) -> Callable[[Sample], None]:
    """A row of an input with other values."""
    return lambda sample: sample.inputs[name][row].update(values)


def without(row: int = 0) -> Callable[[Sample], None]:
    """A row lost."""

    def plant(sample: Sample) -> None:
        del sample.rows[row]

    return plant


def find(**values: Any) -> Callable[[Sample], None]:
    """Something found while the rows were built."""

    def plant(sample: Sample) -> None:
        for name, value in values.items():
            sample.findings[name][sample.key] = value

    return plant


def instead_of_the_second(sample: Sample) -> None:
    """The first customer a second time, the second not at all."""
    sample.rows[1]["customer_id"] = sample.rows[0]["customer_id"]


def nothing_foreseen(sample: Sample) -> None:
    """The model that scores is a little below the floor, and recency further."""
    of_all(roc_auc=AUC_FLOOR - 0.1)(sample)
    changed(roc_auc=AUC_FLOOR - 0.001)(sample)


def no_model(sample: Sample) -> None:
    sample.findings["training_rows"].pop(sample.key)
    sample.rows.clear()


def landed_worth_nothing(sample: Sample) -> None:
    sample.inputs["raw"].append(sample.inputs["raw"][0] | {"unit_price": "0"})


def broken(rule: str, rows: int = 1) -> dict[str, Any]:
    return {"failed_rows": {rule: rows}}


def unlike(**changes: Any) -> Callable[[Sample], None]:
    """A day unlike those before it."""

    def plant(sample: Sample) -> None:
        day = cast(Any, date.fromisoformat(sample.key))
        sample.findings["days"][day] = replace(sample.findings["days"][day], **changes)

    return plant


NO_CUSTOMERS = dict.fromkeys(INVOICES.columns, 0) | {"customer_id": 990}


def valued(month: date, customer: Mapping[str, Any]) -> dict[str, Any]:
    """A customer's row of customer_clv; what is counted is that of silver, what is expected made up."""
    age = 1 + (month.month - 1) * 31
    return {
        "customer_id": customer["customer_id"], "as_of_date": month, "frequency": month.month - 1,
        "recency": age - 1, "age": age, "mean_value": 5.0, "probability_alive": 1.0, "expected_purchases_12m": 2.0,
        "expected_average_value": 5.0, "clv_12m": 9.5, "naive_clv_12m": 20.0, "snapshot_month": month,
    }  # fmt: skip


def brought(month: date, lists: int) -> dict[str, Any]:
    """What campaigns of two customers each brought."""
    return {
        "campaign": "c", "contacted_on": date(2011, 1, 1), "as_of_date": month, "days_seen": 0, "contacted": lists,
        "held_out": lists, "uplift_spend_lower": -1.0, "uplift_spend_upper": 1.0, "bought_verdict": "cannot be told",
        "spend_verdict": "cannot be told", "snapshot_month": month,
    }  # fmt: skip


def worth_of(customer: Mapping[str, Any]) -> Decimal:
    """What could be won of a customer as `valued` made them up, who is as likely as not to leave."""
    kept = float(customer["net_monetary"]) / float(customer["monetary"])
    return Decimal(f"{9.5 * kept * 0.5 * 0.1:.3f}")


def window_of(month: date, lines: Rows) -> Rows:
    """A holdout of this month alone, in which these customers of silver bought; foreseen a bit too high."""
    value = sum((line["revenue"] for line in lines), Decimal(0))
    whole = {
        "horizon_months": 3, "slice": "all", "number": 0, "as_of_date": month, "window_end": month, "customers": 2,
        "predicted_purchases": 2.5, "actual_purchases": len(lines), "predicted_value": 1.2 * float(value),
        "naive_value": 2 * float(value), "actual_value": value, "snapshot_month": month,
    }  # fmt: skip
    ranked = {"rank_correlation": 0.6, "naive_rank_correlation": 0.5}
    parts = [{"slice": "decile", "number": 1}, {"slice": "month", "number": 1}, {"slice": "month", "number": 3}]
    return [whole | ranked, *(whole | part for part in parts)]


def of_a_year(sample: Sample) -> None:
    """A window of a year, whose total the naive projection foresaw better."""
    for row in sample.rows:
        row["horizon_months"] = 12
    sample.rows[-1]["number"] = 12
    sample.rows[0]["naive_value"] = 1.1 * float(sample.rows[0]["actual_value"])


def second_of_the_decile(sample: Sample) -> None:
    sample.rows.append(sample.rows[1] | {"actual_value": Decimal(0)})


COUNTRY_ROW = {"action": "country", "customer_id": None}
REPEATED = broken("unique_key")
FAULTS = [
    Fault("raw_invoices", "contract", "line -1", changed(line_number=-1),
          broken("line_number_greater_than_or_equal_to")),
    Fault("raw_invoices", "contract", "no file", changed(source_file=None), broken("source_file_not_null")),
    Fault("raw_invoices", "drops_readable", "refused", find(refused="no column Price"),
          told="1 drop cannot be read: no column Price"),
    Fault("raw_invoices", "drops_as_expected", "noted", find(notes=["an unknown column"])),
    Fault("raw_invoices", "drops_as_expected", "malformed", changed(malformed_line="a;b"),
          {"notes": ["1 malformed lines, kept in malformed_line"]}),
    Fault("quarantined_invoices", "contract", "no reason", changed(reasons=[]), broken("reasons_known")),
    Fault("quarantined_invoices", "contract", "unknown reason", changed(reasons=["bored"]), broken("reasons_known")),
    Fault("quarantined_invoices", "quarantine_share", "two in twenty", lambda s: s.rows.append(s.rows[0]),
          {"rows": 2, "landed": 20}),
    Fault("clean_transactions", "contract", "eighth day of the week", changed(day_of_week=8),
          broken("day_of_week_in_range")),
    Fault("clean_transactions", "contract", "unknown line type", changed(line_type="gift"), broken("line_type_isin")),
    Fault("clean_transactions", "contract", "another day's invoice", changed(invoice_ts="2012-01-01 00:00:00"),
          broken("invoice_is_of_its_day")),
    Fault("clean_transactions", "contract", "price that makes no total", more(unit_price=1),
          broken("line_total_is_the_product")),
    Fault("clean_transactions", "contract", "negative sale", changed(-1, is_cancellation=False),
          broken("negative_only_when_cancelled")),
    Fault("clean_transactions", "contract", "key twice", repeated(landed_rows=1), REPEATED),
    Fault("clean_transactions", "accounting", "line lost", without(), {"landed": 20, "clean": 17}),
    Fault("clean_transactions", "accounting", "copy lost", more(landed_rows=-1), {"duplicates_dropped": 0}),
    Fault("clean_transactions", "accounting", "landed and gone", landed_worth_nothing, {"landed": 21}),
    Fault("clean_transactions", "accounting", "quarantine lost", lambda s: s.inputs["quarantined"].clear(),
          {"quarantined": 0}),
    Fault("clean_transactions", "accounting", "money only", of_input("raw", 0, unit_price="2.551"),
          {"landed": 20, "money_quarantined": "-5.100"}),
    Fault("daily_metrics", "contract", "negative customers", changed(customers=-1),
          broken("customers_greater_than_or_equal_to")),
    Fault("daily_metrics", "contract", "day twice", repeated(revenue=0, returns_value=0, units=0), REPEATED),
    Fault("daily_metrics", "reconciliation", "revenue", more(revenue=MILLI)),
    Fault("daily_metrics", "reconciliation", "returns", more(returns_value=-MILLI)),
    Fault("daily_metrics", "reconciliation", "units", more(units=1)),
    Fault("daily_metrics", "reconciliation", "day lost", without()),
    Fault("bronze_daily_quality", "contract", "better than perfect", changed(score=100.1), broken("score_in_range")),
    Fault("bronze_daily_quality", "contract", "more unusable than landed", changed(unusable=21),
          broken("unusable_within_records")),
    Fault("bronze_daily_quality", "contract", "day twice", repeated(), REPEATED),
    Fault("bronze_silver_comparison", "contract", "row gained", more(silver_records=1), broken("records_add_up")),
    Fault("bronze_silver_comparison", "contract", "invoices gained", more(silver_invoices=9), broken("nothing_gained")),
    Fault("bronze_silver_comparison", "contract", "day twice", repeated(), REPEATED),
    Fault("daily_counts", "contract", "more repeated than landed", changed(duplicate_rate=1.1),
          broken("duplicate_rate_in_range")),
    Fault("daily_counts", "contract", "day twice", repeated(), REPEATED),
    Fault("daily_counts", "volume", "four times the rows", unlike(rows=4000)),
    Fault("daily_counts", "schema_drift", "unknown column", unlike(unknown_columns=frozenset(["Discount"])),
          {"new": ["Discount"]}),
    Fault("daily_counts", "distribution_drift", "all orders alike", unlike(order_values={"10": 100})),
    Fault("daily_counts", "null_rates", "no customers", unlike(rows=1000, nulls=NO_CUSTOMERS),
          {"failed_rules": ["customer_id_null_rate"]}),
    Fault("daily_counts", "duplicate_rate", "every other row", unlike(rows=1000, duplicates=500)),
    Fault("daily_counts", "groups", "no country", unlike(countries=frozenset()),
          {"failed_rules": ["vanished_countries"]}),
    Fault("customer_month_activity", "contract", "negative days", changed(active_days=-1),
          broken("active_days_greater_than_or_equal_to")),
    Fault("customer_month_activity", "contract", "customer twice", repeated(revenue=0, returns_value=0, lines=1),
          REPEATED),
    Fault("customer_month_activity", "reconciliation", "revenue", more(revenue=MILLI)),
    Fault("customer_month_activity", "reconciliation", "returns", more(returns_value=MILLI)),
    Fault("customer_month_activity", "reconciliation", "lines", more(lines=1)),
    Fault("customer_month_activity", "customers_known", "stranger", changed(customer_id="stranger"),
          {"unknown": 1, "sample": "stranger"}),
    Fault("customer_rfm", "contract", "sixth fifth", changed(r_score=6), broken("r_score_in_range")),
    Fault("customer_rfm", "contract", "purchase to come", lambda s: s.rows[0].update(
        last_purchase_date=s.rows[0]["as_of_date"]), broken("dates_in_order")),
    Fault("customer_rfm", "contract", "customer twice", repeated(frequency=1, monetary=1), REPEATED),
    Fault("customer_rfm", "reconciliation", "monetary", more(monetary=-MILLI)),
    Fault("customer_rfm", "reconciliation", "frequency", more(frequency=1)),
    Fault("customer_rfm", "reconciliation", "customer lost", without()),
    Fault("customer_rfm", "customers_known", "stranger", changed(customer_id="stranger"),
          {"unknown": 1, "sample": "stranger"}),
    Fault("segment_model", "contract", "negative cluster", changed(cluster=-1),
          broken("cluster_greater_than_or_equal_to")),
    Fault("segment_model", "contract", "no spread", changed(monetary_deviation=0.0),
          broken("monetary_deviation_greater_than")),
    Fault("segment_model", "contract", "cluster twice", of_all(cluster=0), REPEATED),
    Fault("segment_model", "reconciliation", "customer too many", more(customers=1)),
    Fault("segment_champion", "contract", "negative cluster", changed(cluster=-1),
          broken("cluster_greater_than_or_equal_to")),
    Fault("segment_champion", "contract", "cluster twice", of_all(cluster=0), REPEATED),
    Fault("segment_champion", "champion_gates", "two gates", of_all(failed_gates=["silhouette", "smallest_share"]),
          {"failed_gates": "silhouette, smallest_share"}),
    Fault("segment_champion", "champion_gates", "another model", of_all(failed_gates=["agreement_with_champion"],
          champion_month=date(2010, 12, 1)), {"scored_by_the_model_of": "2010-12-01"}),
    Fault("segment_champion", "labels_fit", "carried too far", changed(label="Steady buyers")),
    Fault("segment_drift", "contract", "unknown figure", changed(2, measure="gossip"), broken("measure_isin")),
    Fault("segment_drift", "contract", "figure twice", lambda s: s.rows.append(s.rows[0]), REPEATED),
    Fault("segment_drift", "segments_hold", "customers", changed(0, value=0.6, within_bound=False),
          told="moved_share of all customers: 0.600, bound 0.500"),
    Fault("segment_drift", "segments_hold", "models", changed(1, value=0.4, within_bound=False),
          told="model_agreement of all customers: 0.400, bound 0.500"),
    Fault("segment_drift", "features_hold", "recency", changed(3, value=0.9, within_bound=False),
          told="psi of recency_days: 0.900, bound 0.250"),
    Fault("segment_summary", "contract", "more than all", changed(share=1.01), broken("share_in_range")),
    Fault("segment_summary", "contract", "segment twice", repeated(customers=1, revenue=0), REPEATED),
    Fault("segment_summary", "reconciliation", "revenue", more(revenue=MILLI)),
    Fault("segment_summary", "reconciliation", "customer too many", more(customers=1)),
    Fault("segment_summary", "reconciliation", "segment lost", without()),
    Fault("customer_segments", "contract", "negative distance", changed(distance=-0.1),
          broken("distance_greater_than_or_equal_to")),
    Fault("customer_segments", "contract", "unknown label", changed(label="Cluster 3"), broken("label_isin")),
    Fault("customer_segments", "contract", "customer twice", instead_of_the_second, REPEATED),
    Fault("customer_segments", "total_and_disjoint", "customer lost", without()),
    Fault("customer_segments", "total_and_disjoint", "money", more(monetary=MILLI)),
    Fault("customer_segments", "customers_known", "stranger", changed(customer_id="stranger"),
          {"unknown": 1, "sample": "stranger"}),
    Fault("churn_evaluation", "contract", "outcome to come", of_all(as_of_date=date(2012, 3, 30)),
          broken("outcome_was_known", 3)),
    Fault("churn_evaluation", "contract", "more than all", changed(1, brier_score=1.01),
          broken("brier_score_in_range")),
    Fault("churn_evaluation", "contract", "model twice", changed(1, model="random_forest"), REPEATED),
    Fault("churn_evaluation", "out_of_time_auc", "too low", nothing_foreseen, {"roc_auc": AUC_FLOOR - 0.001}),
    Fault("churn_evaluation", "out_of_time_auc", "too high", changed(roc_auc=AUC_CEILING + 0.001)),
    Fault("churn_evaluation", "better_than_recency", "worse", changed(roc_auc=0.6, roc_auc_upper=0.65),
          {"roc_auc": 0.6, "recency_alone_roc_auc": 0.7},
          "ROC AUC 0.600 out of time (by chance 0.050 more), where recency alone has 0.700"),
    Fault("churn_evaluation", "calibrated", "another season", changed(calibration_error=CALIBRATION_CEILING + 0.001)),
    Fault("churn_evaluation", "reconciliation", "customer too many", changed(customers=3)),
    Fault("churn_scores", "contract", "above 1", changed(churn_probability=1.001),
          broken("churn_probability_in_range")),
    Fault("churn_scores", "contract", "below 0", changed(churn_probability=-0.001),
          broken("churn_probability_in_range")),
    Fault("churn_scores", "contract", "unknown model", changed(model="oracle"), broken("model_isin")),
    Fault("churn_scores", "contract", "customer twice", instead_of_the_second, REPEATED),
    Fault("churn_scores", "model_made", "no model", no_model),
    Fault("churn_scores", "everyone_scored", "customer lost", without(), {"scored": 1, "customers": 2}),
    Fault("churn_scores", "customers_known", "stranger", changed(customer_id="stranger"),
          {"unknown": 1, "sample": "stranger"}),
    Fault("customer_clv", "contract", "more than certain", changed(probability_alive=1.001),
          broken("probability_alive_in_range")),
    Fault("customer_clv", "contract", "half a model", changed(clv_12m=None), broken("modelled_or_not")),
    Fault("customer_clv", "contract", "purchase to come", lambda s: s.rows[0].update(recency=s.rows[0]["age"]),
          broken("history_possible")),
    Fault("customer_clv", "contract", "customer twice", instead_of_the_second, REPEATED),
    Fault("customer_clv", "models_fitted", "no maximum", find(problems=["no maximum after 9 steps"]),
          {"problems": ["no maximum after 9 steps"]}),
    Fault("customer_clv", "reconciliation", "customer lost", without(), {"customers": "1", "customers_expected": "2"}),
    Fault("customer_clv", "reconciliation", "purchase too many", more(frequency=1)),
    Fault("customer_clv", "customers_known", "stranger", changed(customer_id="stranger"),
          {"unknown": 1, "sample": "stranger"}),
    Fault("clv_holdout", "models_fitted", "no maximum", find(problems=["as of 2011-01-01: no maximum"]),
          {"problems": ["as of 2011-01-01: no maximum"]}),
    Fault("clv_holdout", "contract", "eleventh decile", changed(1, number=11), broken("number_of_its_slice")),
    Fault("clv_holdout", "contract", "decile twice", second_of_the_decile, REPEATED),
    Fault("clv_holdout", "total_foreseen", "too much", lambda s: s.rows[0].update(
        predicted_value=float(s.rows[0]["actual_value"]) * (MOST + 0.01))),
    Fault("clv_holdout", "total_foreseen", "too little", lambda s: s.rows[0].update(
        predicted_value=float(s.rows[0]["actual_value"]) * (LEAST - 0.01))),
    Fault("clv_holdout", "better_than_naive", "ranks", changed(rank_correlation=0.5),
          told="3 months: rank correlation 0.500, naive 0.500"),
    Fault("clv_holdout", "better_than_naive", "a year's total", of_a_year),
    Fault("clv_holdout", "reconciliation", "purchase too many", more(actual_purchases=1)),
    Fault("clv_holdout", "reconciliation", "penny", more(1, actual_value=MILLI)),
    Fault("geo_metrics", "contract", "more than all", changed(revenue_share=1.01), broken("revenue_share_in_range")),
    Fault("geo_metrics", "contract", "country twice", repeated(revenue=0, returns_value=0, units=0), REPEATED),
    Fault("geo_metrics", "reconciliation", "revenue", more(revenue=MILLI)),
    Fault("geo_metrics", "countries_matched", "a name of no economy", changed(country="Atlantis", population=None),
          told="is of 1 names without figures of inhabitants: Atlantis"),
    Fault("geo_metrics", "reconciliation", "returns", more(returns_value=MILLI)),
    Fault("geo_metrics", "reconciliation", "units", more(units=-1)),
    Fault("geo_metrics", "reconciliation", "country lost", without()),
    Fault("monthly_activity", "contract", "user neither new nor not", more(active_users=1), broken("users_add_up")),
    Fault("monthly_activity", "contract", "month twice", repeated(net_sales=0), REPEATED),
    Fault("monthly_activity", "reconciliation", "net sales", more(net_sales=-MILLI)),
    Fault("product_metrics", "contract", "fourth class", changed(abc_class="D"), broken("abc_class_isin")),
    Fault("product_metrics", "contract", "unknown category", changed(category="Hats"), broken("category_isin")),
    Fault("product_metrics", "contract", "product twice", repeated(revenue=0, returns_value=0, units=0), REPEATED),
    Fault("product_metrics", "reconciliation", "revenue", more(revenue=MILLI)),
    Fault("product_metrics", "reconciliation", "returns", more(returns_value=MILLI)),
    Fault("product_metrics", "reconciliation", "units", more(units=1)),
    Fault("product_metrics", "reconciliation", "product lost", without()),
    Fault("category_metrics", "contract", "rank 0", changed(revenue_rank=0),
          broken("revenue_rank_greater_than_or_equal_to")),
    Fault("category_metrics", "contract", "category twice", repeated(revenue=0, returns_value=0, units=0), REPEATED),
    Fault("category_metrics", "reconciliation", "revenue", more(revenue=-MILLI)),
    Fault("category_metrics", "reconciliation", "returns", more(returns_value=MILLI)),
    Fault("category_metrics", "reconciliation", "units", more(units=1)),
    Fault("product_affinities", "contract", "no more than chance", changed(lift=1.0), broken("lift_greater_than")),
    Fault("product_affinities", "contract", "more than either", changed(together_baskets=18), broken("counts_nest")),
    Fault("product_affinities", "contract", "rule twice", lambda s: s.rows.append(s.rows[0]), REPEATED),
    Fault("product_affinities", "baskets_agree", "basket lost", changed(baskets=18), {"wrong_baskets": 2}),
    Fault("product_affinities", "baskets_agree", "product miscounted",
          lambda s: s.rows[0].update(antecedent_baskets=15, together_baskets=15), {"wrong_products": 1}),
    Fault("actions", "contract", "unknown action", changed(action="gossip"), broken("action_isin")),
    Fault("actions", "contract", "about nobody", changed(customer_id=None, country=None), broken("is_about_something")),
    Fault("actions", "contract", "rank twice", lambda s: s.rows.extend([s.rows[0] | COUNTRY_ROW] * 2), REPEATED),
    Fault("actions", "customers_are_the_models", "stranger", changed(customer_id="stranger", worth=None),
          {"unknown": 1}),
    Fault("actions", "customers_are_the_models", "worth more", more(worth=MILLI), {"wrong": 1}),
    Fault("actions", "customers_are_the_models", "in two lists",
          lambda s: s.rows.append(s.rows[0] | {"action": "thank"}), {"twice": 1}),
    Fault("campaigns", "contract", "unknown group", changed(group="perhaps"), broken("group_isin")),
    Fault("campaigns", "contract", "customer twice", lambda s: s.rows.append(s.rows[0]), REPEATED),
    Fault("campaigns", "customers_of_the_shop", "stranger", changed(customer_id="stranger"),
          told="1 of 2 customers of lists are not known"),
    Fault("campaign_results", "contract", "told of nothing", changed(spend_verdict="more"),
          broken("told_apart_from_nothing")),
    Fault("campaign_results", "contract", "campaign twice", repeated(contacted=0, held_out=0), REPEATED),
    Fault("campaign_results", "reconciliation", "customer lost", more(contacted=-1)),
    Fault("campaign_results", "reconciliation", "held out twice", more(held_out=1)),
    Fault("dashboard", "contract", "too large", changed(bytes=6_000_001), broken("bytes_less_than_or_equal_to")),
    Fault("dashboard", "contract", "two pages", lambda s: s.rows.append(s.rows[0]), REPEATED),
    Fault("dashboard", "figures", "another revenue", find(differences=["daily_metrics 2011-03-04 revenue: 1, not 2"]),
          {"differences": ["daily_metrics 2011-03-04 revenue: 1, not 2"]}),
]  # fmt: skip
PLANTED = {name: [fault for fault in FAULTS if fault.table == name] for name in BY_NAME}


def landed_on(day: date) -> Rows:
    """Twenty rows: 18 lines (a sale twice, two customers, a service, a return, one without a customer), 1 unusable."""
    text = day.isoformat()
    sales = [landed(text, invoice_no=f"5000{n:02d}", customer_id=f"{1 + n % 2}") for n in range(15)]
    return [
        *sales,
        landed(text, invoice_no="500000", customer_id="1"),
        landed(text, invoice_no="500020", stock_code="POST", customer_id="1"),
        landed(text, invoice_no="C500021", quantity="-1", customer_id="1"),
        landed(text, invoice_no="500022", customer_id=None),
        landed(text, invoice_no="500023", quantity="-2"),
    ]


def clusters(month: date) -> Rows:
    """Two clusters of one customer each, as segment_model keeps them."""
    numbers = ["value_score", "recency_days", "frequency", "monetary"]
    kept = ("scaled", "mean", "deviation", "floor", "cap")
    numbers += [f"{n}_{of}" for n in ("recency", "frequency", "monetary") for of in kept]
    shared = {
        "transform": "log",
        "engine": "scikit-learn",
        "clusters": 2,
        "customers": 1,
        "share": 0.5,
        "silhouette": 0.2,
        "snapshot_month": month,
    }
    spread = [(0, "Best customers", 1.0), (1, "Dormant", 2.0)]
    return [shared | {"cluster": n, "label": label} | dict.fromkeys(numbers, place) for n, label, place in spread]


def foreseen(month: date) -> Rows:
    """What two models and recency foresaw of two customers, as churn_evaluation keeps it; the first scores."""
    shares = ["churn_rate", "mean_probability", "average_precision", "brier_score"]
    shared = dict.fromkeys([*shares, "top_decile_lift", "calibration_slope"], 0.5) | {
        "roc_auc_lower": 0.75,
        "roc_auc_upper": 0.85,
        "as_of_date": date(2012, 3, 31),
        "evaluated_month": month,
        "evaluated_as_of_date": date(2012, 1, 1),
        "population": "all",
        "customers": 2,
        "calibration_error": 0.05,
        "uncalibrated_error": 0.05,
        "feature_importance": {"recency_days": 0.1},
        "snapshot_month": month,
    }
    models = [("random_forest", True, 0.8), ("gradient_boosting", False, 0.8), ("recency_alone", False, 0.7)]
    return [shared | {"model": model, "scores": scores, "roc_auc": auc} for model, scores, auc in models]


def in_force(month: date) -> Rows:
    """The month's own two clusters, as segment_champion keeps them."""
    shared = {"champion_month": month, "promoted": True, "failed_gates": [], "agreement": 0.9, "silhouette": 0.3}
    shared |= {"smallest_share": 0.5, "snapshot_month": month}
    names = enumerate(["Best customers", "Dormant"])
    return [shared | {"cluster": n, "label": label, "place_label": label} for n, label in names]


def drift(month: date) -> Rows:
    """A figure of each kind, all within their bounds, of customers enough to tell."""
    return [
        {"measure": measure, "item": item, "value": value, "bound": bound, "within_bound": bound and True}
        | {"snapshot_month": month, "customers": None if bound else ENOUGH_FOR_MODELS, "to_segment": None}
        for measure, item, value, bound in [
            ("moved_share", "all customers", 0.2, 0.5),
            ("model_agreement", "all customers", 0.9, 0.5),
            ("transition", "Dormant", 1.0, None),
            ("psi", "recency_days", 0.1, 0.25),
            ("centroid_movement", "Dormant", 0.1, 1.0),
        ]
    ]


def rule(product: dict[str, Any]) -> dict[str, Any]:
    """A rule from a product to itself: what the month's one product can have; its counts are the product's own."""
    counts = {f"{of}baskets": product["orders"] for of in ("", "antecedent_", "consequent_", "together_")}
    sides = dict.fromkeys(("antecedent", "consequent"), product["stock_code"])
    shares = {"support": 1.0, "confidence": 1.0, "lift": 1.5, "rule_rank": 1}
    return {"snapshot_month": product["snapshot_month"], **sides, **counts, **shares}


class ByTable(dict[Any, Rows]):
    """Rows by the name of their contract's table, whoever's it is; none of tables that were not made."""

    def __setitem__(self, contract: type[Contract], rows: Rows) -> None:
        super().__setitem__(table_name(contract)[1], rows)

    def __getitem__(self, contract: type[Contract]) -> Rows:
        return self.get(table_name(contract)[1], [])


@dataclass(frozen=True)
class Made:
    """What all tables hold when nothing is wrong."""

    rows: ByTable
    spark: SparkSession


@pytest.fixture(scope="module")
def made(spark: SparkSession) -> Made:
    rows = ByTable()
    rows[RawInvoices] = [row for day in DAYS for row in landed_on(day)]

    def keep(contract: type[Contract], table: DataFrame) -> DataFrame:
        rows[contract] = [row.asDict() for row in conform(table, contract).collect()]
        return frame(spark, contract, rows[contract])

    raw = frame(spark, RawInvoices, rows[RawInvoices])
    quarantined = keep(QuarantinedInvoices, quarantined_invoices(raw, RULES))
    clean = keep(CleanTransactions, clean_transactions(raw, RULES))
    # The line of two landed rows first: the faults of copies are planted there.
    rows[CleanTransactions].sort(key=lambda row: (row["invoice_date"], -row["landed_rows"], row["invoice_no"]))
    days = spark.createDataFrame([(day,) for day in DAYS], "invoice_date date")
    keep(DailyMetrics, daily_metrics(clean, days))
    quality = keep(BronzeDailyQuality, bronze_daily_quality(raw, quarantined, days, RULES))
    comparison = keep(BronzeSilverComparison, bronze_silver_comparison(quality, clean))
    keep(DailyCounts, daily_counts(comparison))
    activity = keep(CustomerMonthActivity, customer_month_activity(clean))
    as_of = [(month, (month + timedelta(days=32)).replace(day=1)) for month in MONTHS]
    rfm = keep(
        CustomerRfm, customer_rfm(activity, spark.createDataFrame(as_of, "snapshot_month date, as_of_date date"))
    )
    models = [cluster for month in MONTHS for cluster in clusters(month)]
    segment_models = keep(SegmentModel, frame(spark, SegmentModel, models))
    champions = keep(
        SegmentChampion, frame(spark, SegmentChampion, [row for month in MONTHS for row in in_force(month)])
    )
    segments = keep(CustomerSegments, customer_segments(rfm, champions, segment_models))
    rows[SegmentDrift] = [row for month in MONTHS for row in drift(month)]
    keep(SegmentSummary, segment_summary(segments))
    economies = frame(
        spark, Economies, [{"country_code": "GBR", "year": 2009, "population": 62e6, "gdp_per_head": 4e4}]
    )
    keep(GeoMetrics, geo_metrics(clean, activity, rfm, economies))
    months = spark.createDataFrame([(month,) for month in MONTHS], "snapshot_month date")
    keep(MonthlyActivity, monthly_activity(clean, activity, months))
    products = keep(ProductMetrics, product_metrics(clean, RULES))
    keep(CategoryMetrics, category_metrics(products, clean))
    rows[ProductAffinities] = [rule(row) for row in rows[ProductMetrics]]
    rows[ChurnScores] = [
        row
        | {
            "monetary": 5.0,
            "churn_probability": 0.5,
            "model": "random_forest",
            "churn_prediction": True,
            "churn_risk": "Low",
        }
        for row in rows[CustomerRfm]
    ]
    rows[ChurnEvaluation] = [row for month in MONTHS for row in foreseen(month)]
    page = {"as_of_date": date(2011, 2, 1), "file": "page.html", "bytes": 1, "sha256": "0" * 64, "customers": 2}
    rows[Dashboard] = [
        page | {"orders": 1, "revenue": 1, "returns_value": 0, "snapshot_month": month} for month in MONTHS
    ]
    rows[CustomerClv] = [valued(row["activity_month"], row) for row in rows[CustomerMonthActivity]]
    rows[Actions] = [
        {"action": "win_back", "rank": 1, "customer_id": row["customer_id"], "country": row["country"], "reason": "so"}
        | {"worth": worth_of(row), "as_of_date": row["as_of_date"], "snapshot_month": row["snapshot_month"]}
        for row in rows[CustomerRfm]
        if row["customer_id"] == "1"
    ]
    rows[Campaigns] = [
        {"campaign": "c", "customer_id": customer, "group": group, "source_file": "c.csv"}
        | {"contacted_on": month, "snapshot_month": month}
        for month in MONTHS
        for customer, group in (("1", "contacted"), ("2", "control"))
    ]
    rows[CampaignResults] = [brought(month, len(MONTHS[: MONTHS.index(month) + 1])) for month in MONTHS]
    # January has no window: nobody was known before it.
    rows[ClvHoldout] = [
        row
        for month in MONTHS[1:]
        for row in window_of(month, [of for of in rows[CustomerMonthActivity] if of["activity_month"] == month])
    ]
    return Made(rows, spark)


def samples_of(table: Table, made: Made) -> list[Sample]:
    """The table's partitions, nothing wrong with them."""
    keys = DAYS if partition_column(table.contract) == "invoice_date" else MONTHS

    def slice_of(contract: type[Contract], month: str) -> Rows:
        column = partition_column(contract)
        return [copy.copy(row) for row in made.rows[contract] if str(row[column])[:7] == month]

    models = {str(key): 100 for key in keys}
    days = cast(Any, {day: test_day_anomalies.usual(day) for day in EVERY_DAY})
    findings: dict[str, dict[str, Any]] = {
        "refused": {},
        "notes": {},
        "training_rows": models,
        "problems": {},
        "days": days,
    }
    findings |= {"chance": {"of winning back": 0.1}}
    findings |= {"economies": dict.fromkeys(map(str, keys), True)}
    findings |= {
        "differences": {},
        "returning": {},
        "too_few": {},
        "customers": {str(key): ENOUGH_FOR_MODELS for key in keys},
    }
    return [
        Sample(
            str(key),
            slice_of(table.contract, str(key)[:7]),
            {name: slice_of(contract, str(key)[:7]) for name, (contract, _) in table.reads.items()},
            findings,
        )
        for key in keys
    ]


def judgement(table: Table, samples: list[Sample], spark: SparkSession) -> Judged:
    """What the table's checks say of the samples, taken together as one run takes them."""
    rows = frame(spark, table.contract, [row for sample in samples for row in sample.rows])
    inputs = {
        name: frame(spark, contract, [row for sample in samples for row in sample.inputs[name]])
        for name, (contract, _) in table.reads.items()
    }
    keys = [sample.key for sample in samples]
    audit = Audit(rows, inputs, keys, partition_column(table.contract), samples[0].findings, table.source)
    return judge(audit, table.contract, table.checks)


Judgements = Callable[[str], Judged]
"""Table -> what is said of it with every fault planted in a partition of its own, in order; the last is left alone."""


@pytest.fixture(scope="module")
def judged(made: Made) -> Judgements:
    @cache
    def of_table(name: str) -> Judged:
        samples = samples_of(BY_NAME[name], made)
        assert len(PLANTED[name]) < len(samples)
        for fault, sample in zip(PLANTED[name], samples, strict=False):
            fault.plant(sample)
        # The samples are of two customers; what is said of too few has tests of its own.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("retail_assets.customers.churn_evaluation.ENOUGH_CUSTOMERS", 2)
            return judgement(BY_NAME[name], samples, made.spark)

    return of_table


def by_check(judged: Judged, place: int) -> dict[str, Verdict]:
    """The verdicts on one of the partitions."""
    return {name: list(verdicts.values())[place] for name, verdicts in judged.verdicts.items()}


def verdict_on(judged: Judgements, fault: Fault) -> Verdict:
    return by_check(judged(fault.table), PLANTED[fault.table].index(fault))[fault.check]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_fails_its_check_in_its_partition_and_no_other(judged: Judgements, fault: Fault):
    verdicts = by_check(judged(fault.table), PLANTED[fault.table].index(fault))
    assert [name for name, verdict in verdicts.items() if not verdict.passed] == [fault.check]
    metadata = verdicts[fault.check].metadata
    assert {name: metadata.get(name) for name in fault.seen} == fault.seen
    assert fault.told in verdicts[fault.check].explanation


@pytest.mark.parametrize("name", BY_NAME)
def test_partitions_without_a_fault_pass_every_check(judged: Judgements, name: str):
    clean = range(len(PLANTED[name]), len(judged(name).audit.keys))
    assert clean
    for place in clean:
        assert [check for check, verdict in by_check(judged(name), place).items() if not verdict.passed] == []


def test_every_check_of_every_table_has_a_fault_that_it_sees():
    existing = [(name, check.name) for name, table in BY_NAME.items() for check in table.checks]
    covered = list(dict.fromkeys((fault.table, fault.check) for fault in FAULTS))
    assert sorted(covered) == sorted(existing)
    with_key = {name for name, table in BY_NAME.items() if unique_key(table.contract)}
    assert with_key == {fault.table for fault in FAULTS if fault.seen == REPEATED}
    rules = [fault.table for fault in FAULTS if fault.check == "contract" and fault.seen != REPEATED]
    assert set(rules) == set(BY_NAME)


def test_what_keeps_a_partition_from_being_published_and_what_only_warns():
    warning = {(name, check.name) for name, table in BY_NAME.items() for check in table.checks if not check.blocking}
    assert warning == {
        ("raw_invoices", "drops_as_expected"),
        ("quarantined_invoices", "quarantine_share"),
        *(("daily_counts", check.name) for check in ANOMALIES),
        ("geo_metrics", "countries_matched"),
        ("campaigns", "customers_of_the_shop"),
        ("churn_evaluation", "out_of_time_auc"),
        ("churn_evaluation", "better_than_recency"),
        ("churn_evaluation", "calibrated"),
        ("churn_scores", "model_made"),
        ("segment_champion", "champion_gates"),
        ("segment_champion", "labels_fit"),
        ("segment_drift", "segments_hold"),
        ("segment_drift", "features_hold"),
        ("customer_clv", "models_fitted"),
        ("clv_holdout", "models_fitted"),
        ("clv_holdout", "total_foreseen"),
        ("clv_holdout", "better_than_naive"),
    }


@pytest.mark.parametrize(
    ("family", "checks"),
    [
        # What a check is that names no family: what is about models must not be there, or alerts link the wrong entry.
        (VALIDITY, {"contract", "drops_readable", "drops_as_expected", "quarantine_share"}),
        (
            MODEL_QUALITY,
            {"champion_gates", "labels_fit", "out_of_time_auc", "better_than_recency", "calibrated", "model_made",
             "models_fitted", "total_foreseen", "better_than_naive"},
        ),
        (DISTRIBUTION_DRIFT, {"distribution_drift", "segments_hold", "features_hold"}),
        (
            RECONCILIATION,
            {"accounting", "reconciliation", "total_and_disjoint", "baskets_agree", "everyone_scored", "figures",
             "customers_are_the_models"},
        ),
    ],
)  # fmt: skip
def test_a_check_is_of_the_family_that_says_what_it_is_about(family: str, checks: set[str]):
    assert {check.name for table in TABLES for check in table.checks if check.family == family} == checks
    described = (project_root() / "docs" / "quality.md").read_text()
    assert all(f"`{check}`" in described for check in checks)


def test_every_family_of_checks_has_a_fault_and_rows_stay_out_of_what_is_mailed(judged: Judgements):
    seen: set[str] = set()
    samples = []
    for fault in FAULTS:
        (check,) = (check for check in BY_NAME[fault.table].checks if check.name == fault.check)
        verdict = verdict_on(judged, fault)
        told = check.told(verdict)
        if "sample" in told:
            assert told["sample"] not in told["explanation"], "rows stay in the UI, and this is mailed"
            samples.append(told["sample"])
        assert told["family"] in FAMILIES
        seen |= {rule.family or check.family for rule in verdict.rules if not rule.passed} or {check.family}
    assert seen == set(FAMILIES)
    assert len(samples) == 5


def test_every_check_stores_what_it_saw_and_why_it_fails_in_figures(judged: Judgements, spark: SparkSession, tmp_path):
    tables = PathTables(spark, str(tmp_path))
    for name in BY_NAME:
        rows = result_rows("the run", f"online_retail.{name}", judged(name), 0, datetime.now(tz=UTC))
        keep_results(tables, RESULTS.contract, "the run", name, False, rows)
    stored = DeltaTable(tables.place(("online_retail", "dq_results"))).to_pyarrow_table().to_pylist()
    promises = {check.promise for table in TABLES for check in table.checks}
    for row in stored:
        where = (row["table_name"], row["check_name"], row["rule"], row["partition_key"])
        assert row["observed"] is not None, where
        assert row["explanation"], where
        if row["status"] == "failed":
            assert re.search("[0-9]", row["explanation"]), where
            assert row["explanation"] not in promises, where
    failed = {(row["table_name"], row["check_name"]) for row in stored if row["status"] == "failed"}
    assert failed == {
        (f"online_retail.{name}", check.name) for name, table in BY_NAME.items() for check in table.checks
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_of_a_partition_without_rows_every_check_says_what_it_saw(name: str):
    table = BY_NAME[name]
    found = ("refused", "notes", "training_rows", "problems", "days", "differences", "customers", "economies")
    findings: dict[str, Any] = {name: {} for name in (*found, "returning", "too_few")}
    for check in table.checks:
        verdict = check.judge(
            Evidence("2011-01-04", PartitionEvaluation(), dict.fromkeys(check.measures), (), findings, table.source)
        )
        assert verdict.observed == 0, check.name
        if not verdict.passed:
            assert (name, check.name) in {("daily_counts", "volume"), ("churn_scores", "model_made")}


@pytest.mark.parametrize("name", ["raw_invoices", "quarantined_invoices", "clean_transactions"])
def test_a_day_without_a_drop_passes(made: Made, name: str):
    samples = samples_of(BY_NAME[name], made)[:1]
    samples[0].rows.clear()
    for rows in samples[0].inputs.values():
        rows.clear()
    verdicts = by_check(judgement(BY_NAME[name], samples, made.spark), 0)
    assert [check for check, verdict in verdicts.items() if not verdict.passed] == []


def by_name(table: str, check: str) -> TableCheck:
    (found,) = (each for each in BY_NAME[table].checks if each.name == check)
    return found


def of_customers(count: int, measures: Mapping[str, Any]) -> Evidence:
    findings = {"customers": {"2011-01-01": count}}
    return Evidence("2011-01-01", PartitionEvaluation(rows=4), measures, (), findings)


GATES_OF_FEW = {"failed_gates": "agreement_with_champion", "champion_month": date(2010, 11, 1), "silhouette": 0.3,
                "smallest_share": 0.2, "agreement_with_champion": 0.3}  # fmt: skip
MOVED_FAR = [{"measure": "moved_share", "item": "all customers", "value": 0.6, "bound": 0.5, "within_bound": False}]
WORSE = {"roc_auc": 0.5, "roc_auc_lower": 0.45, "roc_auc_upper": 0.55, "recency_alone_roc_auc": 0.7,
         "calibration_error": 0.2, "mean_probability": 0.3, "churn_rate": 0.5}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "check", "needed", "measures"),
    [
        ("segment_champion", "champion_gates", 1_000, lambda few: GATES_OF_FEW),
        ("segment_drift", "segments_hold", 1_000, lambda few: {"figures": MOVED_FAR, "customers": few}),
        ("churn_evaluation", "out_of_time_auc", 500, lambda few: WORSE | {"customers": few}),
        ("churn_evaluation", "better_than_recency", 500, lambda few: WORSE | {"customers": few}),
        ("churn_evaluation", "calibrated", 500, lambda few: WORSE | {"customers": few}),
    ],
)
def test_what_is_chance_of_few_customers_is_not_judged_and_the_check_says_so(
    table: str, check: str, needed: int, measures: Callable[[int], dict[str, Any]]
):
    judge_of = by_name(table, check).judge
    few = judge_of(of_customers(needed - 1, measures(needed - 1)))
    assert few.passed
    assert few.explanation == f"Too few customers to tell: {needed - 1} of at least {needed:,}"
    assert [rule.observed for rule in few.rules if rule.rule == ENOUGH] == [needed - 1]
    enough = judge_of(of_customers(needed, measures(needed)))
    assert not enough.passed
    assert "Too few" not in enough.explanation


def test_gates_that_few_customers_can_be_held_to_are_judged_of_few_as_well():
    measures = GATES_OF_FEW | {"failed_gates": "silhouette, agreement_with_champion", "silhouette": None}
    verdict = by_name("segment_champion", "champion_gates").judge(of_customers(12, measures))
    assert not verdict.passed
    assert verdict.explanation == "The month's own model has 1 cluster, of which there is no silhouette"
