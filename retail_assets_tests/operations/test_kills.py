"""A main job that is killed at any moment leaves nothing half-written, and run again it ends as if nothing had been."""

import math
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from dagster import DagsterRunStatus, RunsFilter
from deltalake import DeltaTable

from retail_assets_tests.operations.as_written import OF_A_YOUNG_HISTORY, Rows, all_rows, rows, version
from retail_assets_tests.operations.command import RetailCommand, kill
from retail_assets_tests.operations.homes import opened
from retail_assets_tests.operations.test_main_job import FIRST, LAST, invoices

FEW = ["raw_invoices", "quarantined_invoices", "clean_transactions"]
ROUNDS, KILLS_PER_ROUND = 5, 5


def shop(directory: Path) -> RetailCommand:
    """All the days of the main job's tests, landed; nothing made."""
    command = RetailCommand(directory)
    command.environment |= {
        "RETAIL_ONLINE_RETAIL_FIRST_DAY": FIRST,
        "RETAIL_ONLINE_RETAIL_LAST_DAY": LAST,
    }
    for day, lines in invoices().items():
        command.drop(day, lines)
    return command


def selected(tables: Sequence[str]) -> list[str]:
    return [word for table in tables for word in ("--select", table)]


class Reader:
    """Reads every table again and again while jobs run; keeps what it saw of each version, and what went wrong."""

    def __init__(self, lakehouse: Path, tables: Sequence[str]) -> None:
        self.lakehouse, self.tables = lakehouse, tables
        self.seen: dict[tuple[str, int], Rows] = {}
        self.errors: list[str] = []
        self._ended = threading.Event()

    def _read(self) -> None:
        while not self._ended.wait(0.1):
            for table in self.tables:
                path = self.lakehouse / "online_retail" / table
                try:
                    if DeltaTable.is_deltatable(str(path)):
                        newest = version(self.lakehouse, table)
                        if (table, newest) not in self.seen:
                            self.seen[table, newest] = rows(self.lakehouse, table, newest)
                except Exception as error:
                    self.errors.append(f"{table}: {error}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        thread = threading.Thread(target=self._read)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def read_every_version(self) -> None:
        """What a reader could have seen, had it been quicker."""
        for table in self.tables:
            for number in range(version(self.lakehouse, table) + 1):
                if (table, number) not in self.seen:
                    self.seen[table, number] = rows(self.lakehouse, table, number)


def assert_survived(command: RetailCommand, tables: Sequence[str], expected: dict[str, Rows], reader: Reader) -> None:
    """The tables are the expected ones, no partition was ever seen in part, and Dagster knows of nothing under way."""
    assert all_rows(command.lakehouse, tables) == expected
    reader.read_every_version()
    assert reader.errors == []
    for (table, number), seen in reader.seen.items():
        for partition, lines in seen.items():
            assert lines == expected[table][partition], f"{table}, version {number}, {partition} was seen half-written"
    judged = DeltaTable(str(command.lakehouse / "online_retail" / "dq_results")).to_pyarrow_table().to_pylist()
    results = [(r["run_id"], r["table_name"], r["partition_key"], r["check_name"], r["rule"]) for r in judged]
    assert len(results) == len(set(results))
    published = {(r["table_name"].removeprefix("online_retail."), r["partition_key"]) for r in judged if r["published"]}
    assert {(table, key) for table in tables for key in expected[table]} <= published
    with opened(command.home) as instance:
        under_way = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
        assert instance.get_runs(RunsFilter(statuses=under_way)) == []
        log = instance.event_log_storage
        pools = {key: log.get_concurrency_info(key) for key in log.get_concurrency_keys()}
        assert {f"write_online_retail_{table}" for table in tables} <= set(pools)
        assert {key: pool.active_slot_count + pool.pending_step_count for key, pool in pools.items()} == dict.fromkeys(
            pools, 0
        )


def used(process: psutil.Process) -> float:
    """CPU seconds of a process and all it started. Unlike the clock they hardly hang on what else the machine does."""
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system
    return total


def followed(command: RetailCommand, limit: float, *arguments: str) -> tuple[bool, float]:
    """Runs the main job, but kills it once it has used so many CPU seconds: whether it was killed, and what it used."""
    process = command.start("run", *arguments)
    family, seconds = psutil.Process(process.pid), 0.0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            seconds = max(seconds, used(family))
        if seconds >= limit:
            kill(process)
            return True, seconds
        time.sleep(0.05)
    assert process.returncode == 0, (command.directory / "command.log").read_text()
    return False, seconds


def killed_after(command: RetailCommand, seconds: float, *arguments: str) -> bool:
    """Whether the main job was killed before it ended."""
    return followed(command, seconds, *arguments)[0]


def completed(command: RetailCommand, *arguments: str) -> float:
    """Runs the main job to its end; the CPU seconds it used."""
    return followed(command, math.inf, *arguments)[1]


@pytest.fixture
def chance() -> random.Random:
    """Random moments; a failure shows the seed, with which they are found again."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")  # noqa: T201
    return random.Random(seed)


@pytest.mark.long
def test_a_killed_job_run_again_makes_the_same_tables(tmp_path, chance):
    undisturbed = shop(tmp_path / "undisturbed")
    seconds = completed(undisturbed, *selected(FEW))
    expected = all_rows(undisturbed.lakehouse, FEW)

    command = shop(tmp_path / "killed")
    reader = Reader(command.lakehouse, FEW)
    with reader.reading():
        # In the second half: the first is mostly the start of Python and the JVM.
        assert killed_after(command, seconds * chance.uniform(0.5, 0.85), *selected(FEW))
        completed(command, *selected(FEW))
    assert_survived(command, FEW, expected, reader)


@pytest.mark.long
def test_a_job_killed_at_25_moments_over_the_whole_graph_makes_the_same_tables(tmp_path, chance):
    undisturbed = shop(tmp_path / "undisturbed")
    seconds = completed(undisturbed)
    tables = OF_A_YOUNG_HISTORY
    expected = all_rows(undisturbed.lakehouse, tables)

    # One moment in each of 25 equal spans of the duration, shuffled. Every round begins with nothing made; --all lets
    # each killed job begin at the beginning, so that the moments reach all tables, new ones and ones made before.
    spans = random.Random(chance.random()).sample(range(ROUNDS * KILLS_PER_ROUND), ROUNDS * KILLS_PER_ROUND)
    kills = 0
    for turn in range(ROUNDS):
        command = shop(tmp_path / f"round_{turn}")
        reader = Reader(command.lakehouse, tables)
        with reader.reading():
            for span in spans[turn * KILLS_PER_ROUND : (turn + 1) * KILLS_PER_ROUND]:
                moment = seconds * (span + chance.random()) / len(spans)
                kills += killed_after(command, moment, "--all")
            completed(command)
        assert_survived(command, tables, expected, reader)
    # A job is at times quicker than the one that was measured; it then ends before its moment comes.
    assert kills >= ROUNDS * KILLS_PER_ROUND - 3
