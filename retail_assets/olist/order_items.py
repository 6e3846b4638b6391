"""order_items: every item of every order, with its product's category and its seller's state."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import CROSS_COLUMN, REFERENTIAL_INTEGRITY, Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Day,
    Flag,
    Integer,
    Moment,
    Text,
    UnitPrice,
    column,
    partition,
)
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.measures import counted, rare, summed
from retail_assets.lakehouse.table import table
from retail_assets.lakehouse.written_values import written_amount, written_integer, written_moment
from retail_assets.olist.orders import Orders
from retail_assets.olist.raw_category_translation import RawCategoryTranslation
from retail_assets.olist.raw_order_items import RawOrderItems
from retail_assets.olist.raw_products import RawProducts
from retail_assets.olist.raw_sellers import RawSellers
from retail_assets.operations.bronze import sound
from retail_assets.partitions.cadence import all_of_it, monthly, same_window

UNCATEGORISED = "uncategorised"
"""The category of products that have none."""


class OrderItems(Contract):
    """One row for each piece ordered, whatever became of the order; the months are those of the purchases.

    The category's English name is the published translation; a category without one keeps its own name, and products
    without a category are uncategorised.
    """

    order_id: Text = column("Order", origin=(RawOrderItems, "order_id"))
    order_item_id: Integer = column(
        "Number of the item within its order", ge=1, origin=(RawOrderItems, "order_item_id")
    )
    product_id: Text = column("Product", origin=(RawOrderItems, "product_id"))
    seller_id: Text = column("Seller", origin=(RawOrderItems, "seller_id"))
    seller_state: Text = column("State of the seller", origin=(RawSellers, "seller_state"))
    category: Text = column("Category in Portuguese", origin=(RawProducts, "product_category_name"))
    category_english: Text = column(
        "Category in English, where it has a name there",
        origin=[
            (RawProducts, "product_category_name"),
            (RawCategoryTranslation, "product_category_name_english"),
        ],
    )
    is_translated: Flag = column(
        "Whether the category has an English name, or there is none to translate",
        origin=(RawCategoryTranslation, "product_category_name"),
    )
    shipping_limit_at: Moment = column(
        "By when the seller must hand it to the carrier", origin=(RawOrderItems, "shipping_limit_date")
    )
    price: UnitPrice = column("Price", unit=CURRENCY, ge=0, origin=(RawOrderItems, "price"))
    freight_value: UnitPrice = column("Freight", unit=CURRENCY, ge=0, origin=(RawOrderItems, "freight_value"))
    is_delivered: Flag = column("Whether its order was delivered", origin=(Orders, "is_delivered"))
    purchase_date: Day = column("Day of the purchase", origin=(Orders, "purchase_date"))
    purchase_month: Day = partition("First day of the month of the purchase", origin=(RawOrderItems, "purchase_month"))

    class Config:
        unique = ["purchase_month", "order_id", "order_item_id"]


def order_items(
    raw: DataFrame, orders: DataFrame, products: DataFrame, sellers: DataFrame, translation: DataFrame
) -> DataFrame:
    """One row for each of the raw items; of what it refers to and is not there, the columns are NULL."""
    category, english = F.col("product_category_name"), F.col("product_category_name_english")
    return (
        sound(raw)
        .join(orders.select("order_id", "is_delivered", "purchase_date"), "order_id", "left")
        .join(products.select("product_id", "product_category_name"), "product_id", "left")
        .join(translation.select("product_category_name", english), "product_category_name", "left")
        .join(sellers.select("seller_id", "seller_state"), "seller_id", "left")
        .select(
            "order_id",
            written_integer("order_item_id").alias("order_item_id"),
            "product_id",
            "seller_id",
            "seller_state",
            F.coalesce(category, F.lit(UNCATEGORISED)).alias("category"),
            F.coalesce(english, category, F.lit(UNCATEGORISED)).alias("category_english"),
            (category.isNull() | english.isNotNull()).alias("is_translated"),
            written_moment("shipping_limit_date").alias("shipping_limit_at"),
            written_amount("price").cast("decimal(12,3)").alias("price"),
            written_amount("freight_value").cast("decimal(12,3)").alias("freight_value"),
            "is_delivered",
            "purchase_date",
            "purchase_month",
        )
    )


def _landed(audit: Audit) -> DataFrame:
    """Items of each month as they landed, and their money."""
    raw = sound(audit.inputs["raw"])
    money = [F.sum(written_amount(name)).alias(name) for name in ("price", "freight_value")]
    return raw.groupBy("purchase_month").agg(F.count("*").alias("order_id"), *money)


@table(
    OrderItems,
    monthly,
    layer=SILVER,
    reads={
        "raw": (RawOrderItems, same_window),
        "orders": (Orders, same_window),
        "products": (RawProducts, all_of_it),
        "sellers": (RawSellers, all_of_it),
        "translation": (RawCategoryTranslation, all_of_it),
    },
    checks=[
        reconciles(
            "reconciliation",
            "Every item that landed is there once, with its price and freight to the last decimal",
            ours=counted("order_id") | summed("price", "freight_value"),
            theirs=_landed,
        ),
        all_known(
            "orders_known",
            "Every item's order is one of its month",
            ["purchase_month", "order_id"],
            lambda inputs: inputs["orders"],
        ),
        all_known("products_known", "Every item's product is known", ["product_id"], lambda inputs: inputs["products"]),
        all_known("sellers_known", "Every item's seller is known", ["seller_id"], lambda inputs: inputs["sellers"]),
        rare(
            "categories_translated",
            "Categories have an English name, but for at most one item in a hundred",
            {"untranslated": ("are of a category without an English name", lambda: ~F.col("is_translated"))},
            share=0.01,
            family=REFERENTIAL_INTEGRITY,
        ),
        rare(
            "shipping_limits_plausible",
            "Sellers have between no and a hundred days to hand an item over",
            {
                "before_purchase": (
                    "were to be handed over before the purchase",
                    lambda: F.to_date("shipping_limit_at") < F.col("purchase_date"),
                ),
                "too_late": (
                    "may be handed over more than 100 days after the purchase",
                    lambda: F.to_date("shipping_limit_at") > F.date_add("purchase_date", 100),
                ),
            },
            share=0.001,
            family=CROSS_COLUMN,
        ),
    ],
)
def build(
    raw: DataFrame, orders: DataFrame, products: DataFrame, sellers: DataFrame, translation: DataFrame
) -> DataFrame:
    """The items of the window's months."""
    return order_items(raw, orders, products, sellers, translation)
