"""The figures that an independent SQL engine found in the published files are those of the tables, exactly."""

import tarfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.customers.customer_rfm import customer_rfm
from retail_assets.invoices.clean_transactions import clean_transactions
from retail_assets.invoices.customer_month_activity import customer_month_activity
from retail_assets.invoices.monthly_activity import monthly_activity
from retail_assets.invoices.quarantined_invoices import quarantined_invoices
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import land
from retail_assets_tests.made_shop import INVOICES, RULES
from retail_assets_tests.online_retail.independent_reader import IndependentReader
from retail_assets_tests.workbench import Workbench

HISTORY = "online_retail_ii/online_retail_ii.csv.gz"
DAILY_DROPS = "online_retail_ii/daily_drops_2025_2026.tar.gz"

RFM = [
    # as of, customers, Σ recency, Σ frequency, Σ monetary, median recency
    (date(2010, 6, 1), 2_684, 164_666, 7_738, Decimal("3553372.161"), 46),
    (date(2010, 12, 1), 4_239, 371_130, 18_192, Decimal("8331310.644"), 48),
    (date(2011, 6, 1), 4_908, 828_552, 25_557, Decimal("11598313.925"), 154),
    (date(2011, 12, 10), 5_853, 1_174_701, 36_597, Decimal("17068538.287"), 96),
]
MONTHS = [
    # month, placed orders, cancelled orders, net sales, active users
    (date(2010, 11, 1), 2_868, 576, Decimal("1416697.202"), 1_683),
    (date(2011, 11, 1), 2_884, 441, Decimal("1456145.800"), 1_711),
]


@pytest.fixture(scope="module")
def lakehouse(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, real_data: Path) -> IndependentReader:
    """Everything that the published history becomes, made once by the main job."""
    workbench = Workbench(tmp_path_factory.mktemp("real"), spark, last_day="2011-12-09")
    landed = land([real_data / HISTORY], LandingZone(workbench.settings.landing), INVOICES)
    assert (landed.rows, len(landed.drops), landed.malformed, landed.undated) == (1_067_371, 604, 0, 0)
    summary = workbench.run()
    assert summary.failures == []
    assert not summary.waiting
    return IndependentReader(workbench.path("raw_invoices").parent)


@pytest.mark.long
def test_a_clean_backfill_raises_false_alarms_in_at_most_one_check_evaluation_of_a_hundred(
    lakehouse: IndependentReader,
):
    of_checks = "select table_name, partition_key, check_name, bool_or(status = 'failed') as alarm from dq_results"
    query = f"select check_name, count(*), count(*) filter (alarm) from ({of_checks} group by all) group by all"
    found = {name: (evaluations, alarms) for name, evaluations, alarms in lakehouse.rows(query)}
    evaluations, alarms = (sum(counts) for counts in zip(*found.values(), strict=True))
    assert evaluations > 739 * 18
    assert alarms <= evaluations / 100, found
    # No blocking check may raise one at all: each would keep a day of real data from being published.
    assert lakehouse.row("select count(*) from dq_results where status = 'failed' and blocking") == (0,)
    for check in ("volume", "distribution_drift", "null_rates", "duplicate_rate", "groups", "schema_drift"):
        assert found[check][0] == 739
        assert found[check][1] <= 739 * 0.03, check


@pytest.mark.long
def test_the_quality_tables_have_the_figures_of_the_published_files(lakehouse: IndependentReader):
    sums = "sum(records), sum(unusable), count(*) filter (records > 0), sum(null_customer_id), max(score)"
    assert lakehouse.row(f"select {sums} from bronze_daily_quality") == (1_067_371, 3_462, 604, 243_007, 100.0)
    query = "select sum(silver_rows), sum(quarantined_rows), sum(duplicate_rows), count(*) from daily_counts"
    assert lakehouse.row(query) == (1_029_637, 3_462, 34_272, 739)
    clean = lakehouse.row("select count(distinct (invoice_date, invoice_no)), sum(line_total) from clean_transactions")
    assert lakehouse.row("select sum(silver_invoices), sum(silver_value) from bronze_silver_comparison") == clean


@pytest.mark.long
def test_every_landed_row_is_clean_or_quarantined_or_a_duplicate(lakehouse: IndependentReader):
    assert lakehouse.row("select count(*), count(distinct invoice_date) from raw_invoices") == (1_067_371, 604)
    clean, copies = lakehouse.row("select count(*), sum(landed_rows) from clean_transactions")
    (quarantined,) = lakehouse.row("select count(*) from quarantined_invoices")
    assert (clean, quarantined, copies - clean) == (1_029_637, 3_462, 34_272)
    assert clean + quarantined + (copies - clean) == 1_067_371


@pytest.mark.long
def test_every_landed_pound_is_clean_or_quarantined(lakehouse: IndependentReader):
    money = "sum(cast(quantity as int) * cast(unit_price as decimal(12, 3)))"
    (landed,) = lakehouse.row(f"select {money} from raw_invoices")
    (quarantined,) = lakehouse.row(f"select {money} from quarantined_invoices")
    (clean,) = lakehouse.row("select sum(line_total * landed_rows) from clean_transactions")
    assert landed == clean + quarantined
    by_day = f"select invoice_date, {money} as money from"
    assert not lakehouse.rows(
        f"""with landed as ({by_day} raw_invoices group by all),
        quarantined as ({by_day} quarantined_invoices group by all),
        clean as (select invoice_date, sum(line_total * landed_rows) as money from clean_transactions group by all)
        select * from landed left join quarantined using (invoice_date) left join clean using (invoice_date)
        where landed.money != coalesce(quarantined.money, 0) + coalesce(clean.money, 0)"""
    )


@pytest.mark.long
def test_line_types_customers_and_invoices(lakehouse: IndependentReader):
    types = lakehouse.rows(
        """select line_type, count(*), sum(line_total), count(*) filter (customer_id is null)
        from clean_transactions group by all order by 2 desc"""
    )
    assert [(kind, lines) for kind, lines, _, _ in types] == [
        ("product", 1_005_796),
        ("cancellation", 19_104),
        ("service", 4_736),
        ("adjustment", 1),
    ]
    assert types[0][2:] == (Decimal("19642646.337"), 229_142)
    assert lakehouse.row(
        """select count(distinct customer_id), count(distinct invoice_no), count(distinct invoice_date),
        count(distinct line_key) from clean_transactions"""
    ) == (5_942, 50_230, 604, 1_029_637)
    assert lakehouse.rows(
        """select reason, count(*) from (select unnest(reasons) as reason from quarantined_invoices)
        group by all order by 2"""
    ) == [("invalid_unit_price", 5), ("negative_quantity", 3_457)]


@pytest.mark.long
@pytest.mark.parametrize("expected", RFM, ids=lambda row: str(row[0]))
def test_rfm_of_the_as_of_date(lakehouse: IndependentReader, expected: tuple):
    found = lakehouse.row(
        f"""select as_of_date, count(*), sum(recency_days), sum(frequency), sum(monetary), median(recency_days)
        from customer_rfm where as_of_date = '{expected[0]}' group by all"""
    )
    assert found == expected


@pytest.mark.long
@pytest.mark.parametrize("expected", MONTHS, ids=lambda row: str(row[0]))
def test_activity_of_the_month(lakehouse: IndependentReader, expected: tuple):
    found = lakehouse.row(
        f"""select snapshot_month, placed_orders, cancelled_orders, net_sales, active_users from monthly_activity
        where snapshot_month = '{expected[0]}'"""
    )
    assert found == expected


@pytest.mark.long
def test_geography_over_all_months(lakehouse: IndependentReader):
    places = lakehouse.rows(
        """select country, sum(revenue), sum(orders), (
            select count(distinct customer_id) from clean_transactions as line
            where line.country = geo_metrics.country and line_type = 'product'
        ) from geo_metrics group by country order by 2 desc limit 4"""
    )
    assert places == [
        ("United Kingdom", Decimal("16799804.086"), 38_020, 5_335),
        ("EIRE", Decimal("623414.160"), 581, 3),
        ("Netherlands", Decimal("549773.410"), 217, 22),
        ("Germany", Decimal("383289.001"), 753, 107),
    ]
    assert lakehouse.row("select count(distinct country) from geo_metrics") == (43,)
    assert lakehouse.rows("select distinct country from geo_metrics where iso_code is null order by 1") == [
        ("Channel Islands",),
        ("European Community",),
        ("Unspecified",),
        ("West Indies",),
    ]


@pytest.mark.long
def test_every_table_holds_the_same_money(lakehouse: IndependentReader):
    """Each gold table sums the product lines in its own way; none may lose or double a line."""
    revenue = Decimal("19642646.337")
    assert lakehouse.row("select sum(revenue) from daily_metrics") == (revenue,)
    assert lakehouse.row("select sum(revenue) from geo_metrics") == (revenue,)
    known = Decimal("17068538.287")
    assert lakehouse.row("select sum(revenue) from customer_month_activity") == (known,)
    newest = "where snapshot_month = '2011-12-01'"
    assert lakehouse.row(f"select count(*), sum(monetary) from customer_segments {newest}") == (5_853, known)
    assert lakehouse.row(f"select sum(customers) from segment_model {newest}") == (5_853,)
    assert lakehouse.row(f"select count(*) from churn_scores {newest}") == (5_853,)
    bought = "sum(mean_value * (frequency + 1))::decimal(18, 3)"
    assert lakehouse.row(f"select count(*), {bought} from customer_clv {newest}") == (5_853, known)


@pytest.mark.long
def test_lifetime_value_is_foreseen_as_promised(lakehouse: IndependentReader):
    """The issue's windows that end with a month; 2010-12-09 is in the tests of analytics."""
    windows = {
        (as_of, months): figures
        for as_of, months, *figures in lakehouse.rows(
            """select as_of_date, horizon_months, predicted_value / actual_value::double,
            naive_value / actual_value::double, rank_correlation, naive_rank_correlation,
            predicted_purchases / actual_purchases
            from clv_holdout where slice = 'all' and window_end <= '2011-12-01'"""
        )
    }
    assert len(windows) == 19 + 16 + 10
    promised = {(date(2010, 9, 1), 12): 1.04, (date(2011, 3, 1), 3): 1.31, (date(2011, 6, 1), 6): 0.87}
    assert {window: round(windows[window][0], 2) for window in promised} == promised
    for (_, months), (value, naive, ranked, ranked_naively, _) in windows.items():
        assert ranked > ranked_naively
        if months == 12:
            assert abs(value - 1) < abs(naive - 1)
    assert windows[date(2011, 6, 1), 6][4] == pytest.approx(1, abs=0.05)


@pytest.mark.long
def test_the_published_daily_drops_run_as_they_are(tmp_path: Path, spark: SparkSession, real_data: Path):
    workbench = Workbench(tmp_path, spark, last_day="2026-11-20")
    with tarfile.open(real_data / DAILY_DROPS) as archive:
        archive.extractall(workbench.zone)
    newest = LandingZone(workbench.settings.landing).newest_day(INVOICES.name)
    workbench = Workbench(tmp_path, spark, workbench.instance, last_day=str(newest))
    summary = workbench.run()
    assert summary.failures == []
    reader = IndependentReader(workbench.path("raw_invoices").parent)
    assert reader.row("select count(*), count(distinct source_file) from raw_invoices") == (525_461, 307)
    clean, copies = reader.row("select count(*), sum(landed_rows) from clean_transactions")
    (quarantined,) = reader.row("select count(*) from quarantined_invoices")
    assert clean + quarantined + (copies - clean) == 525_461


@pytest.fixture(scope="module")
def first_year(spark: SparkSession, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataFrame]:
    """The published rows up to November 2010 through the pure transforms alone: quick enough for every day."""
    directory = tmp_path_factory.mktemp("first_year")
    with duckdb.connect() as connection:
        names = ", ".join(f'"{headers[0]}" as {name}' for name, headers in INVOICES.columns.items())
        connection.sql(
            f"""select {names}, cast(null as varchar) as malformed_line, 'history.csv' as source_file,
            cast(left(InvoiceDate, 10) as date) as invoice_date
            from read_csv('{real_data / HISTORY}', all_varchar = true, header = true)
            where InvoiceDate < '2010-12-01'"""
        ).write_parquet(str(directory / "raw.parquet"))

    def written(rows: DataFrame, name: str) -> DataFrame:
        rows.write.parquet(str(directory / name))
        return spark.read.parquet(str(directory / name))

    raw = spark.read.parquet(str(directory / "raw.parquet"))
    clean = written(clean_transactions(raw, RULES), "clean")
    activity = written(customer_month_activity(clean), "activity")
    return {"raw": raw, "quarantined": quarantined_invoices(raw, RULES), "clean": clean, "activity": activity}


def test_the_first_year_of_the_published_rows_is_accounted_for(first_year: dict[str, DataFrame]):
    landed, quarantined = first_year["raw"].count(), first_year["quarantined"].count()
    clean, copies = first_year["clean"].agg(F.count("*"), F.sum("landed_rows")).collect()[0]
    assert landed == copies + quarantined
    assert 0 < quarantined < copies - clean < landed * 0.05


def test_the_first_year_gives_the_reference_figures_of_rfm(first_year: dict[str, DataFrame], spark: SparkSession):
    snapshots = spark.createDataFrame(
        [(date(2010, 5, 1), date(2010, 6, 1)), (date(2010, 11, 1), date(2010, 12, 1))],
        "snapshot_month date, as_of_date date",
    )
    sums = (
        customer_rfm(first_year["activity"], snapshots)
        .groupBy("as_of_date")
        .agg(F.count("*"), F.sum("recency_days"), F.sum("frequency"), F.sum("monetary"), F.median("recency_days"))
    )
    assert [tuple(row) for row in sums.orderBy("as_of_date").collect()] == RFM[:2]


def test_the_first_year_gives_the_reference_figures_of_the_month(first_year: dict[str, DataFrame], spark: SparkSession):
    months = spark.createDataFrame([(date(2010, 11, 1),)], "snapshot_month date")
    (row,) = monthly_activity(first_year["clean"], first_year["activity"], months).collect()
    found = (row.snapshot_month, row.placed_orders, row.cancelled_orders, row.net_sales, row.active_users)
    assert found == MONTHS[0]
