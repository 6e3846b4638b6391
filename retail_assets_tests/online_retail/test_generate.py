"""What `generate` says it put in is what a reader that shares no code with it finds in the files."""

import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from retail_assets.generator import generate as module
from retail_assets.generator import generated_invoices
from retail_assets.generator.generate import HEADER, generate
from retail_assets.generator.generated_catalogue import closed
from retail_assets.landing.drops import MANIFEST

LAST_DAY = date(2026, 11, 20)
PRODUCT = re.compile(r"\d{5}[A-Za-z]*|PADS")


class Row(NamedTuple):
    invoice: str
    code: str
    description: str
    quantity: str
    stamp: str
    price: str
    customer: str
    country: str

    @property
    def line_type(self) -> str:
        if self.invoice.startswith("C"):
            return "cancellation"
        if self.invoice[0].isalpha():
            return "adjustment"
        return "product" if PRODUCT.fullmatch(self.code) else "service"

    @property
    def line_total(self) -> Decimal:
        return int(self.quantity) * Decimal(self.price)


class Landed(NamedTuple):
    """The landed data as the rules of clean_transactions and quarantined_invoices divide it."""

    lines: int
    clean: dict[Row, int]  # distinct rows and how often each was landed
    reasons: Counter[str]
    files: dict[date, list[str]]


def reasons(row: Row, day: date) -> list[str]:
    def number(text: str) -> Decimal | None:
        try:
            return Decimal(text)
        except InvalidOperation:
            return None

    def moment(text: str) -> str | None:
        try:
            return str(date.fromisoformat(text[:10]))
        except ValueError:
            return None

    price = number(row.price)
    quantity = int(row.quantity) if re.fullmatch(r"-?\d+", row.quantity) else 0
    rules = {
        "invalid_invoice_no": re.fullmatch("[A-Za-z]?[0-9]{6}", row.invoice),
        "missing_stock_code": row.code,
        "invalid_quantity": quantity,
        "invalid_unit_price": price is not None and price >= 0,
        "invalid_invoice_date": moment(row.stamp) == str(day),
        "negative_quantity": quantity >= 0 or row.invoice.startswith("C"),
    }
    return [reason for reason, kept in rules.items() if not kept]


def read(directory: Path) -> Landed:
    clean: Counter[Row] = Counter()
    found: Counter[str] = Counter()
    files = {}
    total = 0
    for path in sorted(directory.glob("*.csv")):
        day = date.fromisoformat(path.stem.removeprefix("online_retail_"))
        header, *lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        assert header == HEADER
        files[day] = lines
        total += len(lines)
        for line in lines:
            try:
                row = Row(*next(csv.reader([line], strict=True)))
            except (csv.Error, TypeError):
                found["malformed_line"] += 1
                continue
            broken = reasons(row, day)
            assert len(broken) <= 1, (line, broken)
            if broken:
                found[broken[0]] += 1
            else:
                # Both forms of the same customer number mean the same.
                clean[row._replace(customer=row.customer.removesuffix(".0"))] += 1
    return Landed(total, clean, found, files)


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> tuple[dict, Landed, Path]:
    directory = tmp_path_factory.mktemp("landing")
    manifest = generate(directory, lines=60_000, days=500, last_day=LAST_DAY)
    return manifest, read(directory), directory


def check_counts(manifest: dict, landed: Landed, lines: int) -> None:
    kinds = Counter(row.line_type for row in landed.clean)
    money: dict[str, Decimal] = defaultdict(Decimal)
    for row, times in landed.clean.items():
        money[row.line_type] += row.line_total
        money["duplicate"] += row.line_total * (times - 1)
    found = {
        "landed_lines": landed.lines,
        "clean_lines": len(landed.clean),
        "duplicate_lines": sum(landed.clean.values()) - len(landed.clean),
        "quarantined_lines": landed.reasons.total(),
        "clean_lines_without_customer": sum(not row.customer for row in landed.clean),
        "product_lines_without_customer": sum(not row.customer and row.line_type == "product" for row in landed.clean),
        "orders": len({row.invoice for row in landed.clean if row.line_type == "product"}),
        "cancellation_invoices": len({row.invoice for row in landed.clean if row.line_type == "cancellation"}),
        "customers": len({row.customer for row in landed.clean if row.customer}),
        "countries": len({row.country for row in landed.clean}),
        "products": len({row.code for row in landed.clean if row.line_type == "product"}),
        "days_with_a_drop": len(landed.files),
        "first_drop": str(min(landed.files)),
        "last_drop": str(max(landed.files)),
        **{f"{kind}_lines": kinds[kind] for kind in ("product", "cancellation", "service", "adjustment")},
    }
    assert {name: manifest[name] for name in found} == found
    assert landed.lines == lines
    assert {reason: number for reason, number in manifest["quarantined"].items() if number} == landed.reasons
    assert {kind: Decimal(total) for kind, total in manifest["line_total"].items()} == {
        kind: money[kind] for kind in manifest["line_total"]
    }
    told = {"parameters", "quarantined", "line_total", "customers_who_left"}
    assert set(manifest) == set(found) | told  # no count goes unchecked


def test_every_count_of_the_manifest_is_found_in_the_files(generated):
    manifest, landed, directory = generated
    check_counts(manifest, landed, 60_000)
    assert json.loads((directory / MANIFEST).read_text()) == manifest
    assert set(manifest["quarantined"]) == set(landed.reasons)
    assert not list(directory.glob("*.part"))


@pytest.mark.parametrize(
    ("lines", "days"), [(1, 1), (7, 3), (50, 2), (100, 1), (200, 40), (999, 7), (3_000, 1), (2_000, 900), (20_000, 3)]
)
def test_any_number_of_lines_and_days_is_met_exactly(tmp_path, lines, days):
    for seed in (0, 1):
        directory = tmp_path / str(seed)
        check_counts(generate(directory, lines=lines, days=days, last_day=LAST_DAY, seed=seed), read(directory), lines)


def test_stretches_of_days_join_without_a_seam(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LINES_AT_ONCE", 500)  # 40 stretches, so cancellations cross from one to another
    check_counts(generate(tmp_path, lines=20_000, days=120, last_day=LAST_DAY), read(tmp_path), 20_000)
    check_cancellations(read(tmp_path))


def test_the_same_arguments_give_the_same_bytes_in_another_process(tmp_path):
    generate(tmp_path / "here", lines=5_000, days=60, last_day=LAST_DAY, seed=7)
    code = (
        "from datetime import date; from pathlib import Path; "
        "from retail_assets.generator.generate import generate; "
        f"generate(Path({str(tmp_path / 'there')!r}), lines=5_000, days=60, last_day=date(2026, 11, 20), seed=7)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    generate(tmp_path / "other", lines=5_000, days=60, last_day=LAST_DAY, seed=8)
    assert contents(tmp_path / "here") != contents(tmp_path / "other")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_drops_that_would_not_change_stay_untouched(tmp_path):
    """Their days are not due again: a drop's fingerprint has its time of modification."""
    generate(tmp_path, lines=2_000, days=20, last_day=LAST_DAY, seed=1)
    drops = sorted(tmp_path.glob("*.csv"))
    content = {drop: drop.read_bytes() for drop in drops}
    for drop in drops:
        os.utime(drop, (1_000_000_000, 1_000_000_000))
    drops[3].write_bytes(b"something else")
    generate(tmp_path, lines=2_000, days=20, last_day=LAST_DAY, seed=1)
    assert {drop: drop.read_bytes() for drop in drops} == content
    assert [drop for drop in drops if drop.stat().st_mtime != 1_000_000_000] == [drops[3]]


def test_an_interrupted_call_leaves_no_manifest_and_is_repeated_by_calling_again(tmp_path, monkeypatch):
    generate(tmp_path / "whole", lines=20_000, days=60, last_day=LAST_DAY)
    interrupted = tmp_path / "interrupted"
    generate(interrupted, lines=18_000, days=60, last_day=LAST_DAY)

    write, replace, calls = Path.write_bytes, Path.replace, iter(range(1_000))

    def fail_in_the_middle(part: Path, target: Path) -> Path:
        if next(calls) == 20:
            write(part, part.read_bytes()[:1_000])
            raise KeyboardInterrupt
        return replace(part, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            generate(interrupted, lines=20_000, days=60, last_day=LAST_DAY)
    assert not (interrupted / MANIFEST).exists()
    assert len(list(interrupted.glob("*.part"))) == 1

    generate(interrupted, lines=20_000, days=60, last_day=LAST_DAY)
    assert contents(interrupted) == contents(tmp_path / "whole")


def test_drops_of_other_days_are_refused_and_left_alone(tmp_path):
    stranger = tmp_path / "online_retail_2010-12-01.csv"
    stranger.write_text(HEADER + "\n")
    with pytest.raises(ValueError, match=r"online_retail_2010-12-01\.csv"):
        generate(tmp_path, lines=100, days=10, last_day=LAST_DAY)
    assert contents(tmp_path) == {stranger.name: (HEADER + "\n").encode()}


def check_cancellations(landed: Landed) -> None:
    sold: dict[tuple[str, str, str], list[tuple[str, int]]] = defaultdict(list)
    for row in landed.clean:
        if row.line_type == "product" and row.customer:
            sold[row.customer, row.code, row.price].append((row.stamp[:10], int(row.quantity)))
    cancellations = [row for row in landed.clean if row.line_type == "cancellation"]
    assert cancellations
    for row in cancellations:
        earlier = [quantity for day, quantity in sold[row.customer, row.code, row.price] if day < row.stamp[:10]]
        assert max(earlier, default=0) >= -int(row.quantity) > 0, row


def test_cancellations_refer_to_earlier_orders(generated):
    check_cancellations(generated[1])


def test_there_is_no_drop_on_closed_days(generated):
    _, landed, _ = generated
    days = [LAST_DAY - timedelta(days=number) for number in range(500)]
    open_days = {day for day in days if not closed(day)}
    assert set(landed.files) <= open_days
    assert len(landed.files) > 0.95 * len(open_days)
    assert LAST_DAY in landed.files  # so that a first look is at a living system
    assert not {day for day in landed.files if day.weekday() == 5}
    holidays = [date(2025, 12, 25), date(2025, 12, 26), date(2026, 1, 1), date(2026, 4, 3), date(2026, 4, 6)]
    assert not set(holidays) & set(landed.files)
    with pytest.raises(ValueError, match="closed"):
        generate(Path("unused"), lines=10, days=1, last_day=date(2026, 11, 21))


def test_invoice_numbers_rise_with_time_and_belong_to_one_customer_and_moment(generated):
    _, landed, _ = generated
    invoices: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for row in landed.clean:
        invoices[row.invoice[-6:]].add((row.stamp, row.customer, row.country))
    assert max(map(len, invoices.values())) == 1
    stamps = [next(iter(invoices[number]))[0] for number in sorted(invoices)]
    assert stamps == sorted(stamps)
    countries: dict[str, set[str]] = defaultdict(set)
    for row in landed.clean:
        if row.customer:
            countries[row.customer].add(row.country)
    assert max(map(len, countries.values())) == 1


def test_customers_are_written_in_one_form_per_file_and_both_forms_occur(generated):
    _, landed, _ = generated
    customer = re.compile(r",(\d{5}(?:\.0)?),[A-Z][^,]+$")
    forms = [
        {found[1].endswith(".0") for line in lines if (found := customer.search(line))}
        for lines in landed.files.values()
    ]
    assert all(len(of_file) <= 1 for of_file in forms)
    assert set.union(*forms) == {True, False}


def test_too_few_invoice_numbers_are_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(generated_invoices, "MOST_DOCUMENTS", 500)
    with pytest.raises(ValueError, match="six digits"):
        generate(tmp_path / "none", lines=10_000, days=100, last_day=LAST_DAY)
    assert not (tmp_path / "none").exists()


def test_the_proportions_are_those_of_the_published_data(generated):
    manifest, landed, _ = generated
    products = [row for row in landed.clean if row.line_type == "product"]
    assert 0.2 < manifest["product_lines_without_customer"] / len(products) < 0.27
    assert 0.02 < manifest["duplicate_lines"] / landed.lines < 0.04
    assert 0.01 < manifest["cancellation_lines"] / landed.lines < 0.03
    assert 0.87 < sum(row.country == "United Kingdom" for row in products) / len(products) < 0.97
    assert manifest["countries"] >= 35
    assert 0.05 < manifest["customers_who_left"] / manifest["customers"] < 0.4

    baskets = np.array(list(Counter(row.invoice for row in products).values()))
    assert baskets.min() == 1
    assert baskets.max() <= 100
    assert 8 < baskets.mean() < 25
    orders: dict[str, set[str]] = defaultdict(set)
    for row in products:
        orders[row.customer].add(row.invoice)
    frequency = np.array([len(invoices) for customer, invoices in orders.items() if customer])
    assert np.median(frequency) <= 4
    assert frequency.max() >= 5 * frequency.mean()  # a few buy very often

    sales = sorted(Counter(row.code for row in products).values(), reverse=True)
    assert 0.4 < sum(sales[: len(sales) // 5]) / len(products) < 0.9  # a long tail
    assert {"POST", "DOT", "M", "C2"} <= {row.code for row in landed.clean if row.line_type == "service"}

    per_day = Counter(row.stamp[:10] for row in products)
    november = [number for day, number in per_day.items() if day[:7] == "2025-11"]
    february = [number for day, number in per_day.items() if day[:7] == "2026-02"]
    assert np.mean(november) > 1.4 * np.mean(february)


def test_who_bought_lately_and_often_is_likelier_to_buy_again(tmp_path):
    """Churn can be predicted, but not too well: of a churned and a retained customer, recency tells which is which."""
    generate(tmp_path, lines=60_000, days=500, last_day=LAST_DAY)
    as_of = "2026-08-22"
    last: dict[str, str] = {}
    returned = set()
    for row in read(tmp_path).clean:
        if row.line_type == "product" and row.customer:
            if row.stamp < as_of:
                last[row.customer] = max(last.get(row.customer, ""), row.stamp)
            else:
                returned.add(row.customer)
    stayed = np.array(sorted(last[customer] for customer in last if customer in returned))
    churned = np.array([last[customer] for customer in last if customer not in returned])
    auc = np.searchsorted(stayed, churned, side="right")
    assert 0.65 < 1 - (auc / len(stayed)).mean() < 0.85
    assert 0.3 < len(churned) / len(last) < 0.8
