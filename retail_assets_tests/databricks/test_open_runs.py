"""What is written of remote runs before they are, and what whoever comes next reads of it."""

from dataclasses import replace

import pytest
from dagster import DagsterInstance

from retail_assets.databricks.open_runs import OpenRun, OpenRuns, token

HOST = "https://adb-1.7.azuredatabricks.net"
FIRST = OpenRun(
    token=token("run", "step", 0, 0),
    dagster_run_id="run",
    step_key="step",
    attempt=0,
    submission=0,
    work="w",
    span=("2011-01-01", "2011-01-31"),
    directory="d",
)


def test_a_token_follows_from_run_step_attempt_and_submission():
    assert FIRST.token == token("run", "step", 0, 0)
    others = {token("other", "step", 0, 0), token("run", "other", 0, 0), token("run", "step", 1, 0)}
    assert len(others | {token("run", "step", 0, 1), FIRST.token}) == 5
    assert len(FIRST.token) == 64


def test_a_run_is_open_from_before_it_is_staged_until_its_end_was_seen():
    with DagsterInstance.ephemeral() as instance:
        runs, elsewhere = OpenRuns(instance, HOST, "shop.sales"), OpenRuns(instance, HOST, "shop.takings")
        runs.add(FIRST)
        assert OpenRuns(instance, HOST, "shop.sales").all() == [FIRST]
        assert elsewhere.all() == []
        assert runs.requested(FIRST.token, {"run_name": "x"}) == replace(FIRST, request={"run_name": "x"})
        assert runs.submitted(FIRST.token, 7).run_id == 7
        assert runs.all() == [replace(FIRST, request={"run_name": "x"}, run_id=7)]
        runs.settle(FIRST.token)
        assert runs.all() == []


def test_an_attempt_that_is_submitted_again_gets_another_token():
    with DagsterInstance.ephemeral() as instance:
        runs = OpenRuns(instance, HOST, "shop.sales")
        assert runs.next_submission("run", "step", 0) == 0
        runs.add(FIRST)
        runs.settle(FIRST.token)
        assert runs.next_submission("run", "step", 0) == 1
        assert runs.next_submission("run", "step", 1) == 0


def test_a_stop_before_it_was_written_leaves_nothing_to_settle():
    with DagsterInstance.ephemeral() as instance:
        runs = OpenRuns(instance, HOST, "shop.sales")
        runs.settle(FIRST.token)
        assert runs.all() == []


@pytest.mark.parametrize(
    ("span", "overlaps"),
    [
        (("2011-01-31", "2011-02-05"), True),
        (("2011-01-10", "2011-01-10"), True),
        (("2011-02-01", "2011-02-28"), False),
        (("2010-12-01", "2010-12-31"), False),
        (None, True),
    ],
)
def test_partitions_overlap_by_their_keys(span: tuple[str, str] | None, overlaps: bool):
    assert FIRST.overlaps(span) == overlaps
    assert replace(FIRST, span=span).overlaps(FIRST.span) == overlaps
