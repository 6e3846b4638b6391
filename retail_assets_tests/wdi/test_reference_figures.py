"""The figures that an independent SQL engine found in the published indicators are those of the tables, exactly."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from retail_assets.landing.drops import LandingZone
from retail_assets.wdi.landing import land
from retail_assets_tests.online_retail.independent_reader import IndependentReader
from retail_assets_tests.workbench import Workbench

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def lakehouse(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, real_data: Path) -> IndependentReader:
    """All tables, made by the main job from the published files."""
    workbench = Workbench(tmp_path_factory.mktemp("wdi"), spark, source="wdi")
    landed = land([real_data / "wdi"], LandingZone(workbench.settings.landing))
    assert {table: of.rows for table, of in landed.tables.items()} == {"indicators": 600_444, "countries": 265}
    summary = workbench.run()
    assert summary.failures == []
    return IndependentReader(workbench.path("indicators").parent)


def test_every_value_is_there_once(lakehouse: IndependentReader):
    assert lakehouse.row("SELECT count(*), count(DISTINCT indicator_code) FROM indicators") == (600_444, 146)
    assert lakehouse.row("SELECT count(*), sum(cardinality(indicators)) FROM country_indicators") == (17_225, 600_444)
    assert lakehouse.row("SELECT count(population), count(gdp_usd), count(gdp_growth) FROM country_indicators") == (
        17_195, 13_979, 10_872,
    )  # fmt: skip


def test_economies_and_their_codes(lakehouse: IndependentReader):
    counts = "count(*), count_if(is_aggregate), count(iso_alpha_3), count(iso_alpha_2)"
    assert lakehouse.row(f"SELECT {counts} FROM countries") == (265, 48, 215, 215)
    nameless = "SELECT country_code FROM countries WHERE NOT is_aggregate AND iso_alpha_3 IS NULL ORDER BY 1"
    assert lakehouse.rows(nameless) == [("CHI",), ("XKX",)]


def test_the_growth_of_canada_by_year(lakehouse: IndependentReader):
    canada = "SELECT year, gdp_growth FROM country_growth WHERE country_code = 'CAN' ORDER BY year LIMIT 2"
    assert lakehouse.rows(canada) == [(1961, 3.16329168371281), (1962, 7.11677926679127)]
    assert lakehouse.row("SELECT count(*) FROM growth_by_year") == (10_872,)


def test_the_best_year_of_each_country(lakehouse: IndependentReader):
    best = dict(lakehouse.rows("SELECT country_name, year FROM best_growth_years"))
    assert len(best) == 255
    wanted = {"Canada": 1962, "Brazil": 1973, "United Kingdom": 1973, "China": 1970}
    assert {name: best[name] for name in wanted} == wanted


def test_no_check_fails(lakehouse: IndependentReader):
    assert lakehouse.rows("SELECT table_name, check_name FROM dq_results WHERE status = 'failed'") == []
