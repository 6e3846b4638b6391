"""Which column a header stands for that nobody knows: told by what stands under it."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import median

from retail_assets.shops.guesses import ZONES, filled, looks_like_a_date, numbers
from retail_assets.shops.headers import letters
from retail_assets.shops.looking import Look

_LOOKED_AT = 500
_CURRENCY = r"(?:[^\w\s+\-.,]|[A-Z]{3}|kr\.?|zł|Kč|Ft|lei|Fr\.?|R\$)?"
_AMOUNT = re.compile(rf"[+-]?\s*{_CURRENCY}\s*[+-]?[0-9.,'’\s]*[0-9](?:[.,]|[eE]\+?[0-9]{{1,2}})?\s*{_CURRENCY}")
_TOTAL = re.compile(
    "total|amount|sum|gesamt|betrag|montant|importe|importo|bedrag|belopp|belob|beløp|revenue|umsatz|sales|turnover|"
    "tax|vat|mwst|discount|rabatt|remise|shipping|versand|balance|paid|due"
)
_COUNTRIES = {
    *ZONES,
    "EIRE",
    "PORTUGAL",
    "NORWAY",
    "SWEDEN",
    "DENMARK",
    "FINLAND",
    "POLAND",
    "BELGIUM",
    "CANADA",
    "INDIA",
}


def by_content(look: Look, by_name: Mapping[str, str]) -> dict[str, str]:
    """The header of each column: those that were found by name, and others by what stands under them."""
    columns = dict(by_name)
    texts = {header: filled(look.values(header))[:_LOOKED_AT] for header in look.header}
    free = [header for header in look.header if header not in columns.values() and texts[header]]
    for column, score in _SCORES.items():
        if column in columns or not free:
            continue
        scores = {
            header: 0 if column == "unit_price" and is_a_total(header) else score(texts[header], look)
            for header in free
        }
        best = max(free, key=lambda header: scores[header])
        if scores[best] > 0:
            columns[column] = best
            free.remove(best)
    return columns


def is_a_total(header: str) -> bool:
    """Whether a header names an amount that is not of one piece: of a line, of an order, of tax."""
    return bool(_TOTAL.search(letters(header)))


def _share(texts: list[str], is_so: Callable[[str], object]) -> float:
    return sum(bool(is_so(text)) for text in texts) / len(texts)


def _amounts(texts: list[str], look: Look) -> list[float]:
    """The numbers, if almost all texts are; none otherwise."""
    written = [text for text in texts if _AMOUNT.fullmatch(text)]
    signs = numbers(written, look.delimiter == ";")
    found = []
    for text in written:
        digits = re.sub(r"[^0-9+\-.,eE]", "", text)
        for sign in signs.thousands:
            digits = digits.replace(sign, "")
        try:
            found.append(float(digits.replace(signs.decimal, ".")))
        except ValueError:
            continue
    return found if len(found) >= 0.95 * len(texts) else []


def _date(texts: list[str], look: Look) -> float:
    share = _share(texts[:100], looks_like_a_date)
    return share if share >= 0.9 else 0


def _unit_price(texts: list[str], look: Look) -> float:
    amounts = _amounts(texts, look)
    return _share(texts, lambda text: re.search(r"[.,][0-9]{1,3}\D*\Z", text)) if amounts else 0


def _quantity(texts: list[str], look: Look) -> float:
    amounts = _amounts(texts, look)
    whole = bool(amounts) and sum(amount == int(amount) for amount in amounts) >= 0.9 * len(amounts)
    return 1 / (1 + median(map(abs, amounts))) if whole and median(map(abs, amounts)) <= 1000 else 0


def _country(texts: list[str], look: Look) -> float:
    share = _share(texts, lambda text: text.upper() in _COUNTRIES)
    return share if share >= 0.5 else 0


def _description(texts: list[str], look: Look) -> float:
    share = _share(texts, lambda text: re.search(r"[^\W\d_]{3}", text) and "@" not in text)
    return sum(map(len, texts)) / len(texts) if share >= 0.8 else 0


def _invoice_no(texts: list[str], look: Look) -> float:
    """Codes, of which one mostly follows itself."""
    if _share(texts, _is_code) < 0.95:
        return 0
    repeats = sum(one == other for one, other in pairwise(texts)) / max(len(texts) - 1, 1)
    distinct = len(set(texts)) / len(texts)
    return repeats + distinct if repeats < 0.95 else 0


def _code(texts: list[str], look: Look) -> float:
    return _share(texts, _is_code) if _share(texts, _is_code) >= 0.9 else 0


def _customer(texts: list[str], look: Look) -> float:
    mails = _share(texts, lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text))
    return mails or _code(texts, look)


def _is_code(text: str) -> bool:
    return bool(re.fullmatch(r"[^\s,;]{1,40}", text) and re.search("[0-9]", text))


_SCORES: dict[str, Callable[[list[str], Look], float]] = {
    "invoice_ts": _date,
    "country": _country,
    "unit_price": _unit_price,
    "quantity": _quantity,
    "description": _description,
    "invoice_no": _invoice_no,
    "stock_code": _code,
    "customer_id": _customer,
}
"""In the order in which they are told apart: what is taken is out of the question for the next."""
