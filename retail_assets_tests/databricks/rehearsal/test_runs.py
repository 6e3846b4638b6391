"""What a task finds on the cluster, how runs end, and what is kept of them; without Spark."""

import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service.compute import ClusterSpec

import retail_assets
from retail_assets_tests.databricks.rehearsal.client import ENDED, User

SINGLE = ClusterSpec(spark_version="16.4.x-scala2.12", node_type_id="i3.xlarge", num_workers=0)


def test_a_task_gets_its_parameters_its_output_is_kept_and_files_go_both_ways(user: User) -> None:
    (user.workspace.volumes / "spark_catalog" / "rehearsal" / "staging" / "in.txt").write_text("from a volume")
    program = """
        import sys
        print(__name__, __file__, sys.argv[1:])
        print(open("/Volumes/spark_catalog/rehearsal/staging/in.txt").read())
        open("/dbfs/out.txt", "w").write("from the task")
        print("careful", file=sys.stderr)
    """
    outcome = user.run(program, "one", "two words")
    assert (outcome.life_cycle, outcome.result, outcome.error) == ("TERMINATED", "SUCCESS", "")
    expected = "__main__ /dbfs/programs/main.py ['one', 'two words']\nfrom a volume\ncareful\n"
    assert outcome.logs == expected
    assert (user.workspace.dbfs / "out.txt").read_text() == "from the task"
    assert not Path("/dbfs").exists()
    ran = user.workspace.runs[-1]
    assert (ran.run_name, ran.cluster_id, ran.result_state) == ("a test", user.workspace.cluster_id, "SUCCESS")


def test_the_repository_cannot_be_reached_and_the_environment_is_the_clusters_own(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETAIL_SECRET", "of the host")
    monkeypatch.setenv("PYTHONPATH", str(Path(retail_assets.__file__).parents[1]))
    program = """
        import importlib, json, os, subprocess, sys
        def imports(name):
            try:
                return bool(importlib.import_module(name))
            except ImportError:
                return False
        child = subprocess.run([sys.executable, "-c", "import retail_assets"], capture_output=True)
        seen = {name: imports(name) for name in ("retail_assets", "retail_assets_tests", "mlflow", "pandas")}
        seen["child"] = child.returncode == 0
        seen["checkout"] = os.listdir(sys.argv[1])
        seen["environment"] = sorted(os.environ)
        print(json.dumps(seen))
    """
    seen = eval(user.run(program, str(Path(retail_assets.__file__).parent)).logs, {"true": True, "false": False})
    environment = set(seen.pop("environment"))
    assert seen == {
        "retail_assets": False,
        "retail_assets_tests": False,
        "mlflow": False,  # nobody declared it
        "pandas": True,  # the runtime brings it
        "child": False,
        "checkout": [],
    }
    assert {name for name in environment - {"LC_CTYPE"} if not name.startswith("OPENBLAS_")} <= {
        *("PATH", "JAVA_HOME", "HOME", "LANG", "TZ"),
        *("PYSPARK_PYTHON", "SPARK_LOCAL_IP", "DATABRICKS_RUNTIME_VERSION"),
    }


def test_declared_libraries_come_with_what_they_require_at_the_versions_installed(user: User) -> None:
    program = "import upath, fsspec; print(upath.__version__)"
    assert user.run(program, new_cluster=SINGLE).error.startswith("ModuleNotFoundError: No module named 'upath'")
    package = f"universal-pathlib=={version('universal-pathlib')}"
    outcome = user.run(program, new_cluster=SINGLE, packages=[package])
    assert (outcome.result, outcome.logs.strip()) == ("SUCCESS", version("universal-pathlib"))


@pytest.mark.parametrize("package", ["universal-pathlib==0.0.1", "no-such-package==1", "not a requirement"])
def test_a_library_that_cannot_be_installed_fails_the_run_before_it_starts(user: User, package: str) -> None:
    outcome = user.run("print('never')", new_cluster=SINGLE, packages=[package])
    assert (outcome.life_cycle, outcome.result, outcome.logs) == ("INTERNAL_ERROR", "FAILED", "")
    assert "Library installation failed" in outcome.message
    assert "DRIVER_LIBRARY_INSTALLATION_FAILURE" in outcome.message


def test_secrets_come_from_scopes_and_from_nowhere_else(user: User) -> None:
    user.workspace.secrets["retail"] = {"key": "a secret"}
    outcome = user.run("assert dbutils.secrets.get(scope='retail', key='key') == 'a secret'")
    assert outcome.result == "SUCCESS"
    outcome = user.run("dbutils.secrets.get('retail', 'other')")
    assert outcome.error == "ValueError: Secret does not exist with scope: retail and key: other"
    kept = [path for path in user.workspace.directory.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not any(b"a secret" in path.read_bytes() for path in kept if path.name != "main.py")


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("def f():\n    raise KeyError('lost')\nf()", "KeyError: 'lost'"),
        ("print('last words', flush=True); import os; os._exit(3)", "The Python process exited with exit code 3."),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code 137 (SIGKILL)"),
        ("import sys; sys.exit('given up')", "SystemExit: given up"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_task_that_fails_or_dies_says_why(user: User, program: str, error: str) -> None:
    outcome = user.run(program)
    assert (outcome.life_cycle, outcome.result) == ("TERMINATED", "FAILED")
    assert outcome.message == "Workload failed, see run output for details"
    assert error in outcome.error
    assert ("last words" in outcome.error) == ("last words" in program)
    assert ("line 2, in f" in outcome.trace) == ("def f" in program)


def test_a_program_that_is_not_there_fails_the_run(user: User) -> None:
    outcome = user.outcome(user.submit("dbfs:/no/such/file.py"))
    assert (outcome.life_cycle, outcome.result) == ("INTERNAL_ERROR", "FAILED")
    assert "Cannot read the python file dbfs:/no/such/file.py" in outcome.message


def test_a_cancelled_run_ends_with_everything_its_task_started(user: User) -> None:
    program = """
        import os, subprocess, time
        child = subprocess.Popen(["sleep", "600"])
        print(os.getpid(), child.pid, flush=True)
        time.sleep(600)
    """
    run_id = user.submit(user.write("/sleeper.py", program))
    run = user.until(run_id, "RUNNING")
    assert run.tasks
    while not (logs := user.client.jobs.get_run_output(run.tasks[0].run_id or 0).logs):
        time.sleep(0.05)
    user.client.jobs.cancel_run(run_id)
    run = user.until(run_id, *ENDED)
    assert run.state is not None
    assert (str(run.state.result_state), run.state.state_message) == ("RunResultState.CANCELED", "Run cancelled.")
    user.client.jobs.cancel_run(run_id)  # once more is no error
    for process in map(int, logs.split()):
        assert not Path(f"/proc/{process}").exists() or "Z" in Path(f"/proc/{process}/stat").read_text()


def test_a_run_that_takes_too_long_is_timed_out(user: User) -> None:
    started = time.monotonic()
    outcome = user.run("import time; time.sleep(600)", timeout_seconds=1)
    assert (outcome.life_cycle, outcome.result) == ("TERMINATED", "TIMEDOUT")
    assert time.monotonic() - started < 30


def test_a_run_submitted_twice_with_one_token_is_one_run(user: User) -> None:
    file = user.write("/once.py", "open('/dbfs/once.txt', 'a').write('x')")
    ids = {user.submit(file, idempotency_token="step-1-attempt-0") for _ in range(3)}
    assert len(ids) == 1
    user.outcome(ids.pop())
    assert (user.workspace.dbfs / "once.txt").read_text() == "x"


def test_output_is_that_of_the_task_s_run_not_of_the_whole(user: User) -> None:
    run_id = user.submit(user.write("/quick.py", "print('done')"))
    run = user.until(run_id, *ENDED)
    assert run.tasks
    assert run.run_page_url == f"{user.workspace.host}/?o=0#job/{run.job_id}/run/{run_id}"
    assert run.tasks[0].cluster_instance is not None
    assert run.tasks[0].cluster_instance.cluster_id == user.workspace.cluster_id
    with pytest.raises(InvalidParameterValue, match="each individual task run"):
        user.client.jobs.get_run_output(run_id)


def test_two_tasks_run_at_once(user: User) -> None:
    program = """
        import pathlib, sys, time
        mine, other = (pathlib.Path("/dbfs", name) for name in sys.argv[1:])
        mine.write_text("here")
        until = time.monotonic() + 30
        while not other.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
    """
    file = user.write("/meet.py", program)
    runs = [user.submit(file, ["left", "right"]), user.submit(file, ["right", "left"])]
    assert [user.outcome(run).result for run in runs] == ["SUCCESS", "SUCCESS"]


def test_a_new_cluster_ends_with_its_run(user: User) -> None:
    run_id = user.submit(
        user.write("/version.py", "import os; print(os.environ['DATABRICKS_RUNTIME_VERSION'])"), new_cluster=SINGLE
    )
    assert user.outcome(run_id).logs == "16.4\n"
    cluster_id = user.workspace.runs[-1].cluster_id
    assert cluster_id != user.workspace.cluster_id
    deadline = time.monotonic() + 10
    while (state := str(user.client.clusters.get(cluster_id).state)) != "State.TERMINATED":
        assert time.monotonic() < deadline, state


def test_the_task_ends_when_the_workspace_is_gone(tmp_path: Path) -> None:
    """Even when it was killed: no process stays behind."""
    program = f"""
import os, time
from pathlib import Path
from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets_tests.databricks.rehearsal.client import User
with Workspace(Path({str(tmp_path)!r}), spark=False) as workspace:
    user = User(workspace)
    run = user.submit(user.write("/s.py", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"))
    task = user.until(run, "RUNNING").tasks[0].run_id
    while not (logs := user.client.jobs.get_run_output(task).logs):
        time.sleep(0.05)
    print(logs, flush=True)
    os._exit({os.EX_SOFTWARE})
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == os.EX_SOFTWARE, ended.stderr
    deadline = time.monotonic() + 10
    while Path(f"/proc/{int(ended.stdout)}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
