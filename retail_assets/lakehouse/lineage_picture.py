"""A picture of a table's columns and what they are made from, as its contract states: drawn as text, in an instant.

Open-source Dagster keeps the lineage of columns and shows it nowhere; a picture in a table's metadata it shows.
"""

import base64
from html import escape

from dagster import MetadataValue

from retail_assets.lakehouse.contracts import Contract, origins, table_name

_ROW, _LEFT, _RIGHT, _BOX, _TOP = 20, 8, 452, 300, 8
_WIDTH = _RIGHT + _BOX + _LEFT
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1c2430}.n{font-weight:650}.g{fill:#596475}"
    "a{fill:#245f92;text-decoration:underline}rect{fill:#f5f6f8;stroke:#d9dde3}path{fill:none;stroke:#245f92;stroke-opacity:.55}"
)


def lineage_picture(contract: type[Contract], links: bool = False) -> str:
    """SVG: on the left the columns of other tables, each table in a box, on the right the table's own. Grey are those
    that are made from none. `links`: names of other tables lead to their places on the page."""
    made_from, own = origins(contract), table_name(contract)
    used: dict[tuple[str, str], dict[str, None]] = {}
    for several in made_from.values():
        for origin, *columns in several:
            used.setdefault(table_name(origin), {}).update(dict.fromkeys(columns))
    heights: dict[tuple[tuple[str, str], str], float] = {}
    parts, at = [], _TOP
    for table, named in used.items():
        name = ".".join(table) if table[0] != own[0] else table[1]
        title = f'<a href="#{escape(".".join(table))}">{escape(name)}</a>' if links else escape(name)
        parts.append(_box(_LEFT, at, title, [(column, False) for column in named]))
        heights |= {(table, column): at + _ROW * (row + 1.5) for row, column in enumerate(named)}
        at += _ROW * (len(named) + 1) + _TOP
    parts.append(_box(_RIGHT, _TOP, escape(own[1]), [(name, not several) for name, several in made_from.items()]))
    lines = [
        _line(heights[table_name(origin), column], _TOP + _ROW * (row + 1.5))
        for row, several in enumerate(made_from.values())
        for origin, *columns in several
        for column in columns
    ]
    height = max(at, _ROW * (len(made_from) + 1) + 2 * _TOP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" width="{_WIDTH}" '
        f'height="{height:g}"><style>{_STYLE}</style><path style="fill:#fff;stroke:none" '
        f'd="M0 0H{_WIDTH}V{height:g}H0z"/>{"".join(parts)}<path d="{"".join(lines)}"/></svg>'
    )


def lineage_shown(contract: type[Contract]) -> dict[str, MetadataValue[str]]:
    """The picture as metadata that Dagster's UI shows; none of a table whose columns are made from no other's."""
    if not any(origins(contract).values()):
        return {}
    svg = base64.b64encode(lineage_picture(contract).encode()).decode()
    about = f"What each column of {table_name(contract)[1]} is made from"
    return {"column_lineage": MetadataValue.md(f"![{about}](data:image/svg+xml;base64,{svg})")}


def _box(left: int, top: float, title: str, columns: list[tuple[str, bool]]) -> str:
    rows = [
        f'<text class="{"g" if alone else "c"}" x="{left + 8}" y="{top + _ROW * (row + 1.5) + 4:g}">{name}</text>'
        for row, (name, alone) in enumerate(columns)
    ]
    return (
        f'<rect x="{left}" y="{top:g}" width="{_BOX}" height="{_ROW * (len(columns) + 1)}" rx="4"/>'
        f'<text class="n" x="{left + 8}" y="{top + 15:g}">{title}</text>{"".join(rows)}'
    )


def _line(left: float, right: float) -> str:
    begin, end = _LEFT + _BOX, _RIGHT
    middle = (begin + end) / 2
    return f"M{begin} {left:g}C{middle:g} {left:g} {middle:g} {right:g} {end} {right:g}"
