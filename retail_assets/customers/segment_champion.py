"""segment_champion: whose segment model scores each month; a new one takes over only if it passes its gates."""

from datetime import date

import pandas as pd
from dagster import AssetExecutionContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.champions import (
    AGREEMENT_FLOOR,
    ENOUGH_CUSTOMERS,
    GATES,
    MONTHS_IN_FORCE,
    SILHOUETTE_FLOOR,
    Standing,
    standings,
)
from retail_assets.analytics.segmentation import FEATURES, LABELS, SMALLEST_SHARE, model_of
from retail_assets.analytics.tracked_run import TrackedRun
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.customers.segment_model import EXPERIMENT, MODEL, SegmentModel, month_alias, panel_of
from retail_assets.customers.snapshots import Dated
from retail_assets.lakehouse.checks import MODEL_QUALITY, WARN, Evidence, RuleResult, Verdict, check, nothing_to_judge
from retail_assets.lakehouse.contracts import Contract, Day, Flag, Integer, Real, Text, Texts, column, partition
from retail_assets.lakehouse.driver_rows import as_table, by_partition
from retail_assets.lakehouse.layers import ML
from retail_assets.lakehouse.table import Built, table
from retail_assets.partitions.cadence import monthly, months_so_far
from retail_assets.partitions.keys import PartitionWindow

_PLACE = (SegmentModel, "recency_scaled", "frequency_scaled", "monetary_scaled")
_CUSTOMERS = (CustomerRfm, *FEATURES)
_NO_CUSTOMERS = "The month has no customers, and so no model"


class SegmentChampion(Contract):
    """One row for each month and cluster of the model that scores the month: the champion.

    A month's own model becomes champion if its silhouette, its smallest share and its agreement with the champion so
    far pass their gates; otherwise the champion so far scores. A cluster that holds the same customers as one of the
    champion before it keeps that one's label. All of it follows from the tables, month after month from the first:
    the registry of MLflow only mirrors it.
    """

    cluster: Integer = column("Number of the champion's cluster", ge=0, origin=(SegmentModel, "cluster"))
    label: Text = column(
        "Name in force: of the previous champion's matching cluster, else from where the centroid lies",
        isin=list(LABELS),
        origin=[(SegmentModel, "label"), _PLACE, _CUSTOMERS],
    )
    place_label: Text = column("Name from where the centroid lies alone", origin=(SegmentModel, "label"))
    champion_month: Day = column("Month whose model scores", origin=[_PLACE, _CUSTOMERS])
    promoted: Flag = column("Whether the month's own model passed every gate", origin=[_PLACE, _CUSTOMERS])
    failed_gates: Texts = column("The gates that the month's own model failed", origin=[_PLACE, _CUSTOMERS])
    agreement: Real = column(
        "Adjusted Rand index of the month's own model and the champion until then, on the month's customers; NULL if "
        "there was none",
        nullable=True,
        origin=[_PLACE, _CUSTOMERS],
    )
    silhouette: Real = column(
        "Silhouette of the month's own model; NULL with one cluster", nullable=True, origin=(SegmentModel, "silhouette")
    )
    smallest_share: Real = column("Smallest share of the month's own model", origin=(SegmentModel, "share"))
    snapshot_month: Day = partition("First day of the snapshot's month", origin=(SegmentModel, "snapshot_month"))

    class Config:
        unique = ["snapshot_month", "cluster"]


def segment_champion(models: dict[date, pd.DataFrame], standing: Standing, month: date) -> pd.DataFrame:
    """The rows of one month: one per cluster of its champion."""
    own = models[month]
    silhouette = own["silhouette"].iloc[0]
    places = dict(zip(models[standing.champion]["cluster"], models[standing.champion]["label"], strict=True))
    return pd.DataFrame(
        {
            "cluster": cluster,
            "label": label,
            "place_label": places[cluster],
            "champion_month": standing.champion,
            "promoted": standing.promoted,
            "failed_gates": list(standing.failed_gates),
            "agreement": standing.agreement,
            "silhouette": float(silhouette) if pd.notna(silhouette) else None,
            "smallest_share": float(own["share"].min()),
            "snapshot_month": month,
        }
        for cluster, label in standing.labels.items()
    ).astype(object)


@check(
    f"The month's own model scores: silhouette at least {SILHOUETTE_FLOOR}, no cluster under {SMALLEST_SHARE:.0%}, "
    f"and, until the champion is over {MONTHS_IN_FORCE} months old, an adjusted Rand index of at least "
    f"{AGREEMENT_FLOOR} against it (judged from {ENOUGH_CUSTOMERS:,} customers on). Otherwise the champion goes on "
    "scoring",
    measures={
        "failed_gates": lambda: F.max(F.array_join("failed_gates", ", ")),
        "champion_month": lambda: F.max("champion_month"),
        "silhouette": lambda: F.max("silhouette"),
        "smallest_share": lambda: F.max("smallest_share"),
        "agreement_with_champion": lambda: F.max("agreement"),
    },
    family=MODEL_QUALITY,
    severity=WARN,
)
def champion_gates(month: Evidence) -> Verdict:
    """The figures of the month's own model against the floors of the gates."""
    if not month.rows:
        return nothing_to_judge(_NO_CUSTOMERS)
    failed = month.measures["failed_gates"]
    metadata = {
        "failed_gates": failed or "none",
        "scored_by_the_model_of": str(month.measures["champion_month"]),
    }
    figures = {name: month.measures[name] for name in GATES}
    if figures["agreement_with_champion"] is None:  # there was no champion before to agree with
        del figures["agreement_with_champion"]
    results = [_gate(name, figure, name in failed.split(", ")) for name, figure in figures.items()]
    customers = month.found("customers") or 0
    if customers < ENOUGH_CUSTOMERS:
        # Whether two models of so few agree is chance; the gate keeps their segments from changing by it.
        results = [result for result in results if result.rule != "agreement_with_champion"]
        results.append(RuleResult.too_few(customers, ENOUGH_CUSTOMERS, "customers"))
    return Verdict.of(results, metadata)


def _gate(name: str, figure: float | None, failed: bool) -> RuleResult:
    if figure is None:
        told = f"The month's own model has 1 cluster, of which there is no {name}"
        return RuleResult(name, not failed, 1, lower=2, explanation=told)
    floor = GATES[name]
    told = f"The {name.replace('_', ' ')} of the month's own model is {figure:.3f}, of at least {floor}"
    # A champion that is over a year old is not asked whether the new model agrees with it.
    return RuleResult(name, not failed, figure, floor if failed or figure >= floor else None, None, told)


@check(
    "Labels carried over from the champion before are still the names that fit where the centroids lie",
    measures={"misfits": lambda: F.count_if(F.col("label") != F.col("place_label"))},
    family=MODEL_QUALITY,
    severity=WARN,
)
def labels_fit(month: Evidence) -> Verdict:
    """Clusters of the champion that are called otherwise than their place would be."""
    if not month.rows:
        return nothing_to_judge(_NO_CUSTOMERS)
    misfits = month.measures["misfits"]
    told = f"{misfits} of {month.rows} clusters lie where another name fits"
    return Verdict.within(misfits, told, upper=0)


@table(
    SegmentChampion,
    monthly,
    layer=ML,
    kinds=["mlflow"],
    reads={"rfm": (CustomerRfm, months_so_far), "model": (SegmentModel, months_so_far)},
    history=["rfm", "model"],
    checks=[champion_gates, labels_fit],
)
def build(
    rfm: DataFrame,
    model: DataFrame,
    window: PartitionWindow,
    mlflow: MlflowTracking,
    context: AssetExecutionContext,
    source: Dated,
) -> Built:
    """Decides every month so far, keeps the window's decisions, and lets the registry's alias follow the newest."""
    models = by_partition(model.toPandas(), "snapshot_month")
    customers = panel_of(rfm, models)
    decided = standings(models, by_partition(customers, "snapshot_month"))
    made = {month: decided[month] for month in window.days if month in decided}
    if made:
        with mlflow.run(context, EXPERIMENT.format(source.name)) as tracked:
            _mirror(tracked, MODEL.format(source.name), models, made, customers.head(5))
    rows = [segment_champion(models, standing, month) for month, standing in made.items()]
    counts = {str(month): int(models[month]["customers"].sum()) for month in made}
    return Built(as_table(rfm, SegmentChampion, rows), findings={"customers": counts})


def _mirror(
    tracked: TrackedRun,
    registered_as: str,
    models: dict[date, pd.DataFrame],
    made: dict[date, Standing],
    example: pd.DataFrame,
) -> None:
    """The gates' results to the months' versions, and the champion's alias to the version that scores the newest.

    A champion that the registry has lost is registered again from the rows of its table.
    """
    for month, standing in made.items():
        version = tracked.version(registered_as, month_alias(month))
        if version is not None:
            gates = f"failed: {', '.join(standing.failed_gates)}" if standing.failed_gates else "passed"
            agreement = "no champion before" if standing.agreement is None else f"{standing.agreement:.3f}"
            tracked.tell(registered_as, version, {"gates": gates, "agreement_with_champion": agreement})
    newest = max(made)
    champion = made[newest].champion
    version = tracked.version(registered_as, month_alias(champion))
    if version is None:
        with tracked.month(str(champion)):
            tracked.log(tags={"restored_from": f"the rows of {registered_as}"})
            lost = model_of(models[champion])
            version = tracked.register(lost, registered_as, example[FEATURES], False, month_alias(champion)).version
    tracked.promote(registered_as, version, str(newest))
