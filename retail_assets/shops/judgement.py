"""What silver would make of landed rows, told without an engine: for a few rows, at landing and in `retail shop new`.

The rules are those of the tables; a test holds both to the same verdicts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from retail_assets.landing.containers import Table
from retail_assets.landing.dates import Dates
from retail_assets.landing.dialect import MINUS_AFTER, PARENTHESES, Dialect
from retail_assets.landing.drop_reader import opened
from retail_assets.shops.reasons import (
    INVALID_INVOICE_DATE,
    INVALID_INVOICE_NO,
    INVALID_QUANTITY,
    INVALID_UNIT_PRICE,
    LARGEST_QUANTITY,
    MALFORMED_LINE,
    MISSING_STOCK_CODE,
    NEGATIVE_QUANTITY,
)
from retail_assets.shops.rules import InvoiceRules
from retail_assets.shops.shop import INVOICE_COLUMNS, Shop

Landed = Mapping[str, str | None]
"""A row as it lands: its values by our names, those of other columns by their headers."""

_SPACES = " \u00a0\u202f"


@dataclass(frozen=True)
class Line:
    """A landed row as it is understood; `reasons` is empty if it can be used."""

    invoice_no: str | None
    stock_code: str | None
    description: str | None
    quantity: int | None
    unit_price: Decimal | None
    day: date | None
    customer_id: str | None
    country: str | None
    line_type: str
    reasons: tuple[str, ...]


_MALFORMED = Line(None, None, None, None, None, None, None, None, "", (MALFORMED_LINE,))


def sample(table: Table, shop: Shop, today: date, most: int | None) -> tuple[list[Landed], list[date | None]]:
    """Rows of a table, `most` of them from its first block, evenly (None: all there are), and the day of each. A
    malformed row has nothing but `malformed_line`. Raises DropRefused as reading does."""
    dates = Dates(table, shop.layout, today)
    rows: list[Landed] = []
    days: list[date | None] = []
    with opened(table.path, shop.layout) as (header, blocks):
        names = [column or name for column, name in zip(header.columns, header.headers, strict=True)]
        for block in blocks if most is None else islice(blocks, 1):
            count = len(block.malformed)
            wanted = np.arange(count) if most is None or count <= most else np.linspace(0, count - 1, most).astype(int)
            taken = pa.array(wanted)
            columns = [column.take(taken) for column in block.columns]
            ordinals = dates.days(columns[names.index(shop.layout.date_column)])
            values = zip(*(column.to_pylist() for column in columns), strict=True)
            for cells, malformed, ordinal in zip(
                values, block.malformed.take(taken).to_pylist(), ordinals.tolist(), strict=True
            ):
                rows.append(
                    {MALFORMED_LINE: malformed} if malformed is not None else dict(zip(names, cells, strict=True))
                )
                days.append(date.fromordinal(ordinal) if ordinal else None)
    return rows, days


def judged(rows: Iterable[Landed], days: Iterable[date | None], rules: InvoiceRules) -> list[Line]:
    """The rows as they are understood, in the order of the file."""
    above: dict[tuple[str | None, str], str] = {}
    last_number: str | None = None
    lines = []
    for row, day in zip(rows, days, strict=True):
        if row.get(MALFORMED_LINE) is not None:
            lines.append(_MALFORMED)
            continue
        known: dict[str, Any] = {name: row.get(name) for name in INVOICE_COLUMNS}
        if "invoice_no" in rules.first_line_only:
            last_number = known["invoice_no"] = present(known["invoice_no"], rules.dialect) or last_number
        for name in rules.first_line_only:
            place = (known["invoice_no"], name)
            if value := present(known[name], rules.dialect):
                above[place] = value
            elif name != "invoice_no":
                known[name] = above.get(place)
        # A row without a date belongs to the day of the row above, and is of that day if the order's date is.
        of_order = day is None and "invoice_ts" in rules.first_line_only and known["invoice_ts"] and lines
        lines.append(_line(known, lines[-1].day if of_order else day, rules))
    return lines


def _line(known: dict[str, Any], day: date | None, rules: InvoiceRules) -> Line:
    dialect = rules.dialect
    for name, constant in rules.constants.items():
        known[name] = present(known[name], dialect) or constant
    invoice_no = _upper(present(known["invoice_no"], dialect))
    code = _upper(known["stock_code"]) if present(known["stock_code"], dialect) else None
    if code is None and rules.code_from_description:
        code = _upper(present(known["description"], dialect))
    quantity, unit_price = whole_number(known["quantity"], dialect), price(known["unit_price"], dialect)
    customer = present(re.sub(r"\.0+\Z", "", (known["customer_id"] or "").strip(" ")), dialect)
    cancelling = bool(rules.cancellation and invoice_no and re.fullmatch(rules.cancellation, invoice_no))
    negative = quantity is not None and quantity < 0
    broken = {
        INVALID_INVOICE_NO: not (invoice_no and re.fullmatch(rules.invoice_no, invoice_no)),
        MISSING_STOCK_CODE: code is None,
        INVALID_QUANTITY: not quantity or abs(quantity) > LARGEST_QUANTITY,
        INVALID_UNIT_PRICE: unit_price is None or unit_price < 0,
        INVALID_INVOICE_DATE: day is None,
        NEGATIVE_QUANTITY: negative and not cancelling and not rules.negative_is_cancellation,
    }
    country = present(known["country"], dialect)
    country = rules.countries.get((country or "").upper(), country)
    kind = "service"
    if negative or cancelling:
        kind = "cancellation"
    elif rules.adjustment and re.fullmatch(rules.adjustment, invoice_no or ""):
        kind = "adjustment"
    elif is_product(code or "", rules):
        kind = "product"
    reasons = tuple(reason for reason, is_broken in broken.items() if is_broken)
    return Line(invoice_no, code, known["description"], quantity, unit_price, day, customer, country, kind, reasons)


def main_reason(lines: Sequence[Line]) -> tuple[str, int]:
    """The reason for which the most of them cannot be used, and how many; ("", 0) if all can."""
    counted = Counter(reason for line in lines for reason in line.reasons)
    return counted.most_common(1)[0] if counted else ("", 0)


def is_product(code: str, rules: InvoiceRules) -> bool:
    """Whether a code is that of a product."""
    served = rules.service_code is not None and re.fullmatch(rules.service_code, code) is not None
    return re.fullmatch(rules.product_code, code) is not None and not served


def present(text: str | None, dialect: Dialect) -> str | None:
    """A text without spaces around; None for none, and for words that mean none."""
    trimmed = (text or "").strip(" ")
    return None if not trimmed or trimmed.lower() in dialect.empty_words else trimmed


def plain_number(text: str | None, dialect: Dialect) -> str | None:
    """A number with a decimal point and nothing else between its digits; None if signs stand elsewhere than the dialect
    has them."""
    text = _with_minus_before((text or "").strip(" "), dialect)
    if dialect.currencies:
        sign = "|".join(map(re.escape, dialect.currencies))
        found = re.fullmatch(rf"([+-]?)[{_SPACES}]*(?:{sign})?[{_SPACES}]*([+-]?.*?)[{_SPACES}]*(?:{sign})?", text)
        text = _with_minus_before(found[1] + found[2] if found else text, dialect)
    decimal, thousands = re.escape(dialect.decimal), "".join(map(re.escape, dialect.thousands))
    plain = rf"[+-]?[0-9]*({decimal}[0-9]*)?([eE]\+?[0-9]{{1,2}})?"
    groups = rf"[0-9]{{1,3}}([{thousands}][0-9]{{3}})+|[0-9]{{1,2}}([{thousands}][0-9]{{2}})+[{thousands}][0-9]{{3}}"
    grouped = rf"[+-]?({groups})({decimal}[0-9]*)?" if thousands else plain
    if not re.fullmatch(plain, text) and not re.fullmatch(grouped, text):
        return None
    return text.translate(str.maketrans(dialect.decimal, ".", dialect.thousands))


def _with_minus_before(text: str, dialect: Dialect) -> str:
    for written, pattern in ((PARENTHESES, r"\(([^+-]*)\)"), (MINUS_AFTER, r"([^+-]*)-")):
        if written in dialect.negatives and (found := re.fullmatch(pattern, text)):
            text = f"-{found[1].strip(' ')}"
    return text


def whole_number(text: str | None, dialect: Dialect) -> int | None:
    """A whole number in any spelling, such as 6, 6.0 or 1e3, of at most nine digits."""
    number = plain_number(text, dialect) or ""
    if not re.fullmatch(r"[+-]?0*[0-9]{1,9}(\.[0-9]*)?([eE]\+?[0-9]{1,2})?", number):
        return None
    value = Decimal(number)
    return int(value) if value == value.to_integral_value() and abs(value) < 10**9 else None


def price(text: str | None, dialect: Dialect) -> Decimal | None:
    """A number of at most three decimals, zeros after them apart, and of nine digits before."""
    number = plain_number(text, dialect) or ""
    is_price = re.fullmatch(r"[+-]?0*([0-9]{1,9}(\.[0-9]{0,3}0*)?|\.[0-9]{1,3}0*)", number)
    return Decimal(number) if is_price else None


def _upper(text: str | None) -> str | None:
    return None if text is None else text.upper()
