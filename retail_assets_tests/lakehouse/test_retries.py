"""What may pass by itself is tried once more; what data or code are the cause of fails at once and says why."""

import pytest
from dagster import Failure, RetryPolicy, asset, materialize
from sqlalchemy.exc import OperationalError

from retail_assets.lakehouse.catalog_tables import CommitLost
from retail_assets.lakehouse.contracts import ContractViolation
from retail_assets.lakehouse.delta_tables import WriteRefused
from retail_assets.lakehouse.retries import verdicts_kept
from retail_assets.landing.drop_reader import DropRefused
from retail_assets_tests.lakehouse.test_table import failure

LASTING = [
    ContractViolation("no column"),
    WriteRefused("no partition"),
    DropRefused("d.csv", "no header", "mend it"),
    ValueError("three is no month"),
    KeyError("column"),
    Failure("no"),
]
PASSING = [
    OSError("disk full"),
    ConnectionError("nobody answers"),
    TimeoutError("too long"),
    CommitLost("version 3"),
    OperationalError("SELECT 1", {}, Exception("locked")),
]


@pytest.mark.parametrize(("error", "tries"), [*((e, 1) for e in LASTING), *((e, 2) for e in PASSING)], ids=repr)
def test_only_what_may_pass_by_itself_is_tried_again(error: Exception, tries: int):
    tried = []

    @asset(retry_policy=RetryPolicy(max_retries=1))
    def sales() -> None:
        tried.append(1)
        with verdicts_kept():
            raise error

    result = materialize([sales], raise_on_error=False)
    assert len(tried) == tries
    assert str(error) in failure(result, sales.key)
