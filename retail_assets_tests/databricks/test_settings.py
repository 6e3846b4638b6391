"""The databricks deployment says at start-up what is missing or wrong, by variable, and never shows a secret."""

import json
from datetime import date
from typing import Any

import pytest
from databricks.sdk.service.compute import ClusterSpec

from retail_assets.databricks.access import DEFAULT_POLICY, Access
from retail_assets.databricks.compute import RUNTIMES
from retail_assets.databricks.settings import DatabricksSettings
from retail_assets.landing.calendar import calendar_of
from retail_assets.partitions.calendar import Calendar
from retail_assets.settings import SettingError, Settings

SECRET = "dapi-very-secret"
WORKSPACE = {
    "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
    "DATABRICKS_TOKEN": SECRET,
    "RETAIL_CATALOG": "retail",
}
ON_EXISTING = {**WORKSPACE, "RETAIL_DATABRICKS_CLUSTER_ID": "0123-456789-abcdefgh"}
ON_NEW = {
    **WORKSPACE,
    "RETAIL_DATABRICKS_SPARK_VERSION": "17.3.x-scala2.13",
    "RETAIL_DATABRICKS_NODE_TYPE": "i3.xlarge",
}
DEPLOYMENT = {
    **ON_EXISTING,
    "RETAIL_DEPLOYMENT": "databricks",
    "RETAIL_LANDING": "/Volumes/retail/landing/drops",
    "RETAIL_ONLINE_RETAIL_FIRST_DAY": "2009-12-01",
    "RETAIL_ONLINE_RETAIL_LAST_DAY": "2011-12-09",
}


def read(environment: dict[str, str], **changed: str | None) -> DatabricksSettings:
    """The settings of an environment with some variables changed, or taken away by None."""
    return DatabricksSettings.read({k: v for k, v in {**environment, **changed}.items() if v is not None})


def new_cluster(**changed: str | None) -> dict[str, Any]:
    cluster: dict[str, Any] = read(ON_NEW, **changed).compute.task_fields([])["new_cluster"]
    return cluster


def test_an_existing_cluster_needs_nothing_else():
    settings = read(ON_EXISTING)
    fields = settings.compute.task_fields([{"pypi": {"package": "a==1"}}])
    assert fields == {"existing_cluster_id": "0123-456789-abcdefgh", "libraries": [{"pypi": {"package": "a==1"}}]}
    assert settings.host == "https://adb-1.7.azuredatabricks.net"
    assert settings.staging == "/Volumes/retail/retail_assets/staging"
    assert (settings.poll_seconds, settings.timeout_seconds) == (5, 4 * 60 * 60)
    assert (settings.secrets, settings.access_policy) == ([], DEFAULT_POLICY)
    assert settings.run_fields == {"queue": {"enabled": True}}


def test_a_new_cluster_is_dedicated_and_its_driver_alone_does_the_work():
    assert new_cluster() == {
        "spark_version": "17.3.x-scala2.13",
        "node_type_id": "i3.xlarge",
        "num_workers": 0,
        "data_security_mode": "SINGLE_USER",
        "custom_tags": {"ResourceClass": "SingleNode"},
        "spark_conf": {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"},
    }


def test_a_new_cluster_can_be_described_in_full():
    cluster = new_cluster(
        RETAIL_DATABRICKS_NODE_TYPE=None,
        RETAIL_DATABRICKS_POOL_ID="pool-1",
        RETAIL_DATABRICKS_WORKERS="2-8",
        RETAIL_DATABRICKS_POLICY_ID="policy-1",
        RETAIL_DATABRICKS_SPARK_CONF='{"spark.speculation": true, "spark.sql.shuffle.partitions": 8}',
        RETAIL_DATABRICKS_INIT_SCRIPTS="/Volumes/retail/ops/scripts/a.sh, /Workspace/Shared/b.sh",
        RETAIL_DATABRICKS_TAGS='{"team": "retail"}',
    )
    assert (cluster["instance_pool_id"], "node_type_id" in cluster) == ("pool-1", False)
    assert (cluster["autoscale"], "num_workers" in cluster) == ({"min_workers": 2, "max_workers": 8}, False)
    assert (cluster["policy_id"], cluster["apply_policy_default_values"]) == ("policy-1", True)
    assert cluster["spark_conf"] == {"spark.speculation": "true", "spark.sql.shuffle.partitions": "8"}
    assert cluster["init_scripts"] == [
        {"volumes": {"destination": "/Volumes/retail/ops/scripts/a.sh"}},
        {"workspace": {"destination": "/Workspace/Shared/b.sh"}},
    ]
    assert cluster["custom_tags"] == {"team": "retail"}


def test_the_sdk_knows_everything_a_new_cluster_says():
    cluster = new_cluster(
        RETAIL_DATABRICKS_POLICY_ID="policy-1",
        RETAIL_DATABRICKS_INIT_SCRIPTS='[{"s3": {"destination": "s3://b/i.sh", "region": "eu-west-1"}}]',
    )
    assert ClusterSpec.from_dict(cluster).as_dict() == cluster


@pytest.mark.parametrize(
    ("way", "client"),
    [
        ({"DATABRICKS_TOKEN": "t"}, {"auth_type": "pat", "token": "t"}),
        (
            {"DATABRICKS_CLIENT_ID": "i", "DATABRICKS_CLIENT_SECRET": "s"},
            {"auth_type": "oauth-m2m", "client_id": "i", "client_secret": "s"},
        ),
        (
            {"ARM_CLIENT_ID": "i", "ARM_CLIENT_SECRET": "s", "ARM_TENANT_ID": "t"},
            {
                "auth_type": "azure-client-secret",
                "azure_client_id": "i",
                "azure_client_secret": "s",
                "azure_tenant_id": "t",
            },
        ),
    ],
)
def test_there_are_three_ways_to_authenticate(way: dict[str, str], client: dict[str, Any]):
    credentials = read({**ON_EXISTING, "DATABRICKS_TOKEN": "", **way}).credentials
    assert credentials.client_arguments == client


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"DATABRICKS_HOST": None}, "DATABRICKS_HOST is not set, and RETAIL_DEPLOYMENT=databricks needs it"),
        (
            {"DATABRICKS_HOST": "https://x.net/?o=1"},
            "DATABRICKS_HOST='https://x.net/?o=1' is not a workspace's address",
        ),
        ({"RETAIL_CATALOG": None}, "RETAIL_CATALOG is not set"),
        ({"RETAIL_CATALOG": "re tail"}, "RETAIL_CATALOG='re tail' is no catalog's name"),
        ({"DATABRICKS_TOKEN": None}, "Nothing says how to authenticate with Databricks. Set DATABRICKS_TOKEN; or DATA"),
        ({"ARM_CLIENT_ID": "x"}, "DATABRICKS_TOKEN, ARM_CLIENT_ID are set together"),
        (
            {"DATABRICKS_TOKEN": None, "ARM_CLIENT_ID": "x", "ARM_TENANT_ID": "y"},
            "ARM_CLIENT_SECRET must be set as well, beside ARM_CLIENT_ID and ARM_TENANT_ID.",
        ),
        ({"RETAIL_DATABRICKS_CLUSTER_ID": None}, "No cluster is set. Set RETAIL_DATABRICKS_CLUSTER_ID for an existing"),
        (
            {"RETAIL_DATABRICKS_WORKERS": "2"},
            "RETAIL_DATABRICKS_CLUSTER_ID='0123-456789-abcdefgh' names an existing cluster, but "
            "RETAIL_DATABRICKS_WORKERS describe a new one.",
        ),
        ({"RETAIL_DATABRICKS_STAGING": "s3://x"}, "RETAIL_DATABRICKS_STAGING='s3://x' is neither a directory of a vol"),
        ({"RETAIL_DATABRICKS_STAGING": "dbfs:/"}, "RETAIL_DATABRICKS_STAGING='dbfs:' is neither"),
        ({"RETAIL_DATABRICKS_STAGING": "/Volumes/a/b"}, "RETAIL_DATABRICKS_STAGING='/Volumes/a/b' is neither"),
        ({"RETAIL_DATABRICKS_SECRET_SCOPE": "s"}, "RETAIL_DATABRICKS_SECRET_SCOPE='s' needs RETAIL_DATABRICKS_SECRETS"),
        ({"RETAIL_DATABRICKS_SECRETS": "A=b"}, "RETAIL_DATABRICKS_SECRETS='A=b' needs RETAIL_DATABRICKS_SECRET_SCOPE"),
        (
            {"RETAIL_DATABRICKS_SECRETS": "A=b,C", "RETAIL_DATABRICKS_SECRET_SCOPE": "s"},
            "RETAIL_DATABRICKS_SECRETS='A=b,C': 'C' is not a variable and the key of its secret",
        ),
        ({"RETAIL_DATABRICKS_PERMISSIONS": "{"}, "RETAIL_DATABRICKS_PERMISSIONS is not JSON"),
        (
            {"RETAIL_DATABRICKS_PERMISSIONS": '{"CAN_FLY": []}'},
            "RETAIL_DATABRICKS_PERMISSIONS: 'CAN_FLY' is not one of",
        ),
        ({"RETAIL_DATABRICKS_PERMISSIONS": '{"CAN_VIEW": "x"}'}, "RETAIL_DATABRICKS_PERMISSIONS: CAN_VIEW must be a l"),
        (
            {"RETAIL_DATABRICKS_RUN_AS": "analysts"},
            "RETAIL_DATABRICKS_RUN_AS='analysts' is neither a service principal",
        ),
        ({"RETAIL_DATABRICKS_QUEUE": "yes"}, "RETAIL_DATABRICKS_QUEUE='yes' is neither on nor off"),
        ({"RETAIL_DATABRICKS_POLL_SECONDS": "0"}, "RETAIL_DATABRICKS_POLL_SECONDS='0' is not a number of seconds"),
        ({"RETAIL_DATABRICKS_TIMEOUT_SECONDS": "1h"}, "RETAIL_DATABRICKS_TIMEOUT_SECONDS='1h' is not a whole number"),
        ({"RETAIL_ACCESS_POLICY": '{"a": ["tin"]}'}, "RETAIL_ACCESS_POLICY: 'a' has ['tin'], which is neither 'all' n"),
        ({"RETAIL_ACCESS_POLICY": "[]"}, "RETAIL_ACCESS_POLICY='[]' is not a JSON object of principals"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_would_do(changed: dict[str, str | None], told: str):
    with pytest.raises(SettingError) as refused:
        read(ON_EXISTING, **changed)
    assert str(refused.value).startswith(told)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"RETAIL_DATABRICKS_SPARK_VERSION": None}, "RETAIL_DATABRICKS_SPARK_VERSION is not set"),
        (
            {"RETAIL_DATABRICKS_SPARK_VERSION": "13.3.x-scala2.12"},
            "RETAIL_DATABRICKS_SPARK_VERSION='13.3.x-scala2.12' is not a supported Databricks Runtime. Supported are "
            "16.4 LTS (Spark 3.5.2, Python 3.12); 17.3 LTS (Spark 4.0.0, Python 3.12); 18 LTS (Spark 4.1.0",
        ),
        ({"RETAIL_DATABRICKS_SPARK_VERSION": "17.3"}, "RETAIL_DATABRICKS_SPARK_VERSION='17.3' is not a supported"),
        ({"RETAIL_DATABRICKS_NODE_TYPE": None}, "A new cluster needs one of RETAIL_DATABRICKS_NODE_TYPE and RETAIL_DA"),
        ({"RETAIL_DATABRICKS_POOL_ID": "p"}, "RETAIL_DATABRICKS_NODE_TYPE and RETAIL_DATABRICKS_POOL_ID are both set"),
        ({"RETAIL_DATABRICKS_WORKERS": "8-2"}, "RETAIL_DATABRICKS_WORKERS='8-2' is neither a number of workers nor"),
        ({"RETAIL_DATABRICKS_WORKERS": "some"}, "RETAIL_DATABRICKS_WORKERS='some' is neither"),
        (
            {"RETAIL_DATABRICKS_INIT_SCRIPTS": "dbfs:/i.sh"},
            "RETAIL_DATABRICKS_INIT_SCRIPTS='dbfs:/i.sh': 'dbfs:/i.sh' i",
        ),
        ({"RETAIL_DATABRICKS_TAGS": "team=retail"}, "RETAIL_DATABRICKS_TAGS is not JSON"),
        ({"RETAIL_DATABRICKS_TAGS": '["team"]'}, "RETAIL_DATABRICKS_TAGS is not a JSON object"),
    ],
)
def test_a_new_cluster_that_cannot_be_is_named_with_what_would_do(changed: dict[str, str | None], told: str):
    with pytest.raises(SettingError) as refused:
        read(ON_NEW, **changed)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    "version", ["16.4.x-scala2.12", "16.4.x-photon-scala2.13", "17.3.x-cpu-ml-scala2.13", "18.x-scala2.13"]
)
def test_every_variant_of_a_supported_runtime_will_do(version: str):
    assert new_cluster(RETAIL_DATABRICKS_SPARK_VERSION=version)["spark_version"] == version
    assert version.split(".x")[0] in {runtime.version for runtime in RUNTIMES}


def test_secrets_that_spark_is_configured_with_are_not_shown():
    told = ""
    try:
        read(ON_NEW, RETAIL_DATABRICKS_SPARK_CONF=f'{{"key": "{SECRET}"')
    except SettingError as refused:
        told = str(refused)
    assert told.startswith("RETAIL_DATABRICKS_SPARK_CONF is not JSON")
    assert SECRET not in told
    assert SECRET not in repr(read(ON_NEW, RETAIL_DATABRICKS_SPARK_CONF=f'{{"key": "{SECRET}"}}'))


def test_secrets_of_the_cluster_are_named_by_scope_and_key():
    settings = read(
        ON_EXISTING, RETAIL_DATABRICKS_SECRET_SCOPE="retail", RETAIL_DATABRICKS_SECRETS="A=a-key, MLFLOW_PASSWORD=b.key"
    )
    assert settings.secrets == [
        {"name": "A", "key": "a-key", "scope": "retail"},
        {"name": "MLFLOW_PASSWORD", "key": "b.key", "scope": "retail"},
    ]


PRINCIPAL = "6f2c1c3e-0f6b-4b1e-9c55-0a4d4ad0a6f1"


def test_every_run_says_who_may_see_it_as_whom_it_runs_whether_it_queues_and_who_pays():
    allowed = {"CAN_VIEW": ["analysts", PRINCIPAL], "CAN_MANAGE_RUN": ["ada@example.com"]}
    settings = read(
        ON_EXISTING,
        RETAIL_DATABRICKS_PERMISSIONS=json.dumps(allowed),
        RETAIL_DATABRICKS_RUN_AS=PRINCIPAL,
        RETAIL_DATABRICKS_QUEUE="off",
        RETAIL_DATABRICKS_BUDGET_POLICY_ID="budget-1",
    )
    assert settings.run_fields == {
        "access_control_list": [
            {"group_name": "analysts", "permission_level": "CAN_VIEW"},
            {"service_principal_name": PRINCIPAL, "permission_level": "CAN_VIEW"},
            {"user_name": "ada@example.com", "permission_level": "CAN_MANAGE_RUN"},
        ],
        "run_as": {"service_principal_name": PRINCIPAL},
        "queue": {"enabled": False},
        "budget_policy_id": "budget-1",
    }


def test_the_access_policy_can_be_replaced():
    settings = read(ON_EXISTING, RETAIL_ACCESS_POLICY='{"marketing": ["gold", "ml"], "owners": "all", "gone": []}')
    assert settings.access_policy == (
        Access("marketing", reads=frozenset({"gold", "ml"})),
        Access("owners", everything=True),
        Access("gone"),
    )


def test_without_unity_catalog_staging_goes_through_dbfs():
    settings = read(ON_EXISTING, RETAIL_CATALOG="spark_catalog")
    assert settings.staging == "dbfs:/retail_assets/staging"
    assert read(ON_EXISTING, RETAIL_DATABRICKS_STAGING="dbfs:/mine/").staging == "dbfs:/mine"


# The whole deployment ------------------------------------------------------------------------------------------------


def test_the_deployment_has_its_own_defaults_and_needs_no_lakehouse():
    settings = Settings.read(DEPLOYMENT)
    assert (settings.deployment, settings.catalog, settings.on_cluster) == ("databricks", "retail", False)
    assert settings.mlflow_tracking_uri == "databricks"
    assert settings.databricks is not None
    assert SECRET not in repr(settings)


def test_the_cluster_reads_the_same_settings_from_what_it_is_handed_without_any_secret():
    environment = {**DEPLOYMENT, "RETAIL_LAYOUT": "clustered", "MLFLOW_TRACKING_URI": "http://mlflow"}
    segments = {"RETAIL_SEGMENT_TRANSFORM": "winsorised", "RETAIL_SEGMENT_ENGINE": "mllib"}
    segments |= {"RETAIL_SEGMENT_DRIVER_CUSTOMERS": "7"}
    host = Settings.read(environment | segments | {"RETAIL_DISCOUNT_RATE": "0.00001"})
    assert SECRET not in str(host.remote_environment)
    cluster = Settings.read(host.remote_environment)
    assert (cluster.on_cluster, cluster.databricks) == (True, None)
    for name in ("deployment", "landing", "catalog", "clustered", "mlflow_tracking_uri", "calendars", "engine"):
        assert getattr(cluster, name) == getattr(host, name)
    found = (cluster.segment_transform, cluster.segment_engine, cluster.segment_driver_customers)
    assert found == ("winsorised", "mllib", 7)
    assert cluster.discount_rate == host.discount_rate == 0.00001


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"RETAIL_LANDING": ""}, "RETAIL_LANDING is not set, and RETAIL_DEPLOYMENT=databricks needs it: the landing"),
        ({"RETAIL_LANDING": "data/landing"}, "RETAIL_LANDING='data/landing' cannot be read on a Databricks cluster"),
        ({"RETAIL_LANDING": "file:///data"}, "RETAIL_LANDING='file:///data' cannot be read on a Databricks cluster"),
        ({"RETAIL_LAYOUT": "heap"}, "RETAIL_LAYOUT='heap' is not one of partitioned, clustered."),
        ({"MLFLOW_TRACKING_URI": "http://me:word@mlflow"}, "MLFLOW_TRACKING_URI holds a password, which would be stag"),
        ({"RETAIL_PSEUDONYM_KEY": "short"}, "RETAIL_PSEUDONYM_KEY is shorter than 32 characters"),
        ({"RETAIL_PSEUDONYM_KEY": "k" * 32}, "RETAIL_PSEUDONYM_KEY is set here but would not reach the cluster."),
    ],
)
def test_a_deployment_that_cannot_work_is_refused(changed: dict[str, str], told: str):
    with pytest.raises(SettingError) as refused:
        Settings.read({**DEPLOYMENT, **changed})
    assert str(refused.value).startswith(told)
    assert "k" * 32 not in str(refused.value)


def test_a_pseudonym_key_is_read_where_it_reaches_the_cluster_and_is_not_handed_over_in_the_clear():
    key = "k" * 32
    scope = {"RETAIL_DATABRICKS_SECRET_SCOPE": "s", "RETAIL_DATABRICKS_SECRETS": "RETAIL_PSEUDONYM_KEY=pseudonym"}
    settings = Settings.read({**DEPLOYMENT, **scope, "RETAIL_PSEUDONYM_KEY": key})
    assert settings.pseudonym_key == key
    assert key not in repr(settings) + str(settings.remote_environment)


@pytest.mark.parametrize("missing", ["RETAIL_ONLINE_RETAIL_FIRST_DAY", "RETAIL_ONLINE_RETAIL_LAST_DAY"])
def test_the_calendar_has_to_be_set_as_the_landing_zone_is_out_of_reach(missing: str):
    assert calendar_of(Settings.read(DEPLOYMENT), "online_retail") == Calendar(date(2009, 12, 1), date(2011, 12, 9))
    settings = Settings.read({**DEPLOYMENT, missing: ""})
    with pytest.raises(SettingError, match=f"^{missing} must be set with RETAIL_DEPLOYMENT=databricks: the calendar"):
        calendar_of(settings, "online_retail")
