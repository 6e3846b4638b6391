"""Landing Olist's files: months of purchase, references, comments of several lines, archives, and what is wrong."""

import csv
import gzip
import os
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from retail_assets.cli import main
from retail_assets.landing.consent import Consent
from retail_assets.landing.drop_reader import DropRefused, read_drop
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.landing import FACTS, REFERENCES, LandedFiles, land
from retail_assets.operations.bronze import layout_of
from retail_assets_tests.olist.made_marketplace import month_of, together

LAYOUTS = {table: layout_of(contract, table) for table, contract in (FACTS | REFERENCES).items()}
TODAY = date(2018, 6, 1)


def delivered(directory: Path, *months: str, **other: str) -> Path:
    """The published files with the orders of these months; `other` columns of every review."""
    rows = together(month_of(month) for month in months)
    for review in rows["raw_order_reviews"]:
        review |= other
    for table, layout in LAYOUTS.items():
        write(directory / f"olist_{table}_dataset.csv", list(layout.columns), rows[f"raw_{table}"])
    return directory


def write(path: Path, columns: list[str], rows: list[Mapping[str, str]] | list[dict[str, str]]) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
        writer.writeheader()
        writer.writerows(rows)


class Zone:
    """A landing zone of Olist's."""

    def __init__(self, root: Path) -> None:
        self.zone, self.directory = LandingZone(str(root)), root / "olist"

    def land(self, *paths: Path, consent: Consent | None = None) -> LandedFiles:
        for file in (one for path in paths for one in (path.iterdir() if path.is_dir() else [path])):
            os.utime(file, (0, 0))  # files that were written just now are waited for
        return land(paths, self.zone, today=TODAY, consent=consent or Consent())

    def rows(self, table: str, column: str) -> dict[str, list[str | None]]:
        """Drop -> the values of a column."""
        drops = sorted((self.directory / table).glob("*.csv"))
        return {
            drop.name: [value for batch in read_drop(str(drop), LAYOUTS[table]) for value in batch[column].to_pylist()]
            for drop in drops
        }

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Everything that lies there beside the calendar, and when it was written."""
        every = (path for path in sorted(self.directory.rglob("*")) if path.is_file() and path.parent != self.directory)
        return {str(path.relative_to(self.directory)): (path.read_bytes(), path.stat().st_mtime_ns) for path in every}


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(tmp_path / "landing")


def test_facts_lie_by_the_month_of_their_orders_purchase_and_references_whole(zone: Zone, tmp_path: Path):
    landed = zone.land(delivered(tmp_path / "files", "2017-01", "2017-03"))
    for table, rows in (("orders", 3), ("order_items", 4), ("order_payments", 4), ("order_reviews", 3)):
        found = zone.rows(table, "order_id")
        assert {name: len(orders) for name, orders in found.items()} == {
            f"olist_{table}_2017-01-01.csv": rows, f"olist_{table}_2017-03-01.csv": rows,
        }  # fmt: skip
        assert all(str(order)[:7] in name for name, orders in found.items() for order in orders)
    assert zone.rows("products", "product_id") == {"olist_products_2000-01-01.csv": ["lamp", "game", "thing"]}
    assert (landed.first_day, landed.last_day) == (date(2017, 1, 1), date(2017, 3, 31))
    assert (zone.directory / "_calendar.json").read_text() == '{"first_day": "2017-01-01", "last_day": "2017-03-31"}\n'


def test_comments_of_several_lines_stay_one_row(zone: Zone, tmp_path: Path):
    comment = 'Não gostei:\nveio "errado",\n\nde novo'
    zone.land(delivered(tmp_path / "files", "2017-01", review_comment_message=comment))
    [comments] = zone.rows("order_reviews", "review_comment_message").values()
    assert comments == [comment] * 3


@pytest.mark.parametrize("form", ["directory", "files", "gzipped", "archive"])
def test_the_same_lies_there_in_whatever_form_the_files_come(zone: Zone, tmp_path: Path, form: str):
    files = delivered(tmp_path / "files", "2017-01")
    paths = sorted(files.iterdir())
    if form == "gzipped":
        paths = [path.with_name(f"{path.name}.gz") for path in paths]
        for path in paths:
            path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    if form == "archive":
        archive = tmp_path / "archive.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for path in paths:
                packed.write(path, f"brazilian-ecommerce/{path.name}")
            packed.writestr("brazilian-ecommerce/notes.csv", "a,b\n1,2\n")
        paths = [archive]
    landed = zone.land(*([files] if form == "directory" else paths))
    assert {table: of.rows for table, of in landed.tables.items()} == {
        "orders": 3, "order_items": 4, "order_payments": 4, "order_reviews": 3, "customers": 3, "products": 3,
        "sellers": 2, "geolocation": 4, "category_translation": 1,
    }  # fmt: skip
    assert len(landed.left_out) == (form == "archive")
    assert zone.rows("orders", "order_status") == {"olist_orders_2017-01-01.csv": ["delivered", "delivered", "shipped"]}


def test_landing_again_changes_nothing_and_a_correction_replaces_its_months_alone(zone: Zone, tmp_path: Path):
    files = delivered(tmp_path / "files", "2017-01", "2017-02")
    zone.land(files)
    before = zone.files()
    assert [of.replaced for of in zone.land(files).tables.values()] == [[]] * 9
    assert zone.files() == before
    corrected = delivered(tmp_path / "corrected", "2017-02", review_score="3") / "olist_order_reviews_dataset.csv"
    landed = zone.land(corrected)
    assert landed.tables["order_reviews"].replaced == [date(2017, 2, 1)]
    assert zone.rows("order_reviews", "review_score") == {
        "olist_order_reviews_2017-01-01.csv": ["1", "4", "5"], "olist_order_reviews_2017-02-01.csv": ["3", "3", "3"],
    }  # fmt: skip
    changed = {name for name, file in zone.files().items() if before.get(name) != file}
    assert {Path(name).parts[0] for name in changed} == {"order_reviews"}


def test_items_landed_after_their_orders_find_their_months(zone: Zone, tmp_path: Path):
    files = delivered(tmp_path / "files", "2017-01", "2017-02")
    zone.land(files / "olist_orders_dataset.csv")
    zone.land(files / "olist_order_items_dataset.csv")
    assert {name: len(rows) for name, rows in zone.rows("order_items", "order_id").items()} == {
        "olist_order_items_2017-01-01.csv": 4, "olist_order_items_2017-02-01.csv": 4,
    }  # fmt: skip


def test_rows_without_an_order_are_kept_in_the_month_of_their_own_date_or_of_the_row_before(zone: Zone, tmp_path: Path):
    files = delivered(tmp_path / "files", "2017-01", "2017-02")
    columns = list(LAYOUTS["order_items"].columns)
    strangers = [
        {"order_id": "own date", "shipping_limit_date": "2017-02-11 00:00:00", "price": "1.00"},
        {"order_id": "far date", "shipping_limit_date": "2031-02-11 00:00:00", "price": "1.00"},
        {"order_id": "no date", "shipping_limit_date": "", "price": "1.00"},
    ]
    write(files / "olist_order_items_dataset.csv", columns, strangers)
    landed = zone.land(files)
    assert landed.tables["order_items"].undated == 2
    assert zone.rows("order_items", "order_id") == {
        "olist_order_items_2017-01-01.csv": [],
        "olist_order_items_2017-02-01.csv": ["own date", "far date", "no date"],
    }


def test_an_order_without_a_date_and_a_ragged_line_are_kept_too(zone: Zone, tmp_path: Path):
    files = delivered(tmp_path / "files", "2017-01")
    with (files / "olist_orders_dataset.csv").open("a") as file:
        file.write("undated,nobody,created,,,,,\nragged,line\n")
    landed = zone.land(files)
    assert (landed.tables["orders"].malformed, landed.tables["orders"].undated) == (1, 1)
    assert zone.rows("orders", "malformed_line")["olist_orders_2017-01-01.csv"] == [None] * 4 + ["ragged,line"]


def test_a_month_far_from_all_others_does_not_stretch_the_calendar(zone: Zone, tmp_path: Path):
    files = delivered(tmp_path / "files", *(f"2017-{month:02}" for month in range(1, 13)))
    orders = files / "olist_orders_dataset.csv"
    orders.write_text(orders.read_text().replace("2017-12-04 10:00:00", "2011-12-04 10:00:00"))
    landed = zone.land(files)
    assert (landed.first_day, landed.last_day) == (date(2017, 1, 1), date(2017, 12, 31))
    assert sum(map(len, zone.rows("orders", "order_id").values())) == 36


def test_a_month_of_orders_without_an_item_says_so(zone: Zone, tmp_path: Path):
    files = delivered(tmp_path / "files", "2017-01", "2017-02")
    items = files / "olist_order_items_dataset.csv"
    items.write_text("".join(line for line in items.open() if "2017-02" not in line))
    zone.land(files)
    assert {name: len(rows) for name, rows in zone.rows("order_items", "order_id").items()} == {
        "olist_order_items_2017-01-01.csv": 4, "olist_order_items_2017-02-01.csv": 0,
    }  # fmt: skip


def test_a_file_of_no_table_is_refused_by_name_and_nothing_has_changed(zone: Zone, tmp_path: Path):
    files = delivered(tmp_path / "files", "2017-01")
    stranger = tmp_path / "leads.csv"
    stranger.write_text("order_id,order_item_id,product_id\n1,1,1\n")
    with pytest.raises(DropRefused, match=r"leads\.csv: has no column for"):
        zone.land(files, stranger)
    assert list(zone.directory.glob("*/*")) == []
    with pytest.raises(DropRefused, match="nothing to land"):
        zone.land(stranger.parent / "landing")


def test_months_that_would_lose_most_of_their_rows_are_asked_about(zone: Zone, tmp_path: Path):
    files = delivered(tmp_path / "files", "2017-01")
    zone.land(files)
    items = files / "olist_order_items_dataset.csv"
    items.write_text("".join(items.open().readlines()[:2]))
    before = zone.files()
    with pytest.raises(DropRefused, match="--fewer-rows"):
        zone.land(items)
    assert zone.files() == before
    zone.land(items, consent=Consent(fewer_rows="replace"))
    assert len(zone.rows("order_items", "order_id")["olist_order_items_2017-01-01.csv"]) == 1


def test_what_a_landing_replaced_can_be_brought_back(zone: Zone, tmp_path: Path):
    zone.land(delivered(tmp_path / "files", "2017-01", "2017-02"))
    calendar = (zone.directory / "_calendar.json").read_text()
    before = zone.rows("order_reviews", "review_score"), zone.rows("sellers", "seller_id")
    changed = delivered(tmp_path / "changed", "2017-02", review_score="3")
    sellers = changed / "olist_sellers_dataset.csv"
    sellers.write_text(sellers.read_text().replace("ana", "eva"))
    reviews = changed / "olist_order_reviews_dataset.csv"
    landed = zone.land(reviews, sellers)
    assert zone.rows("sellers", "seller_id") == {"olist_sellers_2000-01-01.csv": ["eva", "rui"]}
    environment = {"RETAIL_LANDING": str(zone.directory.parent)}
    numbers = {str(landed.tables[table].landing) for table in ("order_reviews", "sellers")}
    runner = CliRunner(env=environment)
    told = runner.invoke(main, ["landings", "--source", "olist"]).output
    assert all(number in told for number in numbers)
    assert "olist_sellers_2000-01-01.csv" in told
    for number in numbers:
        done = runner.invoke(main, ["bring-back", "--source", "olist", number, "--yes"])
        assert done.exit_code == 0, done.output
    assert (zone.rows("order_reviews", "review_score"), zone.rows("sellers", "seller_id")) == before
    assert (zone.directory / "_calendar.json").read_text() == calendar
