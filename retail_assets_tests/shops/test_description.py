"""A shop in one file: what it says is what is gone by, and what it says wrongly is refused with what would do."""

from datetime import date
from pathlib import Path

import pytest

from retail_assets.landing.dialect import Dialect
from retail_assets.shops.closed_days import closed_days
from retail_assets.shops.description import PRESETS, REQUIRED, built_in, described, described_by, find
from retail_assets.shops.keys import KEYS, DescriptionError
from retail_assets.shops.rules import InvoiceRules
from retail_assets.sources.online_retail import ONLINE_RETAIL
from retail_assets_tests.made_shop import INVOICES

DESCRIBED = """
currency = "EUR"
time_zone = "Europe/Berlin"
closed_days = ["2024-05-01", "12-25"]
[files]
encoding = "cp1252"
delimiter = ";"
[columns]
invoice_no = "Beleg"
stock_code = ["Artikel-Nr.", "ArtNr"]
quantity = "Menge"
invoice_ts = "Datum"
unit_price = "Preis"
[numbers]
decimal = ","
thousands = "."
[dates]
day_first = true
[invoices]
pattern = "[0-9]+"
[constants]
country = "Germany"
"""


def test_online_retail_is_described_as_it_was_written_in_the_code():
    assert ONLINE_RETAIL.title == "Online Retail II"
    assert ONLINE_RETAIL.currency == "GBP"
    assert dict(INVOICES.columns) == {
        "invoice_no": ("Invoice", "InvoiceNo"),
        "stock_code": ("StockCode",),
        "description": ("Description",),
        "quantity": ("Quantity",),
        "invoice_ts": ("InvoiceDate",),
        "unit_price": ("Price", "UnitPrice"),
        "customer_id": ("Customer ID", "CustomerID"),
        "country": ("Country",),
    }
    assert (INVOICES.name, INVOICES.date_column) == ("online_retail", "invoice_ts")
    assert ONLINE_RETAIL.rules == InvoiceRules(
        dialect=Dialect(time_zone="Europe/London"),
        invoice_no="[A-Z]?[0-9]{6}",
        cancellation="C.*",
        adjustment="[A-Z].*",
        negative_is_cancellation=False,
        product_code="[0-9]{5}[A-Z]*|PADS",
    )
    assert ONLINE_RETAIL.closed.of_year is closed_days


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_read_and_has_what_a_line_needs(name):
    shop = built_in(name)
    assert all(shop.layout.columns[column] for column in REQUIRED)


def test_a_description_says_how_files_are_read_and_what_they_mean():
    shop = described_by(DESCRIBED, Path("laden.toml"))
    assert (shop.name, shop.title, shop.currency) == ("laden", "laden", "EUR")
    assert shop.layout.columns["stock_code"] == ("Artikel-Nr.", "ArtNr")
    assert shop.layout.columns["country"] == ()
    assert shop.layout.missing(["Beleg", "ArtNr", "Menge", "Datum"]) == ["unit_price (Preis)"]
    dialect = shop.layout.dialect
    assert (dialect.encoding, dialect.delimiter, dialect.decimal, dialect.day_first) == ("cp1252", ";", ",", True)
    assert shop.rules.constants == {"country": "Germany"}
    assert shop.closed.include(date(2024, 5, 1))
    assert not shop.closed.include(date(2025, 5, 1))
    assert shop.closed.include(date(2025, 12, 25))


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(DESCRIBED.splitlines(), 1) if line.startswith(text))


@pytest.mark.parametrize(
    ("given", "instead", "line", "said"),
    [
        ('currency = "EUR"', 'currency = "Euro"', "currency", "takes a code of ISO 4217"),
        ('currency = "EUR"\n', "", None, "currency is missing"),
        ('currency = "EUR"', "currency = 3", "currency", "is 3, and takes a text in quotes"),
        ("currency =", "curency =", "currency", "is no key; did you mean currency?"),
        ('"Europe/Berlin"', '"Berlin"', "time_zone", "time_zone cannot be: 'Berlin' is none, such as Europe/London"),
        ('"12-25"', '"25.12."', "closed_days", "'25.12.', and takes \"england and wales\", dates"),
        ('"12-25"', '"02-30"', "closed_days", "'02-30', and there is no such day"),
        ("[files]", "[fils]", "[files]", "fils in [fils] is no section; did you mean files?"),
        ('"cp1252"', '"cp0"', "encoding", "encoding in [files] cannot be: 'cp0' is none that is known"),
        ('delimiter = ";"', 'delimiter = ";;"', "delimiter", "';;' is not one ASCII character"),
        ("delimiter =", "decimal =", "delimiter", "decimal in [files] is no key; it belongs to [numbers]"),
        ('quantity = "Menge"', 'quantity = "Datum"', "invoice_ts", "has the header 'Datum', which quantity has"),
        ('quantity = "Menge"\n', "", "[columns]", "quantity in [columns] is missing: name the header"),
        ('unit_price = "Preis"', "unit_price = [1]", "unit_price", "is [1], and takes a text in quotes, or several"),
        ('decimal = ","', 'decimal = ".,"', "decimal", "decimal in [numbers] cannot be: '.,' is not one sign"),
        ('thousands = "."', 'thousands = ","', "decimal", "is not one sign, other than those of thousands"),
        ("day_first = true", 'day_first = "yes"', "day_first", "is 'yes', and takes true or false"),
        ("day_first = true", 'forms = ["%d-%q"]', "day_first", "forms in [dates] cannot be: '%d-%q' has '%q'"),
        ('"[0-9]+"', '"[0-9"', "pattern", "pattern in [invoices] is no pattern: unterminated"),
        ('"[0-9]+"', "'\\d+'", "pattern", "has '\\\\d', which engines read differently"),
        ('"[0-9]+"', '"so-[0-9]+"', "pattern", "letters in capitals"),
        ('country = "Germany"', 'land = "Germany"', "country", "land in [constants] is no key"),
        ('pattern = "[0-9]+"', 'pattern "[0-9]+"', None, "laden.toml is no TOML: "),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key_and_what_would_do(given, instead, line, said):
    assert given in DESCRIBED
    with pytest.raises(DescriptionError) as refusal:
        described_by(DESCRIBED.replace(given, instead), Path("laden.toml"))
    assert said in str(refusal.value)
    assert str(refusal.value).startswith("laden.toml")
    if line:
        assert f"laden.toml, line {line_of(line)}: " in str(refusal.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            '[orders]\nfirst_line_only = ["email"]',
            "first_line_only in [orders] has 'email', which is none of invoice_no",
        ),
        ('[cancellations]\nstatus_column = "State"', "status_values in [cancellations] and status_column go together"),
        ("[countries]\nEIRE = 1", "EIRE in [countries] is 1, and takes a text in quotes"),
        ('[values]\nempty = ["NULL"]', "empty in [values] cannot be: write them in lower case"),
    ],
)
def test_what_is_wrong_in_further_sections_is_named_too(more, said):
    with pytest.raises(DescriptionError) as refusal:
        described_by(DESCRIBED + more, Path("laden.toml"))
    assert said in str(refusal.value)


def test_a_shop_is_found_by_its_name_the_users_before_the_built_in(tmp_path):
    (tmp_path / "laden.toml").write_text(DESCRIBED)
    assert find("laden", tmp_path).currency == "EUR"
    assert find("online_retail", tmp_path) == ONLINE_RETAIL
    with pytest.raises(DescriptionError, match=r"Known shops: laden, online_retail.*retail shop new other FILE"):
        find("other", tmp_path)
    (tmp_path / "online_retail.toml").write_text(DESCRIBED)
    assert find("online_retail", tmp_path).currency == "EUR"


def test_a_shops_name_can_name_tables():
    with pytest.raises(DescriptionError, match="a shop's name, 'My Shop', has small letters"):
        described_by(DESCRIBED, Path("My Shop.toml"))
    with pytest.raises(DescriptionError, match="cannot be read"):
        described(Path("nowhere.toml"))


def test_every_key_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "your_shop.md").read_text(encoding="utf-8")
    for section, keys in KEYS.items():
        assert not section or f"`[{section}]`" in text
        assert [key for key in keys if f"`{key}`" not in text] == []
