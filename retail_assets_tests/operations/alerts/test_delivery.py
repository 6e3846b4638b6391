"""What is said and how it arrives: forms of each channel, real HTTP and mail servers, refusals without secrets."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from retail_assets.operations.alerts.delivery import deliver, redacted
from retail_assets.operations.alerts.messages import (
    SHOWN_ITEMS,
    TEAMS_CARD_BYTES,
    GraphAsset,
    Links,
    Message,
    as_json,
    as_slack,
    as_teams,
    as_text,
    compose,
)
from retail_assets.operations.alerts.problems import Kind, Problem, Severity, Subject
from retail_assets.operations.alerts.settings import Channel, Http, Mail
from retail_assets_tests.operations.alerts.servers import (
    DRIP,
    HANG,
    REDIRECT,
    Endpoint,
    http_endpoint,
    mail_server,
    make_certificate,
)

NOW = 1_795_000_000.0
LINKS = Links("https://dagster.example.org", "https://git.example.org/runbook.md")
GRAPH = {
    "online_retail/raw_invoices": GraphAsset(
        "bronze", ("team:data-engineering",), ("online_retail/clean_transactions", "online_retail/daily_metrics")
    ),
    "online_retail/customer_rfm": GraphAsset("gold", ("team:analytics",)),
}
BOUNDS = {
    "observed": "12",
    "lower": "90",
    "upper": "410",
    "explanation": "Tuesdays before had 90 to 410 rows",
    "family": "volume anomaly",
    "blocking": "yes",
}


def problem(severity: Severity = Severity.ERROR, **changed) -> Problem:
    return Problem(severity, NOW - 600, NOW - 600, "11111111-aaaa", facts=changed.pop("facts", BOUNDS), **changed)


def check(partition: str, asset: str = "online_retail/raw_invoices", name: str = "volume") -> Subject:
    return Subject(Kind.CHECK, (asset,), name, partition)


def message(**due: Problem) -> Message:
    return compose({check(name.replace("_", "-")): each for name, each in due.items()}, GRAPH, LINKS)


ONE = compose({check("2011-01-04"): problem()}, GRAPH, LINKS)
MANY = compose(
    {check(f"2011-{month:02}-{day:02}"): problem() for month in (1, 2, 3) for day in range(1, 29)}
    | {
        check("2011-01-01", "online_retail/customer_rfm", "drift"): problem(
            Severity.WARN, facts={"details": "psi: 0.4"}
        )
    }
    | {Subject(Kind.RUN, (), "unity_catalog_governance"): problem(told=Severity.ERROR, recovered=NOW)},
    GRAPH,
    LINKS,
)

# What is said --------------------------------------------------------------------------------------------------------


def test_a_message_says_what_which_partition_how_bad_since_when_what_it_blocks_and_where_to_look():
    assert as_text(ONE).splitlines() == [
        "ERROR: online_retail/raw_invoices: check volume failed for 2011-01-04",
        "",
        "ERROR online_retail/raw_invoices: check volume failed",
        "  Partition: 2011-01-04",
        "  Observed: 12, allowed 90 to 410",
        "  Why: Tuesdays before had 90 to 410 rows",
        "  Since: 2026-11-18 10:56:40 UTC",
        "  Blocks: online_retail/clean_transactions, online_retail/daily_metrics",
        "  Asset: https://dagster.example.org/assets/online_retail/raw_invoices?view=checks&checkDetail=volume",
        "  Run: https://dagster.example.org/runs/11111111-aaaa",
        "  Runbook: https://git.example.org/runbook.md#check-family-volume-anomaly",
    ]


def test_a_digest_says_errors_then_warnings_then_recoveries_with_partitions_together():
    assert MANY.title == ("ERROR: 2 problems, 1 recovered in online_retail/raw_invoices, online_retail/customer_rfm")
    assert [(item.status, item.severity.name, item.partition_count) for item in MANY.items] == [
        ("failed", "ERROR", 84),
        ("failed", "WARN", 1),
        ("recovered", "ERROR", 0),
    ]
    text = as_text(MANY)
    assert "Partitions: 84 partitions, 2011-01-01 to 2011-03-28" in text
    assert "Details: psi: 0.4" in text
    assert "RECOVERED job unity_catalog_governance: run" in text
    assert "Blocks: nothing" in text


def test_a_check_that_does_not_block_blocks_nothing_and_a_failed_run_blocks_all_that_is_made_from_its_assets():
    (item,) = message(a=problem(facts={})).items
    assert item.blocks == ()
    run = compose({Subject(Kind.RUN, ("online_retail/raw_invoices",)): problem(facts={})}, GRAPH, LINKS)
    assert run.items[0].blocks == ("online_retail/clean_transactions", "online_retail/daily_metrics")


def test_the_same_said_again_has_the_same_id_and_anything_else_another():
    again = compose({check("2011-01-04"): problem()}, GRAPH, LINKS)
    other = compose({check("2011-01-05"): problem()}, GRAPH, LINKS)
    recovered = compose({check("2011-01-04"): problem(told=Severity.ERROR, recovered=NOW)}, GRAPH, LINKS)
    assert ONE.id == again.id
    assert len({ONE.id, other.id, recovered.id}) == 3
    assert recovered.title == "RECOVERED: online_retail/raw_invoices: check volume recovered for 2011-01-04"


def test_forms_stay_within_what_slack_and_teams_take():
    nasty = {"observed": "<b>*_&" * 50, "explanation": "\\`*_[]#" * 60, "details": "é" * 300, "blocking": "yes"}
    graph = {
        f"online_retail/{'x' * 60}{n}": GraphAsset("g", (), tuple(f"online_retail/{'y' * 60}{m}" for m in range(30)))
        for n in range(40)
    }
    due = {check("2011-01-04", asset): problem(facts=nasty) for asset in graph}
    large = compose(due, graph, Links("https://" + "d" * 200, "https://" + "r" * 200))
    slack = as_slack(large)
    assert len(slack["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in slack["blocks"] if block["type"] == "section")
    assert len(slack["blocks"][0]["text"]["text"]) <= 150
    assert "<b>" not in json.dumps(slack)
    teams = json.dumps(as_teams(large))
    assert len(teams) <= TEAMS_CARD_BYTES < 28_000
    assert "more; the Dagster UI shows them all" in teams
    assert f"… and {40 - SHOWN_ITEMS} more" in json.dumps(slack, ensure_ascii=False)
    assert len(as_json(large, "hook")["items"]) == 40


# How it arrives ------------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with http_endpoint() as opened:
        yield opened


def http(kind: str, url: str, key: str | None = None) -> Channel:
    return Channel("hook", kind, Http(url, key))


def test_slack_gets_blocks_and_teams_an_adaptive_card(endpoint):
    assert deliver(http("slack", endpoint.url), ONE, NOW) is None
    assert deliver(http("teams", endpoint.url), ONE, NOW) is None
    slack, teams = endpoint.messages
    assert slack["text"] == ONE.title
    assert [block["type"] for block in slack["blocks"]] == ["header", "section"]
    assert "*Observed:* 12, allowed 90 to 410" in slack["blocks"][1]["text"]["text"]
    assert "<https://dagster.example.org/runs/11111111-aaaa|Run>" in slack["blocks"][1]["text"]["text"]
    assert teams["type"] == "message"
    (attachment,) = teams["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    facts = {fact["title"]: fact["value"] for block in card["body"] for fact in block.get("facts", [])}
    assert facts["Observed"] == "12, allowed 90 to 410"
    assert facts["Blocks"] == "online\\_retail/clean\\_transactions, online\\_retail/daily\\_metrics"


def test_a_webhook_gets_json_signed_with_its_key(endpoint):
    key = "0123456789abcdef-signing"
    assert deliver(http("webhook", endpoint.url, key), ONE, NOW) is None
    ((headers, body),) = endpoint.requests
    expected = hmac.new(key.encode(), headers["X-Retail-Timestamp"].encode() + b"." + body, hashlib.sha256)
    assert headers["X-Retail-Signature"] == f"sha256={expected.hexdigest()}"
    assert headers["X-Retail-Message-Id"] == json.loads(body)["id"] == ONE.id
    (item,) = json.loads(body)["items"]
    assert (item["status"], item["severity"], item["partitions"]) == ("failed", "ERROR", ["2011-01-04"])
    assert item["facts"] == {key: value for key, value in BOUNDS.items() if key != "blocking"}
    assert item["groups"] == ["bronze"]
    assert item["links"]["run"] == "https://dagster.example.org/runs/11111111-aaaa"


def test_without_a_key_nothing_is_signed(endpoint):
    assert deliver(http("webhook", endpoint.url), ONE, NOW) is None
    assert "X-Retail-Signature" not in endpoint.requests[0][0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (500, "the server answered 500 Internal Server Error: no *** here"),
        (429, "the server answered 429 Too Many Requests: no *** here"),
        (404, "the server answered 404 Not Found: no *** here"),
        (REDIRECT, "the server answered 302 Found: no *** here"),
        (HANG, "the server did not answer in time"),
        (DRIP, "the delivery took more than 1 seconds"),
    ],
)
def test_a_server_that_does_not_take_it_is_reported_without_the_url(endpoint, answer, said):
    endpoint.answers, endpoint.body = [answer], "no /hooks/supersecretpath here"
    refusal = deliver(http("slack", endpoint.url), ONE, NOW, answer_seconds=0.5, delivery_seconds=1)
    assert refusal == said
    assert endpoint.requests == []
    endpoint.released.set()


def test_a_server_that_is_not_there_is_reported_without_the_url():
    with http_endpoint() as gone:
        url = gone.url
    refusal = deliver(http("slack", url), ONE, NOW)
    assert refusal == "no connection: [Errno 111] Connection refused"


def test_every_secret_is_struck_out_even_where_one_holds_another():
    target = Http("https://hooks.slack.com/services/T0/B0/xyz?sig=abc", "signing-key-of-16")
    text = "POST https://hooks.slack.com/services/T0/B0/xyz?sig=abc and /services/T0/B0/xyz, sig=abc, signing-key-of-16"
    assert redacted(text, target.secrets) == "POST *** and ***, ***, ***"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


def mail(port: int, security: str, certificate: Path | None = None, password: str | None = None) -> Channel:
    target = Mail(
        "127.0.0.1",
        port,
        security,
        "retail@example.org",
        ("data@example.org", "lead@example.org"),
        "retail" if password else None,
        password,
        str(certificate) if certificate else None,
    )
    return Channel("office", "email", target)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_arrives_encrypted_after_a_login_in_text_and_html(certificate, security):
    with mail_server(certificate, tls=security == "tls", user="retail", password="mailsecret") as server:
        assert deliver(mail(server.port, security, certificate, "mailsecret"), ONE, NOW) is None
        (received,) = server.mails
        assert server.encrypted == [True]
        assert server.recipients == [["data@example.org", "lead@example.org"]]
    assert received["Subject"] == ONE.title
    assert received["Message-ID"] == f"<{ONE.id}@example.org>"
    assert received["Auto-Submitted"] == "auto-generated"
    plain, rich = (received.get_body([form]) for form in ("plain", "html"))
    assert plain is not None
    assert rich is not None
    assert plain.get_content().replace("\r\n", "\n") == as_text(ONE)
    assert "checkDetail=volume" in rich.get_content()


def test_mail_without_encryption_is_for_servers_that_have_none():
    with mail_server() as server:
        assert deliver(mail(server.port, "none"), ONE, NOW) is None
        assert len(server.mails) == 1


def test_a_wrong_password_is_reported_without_it(certificate):
    with mail_server(certificate, user="retail", password="mailsecret") as server:
        refusal = deliver(mail(server.port, "starttls", certificate, "wrongsecret"), ONE, NOW)
        assert server.mails == []
    assert refusal == "the mail server answered 535 5.7.8 Authentication credentials invalid"


def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(certificate):
    with mail_server(certificate, user="retail", password="mailsecret") as server:
        refusal = deliver(mail(server.port, "starttls", None, "mailsecret"), ONE, NOW)
        assert server.mails == []
    assert refusal is not None
    assert "certificate verify failed" in refusal


def test_a_mail_server_that_refuses_the_mail_is_reported():
    with mail_server() as server:
        server.answers = ["451 Try again later"]
        assert deliver(mail(server.port, "none"), ONE, NOW) == "the mail server answered 451 Try again later"
        assert deliver(mail(server.port, "none"), ONE, NOW) is None


def test_a_mail_server_that_says_nothing_is_given_up(endpoint):
    port = int(endpoint.url.split(":")[2].split("/")[0])  # an HTTP server waits for the client to speak first
    refusal = deliver(mail(port, "none"), ONE, NOW, answer_seconds=0.5)
    assert refusal == "SMTPServerDisconnected: Connection unexpectedly closed: timed out"
