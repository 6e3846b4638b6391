"""price_elasticity: whether a shop's invoices can tell what its prices do to sales, and what."""

from dagster import MetadataValue
from pyspark.sql import DataFrame

from retail_assets.analytics.price_response import price_response
from retail_assets.foresight import price_elasticity as foresight
from retail_assets.foresight.price_elasticity import price_elasticity
from retail_assets.foresight.prices import lines_at_prices, panels
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.contracts import made_from
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.layers import ML
from retail_assets.lakehouse.table import Built, table
from retail_assets.partitions.cadence import NEWEST, weekly, weeks_so_far
from retail_assets.partitions.keys import PartitionWindow

_PRICES = (CleanTransactions, "unit_price", "quantity", "invoice_no")


@made_from(**dict.fromkeys(foresight.PriceElasticity.to_schema().columns, _PRICES))
class PriceElasticity(foresight.PriceElasticity):
    __doc__ = foresight.PriceElasticity.__doc__


@table(
    PriceElasticity,
    weekly,
    layer=ML,
    reads={"transactions": (CleanTransactions, weeks_so_far)},
    due=[NEWEST],
)
def build(transactions: DataFrame, window: PartitionWindow) -> Built:
    """One regression a week, on the driver."""
    found = {week: price_response(panel) for week, panel in panels(lines_at_prices(transactions, window.days)).items()}
    rows = [price_elasticity(response, week) for week, response in found.items()]
    shown = {str(week): {"verdict": MetadataValue.text(response.reason)} for week, response in found.items()}
    return Built(as_table(transactions, PriceElasticity, rows), metadata=shown)
