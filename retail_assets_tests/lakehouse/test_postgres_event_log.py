"""On PostgreSQL, too: many events in one transaction, and the rows and the answers of Dagster's own event log."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
import yaml
from dagster._core.events.log import EventLogEntry
from dagster_postgres import PostgresEventLogStorage

from retail_assets.lakehouse.dagster_internals import recorded
from retail_assets.lakehouse.gathered_events import stored_together
from retail_assets.lakehouse.postgres_event_log import GatheringPostgresEventLogStorage
from retail_assets.project import project_root
from retail_assets_tests.lakehouse.scripted_run import (
    COMPARED,
    Rows,
    Told,
    answers,
    as_they_are,
    comparable,
    instance_at,
    scripted_run,
)
from retail_assets_tests.lakehouse.test_event_log import RUN_ID, Once, line, messages
from retail_assets_tests.operations.postgres import Postgres

OURS = yaml.safe_load((project_root() / "deploy" / "dagster.yaml").read_text())["storage"]
STOCK = {"postgres": OURS["custom"]["config"]}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    started = Postgres()
    yield started
    started.stop()


@contextmanager
def database(server: Postgres, home: Path, storage: dict[str, Any]) -> Iterator[dg.DagsterInstance]:
    """An instance whose storage is a database of its own, named as the home is."""
    server.create_database(home.name)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**server.environment, "RETAIL_POSTGRES_DATABASE": home.name}.items():
            patch.setenv(name, value)
        with instance_at(home, patch, yaml.safe_dump({"storage": storage})) as instance:
            yield instance


@pytest.fixture
def instance(server: Postgres, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with database(server, tmp_path, OURS) as opened:
        assert isinstance(opened.event_log_storage, GatheringPostgresEventLogStorage)
        yield opened


def rows(instance: dg.DagsterInstance) -> Rows:
    """The tables of the event log. The ids of assets are left out: each event of an asset takes up one, even where it
    finds the asset's row."""
    storage = instance.event_log_storage
    assert isinstance(storage, PostgresEventLogStorage)
    found: Rows = {}
    with storage._engine.connect() as connection:
        for table in COMPARED:
            columns = "*" if table != "asset_keys" else "asset_key, last_materialization, last_run_id"
            cursor = connection.execute(sqlalchemy.text(f"SELECT {columns} FROM {table} ORDER BY {table}.id"))
            found[table] = comparable(list(cursor.keys()), cursor.all())
    return found


@pytest.fixture(scope="module")
def stock(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Rows]:
    """What the stock log answers and holds after the scripted run."""
    with database(server, tmp_path_factory.mktemp("home_stock"), STOCK) as instance:
        assert type(instance.event_log_storage) is PostgresEventLogStorage
        scripted_run(instance, lambda _: nullcontext())
        return answers(instance), rows(instance)


@pytest.mark.parametrize(
    ("together", "told"),
    [
        pytest.param(lambda _: nullcontext(), as_they_are, id="one by one"),
        pytest.param(stored_together, as_they_are, id="stored together"),
        pytest.param(stored_together, recorded, id="evaluations recorded at once"),
    ],
)
def test_it_writes_the_rows_and_gives_the_answers_of_the_stock_log(
    stock: tuple[dict[str, Any], Rows],
    together: Callable[[Any], Any],
    told: Told,
    server: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    expected_answers, expected_rows = stock
    with database(server, tmp_path_factory.mktemp("home_ours"), OURS) as ours:
        scripted_run(ours, together, told)
        found, found_rows = answers(ours), rows(ours)
    assert found == expected_answers
    assert len(expected_rows["asset_check_executions"]) > 20
    for table, expected in expected_rows.items():
        assert found_rows[table] == expected, table


def test_a_range_is_written_in_few_transactions(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, GatheringPostgresEventLogStorage)
    commits: list[Any] = []
    sqlalchemy.event.listen(storage._engine, "commit", commits.append)
    with stored_together(instance):
        for number in range(2500):
            storage.store_event(line(str(number)))
    assert messages(instance) == [str(number) for number in range(2500)]
    assert 3 <= len(commits) < 10


def test_another_thread_reads_meanwhile_and_sees_whole_transactions(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    seen: list[EventLogEntry] = []
    assert isinstance(storage, GatheringPostgresEventLogStorage)
    with storage._one_transaction():
        storage._insert(RUN_ID, [storage._event_to_row(line("not committed"))])
        reader = threading.Thread(target=lambda: seen.extend(storage.get_logs_for_run(RUN_ID)))
        reader.start()
        reader.join(30)
        assert not reader.is_alive()
    assert seen == []
    assert messages(instance) == ["not committed"]


def test_an_event_that_cannot_be_stored_takes_no_other_with_it(instance: dg.DagsterInstance) -> None:
    broken = line("a text that PostgreSQL refuses: \x00")

    def step() -> None:
        with stored_together(instance):
            for event in (line("before"), broken._replace(run_id="\x00"), line("after")):
                instance.event_log_storage.store_event(event)

    with pytest.raises(ValueError, match="NUL"):
        step()
    assert messages(instance) == ["before", "after"]


def test_a_batch_is_stored_whole_or_not_at_all(instance: dg.DagsterInstance) -> None:
    with pytest.raises(ValueError, match="NUL"):
        instance.event_log_storage.store_event_batch([line("before"), line("broken", "\x00")])
    assert messages(instance) == []


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("method", ["_insert", "_store_newest_of_assets"])
def test_an_interrupt_while_events_are_written_loses_none_and_writes_none_twice(
    method: str, before: bool, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = instance.event_log_storage
    interrupted = Once(getattr(storage, method), before)

    def step() -> None:
        with stored_together(instance):
            storage.store_event(line("done"))
            monkeypatch.setattr(storage, method, interrupted)
            storage.get_logs_for_run(RUN_ID)

    with pytest.raises(dg.DagsterExecutionInterruptedError):
        step()
    assert interrupted.calls == 2
    assert messages(instance) == ["done"]
