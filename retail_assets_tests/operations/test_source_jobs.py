"""A run that somebody starts in the UI has a name: a source's days, or its months."""

from pathlib import Path

from dagster import DailyPartitionsDefinition, MonthlyPartitionsDefinition

from retail_assets.definitions import build_definitions
from retail_assets.settings import Settings


def test_each_source_has_a_job_of_its_days_and_one_of_its_months(tmp_path: Path):
    settings = Settings.read(
        {
            "RETAIL_LANDING": str(tmp_path / "landing"),
            "RETAIL_LAKEHOUSE": str(tmp_path / "lakehouse"),
            "RETAIL_ONLINE_RETAIL_FIRST_DAY": "2011-01-01",
            "RETAIL_ONLINE_RETAIL_LAST_DAY": "2011-03-31",
        }
    )
    definitions = build_definitions(settings)
    days, months = (definitions.resolve_job_def(f"online_retail_{name}") for name in ("days", "months"))
    of_days, of_months = ({key.path[-1] for key in job.asset_layer.selected_asset_keys} for job in (days, months))
    assert {"raw_invoices", "clean_transactions", "daily_metrics"} <= of_days
    assert {"customer_rfm", "dashboard"} <= of_months
    scores = definitions.resolve_job_def("online_retail_scores").asset_layer.selected_asset_keys
    assert {"churn_scores", "customer_clv"} <= {key.path[-1] for key in scores}
    assert not of_days & of_months
    assert isinstance(days.partitions_def, DailyPartitionsDefinition)
    assert isinstance(months.partitions_def, MonthlyPartitionsDefinition)
    assert all(job.description for job in (days, months))


def test_every_resource_says_what_it_is(tmp_path: Path):
    definitions = build_definitions(Settings.read({"RETAIL_LANDING": str(tmp_path)}))
    resources = definitions.get_repository_def().get_top_level_resources()
    assert [name for name, resource in resources.items() if not resource.description] == []
    assert str(tmp_path) in str(resources["landing"].description)
