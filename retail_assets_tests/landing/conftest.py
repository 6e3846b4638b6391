"""What the tests of landing share."""

import pytest

from retail_assets.landing import history_files


@pytest.fixture(autouse=True)
def _files_of_tests_are_complete(monkeypatch):
    """Files that were written a moment ago land without a wait."""
    monkeypatch.setattr(history_files, "SETTLE_SECONDS", 0.0)
