"""Three kinds of compute: what each says in a run's request, and what each cannot take, refused by name."""

import re

import pytest

from retail_assets.databricks.compute import WORKS_WITH, what_works_where
from retail_assets.project import project_root
from retail_assets.settings import SettingError
from retail_assets_tests.databricks.test_settings import ON_EXISTING, ON_NEW, WORKSPACE, new_cluster, read

SERVERLESS = {**WORKSPACE, "RETAIL_DATABRICKS_COMPUTE": "serverless"}


def test_serverless_compute_is_an_environment_and_no_cluster():
    compute = read(SERVERLESS).compute
    assert compute.task_fields([]) == {"environment_key": "step"}
    assert compute.run_fields(["dagster==1.13.27"]) == {
        "environments": [
            {
                "environment_key": "step",
                "spec": {"environment_version": "4", "dependencies": ["dagster==1.13.27"]},
            }
        ]
    }
    chosen = read(
        SERVERLESS,
        RETAIL_DATABRICKS_ENVIRONMENT_VERSION="5",
        RETAIL_DATABRICKS_PERFORMANCE_TARGET="PERFORMANCE_OPTIMIZED",
    ).compute.run_fields([])
    assert chosen["environments"][0]["spec"]["environment_version"] == "5"
    assert chosen["performance_target"] == "PERFORMANCE_OPTIMIZED"


def test_a_new_cluster_in_standard_access_mode_says_so_and_an_existing_one_is_what_it_is():
    assert new_cluster(RETAIL_DATABRICKS_COMPUTE="standard")["data_security_mode"] == "USER_ISOLATION"
    fields = read(ON_EXISTING, RETAIL_DATABRICKS_COMPUTE="standard").compute.task_fields([])
    assert fields == read(ON_EXISTING).compute.task_fields([])
    assert read(ON_EXISTING).compute.run_fields(["dagster==1.13.27"]) == {}


@pytest.mark.parametrize(
    ("environment", "changed", "told"),
    [
        (SERVERLESS, {"RETAIL_DATABRICKS_CLUSTER_ID": "x"}, "RETAIL_DATABRICKS_CLUSTER_ID do not go together: serverl"),
        (SERVERLESS, {"RETAIL_DATABRICKS_SPARK_CONF": "{}"}, "RETAIL_DATABRICKS_SPARK_CONF do not go together: server"),
        (SERVERLESS, {"RETAIL_DATABRICKS_INIT_SCRIPTS": "/Volumes/a"}, "RETAIL_DATABRICKS_INIT_SCRIPTS do not go toge"),
        (SERVERLESS, {"RETAIL_DATABRICKS_STAGING": "dbfs:/a"}, "RETAIL_DATABRICKS_STAGING in dbfs:/ do not go togethe"),
        (SERVERLESS, {"RETAIL_SEGMENT_ENGINE": "mllib"}, "RETAIL_SEGMENT_ENGINE=mllib do not go together: serverless "),
        (
            ON_EXISTING,
            {"RETAIL_DATABRICKS_COMPUTE": "standard", "RETAIL_CATALOG": "hive_metastore"},
            "RETAIL_CATALOG before Unity Catalog do not go together: only Unity Catalog is to be had there. It work",
        ),
        (
            ON_NEW,
            {
                "RETAIL_DATABRICKS_COMPUTE": "standard",
                "RETAIL_DATABRICKS_SPARK_VERSION": "17.3.x-cpu-ml-scala2.13",
            },
            "an ML runtime do not go together: Databricks has it for dedicated clusters alone. It works with "
            "RETAIL_DATABRICKS_COMPUTE=dedicated.",
        ),
        (ON_NEW, {"RETAIL_DATABRICKS_ENVIRONMENT_VERSION": "4"}, "RETAIL_DATABRICKS_ENVIRONMENT_VERSION do not go"),
    ],
)
def test_what_a_kind_of_compute_cannot_take_is_refused_by_name(
    environment: dict[str, str], changed: dict[str, str | None], told: str
):
    with pytest.raises(SettingError, match=r"^RETAIL_DATABRICKS_COMPUTE=") as refused:
        read(environment, **changed)
    assert told in str(refused.value)


def test_every_setting_of_a_cluster_is_refused_with_serverless_compute():
    settings = [rule.setting for rule in WORKS_WITH if "serverless" not in rule.kinds]
    for setting in settings:
        if re.fullmatch("[A-Z_]+", setting):
            with pytest.raises(SettingError, match=f"^RETAIL_DATABRICKS_COMPUTE=serverless and {setting} do not"):
                read(SERVERLESS, **{setting: "x"})


def test_the_documentation_has_the_table_of_what_works_where():
    text = (project_root() / "docs" / "databricks.md").read_text()
    assert "\n".join(what_works_where()) in text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"RETAIL_DATABRICKS_COMPUTE": "shared"}, "RETAIL_DATABRICKS_COMPUTE='shared' is not one of dedicated, st"),
        ({"RETAIL_DATABRICKS_ENVIRONMENT_VERSION": "1"}, "RETAIL_DATABRICKS_ENVIRONMENT_VERSION='1' is not one of 3"),
        ({"RETAIL_DATABRICKS_PERFORMANCE_TARGET": "x"}, "RETAIL_DATABRICKS_PERFORMANCE_TARGET='x' is neither STANDA"),
    ],
)
def test_a_kind_of_compute_that_cannot_be_is_named_with_what_would_do(changed: dict[str, str | None], told: str):
    with pytest.raises(SettingError) as refused:
        read(SERVERLESS, **changed)
    assert str(refused.value).startswith(told)
