"""Metric views of Unity Catalog: statements by the published grammar, and none for what is as it should be.

The grammar: https://docs.databricks.com/aws/en/uc-semantics/metric-views/yaml-reference, of version 0.1. That the same
definitions give the right figures is held on Spark's own metric views: retail_assets_tests/sql/test_metrics.py.
"""

import re

import pytest
import yaml

from retail_assets import metrics
from retail_assets.databricks.metric_views import view_statements, views_of

TABLES = [("shop", sheet.table) for sheet in metrics.SHEETS] + [("shop", "daily_metrics")]
THERE = dict.fromkeys(TABLES, "")
AGGREGATES = r"\b(sum|count|avg|min|max)\("


@pytest.mark.parametrize("sheet", metrics.SHEETS, ids=[sheet.table for sheet in metrics.SHEETS])
def test_a_metric_view_is_what_the_published_grammar_asks_for(sheet: metrics.Sheet):
    statement, comment = view_statements("retail", [("shop", sheet.table)], THERE)
    told = re.fullmatch(
        rf"CREATE OR REPLACE VIEW `retail`\.`shop`\.`{sheet.table}_metrics` WITH METRICS LANGUAGE YAML AS\n"
        r"\$\$\n([^$]+)\n\$\$",
        statement,
    )
    assert told
    assert re.fullmatch(rf"COMMENT ON TABLE `retail`\.`shop`\.`{sheet.table}_metrics` IS '.+\.'", comment)
    view = yaml.safe_load(told[1])
    assert set(view) == {"version", "source", "dimensions", "measures"}
    assert (view["version"], view["source"]) == ("0.1", f"`retail`.`shop`.`{sheet.table}`")
    named = [column["name"] for column in view["dimensions"] + view["measures"]]
    assert len(named) == len(set(named))
    assert all(set(column) == {"name", "expr"} for column in view["dimensions"] + view["measures"])
    assert not any(re.search(AGGREGATES, dimension["expr"]) for dimension in view["dimensions"])
    assert all(re.search(AGGREGATES, measure["expr"]) for measure in view["measures"])
    assert {metric.name for metric in sheet.metrics} == {measure["name"] for measure in view["measures"]}


def test_the_second_time_there_is_nothing_to_do_and_what_is_not_there_yet_is_left():
    done = view_statements("retail", TABLES, THERE)
    comments = {
        ("shop", found[1]): found[2]
        for statement in done
        if (found := re.fullmatch(r"COMMENT ON TABLE .*`(.+)` IS '(.+)'", statement))
    }
    assert set(comments) == set(views_of(TABLES))
    assert view_statements("retail", TABLES, THERE | comments) == []
    stale = comments | {("shop", "churn_scores_metrics"): "An older definition."}
    changed = view_statements("retail", TABLES, THERE | stale)
    assert [("churn_scores_metrics" in statement) for statement in changed] == [True, True]
    assert view_statements("retail", TABLES, {}) == []
