"""Every alert has an entry in the runbook, and every entry an alert."""

import re

from retail_assets.lakehouse import checks
from retail_assets.operations.alerts.messages import runbook_anchor
from retail_assets.operations.alerts.problems import Kind, Severity
from retail_assets.project import project_root
from retail_assets_tests.made_shop import TABLES

ENTRIES = {
    re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-"): text
    for heading, text in re.findall(
        r"^## (.+?)\n(.+?)(?=^## |\Z)", (project_root() / "docs" / "runbook.md").read_text(), re.MULTILINE | re.DOTALL
    )
}

KINDS = {
    runbook_anchor(kind, severity, None)
    for kind in Kind
    for severity in Severity
}  # fmt: skip

FAMILIES = {family for table in TABLES for check in table.checks if (family := getattr(check, "family", None))} | set(
    getattr(checks, "FAMILIES", ())
)


def test_every_kind_of_alert_has_an_entry_that_says_what_it_means_how_to_look_and_how_to_mend():
    assert set(ENTRIES) >= KINDS
    for kind in KINDS:
        assert all(word in ENTRIES[kind] for word in ("**Means**", "**Look**", "**Mend**")), kind


def test_every_family_of_checks_has_an_entry():
    wanted = {runbook_anchor(Kind.CHECK, Severity.ERROR, family) for family in FAMILIES}
    assert wanted <= set(ENTRIES)


def test_every_entry_is_of_an_alert():
    of_families = {anchor for anchor in ENTRIES if anchor.startswith("check-family-")}
    assert set(ENTRIES) - of_families == KINDS
