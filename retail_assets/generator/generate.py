"""`retail generate`: invoices like those of Online Retail II, any number of them, the same for the same seed.

The invoices are planned in memory (`generated_invoices`); their lines are made and written a few days at a time, so
that memory hardly grows with the number of lines.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from retail_assets.generator.generated_catalogue import (
    ANONYMOUS_SERVICES,
    FOREIGN,
    HOME,
    PACKS,
    POSTAGE,
    PRICES,
    SERVICES,
    STOCK_REMARKS,
    closed,
    milli,
    quoted,
)
from retail_assets.generator.generated_invoices import FAULTS, UNITS_BY_ORDER, Integers, Plan
from retail_assets.landing.drops import MANIFEST

HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"

FIRST_CUSTOMER = 12346
LINES_AT_ONCE = 200_000
_COUNTRIES = tuple(FOREIGN)
_PLAIN = str.maketrans("", "", '",')


@dataclass
class Lines:
    """Lines as columns: the document, product (index), quantity, price (index into PRICES)."""

    document: Integers
    product: Integers
    quantity: Integers
    price: Integers

    def __getitem__(self, chosen: Any) -> "Lines":
        return Lines(self.document[chosen], self.product[chosen], self.quantity[chosen], self.price[chosen])


def generate(
    directory: Path, *, lines: int = 120_000, days: int = 500, last_day: date, seed: int = 42
) -> dict[str, Any]:
    """Write daily drops of exactly `lines` data lines over the `days` up to `last_day`; say what is in them.

    The drops are `<directory>/online_retail_YYYY-MM-DD.csv`, none on closed days. The result is also written,
    last of all, to `<directory>/_generated.json`; its counts follow the rules of `clean_transactions` and
    `quarantined_invoices` (distinct rows, one reason for each faulty line), money is in pounds as strings.
    The same arguments give the same bytes, so that an interrupted call is repeated simply by calling again.

    Raises ValueError if there is no open day, if six digits do not suffice for the invoice numbers (about 12
    million lines), or if drops of other days already lie in `directory`: the counts would not be true.
    """
    if lines < 1 or days < 1:
        raise ValueError(f"lines={lines} and days={days} must both be at least 1.")
    window = (last_day - timedelta(days=days - 1 - number) for number in range(days))
    calendar = [day for day in window if not closed(day)]
    if not calendar:
        raise ValueError(f"The shop is closed on all {days} days up to {last_day}: choose more days.")
    plan = Plan(np.random.default_rng(seed), lines, calendar, days)
    drops = _Drops(plan)

    directory.mkdir(parents=True, exist_ok=True)
    names = {f"online_retail_{calendar[day]}.csv" for day in np.unique(plan.documents.day).tolist()}
    others = {found.name for found in directory.glob("online_retail_*.csv*")}
    others -= names | {f"{name}.part" for name in names}
    if others:
        raise ValueError(f"{directory} already holds {min(others)} ({len(others)} such): remove or choose another.")
    (directory / MANIFEST).unlink(missing_ok=True)
    for day, texts in drops:
        _replace(directory / f"online_retail_{day}.csv", "\n".join([HEADER, *texts, ""]))
    parameters = {"lines": lines, "days": days, "last_day": str(last_day), "seed": seed}
    manifest = {"parameters": parameters, **drops.counts()}
    _replace(directory / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    return manifest


def _replace(path: Path, text: str) -> None:
    """Readers see the whole file or none. A drop that would not change stays untouched, so its day is not due again."""
    content = text.encode()
    if path.exists() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


class _Drops:
    """The lines of a plan, made a few days at a time, and what was put into them."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.random, self.catalogue, self.documents = plan, plan.random, plan.catalogue, plan.documents
        self.others_from = len(plan.orders) + len(plan.cancellations)
        self.prices = np.array([milli(price) for price in PRICES])
        document = np.repeat(np.arange(len(plan.orders), self.others_from), plan.cancellations.lines)
        # What is cancelled is known once the order's own lines are made, before the day of the cancellation.
        self.cancelled = Lines(document, *(np.zeros(len(document), dtype=np.int64) for _ in range(3)))
        self.tally: Counter[str] = Counter()
        self.money: Counter[str] = Counter()  # in thousandths
        self.products_sold = np.zeros(len(self.catalogue.codes), dtype=bool)

    def __iter__(self) -> Iterator[tuple[date, list[str]]]:
        """Day and lines of every drop, in order."""
        per_day = np.bincount(self.documents.day, weights=self.documents.lines, minlength=len(self.plan.calendar))
        stretch = (np.cumsum(per_day) // LINES_AT_ONCE).astype(np.int64)
        for number in np.unique(stretch):
            days = np.flatnonzero(stretch == number)
            document, texts = self._texts(int(days[0]), int(days[-1]) + 1)
            in_order = np.argsort(self.plan.number[document], kind="stable")
            day_of = self.documents.day[document[in_order]]
            ends = np.searchsorted(day_of, days, side="right").tolist()
            for day, begin, end in zip(days.tolist(), [0, *ends], ends, strict=False):
                if end > begin:
                    yield self.plan.calendar[day], [texts[line] for line in in_order[begin:end].tolist()]

    def _texts(self, first_day: int, end_day: int) -> tuple[Integers, list[str]]:
        """The document and the text of each line of these days."""
        begin, end = np.searchsorted(self.plan.orders.day, [first_day, end_day]).tolist()
        sold = self._sold(begin, end)
        first, beyond = int(self.plan.first_line[begin]), int(self.plan.first_line[end])
        texts = self._render(sold)

        repeated = self.plan.repeated[slice(*np.searchsorted(self.plan.repeated, [first, beyond]))] - first
        self._count("product", sold)
        self._count("duplicate", sold[repeated])
        self.products_sold[sold.product] = True

        # What is cancelled of these lines, now or on a later day …
        these = slice(*np.searchsorted(self.plan.source, [begin, end]))
        cancelled_before = np.concatenate([[0], np.cumsum(self.plan.cancellations.lines)])
        chosen = slice(cancelled_before[these.start], cancelled_before[these.stop])
        line = self.plan.cancelled_line[chosen] - first
        self.cancelled.product[chosen] = sold.product[line]
        self.cancelled.price[chosen] = sold.price[line]
        self.cancelled.quantity[chosen] = -np.ceil(sold.quantity[line] * self.plan.cancelled_share[chosen])
        # … and what of these or earlier lines is cancelled now.
        day = self.documents.day[self.cancelled.document]
        now = np.flatnonzero((day >= first_day) & (day < end_day))
        cancelled = self.cancelled[now]
        self._count("cancellation", cancelled)

        single, single_texts = self._single_lines(first_day, end_day, begin, end)
        document = np.concatenate([sold.document, sold.document[repeated], cancelled.document, single])
        repeats = [texts[line] for line in repeated.tolist()]
        return document, texts + repeats + self._render(cancelled, "C") + single_texts

    def _sold(self, begin: int, end: int) -> Lines:
        """The product lines of these orders, no product twice in an order."""
        random, catalogue = self.random, self.catalogue
        size = self.plan.orders.lines[begin:end]
        document = np.repeat(np.arange(begin, end), size)
        count = len(document)
        product = np.searchsorted(catalogue.popularity, random.random(count)).clip(0, len(catalogue.popularity) - 1)
        product = product[np.lexsort((product, document))]
        # Where a product was drawn again, the next less popular one that is free: rank minus position may not
        # fall within an order; orders are kept apart by an offset larger than any rank.
        position = np.arange(count) - np.repeat(np.cumsum(size) - size, size)
        apart = (document - begin) * 100_000
        product = np.maximum.accumulate(product - position + apart) - apart + position

        customer = self.plan.orders.customer[document]
        price = catalogue.price[product]
        more = np.log(size / np.append(self.plan.usual_lines, 1.0)[self.plan.orders.customer[begin:end]])
        bulk = 2.0 + np.append(self.plan.bulk, 0.0)[customer] + UNITS_BY_ORDER * np.repeat(more, size)
        bulk = np.where(customer >= 0, bulk, 0.6)
        typical = bulk - 0.45 * np.log(self.prices[price].clip(190) / 2000)
        wanted = np.exp(typical + random.normal(0, 0.85, count)) * np.where(random.random(count) < 0.0002, 40, 1)
        quantity = PACKS[np.searchsorted(PACKS, wanted).clip(0, len(PACKS) - 1)]
        # Large quantities are cheaper, sales over the web dearer; what is given away stays so.
        shift = np.where(customer < 0, 3, np.where(quantity >= 96, -2, 0)) + (random.random(count) < 0.05)
        price = np.where(price == 0, 0, (price + shift).clip(1, len(PRICES) - 1))
        return Lines(document, product, quantity, price)

    def _render(self, lines: Lines, letter: str = "") -> list[str]:
        """The lines as they stand in the file."""
        documents, which = np.unique(lines.document, return_inverse=True)
        heads, stamps, tails = (
            zip(*map(self._frame, documents.tolist()), strict=True) if len(documents) else ((), (), ())
        )
        columns = (which, lines.product, lines.quantity, lines.price)
        products = self.catalogue.texts
        return [
            f"{letter}{heads[document]},{products[product]},{quantity},{stamps[document]},{PRICES[price]},{tails[document]}"
            for document, product, quantity, price in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _frame(self, document: int, anonymous: bool = False) -> tuple[str, str, str]:
        """Invoice number, timestamp, and customer with country of a document."""
        day, minute = int(self.documents.day[document]), int(self.documents.minute[document])
        customer = -1 if anonymous else int(self.documents.customer[document])
        country = -1 if anonymous else int(self.documents.country[document])
        stamp = datetime.combine(self.plan.calendar[day], time(minute // 60, minute % 60))
        # The source writes 13085.0; some files have it plain, which means the same.
        name = "" if customer < 0 else f"{FIRST_CUSTOMER + customer}{'' if day % 5 == 4 else '.0'}"
        return str(self.plan.number[document]), str(stamp), f"{name},{HOME if country < 0 else _COUNTRIES[country]}"

    def _single_lines(self, first_day: int, end_day: int, begin: int, end: int) -> tuple[Integers, list[str]]:
        """Service lines of orders `begin` to `end`, and adjustments and faulty lines, with their documents."""
        day = self.documents.day[self.others_from :]
        others = np.flatnonzero((day >= first_day) & (day < end_day)) + self.others_from
        serviced = self.plan.serviced[slice(*np.searchsorted(self.plan.serviced, [begin, end]))]
        texts = [self._service(document) for document in serviced.tolist()]
        for document in others.tolist():
            kind = self.plan.kinds[document - self.others_from]
            self.tally[kind] += 1
            texts.append(self._adjustment(document, 1) if kind == "adjustment" else self._faulty(kind, document))
        return np.concatenate([serviced, others]), texts

    def _service(self, document: int) -> str:
        number, stamp, tail = self._frame(document)
        random, anonymous = self.random, self.documents.customer[document] < 0
        quantity = 1
        if self.documents.country[document] >= 0 and random.random() < 0.9:
            code, description, usual = POSTAGE
            quantity = int(random.integers(1, 5))
        else:
            choices = ANONYMOUS_SERVICES if anonymous else SERVICES
            weights = np.array([choice[3] for choice in choices], dtype=float)
            code, description, usual, _ = choices[random.choice(len(choices), p=weights / weights.sum())]
        pence = round(usual * random.lognormal(0, 0.3))
        self.tally["service"] += 1
        self.tally["service without customer"] += int(anonymous)
        self.money["service"] += quantity * pence * 10
        return f"{number},{code},{quoted(description)},{quantity},{stamp},{_price(pence)},{tail}"

    def _adjustment(self, document: int, sign: int) -> str:
        number, stamp, tail = self._frame(document, anonymous=True)
        pence = sign * int(self.random.integers(100_000, 5_000_000))
        if sign > 0:
            self.money["adjustment"] += pence * 10
        return f"A{number},B,Adjust bad debt,1,{stamp},{_price(pence)},{tail}"

    def _faulty(self, reason: str, document: int) -> str:
        """A line with this fault and no other; its number makes it different from every other line."""
        random = self.random
        number, stamp, tail = self._frame(document)
        product = int(random.integers(0, len(self.catalogue.codes)))
        code, _, description = self.catalogue.texts[product].partition(",")
        quantity, price = str(random.integers(1, 13)), PRICES[self.catalogue.price[product]]
        form = self.tally[reason] % 4  # every form of the fault in turn
        match reason:
            case "invalid_invoice_no":
                number = (f"{number}0", f"INV{number}", f"{number}-1", f"#{number}")[form]
            case "missing_stock_code":
                code = ""
            case "invalid_quantity":
                quantity = ("0", "2.5", "six", "")[form]
            case "invalid_unit_price":
                if form % 2:  # as in the published data: a negative adjustment
                    return self._adjustment(document, -1)
                price = ("free", "")[form // 2]
            case "invalid_invoice_date":
                stamp = (f"{stamp[:4]}-02-30 {stamp[11:]}", "unknown", "", f"{stamp[:4]}-13-01 {stamp[11:]}")[form]
            case "negative_quantity":
                _, _, tail = self._frame(document, anonymous=True)
                quantity, price = f"-{random.integers(1, 400)}", "0.0"
                description = quoted(STOCK_REMARKS[random.integers(0, len(STOCK_REMARKS))])
            case "malformed_line":
                whole = f"{number},{code},{description},{quantity},{stamp},{price},{tail}"
                opened = description.translate(_PLAIN)
                return (
                    f"{number},{code},{description},{quantity}",
                    f'{number},{code},"{opened},{quantity},{stamp},{price}',  # malformed for lenient readers too
                    f"{whole},,by hand",
                    f"{number};{code};{opened};{quantity}",
                )[form]
        return f"{number},{code},{description},{quantity},{stamp},{price},{tail}"

    def _count(self, kind: str, lines: Lines) -> None:
        self.tally[kind] += len(lines.document)
        self.tally[f"{kind} without customer"] += int((self.documents.customer[lines.document] < 0).sum())
        self.money[kind] += int((lines.quantity * self.prices[lines.price]).sum())

    def counts(self) -> dict[str, Any]:
        """What all drops together hold, once they were all made."""
        clean = ("product", "cancellation", "service", "adjustment")
        abroad = np.unique(self.plan.orders.country[self.plan.orders.country >= 0])
        at_home = bool((self.plan.orders.country < 0).any() or self.tally["adjustment"])
        without = sum(self.tally[f"{kind} without customer"] for kind in clean) + self.tally["adjustment"]
        days = np.unique(self.documents.day)
        return {
            "landed_lines": self.plan.lines,
            "clean_lines": sum(self.tally[kind] for kind in clean),
            **{f"{kind}_lines": self.tally[kind] for kind in (*clean, "duplicate")},
            "clean_lines_without_customer": without,
            "product_lines_without_customer": self.tally["product without customer"],
            "quarantined_lines": sum(self.tally[fault] for fault in FAULTS),
            "quarantined": {fault: self.tally[fault] for fault in FAULTS},
            "orders": len(self.plan.orders),
            "cancellation_invoices": len(self.plan.cancellations),
            "customers": self.plan.customers,
            "customers_who_left": self.plan.left,
            "countries": len(abroad) + at_home,
            "products": int(self.products_sold.sum()),
            "days_with_a_drop": len(days),
            "first_drop": str(self.plan.calendar[days[0]]),
            "last_drop": str(self.plan.calendar[days[-1]]),
            "line_total": {kind: str(Decimal(self.money[kind]).scaleb(-3)) for kind in (*clean, "duplicate")},
        }


def _price(pence: int) -> str:
    """As the source writes it: without trailing zeros, but with a decimal."""
    return f"{pence / 100}"
