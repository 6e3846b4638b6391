"""The committed data dictionary says what the contracts say."""

from retail_assets.lakehouse.dictionary import data_dictionary
from retail_assets.project import project_root
from retail_assets_tests.made_shop import RESULTS, TABLES


def test_the_committed_dictionary_is_current():
    committed = (project_root() / "docs" / "tables.md").read_text(encoding="utf-8")
    assert committed == data_dictionary([*TABLES, RESULTS]), "run: retail dictionary > docs/tables.md"
