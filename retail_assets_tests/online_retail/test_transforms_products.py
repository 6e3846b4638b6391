"""product_metrics, category_metrics and product_affinities: what sells, and what is bought together."""

from collections import Counter
from datetime import date
from itertools import permutations
from random import Random

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from retail_assets.analytics import affinities
from retail_assets.analytics.categories import CATEGORIES, category
from retail_assets.invoices.category_metrics import CategoryMetrics, category_metrics
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.invoices.product_affinities import ProductAffinities, product_affinities
from retail_assets.invoices.product_metrics import ProductMetrics, product_metrics
from retail_assets.lakehouse.contracts import conform
from retail_assets_tests.made_shop import RULES
from retail_assets_tests.online_retail.frames import frame, sale, sorted_rows

JANUARY, FEBRUARY = date(2011, 1, 1), date(2011, 2, 1)
CANDLE, BAG, CUP, PLATE, POST = "20001", "20002", "20003", "20004", "POST"


def of(day: str, invoice: str, total: str, code: str, description: str | None, customer: str | None = "1", **more: int):
    return sale(day, invoice, total, stock_code=code, description=description, customer_id=customer, **more)


LINES = [
    # January: 70 + 10 of candles, 15 of bags, 4 of cups, 1 of plates: 80 %, 95 %, 99 %, 100 %.
    of("2011-01-04", "500001", "70.000", CANDLE, "CANDLE", quantity=7),
    of("2011-01-05", "500002", "10.000", CANDLE, "SCENTED CANDLE", "2"),
    of("2011-01-05", "500002", "15.000", BAG, "JUMBO BAG", "2", quantity=3),
    of("2011-01-06", "500003", "4.000", CUP, "RED MUG", None),
    of("2011-01-06", "500003", "1.000", PLATE, None, None),
    of("2011-01-07", "C500004", "-20.000", CANDLE, "CANDLE"),
    of("2011-01-07", "C500004", "-5.000", POST, "POSTAGE"),
    {**of("2011-01-07", "500005", "18.000", POST, "POSTAGE"), "line_type": "service"},
    # February: a product that is only returned; candles sell for half of January's.
    of("2011-02-01", "500006", "40.000", CANDLE, "CANDLE"),
    of("2011-02-01", "C500007", "-3.000", "20005", "TEA TRAY"),
]


@pytest.fixture(scope="module")
def transactions(spark: SparkSession) -> DataFrame:
    return frame(spark, CleanTransactions, LINES)


@pytest.fixture(scope="module")
def metrics(transactions: DataFrame) -> DataFrame:
    made = conform(product_metrics(transactions, RULES), ProductMetrics)
    return made.sparkSession.createDataFrame(made.toArrow())  # computed once


@pytest.fixture(scope="module")
def products(metrics: DataFrame) -> dict[tuple[date, str], Row]:
    return {(row.snapshot_month, row.stock_code): row for row in metrics.collect()}


@pytest.fixture(scope="module")
def categories(metrics: DataFrame, transactions: DataFrame) -> dict[tuple[date, str], Row]:
    rows = conform(category_metrics(metrics, transactions), CategoryMetrics).collect()
    return {(row.snapshot_month, row.category): row for row in rows}


def test_a_product_has_its_sales_its_buyers_and_its_returns(products: dict[tuple[date, str], Row]):
    candle = products[JANUARY, CANDLE]
    assert (candle.revenue, candle.units, candle.orders, candle.customers) == (80, 8, 2, 2)
    assert (candle.returns_value, candle.return_rate, candle.average_price) == (20, 0.25, 10)
    assert (products[JANUARY, CUP].orders, products[JANUARY, CUP].customers) == (1, 0)
    assert (JANUARY, POST) not in products


def test_a_product_that_is_only_returned_has_a_row_without_rates(products: dict[tuple[date, str], Row]):
    tray = products[FEBRUARY, "20005"]
    assert (tray.revenue, tray.orders, tray.returns_value, tray.abc_class) == (0, 0, 3, "C")
    assert (tray.return_rate, tray.average_price) == (None, None)


def test_classes_follow_cumulative_revenue_and_the_product_that_reaches_the_limit_is_within(
    products: dict[tuple[date, str], Row],
):
    january = {code: row.abc_class for (month, code), row in products.items() if month == JANUARY}
    assert january == {CANDLE: "A", BAG: "B", CUP: "C", PLATE: "C"}
    assert products[FEBRUARY, CANDLE].abc_class == "A"  # alone it crosses every limit


def test_products_are_ranked_in_the_month_and_in_their_category(products: dict[tuple[date, str], Row]):
    ranks = {code: (row.revenue_rank, row.category_rank) for (month, code), row in products.items() if month == JANUARY}
    assert ranks == {CANDLE: (1, 1), BAG: (2, 1), CUP: (3, 1), PLATE: (4, 1)}
    assert products[JANUARY, BAG].revenue_share == pytest.approx(0.15)


def test_a_product_grows_over_the_month_before(products: dict[tuple[date, str], Row]):
    assert products[FEBRUARY, CANDLE].month_over_month_growth == -0.5
    assert products[JANUARY, CANDLE].month_over_month_growth is None


def test_an_unfinished_month_is_compared_with_as_many_days_of_the_month_before(spark: SparkSession):
    sold = [("2011-01-02", "1", 30), ("2011-01-20", "2", 70), ("2011-02-01", "3", 45)]
    lines = frame(
        spark,
        CleanTransactions,
        [of(day, f"50000{n}", f"{total}.000", CANDLE, "CANDLE") for day, n, total in sold],
    )
    whole, part = {FEBRUARY: date(2011, 3, 1)}, {JANUARY: date(2011, 2, 1), FEBRUARY: date(2011, 2, 3)}

    def growth(made: DataFrame) -> float:
        return float(made.filter(F.col("snapshot_month") == FEBRUARY).collect()[0]["month_over_month_growth"])

    for ends, expected in ((whole, -0.55), (part, 0.5)):
        products = product_metrics(lines, RULES, ends)
        assert growth(products) == pytest.approx(expected)
        assert growth(category_metrics(products, lines, ends)) == pytest.approx(expected)


def test_the_description_is_the_months_commonest_the_first_by_alphabet_of_several(
    products: dict[tuple[date, str], Row],
):
    assert products[JANUARY, CANDLE].description == "CANDLE"  # two of three lines, one of them returned
    assert products[JANUARY, PLATE].description is None


def test_a_category_counts_an_invoice_once_and_sums_its_products(categories: dict[tuple[date, str], Row]):
    january = {name: row for (month, name), row in categories.items() if month == JANUARY}
    assert set(january) == {"Lighting & Candles", "Bags & Purses", "Tableware & Dining", "Other"}
    candles = january["Lighting & Candles"]
    assert (candles.products, candles.class_a_products, candles.revenue, candles.orders) == (1, 1, 80, 2)
    assert (candles.customers, candles.returns_value, candles.top_product, candles.revenue_rank) == (2, 20, CANDLE, 1)
    assert categories[FEBRUARY, "Lighting & Candles"].month_over_month_growth == -0.5
    trays = categories[FEBRUARY, "Tableware & Dining"]
    assert (trays.products, trays.orders, trays.revenue, trays.revenue_share) == (0, 0, 0, 0.0)


def test_a_month_of_products_made_alone_is_the_same_as_among_others(
    spark: SparkSession, products: dict[tuple[date, str], Row]
):
    january = frame(spark, CleanTransactions, [line for line in LINES if line["invoice_date"] < "2011-02-01"])
    rows = conform(product_metrics(january, RULES), ProductMetrics).collect()
    assert {row.stock_code: row for row in rows} == {
        code: row for (month, code), row in products.items() if month == JANUARY
    }


@pytest.mark.parametrize(
    ("description", "wanted"),
    [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "Lighting & Candles"),
        ("JUMBO BAG 50'S CHRISTMAS ", "Seasonal"),
        ("COOK WITH WINE METAL SIGN ", "Signs & Wall Art"),
        ("Regency cakestand 3 tier", "Baking & Kitchen"),
        ("PARTY BUNTING", "Party & Celebration"),
        ("DOORMAT FAIRY CAKE", "Textiles & Cushions"),
        ("STEAMER", "Other"),  # not TEA
        ("LUNCH BOX I LOVE LONDON", "Lunch & Picnic"),
        ("HOT WATER BOTTLE TEA AND SYMPATHY", "Health & Bathroom"),
        ("", "Other"),
        (None, "Other"),
    ],
)
def test_the_category_is_that_of_the_first_rule_that_knows_a_word(
    spark: SparkSession, description: str | None, wanted: str
):
    row = spark.createDataFrame([(description,)], "description string").select(category(F.col("description"))).first()
    assert row is not None
    assert row[0] == wanted
    assert wanted in CATEGORIES


# What is bought together ---------------------------------------------------------------------------------------------


def rules_of(spark: SparkSession, baskets: list[set[str]]) -> dict[tuple[str, str], Row]:
    rows = [("month", str(number), item) for number, basket in enumerate(baskets) for item in basket]
    found = affinities.pair_rules(spark.createDataFrame(rows, "period string, basket string, item string"), "period")
    return {(row.antecedent, row.consequent): row for row in found.collect()}


def test_rules_have_the_support_confidence_and_lift_of_the_literature(spark: SparkSession):
    # 20 baskets: bread in 10, butter in 8, both in 6; milk in 5 with nothing else.
    baskets = [{"bread", "butter"}] * 6 + [{"bread"}] * 4 + [{"butter"}] * 2 + [{"milk"}] * 5 + [{"jam"}] * 3
    found = rules_of(spark, baskets)
    assert set(found) == {("bread", "butter"), ("butter", "bread")}
    rule = found["bread", "butter"]
    assert (rule.baskets, rule.antecedent_baskets, rule.consequent_baskets, rule.together_baskets) == (20, 10, 8, 6)
    assert (rule.support, rule.confidence, rule.lift) == (0.3, 0.6, 1.5)
    assert (found["butter", "bread"].confidence, found["butter", "bread"].lift) == (0.75, 1.5)


def test_pairs_that_are_no_commoner_than_chance_are_no_rule(spark: SparkSession):
    baskets = [{"a", "b"}] * 5 + [{"a"}] * 5 + [{"b"}] * 5 + [set("c")] * 5
    assert rules_of(spark, baskets) == {}  # lift is exactly 1


def test_rules_equal_those_counted_by_hand_over_random_baskets(spark: SparkSession):
    random = Random(7)
    items = [f"{n:03d}" for n in range(40)]
    baskets = [
        set(random.choices(items, [1 / (n + 1) for n in range(40)], k=random.randint(1, 12))) for _ in range(300)
    ]
    single = Counter(item for basket in baskets for item in basket)
    both = Counter(pair for basket in baskets for pair in permutations(basket, 2))
    wanted = {
        pair: (count, count / 300, count / single[pair[0]])
        for pair, count in both.items()
        if count >= 5 and count * 300 > single[pair[0]] * single[pair[1]]
    }
    found = rules_of(spark, baskets)
    assert {pair: (row.together_baskets, row.support, row.confidence) for pair, row in found.items()} == wanted
    assert len(wanted) > 100


def test_the_work_is_bounded_by_the_commonest_items(spark: SparkSession, monkeypatch):
    monkeypatch.setattr(affinities, "MOST_ITEMS", 2)
    found = rules_of(spark, [{"a", "b"}] * 7 + [{"a", "b", "c"}] * 6 + [{"d"}] * 9)
    assert set(found) == {("a", "b"), ("b", "a")}


def test_affinities_name_their_products_and_are_ranked(spark: SparkSession):
    lines = [
        of("2011-01-04", f"5000{n:02d}", "1.000", code, description)
        for n in range(6)
        for code, description in ((CANDLE, "CANDLE"), (BAG, "BAG"))
    ]
    lines += [of("2011-01-04", f"5001{n:02d}", "1.000", CUP, "MUG") for n in range(6)]
    transactions = frame(spark, CleanTransactions, lines)
    metrics = conform(product_metrics(transactions, RULES), ProductMetrics)
    rows = sorted_rows(conform(product_affinities(transactions, metrics), ProductAffinities), "rule_rank")
    named = [(row.rule_rank, row.antecedent_description, row.consequent_description, row.lift) for row in rows]
    assert named == [(1, "CANDLE", "BAG", 2.0), (2, "BAG", "CANDLE", 2.0)]
