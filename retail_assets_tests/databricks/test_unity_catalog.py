"""Grants and descriptions: what differs is changed, nothing else, and the second time there is nothing to do."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dagster import Failure
from databricks.sdk.service.catalog import Privilege
from pyspark.sql import SparkSession

from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.databricks.access import (
    DEFAULT_POLICY,
    Access,
    GrantChange,
    Securable,
    grant_changes,
    wanted_grants,
)
from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets.databricks.settings import DatabricksSettings
from retail_assets.databricks.unity_catalog import (
    Described,
    describe_tables,
    grant_access,
    statements,
    wanted_description,
)
from retail_assets.databricks.workspace_api import Login, WorkspaceApi
from retail_assets.lakehouse.catalog_tables import CatalogTables
from retail_assets.lakehouse.contracts import conform, written_schema
from retail_assets.lakehouse.layers import GOLD, SILVER
from retail_assets.partitions.keys import DIRECTORY, PARTITION
from retail_assets_tests.databricks.test_settings import ON_EXISTING
from retail_assets_tests.lakehouse.shop import Sales, frame, sales, takings
from retail_assets_tests.made_shop import ID_COLUMNS

TABLES = {("shop", "sales"): "silver", ("shop", "takings"): "gold"}
CATALOG, SCHEMA = Securable("CATALOG", "retail"), Securable("SCHEMA", "retail.shop")
SALES, TAKINGS = Securable("TABLE", "retail.shop.sales"), Securable("TABLE", "retail.shop.takings")


def privileges(*names: str) -> frozenset[str]:
    return frozenset(names)


# Grants --------------------------------------------------------------------------------------------------------------


def test_analysts_read_gold_and_engineers_have_all():
    assert wanted_grants(DEFAULT_POLICY, "retail", TABLES) == {
        CATALOG: {"analysts": privileges("USE_CATALOG"), "engineers": privileges("USE_CATALOG")},
        SCHEMA: {"analysts": privileges("USE_SCHEMA"), "engineers": privileges("ALL_PRIVILEGES")},
        SALES: {"analysts": privileges(), "engineers": privileges()},
        TAKINGS: {"analysts": privileges("SELECT"), "engineers": privileges()},
    }


def test_a_principal_that_may_read_nothing_any_more_loses_all_it_had():
    wanted = wanted_grants([Access("gone")], "retail", TABLES)
    current = {
        CATALOG: {"gone": privileges("USE_CATALOG")},
        SCHEMA: {"gone": privileges("USE_SCHEMA")},
        TAKINGS: {"gone": privileges("SELECT")},
    }
    assert [line for change in grant_changes(wanted, current) for line in change.statements] == [
        "REVOKE USE SCHEMA ON SCHEMA retail.shop FROM `gone`",
        "REVOKE SELECT ON TABLE retail.shop.takings FROM `gone`",
    ], "what the catalog itself allows is left: it may hold other schemas"


def test_only_what_differs_changes_and_others_grants_are_left_alone():
    wanted = {TAKINGS: {"analysts": privileges("SELECT")}, SALES: {"analysts": privileges()}}
    current = {
        TAKINGS: {"analysts": privileges("SELECT", "MODIFY"), "auditors": privileges("SELECT")},
        SALES: {"analysts": privileges("SELECT")},
    }
    assert grant_changes(wanted, current) == [
        GrantChange(SALES, "analysts", add=privileges(), remove=privileges("SELECT")),
        GrantChange(TAKINGS, "analysts", add=privileges(), remove=privileges("MODIFY")),
    ]
    assert grant_changes(wanted, wanted) == []


@pytest.fixture
def api(sparkless: Workspace) -> Iterator[WorkspaceApi]:
    """A workspace in which analysts hold a privilege that they should not."""
    api = WorkspaceApi(Login(sparkless.host, {"auth_type": "pat", "token": sparkless.token}))
    sparkless.principals |= {"analysts", "engineers"}
    change(api, "table", "retail.shop.sales", "analysts", "SELECT")
    yield api
    sparkless.absent.clear()
    sparkless.principals |= {"analysts", "engineers"}
    for kind, name in PLACES:
        for principal in ("analysts", "engineers"):
            change(api, kind, name, principal, remove=sorted(held(api, kind, name).get(principal, ())))


PLACES = (("catalog", "retail"), ("schema", "retail.shop"), ("table", "retail.shop.sales"))


def change(api: WorkspaceApi, kind: str, name: str, principal: str, *add: str, remove: Sequence[str] = ()) -> None:
    body = {"changes": [{"principal": principal, "add": list(add), "remove": list(remove)}]}
    api.call("PATCH", f"/api/2.1/unity-catalog/permissions/{kind}/{name}", body)


def held(api: WorkspaceApi, kind: str, name: str) -> dict[str, set[str]]:
    answer = api.call("GET", f"/api/2.1/unity-catalog/permissions/{kind}/{name}")
    return {one["principal"]: set(one["privileges"]) for one in answer["privilege_assignments"]}


def shown(metadata: dict[str, Any]) -> tuple[int, str, str]:
    return metadata["changes"].value, metadata["statements"].value, metadata["not_there_yet"].value


def test_grants_are_brought_in_line_and_the_second_time_there_is_nothing_to_do(api: WorkspaceApi, sparkless: Workspace):
    settings = DatabricksSettings.read(ON_EXISTING)
    sparkless.absent.add("retail.shop.takings")
    changes, told, absent = shown(grant_access(api, settings, [sales, takings]))
    assert changes == 5
    assert "REVOKE SELECT ON TABLE retail.shop.sales FROM `analysts`;" in told
    assert "GRANT ALL PRIVILEGES ON SCHEMA retail.shop TO `engineers`;" in told
    assert absent == "retail.shop.takings"
    assert [held(api, kind, name) for kind, name in PLACES] == [
        {"analysts": {"USE_CATALOG"}, "engineers": {"USE_CATALOG"}},
        {"analysts": {"USE_SCHEMA"}, "engineers": {"ALL_PRIVILEGES"}},
        {},
    ]
    assert shown(grant_access(api, settings, [sales, takings])) == (0, "none", "retail.shop.takings")


def test_a_privilege_that_the_sdk_has_never_heard_of_is_named_and_taken_away(api: WorkspaceApi):
    with pytest.raises(ValueError, match="EXTERNAL_USE_SCHEMA"):
        Privilege("EXTERNAL_USE_SCHEMA")
    change(api, "schema", "retail.shop", "analysts", "EXTERNAL_USE_SCHEMA")

    metadata = grant_access(api, DatabricksSettings.read(ON_EXISTING), [sales, takings])

    assert held(api, "schema", "retail.shop")["analysts"] == {"USE_SCHEMA"}
    assert "REVOKE EXTERNAL USE SCHEMA ON SCHEMA retail.shop FROM `analysts`;" in shown(metadata)[1]
    assert metadata["unknown_privileges"].value == "EXTERNAL_USE_SCHEMA"


def test_a_principal_that_databricks_does_not_know_keeps_nobody_from_their_grants(
    api: WorkspaceApi, sparkless: Workspace
):
    sparkless.principals.remove("analysts")
    with pytest.raises(Failure) as refused:
        grant_access(api, DatabricksSettings.read(ON_EXISTING), [sales, takings])
    assert "RETAIL_ACCESS_POLICY" in str(refused.value.description)
    assert str(refused.value.description).count("Could not find principal with name analysts") == 1
    assert "TO `engineers`" in str(refused.value.metadata["statements"].value)
    assert held(api, "schema", "retail.shop") == {"engineers": {"ALL_PRIVILEGES"}}


# Descriptions --------------------------------------------------------------------------------------------------------


def test_a_contract_says_all_that_the_catalog_is_told():
    wanted = wanted_description(CustomerRfm, GOLD, ID_COLUMNS, pseudonyms=True, kept={"p": "1"})
    assert wanted.comment.startswith("Recency, frequency and monetary value of every customer")
    assert "\n" not in wanted.comment
    assert wanted.properties == {"p": "1", "delta.autoOptimize.optimizeWrite": "true"}
    assert list(wanted.columns) == list(CustomerRfm.to_schema().columns)
    assert (wanted.tags, wanted.column_tags) == ({"layer": "gold"}, {"customer_id": {"personal_data": "pseudonym"}})
    in_the_clear = {"customer_id": {"personal_data": "identifier"}}
    assert wanted_description(CustomerRfm, GOLD, ID_COLUMNS, pseudonyms=False, kept={}).column_tags == in_the_clear
    assert wanted_description(CustomerRfm, SILVER, ID_COLUMNS, pseudonyms=True, kept={}).column_tags == in_the_clear


WANTED = Described("It's sold", {"a": "one", "b": "two"}, {"p": "1"}, {"layer": "gold"}, {"a": {"personal_data": "x"}})


def test_what_the_catalog_lacks_becomes_statements():
    current = Described("", {"a": "", "b": "two"}, {"q": "2"}, {"owner": "me"}, {})
    assert statements("`c`.`s`.`t`", WANTED, current) == [
        r"COMMENT ON TABLE `c`.`s`.`t` IS 'It\'s sold'",
        "ALTER TABLE `c`.`s`.`t` ALTER COLUMN `a` COMMENT 'one'",
        "ALTER TABLE `c`.`s`.`t` SET TBLPROPERTIES ('p' = '1')",
        "ALTER TABLE `c`.`s`.`t` SET TAGS ('layer' = 'gold')",
        "ALTER TABLE `c`.`s`.`t` ALTER COLUMN `a` SET TAGS ('personal_data' = 'x')",
    ]
    assert not any("TAGS" in line for line in statements("t", WANTED, current, tagged=False))


def test_what_is_as_it_should_be_needs_no_statement_and_more_is_left_alone():
    more = Described(
        WANTED.comment,
        {**WANTED.columns, "c": "mine"},
        {"p": "1", "q": "2"},
        {"layer": "gold", "owner": "me"},
        {"a": {"personal_data": "x", "y": "z"}},
    )
    assert statements("t", WANTED, WANTED) == statements("t", WANTED, more) == []


def test_a_column_that_the_table_does_not_have_yet_is_left_for_the_write_that_adds_it():
    current = Described(WANTED.comment, {"b": "two"}, WANTED.properties, WANTED.tags, {})
    assert statements("t", WANTED, current) == []


@pytest.fixture
def catalog(spark: SparkSession, tmp_path: Path) -> Iterator[CatalogTables]:
    spark.sql(f"CREATE SCHEMA shop LOCATION '{tmp_path}/shop'")
    yield CatalogTables(spark, "spark_catalog")
    spark.sql("DROP SCHEMA shop CASCADE")


@pytest.mark.jvm
def test_tables_are_described_in_the_catalog_once(spark: SparkSession, catalog: CatalogTables):
    rows = conform(frame(spark, [("1", 1, "1.50", "food", "2020-01-30")]), Sales)
    by_month, day = {PARTITION: "day", DIRECTORY: "month"}, [date(2020, 1, 30)]
    catalog.replace(("shop", "sales"), rows, by_month, day, schema=written_schema(Sales))
    spark.sql("ALTER TABLE shop.sales ALTER COLUMN kind COMMENT 'changed by hand'")

    changes, told, absent = shown(
        describe_tables(spark, "spark_catalog", [sales, takings], ID_COLUMNS, pseudonyms=False)
    )

    assert changes == 3
    assert "ALTER COLUMN `kind` COMMENT 'What it is'" in told
    assert absent == "spark_catalog.shop.takings"
    detail = spark.sql("DESCRIBE DETAIL shop.sales").first()
    assert detail is not None
    assert detail.description == "What was sold, by day."
    assert detail.properties["delta.deletedFileRetentionDuration"] == "interval 30 days"
    assert spark.table("shop.sales").schema["kind"].metadata["comment"] == "What it is"
    assert detail.properties["delta.logRetentionDuration"] == "interval 30 days"
    assert shown(describe_tables(spark, "spark_catalog", [sales], ID_COLUMNS, pseudonyms=False)) == (0, "none", "none")


@pytest.mark.jvm
def test_a_table_that_remembers_what_its_rows_were_made_from_keeps_its_log(spark: SparkSession, catalog: CatalogTables):
    rows = conform(frame(spark, [("1", 1, "1.50", "food", "2020-01-30")]), Sales)
    told = {"2020-01-30": "a drop"}
    catalog.replace(("shop", "sales"), rows, {PARTITION: "day", DIRECTORY: "month"}, [date(2020, 1, 30)], told)

    describe_tables(spark, "spark_catalog", [sales], ID_COLUMNS, pseudonyms=False)

    detail = spark.sql("DESCRIBE DETAIL shop.sales").first()
    assert detail is not None
    assert detail.properties["delta.logRetentionDuration"] == "interval 3650 days"
    assert detail.properties["delta.deletedFileRetentionDuration"] == "interval 30 days"
