"""price_changes: each lasting change of a product's price, with sales before and after."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

from retail_assets.analytics.price_response import Z, independent_changes
from retail_assets.foresight.prices import SPAN, lines_at_prices, panels
from retail_assets.foresight.weeks import as_of
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.contracts import CURRENCY, Contract, Count, Day, Real, Text, column, partition
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import NEWEST, weekly, weeks_so_far
from retail_assets.partitions.keys import PartitionWindow

ENOUGH_ORDERS = 10
"""Orders on either side that a change of sales is told of."""

_LINES = (CleanTransactions, "unit_price", "quantity", "invoice_date", "invoice_no")


class PriceChanges(Contract):
    """Each lasting change of a product's usual price so far, with its orders in the eight weeks before and after.

    A price is usual where two thirds of a product's small lots were sold at it; a change lasts if the price was the
    same for eight weeks before it and stays so for eight (the four in which it happened are those after). What all of
    the shop's products did meanwhile, season included, is taken out of `change`. It is a log of what happened: that the
    price is why, it does not say; whether that can be told, `price_elasticity` says.
    """

    stock_code: Text = column("Product", origin=(CleanTransactions, "stock_code"))
    changed_from: Day = column("First day of the four weeks from which on the new price was usual", origin=_LINES)
    price_before: Real = column("Usual price before", unit=CURRENCY, gt=0, origin=_LINES)
    price_after: Real = column("Usual price after", unit=CURRENCY, gt=0, origin=_LINES)
    price_change: Real = column("Change of the price, as a share of it", origin=_LINES)
    orders_before: Count = column("Orders of the eight weeks before", ge=0, origin=_LINES)
    orders_after: Count = column("Orders of the eight weeks after", ge=0, origin=_LINES)
    shop_change: Real = column("Change of the shop's orders of products meanwhile, as a share", origin=_LINES)
    change: Real = column(
        "Change of the product's orders beyond the shop's; NULL of fewer than ten orders on a side",
        nullable=True,
        origin=_LINES,
    )
    change_lower: Real = column(
        "Lower end of its 95 % interval, of counts that scatter as other products' do", nullable=True, origin=_LINES
    )
    change_upper: Real = column("Upper end of its 95 % interval", nullable=True, origin=_LINES)
    week: Day = partition("Monday of the newest week that is known", origin=(CleanTransactions, "invoice_date"))

    class Config:
        unique = ["week", "stock_code", "changed_from"]


def price_changes(panel: pd.DataFrame, week: date) -> pd.DataFrame:
    """The rows of a week; `panel`: see `foresight.prices.price_panel`."""
    newest = int(panel["period"].max())
    spans = _spans(panel)
    rows = independent_changes(panel).merge(spans, on=["product", "period"])
    enough = (rows["orders_before"] >= ENOUGH_ORDERS) & (rows["orders_after"] >= ENOUGH_ORDERS)
    deviation = np.sqrt(_scatter(spans) * (1 / rows["orders_before"] + 1 / rows["orders_after"]))
    begins = [as_of(week) - timedelta(days=SPAN * (newest - int(period) + 1)) for period in rows["period"]]

    def share(logarithm: "pd.Series[float]") -> "pd.Series[float]":
        return pd.Series(np.expm1(logarithm)).where(enough)

    return pd.DataFrame(
        {
            "stock_code": rows["product"],
            "changed_from": begins,
            "price_before": rows["before"],
            "price_after": rows["after"],
            "price_change": rows["after"] / rows["before"] - 1,
            "orders_before": rows["orders_before"].astype(int),
            "orders_after": rows["orders_after"].astype(int),
            "shop_change": np.expm1(rows["shop"]),
            "change": share(rows["beyond"]),
            "change_lower": share(rows["beyond"] - Z * deviation),
            "change_upper": share(rows["beyond"] + Z * deviation),
            "week": week,
        }
    )


def _spans(panel: pd.DataFrame) -> pd.DataFrame:
    """Of each product and period the orders of two periods before it, and of it and the next; by what logarithm the
    shop's changed, and the product's beyond that."""
    rows = panel.sort_values(["product", "period"], ignore_index=True)
    of = rows.groupby("product")["sales"]
    rows = rows.assign(orders_before=of.shift(1) + of.shift(2), orders_after=rows["sales"] + of.shift(-1))
    rows = rows[rows["orders_before"].notna() & rows["orders_after"].notna()]
    shop = panel.groupby("period")["sales"].sum()
    before, after = shop.shift(1) + shop.shift(2), shop + shop.shift(-1)
    moved = rows["period"].map(np.log(after / before))
    with np.errstate(divide="ignore"):
        own = np.log(rows["orders_after"]) - np.log(rows["orders_before"])
    return rows.assign(shop=moved, beyond=own - moved)


def _scatter(spans: pd.DataFrame) -> float:
    """How many times as much products' orders scatter as counts by chance would: at least once."""
    seen = spans[(spans["orders_before"] >= ENOUGH_ORDERS) & (spans["orders_after"] >= ENOUGH_ORDERS)]
    if seen.empty:
        return 1.0
    expected = 1 / seen["orders_before"] + 1 / seen["orders_after"]
    return float(max(1.0, (seen["beyond"] ** 2 / expected).mean()))


@table(
    PriceChanges,
    weekly,
    layer=GOLD,
    reads={"transactions": (CleanTransactions, weeks_so_far)},
    due=[NEWEST],
)
def build(transactions: DataFrame, window: PartitionWindow) -> DataFrame:
    """The changes that are known by each week's end."""
    found = panels(lines_at_prices(transactions, window.days))
    # None of a young shop's products has been sold often enough.
    rows = [price_changes(panel, week) for week, panel in found.items() if len(panel)]
    return as_table(transactions, PriceChanges, rows)
