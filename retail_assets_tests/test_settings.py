"""Settings that cannot be used are named, with what would do; relative places mean the same everywhere."""

from pathlib import Path

import pytest

from retail_assets.definitions import build_definitions
from retail_assets.project import project_root
from retail_assets.settings import SettingError, Settings


def test_nothing_set_means_the_documented_defaults():
    settings = Settings.read({})
    root = project_root()
    assert (root / "pyproject.toml").exists()
    assert (settings.landing, settings.lakehouse) == (str(root / "data/landing"), str(root / "data/lakehouse"))
    assert settings.mlflow_tracking_uri == f"sqlite:///{root}/data/mlflow.db"
    assert (settings.deployment, settings.engine, settings.shuffle_partitions) == ("local", "sail", 4)
    assert settings.discount_rate == 0.1
    assert settings.calendars == {}


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_variable_counts_as_unset(blank: str):
    variables = [
        "DEPLOYMENT",
        "LANDING",
        "LAKEHOUSE",
        "DASHBOARDS",
        "SPARK_DRIVER_MEMORY",
        "DISCOUNT_RATE",
        "TICK_SECONDS",
        "SNAPSHOTS_CRON",
        "DROP_MARKER",
        "PSEUDONYM_KEY",
        "UI_URL",
        "ONLINE_RETAIL_FIRST_DAY",
    ]
    assert Settings.read({"MLFLOW_TRACKING_URI": blank} | {f"RETAIL_{name}": blank for name in variables}) == (
        Settings.read({})
    )


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("RETAIL_DEPLOYMENT", "mars", "'mars' is not one of local, databricks. Unset it for 'local'."),
        ("RETAIL_SEGMENT_TRANSFORM", "root", "'root' is not one of log, winsorised. Unset it for 'log'."),
        ("RETAIL_SEGMENT_ENGINE", "h2o", "'h2o' is not one of auto, scikit-learn, mllib. Unset it for 'auto'."),
        ("RETAIL_SEGMENT_DRIVER_CUSTOMERS", "0", "'0' is not a whole number above 0. Unset it for 200000."),
        ("RETAIL_ENGINE", "steam", "'steam' is not one of sail, spark. Unset it for 'sail'."),
        ("RETAIL_SPARK_SHUFFLE_PARTITIONS", "many", "'many' is not a whole number above 0. Unset it for 4."),
        ("RETAIL_SPARK_SHUFFLE_PARTITIONS", "0", "'0' is not a whole number above 0. Unset it for 4."),
        ("RETAIL_SPARK_SHUFFLE_PARTITIONS", "-1", "'-1' is not a whole number above 0. Unset it for 4."),
        ("RETAIL_SPARK_SHUFFLE_PARTITIONS", "²", "'²' is not a whole number above 0. Unset it for 4."),
        ("RETAIL_TICK_SECONDS", "1.5", "'1.5' is not a whole number above 0. Unset it for 5."),
        ("RETAIL_DAYS_PER_RUN", "0", "'0' is not a whole number above 0. Unset it for 366."),
        (
            "RETAIL_SNAPSHOTS_CRON",
            "nightly",
            "'nightly' is no cron schedule such as 0 3 * * *. Unset it for no schedule.",
        ),
        ("RETAIL_DISCOUNT_RATE", "10%", "'10%' is no rate from 0 to below 1, such as 0.1. Unset it for 0.1."),
        ("RETAIL_DISCOUNT_RATE", "10", "'10' is no rate from 0 to below 1, such as 0.1. Unset it for 0.1."),
        ("RETAIL_DISCOUNT_RATE", "nan", "'nan' is no rate from 0 to below 1, such as 0.1. Unset it for 0.1."),
        ("RETAIL_SPARK_DRIVER_MEMORY", "much", "'much' is no amount of memory such as 6g or 512m. Unset it for 6g."),
        ("RETAIL_SPARK_DRIVER_MEMORY", "6 GB", "'6 GB' is no amount of memory such as 6g or 512m. Unset it for 6g."),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_would_do(variable: str, value: str, remedy: str):
    with pytest.raises(SettingError) as refused:
        Settings.read({variable: value})
    assert str(refused.value).startswith(f"{variable}={remedy}")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("RETAIL_ONLINE_RETAIL_FIRST_DAY", "1 December"), ("RETAIL_ONLINE_RETAIL_LAST_DAY", "2011-02-30")],
)
def test_a_calendar_that_is_none_is_named_before_anything_runs(tmp_path: Path, variable: str, value: str):
    settings = Settings.read({"RETAIL_LANDING": str(tmp_path / "landing"), variable: value})
    with pytest.raises(SettingError, match=f"^{variable}='{value}' is n"):
        build_definitions(settings)


def test_tables_are_kept_in_a_directory_or_in_a_catalog():
    with pytest.raises(SettingError, match=r"^RETAIL_LAKEHOUSE='s3://lake' is no directory of this machine"):
        Settings.read({"RETAIL_LAKEHOUSE": "s3://lake", "MLFLOW_TRACKING_URI": "http://mlflow"})


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RETAIL_SEGMENT_ENGINE": "mllib"}, "RETAIL_SEGMENT_ENGINE=mllib needs Spark"),
        ({"RETAIL_SPARK_MASTER": "spark://here:7077"}, "RETAIL_SPARK_MASTER is for Spark: set RETAIL_ENGINE=spark"),
        ({"RETAIL_SPARK_MASTER": "yarn", "RETAIL_ENGINE": "spark"}, "RETAIL_SPARK_MASTER='yarn' is neither local nor"),
    ],
)
def test_what_the_embedded_engine_does_not_have_is_refused_by_name(environment: dict[str, str], said: str):
    with pytest.raises(SettingError) as refused:
        Settings.read(environment)
    assert str(refused.value).startswith(said)


def test_spark_may_run_on_a_standalone_cluster():
    settings = Settings.read({"RETAIL_ENGINE": "spark", "RETAIL_SPARK_MASTER": "spark://here:7077"})
    assert (settings.spark_master, settings.executor_memory) == ("spark://here:7077", "2g")


def test_relative_places_are_those_of_the_project_wherever_a_process_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    settings = Settings.read({"RETAIL_LANDING": "in", "RETAIL_LAKEHOUSE": str(tmp_path / "lake")})
    assert settings.landing == str(project_root() / "in")
    assert settings.lakehouse == str(tmp_path / "lake")
    assert Settings.read({"RETAIL_LANDING": "~/in"}).landing == str(Path("~/in").expanduser())


def test_the_environments_calendars_are_taken_along_for_every_source():
    environment = {"RETAIL_OLIST_FIRST_DAY": "2016-09-04", "RETAIL_OLIST_LAST_DAY": "open", "OTHER_LAST_DAY": "x"}
    assert Settings.read(environment).calendars == {
        "RETAIL_OLIST_FIRST_DAY": "2016-09-04",
        "RETAIL_OLIST_LAST_DAY": "open",
    }
