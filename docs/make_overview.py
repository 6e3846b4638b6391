"""Draws docs/overview.png, the README's picture: tables, checks and the dashboard, of generated data.

`make picture` makes the data in a directory of its own and draws; `python docs/make_overview.py DIRECTORY` draws what
`lakehouse` and `dashboards` in a directory hold. Needs Chromium (RETAIL_CHROMIUM, or on the PATH) and the test
dependencies.
"""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SOURCE = "online_retail"
LAYERS = ["bronze", "silver", "gold", "ml", "quality", "report"]
COLOURS = 160


def retail(directory: Path, *arguments: str) -> str:
    """What the command says, of the data in the directory."""
    places = {"RETAIL_LAKEHOUSE": "lakehouse", "RETAIL_LANDING": "landing", "DAGSTER_HOME": "home"}
    environment = os.environ | {name: str(directory / place) for name, place in places.items()}
    command = [sys.executable, "-m", "retail_assets.cli", *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def results(lakehouse: Path) -> dict[str, tuple[int, int]]:
    """Table -> how many verdicts of its checks passed, and how many warned or failed."""
    from deltalake import DeltaTable

    found = DeltaTable(str(lakehouse / SOURCE / "dq_results")).to_pandas(columns=["table_name", "status"])
    return {
        str(name).split(".")[-1]: (int((said == "passed").sum()), int(said.isin(["warned", "failed"]).sum()))
        for name, said in found.groupby("table_name")["status"]
    }


def tables(directory: Path) -> str:
    """The tables by layer, as markup."""
    listed: list[dict[str, Any]] = json.loads(retail(directory, "tables", "--json"))
    of_source = [table for table in listed if table["table"].startswith(f"{SOURCE}.") and table["rows"]]
    of_source.sort(key=lambda table: LAYERS.index(table["layer"]))
    checked = results(directory / "lakehouse")
    parts = []
    for layer, several in groupby(of_source, lambda table: table["layer"]):
        rows = []
        for table in several:
            name = table["table"].split(".")[1]
            passed, other = checked.get(name, (0, 0))
            rows.append(
                f"<tr><td>{escape(name)}</td><td class=n>{table['rows']:,} rows</td>"
                f"<td class=ok>{f'✓ {passed:,} passed' if passed else ''}</td>"
                f"<td class=warn>{f'{other:,} warned' if other else ''}</td></tr>"
            )
        parts.append(f"<h2>{escape(layer)}</h2><table>{''.join(rows)}</table>")
    return "".join(parts)


def draw(directory: Path, to: Path) -> None:
    """Writes the picture."""
    program = os.environ.get("RETAIL_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    page = max((directory / "dashboards").glob(f"{SOURCE}-*.html"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        window = browser.new_page(viewport={"width": 1180, "height": 1700})
        window.goto(page.resolve().as_uri())
        window.wait_for_selector("html[data-ready=yes]")
        window.wait_for_timeout(3000)
        shot = base64.b64encode(window.screenshot()).decode()
        markup = (HERE / "overview.html").read_text(encoding="utf-8")
        window.set_viewport_size({"width": 1240, "height": 700})
        window.set_content(
            markup.replace("{{TABLES}}", tables(directory)).replace("{{PAGE}}", f"data:image/png;base64,{shot}")
        )
        drawn = window.screenshot(full_page=True)
        browser.close()
    Image.open(io.BytesIO(drawn)).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(to, optimize=True)


def main() -> None:
    """Of a directory, or of data made for it."""
    if len(sys.argv) > 1:
        return draw(Path(sys.argv[1]), HERE / "overview.png")
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        retail(directory, "generate", "--lines", "60000", "--days", "420", "--seed", "7")
        retail(directory, "run", "--months", "newest")
        return draw(directory, HERE / "overview.png")


if __name__ == "__main__":
    main()
