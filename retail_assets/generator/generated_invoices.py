"""Which invoices the generated shop writes: planned in memory, one row each, before any line is made.

Customers live as in BG/NBD (Fader, Hardie and Lee 2005): each buys at a rate of its own (gamma) and may leave
after any purchase, with a probability of its own (beta). Time runs faster in busy seasons.
"""

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retail_assets.generator.generated_catalogue import (
    FIRST_HOUR,
    FOREIGN,
    HOURS,
    LONGEST_BASKET,
    MONTHS,
    WEEKDAYS,
    YEARLY_GROWTH,
    Catalogue,
)

# Shares of all landed lines, as in the published data; the faults that it does not have: a few per 100,000.
SHARES = {
    "duplicate": 0.032,
    "cancellation": 0.018,
    "service": 0.0046,
    "adjustment": 0.00002,
    "negative_quantity": 0.0033,
    "invalid_unit_price": 0.00005,
    "invalid_invoice_no": 0.00004,
    "missing_stock_code": 0.00004,
    "invalid_quantity": 0.00004,
    "invalid_invoice_date": 0.00004,
    "malformed_line": 0.00005,
}
FAULTS = tuple(SHARES)[4:]
WITHOUT_CUSTOMER = 0.235  # of product lines

# Purchases a day ~ gamma(shape, mean), probability to leave after a purchase ~ beta: a BG/NBD fitted to the published
# data as of 2011-12-01, in which 55 % of the customers of two years had bought before (there: seldom and for long).
RATE_SHAPE, RATE_MEAN = 0.67, 1 / 97
LEAVE_ALPHA, LEAVE_BETA = 0.12, 2.65
THERE_FROM_THE_START = 0.6

# Lines of an order, and by how much customers and their orders differ in it (deviations of the logarithm). Who takes
# many products takes few of each: with twice the lines 0.57 times the units, with twice those of the customer's usual
# order 0.86 times.
USUAL_LINES, LINES_BY_CUSTOMER, LINES_BY_ORDER = 10, 0.73, 0.8
UNITS_BY_LINES, UNITS_BY_ORDER = -0.8, -0.22
UNITS_BY_CUSTOMER = 0.55

MOST_DOCUMENTS = 900_000  # six digits, without a leading zero

Integers = NDArray[np.int64]


@dataclass
class Documents:
    """Invoices as columns: the open day (index), minute of the day, customer and country (-1: none, home)."""

    day: Integers
    minute: Integers
    customer: Integers
    country: Integers
    lines: Integers

    def __getitem__(self, chosen: Any) -> "Documents":
        return Documents(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def __add__(self, other: "Documents") -> "Documents":
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Documents(*(np.concatenate(pair) for pair in pairs))

    def __len__(self) -> int:
        return len(self.day)


def _at_most(sizes: Integers, total: int) -> Integers:
    """How many of each are taken, from the first on, until `total` is reached exactly."""
    return np.diff(np.minimum(np.cumsum(sizes), total), prepend=0)


class Plan:
    """Which documents there are, in `documents`: orders in time order, their cancellations, then `others`.

    orders           sales of products, to customers and to nobody; the product lines of all orders in a row are
                     numbered from 0, order i has those from first_line[i] to first_line[i + 1]
    cancellations    of the orders `source` (ascending): one line for each of `cancelled_line` (numbers of product
                     lines), of the quantity times `cancelled_share`
    others           one line each, of the kind in `kinds`: an adjustment or a fault
    serviced         orders that have a service line as well
    repeated         numbers of the product lines of which there is an exact duplicate, once for each
    number           the six digits of each document's invoice number, rising in time
    """

    def __init__(self, random: np.random.Generator, lines: int, calendar: list[date], days: int) -> None:
        self.random, self.lines, self.calendar = random, lines, calendar
        # In a demo of some size everything occurs at least once.
        least = 1 if lines >= 100 else 0
        wanted = {kind: max(least, round(lines * share)) for kind, share in SHARES.items()}
        self.catalogue = Catalogue.make(random, 2_000 + min(lines // 100, 2_000))

        season = np.array([WEEKDAYS[day.weekday()] * MONTHS[day.month - 1] for day in calendar])
        weight = season * YEARLY_GROWTH ** (np.array([(day - calendar[0]).days for day in calendar]) / 365)
        self.busy_until = np.cumsum(weight) * (days / weight.sum())  # the clock by which customers live

        self.product_lines = lines - sum(wanted.values())
        anonymous = round(self.product_lines * WITHOUT_CUSTOMER)
        orders = self._orders_of_customers(self.product_lines - anonymous) + self._orders_of_nobody(anonymous)
        self.orders = orders = orders[np.lexsort((orders.minute, orders.day))]
        self.first_line = np.concatenate([[0], np.cumsum(orders.lines)])

        self._plan_cancellations(wanted["cancellation"])
        # A service line is a further line of an order: postage abroad, mostly.
        haste = random.exponential(1 / np.where(orders.country >= 0, 8.0, np.where(orders.customer < 0, 3.0, 0.5)))
        self.serviced = np.sort(np.argsort(haste)[: wanted["service"]])
        others = self._like_orders(wanted["adjustment"] + sum(wanted[fault] for fault in FAULTS))
        self.kinds = np.repeat(["adjustment", *FAULTS], [wanted[kind] for kind in ("adjustment", *FAULTS)]).tolist()

        # What few orders could not be cancelled or serviced is made up for: the total is a promise.
        repeated = lines - self.product_lines - int(self.cancellations.lines.sum()) - len(self.serviced) - len(others)
        self.repeated = np.sort(random.integers(0, self.product_lines, repeated))

        self.documents = orders + self.cancellations + others
        if len(self.documents) > MOST_DOCUMENTS:
            raise ValueError(f"{lines} lines need {len(self.documents)} invoice numbers of six digits: generate fewer.")
        in_time = np.lexsort((self.documents.minute, self.documents.day))
        # The source begins with 489434; many lines must begin lower.
        self.number = np.empty(len(in_time), dtype=np.int64)
        self.number[in_time] = np.arange(len(in_time)) + min(489_434, 1_000_000 - len(in_time))
        self.others_from = len(orders) + len(self.cancellations)

    def _minutes(self, count: int) -> Integers:
        hours = self.random.choice(len(HOURS), count, p=HOURS / HOURS.sum()) + FIRST_HOUR
        return hours * 60 + self.random.integers(0, 60, count)

    def _days(self, moments: NDArray[np.float64]) -> Integers:
        return np.searchsorted(self.busy_until, moments, side="right").clip(0, len(self.calendar) - 1)

    def _orders_of_customers(self, lines: int) -> Documents:
        """Whole lives of customers, one after the other, until their orders have as many lines."""
        customers: list[Integers] = []
        moments: list[NDArray[np.float64]] = []
        sizes: list[Integers] = []
        left: list[NDArray[np.bool_]] = []
        usually: list[NDArray[np.float64]] = []
        have = known = 0
        while have < lines:
            batch = max(20, (lines - have) // 60)
            customer, moment, gone = self._lives(batch)
            usual = self.random.lognormal(np.log(USUAL_LINES), LINES_BY_CUSTOMER, batch)
            basket = usual[customer] * self.random.lognormal(0, LINES_BY_ORDER, len(customer))
            size = basket.round().clip(1, LONGEST_BASKET).astype(np.int64)
            customers.append(customer + known)
            moments.append(moment)
            sizes.append(size)
            left.append(gone)
            usually.append(usual)
            have, known = have + int(size.sum()), known + batch
        customer, moment = np.concatenate(customers), np.concatenate(moments)
        size = _at_most(np.concatenate(sizes), lines)
        customer, moment, size = customer[size > 0], moment[size > 0], size[size > 0]

        present, customer = np.unique(customer, return_inverse=True)
        # The last customer's life may have been cut short to fit.
        self.left = int(np.concatenate(left)[present[:-1]].sum())
        self.customers = len(present)
        country = np.full(len(present), -1)
        abroad = np.flatnonzero(self.random.random(len(present)) < 0.09)
        weights = np.array(list(FOREIGN.values())) / sum(FOREIGN.values())
        country[abroad] = self.random.choice(len(FOREIGN), len(abroad), p=weights)
        # Every country has a customer as soon as there are enough of them.
        country[abroad[: len(FOREIGN)]] = np.arange(len(FOREIGN))[: len(abroad)]
        # Some buy by the dozen, some by the piece.
        self.usual_lines = np.concatenate(usually)[present]
        bulk = UNITS_BY_LINES * np.log(self.usual_lines / USUAL_LINES)
        self.bulk = bulk + self.random.normal(0, UNITS_BY_CUSTOMER, len(present))
        return Documents(self._days(moment), self._minutes(len(moment)), customer, country[customer], size)

    def _lives(self, count: int) -> tuple[Integers, NDArray[np.float64], NDArray[np.bool_]]:
        """BG/NBD: customer and moment of every purchase, by customer, and which customers left in the window."""
        random, end = self.random, self.busy_until[-1]
        wait = 1 / random.gamma(RATE_SHAPE, RATE_MEAN / RATE_SHAPE, count).clip(1e-6)
        leave = random.beta(LEAVE_ALPHA, LEAVE_BETA, count)
        old = random.random(count) < THERE_FROM_THE_START
        moment = np.where(old, random.exponential(wait), random.random(count) * end)
        customers: list[Integers] = [np.empty(0, dtype=np.int64)]
        moments: list[NDArray[np.float64]] = [np.empty(0)]
        gone = np.zeros(count, dtype=bool)
        active = np.flatnonzero(moment < end)
        while len(active):
            customers.append(active)
            moments.append(moment[active])
            leaving = random.random(len(active)) < leave[active]
            gone[active[leaving]] = True
            active = active[~leaving]
            moment[active] += random.exponential(wait[active])
            active = active[moment[active] < end]
        customer = np.concatenate(customers)
        by_customer = np.argsort(customer, kind="stable")
        return customer[by_customer], np.concatenate(moments)[by_customer], gone

    def _orders_of_nobody(self, lines: int) -> Documents:
        """Sales without a customer: many of one line, some of very many."""
        size = self.random.lognormal(np.log(6), 1.7, lines).round().clip(1, LONGEST_BASKET).astype(np.int64)
        size = _at_most(size, lines)
        size = size[size > 0]
        count = len(size)
        days = self._days(self.random.random(count) * self.busy_until[-1])
        nowhere = np.full(count, -1)
        return Documents(days, self._minutes(count), nowhere, nowhere.copy(), size)

    def _like_orders(self, count: int) -> Documents:
        """Documents of one line, each on the day and for the customer of some order."""
        documents = self.orders[self.random.integers(0, len(self.orders), count)]
        documents.lines = np.ones(count, dtype=np.int64)
        return documents

    def _plan_cancellations(self, lines: int) -> None:
        """Cancellations of a run of lines of an earlier order of the same customer, on a later day."""
        random, last = self.random, len(self.calendar) - 1
        source = random.permutation(np.flatnonzero((self.orders.customer >= 0) & (self.orders.day < last)))
        cancelled = np.minimum(random.geometric(0.45, len(source)), self.orders.lines[source])
        cancelled = _at_most(cancelled, lines)
        source, cancelled = source[cancelled > 0], cancelled[cancelled > 0]
        # By source, so that the lines of one stretch of days are a slice of all cancelled lines.
        by_source = np.argsort(source)
        self.source, cancelled = source[by_source], cancelled[by_source]
        start = random.integers(0, self.orders.lines[self.source] - cancelled + 1)
        self.cancellations = self.orders[self.source]
        self.cancellations.lines = cancelled
        remaining = last - self.cancellations.day
        delay = 1 + random.exponential(12, len(self.source)).astype(np.int64)
        delay = np.where(delay > remaining, random.integers(1, remaining + 1), delay)
        self.cancellations.day = self.cancellations.day + delay
        self.cancellations.minute = self._minutes(len(self.source))

        position = np.arange(cancelled.sum()) - np.repeat(np.cumsum(cancelled) - cancelled, cancelled)
        self.cancelled_line = np.repeat(self.first_line[self.source] + start, cancelled) + position
        self.cancelled_share = np.where(random.random(len(position)) < 0.6, 1.0, random.random(len(position)))
