"""What runs on the cluster, without one: the end of what is printed is kept; a task begun again changes nothing."""

import io
import json
import tracemalloc
from pathlib import Path

import pytest

from retail_assets.databricks.remote_main import TEXT_KEPT, Copied, Secrets, main, set_up


def test_the_end_of_what_is_printed_is_kept_and_passed_on_without_secrets():
    secrets, passed_on = Secrets(), io.StringIO()
    secrets.add("opensesame")
    stream = Copied(passed_on, secrets)
    lines = [f"line {number}: opensesame\n" for number in range(100_000)]
    for line in lines:
        stream.write(line)

    told = "".join(lines)
    assert passed_on.getvalue() == told.replace("opensesame", "***")
    assert stream.content().decode() == told[-TEXT_KEPT:].replace("opensesame", "***")
    stream.write("and more\n")
    assert stream.content().decode() == f"{told}and more\n"[-TEXT_KEPT:].replace("opensesame", "***")


def test_printing_past_what_is_kept_copies_only_what_is_printed():
    stream = Copied(io.StringIO(), Secrets())
    stream.write("x" * TEXT_KEPT)
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        for _ in range(100):
            stream.write("a short line\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < TEXT_KEPT / 10


def test_a_task_that_is_begun_again_leaves_what_the_first_wrote(tmp_path: Path):
    (tmp_path / "begun").write_text("1")
    (tmp_path / "events.gz").write_bytes(b"the first's")
    with pytest.raises(SystemExit, match="begun here before"):
        main(str(tmp_path / "reference"), str(tmp_path / "config"), str(tmp_path / "code"))
    assert (tmp_path / "events.gz").read_bytes() == b"the first's"
    assert json.loads((tmp_path / "word.json").read_text())["again"] is True

    (tmp_path / "word.json").write_text('{"again": false, "trace": "its own"}')
    with pytest.raises(SystemExit):
        main(str(tmp_path / "reference"), str(tmp_path / "config"), str(tmp_path / "code"))
    assert json.loads((tmp_path / "word.json").read_text()) == {"again": False, "trace": "its own"}


def test_without_secrets_nothing_of_databricks_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RETAIL_ON_CLUSTER", "0")
    set_up({"environment": {"RETAIL_ON_CLUSTER": "1"}, "secrets": []}, {}, Secrets())
    import os

    assert os.environ["RETAIL_ON_CLUSTER"] == "1"
