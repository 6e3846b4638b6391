"""The warm Spark of a cluster, what its sessions share, and the tables that outlive it."""

import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from databricks.sdk.errors import InvalidParameterValue, NotFound
from databricks.sdk.service.catalog import PermissionsChange, Privilege
from databricks.sdk.service.compute import ClusterSpec

from retail_assets.databricks.rehearsal.metastore import Metastore
from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets_tests.databricks.rehearsal.client import ENDED, User

pytestmark = [pytest.mark.long, pytest.mark.jvm]

TABLE = "spark_catalog.shop.invoices"


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def shop(directory: Path) -> Iterator[User]:
    """A workspace with a table of five rows in it."""
    with Workspace(directory) as workspace:
        user = User(workspace)
        outcome = user.run(f"""
            spark.sql("CREATE SCHEMA spark_catalog.shop")
            spark.range(5).write.saveAsTable("{TABLE}")
        """)
        assert outcome.result == "SUCCESS", outcome.logs
        yield user


def test_tasks_of_a_warm_cluster_share_its_jvm_and_nothing_of_their_sessions(shop: User) -> None:
    program = """
        import sys, time, pathlib
        from pyspark.sql import SparkSession
        assert SparkSession.builder.config("spark.sql.shuffle.partitions", sys.argv[1]).getOrCreate() is spark
        spark.range(1).createTempView("mine")  # fails where the other's is seen
        mine, other = (pathlib.Path("/dbfs", "set-" + name) for name in sys.argv[1:])
        mine.touch()
        until = time.monotonic() + 60
        while not other.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        rows = spark.table("spark_catalog.shop.invoices").count()
        print(sc.applicationId, spark.conf.get("spark.sql.shuffle.partitions"), rows)
    """
    file = shop.write("/share.py", program)
    runs = [shop.submit(file, ["3", "7"]), shop.submit(file, ["7", "3"])]
    (left, three, rows), (right, seven, _) = (shop.outcome(run).logs.split() for run in runs)
    assert (left == right, three, seven, rows) == (True, "3", "7", "5")


def test_sparks_own_workers_and_files_are_the_cluster_s(shop: User) -> None:
    program = """
        from pyspark.sql import functions as F
        open("/dbfs/drop.csv", "w").write("a\\n1\\n2\\n")
        @F.udf("string")
        def seen(a):
            import os
            try:
                import retail_assets
                return "importable"
            except ImportError:
                return ",".join(sorted(set(os.listdir("/")) & {"dbfs", "Volumes"}))
        frame = spark.read.option("header", True).csv("/dbfs/drop.csv")
        print([row[0] for row in frame.select(seen("a")).collect()])
    """
    outcome = shop.run(program)
    assert outcome.logs == "['Volumes,dbfs', 'Volumes,dbfs']\n", outcome.logs


def test_a_cancelled_run_takes_its_spark_jobs_with_it(shop: User) -> None:
    program = """
        from pyspark.sql import functions as F
        @F.udf("long")
        def slow(n):
            import pathlib, time
            pathlib.Path("/dbfs/started").touch()
            time.sleep(600)
        spark.range(2).select(slow("id")).collect()
    """
    run_id = shop.submit(shop.write("/slow.py", program))
    deadline = time.monotonic() + 60
    while not (shop.workspace.dbfs / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shop.client.jobs.cancel_run(run_id)
    run = shop.until(run_id, *ENDED)
    assert run.state is not None
    assert str(run.state.result_state) == "RunResultState.CANCELED"
    # Both cores were taken by the cancelled jobs: this one could not be run otherwise.
    started = time.monotonic()
    assert shop.run("assert spark.range(1000).repartition(4).count() == 1000").result == "SUCCESS"
    assert time.monotonic() - started < 60


def test_a_new_cluster_sees_the_tables_and_its_own_configuration(shop: User) -> None:
    spec = ClusterSpec(
        spark_version="17.3.x-scala2.13",
        node_type_id="i3.xlarge",
        num_workers=0,
        spark_conf={"spark.sql.shuffle.partitions": "9"},
        spark_env_vars={"RETAIL_DEPLOYMENT": "databricks"},
    )
    program = f"""
        import os
        print(os.environ["RETAIL_DEPLOYMENT"], spark.conf.get("spark.sql.shuffle.partitions"))
        spark.range(5, 8).write.mode("append").saveAsTable("{TABLE}")
    """
    outcome = shop.run(program, new_cluster=spec)
    assert (outcome.result, outcome.logs) == ("SUCCESS", "databricks 9\n")
    assert shop.workspace.statement(f"SELECT count(*) AS rows FROM {TABLE}")["rows"] == [["8"]]
    shop.run(f'spark.sql("DELETE FROM {TABLE} WHERE id >= 5")')


def test_privileges_are_granted_on_what_there_is_and_to_whom_there_is(shop: User) -> None:
    grants = shop.client.grants
    grants.update("table", TABLE, changes=[PermissionsChange(principal="analysts", add=[Privilege.SELECT])])
    grants.update("table", TABLE, changes=[PermissionsChange(principal="analysts", add=[Privilege.MODIFY])])
    removed = PermissionsChange(principal="analysts", remove=[Privilege.MODIFY])
    assert (
        grants.update("table", TABLE, changes=[removed]).privilege_assignments
        == grants.get("table", TABLE).privilege_assignments
    )
    (assignment,) = grants.get("table", TABLE).privilege_assignments or []
    assert (assignment.principal, assignment.privileges) == ("analysts", [Privilege.SELECT])
    assert grants.get("schema", "spark_catalog.shop").privilege_assignments == []
    with pytest.raises(NotFound, match="no_table"):
        grants.get("table", "spark_catalog.shop.no_table")
    with pytest.raises(NotFound, match="no_schema"):
        grants.get("schema", "spark_catalog.no_schema")
    with pytest.raises(NotFound, match="no_catalog"):
        grants.get("catalog", "no_catalog")
    with pytest.raises(NotFound, match="Could not find principal with name nobody"):
        grants.update("table", TABLE, changes=[PermissionsChange(principal="nobody", add=[Privilege.SELECT])])
    with pytest.raises(InvalidParameterValue, match="USE_SCHEMA is not applicable to a table"):
        grants.update("table", TABLE, changes=[PermissionsChange(principal="analysts", add=[Privilege.USE_SCHEMA])])


def test_a_cluster_that_cannot_start_says_so(shop: User) -> None:
    spec = ClusterSpec(
        spark_version="17.3.x-scala2.13",
        node_type_id="i3.xlarge",
        num_workers=0,
        spark_conf={"spark.master": "no-such-master"},
    )
    outcome = shop.run("print('never')", new_cluster=spec)
    assert (outcome.life_cycle, outcome.result, outcome.logs) == ("INTERNAL_ERROR", "FAILED", "")
    assert "The cluster's driver has ended" in outcome.message
    assert "JAVA_GATEWAY_EXITED" in outcome.message


def test_tables_and_grants_outlive_the_workspace(directory: Path, shop: User) -> None:
    shop.workspace.__exit__(None, None, None)
    with Workspace(directory) as again:
        assert again.statement(f"SELECT count(*) AS rows FROM {TABLE}")["rows"] == [["5"]]
        assert User(again).client.grants.get("table", TABLE).privilege_assignments
        assert "no_table" in again.statement("SELECT * FROM spark_catalog.shop.no_table")["error"]


def test_the_metastore_ends_also_where_sigterm_is_ignored(tmp_path: Path) -> None:
    """As it is for what Dagster starts in the background of a script."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        metastore = Metastore(tmp_path / "metastore", tmp_path / "warehouse")
        metastore.start()
    finally:
        signal.signal(signal.SIGTERM, before)
    metastore.wait()
    metastore.stop()
    port = int(metastore.uri.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
