"""Prices of a shop's products in spans of four weeks, from its lines, for whatever is said of prices."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.foresight.product_demand import SMALL_LOT
from retail_assets.foresight.weeks import as_of
from retail_assets.lakehouse.contracts import days_between

SPAN = 28
"""Days of a period: four whole weeks, counted back from the week's end."""

USUAL_SHARE, USUAL_LINES = 2 / 3, 5
"""A price is the product's own where so large a share of its small lots, in so many lines, was sold at it."""

LEAST_ORDERS = 50
"""Products with fewer orders in all say nothing of prices."""


def lines_at_prices(transactions: DataFrame, weeks: Iterable[date]) -> DataFrame:
    """`week`, `product`, `back` (periods before the newest, 0), `price`, `small_lots`, `orders`: of each price at which
    a product was sold, how many lines of small lots, and how many orders of any quantity."""
    spark = transactions.sparkSession
    of = spark.createDataFrame([(week, as_of(week)) for week in weeks], "week date, as_of date")
    sold = transactions.filter("line_type = 'product' AND unit_price > 0").join(
        F.broadcast(of), F.col("invoice_date") < F.col("as_of")
    )
    back = F.floor((days_between("invoice_date", "as_of") - 1) / SPAN).cast("int").alias("back")
    keys = [F.col("week"), F.col("stock_code").alias("product"), back]
    return sold.groupBy(*keys, F.col("unit_price").cast("double").alias("price")).agg(
        F.count_if(F.col("quantity") < SMALL_LOT).alias("small_lots"),
        F.size(F.collect_set("invoice_no")).alias("orders"),
    )


def price_panel(lines: pd.DataFrame) -> pd.DataFrame:
    """`product`, `period` (from 0, the oldest), `sales` (orders), `price` (median of small lots, the last known where
    there was none), `usual` (the price at which nearly all small lots were sold, else NaN): from each product's first
    sale to its last, of those with enough orders. `lines`: of one week."""
    newest, keys = int(lines["back"].max()), ["product", "back"]
    sales = lines.groupby(keys)["orders"].sum().rename("sales").to_frame()
    found = sales.join(_prices(lines[lines["small_lots"] > 0].sort_values([*keys, "price"]), keys))
    enough = found.groupby("product")["sales"].transform("sum") >= LEAST_ORDERS
    found = found[enough].reset_index().assign(period=lambda rows: newest - rows["back"])
    spans = found.groupby("product")["period"].agg(["min", "max"])
    length = (spans["max"] - spans["min"] + 1).to_numpy()
    every = pd.DataFrame({"product": np.repeat(spans.index.to_numpy(), length)})
    every["period"] = every.groupby("product").cumcount() + np.repeat(spans["min"].to_numpy(), length)
    panel = every.merge(found.drop(columns="back"), on=["product", "period"], how="left")
    panel["sales"] = panel["sales"].fillna(0)
    panel["price"] = panel.groupby("product")["price"].ffill()
    return panel[panel["price"].notna()].reset_index(drop=True)


def _prices(small: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Of each product and period, dearer prices last: the `price` of the median lot, and the `usual` one."""
    of = small.groupby(keys)["small_lots"]
    total, most = of.transform("sum"), of.transform("max")
    median = small[of.cumsum() >= total / 2].groupby(keys)["price"].first()
    is_usual = (small["small_lots"] == most) & (most >= USUAL_SHARE * total) & (total >= USUAL_LINES)
    return pd.DataFrame({"price": median, "usual": small[is_usual].groupby(keys)["price"].first()})


def panels(lines: DataFrame) -> dict[Any, pd.DataFrame]:
    """Week -> its panel, on the driver: some hundred thousand rows a week for a catalogue of thousands."""
    rows = lines.toPandas()
    return {week: price_panel(of) for week, of in rows.groupby("week")}
