"""One HTML file that needs nothing else: styles, script, figures, charting library and country shapes are in it.

Its content security policy forbids every request, so that a page that wanted one would show it.
"""

import json
import os
import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dagster import ConfigurableResource

LINEAGE = "lineage.html"
"""Beside the pages: what the columns of all tables are made from (lineage.py)."""

MOST_BYTES = 6_000_000
"""A page must stay below: it is sent by mail and opened on telephones."""

_SHAPES = "countries-110m.topojson"
"""Natural Earth's countries at 1:110 million (public domain), as TopoJSON by the npm package world-atlas 2.0.2 (ISC,
M. Bostock); ids are ISO 3166-1 numeric. States smaller than a dot at that scale have no shape."""


_SCRIPTS = ("tables.js", "address.js")
"""What the page's own script uses."""


class PageRefused(Exception):
    """A page that must not be published; the message says why. Nothing was written."""


@cache
def charting_library() -> str:
    """Vega, Vega-Lite and vega-embed as one script, from the wheel of vl-convert."""
    import vl_convert

    return str(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # its stub knows no default


@cache
def shapes() -> dict[str, Any]:
    """The TopoJSON of the world's countries."""
    return dict(json.loads(_source(_SHAPES)))


def compose(title: str, figures: Mapping[str, Any], charts: Mapping[str, Any]) -> str:
    """The page. The same figures and charts give the same bytes."""
    parts = {
        "TITLE": title.replace("&", "&amp;").replace("<", "&lt;"),
        "STYLE": _source("dashboard.css") + _source("this_week.css"),
        "HEADING": escape(str(figures["title"]), quote=False),
        "PLACE": str(figures["place"]).capitalize(),
        "PLACES": str(figures["places"]).capitalize(),
        "FIGURES": as_json(figures),
        "CHARTS": as_json(charts),
        "SHAPES": as_json(shapes()),
        "LIBRARY": charting_library().replace("</script", "<\\/script"),
        "SCRIPT": "".join(map(_source, _SCRIPTS)) + _script("dashboard.js", "this_week.js"),
    }
    # In one pass from the left, so that nothing that is put in is searched again.
    first, *rest = _source("dashboard.html").split("{{")
    filled = [first]
    for piece in rest:
        name, after = piece.split("}}", 1)
        filled += [parts[name], after]
    return "".join(filled)


def _script(first: str, *further: str) -> str:
    """The script that `first` is, with the sections of `further` files in it."""
    begin, end = _source(first).rsplit("})();", 1)
    return "".join([begin, *map(_source, further), "})();", end])


def as_json(value: Any) -> str:
    """Compact JSON that may stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def embedded(page: str, element: str) -> Any:
    """What a page holds in its JSON script element of that id."""
    begin = page.index(">", page.index(f'id="{element}"')) + 1
    return json.loads(page[begin : page.index("</script>", begin)])


class Pages(ConfigurableResource):
    """The directory where pages are published: `<directory>/<source>-<yyyy-mm>.html`, and the address where browsers
    find its files, if anything serves them: locally `retail ui` does."""

    directory: str
    url: str | None = None

    def path(self, source: str, month: str) -> Path:
        """Where the page of a month lies, whether or not there is one."""
        return Path(self.directory) / f"{source}-{month}.html"

    def address(self, page: Path) -> str | None:
        """What opens a page in a browser."""
        return f"{self.url}/{quote(page.name)}" if self.url else None

    def index(self) -> None:
        """Writes `index.html` anew: the sources, and the months of each that have a page, newest first."""
        listed = "".join(
            f"<section><h2>{self._title(source)}</h2><ul>"
            + "".join(
                f'<li><a href="{quote(source)}-{month}.html">{date.fromisoformat(f"{month}-01"):%B %Y}</a></li>'
                for month in months
            )
            + "</ul></section>"
            for source, months in sorted(self._months().items())
        )
        lineage = f'<nav><a href="{LINEAGE}">What columns are made from</a></nav>'
        parts = {
            "STYLE": _source("dashboard.css"),
            "LINEAGE": lineage if (Path(self.directory) / LINEAGE).exists() else "",
            "PAGES": listed,
        }
        page = _source("index.html")
        for name, part in parts.items():
            page = page.replace(f"{{{{{name}}}}}", part)
        publish(page.encode(), Path(self.directory) / "index.html")

    def _months(self) -> dict[str, list[str]]:
        """Source -> the months that have a page, newest first."""
        by_source: dict[str, list[str]] = {}
        for path in sorted(Path(self.directory).glob("[!.]*-[0-9][0-9][0-9][0-9]-[0-9][0-9].html"), reverse=True):
            by_source.setdefault(path.stem[:-8], []).append(path.stem[-7:])
        return by_source

    def to_open(self, source: str | None) -> Path | None:
        """The newest page of the source; of the only one there is, or else the index, where none is named."""
        known = [source] if source else list(self._months())
        return self.newest(known[0]) if len(known) == 1 else Path(self.directory) / "index.html" if known else None

    def _title(self, source: str) -> str:
        """What the source is called on its newest page, as markup."""
        newest = self.newest(source)
        with (newest or Path(os.devnull)).open(encoding="utf-8") as page:
            head = page.read(2_000)
        called = re.search(r"<title>(.*?): ", head)
        return called[1] if called else escape(source)

    def newest(self, source: str) -> Path | None:
        """The page of the latest month that has one."""
        return max(Path(self.directory).glob(f"{source}-[0-9][0-9][0-9][0-9]-[0-9][0-9].html"), default=None)


def publish(content: bytes, path: Path) -> None:
    """Puts the page in its place at once, so that no reader sees half of one. Raises PageRefused if it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise PageRefused(
            f"{path} cannot be written ({error}). Make its directory (on Databricks: the volume), or set "
            "RETAIL_DASHBOARDS to a directory that can be written to."
        ) from error


def _source(name: str) -> str:
    # On a cluster the package is imported from a zip.
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
