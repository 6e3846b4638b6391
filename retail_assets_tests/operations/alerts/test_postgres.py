"""The production storage: alerts and the bookkeeping of tables on a real PostgreSQL server, restarted in between."""

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy
import yaml
from dagster import AssetKey, DagsterEventType, DagsterInstance
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.utils import DagsterPostgresException

from retail_assets.lakehouse.gathered_events import stored_together
from retail_assets.lakehouse.postgres_event_log import GatheringPostgresEventLogStorage
from retail_assets.operations.alerts.problems import SETTLED_AFTER_SECONDS
from retail_assets.project import project_root
from retail_assets_tests.operations.alerts import shop
from retail_assets_tests.operations.alerts.servers import Endpoint, http_endpoint
from retail_assets_tests.operations.alerts.test_alerter import SALES, Listener, make
from retail_assets_tests.operations.postgres import Postgres

DEPLOY = project_root() / "deploy"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    started = Postgres()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def instance(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    """An instance by the production settings, as they lie in deploy/."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(DEPLOY / "dagster.yaml", home / "dagster.yaml")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**server.environment, "DAGSTER_HOME": str(home)}.items():
            patch.setenv(name, value)
        with DagsterInstance.from_config(str(home)) as opened:
            yield opened


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with http_endpoint() as opened:
        yield opened
    for planted in shop.FAULTS.values():
        planted.clear()


def test_production_differs_from_the_local_default_in_its_storage_and_its_logs_alone():
    local, production = (
        yaml.safe_load(path.read_text()) for path in (project_root() / "dagster.yaml", DEPLOY / "dagster.yaml")
    )
    assert local.pop("event_log_storage")["class"] == "OpenSqliteEventLogStorage"
    assert production.pop("storage")["custom"]["class"] == "PostgresStorage"
    assert set(production.pop("python_logs")) == {"dagster_handler_config"}
    assert local == production


def test_what_a_run_logs_is_also_one_json_object_a_line(instance, capfd):
    shop.FAULTS[shop.BROKEN] = {shop.BROKEN}
    run = make(instance, "2011-01-03")
    shop.FAULTS[shop.BROKEN].clear()
    # Others write to the same stream and need not have ended their line.
    objects = [row.partition('{"timestamp"') for row in capfd.readouterr().err.splitlines()]
    lines = [json.loads(begin + rest) for _, begin, rest in objects if begin]
    assert {each["run_id"] for each in lines} == {run.run_id}
    assert [each["event"] for each in lines if "event" in each][-1] == "RUN_FAILURE"
    (failure,) = [each for each in lines if each.get("event") == "STEP_FAILURE"]
    assert (failure["level"], failure["step"], failure["partition"]) == ("error", "shop__sales", "2011-01-03")
    assert "ValueError: the till is locked" in failure["error"]
    assert datetime.fromisoformat(failure["timestamp"]).tzinfo == UTC


def test_a_range_of_partitions_is_recorded(instance):
    assert isinstance(instance.event_log_storage, GatheringPostgresEventLogStorage)
    days = shop.DAYS.get_partition_keys()[:10]
    with stored_together(instance):
        assert make(instance, days[0], days[-1]).success
    assert instance.get_materialized_partitions(AssetKey(["shop", "sales"])) == set(days)
    checked = instance.event_log_storage.get_asset_check_partition_info([*shop.sales.check_keys])
    assert {(info.check_key.name, info.partition_key) for info in checked} == {
        (name, day) for name in ("contract", "volume") for day in days
    }
    latest = instance.event_log_storage.get_latest_storage_id_by_partition(
        AssetKey(["shop", "sales"]), DagsterEventType.ASSET_MATERIALIZATION
    )
    assert set(latest) == set(days)


def test_failures_are_told_over_a_restart_of_the_storage(instance, server, endpoint):
    listener = Listener(instance, endpoint, "retail_alerts/restarted")
    shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-04"}
    make(instance, "2011-01-04")
    server.stop()
    server.start()
    assert listener.tick() == [("failed", "check", SALES, ["2011-01-04"])]
    server.stop()
    server.start()
    assert listener.tick() == []
    shop.FAULTS[shop.REFUSED_DAYS] = set()
    make(instance, "2011-01-04")
    assert listener.tick() == [("recovered", "check", SALES, ["2011-01-04"])]


@pytest.mark.long
def test_a_tick_while_the_storage_is_away_tells_nothing_and_loses_nothing(instance, server, endpoint):
    listener = Listener(instance, endpoint)
    shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-07"}
    make(instance, "2011-01-07")
    server.stop()
    with pytest.raises(DagsterPostgresException, match="too many retries"):
        listener.tick()
    assert endpoint.requests == []
    server.start()
    assert listener.tick() == [("failed", "check", SALES, ["2011-01-07"])]


def test_an_event_that_becomes_visible_after_one_with_a_higher_id_is_still_told(instance, endpoint):
    """PostgreSQL gives ids before it commits: two writers' events may appear in the other order."""
    row = failed_row(instance, "2011-01-05")
    listener = Listener(instance, endpoint)
    with engine_of(instance).connect().execution_options(isolation_level="READ COMMITTED") as slow:
        slow.execute(sqlalchemy.text(INSERT), row)  # has its id, and is not committed
        make(instance, "2011-01-06")
        assert listener.tick() == [("failed", "check", SALES, ["2011-01-06"])]
        slow.commit()
    assert listener.tick(later=SETTLED_AFTER_SECONDS / 2) == [("failed", "check", SALES, ["2011-01-05"])]
    assert listener.tick(later=SETTLED_AFTER_SECONDS) == []
    assert listener.tick(later=SETTLED_AFTER_SECONDS) == []


def engine_of(instance: DagsterInstance) -> sqlalchemy.Engine:
    assert isinstance(instance.event_log_storage, PostgresEventLogStorage)
    return instance.event_log_storage._engine


COLUMNS = "run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition"
INSERT = f"INSERT INTO event_logs ({COLUMNS}) VALUES ({', '.join(f':{name}' for name in COLUMNS.split(', '))})"


def failed_row(instance: DagsterInstance, day: str) -> dict[str, Any]:
    """A row of the event log that tells of a failed check of that day, as another writer would store it."""
    shop.FAULTS[shop.REFUSED_DAYS] = {"2011-02-01"}
    make(instance, "2011-02-01")
    query = f"SELECT {COLUMNS} FROM event_logs WHERE dagster_event_type = 'ASSET_CHECK_EVALUATION' ORDER BY id DESC"
    with engine_of(instance).connect() as connection:
        rows = [dict(row._mapping) for row in connection.execute(sqlalchemy.text(query)) if '"contract"' in row.event]
    shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-06"}
    row = next(row for row in rows if "2011-02-01" in row["event"])
    return {**row, "event": row["event"].replace("2011-02-01", day), "timestamp": row["timestamp"]}


def test_the_time_of_a_tick_with_nothing_new_is_spent_on_a_few_queries(instance, endpoint):
    listener = Listener(instance, endpoint)
    statements: list[str] = []
    engines = {engine_of(instance), instance.run_storage._engine}
    for engine in engines:
        sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    listener.alerter.tick(instance, time.time() + 1)
    assert 0 < len(statements) <= 12, statements
