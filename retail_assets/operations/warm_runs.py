"""Runs of a code server start from a process that has loaded everything they need.

Dagster's code server starts a fresh interpreter for each run, which spends seconds on imports before the first table.
Here it starts each run from Python's own fork server, in which run_libraries.py was loaded once, without threads: a run
is still a process of its own, is terminated and watched as before, and reads the definitions anew, so that it knows
today's calendar. Dagster offers no setting for it; a test fails when an upgrade changes what is put in its place here.
"""

import multiprocessing
import sys
import threading
from functools import wraps
from multiprocessing import forkserver
from typing import Any

PRELOADED = "retail_assets.operations.run_libraries"


def keep_runs_warm() -> None:
    """In a code server: runs start from a process that is warm, which is started now. Elsewhere nothing happens.

    Called while the code server loads the definitions, before it serves.
    """
    server = sys.modules.get("dagster._grpc.server")
    if server is None or multiprocessing.parent_process() is not None or not _is_code_server():
        return
    api_server = server.DagsterApiServer
    if hasattr(api_server.StartRun, "__wrapped__"):  # the definitions are loaded once more
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    threading.Thread(target=forkserver.ensure_running, name="warm runs", daemon=True).start()
    original = api_server.StartRun

    @wraps(original)
    def start_run(self: Any, *arguments: Any, **options: Any) -> Any:
        self._mp_ctx = context
        return original(self, *arguments, **options)

    api_server.StartRun = start_run


def _is_code_server() -> bool:
    return sys.argv[1:3] == ["api", "grpc"] or "code-server" in sys.argv[1:2]
