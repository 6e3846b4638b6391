"""The file of RETAIL_ALERTS: what it may say, and that a wrong one is refused at start-up by name and key."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retail_assets.definitions import build_definitions
from retail_assets.operations.alerts.problems import Kind, Severity
from retail_assets.operations.alerts.settings import AlertSettings, Http, Mail
from retail_assets.project import project_root
from retail_assets.settings import SettingError, Settings

SECRETS = {
    "SLACK_URL": "https://hooks.slack.com/services/T000/B000/slacksecret",
    "TEAMS_URL": "https://example.westeurope.logic.azure.com/workflows/1/triggers/manual/paths/invoke?sig=teamssecret",
    "HOOK_URL": "http://hooks.internal:8080/alerts",
    "HOOK_KEY": "0123456789abcdef-signing",
    "SMTP_PASSWORD": "mailsecret",
}

FULL = """
runbook = "https://git.example.org/retail/docs/runbook.md"
gather_seconds = 5
further_minutes = 1

[quiet_hours]
from = "20:00"
to = "08:00"
timezone = "Europe/London"
whole_days = ["saturday", "sunday"]

[channels.oncall]
kind = "slack"
url_from = "SLACK_URL"

[channels.team]
kind = "teams"
url_from = "TEAMS_URL"

[channels.office]
kind = "email"
host = "smtp.example.org"
from = "retail@example.org"
to = ["data@example.org", "lead@example.org"]
user = "retail"
password_from = "SMTP_PASSWORD"

[channels.hook]
kind = "webhook"
url_from = "HOOK_URL"
signing_key_from = "HOOK_KEY"

[[routes]]
channels = ["oncall"]
severities = ["error"]

[[routes]]
channels = ["team", "office"]
groups = ["bronze", "silver"]

[[routes]]
channels = ["hook"]
kinds = ["run", "still_failed"]
owners = ["team:data-science"]
"""

SMALL = '[channels.hook]\nkind = "webhook"\nurl_from = "HOOK_URL"\n'


def read(directory: Path, content: str, **changed: str) -> AlertSettings:
    path = directory / "alerts.toml"
    path.write_text(content, encoding="utf-8")
    settings = Settings.read({"RETAIL_ALERTS": str(path), **SECRETS, **changed})
    assert settings.alerts is not None
    return settings.alerts


def test_nothing_set_means_no_alerts_and_no_sensor():
    settings = Settings.read({})
    assert (settings.alerts, settings.ui_url) == (None, "http://localhost:3000")
    assert not [each for each in build_definitions(settings).sensors or [] if each.name.startswith("alerts_")]


def test_everything_the_file_may_say_is_read(tmp_path):
    alerts = read(tmp_path, FULL)
    slack, teams, office, hook = (channel.target for channel in alerts.channels)
    assert slack == Http(SECRETS["SLACK_URL"])
    assert teams == Http(SECRETS["TEAMS_URL"])
    assert hook == Http(SECRETS["HOOK_URL"], SECRETS["HOOK_KEY"])
    assert office == Mail(
        "smtp.example.org", 587, "starttls", "retail@example.org", ("data@example.org", "lead@example.org"), "retail",
        "mailsecret",
    )  # fmt: skip
    assert (alerts.timing.gather_seconds, alerts.timing.further_seconds) == (5, 60)
    assert (alerts.check_every_seconds, alerts.still_failed_hours) == (30, 24)
    assert alerts.timing.is_quiet(1_774_123_200)  # a Saturday
    assert not any(secret in repr(alerts) for secret in ("slacksecret", "teamssecret", "mailsecret", "signing"))


def test_a_problem_goes_where_severity_kind_group_and_owner_all_fit(tmp_path):
    alerts = read(tmp_path, FULL)

    def goes_to(kind: Kind, severity: Severity, group: str, owner: str) -> set[str]:
        return {
            channel.name
            for channel in alerts.channels
            if any(route.takes(kind, severity, {group}, {owner}) for route in alerts.routes_of(channel.name))
        }

    assert goes_to(Kind.CHECK, Severity.ERROR, "bronze", "team:data-engineering") == {"oncall", "team", "office"}
    assert goes_to(Kind.CHECK, Severity.WARN, "gold", "team:analytics") == set()
    assert goes_to(Kind.RUN, Severity.ERROR, "ml", "team:data-science") == {"oncall", "hook"}
    assert goes_to(Kind.CHECK, Severity.WARN, "silver", "team:data-science") == {"team", "office"}


def test_without_routes_every_channel_hears_everything(tmp_path):
    (route,) = read(tmp_path, SMALL).routes
    assert route.takes(Kind.FRESHNESS, Severity.WARN, set(), set())


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("channels = 1", "channels: 1 is not tables"),
        ("", "channels: there is none: add a table such as [channels.office]"),
        ("[channels.Hook]\nkind='webhook'", "channels.Hook: a channel's name is lower-case letters"),
        ("[channels.hook]\n", "channels.hook: kind: is missing: one of slack, teams, email, webhook"),
        ("[channels.hook]\nkind = 'pager'", "channels.hook: kind: 'pager' is not one of slack, teams, email, webhook"),
        ("[channels.hook]\nkind = 'slack'", "channels.hook: url_from: is missing: the name of an environment variable"),
        (
            "[channels.hook]\nkind = 'slack'\nurl_from = 'NOWHERE'",
            "channels.hook: url_from: the environment variable NOWHERE is not set",
        ),
        (
            "[channels.hook]\nkind = 'slack'\nurl_from = 'HOOK_URL'",
            "channels.hook: url_from: the variable it names holds no https URL",
        ),
        (
            "[channels.hook]\nkind = 'slack'\nurl_from = 'https://hooks.slack.com/services/slacksecret'",
            "channels.hook: url_from: is not the name of an environment variable; secrets do not belong into this file",
        ),
        (SMALL + "signing_key_from = 'SHORT'", "signing_key_from: the key is shorter than 16 characters"),
        (SMALL + "ca_file = '/nowhere.pem'", "channels.hook: ca_file: /nowhere.pem is not there"),
        (SMALL + "colour = 'red'", "channels.hook: colour: is not known here. There are: ca_file, kind"),
        (SMALL + "[chanels.b]", "chanels: is not known here"),
        (SMALL + "[[routes]]\nchannels = ['hok']", "routes, number 1: channels: 'hok' is not one of hook"),
        (SMALL + "[[routes]]\nchannels = []", "routes, number 1: channels: is empty: name at least one"),
        (
            SMALL + "[[routes]]\nchannels = ['hook']\nseverities = ['bad']",
            "routes, number 1: severities: 'bad' is not one of warn, error",
        ),
        (
            SMALL + "[channels.b]\nkind = 'webhook'\nurl_from = 'HOOK_URL'\n[[routes]]\nchannels = ['hook']",
            "channels.b: no route leads to it",
        ),
        (SMALL + "[quiet_hours]\nfrom = '25:00'", "quiet_hours: from: '25:00' is no time of day such as '22:00'"),
        (SMALL + "[quiet_hours]\ntimezone = 'Mars'", "quiet_hours: timezone: 'Mars' is no time zone"),
        (SMALL + "[quiet_hours]\nwhole_days = ['sun']", "quiet_hours: whole_days: 'sun' is not one of monday"),
        ("gather_seconds = -1\n" + SMALL, "gather_seconds: -1 is not a number from 0 on"),
        ("gather_seconds = true\n" + SMALL, "gather_seconds: True is not a number"),
        ("[channels.m]\nkind = 'email'\nhost = 'h'\nfrom = 'a@b'\nto = []", "channels.m: to: is empty"),
        ("[channels.m]\nkind = 'email'\nhost = 'h'\nfrom = 'a'\nto = ['a@b']", "from: 'a' is no mail address"),
        (
            "[channels.m]\nkind = 'email'\nhost = 'h'\nsecurity = 'none'\nuser = 'u'\npassword_from = 'SMTP_PASSWORD'",
            "channels.m: security: 'none' would send the password in the clear",
        ),
        ("a = [", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_and_without_any_secret(tmp_path, content, wrong):
    with pytest.raises(SettingError) as error:
        read(tmp_path, content, SHORT="short")
    assert str(error.value).startswith("RETAIL_ALERTS=")
    assert wrong in str(error.value)
    assert not any(secret in str(error.value) for secret in SECRETS.values())
    assert "slacksecret" not in str(error.value)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(SettingError, match=r"RETAIL_ALERTS='/nowhere.toml' cannot be read: No such file"):
        Settings.read({"RETAIL_ALERTS": "/nowhere.toml"})


@pytest.mark.parametrize(
    "url", ["dagster.example.org", "https://user:secret@dagster", "https://dagster/?a=b", "ftp://d"]
)
def test_the_address_of_the_ui_must_be_one(url):
    with pytest.raises(SettingError, match="RETAIL_UI_URL is not an address") as error:
        Settings.read({"RETAIL_UI_URL": url})
    assert "secret" not in str(error.value)


def test_a_route_of_a_group_or_an_owner_that_no_table_has_is_refused_when_definitions_load(tmp_path):
    for key, value in (("groups", "golden"), ("owners", "team:nobody")):
        path = tmp_path / "alerts.toml"
        path.write_text(f"{SMALL}[[routes]]\nchannels = ['hook']\n{key} = ['{value}']\n")
        settings = Settings.read({"RETAIL_ALERTS": str(path), **SECRETS})
        with pytest.raises(SettingError, match=rf"RETAIL_ALERTS: routes, number 1: {key}: no table has {value}"):
            build_definitions(settings)


def test_each_channel_is_a_sensor_that_runs_from_the_start(tmp_path):
    path = tmp_path / "alerts.toml"
    path.write_text(FULL)
    found = build_definitions(Settings.read({"RETAIL_ALERTS": str(path), **SECRETS})).sensors or []
    sensors = {each.name: each.default_status.value for each in found if each.name.startswith("alerts_")}
    assert sensors == dict.fromkeys(["alerts_oncall", "alerts_team", "alerts_office", "alerts_hook"], "RUNNING")


def test_the_retail_command_refuses_a_wrong_file_before_it_does_anything(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "retail_assets.cli", "run"],
        env=os.environ | {"RETAIL_ALERTS": "/nowhere.toml", "DAGSTER_HOME": str(tmp_path)},
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 2
    assert result.stderr.strip() == "Error: RETAIL_ALERTS='/nowhere.toml' cannot be read: No such file or directory."
