"""A file that would all end in quarantine is refused before it lands, with the line that would mend it."""

import json
import os
import re
from datetime import date
from pathlib import Path

import pytest

from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import land
from retail_assets.shops.description import described_by
from retail_assets.shops.refusal import looks_usable
from retail_assets.shops.shop import Shop
from retail_assets.sources.online_retail import ONLINE_RETAIL

TODAY = date(2026, 11, 21)
HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"


def refused(tmp_path: Path, lines: list[str], shop=ONLINE_RETAIL, description: str = "nowhere.toml") -> str:
    path, zone = tmp_path / "in.csv", LandingZone(str(tmp_path / "landing"))
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    os.utime(path, (0, 0))
    looks = looks_usable(shop, tmp_path / description, TODAY)
    try:
        land([path], zone, shop.layout, today=TODAY, looks_usable=looks)
    except DropRefused as refusal:
        assert zone.drops(shop.name) == []
        return str(refusal)
    assert len(zone.drops(shop.name)) > 0
    return ""


def rows(count: int = 20, **changes: str) -> list[str]:
    usual = {"invoice": "536365", "code": "85123A", "quantity": "6", "day": "2010-12-01 08:26:00", "price": "2.55"}
    line = "{invoice},{code},MUG,{quantity},{day},{price},17850,France".format(**(usual | changes))
    return [line] * count


@pytest.mark.parametrize(
    ("changes", "reason", "mended"),
    [
        ({"invoice": "SO-77"}, "20 of 20 rows to be in quarantine as invalid_invoice_no", 'pattern = "SO-[0-9]+"'),
        ({"code": ""}, "as missing_stock_code (no stock code)", "code_from_description = true"),
        ({"price": "€2.55"}, "as invalid_unit_price", 'currency_signs = ["€"]'),
        ({"quantity": "-6"}, "as negative_quantity", "negative_quantity = true"),
        ({"code": "BOX-9"}, "20 of 20 rows of services, hardly one of a product, such as 'BOX-9'", 'codes = ".+"'),
    ],
)
def test_what_would_all_be_in_quarantine_is_refused_with_what_would_mend_it(tmp_path, changes, reason, mended):
    said = refused(tmp_path, rows(**changes))
    assert reason in said
    assert mended in said
    assert "Nothing was landed." in said
    assert "retail shop new NAME FILE" in said
    assert said.endswith("--anyway.")


def test_the_file_of_the_description_is_named_where_there_is_one(tmp_path):
    (tmp_path / "shop.toml").write_text("described")
    assert f"In {tmp_path / 'shop.toml'} it would be, under [invoices]: pattern" in refused(
        tmp_path, rows(invoice="SO-77"), description="shop.toml"
    )


def test_a_form_of_dates_that_is_not_declared_is_told(tmp_path):
    said = refused(tmp_path, [*rows(20, day="13-12-2010"), *rows(1)])
    assert "20 of 21 rows to be in quarantine as invalid_invoice_date" in said
    assert 'under [dates] it would say: forms = ["%d-%m-%Y"]' in said


@pytest.mark.parametrize(
    "lines",
    [
        rows(),
        [*rows(17), *rows(3, invoice="SO-77")],
        rows(2, invoice="SO-77"),
        rows(20, code="POST")[:2] + rows(1),
        rows(20, invoice="C536365", quantity="-6"),
    ],
    ids=["sound", "one in seven", "a correction of two lines", "postage and a product", "cancellations"],
)
def test_what_can_be_used_lands(tmp_path, lines):
    assert refused(tmp_path, lines) == ""


def test_what_is_wrong_at_the_beginning_alone_lands(tmp_path, monkeypatch):
    monkeypatch.setattr("retail_assets.landing.drop_reader.BLOCK_BYTES", 1_000)
    assert refused(tmp_path, [*rows(50, invoice="SO-77"), *rows(50)]) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"invoice": "SO-77"},
        {"code": ""},
        {"price": "€2.55"},
        {"quantity": "-6"},
        {"code": "BOX-9"},
        {"day": "13-12-2010 08:26"},
    ],
    ids=lambda changes: ", ".join(changes.values()),
)
def test_the_line_that_is_told_mends_it(tmp_path, changes):
    columns = "".join(f"{name} = {json.dumps(headers)}\n" for name, headers in ONLINE_RETAIL.layout.columns.items())
    strict = {
        "invoices": 'pattern = "[0-9]{6}"',
        "products": 'codes = "[0-9]{5}[A-Z]*"',
        "cancellations": "negative_quantity = false",
        "numbers": 'thousands = "\'"',
        "dates": "day_first = true",
    }
    top = f'currency = "EUR"\n[columns]\n{columns}'

    def shop(sections: dict[str, str]) -> Shop:
        return described_by(top + "".join(f"[{name}]\n{said}\n" for name, said in sections.items()), Path("shop.toml"))

    lines = [*rows(20, **changes), *rows("day" in changes)]  # one date tells where to land the others
    said = refused(tmp_path, lines, shop(strict))
    mending = re.search(r"under \[(\w+)\] it would say: (.*?) Or land it as it is", said)
    assert mending is not None
    section, line = mending.groups()
    assert refused(tmp_path, lines, shop(strict | {section: line.replace("; ", "\n")})) == ""
