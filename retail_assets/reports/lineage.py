"""The page of all tables and what their columns are made from, beside the dashboards' pages."""

import inspect
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from retail_assets.lakehouse.contracts import Contract, origins, table_name
from retail_assets.lakehouse.lineage_picture import lineage_picture
from retail_assets.reports.page import LINEAGE, Pages, publish


def lineage_page(contracts: Iterable[type[Contract]]) -> str:
    """The page of these tables, in the order given; those of a source are neighbours. What a table reads is a link to
    it, and it says which tables read it."""
    known = list(contracts)
    readers: dict[tuple[str, str], list[type[Contract]]] = {}
    for contract in known:
        for table in {table_name(origin) for several in origins(contract).values() for origin, *_ in several}:
            readers.setdefault(table, []).append(contract)
    parts = []
    for source, tables in groupby(known, lambda contract: table_name(contract)[0]):
        of_source = list(tables)
        listed = "".join(f"<li>{_link(contract)}</li>" for contract in of_source)
        parts += [f"<h2>{escape(source)}</h2><ul>{listed}</ul>"]
        parts += [_section(contract, readers.get(table_name(contract), [])) for contract in of_source]
    room = files("retail_assets.reports")
    style, page = (room.joinpath(name).read_text(encoding="utf-8") for name in ("dashboard.css", "lineage.html"))
    return page.replace("{{STYLE}}", style).replace("{{TABLES}}", "".join(parts))


def keep_lineage_page(directory: str, contracts: Iterable[type[Contract]]) -> Path:
    """Writes the page where the dashboards' pages are, whose index then links to it, and returns where. Raises
    PageRefused if it cannot."""
    path, content = Path(directory) / LINEAGE, lineage_page(contracts).encode()
    if not path.exists() or path.read_bytes() != content:
        publish(content, path)
        Pages(directory=directory).index()
    return path


def _name(contract: type[Contract]) -> str:
    return escape(".".join(table_name(contract)))


def _link(contract: type[Contract]) -> str:
    return f'<a href="#{_name(contract)}">{escape(table_name(contract)[1])}</a>'


def _section(contract: type[Contract], readers: Sequence[type[Contract]]) -> str:
    about = escape((inspect.getdoc(contract) or "").split("\n\n")[0])
    picture = lineage_picture(contract, links=True).replace(
        "<svg ", f'<svg role="img" aria-label="What each column of {_name(contract)} is made from" ', 1
    )
    told = f'<p class="of">Read by {", ".join(map(_link, readers))}</p>' if readers else ""
    return (
        f'<section id="{_name(contract)}"><h3>{_name(contract)}</h3><p>{about}</p>{told}'
        f'<div class="drawn" tabindex="0" role="region" aria-label="{_name(contract)}">{picture}</div></section>'
    )
