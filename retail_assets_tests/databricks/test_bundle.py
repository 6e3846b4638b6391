"""The asset bundle of a deployment: what the settings name, in the words of the published schema."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import yaml

from retail_assets.databricks.bundle import bundle
from retail_assets.project import project_root
from retail_assets.settings import SettingError
from retail_assets_tests.databricks.judge import DIRECTORY
from retail_assets_tests.databricks.test_settings import DEPLOYMENT, ON_EXISTING, ON_NEW, SECRET, read

PLACES = {
    "staging": "/Volumes/retail/retail_assets/staging",
    "landing": "/Volumes/retail/landing/drops/online_retail",
    "dashboards": "s3://elsewhere/dashboards",
}
AGAINST_THE_SCHEMA = """
import json, sys
from databricks.bundles.clusters import Cluster
from databricks.bundles.schemas import Schema
from databricks.bundles.volumes import Volume

kinds = {"schemas": Schema, "volumes": Volume, "clusters": Cluster}
for kind, resources in json.load(sys.stdin).items():
    for resource in resources.values():
        kinds[kind].from_dict(resource)
"""


def made(environment: dict[str, str], **changed: str | None) -> dict[str, Any]:
    return bundle(read(environment, **changed), ["online_retail"], PLACES)


def test_schemas_and_volumes_are_those_that_the_settings_name():
    resources = made(ON_EXISTING)["resources"]
    assert {(s["catalog_name"], s["name"]) for s in resources["schemas"].values()} == {
        ("retail", "online_retail"),
        ("retail", "retail_assets"),
        ("retail", "landing"),
    }
    assert {(v["schema_name"], v["name"]) for v in resources["volumes"].values()} == {
        ("${resources.schemas.retail_assets.name}", "staging"),
        ("${resources.schemas.landing.name}", "drops"),
    }, "what is in an object store is not a volume's"
    assert "clusters" not in resources, "the cluster is there"


def test_a_cluster_for_each_step_becomes_a_warm_one_with_its_permissions():
    permissions = '{"CAN_VIEW": ["analysts"], "CAN_MANAGE_RUN": ["ada@example.com"]}'
    warm = made(ON_NEW, RETAIL_DATABRICKS_PERMISSIONS=permissions)["resources"]["clusters"]["warm"]
    assert (warm["spark_version"], warm["data_security_mode"]) == ("17.3.x-scala2.13", "SINGLE_USER")
    assert warm["autotermination_minutes"] == 60
    assert warm["permissions"] == [
        {"group_name": "analysts", "level": "CAN_ATTACH_TO"},
        {"user_name": "ada@example.com", "level": "CAN_RESTART"},
    ]


def test_a_catalog_before_unity_catalog_is_refused():
    with pytest.raises(SettingError, match="RETAIL_CATALOG='hive_metastore' is no catalog of Unity Catalog"):
        made(ON_EXISTING, RETAIL_CATALOG="hive_metastore")


@pytest.mark.usefixtures("judge")
@pytest.mark.parametrize(
    ("spoilt", "right"), [({}, True), ({"schemas": {"a": {"catalog_name": "b"}}}, False)], ids=["as made", "spoilt"]
)
def test_the_published_schema_of_bundles_takes_it(spoilt: dict[str, Any], right: bool):
    permissions = '{"CAN_VIEW": ["analysts"], "CAN_MANAGE": ["ada@example.com"]}'
    resources = made(ON_NEW, RETAIL_DATABRICKS_WORKERS="2-8", RETAIL_DATABRICKS_PERMISSIONS=permissions)["resources"]
    ended = subprocess.run(
        [sys.executable, "-c", AGAINST_THE_SCHEMA],
        input=json.dumps({**resources, **spoilt}),
        env={**os.environ, "PYTHONPATH": str(DIRECTORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode == 0) is right, ended.stderr


def test_the_command_prints_it_and_no_secret(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "retail_assets.cli", "bundle"],
        cwd=project_root(),
        env={**os.environ, "RETAIL_ENGINE": "spark", **DEPLOYMENT, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert SECRET not in ended.stdout
    described = yaml.safe_load(ended.stdout)
    assert described["targets"]["production"]["workspace"] == {"host": DEPLOYMENT["DATABRICKS_HOST"]}
    assert "online_retail" in described["resources"]["schemas"]
