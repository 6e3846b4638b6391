"""The search finds an id in whatever holds it, and takes no figure for one."""

import gzip
import json
import sqlite3
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retail_assets.erasure.logs import erase_from_files
from retail_assets.erasure.search import Ids, left_in, search

IDS = Ids({"13085", "a.b@c.de"}, {"15036"})


@pytest.mark.parametrize(
    "text", ["13085", "x=13085;", "13085.0", '"13085"', "customer 13085.", "to a.b@c.de!", "(13085)"]
)
def test_an_id_by_itself_is_found(text: str):
    assert IDS.within(text)
    assert "13085" not in IDS.without(text, "")


@pytest.mark.parametrize("text", ["113085", "130850", "13085.5", "2.13085", "a13085", "13085f", "a1b@c.de", "15036"])
def test_what_only_has_its_digits_is_none(text: str):
    assert not IDS.within(text)


def _parquet(path: Path) -> None:
    nested = pa.array([["x", "of 13085"]])
    pq.write_table(pa.table({"stock_code": ["13085"], "n": [13085], "keys": nested, "customer_id": ["15036"]}), path)


def _database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE events (body TEXT)")
        database.execute("CREATE TABLE params (value TEXT)")
        database.execute("INSERT INTO params VALUES ('13085')")
        for body in ({"rows": 13085}, {"keys": json.dumps(["13085"])}):
            database.execute("INSERT INTO events VALUES (?)", [json.dumps(body)])


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member.txt", "for 13085\n" * 100)


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (_parquet, ["column keys", "column customer_id"]),
        (_database, ["events.body"]),
        (_zip, ["member.txt"]),
        (lambda path: path.write_bytes(gzip.compress(b"13085")), [""]),
        (lambda path: path.write_bytes(b"\0\xff13085\0"), [""]),
        (lambda path: path.write_text('{"size": 13085}\n{"size": 13085, "of": "x"}\n'), []),
        (lambda path: path.write_text('{"size": 13085}\n{"of": "13085"}\n'), [""]),
        (lambda path: path.write_text(""), []),
    ],
)
def test_in_whatever_it_is_stored(tmp_path: Path, make, where):
    make(tmp_path / "file")
    assert list(left_in(tmp_path / "file", IDS)) == where
    assert [found.where for found in search([tmp_path], IDS)] == where


def test_over_the_edge_of_two_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("retail_assets.erasure.search._PIECE", 8)
    (tmp_path / "file").write_text("-----13085-----")
    assert list(left_in(tmp_path / "file", IDS)) == [""]


def test_records_lose_the_id_to_the_byte_and_keep_their_figures(tmp_path: Path):
    _database(tmp_path / "home.db")
    (tmp_path / "run.log").write_text("refused: 13085\n")
    (tmp_path / "forget").mkdir()
    (tmp_path / "forget" / "request.json").write_text('["13085"]')
    assert erase_from_files(tmp_path, IDS, but=tmp_path / "forget") == 2
    assert (tmp_path / "run.log").read_text() == "refused: [forgotten]\n"
    assert b'["13085"]' not in (tmp_path / "home.db").read_bytes().replace(b"\\", b"")
    with sqlite3.connect(tmp_path / "home.db") as database:
        bodies = [json.loads(body) for (body,) in database.execute("SELECT body FROM events ORDER BY rowid")]
    assert bodies == [{"rows": 13085}, {"keys": '["[forgotten]"]'}]
    assert (tmp_path / "forget" / "request.json").read_text() == '["13085"]'
