"""Pages open from the Dagster UI: served to this machine, nothing but pages, and shown in their asset's metadata."""

import http.client
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from retail_assets.dashboards.published_pages import told_of
from retail_assets.reports.page import Pages
from retail_assets.reports.serving import PageServer
from retail_assets.settings import SettingError, Settings

PAGE = "shop-2011-02.html"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    directory = tmp_path / "dashboards"
    directory.mkdir()
    (directory / PAGE).write_text("<title>Shop</title>")
    (directory / "index.html").write_text("<title>Dashboards</title>")
    (directory / f".{PAGE}.77").write_text("half a page")
    (directory / "notes.txt").write_text("none of theirs")
    (tmp_path / "secret.html").write_text("not theirs either")
    with PageServer(directory, 0) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening
        listening.shutdown()


def answer(
    server: PageServer, path: str, host: str = "localhost", method: str = "GET"
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", f"{host}:{server.server_address[1]}")
    connection.endheaders()
    response = connection.getresponse()
    return response.status, response.read().decode(), dict(response.getheaders())


def test_a_page_and_the_index_are_served_with_their_filters(server: PageServer):
    status, body, headers = answer(server, f"/{PAGE}?month=2011-01&country=United+Kingdom")
    assert (status, body, headers["Content-Type"]) == (200, "<title>Shop</title>", "text/html; charset=utf-8")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert answer(server, "/")[1] == "<title>Dashboards</title>"
    assert answer(server, f"/{PAGE}", method="HEAD")[:2] == (200, "")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/..%2fsecret.html",
        f"/.{PAGE}.77",
        "/notes.txt",
        "//etc/passwd",
        "/x.html",
    ],
)
def test_nothing_else_of_the_machine_is_served(server: PageServer, path: str):
    status, body, _ = answer(server, path)
    assert (status, "retail run --select dashboard" in body) == (404, True)


def test_nobody_else_s_name_leads_to_the_pages(server: PageServer):
    assert server.server_address[0] == "127.0.0.1"
    assert answer(server, f"/{PAGE}", host="evil.example")[0] == 421
    assert answer(server, f"/{PAGE}", host="127.0.0.1")[0] == 200


def test_a_port_that_is_taken_is_told_with_what_to_do(server: PageServer, tmp_path: Path):
    port = str(server.server_address[1])
    command = [sys.executable, "-m", "retail_assets.reports.serving", str(tmp_path), port, str(os.getpid())]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 1
    assert f"port {port} cannot be used" in told.stderr
    assert "RETAIL_DASHBOARDS_URL" in told.stderr


def test_it_ends_with_the_process_that_started_it(tmp_path: Path):
    started = (
        "import os, subprocess, sys; sys.stdout.write(str(subprocess.Popen([sys.executable, '-m', "
        "'retail_assets.reports.serving', sys.argv[1], '0', str(os.getpid())], stdout=subprocess.PIPE).pid)); "
        "sys.stdout.flush(); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", started, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    out, _ = parent.communicate("", timeout=60)
    _gone(int(out))


def _gone(pid: int) -> None:
    """Returns when there is no such process any more; the test's own timeout is the bound."""
    process = Path(f"/proc/{pid}/stat")
    for _ in range(600):
        if not process.exists() or process.read_text().split(")")[-1].split()[0] == "Z":
            return
        threading.Event().wait(0.1)
    pytest.fail(f"{pid} still serves")


def test_the_ui_shows_a_picture_of_the_page_without_a_click_and_opens_it(tmp_path: Path):
    pages = Pages(directory=str(tmp_path), url="http://localhost:3010")
    page = pages.path("shop", "2011-02")
    page.write_text("a page")
    told = told_of(page, {"Revenue a day": b"PNG one", "Categories by revenue": b"PNG two"}, pages)
    assert list(told)[:2] == ["dashboard", "opens_at"]
    shown = str(told["dashboard"].value)
    assert shown == (
        "[![Revenue a day](http://localhost:3010/shop-2011-02.png)](http://localhost:3010/shop-2011-02.html)"
    )
    assert len(shown) < 1000  # more, and the UI shows a button
    assert (tmp_path / "shop-2011-02.png").read_bytes() == b"PNG one"
    assert set(told) == {"dashboard", "opens_at", "page", "revenue_picture", "categories_picture"}


def test_where_nothing_serves_pages_there_is_no_link(tmp_path: Path):
    pages = Pages(directory=str(tmp_path))
    told = told_of(pages.path("shop", "2011-02"), {"Revenue a day": b"PNG"}, pages)
    assert set(told) == {"page", "revenue_picture"}
    assert list(tmp_path.iterdir()) == []


def test_the_address_of_pages_is_a_setting():
    assert Settings.read({}).dashboards_url == "http://localhost:3010"
    assert Settings.read({"RETAIL_DASHBOARDS_URL": "https://bi.example.org/shop/"}).dashboards_url == (
        "https://bi.example.org/shop"
    )
    with pytest.raises(SettingError, match="RETAIL_DASHBOARDS_URL is not an address of the dashboard's pages"):
        Settings.read({"RETAIL_DASHBOARDS_URL": "localhost:3010"})
