"""Runs one command and measures it with everything it starts: wall time, CPU time, peak memory."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 1.0  # a look at the memory of a JVM takes tens of milliseconds and holds it up
GRACE_SECONDS = 10.0
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Measurement:
    """`wall` and `cpu` in seconds, `peak_memory` in bytes, of the whole process tree.

    `cpu_of_others` are the CPU-seconds that the rest of the machine used meanwhile: how much it was disturbed.
    """

    command: list[str]
    wall: float
    cpu: float
    peak_memory: int
    cpu_of_others: float
    exit_code: int


def adopt_orphans() -> None:
    """Makes this process the parent of its descendants' orphans, so that the kernel counts their CPU time here.

    A driver often ends before the JVM it started: init would inherit it, and its time would be lost.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measured(
    command: list[str], environment: dict[str, str], directory: Path, log: Path, timeout: float
) -> Measurement:
    """Wall time ends with the command itself; CPU time includes what it leaves behind, which is ended after 10 s.

    `log` receives stdout and stderr. A command that takes longer than `timeout` seconds is killed: exit code -9.
    """
    adopt_orphans()
    before, busy_before = _children_seconds(), _busy_seconds()
    peak, seconds_of_processes = 0, dict[int, float]()
    started = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        try:
            while process.poll() is None and time.monotonic() - started < timeout:
                memory = 0
                for member in _tree():
                    with suppress(psutil.Error):
                        memory += _memory(member)
                        times = member.cpu_times()
                        seconds_of_processes[member.pid] = times.user + times.system
                peak = max(peak, memory)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(SAMPLE_SECONDS)
            wall = time.monotonic() - started
        finally:
            for member in _tree() if process.poll() is None else []:
                with suppress(psutil.Error):
                    member.kill()
            exit_code = process.wait()
            _end_what_is_left()
    # Where orphans cannot be adopted, what the samples saw last is the better figure.
    cpu = max(_children_seconds() - before, sum(seconds_of_processes.values()))
    others = max(0.0, _busy_seconds() - busy_before - cpu)
    return Measurement(command, wall, cpu, peak, others, exit_code)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _busy_seconds() -> float:
    """CPU-seconds of the whole machine since it started, time stolen by other virtual machines included."""
    times = psutil.cpu_times()
    return sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))


def _tree() -> list[psutil.Process]:
    """All our descendants, for one command is run at a time and adopted processes are no longer below it."""
    return psutil.Process().children(recursive=True)


def _memory(process: psutil.Process) -> int:
    """Proportional set size: pages that processes share are counted once. Elsewhere than on Linux, resident size."""
    full = process.memory_full_info()
    return getattr(full, "pss", full.rss)


def _end_what_is_left() -> None:
    """Waits for adopted processes, so that their CPU time is counted; ends those that outstay the grace period."""
    deadline = time.monotonic() + GRACE_SECONDS
    while left := psutil.Process().children():
        for child in left:
            with suppress(psutil.Error, ChildProcessError):
                if time.monotonic() > deadline:
                    child.send_signal(signal.SIGKILL)
                os.waitpid(child.pid, os.WNOHANG)
        time.sleep(0.05)
