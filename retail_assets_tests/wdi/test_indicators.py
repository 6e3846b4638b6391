"""Both published forms of the indicators land and are read alike, and what is wrong with them is found."""

import csv
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from retail_assets import wdi
from retail_assets.lakehouse.checks import Audit
from retail_assets.lakehouse.contracts import conform, partition_column, table_name
from retail_assets.lakehouse.found_tables import tables_in
from retail_assets.lakehouse.judging import judge
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import WHOLE
from retail_assets.wdi.landing import land
from retail_assets_tests.online_retail.frames import frame

TABLES = {table.key.path[-1]: table for table in tables_in(wdi)}
MADE = ["countries", "country_indicators", "country_growth", "growth_by_year", "best_growth_years"]

POPULATION, GDP, GROWTH = "SP.POP.TOTL", "NY.GDP.MKTP.CD", "NY.GDP.MKTP.KD.ZG"

LONG = "year,countryname,countrycode,indicatorname,indicatorcode,indicatorvalue,source"
WIDE = '"Country Name","Country Code","Indicator Name","Indicator Code","1960","1961","1962",'
COUNTRIES = "Country Code,Region,IncomeGroup,SpecialNotes,TableName"

Rows = list[dict[str, Any]]


def landed(directory: Path, **files: list[str]) -> LandingZone:
    """A zone with these files landed, by name."""
    for name, lines in files.items():
        path = directory / f"{name}.csv"
        path.write_text("\n".join(lines) + "\n")
        os.utime(path, (0, 0))
    zone = LandingZone(str(directory / "landing"))
    land([directory / f"{name}.csv" for name in files], zone)
    return zone


class _Session:
    """What a bronze table asks for."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark_session = spark


def bronze(spark: SparkSession, zone: LandingZone, table: str = "indicators") -> tuple[list[Row], dict[str, list[str]]]:
    """The rows of a bronze table, and what was noted of its drops."""
    built: Any = TABLES[table].build(landing=zone, pyspark=_Session(spark))
    return conform(built.frame, TABLES[table].contract).collect(), built.findings["notes"]


def values(rows: list[Row]) -> set[tuple[str, ...]]:
    return {(row.country_code, row.indicator_code, row.year, row.indicator_value) for row in rows}


def test_the_wide_and_the_long_form_give_the_same_rows_and_no_value_is_no_row(spark: SparkSession, tmp_path: Path):
    (tmp_path / "wide").mkdir()
    wide = landed(tmp_path / "wide", WDICSV=[
        WIDE, f'"Congo, Dem. Rep.","COD","Population, total","{POPULATION}","15,5","","16.25",',
        f'"Canada","CAN","GDP growth (annual %)","{GROWTH}","","3.16329168371281","0",',
    ])  # fmt: skip
    rows, notes = bronze(spark, wide)
    assert values(rows) == {
        ("COD", POPULATION, "1960", "15,5"), ("COD", POPULATION, "1962", "16.25"),
        ("CAN", GROWTH, "1961", "3.16329168371281"), ("CAN", GROWTH, "1962", "0"),
    }  # fmt: skip
    assert {row.country_name for row in rows} == {"Congo, Dem. Rep.", "Canada"}
    assert notes == {}
    long = landed(tmp_path, long=[
        LONG, f'1960,"Congo, Dem. Rep.",COD,"Population, total",{POPULATION},"15,5",a.csv',
        f'1962,"Congo, Dem. Rep.",COD,"Population, total",{POPULATION},16.25,a.csv',
        f"1961,Canada,CAN,GDP growth (annual %),{GROWTH},3.16329168371281,b.csv",
        f"1962,Canada,CAN,GDP growth (annual %),{GROWTH},0,b.csv",
    ])  # fmt: skip
    of_long, notes = bronze(spark, long)
    assert values(of_long) == values(rows)
    assert {row.extra_columns["source"] for row in of_long} == {"a.csv", "b.csv"}
    assert notes == {}


def test_a_ragged_line_is_kept_and_a_delivery_replaces_the_one_before(spark: SparkSession, tmp_path: Path):
    (tmp_path / "again").mkdir()
    zone = landed(tmp_path, wide=[WIDE, f"Canada,CAN,Growth,{GROWTH},,1.5,2.5,", "not,a,row"])
    rows, _ = bronze(spark, zone)
    assert [row.malformed_line for row in rows if row.malformed_line] == ["not,a,row"]
    assert len(rows) == 3
    again = tmp_path / "again" / "wide.csv"
    again.write_text(f"{WIDE}\nCanada,CAN,Growth,{GROWTH},,,2.75,\nCanada,CAN,Growth,{GDP},,,3,\n")
    os.utime(again, (0, 0))
    land([again], zone)
    assert values(bronze(spark, zone)[0]) == {("CAN", GROWTH, "1962", "2.75"), ("CAN", GDP, "1962", "3")}


def test_the_banks_own_list_of_economies_lands_with_whatever_else_it_says(spark: SparkSession, tmp_path: Path):
    zone = landed(tmp_path, WDICountry=[
        '"Country Code","Short Name","Table Name","2-alpha code","Special Notes","Region","Income Group"',
        '"CAN","Canada","Canada","CA","","North America","High income"',
    ])  # fmt: skip
    [row], notes = bronze(spark, zone, "raw_countries")
    assert (row.country_code, row.country_name, row.income_group) == ("CAN", "Canada", "High income")
    assert row.extra_columns["2-alpha code"] == "CA"
    assert notes == {}


class MadeStatistics:
    """The tables made of raw rows."""

    def __init__(self, spark: SparkSession, indicators: Rows, countries: Rows) -> None:
        self.spark = spark
        raw = {"indicators": indicators, "raw_countries": countries}
        self.frames = {
            name: frame(spark, TABLES[name].contract, ({"snapshot": WHOLE} | row for row in rows))
            for name, rows in raw.items()
        }
        for name in MADE:
            table = TABLES[name]
            parameters = inspect.signature(table.build).parameters
            made = table.build(**{one: frames for one, frames in self.inputs(name).items() if one in parameters})
            assert isinstance(made, DataFrame)
            self.frames[name] = spark.createDataFrame(conform(made, table.contract).toArrow())

    def inputs(self, name: str) -> dict[str, DataFrame]:
        return {one: self.frames[table_name(read)[1]] for one, (read, _) in TABLES[name].reads.items()}

    def failed(self, name: str, rows: Rows | None = None) -> dict[str, Any]:
        """The checks that fail, with what their metadata say."""
        table = TABLES[name]
        made = self.frames[name] if rows is None else frame(self.spark, table.contract, rows)
        audit = Audit(made, self.inputs(name), [str(WHOLE)], partition_column(table.contract), {})
        verdicts = {check: of[str(WHOLE)] for check, of in judge(audit, table.contract, table.checks).verdicts.items()}
        return {check: dict(verdict.metadata) for check, verdict in verdicts.items() if not verdict.passed}


def value(country: str, year: int, code: str, written: str) -> dict[str, Any]:
    about = {"country_name": f"{country} spelt otherwise", "indicator_name": code}
    return {"country_code": country, "year": str(year), "indicator_code": code, "indicator_value": written} | about


def economy(code: str, name: str, region: str | None) -> dict[str, Any]:
    return {"country_code": code, "country_name": name, "region": region, "income_group": region and "High income"}


def published() -> tuple[Rows, Rows]:
    """Canada grows best in 1962, as Kosovo does in 1961; the world in between."""
    values = [
        value("CAN", 1961, GROWTH, "3.5"), value("CAN", 1962, GROWTH, "7.0"), value("CAN", 1963, GROWTH, "7.0"),
        value("CAN", 1965, GROWTH, "-1e-1"), value("CAN", 1962, POPULATION, "20"), value("CAN", 1962, GDP, "50"),
        value("XKX", 1961, GROWTH, "7.0"), value("WLD", 1961, GROWTH, "4.0"), value("CAN", 1961, POPULATION, "18"),
        value("CAN", 1961, "IC.TAX.PAYM", "7.0"),
    ]  # fmt: skip
    countries = [economy("CAN", "Canada", "North America"), economy("XKX", "Kosovo", "Europe"),
                 economy("WLD", "World", None)]  # fmt: skip
    return values, countries


@pytest.fixture(scope="module")
def made(spark: SparkSession) -> MadeStatistics:
    return MadeStatistics(spark, *published())


def test_nothing_of_sound_statistics_fails_a_check(made: MadeStatistics):
    assert {name: failed for name in MADE if (failed := made.failed(name))} == {}


def test_economies_have_the_codes_of_iso_where_there_are_such(made: MadeStatistics):
    found = {row.country_code: (row.is_aggregate, row.iso_alpha_3, row.iso_alpha_2)
             for row in made.frames["countries"].collect()}  # fmt: skip
    assert found == {"CAN": (False, "CAN", "CA"), "XKX": (False, None, None), "WLD": (True, None, None)}


def test_a_year_of_a_country_has_all_its_values_and_none_that_is_not_known(made: MadeStatistics):
    years = {(row.country_code, row.year): row for row in made.frames["country_indicators"].collect()}
    assert set(years) == {("CAN", year) for year in (1961, 1962, 1963, 1965)} | {("XKX", 1961), ("WLD", 1961)}
    known = years["CAN", 1962]
    assert (known.country_name, known.population, known.gdp_usd, known.gdp_per_head) == ("Canada", 20.0, 50.0, 2.5)
    assert known.indicators == {POPULATION: 20.0, GDP: 50.0, GROWTH: 7.0}
    assert (years["CAN", 1963].population, years["CAN", 1963].gdp_per_head) == (None, None)
    assert years["CAN", 1965].gdp_growth == -0.1


def test_the_growth_of_a_country_by_year(made: MadeStatistics):
    found = {row.year: (row.gdp_growth, row.previous_growth, row.growth_change, row.growth_rank)
             for row in made.frames["country_growth"].collect() if row.country_code == "CAN"}  # fmt: skip
    assert found == {
        1961: (3.5, None, None, 3), 1962: (7.0, 3.5, 3.5, 1), 1963: (7.0, 7.0, 0.0, 2), 1965: (-0.1, None, None, 4),
    }  # fmt: skip


def test_the_growth_of_all_countries_in_a_year(made: MadeStatistics):
    found = {row.country_code: (row.gdp_growth, row.year_rank, row.world_growth)
             for row in made.frames["growth_by_year"].collect() if row.year == 1961}  # fmt: skip
    assert found == {"XKX": (7.0, 1, 4.0), "CAN": (3.5, 2, 4.0), "WLD": (4.0, None, 4.0)}


def test_the_best_year_of_each_country_is_found_by_country_and_indicator(made: MadeStatistics):
    """Kosovo grew in 1961 as Canada did in 1962, and another indicator of Canada's is the same number in 1961."""
    found = {row.country_name: (row.year, row.gdp_growth, row.years)
             for row in made.frames["best_growth_years"].collect()}  # fmt: skip
    assert found == {"Canada": (1962, 7.0, 4), "Kosovo": (1961, 7.0, 1), "World": (1961, 4.0, 1)}


def changed(row: int, **values: Any) -> Callable[[Rows], None]:
    return lambda rows: rows[row].update(values)


@pytest.mark.parametrize(
    ("plant", "check", "seen"),
    [
        (changed(0, indicator_value="3,5"), "reconciliation", {"values": "9", "values_expected": "10"}),
        (lambda rows: rows.append(rows[0]), "reconciliation", {"values": "10", "values_expected": "11"}),
        (changed(0, country_code="ZZZ"), "countries_known", {"unknown": 1, "sample": "ZZZ"}),
        (changed(4, indicator_value="0.0"), "contract", {"failed_rows": {"population_greater_than": 1}}),
        (changed(0, year="3961"), "contract", {"failed_rows": {"year_in_range": 1}}),
    ],
    ids=["unreadable", "twice", "country unknown", "0 instead of no value", "year to come"],
)
def test_what_is_wrong_with_the_indicators_is_found(
    spark: SparkSession, plant: Callable[[Rows], None], check: str, seen: dict[str, Any]
):
    values, countries = published()
    plant(values)
    failed = MadeStatistics(spark, values, countries).failed("country_indicators")
    assert {name: failed[check].get(name) for name in seen} == seen


@pytest.mark.parametrize(
    ("name", "plant", "check"),
    [
        ("countries", lambda rows: rows.pop(), "reconciliation"),
        ("countries", changed(2, is_aggregate=True, iso_alpha_3="CAN"), "contract"),
        ("country_growth", lambda rows: rows.pop(), "reconciliation"),
        ("country_growth", lambda rows: rows.append(rows[0]), "contract"),
        ("growth_by_year", lambda rows: rows.pop(), "reconciliation"),
        ("growth_by_year", changed(0, year_rank=0), "contract"),
        ("best_growth_years", lambda rows: rows.pop(), "reconciliation"),
        ("best_growth_years", changed(0, years=0), "contract"),
    ],
)
def test_what_is_made_wrong_is_found(made: MadeStatistics, name: str, plant: Callable[[Rows], Any], check: str):
    rows = [row.asDict() for row in made.frames[name].collect()]
    plant(rows)
    assert check in made.failed(name, rows)


def test_the_file_of_a_million_values_is_read_piece_by_piece(tmp_path: Path, spark: SparkSession):
    """A wide file of 20,000 rows by 50 years, as the published one of 21.8 million values is built."""
    with (tmp_path / "big.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Country Name", "Country Code", "Indicator Name", "Indicator Code", *range(1970, 2020), ""])
        cells = [f"{number}.125" for number in range(50)]
        writer.writerows(["Canada", "CAN", "Indicator, of many", f"I.{number}", *cells, ""] for number in range(20_000))
    zone = LandingZone(str(tmp_path / "landing"))
    assert land([tmp_path / "big.csv"], zone).tables["indicators"].rows == 20_000
    built: Any = TABLES["indicators"].build(landing=zone, pyspark=_Session(spark))
    counts = built.frame.selectExpr("count(*)", "count(DISTINCT year)", "sum(CAST(indicator_value AS DOUBLE))").first()
    assert tuple(counts) == (1_000_000, 50, 20_000 * (sum(range(50)) + 50 / 8))
