"""Who can read what: by the policy, and by the grants that a catalog has."""

import pytest

from retail_assets.databricks.access import Securable
from retail_assets.databricks.access_audit import audit, readers
from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets.databricks.settings import DatabricksSettings
from retail_assets.databricks.workspace_api import Login, WorkspaceApi
from retail_assets_tests.databricks.test_settings import ON_EXISTING

CATALOG, SCHEMA = Securable("CATALOG", "retail"), Securable("SCHEMA", "retail.shop")
TAKINGS = Securable("TABLE", "retail.shop.takings")
USE = {CATALOG: {"ada": frozenset({"USE_CATALOG"})}, SCHEMA: {"ada": frozenset({"USE_SCHEMA"})}}


@pytest.mark.parametrize(
    ("granted", "reads"),
    [
        ({**USE, TAKINGS: {"ada": frozenset({"SELECT"})}}, True),
        (USE, False),
        ({SCHEMA: USE[SCHEMA], TAKINGS: {"ada": frozenset({"SELECT"})}}, False),
        ({CATALOG: USE[CATALOG], TAKINGS: {"ada": frozenset({"SELECT"})}}, False),
        ({CATALOG: USE[CATALOG], SCHEMA: {"ada": frozenset({"ALL_PRIVILEGES"})}}, True),
        ({CATALOG: {"ada": frozenset({"ALL_PRIVILEGES"})}}, True),
        ({**USE, CATALOG: {"ada": frozenset({"USE_CATALOG", "SELECT"})}}, True),
    ],
)
def test_to_read_takes_the_table_or_what_it_is_in_and_the_use_of_both(granted, reads):
    assert readers(granted, "retail.shop.takings") == ({"ada"} if reads else set())


def test_policy_and_catalog_stand_side_by_side(sparkless: Workspace):
    settings = DatabricksSettings.read(
        {**ON_EXISTING, "RETAIL_CATALOG": "audited", "DATABRICKS_HOST": sparkless.host, "DATABRICKS_TOKEN": "x"}
    )
    api = WorkspaceApi(Login(sparkless.host, {"token": sparkless.token, "auth_type": "pat"}), say=print)
    sparkless.absent.add("audited.shop.later")
    to_all = [
        ("catalog/audited", "USE_CATALOG"),
        ("schema/audited.shop", "USE_SCHEMA"),
        ("table/audited.shop.a", "SELECT"),
    ]
    for securable, privilege in to_all:
        change = {"principal": "account users", "add": [privilege], "remove": []}
        api.call("PATCH", f"/api/2.1/unity-catalog/permissions/{securable}", {"changes": [change]})
    tables = [(("shop", "a"), "gold"), (("shop", "b"), "silver"), (("shop", "later"), "gold")]
    first, second, later = audit(api, settings, tables)
    assert (first.by_policy, first.in_catalog) == ({"analysts", "engineers"}, {"account users"})
    assert (first.unasked, first.missing) == ({"account users"}, {"analysts", "engineers"})
    assert (second.unasked, second.missing) == (set(), {"engineers"})
    assert (later.in_catalog, later.unasked, later.missing) == (None, set(), set())
