"""Refuses, before it lands, a file of which almost everything would end in quarantine for one reason."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from retail_assets.landing.containers import Table
from retail_assets.landing.drop_reader import DropRefused, shortened
from retail_assets.shops import guesses
from retail_assets.shops.judgement import Landed, Line, judged, main_reason, sample
from retail_assets.shops.proposal import SERVICES
from retail_assets.shops.reasons import (
    INVALID_INVOICE_DATE,
    INVALID_INVOICE_NO,
    INVALID_QUANTITY,
    INVALID_UNIT_PRICE,
    MALFORMED_LINE,
    MISSING_STOCK_CODE,
    NEGATIVE_QUANTITY,
    REASONS,
)
from retail_assets.shops.shop import Shop
from retail_assets.shops.writing import line

ALMOST_ALL = 0.9
FEWEST_PRODUCTS = 0.01
"""Where no more of the sold lines are of products, these have other codes."""

LEAST_ROWS = 3
"""Below so many rows a file is no shop's export, but a correction of one."""

ROWS_LOOKED_AT = 1_000
NO_PRODUCTS = "no_products"


def looks_usable(shop: Shop, description: Path, today: date) -> Callable[[Table], None]:
    """Looks at a table before it lands. Raises DropRefused where almost no row of it could be used, or none is of a
    product, with the reason and the line of the description that would mend it."""

    def look(table: Table) -> None:
        found = _faulty(table, shop, today, ROWS_LOOKED_AT)
        # A thousand rows at its beginning may be none like the others.
        if found and (found := _faulty(table, shop, today, None)):
            reason, rows, lines = found
            count = sum(reason in one.reasons for one in lines) if reason != NO_PRODUCTS else len(lines)
            what = (
                "of services, hardly one of a product" if reason == NO_PRODUCTS else f"to be in quarantine as {reason}"
            )
            meaning = "" if reason == NO_PRODUCTS else f" ({REASONS[reason][0].lower()}{REASONS[reason][1:]})"
            example = _example(reason, rows, lines)
            raise DropRefused(
                table.shown,
                f"has {count:,} of {len(lines):,} rows {what}{meaning}{example}",
                f"Nothing was landed. {_mend(reason, rows, shop, description)} Or land it as it is: --anyway.",
            )

    return look


def _faulty(table: Table, shop: Shop, today: date, most: int | None) -> tuple[str, list[Landed], list[Line]] | None:
    rows, days = sample(table, shop, today, most)
    lines = judged(rows, days, shop.rules)
    if len(lines) < LEAST_ROWS:
        return None
    reason, count = main_reason(lines)
    if count >= ALMOST_ALL * len(lines):
        return reason, rows, lines
    sold = [one for one in lines if one.line_type in ("product", "service") and not one.reasons]
    products = sum(one.line_type == "product" for one in sold)
    if len(sold) >= ALMOST_ALL * len(lines) and products <= FEWEST_PRODUCTS * len(sold):
        return NO_PRODUCTS, rows, lines
    return None


_COLUMN_OF = {
    INVALID_INVOICE_NO: "invoice_no",
    MISSING_STOCK_CODE: "stock_code",
    INVALID_QUANTITY: "quantity",
    NEGATIVE_QUANTITY: "quantity",
    INVALID_UNIT_PRICE: "unit_price",
    INVALID_INVOICE_DATE: "invoice_ts",
    NO_PRODUCTS: "stock_code",
    MALFORMED_LINE: MALFORMED_LINE,
}


def _example(reason: str, rows: Sequence[Landed], lines: Sequence[Line]) -> str:
    texts = (
        row.get(_COLUMN_OF[reason])
        for row, one in zip(rows, lines, strict=True)
        if reason in one.reasons or reason == NO_PRODUCTS
    )
    text = next((text for text in texts if text), None)
    return f", such as {shortened(text, 60)!r}" if text else ""


def _mend(reason: str, rows: Sequence[Landed], shop: Shop, description: Path) -> str:
    """The line of TOML that would mend it, and where."""
    texts = [row.get(_COLUMN_OF[reason]) or "" for row in rows]
    mended = _lines(reason, texts)
    if not mended:
        return f"Look at it with: retail shop new NAME {'FILE…'}."
    section, keys = mended
    said = "; ".join(line(key, value) for key, value in keys.items())
    if description.is_file():
        return f"In {description} it would be, under [{section}]: {said}"
    return f"Describe the shop that it is of: retail shop new NAME FILE…; under [{section}] it would say: {said}"


def _lines(reason: str, texts: Sequence[str]) -> tuple[str, dict[str, object]] | None:
    match reason:
        case "invalid_invoice_no":
            return "invoices", {"pattern": guesses.pattern(guesses.filled(texts))}
        case "missing_stock_code":
            return "products", {"code_from_description": True}
        case "invalid_quantity" | "invalid_unit_price":
            found = guesses.numbers(texts, False)
            signs = {"decimal": found.decimal, "thousands": found.thousands, "currency_signs": list(found.currencies)}
            return "numbers", {key: value for key, value in signs.items() if value and value != "."}
        case "invalid_invoice_date":
            dates = guesses.dates(texts)
            if dates.forms:
                return "dates", {"forms": list(dates.forms)}
            return None if dates.day_first is None else ("dates", {"day_first": dates.day_first})
        case "negative_quantity":
            return "cancellations", {"negative_quantity": True}
        case "no_products":
            return "products", {"codes": ".+", "services": SERVICES}
    return None
