"""`retail shop new` writes a description that `retail land` goes by; what all would end in quarantine is not landed."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from retail_assets.cli import main
from retail_assets.shops.description import described

EXPORT = """Beleg;Artikelnummer;Bezeichnung;Menge;Datum;Preis;Kunde;Land
R-1;A-17;Tasse;2;13.05.2024;12,30;K1;DE
R-1;A-18;Kanne;1;13.05.2024;1.234,50;K1;DE
R-2;A-17;Tasse;1;14.05.2024;12,30;K2;DE
"""
FRENCH_OR_AMERICAN = "order id,sku,qty,date,price,country\n1,A1,2,1/2/2024,2.5,\n2,A1,1,2/2/2024,2.5,\n"


@pytest.fixture
def retail(tmp_path, monkeypatch):
    """Runs the command in an installation of its own; what stands in `terminal` is typed at a terminal."""
    for name in ("SHOPS", "LANDING", "LAKEHOUSE"):
        monkeypatch.setenv(f"RETAIL_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "export.csv").write_text(EXPORT)

    def run(*words: object, terminal: str | None = None) -> Result:
        if terminal is not None:
            monkeypatch.setattr("retail_assets.shop_commands.is_terminal", lambda: True)
        return CliRunner().invoke(main, [str(word) for word in words], input=terminal)

    return run


def landed(tmp_path: Path, shop: str) -> list[str]:
    return sorted(path.name for path in (tmp_path / "landing" / shop).glob("*.csv"))


def test_a_shop_is_described_from_its_files_and_lands_them(retail, tmp_path):
    told = retail("shop", "new", "laden", tmp_path / "export.csv")
    assert told.exit_code == 0, told.output
    assert "3 of 3 rows would be clean." in told.output
    assert "1234.50" in told.output
    shop = described(tmp_path / "shops" / "laden.toml")
    assert (shop.name, shop.currency, shop.layout.dialect.decimal) == ("laden", "EUR", ",")
    told = retail("land", "--source", "laden", tmp_path / "export.csv")
    assert told.exit_code == 0, told.output
    assert landed(tmp_path, "laden") == ["laden_2024-05-13.csv", "laden_2024-05-14.csv"]


def test_a_description_that_is_there_is_not_replaced_unasked(retail, tmp_path):
    retail("shop", "new", "laden", tmp_path / "export.csv")
    path = tmp_path / "shops" / "laden.toml"
    path.write_text(path.read_text().replace('"laden"', '"Mein Laden"'))
    told = retail("shop", "new", "laden", tmp_path / "export.csv")
    assert told.exit_code != 0
    assert "is there already" in told.output
    assert described(path).title == "Mein Laden"
    assert retail("shop", "new", "laden", tmp_path / "export.csv", "--replace", "--currency", "CHF").exit_code == 0
    assert (described(path).title, described(path).currency) == ("laden", "CHF")


def test_what_no_file_says_is_guessed_and_said_or_asked_at_a_terminal(retail, tmp_path):
    path = tmp_path / "dates.csv"
    path.write_text(FRENCH_OR_AMERICAN)
    told = retail("shop", "new", "silent", path)
    assert "Guessed: [dates] day_first: no day is beyond the 12th" in told.output
    assert "# a guess: no file says it" in (tmp_path / "shops" / "silent.toml").read_text()
    told = retail("shop", "new", "asked", path, terminal="USD\nmonth first\n")
    assert told.exit_code == 0, told.output
    shop = described(tmp_path / "shops" / "asked.toml")
    assert (shop.currency, shop.layout.dialect.day_first) == ("USD", False)
    assert "# a guess" not in (tmp_path / "shops" / "asked.toml").read_text()


def test_a_name_or_a_file_that_cannot_be_is_refused(retail, tmp_path):
    assert "cannot name a shop" in retail("shop", "new", "My-Shop", tmp_path / "export.csv").output
    assert "is not there" in retail("shop", "new", "laden", tmp_path / "nowhere.csv").output
    (tmp_path / "thin.csv").write_text("sku,qty\nA1,2\n")
    assert "shows no column for invoice_no, invoice_ts, unit_price" in (
        retail("shop", "new", "laden", tmp_path / "thin.csv").output
    )
    assert not (tmp_path / "shops").exists()


def test_what_would_all_be_in_quarantine_lands_with_anyway_alone(retail, tmp_path):
    path = tmp_path / "other.csv"
    header = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
    path.write_text(header + "SO-1,85123A,MUG,6,2010-12-01,2.55,17850,France\n" * 5)
    told = retail("land", "--source", "online_retail", path)
    assert told.exit_code != 0
    assert 'pattern = "SO-[0-9]+"' in told.output
    assert landed(tmp_path, "online_retail") == []
    assert retail("land", "--source", "online_retail", "--anyway", path).exit_code == 0
    assert landed(tmp_path, "online_retail") == ["online_retail_2010-12-01.csv"]
