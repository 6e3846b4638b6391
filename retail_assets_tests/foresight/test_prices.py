"""price_tiers, price_changes, price_elasticity: what a shop's lines say of its prices."""

from datetime import date

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from retail_assets.analytics.price_response import Effect, Response
from retail_assets.foresight.price_elasticity import price_elasticity
from retail_assets.foresight.prices import lines_at_prices, price_panel
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.invoices.price_changes import price_changes
from retail_assets.invoices.price_tiers import PriceTiers, price_tiers
from retail_assets.lakehouse.contracts import conform
from retail_assets_tests.online_retail.frames import frame, sale

WEEK = date(2011, 11, 28)


def of(day: str, invoice: str, quantity: int, price: str, code: str = "20001"):
    return sale(day, invoice, "1.000", quantity=quantity, unit_price=price, stock_code=code, customer_id="1")


LINES = [
    of("2011-11-29", "500001", 2, "3.000"),
    of("2011-11-29", "500002", 4, "3.000"),
    of("2011-11-30", "500003", 48, "2.500"),
    of("2011-11-30", "500004", 2, "2.000"),
    of("2011-12-01", "500005", 1, "3.500"),
    of("2011-12-01", "500006", 6, "0.000"),
    of("2011-12-05", "500007", 6, "9.000"),
]


def test_tiers_tell_the_usual_price_and_which_lower_ones_are_steps_by_quantity(spark: SparkSession):
    lines = frame(spark, CleanTransactions, LINES).filter("unit_price > 0 AND invoice_date < DATE '2011-12-05'")
    made = conform(price_tiers(lines.withColumn("week", F.lit(WEEK))), PriceTiers).orderBy("tier").collect()
    assert [(row.tier, str(row.unit_price), row.lines, row.is_usual, row.is_step) for row in made] == [
        (1, "3.500", 1, False, False),
        (2, "3.000", 2, True, False),
        (3, "2.500", 1, False, True),
        (4, "2.000", 1, False, False),
    ]
    assert made[2].discount == pytest.approx(1 / 6)
    assert made[2].share == pytest.approx(0.2)
    assert made[0].spread == pytest.approx(1.75)


def test_lines_are_counted_by_price_and_span_and_none_of_later_days_is_known(spark: SparkSession):
    rows = lines_at_prices(frame(spark, CleanTransactions, LINES), [WEEK]).collect()
    found = {row.price: (row.back, row.small_lots, row.orders) for row in rows}
    assert found == {3.0: (0, 2, 2), 2.5: (0, 0, 1), 2.0: (0, 1, 1), 3.5: (0, 1, 1)}


def lines(prices: list[float], orders: list[int], product: str = "a") -> list[tuple[str, int, float, int, int]]:
    """Small lots enough that the price is the usual one."""
    periods = zip(reversed(range(len(prices))), prices, orders, strict=True)
    return [(product, back, price, max(n, 6), n) for back, price, n in periods]


def panel(*of: list[tuple[str, int, float, int, int]]) -> pd.DataFrame:
    rows = [row for product in of for row in product]
    return price_panel(pd.DataFrame(rows, columns=["product", "back", "price", "small_lots", "orders"]))


def test_a_panel_goes_on_from_the_first_sale_to_the_last_with_the_price_that_was_last_known():
    sold = lines([2.0, 2.0, 2.0, 3.0], [40, 0, 0, 40])
    mixed = [("b", 3, 1.0, 6, 6), ("b", 3, 5.0, 4, 4), ("b", 2, 5.0, 60, 60)]
    found = panel([row for row in sold if row[4]], mixed).set_index(["product", "period"])
    of_a = found.xs("a")
    assert of_a["sales"].tolist() == [40, 0, 0, 40]
    assert of_a["price"].tolist() == [2.0, 2.0, 2.0, 3.0]
    assert found.loc[("b", 0), "price"] == 1.0
    assert found.xs("b")["usual"].isna().tolist() == [True, False], "three fifths are not two thirds"
    assert found.loc[("b", 1), "usual"] == 5.0


def test_a_change_of_sales_is_told_beyond_the_shops_own_and_of_few_orders_not_at_all():
    """All the shop's orders double; those of the product whose price rose stay as they were."""
    others = [lines([4.0] * 6, [50, 50, 50, 100, 100, 100], f"other{n}") for n in range(30)]
    changed = lines([2.0, 2.0, 2.0, 3.0, 3.0, 3.0], [50] * 6)
    few = lines([2.0, 2.0, 2.0, 2.0, 3.0, 3.0], [40, 10, 5, 4, 5, 5], "few")
    found = price_changes(panel(changed, few, *others), WEEK).set_index("stock_code")
    row = found.loc["a"]
    assert (row["price_before"], row["price_after"], row["price_change"]) == (2.0, 3.0, 0.5)
    assert row["changed_from"] == date(2011, 9, 12), "twelve weeks before 5 December"
    assert (row["orders_before"], row["orders_after"]) == (100, 100)
    assert row["shop_change"] == pytest.approx(0.97, abs=0.02)
    assert row["change"] == pytest.approx(-0.49, abs=0.01)
    assert row["change_lower"] < row["change"] < row["change_upper"] < 0
    assert found.loc["few", "orders_before"] == 9
    assert found.loc[["few"], "change"].isna().all()


def test_what_does_not_pass_the_gates_is_not_published():
    effect, placebo = Effect(-0.4, -0.5, -0.3), Effect(-0.2, -0.25, -0.15)
    row = price_elasticity(Response(effect, placebo, 26, 100, False, "cannot be told: 26"), WEEK).iloc[0]
    assert (row["elasticity"], row["estimate"], row["told"]) == (None, -0.4, False)
    row = price_elasticity(Response(effect, Effect(0.0, -0.1, 0.1), 60, 100, True, "told"), WEEK).iloc[0]
    assert (row["elasticity"], row["elasticity_lower"], row["told"]) == (-0.4, -0.5, True)
