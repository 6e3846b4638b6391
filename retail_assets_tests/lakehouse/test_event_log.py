"""The event log kept open says what Dagster's own says, loses nothing, and holds few files."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.events import DagsterEvent, DagsterEventType, EngineEventData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from retail_assets.lakehouse.dagster_internals import recorded
from retail_assets.lakehouse.event_log import RUN_SHARDS_KEPT_OPEN, OpenSqliteEventLogStorage
from retail_assets.lakehouse.gathered_events import stored_together
from retail_assets_tests.lakehouse.scripted_run import (
    Rows,
    Told,
    answers,
    as_they_are,
    evaluation,
    instance_at,
    rows,
    scripted_run,
)

RUN_ID = "aaaaaaaa-0000-4000-8000-000000000000"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    with instance_at(tmp_path / "home", monkeypatch) as instance:
        yield instance


def log_of(instance: dg.DagsterInstance) -> OpenSqliteEventLogStorage:
    storage = instance.event_log_storage
    assert isinstance(storage, OpenSqliteEventLogStorage)
    return storage


def line(message: str, run_id: str = RUN_ID) -> EventLogEntry:
    return EventLogEntry(
        error_info=None, level=10, user_message=message, run_id=run_id, timestamp=time.time(), job_name="job"
    )


def messages(instance: dg.DagsterInstance, run_id: str = RUN_ID) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run_id)]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Rows]:
    """What the stock log answers and holds after the scripted run."""
    home = tmp_path_factory.mktemp("stock") / "home_stock"
    with pytest.MonkeyPatch.context() as monkeypatch, instance_at(home, monkeypatch, "") as instance:
        assert not isinstance(instance.event_log_storage, OpenSqliteEventLogStorage)
        scripted_run(instance, lambda _: nullcontext())
        return answers(instance), rows(home)


@pytest.mark.parametrize(
    ("together", "batch_size", "told"),
    [
        pytest.param(lambda _: nullcontext(), "0", as_they_are, id="one by one"),
        pytest.param(stored_together, "0", as_they_are, id="stored together"),
        pytest.param(stored_together, "6", as_they_are, id="stored together and in Dagster's batches"),
        pytest.param(stored_together, "0", recorded, id="evaluations recorded at once"),
    ],
)
def test_it_writes_the_rows_and_gives_the_answers_of_the_stock_log(
    stock: tuple[dict[str, Any], Rows],
    together: Callable[[Any], Any],
    batch_size: str,
    told: Told,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch_size)
    expected_answers, expected_rows = stock
    with instance_at(tmp_path / "home_ours", monkeypatch) as ours:
        scripted_run(ours, together, told)
        found = answers(ours)
        found_rows = rows(tmp_path / "home_ours")

    assert found == expected_answers
    assert {status for _, status, _ in found["checked"]} == {"SUCCEEDED", "FAILED"}
    assert len(expected_rows["index.db:asset_check_executions"]) > 20
    assert found_rows.keys() == expected_rows.keys()
    for table, expected in expected_rows.items():
        assert found_rows[table] == expected, table


def schema(file: Path) -> list[Any]:
    """What SQLite says of the tables, which migration they are of, and how they are written."""
    with sqlite3.connect(file) as connection:
        made = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return [made, revision, connection.execute("PRAGMA journal_mode").fetchone()]


@pytest.mark.parametrize("links", [True, False])
def test_a_run_gets_a_file_as_the_stock_log_makes_it(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    original = OpenSqliteEventLogStorage._initdb
    monkeypatch.setattr(
        OpenSqliteEventLogStorage, "_initdb", lambda self, *given, **named: made.append(original(self, *given, **named))
    )
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", lambda *_: os.link("/nowhere", "/nowhere else"))
    stock_log, ours = SqliteEventLogStorage(str(tmp_path / "stock")), OpenSqliteEventLogStorage(str(tmp_path / "ours"))
    for log in (stock_log, ours):
        for run_id in ("a", "b", "c"):
            log.store_event(line("told", run_id))
    ours.release()
    for name in ("a", "b", "c", "index"):
        assert schema(tmp_path / "ours" / f"{name}.db") == schema(tmp_path / "stock" / f"{name}.db"), name
    assert len(made) == (2 if links else 5), "the index, the blank one, and the runs where they cannot be copied"
    assert {file.name.partition("-")[0] for file in (tmp_path / "ours").iterdir()} == {
        "a.db",
        "b.db",
        "c.db",
        "index.db",
        "blank_run",
    }
    again = OpenSqliteEventLogStorage(str(tmp_path / "ours"))
    assert [entry.user_message for entry in again.get_logs_for_run("b")] == ["told"]
    assert len(made) == (2 if links else 5), "whose tables are there"
    again.dispose()


def test_evaluations_of_partitions_are_not_written_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone: list[str | None] = []
    stock_method = OpenSqliteEventLogStorage.store_asset_check_event

    def counted(self: OpenSqliteEventLogStorage, event: EventLogEntry, event_id: int | None) -> None:
        if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            alone.append(event.get_dagster_event().asset_check_evaluation_data.partition)
        stock_method(self, event, event_id)

    monkeypatch.setattr(OpenSqliteEventLogStorage, "store_asset_check_event", counted)
    with instance_at(tmp_path / "home", monkeypatch) as instance:
        scripted_run(instance, stored_together)

    assert set(alone) == {None}, "those of no partition"


def test_the_log_named_in_dagster_yaml_lies_where_the_stock_one_would(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert Path(log_of(instance).path_for_shard("index")) == tmp_path / "home" / "history" / "runs" / "index.db"
    again = dg.DagsterInstance.from_ref(instance.get_ref())  # as run workers and code servers load it
    instance.event_log_storage.store_event(line("seen by both"))
    assert isinstance(again.event_log_storage, OpenSqliteEventLogStorage)
    assert messages(again) == ["seen by both"]
    again.dispose()


def test_what_was_gathered_is_met_by_the_next_reader_in_order(instance: dg.DagsterInstance) -> None:
    other = OpenSqliteEventLogStorage(str(Path(log_of(instance).path_for_shard("index")).parent))
    with stored_together(instance):
        for number in range(5):
            instance.event_log_storage.store_event(line(str(number)))
        assert other.get_logs_for_run(RUN_ID) == []
        assert messages(instance) == ["0", "1", "2", "3", "4"]
        instance.event_log_storage.store_event(line("5"))
    assert [entry.user_message for entry in other.get_logs_for_run(RUN_ID)] == ["0", "1", "2", "3", "4", "5"]
    other.dispose()


def test_what_was_gathered_is_stored_when_the_block_fails(instance: dg.DagsterInstance) -> None:

    def step() -> None:
        with stored_together(instance):
            instance.event_log_storage.store_event(line("done before the error"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        step()
    other = OpenSqliteEventLogStorage(str(Path(log_of(instance).path_for_shard("index")).parent))
    assert [entry.user_message for entry in other.get_logs_for_run(RUN_ID)] == ["done before the error"]
    other.dispose()


def test_an_event_that_cannot_be_stored_takes_no_other_with_it(instance: dg.DagsterInstance) -> None:
    broken = line("broken")._replace(timestamp="no time")  # type: ignore[arg-type]

    def step() -> None:
        with stored_together(instance):
            for event in (line("before"), broken, line("after")):
                instance.event_log_storage.store_event(event)

    with pytest.raises(TypeError):
        step()
    assert messages(instance) == ["before", "after"]


def test_a_batch_is_stored_whole_or_not_at_all(instance: dg.DagsterInstance) -> None:
    broken = line("broken")._replace(timestamp="no time")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        instance.event_log_storage.store_event_batch([line("before"), broken])
    assert messages(instance) == []


class Once:
    """Interrupts the first call, before or after what it is to do, and leaves the others alone."""

    def __init__(self, original: Callable[..., Any], before: bool) -> None:
        self.original, self.before, self.calls = original, before, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls == 1 and self.before:
            raise dg.DagsterExecutionInterruptedError
        answer = self.original(*arguments)
        if self.calls == 1:
            raise dg.DagsterExecutionInterruptedError
        return answer


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    "method", ["_insert", "_store_newest_of_assets", "_commit", "_store_together", "_update_planned"]
)
def test_an_interrupt_while_events_are_written_loses_none_and_writes_none_twice(
    method: str, before: bool, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, interrupted = log_of(instance), Once(getattr(log_of(instance), method), before)

    def step() -> None:
        with stored_together(instance):
            for number in range(5):
                storage.store_event(line(str(number)))
            judged = evaluation(dg.AssetKey("sales"), "2009-12-01")
            instance.report_dagster_event(
                DagsterEvent("ASSET_CHECK_EVALUATION", "job", event_specific_data=judged, message="judged"), RUN_ID
            )
            monkeypatch.setattr(storage, method, interrupted)
            storage.get_logs_for_run(RUN_ID)

    with pytest.raises(dg.DagsterExecutionInterruptedError):
        step()
    assert interrupted.calls > 0
    assert messages(instance) == ["0", "1", "2", "3", "4", ""]
    with sqlite3.connect(storage.path_for_shard("index")) as index:
        assert index.execute("SELECT count(*) FROM event_logs").fetchone() == (1,)
        assert index.execute("SELECT count(*) FROM asset_check_executions").fetchone() == (1,)


def test_an_interrupt_between_the_two_files_waits_for_the_second(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = sqlalchemy.engine.Connection.commit
    interrupted = Once(commit, before=False)
    monkeypatch.setattr(sqlalchemy.engine.Connection, "commit", lambda connection: interrupted(connection))
    judged = evaluation(dg.AssetKey("sales"), "2009-12-01")
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        instance.report_dagster_event(
            DagsterEvent("ASSET_CHECK_EVALUATION", "job", event_specific_data=judged, message="judged"), RUN_ID
        )
    assert len(messages(instance)) == 1
    with sqlite3.connect(log_of(instance).path_for_shard("index")) as index:
        assert index.execute("SELECT count(*) FROM event_logs").fetchone() == (1,)


def test_a_batch_of_dagsters_waits_with_what_is_gathered(instance: dg.DagsterInstance) -> None:
    other = OpenSqliteEventLogStorage(str(Path(log_of(instance).path_for_shard("index")).parent))
    with stored_together(instance):
        instance.event_log_storage.store_event(line("0"))
        instance.event_log_storage.store_event_batch([line("1"), line("2")])
        assert other.get_logs_for_run(RUN_ID) == []
    assert messages(instance) == ["0", "1", "2"]
    other.dispose()


def test_with_another_event_log_nothing_is_gathered() -> None:
    with dg.DagsterInstance.ephemeral() as instance, stored_together(instance):
        instance.event_log_storage.store_event(line("at once"))
        assert messages(instance) == ["at once"]


WRITER = """
import sys, time
from dagster import AssetKey, AssetMaterialization
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from retail_assets.lakehouse.event_log import OpenSqliteEventLogStorage

base_dir, name, count, run_id = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
log = OpenSqliteEventLogStorage(base_dir)
for number in range(count):
    event = DagsterEvent(
        event_type_value="ASSET_MATERIALIZATION",
        job_name="job",
        event_specific_data=StepMaterializationData(
            AssetMaterialization(AssetKey(name), partition=str(number), tags={"dagster/data_version": "1"})
        ),
    )
    log.store_event(EventLogEntry(None, 10, str(number), run_id, time.time(), None, "job", event))
    print(number, flush=True)
"""


def writer(log: OpenSqliteEventLogStorage, name: str, count: int, run_id: str) -> subprocess.Popen[str]:
    base_dir = str(Path(log.path_for_shard("index")).parent)
    command = [sys.executable, "-c", textwrap.dedent(WRITER), base_dir, name, str(count), run_id]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_writing_at_once_lose_nothing(instance: dg.DagsterInstance) -> None:
    log = log_of(instance)
    processes = [writer(log, name, 150, RUN_ID) for name in ("left", "right")]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    days = {str(number) for number in range(150)}
    for name in ("left", "right"):
        records = instance.fetch_materializations(dg.AssetKey(name), limit=1000, ascending=True).records
        assert [record.partition_key for record in records] == [str(number) for number in range(150)]
        assert instance.get_materialized_partitions(dg.AssetKey(name)) == days
    assert len(messages(instance)) == 300


def test_a_killed_process_leaves_a_readable_log_with_all_it_had_stored(instance: dg.DagsterInstance) -> None:
    process = writer(log_of(instance), "cut", 100_000, RUN_ID)
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(40)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().split()
    process.wait()

    stored = messages(instance)
    assert stored == [str(number) for number in range(len(stored))]
    assert len(told) <= len(stored) <= len(told) + 1
    shown = instance.fetch_materializations(dg.AssetKey("cut"), limit=1000, ascending=True).records
    assert len(told) <= len(shown) <= len(stored)
    with sqlite3.connect(log_of(instance).path_for_shard("index")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def open_files(base_dir: Path) -> set[str]:
    handles = Path("/proc/self/fd")
    if not handles.exists():
        pytest.skip("open files are counted through /proc")
    targets = {str(handle.readlink()) for handle in handles.iterdir() if handle.is_symlink()}
    return {Path(target).name for target in targets if target.startswith(str(base_dir))}


def test_many_runs_hold_few_files_open_and_release_frees_them_all(instance: dg.DagsterInstance) -> None:
    log = log_of(instance)
    run_ids = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(RUN_SHARDS_KEPT_OPEN + 4)]
    for run_id in run_ids:
        log.store_event(line("first", run_id))
    for run_id in run_ids:
        log.store_event(line("second", run_id))
    base_dir = Path(log.path_for_shard("index")).parent
    databases = {name for name in open_files(base_dir) if name.endswith(".db")}
    assert databases == {f"{run_id}.db" for run_id in run_ids[-RUN_SHARDS_KEPT_OPEN:]} | {"index.db"}
    assert all(messages(instance, run_id) == ["first", "second"] for run_id in run_ids)
    log.release()
    assert open_files(base_dir) == set()


def test_a_deleted_run_is_gone_and_its_neighbour_stays(instance: dg.DagsterInstance) -> None:
    log, neighbour = log_of(instance), RUN_ID.replace("a", "b")
    log.store_event(line("kept", neighbour))
    log.store_event(line("deleted"))
    with stored_together(instance):
        log.store_event(line("deleted while gathered"))
        log.delete_events(RUN_ID)
    assert messages(instance) == []
    assert messages(instance, neighbour) == ["kept"]
    log.store_event(line("new"))
    assert messages(instance) == ["new"]


def test_after_a_wipe_by_another_process_a_run_is_written_to_a_new_file(instance: dg.DagsterInstance) -> None:
    log = log_of(instance)
    other = OpenSqliteEventLogStorage(str(Path(log.path_for_shard("index")).parent))
    log.store_event(line("wiped"))
    other.wipe()
    assert not Path(log.path_for_shard(RUN_ID)).exists()
    assert messages(instance) == []
    log.store_event(line("new"))
    assert [entry.user_message for entry in other.get_logs_for_run(RUN_ID)] == ["new"]
    other.dispose()


def test_parent_and_forked_child_both_write(instance: dg.DagsterInstance) -> None:
    log = log_of(instance)
    log.store_event(line("before"))
    with stored_together(instance):
        log.store_event(line("gathered"))
        child = os.fork()
        if child == 0:
            log.store_event(line("child"))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        log.store_event(line("parent"))
    assert messages(instance) == ["before", "gathered", "child", "parent"]


def test_threads_share_one_log(instance: dg.DagsterInstance) -> None:
    log = log_of(instance)

    def write(name: str) -> None:
        for number in range(30):
            log.store_event(line(f"{name} {number}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = messages(instance)
    for name in "abc":
        assert [each for each in stored if each[0] == name] == [f"{name} {number}" for number in range(30)]


def test_whoever_watches_a_run_hears_of_events_that_wait_in_the_write_ahead_log(
    instance: dg.DagsterInstance,
) -> None:
    log, heard, rung = log_of(instance), [], threading.Event()
    log.store_event(line("before"))
    watcher = OpenSqliteEventLogStorage(str(Path(log.path_for_shard("index")).parent))

    def hear(entry: EventLogEntry, _: str) -> None:
        heard.append(entry.user_message)
        if entry.user_message == "last":
            rung.set()

    watcher.watch(RUN_ID, None, hear)
    log.store_event(line("middle"))
    log.store_event(line("last"))
    assert rung.wait(10)
    assert heard == ["before", "middle", "last"]
    watcher.end_watch(RUN_ID, hear)
    watcher.dispose()


def test_a_run_that_succeeds_inside_the_block_is_seen_as_such_at_once(instance: dg.DagsterInstance) -> None:
    other = OpenSqliteEventLogStorage(str(Path(log_of(instance).path_for_shard("index")).parent))
    with stored_together(instance):
        instance.event_log_storage.store_event(line("earlier"))
        instance.report_dagster_event(
            DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name="job", event_specific_data=EngineEventData()),
            run_id=RUN_ID,
        )
        stored = other.get_logs_for_run(RUN_ID)
        assert [entry.user_message for entry in stored] == ["earlier", ""]
    other.dispose()
