"""Nobody gets in who does not belong: deploy/nginx really run, before the services of a deployment, on this machine.

What each role gets is a table of requests. Roles: `nobody`, without a login; `guesser`, with a wrong password;
`viewer`; `operator`.
"""

import base64
import http.client
import json
import os
import re
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from retail_assets.project import project_file
from retail_assets_tests.operations.command import RetailCommand, kill
from retail_assets_tests.operations.nginx import nginx_program
from retail_assets_tests.workbench import line

CONFIGURATION = project_file("deploy/nginx/retail.conf")
WORDS = {"viewer": "sees-all", "operator": "does-all"}
LOGINS = {"nobody": None, "guesser": ("viewer", "wrong"), **{name: (name, word) for name, word in WORDS.items()}}
ROLES = list(LOGINS)
PATIENCE_SECONDS = 420

QUERY = "{ version }"
LAUNCH = """mutation { launchPartitionBackfill(backfillParams:
    {assetSelection: [{path: ["online_retail", "raw_invoices"]}], partitionNames: ["2011-01-04"]}) { __typename } }"""
WIPE = """mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["online_retail", "raw_invoices"]}}])
    { __typename } }"""
RELOAD = "mutation { reloadWorkspace { __typename } }"
REFUSED = "UnauthorizedError"


@dataclass(frozen=True)
class Ask:
    """A request, the status that each of ROLES must get, and what an answer that is let through must hold."""

    method: str
    path: str
    statuses: tuple[int, int, int, int]
    holds: str = ""
    query: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


WEBSOCKET = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Protocol", "graphql-ws"),
)
FOREIGN = (("Origin", "https://elsewhere.example"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)

TABLE = [
    # The operators' webserver.
    Ask("GET", "/", (401, 401, 401, 200), "Dagster"),
    Ask("GET", "/runs", (401, 401, 401, 200), "Dagster"),
    Ask("POST", "/graphql", (401, 401, 401, 200), '"version"', QUERY),
    Ask("POST", "/graphql", (401, 401, 401, 200), "LaunchBackfillSuccess", LAUNCH),
    Ask("POST", "/graphql", (403, 403, 403, 403), "", LAUNCH, FOREIGN),
    Ask("POST", "/graphql", (403, 403, 403, 403), "", LAUNCH, (*FOREIGN, *FORM)),
    Ask("GET", "/graphql", (401, 401, 401, 101), "", None, WEBSOCKET),
    Ask("GET", "/graphql", (403, 403, 403, 403), "", None, (*WEBSOCKET, *FOREIGN)),
    Ask("GET", "/server_info", (401, 401, 401, 200), "dagster_version"),
    # The viewers' one.
    Ask("GET", "/view", (301, 301, 301, 301)),
    Ask("GET", "/view/", (401, 401, 200, 200), "Dagster"),
    Ask("GET", "/view/assets", (401, 401, 200, 200), "Dagster"),
    Ask("POST", "/view/graphql", (401, 401, 200, 200), '"version"', QUERY),
    Ask("POST", "/view/graphql", (401, 401, 200, 200), REFUSED, LAUNCH),
    Ask("POST", "/view/graphql", (401, 401, 200, 200), REFUSED, WIPE),
    Ask("POST", "/view/graphql", (401, 401, 200, 200), REFUSED, RELOAD),
    Ask("POST", "/view/graphql", (403, 403, 403, 403), "", QUERY, FOREIGN),
    Ask("GET", "/view/graphql", (401, 401, 101, 101), "", None, WEBSOCKET),
    Ask("GET", "/view/graphql", (403, 403, 403, 403), "", None, (*WEBSOCKET, *FOREIGN)),
    Ask("POST", "/view/report_asset_materialization/online_retail/raw_invoices", (403, 403, 403, 403)),
    Ask("DELETE", "/view/", (403, 403, 403, 403)),
    # Files.
    Ask("GET", "/dashboards/online_retail/2011-01.html", (401, 401, 200, 200), "a page"),
    Ask("GET", "/dashboards/", (401, 401, 200, 200), "the index"),
    Ask("GET", "/dashboards/online_retail/", (401, 401, 403, 403)),
    Ask("GET", "/dashboards/link.html", (401, 401, 403, 403)),
    Ask("PUT", "/dashboards/new.html", (403, 403, 403, 403)),
    Ask("GET", "/audiences/win-back.csv", (401, 401, 401, 200), "customer"),
    Ask("GET", "/audiences/", (401, 401, 401, 403)),
    Ask("GET", "/dashboards/../secret.txt", (401, 401, 401, 200), "Dagster"),  # the webserver's page: no such file
    Ask("GET", "/dashboards/%2e%2e/secret.txt", (401, 401, 401, 200), "Dagster"),
    Ask("GET", "/dashboards../secret.txt", (401, 401, 401, 200), "Dagster"),
    Ask("GET", "/dashboards/..%5csecret.txt", (401, 401, 404, 404)),
    Ask("GET", "/dashboards/../../../../../../etc/passwd", (400, 400, 400, 400)),
]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Deployment:
    """Code server, two webservers and nginx over a landing zone with one drop."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.command = RetailCommand(directory / "retail")
        self.command.drop("2011-01-04", [line()])
        self.ports = {name: free_port() for name in ("code", "webserver", "viewer", "http", "https")}
        self.command.environment |= {
            "RETAIL_CODE_SERVER_PORT": str(self.ports["code"]),
            "RETAIL_ONLINE_RETAIL_FIRST_DAY": "2011-01-01",
            "RETAIL_ONLINE_RETAIL_LAST_DAY": "2011-01-31",
        }
        self.pages = directory / "dashboards"
        (self.pages / "online_retail").mkdir(parents=True)
        (directory / "audiences").mkdir()
        (directory / "audiences" / "win-back.csv").write_text("customer_id")
        (self.pages / "index.html").write_text("the index")
        (self.pages / "online_retail" / "2011-01.html").write_text("a page")
        (directory / "secret.txt").write_text("a secret")
        (self.pages / "link.html").symlink_to(directory / "secret.txt")
        self.processes = [self._nginx(), self.command.start("serve", "code")]
        self.processes += [
            self.command.start("serve", name, "--port", str(self.ports[name])) for name in ("webserver", "viewer")
        ]

    def _nginx(self) -> "subprocess.Popen[bytes]":
        directory = self.directory
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-keyout", str(directory / "privkey.pem"), "-out", str(directory / "fullchain.pem")),
            ],
            check=True,
            capture_output=True,
        )
        for file, names in (("viewers", WORDS), ("operators", ["operator"])):
            rows = [f"{name}:{self._hashed(WORDS[name])}\n" for name in names]
            (directory / f"{file}.htpasswd").write_text("".join(rows))
        text = CONFIGURATION.read_text()
        for written, here in {
            "listen 80;": f"listen 127.0.0.1:{self.ports['http']};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.ports['https']} ssl;",
            "127.0.0.1:3000": f"127.0.0.1:{self.ports['webserver']}",
            "127.0.0.1:3001": f"127.0.0.1:{self.ports['viewer']}",
            "/etc/retail/tls/": f"{directory}/",
            "/etc/retail/": f"{directory}/",
            "/var/lib/retail/dashboards/": f"{self.pages}/",
            "/var/lib/retail/audiences/": f"{directory}/audiences/",
        }.items():
            assert written in text
            text = text.replace(written, here)
        own = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi"))
        own += "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in ("uwsgi", "scgi"))
        user = "user root;\n" if os.getuid() == 0 else ""
        (directory / "nginx.conf").write_text(
            f"{user}daemon off;\npid {directory}/nginx.pid;\nerror_log {directory}/nginx-error.log;\nevents {{}}\n"
            f"http {{\naccess_log {directory}/nginx-access.log;\n{own}{text}}}\n"
        )
        program = nginx_program(directory / "nginx")
        arguments = [str(program), "-p", str(directory), "-c", str(directory / "nginx.conf")]
        checked = subprocess.run([*arguments, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        return subprocess.Popen(arguments, start_new_session=True)

    @staticmethod
    def _hashed(word: str) -> str:
        made = subprocess.run(["openssl", "passwd", "-apr1", word], capture_output=True, text=True, check=True)
        return made.stdout.strip()

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                kill(process)

    def status(self, role: str, ask: Ask, secure: bool = True) -> tuple[int, str]:
        """What an asking role gets: the status, and the answer but for that of a websocket."""
        headers = dict(ask.headers)
        if login := LOGINS[role]:
            headers["Authorization"] = f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"
        body = None if ask.query is None else json.dumps({"query": ask.query}).encode()
        if body and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        context = ssl._create_unverified_context()
        where = ("127.0.0.1", self.ports["https" if secure else "http"])
        connection = (
            http.client.HTTPSConnection(*where, context=context, timeout=60)
            if secure
            else http.client.HTTPConnection(*where, timeout=60)
        )
        try:
            connection.request(ask.method, ask.path, body, headers)
            answer = connection.getresponse()
            return answer.status, "" if answer.status == 101 else answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def wait(self) -> None:
        """Until both webservers answer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        for path in ("/graphql", "/view/graphql"):
            while '"version"' not in self.status("operator", Ask("POST", path, (0, 0, 0, 0), "", QUERY))[1]:
                assert time.monotonic() < deadline, "the webservers did not answer"
                assert all(process.poll() is None for process in self.processes), "a service ended"
                time.sleep(1)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("access"))
    try:
        deployment.wait()
        yield deployment
    finally:
        deployment.stop()


@pytest.mark.long
def test_each_role_gets_what_the_table_says_and_nothing_else(deployment: Deployment):
    wrong = []
    for ask in TABLE:
        for role, expected in zip(ROLES, ask.statuses, strict=True):
            found, answer = deployment.status(role, ask)
            told = f"{role}: {ask.method} {ask.path} {ask.query or ''} {dict(ask.headers)}: {found}"
            if found != expected:
                wrong.append(f"{told}, not {expected}")
            if found == 200 and ask.holds not in answer:
                wrong.append(f"{told}, without {ask.holds}: {answer[:200]}")
            if "a secret" in answer or "root:" in answer:
                wrong.append(f"{told}: what it must not show")
    assert wrong == []


@pytest.mark.long
def test_without_tls_nobody_is_asked_for_a_password(deployment: Deployment):
    for role in ROLES:
        assert deployment.status(role, TABLE[0], secure=False)[0] == 301


@pytest.mark.long
def test_code_server_and_webservers_are_reached_from_this_machine_alone(deployment: Deployment):
    loopback = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in deployment.processes
        for member in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for connection in member.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert set(deployment.ports.values()) <= {port for _, port in listening}
    assert {address for address, _ in listening} <= loopback


def test_what_is_written_is_nobody_elses_to_read(tmp_path: Path):
    command = RetailCommand(tmp_path / "retail")
    program = [sys.executable, "-m", "retail_assets.cli", "generate", "--lines", "50", "--days", "3"]
    subprocess.run(program, env=command.environment, check=True, capture_output=True, preexec_fn=lambda: os.umask(0))
    made = [path for path in (tmp_path / "retail").rglob("*") if path != command.zone and path != command.zone.parent]
    assert len(list(command.zone.glob("*.csv"))) > 0
    assert [str(path) for path in made if not path.is_symlink() and path.stat().st_mode & stat.S_IRWXO] == []


def test_the_configuration_hides_what_it_should():
    text = CONFIGURATION.read_text()
    # Everything that is not said otherwise is for operators; every place of viewers asks for a login, too.
    assert re.search(r"\n    auth_basic_user_file /etc/retail/operators.htpasswd;", text)
    assert "auth_basic off" not in text
    assert 'proxy_set_header Authorization "";' in text
