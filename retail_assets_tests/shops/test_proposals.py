"""What `retail shop new` proposes makes clean rows of the files it looked at, of every kind that shops export."""

import gzip
import io
import os
import shutil
import zipfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.invoices.clean_transactions import clean_transactions
from retail_assets.invoices.invoice_rules import landed_money, read_rows
from retail_assets.landing.containers import Table
from retail_assets.landing.drop_rows import drop_rows
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import land
from retail_assets.project import project_root
from retail_assets.shops.description import described_by
from retail_assets.shops.judgement import judged, sample
from retail_assets.shops.looking import look
from retail_assets.shops.proposal import NothingToPropose, propose
from retail_assets.shops.shop import Shop
from retail_assets.shops.writing import toml

SHARED = project_root().parent / "shared"
TODAY = date(2026, 11, 21)

GERMAN = """Belegnr;Artikelnummer;Bezeichnung;Menge;Belegdatum;Einzelpreis;Kundennummer;Land
R-1001;A-17;"Tasse; blau";2;13.05.2024 10:15;€ 12,30;K1;Deutschland
R-1001;A-18;Kännchen;1;13.05.2024 10:15;1\u00a0234,50 €;K1;Deutschland
R-1002;A-17;"Tasse; blau";-1;14.05.2024 09:00;€ 12,30;K2;Österreich
"""
GERMAN_LINES = [
    ("R-1001", "A-17", 2, "12.30", "2024-05-13", "K1", "Deutschland", "product"),
    ("R-1001", "A-18", 1, "1234.50", "2024-05-13", "K1", "Deutschland", "product"),
    ("R-1002", "A-17", -1, "12.30", "2024-05-14", "K2", "Österreich", "cancellation"),
]
AMERICAN = """Order ID,SKU,Product Name,Qty,Order Date,Unit Price,Customer ID,Country
100-1,MUG,Mug,1,5/13/2024 1:05 PM,"$1,234.50",77,US
100-2,SHIPPING,Ground,1,5/14/2024 12:30 AM,$5.00,78,US
"""
OFFSETS = """order_number,sku,product_name,quantity,created_at,price,email,country
1,A1,Mug,1,2024-05-13T23:30:00-07:00,9.5,a@x.com,US
2,A1,Mug,2,2024-05-14T06:59:00Z,9.5,b@x.com,US
"""
PANDAS = """,invoice_id,item_code,qty,datetime,price,customer_id,country
0,17.0,A1,6.0,2024-05-13 10:00:00,2.55,17850.0,United Kingdom
1,18.0,A2,12.0,2024-05-14 10:00:00,3.0,nan,United Kingdom
"""
WOOCOMMERCE = """order_id,order_number,order_date,status,currency,billing_email,billing_country,item_id,\
item_name,item_sku,item_quantity,item_price,refunded
11,5011,5/13/2024 10:15:00,completed,EUR,a@x.com,DE,1,Mug,MUG,2,9.50,
11,5011,5/13/2024 10:15:00,completed,EUR,a@x.com,DE,2,Tee,,1,19.00,
12,5012,5/14/2024 08:00:00,cancelled,EUR,b@x.com,FR,3,Mug,MUG,1,9.50,
"""
MAGENTO = """increment_id,created_at,status,customer_email,billing_country_id,sku,name,qty_ordered,price
000000101,2024-05-13 10:15:00,complete,a@x.com,GB,24-MB01,Joust Bag,1.0000,34.0000
000000101,,,,,24-MB02,Yoga Mat,2.0000,12.5000
000000102,2024-05-14 10:15:00,canceled,b@x.com,GB,24-MB01,Joust Bag,1.0000,34.0000
"""
SHOPIFY = """Name,Email,Financial Status,Currency,Created at,Lineitem quantity,Lineitem name,Lineitem price,\
Lineitem sku,Billing Country,Refunded Amount
#1001,a@x.com,partially_refunded,EUR,2024-05-13 00:30:00 +0200,2,Mug,9.50,MUG,DE,5.00
#1001,,,,2024-05-13 00:30:00 +0200,1,Tee,19.00,TEE,,
#1002,b@x.com,voided,EUR,2024-05-14 10:00:00 +0200,1,Mug,9.50,MUG,DE,0.00
"""
UNKNOWN = """F1|F2|F3|F4|F5|F6|F7
90001|X-1|Blue mug|3|2024-05-13|2.50|C1
90001|X-2|Red mug|1|2024-05-13|3.75|C1
90002|X-1|Blue mug|12|2024-05-14|2.50|C2
90003|X-3|Plate, large|2|2024-05-15|10.00|C3
"""
RETURNS = """receipt,article,description,units,date,price,customer,country
A100,11,Mug,2,2024-05-13,2.50,1,France
RA100,11,Mug,-2,2024-05-14,2.50,1,FRANCE
A101,12,Tee,1,2024-05-14,3.50,2,France
"""
SWISS = """Rechnung;Artikel-Nr;Artikel;Anzahl;Datum;Preis;Kunde;Land
1;7;Uhr;1;13-05-24;CHF 1'234.50;9;CH
2;7;Uhr;1;14-05-24;CHF 0.50;9;CH
"""
QUOTED = """'Invoice','SKU','Product','Qty','Invoice Date','Price','Customer','Country'
'1','A1','Mug, blue','2','2024-05-13','$2.50','7','US'
'2','A2','Tee','(1)','2024-05-14','$1,013.75','8','US'
"""
REPORT = """Verkaufsbericht;;;;;;;
Zeitraum: 01.05.2024 bis 31.05.2024;;;;;;;

Belegnummer;Artikelnummer;Bezeichnung;Menge;Belegdatum;Einzelpreis;Kundennummer;Land
1;A1;Tasse;2;13.05.2024;2,50;7;Deutschland
2;A2;Hemd;1-;14.05.2024;13,75;8;Deutschland
"""
SUBTOTALS = """Order ID,Line,SKU,Product,Qty,Order Date,Unit Price,Tax,Total,Customer,Country
1,1,A1,Mug,2,2024-05-13,2.50,0.50,5.50,7,France
1,2,A2,Tee,1,2024-05-13,13.75,2.75,16.50,7,France
,,,Subtotal,3,,,3.25,22.00,,
2,1,A1,Mug,1,2024-05-14,2.50,0.25,2.75,8,France
,,,Subtotal,1,,,0.25,2.75,,
"""
LAKHS = """Invoice No,Item Code,Item Description,Qty,Invoice Date,Rate,Party,Country
INV/24-25/001,A1,Mug,2,13-05-2024,"1,23,456.50",P7,India
INV/24-25/002,A2,Tee,1,14-05-2024,13.75,P8,India
"""


def utf_16(text: str) -> bytes:
    return text.replace(",", "\t").encode("utf-16")


def parquet(text: str) -> bytes:
    buffer = io.BytesIO()
    header, *rows = [line.split(",") for line in text.splitlines()]
    columns: dict[str, list[Any]] = {name: [row[at] for row in rows] for at, name in enumerate(header)}
    columns["quantity"] = [int(cell) for cell in columns["quantity"]]
    pa.parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("export/orders.csv", text)
        archive.writestr("__MACOSX/._orders.csv", "x")
    return buffer.getvalue()


PACIFIC = [
    ("1", "A1", 1, "9.5", "2024-05-13", "a@x.com", "US", "product"),
    ("2", "A1", 2, "9.5", "2024-05-13", "b@x.com", "US", "product"),
]
KINDS: dict[str, tuple[str, bytes, list[tuple[Any, ...]]]] = {
    "cp1252, semicolons in quotes, currency signs": ("a.csv", GERMAN.encode("cp1252"), GERMAN_LINES),
    "the same in UTF-8, gzipped": ("a.csv.gz", gzip.compress(GERMAN.encode()), GERMAN_LINES),
    "American": (
        "b.csv",
        AMERICAN.encode(),
        [
            ("100-1", "MUG", 1, "1234.50", "2024-05-13", "77", "US", "product"),
            ("100-2", "SHIPPING", 1, "5.00", "2024-05-14", "78", "US", "service"),
        ],
    ),
    "offsets": ("c.csv", OFFSETS.encode(), PACIFIC),
    "tabs in UTF-16, as Excel writes Unicode text": ("c.txt", utf_16(OFFSETS), PACIFIC),
    "tabs": ("c.tsv", OFFSETS.replace(",", "\t").encode(), PACIFIC),
    "Parquet": ("c.parquet", parquet(OFFSETS), PACIFIC),
    "an archive": ("c.zip", zipped(OFFSETS), PACIFIC),
    "pandas, with an index, and without descriptions": (
        "d.csv",
        PANDAS.encode(),
        [
            ("17.0", "A1", 6, "2.55", "2024-05-13", "17850", "United Kingdom", "product"),
            ("18.0", "A2", 12, "3.0", "2024-05-14", None, "United Kingdom", "product"),
        ],
    ),
    "WooCommerce": (
        "e.csv",
        WOOCOMMERCE.encode(),
        [
            ("5011", "MUG", 2, "9.50", "2024-05-13", "a@x.com", "DE", "product"),
            ("5011", "TEE", 1, "19.00", "2024-05-13", "a@x.com", "DE", "product"),
            ("5012", "MUG", 1, "9.50", "2024-05-14", "b@x.com", "FR", "product"),
            ("5012", "MUG", -1, "9.50", "2024-05-14", "b@x.com", "FR", "cancellation"),
        ],
    ),
    "Magento": (
        "f.csv",
        MAGENTO.encode(),
        [
            ("000000101", "24-MB01", 1, "34.0000", "2024-05-13", "a@x.com", "GB", "product"),
            ("000000101", "24-MB02", 2, "12.5000", "2024-05-13", "a@x.com", "GB", "product"),
            ("000000102", "24-MB01", 1, "34.0000", "2024-05-14", "b@x.com", "GB", "product"),
            ("000000102", "24-MB01", -1, "34.0000", "2024-05-14", "b@x.com", "GB", "cancellation"),
        ],
    ),
    "Shopify": (
        "g.csv",
        SHOPIFY.encode(),
        [
            ("#1001", "MUG", 2, "9.50", "2024-05-13", "a@x.com", "DE", "product"),
            ("#1001", "TAKEN BACK", -1, "5.00", "2024-05-13", "a@x.com", "DE", "cancellation"),
            ("#1001", "TEE", 1, "19.00", "2024-05-13", "a@x.com", "DE", "product"),
            ("#1002", "MUG", 1, "9.50", "2024-05-14", "b@x.com", "DE", "product"),
            ("#1002", "MUG", -1, "9.50", "2024-05-14", "b@x.com", "DE", "cancellation"),
        ],
    ),
    "apostrophes around fields, and parentheses around what is negative": (
        "k.csv",
        QUOTED.encode(),
        [
            ("1", "A1", 2, "2.50", "2024-05-13", "7", "US", "product"),
            ("2", "A2", -1, "1013.75", "2024-05-14", "8", "US", "cancellation"),
        ],
    ),
    "a report's head, and a minus behind what is negative": (
        "l.csv",
        REPORT.encode(),
        [
            ("1", "A1", 2, "2.50", "2024-05-13", "7", "Deutschland", "product"),
            ("2", "A2", -1, "13.75", "2024-05-14", "8", "Deutschland", "cancellation"),
        ],
    ),
    "subtotals between orders, which go to quarantine": (
        "n.csv",
        SUBTOTALS.encode(),
        [
            ("1", "A1", 2, "2.50", "2024-05-13", "7", "France", "product"),
            ("1", "A2", 1, "13.75", "2024-05-13", "7", "France", "product"),
            ("2", "A1", 1, "2.50", "2024-05-14", "8", "France", "product"),
        ],
    ),
    "Indian": (
        "m.csv",
        LAKHS.encode(),
        [
            ("INV/24-25/001", "A1", 2, "123456.50", "2024-05-13", "P7", "India", "product"),
            ("INV/24-25/002", "A2", 1, "13.75", "2024-05-14", "P8", "India", "product"),
        ],
    ),
    "headers that say nothing": (
        "h.csv",
        UNKNOWN.encode(),
        [
            ("90001", "X-1", 3, "2.50", "2024-05-13", "C1", "Unspecified", "product"),
            ("90001", "X-2", 1, "3.75", "2024-05-13", "C1", "Unspecified", "product"),
            ("90002", "X-1", 12, "2.50", "2024-05-14", "C2", "Unspecified", "product"),
            ("90003", "X-3", 2, "10.00", "2024-05-15", "C3", "Unspecified", "product"),
        ],
    ),
    "returns of their own numbers, and a country in two spellings": (
        "i.csv",
        RETURNS.encode(),
        [
            ("A100", "11", 2, "2.50", "2024-05-13", "1", "France", "product"),
            ("A101", "12", 1, "3.50", "2024-05-14", "2", "France", "product"),
            ("RA100", "11", -2, "2.50", "2024-05-14", "1", "France", "cancellation"),
        ],
    ),
    "Swiss": (
        "j.csv",
        SWISS.encode(),
        [
            ("1", "7", 1, "1234.50", "2024-05-13", "9", "CH", "product"),
            ("2", "7", 1, "0.50", "2024-05-14", "9", "CH", "product"),
        ],
    ),
}


def proposed(*paths: Path) -> Shop:
    return described_by(toml(propose([look(path) for path in paths], "A shop", {})), Path("shop.toml"))


@pytest.fixture
def landed(spark: SparkSession, tmp_path: Path) -> Callable[[Path, Shop], DataFrame]:
    """Lands a file as the shop has it; its raw rows."""

    def raw(path: Path, shop: Shop) -> DataFrame:
        os.utime(path, (0, 0))  # nobody writes to it any more
        zone = LandingZone(str(tmp_path / "landing"))
        land([path], zone, shop.layout, today=TODAY)
        drops = [(drop.path, drop.size, drop.modified_ns, drop.day) for drop in zone.drops(shop.name)]
        frame = spark.createDataFrame(drops, "path string, size bigint, modified_ns bigint, invoice_date date")
        return drop_rows(frame, shop.layout, "invoice_date")

    return raw


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_proposed_makes_clean_rows_of_every_kind_of_export(kind, landed, tmp_path):
    name, content, expected = KINDS[kind]
    path = tmp_path / name
    path.write_bytes(content)
    shop = proposed(path)
    raw = landed(path, shop)
    rows = clean_transactions(raw, shop.rules).orderBy("invoice_no", "stock_code", F.desc("quantity")).collect()
    found = [
        (*(row[name] for name in ("invoice_no", "stock_code", "quantity", "unit_price")), str(row.invoice_date))
        for row in rows
    ]
    who = [(row.customer_id, row.country, row.line_type) for row in rows]
    assert found == [(*line[:3], Decimal(line[3]), line[4]) for line in expected]
    assert who == [line[5:] for line in expected]
    money = raw.agg(F.sum(landed_money(shop.rules))).collect()[0][0]
    assert money == sum(row.line_total for row in rows if row.landed_rows)


CASES = {
    "cases/01-latin1": 0,
    "cases/03-semicolon-comma": 0,
    "cases/05-snake-headers": 0,
    "cases/06-header-repeated": 0,
    "cases/13-long-invoice": 0,
    "cases/14-float-quantity": 1,
    "cases/19-shopify": 0,
    "traps/23-null-words": 0,
    "traps/29-other-codes": 0,
}
"""Files beside the project, and the rows of each that are wrong in themselves: half a piece."""


@pytest.mark.parametrize("case", CASES)
def test_every_case_is_clean_as_proposed_and_here_as_in_silver(case, landed, tmp_path):
    path = SHARED / case / "in.csv"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    shop = proposed(path)
    lines = judged(*sample(Table(str(path), path.name, str(path)), shop, TODAY, None), shop.rules)
    assert sum(bool(line.reasons) for line in lines) == CASES[case]
    assert {line.line_type for line in lines} == {"product"}
    copy = Path(shutil.copy(path, tmp_path))
    rows = read_rows(landed(copy, shop), shop.rules).collect()
    names = ("invoice_no", "stock_code", "description", "quantity", "unit_price", "customer_id", "country")
    silver = [(row.invoice_date, *(row[f"typed_{name}"] for name in names)) for row in rows]
    here = [(line.day, *(getattr(line, name) for name in names)) for line in lines]
    assert sorted(silver, key=repr) == sorted(here, key=repr)
    assert sorted(tuple(row.reasons) for row in rows) == sorted(line.reasons for line in lines)


def test_no_customer_is_invented_where_words_mean_none():
    path = SHARED / "traps/23-null-words/in.csv"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    shop = proposed(path)
    lines = judged(*sample(Table(str(path), path.name, str(path)), shop, TODAY, None), shop.rules)
    assert shop.rules.first_line_only == ()
    assert {line.country for line in lines} == {"France", "Germany", "United Kingdom"}
    customers = {line.customer_id for line in lines if line.customer_id}
    assert all(customer.isdigit() for customer in customers)


def test_a_file_without_a_price_is_told_to_have_none(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("order id,sku,qty,date,country\n1,A1,2,2024-05-13,France\n")
    with pytest.raises(NothingToPropose, match=r"shows no column for unit_price. Its header is: order id, sku, qty"):
        proposed(path)


def test_the_total_of_a_line_is_not_taken_for_the_price_of_a_piece(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("order id,sku,qty,date,line total\n1,A1,2,2024-05-13,5.00\n2,A2,3,2024-05-14,41.25\n")
    with pytest.raises(NothingToPropose, match="line total are of whole lines; the price of one piece is needed"):
        proposed(path)


@pytest.mark.parametrize("written", ["1715595300", "Monday, 13 May 2024", "13. Mai 2024"])
def test_dates_that_nothing_reads_are_told(tmp_path, written):
    path = tmp_path / "a.csv"
    path.write_text(f"order id;sku;qty;date;price\n1;A1;2;{written};2.5\n")
    (told,) = [note for note in propose([look(path)], "A shop", {}).notes if note.startswith("Dates")]
    assert repr(written) in told


def test_headers_in_the_languages_of_the_north_and_prices_in_crowns_are_known(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "Ordernummer;Artikelnummer;Benämning;Antal;Orderdatum;Pris;Kundnummer;Land\n"
        "1;A1;Mugg;2;2024-05-13;1 002,50 kr;7;Sverige\n"
    )
    rules = proposed(path).rules
    assert (rules.dialect.decimal, rules.dialect.currencies) == (",", ("kr",))
    lines = judged(*sample(Table(str(path), path.name, str(path)), proposed(path), TODAY, None), rules)
    assert [(line.quantity, line.unit_price, line.reasons) for line in lines] == [(2, Decimal("1002.50"), ())]


def test_files_of_other_headers_add_theirs(tmp_path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("order id,sku,qty,date,price\n1,A1,2,2024-05-13,2.5\n")
    second.write_text("order number,sku,quantity,date,price\n2,A1,2,2024-05-13,2.5\n")
    shop = proposed(first, second)
    assert shop.layout.columns["invoice_no"] == ("order id", "order number")
    assert shop.layout.columns["quantity"] == ("qty", "quantity")
    assert shop.layout.columns["unit_price"] == ("price",)
