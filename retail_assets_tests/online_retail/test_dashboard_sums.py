"""The sums of a dashboard page are those of counting customer by customer, for every choice of country and segment."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from statistics import median
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_assets.dashboards import dashboard_sums as sums
from retail_assets.dashboards import winning_back
from retail_assets.dashboards.published_pages import differences

COUNTRIES = ["EIRE", "France", "United Kingdom"]
MONTH, AS_OF = date(2011, 3, 1), date(2011, 3, 11)
FIRST_DAY = date(2010, 2, 20)
SEGMENTS = sums.SEGMENTS[:3]

SUMMED = ("orders", "further", "units", "revenue", "returns")
SOLD = {"invoice_date": object, "customer_id": object, "country": object} | dict.fromkeys(SUMMED, "int64")
RFM = (
    {"customer_id": object, "country": object, "rfm_segment": object}
    | dict.fromkeys(["recency_days", "frequency", "monetary"], "int64")
    | {"kept": "float64"}
)
BEFORE = {"customer_id": object, "rfm_segment": object}
CHURN = {"customer_id": object, "churn_probability": "float64"}
CLV = {"customer_id": object, "value": "int64", "probability_alive": "float64"}


def frame(columns: dict[str, Any], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def records(rows: pd.DataFrame) -> list[Any]:
    return list(rows.itertuples())


@dataclass
class Shop:
    """Some sales, and customers with what models say of them."""

    sold: pd.DataFrame
    rfm: pd.DataFrame
    before: pd.DataFrame
    churn: pd.DataFrame
    clv: pd.DataFrame

    def people(self) -> pd.DataFrame:
        return sums.customers(self.rfm, self.before, self.churn, self.clv, COUNTRIES)

    def dated(self) -> pd.DataFrame:
        return sums.dated(self.sold, self.people(), COUNTRIES)


NOBODY = Shop(*(frame(columns, []) for columns in (SOLD, RFM, BEFORE, CHURN, CLV)))

NO_ACTIONS = frame({"action": object, "rank": "int64", "customer_id": "int64"}, [])

# Days at which something ends or begins are as likely as all others.
DAYS = st.one_of(
    st.sampled_from(
        ["2010-03-01", "2010-03-10", "2010-03-11", "2011-02-10", "2011-02-11", "2010-03-12", "2011-03-10"]
    ).map(date.fromisoformat),
    st.dates(FIRST_DAY, AS_OF - timedelta(days=1)),
)


@st.composite
def shops(draw: st.DrawFn) -> Shop:
    ids = [f"c{number}" for number in range(draw(st.integers(0, 6)))]
    amounts = st.integers(0, 50)
    keys = draw(
        st.lists(
            st.tuples(DAYS, st.sampled_from([*ids, "returned only", None]), st.sampled_from(COUNTRIES)),
            unique=True,
            max_size=25,
        )
    )
    sold = []
    for day, customer, country in keys:
        orders, further = (0 if customer == "returned only" else draw(st.integers(0, 2)) for _ in range(2))
        units = 1 + draw(amounts) if orders or further else 0  # what is bought has units, what is returned has none
        sold.append((day, customer, country, orders, further, units, draw(amounts) if units else 0, draw(amounts)))
    some = [customer for customer in ids if draw(st.booleans())]
    segment, probabilities = st.sampled_from(SEGMENTS), st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.99995, 1.0])
    recency, kept = st.sampled_from([1, 30, 365, 366]), st.sampled_from([0.0, 0.5, 1.0])
    frequency = {customer: draw(st.integers(1, 3)) for customer in ids}
    places = st.sampled_from(COUNTRIES)
    return Shop(
        frame(SOLD, sold),
        frame(
            RFM,
            [
                (c, draw(places), draw(segment), draw(recency), frequency[c], draw(amounts), draw(kept))
                for c in ids[::-1]
            ],
        ),
        frame(BEFORE, [(c, draw(segment)) for c in some]),
        frame(CHURN, [(c, draw(probabilities)) for c in some]),
        frame(CLV, [(c, draw(amounts), draw(st.sampled_from([0.01, 0.25, 1.0]))) for c in some[1:]]),
    )


def choices() -> Iterator[tuple[int, int]]:
    return product([sums.ALL, *range(len(COUNTRIES))], range(len(SEGMENTS)))


def by_key(columns: Mapping[Any, list[Any]], *keys: str) -> dict[tuple[Any, ...], dict[Any, Any]]:
    rows = pd.DataFrame(columns)
    assert not rows.duplicated(list(keys)).any()
    return {tuple(row[key] for key in keys): row for row in rows.to_dict("records")}


@given(shops())
def test_sales_add_up_by_day_country_and_segment(shop: Shop):
    segment = dict(zip(shop.rfm["customer_id"], shop.rfm["rfm_segment"].map(sums.SEGMENTS.index), strict=True))
    expected = Counter[tuple[int, int, int, str]]()
    for row in records(shop.sold):
        where = ((row.invoice_date - shop.sold["invoice_date"].min()).days, COUNTRIES.index(row.country))
        for name in SUMMED:
            expected[(*where, segment.get(row.customer_id, sums.NONE), name)] += getattr(row, name)
    found = pd.DataFrame(sums.sales(shop.dated()))
    found["day"] = found["day"].cumsum()
    rows = by_key(found.to_dict("list"), "day", "country", "segment")
    assert {(*key, name): row[name] for key, row in rows.items() for name in SUMMED} == expected


@given(shops())
def test_buyers_are_counted_once_in_every_window_and_choice(shop: Shop):
    dated = shop.dated()
    if dated.empty:
        return
    first_month = sums.first_months(dated)
    found = by_key(sums.buyers(dated, first_month, MONTH, AS_OF), "window", "country", "segment")
    first = shop.sold["invoice_date"].min()

    def number(day: date) -> int:
        return (day.year - first.year) * 12 + day.month - first.month

    this_month, so_far = number(MONTH), AS_OF.day - 1
    month_of = {sums.MONTH_BEFORE: this_month - 1, sums.YEAR_BEFORE: this_month - 12}
    began = dict[str, date]()
    bought = [row for row in records(dated) if row.units > 0 and row.segment != sums.NONE]
    for row in sorted(bought, key=lambda row: row.invoice_date):
        began.setdefault(row.customer_id, row.invoice_date)
    for window, (country, segment) in product([sums.ALL, *month_of, *range(this_month + 1)], choices()):
        who = {
            row.customer_id
            for row in bought
            if (window == sums.ALL or number(row.invoice_date) == month_of.get(window, window))
            and (window not in month_of or row.invoice_date.day <= so_far)
            and row.segment == segment
            and country in (sums.ALL, row.country)
        }
        fresh = {c for c in who if window == sums.ALL or number(began[c]) == month_of.get(window, window)}
        row = found.pop((window, country, segment), {"customers": 0, "fresh": 0})
        assert (row["customers"], row["fresh"]) == (len(who), len(fresh))
    assert not found


@given(shops())
def test_profiles_moves_and_values_are_those_of_the_customers(shop: Shop):
    people = shop.people()
    profiles = by_key(sums.profiles(people), "country", "segment")
    values = by_key(sums.values(people), "country", "segment")
    rows = records(people)
    for country, segment in choices():
        own = [p for p in rows if country in (sums.ALL, p.country) and p.segment == segment]
        profile = profiles.pop((country, segment), None)
        assert (profile is None) == (not own)
        if profile:
            assert (profile["customers"], profile["monetary"]) == (len(own), sum(p.monetary for p in own))
            for name, of in (("recency", "recency"), ("frequency", "frequency"), ("typical", "monetary")):
                assert profile[name] == median(getattr(p, of) for p in own)
        valued = [p for p in own if p.value == p.value]
        value = values.pop((country, segment), None)
        assert (value is None) == (not valued)
        if value:
            assert (value["customers"], value["value"]) == (len(valued), sum(p.value for p in valued))
            assert value["median"] == median(p.value for p in valued)
            assert "naive" not in value  # a multiple of what comes: it is shown where it can be held against that
            again = [p.alive for p in valued if p.frequency > 1]
            assert (value["again"], value["alive"]) == (len(again), sum(again))
    assert not profiles
    assert not values
    moved = {key: row["customers"] for key, row in by_key(sums.moves(people), "country", "before", "segment").items()}
    assert moved == Counter((p.country, p.before, p.segment) for p in rows)


@given(shops())
def test_cohorts_hold_each_customer_in_each_month_once(shop: Shop):
    dated, people = shop.dated(), shop.people()
    first_month = sums.first_months(dated)
    found = by_key(sums.cohorts(dated, people, first_month), "cohort", "month", "country", "segment")
    bought = {(r.customer_id, r.month) for r in records(dated) if r.units > 0 and r.customer_id in people.index}
    began = {customer: min(month for who, month in bought if who == customer) for customer, _ in bought}
    expected = Counter(
        (began[customer], month, people.loc[customer, "country"], people.loc[customer, "segment"])
        for customer, month in bought
    )
    assert {key: row["customers"] for key, row in found.items()} == expected


def level(probability: float) -> int:
    return 0 if probability >= 0.75 else 1 if probability >= 0.5 else 2


@given(shops())
def test_risk_is_of_what_is_to_come_and_the_list_is_in_the_order_of_what_can_be_won(shop: Shop):
    people = shop.people()
    at_risk = winning_back.with_risk(people, shop.sold, AS_OF)
    year = [row for row in records(shop.sold) if row.invoice_date >= AS_OF - timedelta(days=365)]
    expected, gone = [], set()
    for p in records(people[people["churn"].notna()]):
        spent = max(0, sum(row.revenue - row.returns for row in year if row.customer_id == p.Index))
        probability, lost = round(p.churn, 4), p.alive < 0.1 or (p.frequency == 1 and p.recency > 365)
        gone |= {p.Index} if lost else set()
        value = 0 if lost or p.value != p.value else round(p.value * p.kept) * probability
        expected.append((p.Index, p.country, p.segment, level(probability), probability, spent, value))
    expected.sort(key=lambda row: (-row[6], row[0]))
    shown = ("country", "segment", "risk", "churn", "spent")
    assert [(row.Index, *(getattr(row, name) for name in shown)) for row in records(at_risk)] == [
        row[:6] for row in expected
    ]
    assert set(at_risk.index[at_risk["lost"]]) == gone
    found = by_key(winning_back.churn(at_risk), "country", "segment", "tenth", "risk")
    grouped: dict[tuple[int, ...], list[tuple[Any, ...]]] = {}
    for row in expected:
        grouped.setdefault((row[1], row[2], min(9, int(row[4] * 10)), row[3]), []).append(row)
    measured = {key: (row["customers"], row["spent"], row["at_risk"], row["lost"]) for key, row in found.items()}
    assert measured == {
        key: (
            len(rows),
            sum(row[5] for row in rows),
            pytest.approx(sum(row[6] for row in rows), abs=1e-4),
            sum(row[0] in gone for row in rows),
        )
        for key, rows in grouped.items()
    }


def test_a_customer_of_ninety_per_cent_is_at_high_risk_whatever_the_others_are():
    people = pd.DataFrame({"churn": [0.99, 0.95, 0.9, 0.6, 0.2]}, index=list("abcde"))
    people = people.assign(country=0, segment=0, recency=200, frequency=9, monetary=1, value=1.0, kept=1.0, alive=0.9)
    sold = pd.DataFrame({"customer_id": people.index, "revenue": 1}).assign(invoice_date=MONTH, returns=0)
    levels = winning_back.with_risk(people, sold, AS_OF)["risk"].sort_index()
    assert [winning_back.RISKS[level] for level in levels] == ["High", "High", "High", "Medium", "Low"]


def test_a_list_is_that_of_the_table_in_its_order():
    people = pd.DataFrame({"country": [0, 1, 0], "segment": [0, 1, 2]}, index=[3, 5, 7])
    named = [("win_back", 2, 3), ("lost", 1, 5), ("win_back", 1, 7), ("country", 1, -1)]
    actions = pd.DataFrame(named, columns=["action", "rank", "customer_id"])
    shown = winning_back.listed(people, actions, "win_back", ["country", "segment"])
    assert shown == {"id": [7, 3], "country": [0, 0], "segment": [2, 0]}


def test_a_month_without_sales_and_customers_has_empty_columns():
    dated, people = NOBODY.dated(), NOBODY.people()
    first_month, at_risk = sums.first_months(dated), winning_back.with_risk(people, NOBODY.sold, AS_OF)
    for columns in (
        sums.sales(dated),
        sums.buyers(dated, first_month, MONTH, AS_OF),
        sums.profiles(people),
        sums.moves(people),
        sums.cohorts(dated, people, first_month),
        winning_back.churn(at_risk),
        winning_back.listed(at_risk, NO_ACTIONS, "win_back", winning_back.WIN_BACK_SHOWN),
        winning_back.listed(NOBODY.people(), NO_ACTIONS, "lost", winning_back.LOST_SHOWN),
        sums.values(people),
    ):
        assert set(map(tuple, columns.values())) == {()}


def test_a_page_without_sales_and_customers_is_what_gold_tables_without_rows_say():
    shown: dict[str, Any] = {"first_day": None, "as_of": str(AS_OF), "countries": [], "segments": []}
    shown |= {"sales": sums.sales(NOBODY.dated()), "profiles": sums.profiles(NOBODY.people())}
    figures = dict.fromkeys(["orders", "units", "revenue", "returns"], "int64")
    gold = {
        "daily": frame({"day": object} | figures, []),
        "geography": frame({"country": object} | figures, []),
        "rfm": frame({"segment": object, "customers": "int64", "monetary": "int64"}, []),
    }
    assert list(differences(shown, gold, MONTH)) == []
    sold = frame({"day": object} | figures, [(str(MONTH), 1, 2, 3000, 0)])
    assert len(list(differences(shown, gold | {"daily": sold}, MONTH))) == 3
