"""SQL over a lakehouse: names, types, history, errors that name what is meant; and nothing that writes."""

import csv
import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from retail_assets.project import project_root
from retail_assets.sql.door import Door, NotAnswered, When
from retail_assets.sql.export import export
from retail_assets.sql.shell import converse
from retail_assets.sql.tables import NotReadable, duckdb_type, tables_in


@pytest.fixture
def door(lakehouse: Path) -> Door:
    return Door(str(lakehouse))


def rows(door: Door, query: str) -> list[tuple[object, ...]]:
    answer = door.answer(query)
    assert answer is not None
    return answer.fetchall()


def refused(door: Door, query: str) -> str:
    with pytest.raises(NotAnswered) as error:
        door.answer(query)
    return str(error.value)


def test_every_table_has_the_rows_columns_and_types_of_its_log(door, lakehouse):
    for table in tables_in(str(lakehouse)):
        log = DeltaTable(str(table.place))
        described = rows(door, f"DESCRIBE {table.full_name}")
        assert [row[0] for row in described] == [field.name for field in log.schema().fields]
        assert rows(door, f"SELECT count(*) FROM {table.full_name}") == [(log.count(),)]


def test_money_is_decimal_days_are_dates_and_what_lies_in_paths_is_a_column(door):
    described = {row[0]: row[1] for row in rows(door, "DESCRIBE online_retail.customer_rfm")}
    assert (described["monetary"], described["snapshot_month"]) == ("DECIMAL(18,3)", "DATE")
    assert {row[0] for row in rows(door, "SELECT DISTINCT snapshot_month FROM online_retail.customer_rfm")} == {
        date(2011, 1, 1),
        date(2011, 2, 1),
    }


def test_types_of_every_kind_are_read_as_duckdbs():
    assert duckdb_type("decimal(18,3)") == "DECIMAL(18,3)"
    assert duckdb_type({"type": "array", "elementType": "string"}) == "VARCHAR[]"
    assert duckdb_type({"type": "map", "keyType": "string", "valueType": "long"}) == "MAP(VARCHAR, BIGINT)"
    assert duckdb_type({"type": "struct", "fields": [{"name": "a", "type": "date"}]}) == 'STRUCT("a" DATE)'


def test_the_current_view_is_the_newest_snapshot(door):
    newest = rows(door, "SELECT * FROM online_retail.customer_rfm WHERE snapshot_month = '2011-02-01' ORDER BY ALL")
    assert rows(door, "FROM online_retail.customer_rfm_current ORDER BY ALL") == newest
    assert len(newest) > 0


def test_only_the_files_that_a_condition_asks_for_are_read(door):
    question = (
        "EXPLAIN ANALYZE SELECT sum(monetary) FROM online_retail.customer_rfm WHERE snapshot_month < '2011-02-01'"
    )
    ((_, plan),) = rows(door, question)
    assert "snapshot_month=2011-01-01" in str(plan)
    assert "snapshot_month=2011-02-01" not in str(plan)


def test_a_table_that_one_source_alone_has_needs_no_schema_and_one_of_several_does(door, lakehouse):
    assert rows(door, "SELECT count(*) FROM orders_master") == [(3,)]
    assert refused(door, "FROM daily_metrics") == (
        "Several sources have a table daily_metrics: say which, olist.daily_metrics or online_retail.daily_metrics."
    )
    assert rows(Door(str(lakehouse), source="olist"), "SELECT count(*) FROM daily_metrics") == [(3,)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("FROM online_retail.customer_rfn", "Did you mean online_retail.customer_rfm?"),
        ("FROM online_retial.customer_rfm", "Did you mean online_retail.customer_rfm?"),
        ("FROM custmer_rfm_current", "Did you mean online_retail.customer_rfm?"),
        ("FROM nothing_like_it", "No table is called nothing_like_it. retail tables lists all."),
        ("SELECT monetery FROM customer_rfm", "monetary"),
        ("SELEC 1", "LINE 1: SELEC 1"),
        ("COPY customer_rfm TO 'x.csv'", "COPY is not done here: tables are only read"),
        ("EXPLAIN ANALYZE COPY customer_rfm TO 'x.csv'", "COPY is not done here"),
        ("DELETE FROM online_retail.customer_rfm", "DELETE is not done here"),
        ("ATTACH 'x.duckdb'", "ATTACH is not done here"),
        ("CREATE SECRET s (TYPE s3)", "CREATE is not done here"),
        ("SELECT 1; INSTALL delta", "is not done here"),
    ],
)
def test_what_cannot_be_answered_says_what_is_meant_and_writes_nothing(door, query, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused(door, query)
    assert list(tmp_path.iterdir()) == []


def test_views_and_variables_of_a_session_are_kept_in_memory(door):
    door.answer("SET VARIABLE least = 2")
    door.answer("CREATE TEMP VIEW frequent AS FROM online_retail.customer_rfm WHERE frequency >= getvariable('least')")
    assert rows(door, "SELECT min(frequency) >= 2 FROM frequent") == [(True,)]


def test_all_tables_are_listed_by_the_information_schema(door):
    listed = rows(door, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'online_retail'")
    assert {("customer_rfm",), ("customer_rfm_current",), ("geo_metrics",)} <= set(listed)


@pytest.fixture
def priced(tmp_path: Path) -> Path:
    """A table with two versions and a column that came with the second, in a directory with a name to be quoted."""
    place = tmp_path / "it's=here" / "shop" / "prices"
    place.parent.mkdir(parents=True)
    first = pa.table({"code": ["a"], "month": pa.array([date(2020, 1, 1)])})
    write_deltalake(str(place), first, partition_by=["month"])
    second = pa.table({"code": ["b"], "month": pa.array([date(2020, 2, 1)]), "price": pa.array([Decimal("2.500")])})
    write_deltalake(str(place), second, mode="append", schema_mode="merge")
    return tmp_path / "it's=here"


def test_files_from_before_a_column_was_added_are_read_with_null(priced):
    assert rows(Door(str(priced)), "SELECT code, price, month FROM prices ORDER BY code") == [
        ("a", None, date(2020, 1, 1)),
        ("b", Decimal("2.500"), date(2020, 2, 1)),
    ]


def test_a_table_is_read_as_of_a_version_a_moment_and_beside_itself(priced):
    assert rows(Door(str(priced), When(versions={"prices": 0})), "SELECT code FROM prices") == [("a",)]
    both = 'SELECT (SELECT count(*) FROM shop."prices@0"), (SELECT count(*) FROM shop.prices)'
    assert rows(Door(str(priced)), both) == [(1, 2)]
    now, long_ago = datetime.now(UTC) + timedelta(minutes=1), datetime(2020, 1, 1, tzinfo=UTC)
    assert rows(Door(str(priced), When(now)), "SELECT count(*) FROM prices") == [(2,)]
    assert "has no version as old as 2020-01-01" in refused(Door(str(priced), When(long_ago)), "FROM prices")
    assert "retail history shop.prices shows its versions" in refused(Door(str(priced)), 'FROM shop."prices@7"')
    with pytest.raises(NotAnswered, match=r"Did you mean shop\.prices"):
        Door(str(priced), When(versions={"shop.price": 0}))


def test_a_version_whose_files_are_gone_says_so(priced):
    write_deltalake(str(priced / "shop" / "prices"), pa.table({"code": ["c"]}), mode="overwrite", schema_mode="merge")
    for file in (priced / "shop" / "prices").glob("month=2020-01-01/*.parquet"):
        file.unlink()
    with pytest.raises(NotReadable, match="RETAIL_RETENTION_DAYS"):
        tables_in(str(priced))[0].version(0)


def test_an_empty_table_has_its_columns(tmp_path):
    write_deltalake(str(tmp_path / "shop" / "nothing"), pa.table({"a": pa.array([], pa.int64())}))
    door = Door(str(tmp_path))
    assert rows(door, "SELECT count(*), typeof(max(a)) FROM nothing") == [(0, "BIGINT")]


def test_without_a_lakehouse_it_says_how_to_make_one(tmp_path):
    with pytest.raises(NotAnswered, match="Make them first: retail run"):
        Door(str(tmp_path / "nowhere"))


def test_the_prompt_answers_over_several_lines_and_goes_on_after_an_error(door, capfd):
    asked = [".tables olist", ".schema orders_master", "SELECT 41", "  + 1 AS answer", ";", "FROM nix;"]
    lines = iter([*asked, "SELECT CAST(order_id AS INTEGER) FROM orders_master WHERE order_id = 'a';", ".quit"])
    converse(door, lambda _: next(lines))
    said = capfd.readouterr()
    assert "olist.orders_master" in said.out
    assert "online_retail" not in said.out
    assert "order_total_value                DECIMAL(18,3)" in said.out
    assert "42" in said.out
    assert "No table is called nix." in said.err
    assert "Could not convert string 'a' to INT32" in said.err


@pytest.mark.parametrize("data", [False, True], ids=["views", "data"])
def test_an_exported_file_is_answered_from_by_duckdb_alone(lakehouse, tmp_path, data):
    file = tmp_path / "retail.duckdb"
    tables = tables_in(str(lakehouse))
    assert export(tables, file, data) == len(tables)
    assert [path.name for path in tmp_path.iterdir()] == ["retail.duckdb"]
    # The versions of DuckDB that come with BI tools read it, and find the types that the views say.
    assert int.from_bytes(file.read_bytes()[12:20], "little") == 64
    with duckdb.connect(str(file), read_only=True) as connection:
        told = "FROM duckdb_columns() WHERE schema_name LIKE '%_metrics' AND data_type LIKE 'DECIMAL%'"
        assert connection.execute(f"SELECT DISTINCT data_type {told}").fetchall() == [("DECIMAL(18,3)",)]
        asked = "SELECT count(*), max(snapshot_month) FROM online_retail.customer_rfm_current"
        ((count, month),) = connection.execute(asked).fetchall()
        assert (count > 0, month) == (True, date(2011, 2, 1))
        assert connection.execute("SELECT orders FROM olist_metrics.in_all").fetchall() == [(3,)]
        (comment,) = connection.execute(
            "SELECT comment FROM duckdb_columns() WHERE schema_name = 'online_retail' "
            "AND table_name = 'customer_rfm' AND column_name = 'recency_days'"
        ).fetchone() or ("",)
        assert comment == "Days from the last purchase to the as-of date [days]"


def test_the_command_answers_as_csv_json_and_parquet_and_loads_neither_dagster_nor_pandera(lakehouse, tmp_path):
    code = (
        "import sys, os; sys.argv = ['retail', *sys.argv[1:]]\n"
        "from retail_assets.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'dagster', 'pandera', 'pyspark'} & set(sys.modules)), file=sys.stderr)"
    )

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, "sql", *arguments],
            env={"RETAIL_LAKEHOUSE": str(lakehouse), "DAGSTER_HOME": str(tmp_path / "home"), "PATH": "/usr/bin"},
            cwd=project_root(),
            capture_output=True,
            text=True,
        )

    question = "SELECT order_id, order_total_value FROM orders_master ORDER BY ALL"
    as_csv = ask(question, "--format", "csv")
    assert as_csv.stderr.strip() == "[]"
    assert list(csv.reader(io.StringIO(as_csv.stdout)))[1:] == [["a", "0.998"], ["b", "0.005"], ["c", "7.500"]]
    assert json.loads(ask(question, "--format", "json").stdout)[0] == {"order_id": "a", "order_total_value": 0.998}
    file = tmp_path / "orders.parquet"
    ask(question, "--output", str(file))
    with duckdb.connect() as connection:
        summed = connection.execute(f"SELECT sum(order_total_value) FROM '{file}'").fetchall()
    assert summed == [(Decimal("8.503"),)]
