"""recommendation_evaluation: what became of a shop's recommendations, beside the cheap rules."""

from typing import Any

import pandas as pd
from dagster import AssetExecutionContext, MetadataValue
from pyspark.sql import DataFrame

from retail_assets.analytics.list_evaluation import LISTS
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.customers.snapshots import Dated
from retail_assets.foresight import recommendation_evaluation as foresight
from retail_assets.foresight.customer_recommendations import to_learn_from
from retail_assets.foresight.recommendation_evaluation import (
    better_than_the_cheap_rule,
    calibrated,
    recommendation_evaluation,
)
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.invoices.customer_recommendations import PURCHASES, customer_purchases
from retail_assets.lakehouse.contracts import made_from
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.layers import ML
from retail_assets.lakehouse.table import Built, table
from retail_assets.partitions.cadence import NEWEST_ORIGIN, weekly, weeks_so_far
from retail_assets.partitions.keys import PartitionWindow


@made_from(**dict.fromkeys(foresight.RecommendationEvaluation.to_schema().columns, PURCHASES))
class RecommendationEvaluation(foresight.RecommendationEvaluation):
    __doc__ = foresight.RecommendationEvaluation.__doc__


@table(
    RecommendationEvaluation,
    weekly,
    layer=ML,
    kinds=["scikitlearn", "mlflow"],
    reads={"transactions": (CleanTransactions, weeks_so_far)},
    due=[NEWEST_ORIGIN],
    checks=[better_than_the_cheap_rule, calibrated],
)
def build(
    transactions: DataFrame,
    window: PartitionWindow,
    source: Dated,
    mlflow: MlflowTracking,
    context: AssetExecutionContext,
) -> Built:
    """Makes each week's lists as of thirteen weeks before, on the driver, of as many customers as are learnt from."""
    purchases = to_learn_from(customer_purchases(transactions))
    rows, shown = [], {}
    with mlflow.run(context, f"{source.name}/recommendation_evaluation") as run:
        for week in window.days:
            found = recommendation_evaluation(purchases, week)
            if found is None:
                continue
            rows.append(found)
            figures = found[["list", "method", "recall", "ndcg", "hit_rate", "reach"]]
            shown[str(week)] = {"figures": MetadataValue.md(_table(figures.to_dict("records")))}
            with run.month(str(week)):
                run.log({"recommended_as_of": str(found["recommended_as_of"].iloc[0])}, _metrics(found))
    return Built(as_table(transactions, RecommendationEvaluation, rows), metadata=shown)


def _metrics(found: pd.DataFrame) -> dict[str, float]:
    lists = found[found["method"] == LISTS]
    names = ("recall", "ndcg", "hit_rate", "reach", "gain", "calibration_error")
    values = {(row["list"], name): row[name] for row in lists.to_dict("records") for name in names}
    return {f"{which}_{name}": float(value) for (which, name), value in values.items() if value is not None}


def _table(rows: list[Any]) -> str:
    head = ["| list | method | recall | NDCG | hit rate | reach |", "| --- | --- | --- | --- | --- | --- |"]
    shown = (
        [row["list"], row["method"], *(f"{row[name]:.3f}" for name in ("recall", "ndcg", "hit_rate", "reach"))]
        for row in rows
        if row["ndcg"] is not None
    )
    return "\n".join([*head, *(f"| {' | '.join(cells)} |" for cells in shown)])
