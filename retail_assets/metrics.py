"""The metric layer: each figure of the trade declared once, with its expression, table, dimensions, unit and meaning.

Expressions are SQL that DuckDB and both engines of tables understand, so that a view here, a query in Spark and the
gold tables say the same, to the penny; a test holds them to it. Every sheet of metrics is a view for each of its
groupings, in a schema beside the source's: `online_retail_metrics.by_day`.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

SCHEMA = "_metrics"
"""Ends the name of the schema of a source's metrics."""

DEFINITIONS = "definitions"
"""The view that tells what each metric is."""

_MONEY, _COUNT, _SHARE = "currency", "count", "share"


@dataclass(frozen=True)
class Metric:
    """A figure: an aggregate over its table's rows. `{name}` in the expression stands for another metric's."""

    name: str
    expression: str
    unit: str
    description: str


@dataclass(frozen=True)
class Sheet:
    """Metrics over the rows of one table, the dimensions that they can be told by, and the groupings that are views:
    the view's name, and its dimensions."""

    table: str
    metrics: Sequence[Metric]
    dimensions: Mapping[str, str]
    groupings: Mapping[str, Sequence[str]]

    @cached_property
    def expressions(self) -> dict[str, str]:
        """Metric -> its expression, with those of the metrics that it is made of."""
        whole: dict[str, str] = {}
        for metric in self.metrics:
            whole[metric.name] = metric.expression.format(**whole)
        return whole

    def view(self, place: str) -> str:
        """What its metric view is called, and where: beside the table, which is in `place`, a schema."""
        return f"{place}.{self.table}{SCHEMA}"

    def query(self, table: str, dimensions: Collection[str]) -> str:
        """Every metric of the table that is called so in SQL, by these dimensions."""
        chosen = [f"{self.dimensions[name]} AS {name}" for name in dimensions]
        chosen += [f"{expression} AS {name}" for name, expression in self.expressions.items()]
        by = f" GROUP BY {', '.join(str(place + 1) for place in range(len(dimensions)))}" if dimensions else ""
        return f"SELECT {', '.join(chosen)} FROM {table}{by}"


def metric_view(sheet: Sheet, name: str, table: str, replaced: bool = False) -> str:
    """The statement that makes the sheet a metric view of a catalog, on Spark from 4.2 on and on Databricks: asked as
    `SELECT month, MEASURE(revenue) FROM name GROUP BY month`. `table` is the sheet's table in the catalog. `replaced`:
    whether there may be one already, which Databricks replaces."""
    told = {
        "version": "0.1",
        "source": table,
        "dimensions": [{"name": each, "expr": expression} for each, expression in sheet.dimensions.items()],
        "measures": [{"name": each, "expr": expression} for each, expression in sheet.expressions.items()],
    }
    # What is JSON is YAML.
    created = "CREATE OR REPLACE VIEW" if replaced else "CREATE VIEW"
    return f"{created} {name} WITH METRICS LANGUAGE YAML AS\n$$\n{json.dumps(told, indent=2)}\n$$"


def _sum(value: str, condition: str | None = None) -> str:
    chosen = f"CASE WHEN {condition} THEN {value} END" if condition else value
    return f"CAST(coalesce(sum({chosen}), 0) AS DECIMAL(18,3))"


def _per(part: str, whole: str) -> str:
    """A quotient as money. Quotients of decimals differ from engine to engine: doubles, to nine decimals first, as what
    lies half way between two thousandths lies below it as a double."""
    quotient = f"CAST({part} AS DOUBLE) / CAST({whole} AS DOUBLE)"
    return f"CASE WHEN {whole} > 0 THEN CAST(CAST({quotient} AS DECIMAL(28,9)) AS DECIMAL(18,3)) END"


def _share_of(part: str, whole: str) -> str:
    return f"CASE WHEN {whole} > 0 THEN CAST({part} AS DOUBLE) / CAST({whole} AS DOUBLE) END"


_PRODUCT, _CANCELLED = "line_type = 'product'", "line_type = 'cancellation'"
_VALUE_PER_ORDER = Metric("average_order_value", _per("{revenue}", "{orders}"), _MONEY, "Revenue per order")

SALES = Sheet(
    "clean_transactions",
    [
        Metric("revenue", _sum("line_total", _PRODUCT), _MONEY, "Value of product lines, returns not taken off"),
        Metric("returns_value", _sum("-line_total", _CANCELLED), _MONEY, "Value of cancelled lines, sign reversed"),
        Metric("net_revenue", "CAST({revenue} - {returns_value} AS DECIMAL(18,3))", _MONEY, "Revenue less returns"),
        Metric(
            "orders",
            f"count(DISTINCT CASE WHEN {_PRODUCT} THEN invoice_no END)",
            _COUNT,
            "Distinct invoices with product lines",
        ),
        Metric(
            "active_customers",
            f"count(DISTINCT CASE WHEN {_PRODUCT} THEN customer_id END)",
            _COUNT,
            "Distinct known customers with a purchase",
        ),
        Metric(
            "units", f"CAST(coalesce(sum(CASE WHEN {_PRODUCT} THEN quantity END), 0) AS BIGINT)", _COUNT, "Units sold"
        ),
        _VALUE_PER_ORDER,
        Metric("return_rate", _share_of("{returns_value}", "{revenue}"), _SHARE, "Returns value per revenue"),
    ],
    {
        "day": "invoice_date",
        "month": "CAST(date_trunc('month', invoice_date) AS DATE)",
        "country": "country",
        "product": "stock_code",
    },
    {
        "in_all": (),
        "by_day": ("day",),
        "by_month": ("month",),
        "by_month_and_country": ("month", "country"),
        "by_month_and_product": ("month", "product"),
    },
)

ORDERS = Sheet(
    "orders_master",
    [
        Metric("revenue", _sum("order_total_value"), _MONEY, "Value of delivered orders: what was paid"),
        Metric("orders", "count(*)", _COUNT, "Delivered orders"),
        Metric("active_customers", "count(DISTINCT customer_unique_id)", _COUNT, "Different customers of these"),
        Metric("units", "CAST(coalesce(sum(items), 0) AS BIGINT)", _COUNT, "Items of these"),
        _VALUE_PER_ORDER,
        Metric("review_score", "avg(CAST(review_score AS DOUBLE))", "stars", "Mean score of their newest reviews"),
    ],
    {"day": "purchase_date", "month": "purchase_month", "state": "customer_state"},
    {"in_all": (), "by_day": ("day",), "by_month": ("month",), "by_month_and_state": ("month", "state")},
)

CUSTOMERS = Sheet(
    "customer_rfm",
    [
        Metric("customers", "count(*)", _COUNT, "Customers with a purchase by the month's end"),
        Metric("value_so_far", _sum("monetary"), _MONEY, "Value of all that they have bought"),
        Metric("value_per_customer", _per("{value_so_far}", "{customers}"), _MONEY, "Value so far per customer"),
    ],
    {"month": "snapshot_month", "segment": "rfm_segment", "country": "country"},
    {"customers_by_month": ("month",), "customers_by_month_and_segment": ("month", "segment")},
)

CHURN = Sheet(
    "churn_scores",
    [
        Metric("scored_customers", "count(*)", _COUNT, "Customers that the month's model scored"),
        Metric(
            "churn_rate",
            "avg(churn_probability)",
            _SHARE,
            "Share of them expected to buy nothing in the next 90 days: the mean of their probabilities",
        ),
    ],
    {"month": "snapshot_month", "risk": "churn_risk"},
    {"churn_by_month": ("month",), "churn_by_month_and_risk": ("month", "risk")},
)

LIFETIME = Sheet(
    "customer_clv",
    [
        Metric("valued_customers", "count(clv_12m)", _COUNT, "Customers with an expected value"),
        Metric(
            "lifetime_value", _sum("CAST(clv_12m AS DECIMAL(18,3))"), _MONEY, "Value expected of the next 12 months"
        ),
        Metric(
            "lifetime_value_per_customer",
            _per("{lifetime_value}", "{valued_customers}"),
            _MONEY,
            "Value expected of the next 12 months per customer",
        ),
    ],
    {"month": "snapshot_month"},
    {"lifetime_value_by_month": ("month",)},
)

SHEETS = (SALES, ORDERS, CUSTOMERS, CHURN, LIFETIME)
TABLES = frozenset(sheet.table for sheet in SHEETS)


class Named(Protocol):
    """A table as far as it is named."""

    @property
    def source(self) -> str:
        """Whose it is."""

    @property
    def name(self) -> str:
        """What it is called."""


@dataclass(frozen=True)
class View:
    """A view of DuckDB: its schema, its name, and what it selects."""

    schema: str
    name: str
    query: str


def views(tables: Iterable[Named]) -> Iterator[View]:
    """The metrics of every source, as far as it has the tables that they are of."""
    told: dict[str, list[tuple[str, Sheet, Metric]]] = {}
    for table in tables:
        schema, place = f"{table.source}{SCHEMA}", f'"{table.source}"."{table.name}"'
        for sheet in (sheet for sheet in SHEETS if sheet.table == table.name):
            for name, dimensions in sheet.groupings.items():
                yield View(schema, name, sheet.query(place, dimensions))
            told.setdefault(schema, []).extend((table.source, sheet, metric) for metric in sheet.metrics)
    for schema, metrics in told.items():
        yield View(schema, DEFINITIONS, _definitions(metrics))


def _definitions(metrics: Sequence[tuple[str, Sheet, Metric]]) -> str:
    rows = [
        (
            metric.name,
            metric.description,
            metric.unit,
            f"{source}.{sheet.table}",
            ", ".join(sheet.groupings),
            sheet.expressions[metric.name],
        )
        for source, sheet, metric in metrics
    ]
    values = ", ".join("(" + ", ".join("'" + text.replace("'", "''") + "'" for text in row) + ")" for row in rows)
    return f"SELECT * FROM (VALUES {values}) AS told(metric, description, unit, of_table, views, expression)"
