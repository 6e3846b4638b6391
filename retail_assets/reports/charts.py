"""The dashboard's charts as Vega-Lite, made with Altair, and small pictures of some of them.

Each chart reads rows called "rows", which the page works out of its figures and hands over whenever a filter changes.
Colours are left to the page, which knows whether it is light or dark: here they have names, `@ink` for example.
"""

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from dagster import MetadataValue

if TYPE_CHECKING:
    import altair as alt

LIGHT = {
    "@ink": "#1c2430",
    "@muted": "#596475",
    "@line": "#d9dde3",
    "@faint": "#c3d2e0",
    "@accent": "#245f92",
    "@second": "#b2621b",
    "@surface": "#ffffff",
    "@none": "#e9ebee",
    "@low": "#dbe8f3",
    "@high": "#123f66",
    "@bad": "#a5352c",
}
"""The colours of pictures; the page has these and a dark set in its style sheet."""

_MONEY, _COUNT = "$,.0f", ",.1f"


def sign(currency: str) -> str:
    """How amounts of a currency (ISO 4217) begin, as British English writes it."""
    return _SIGNS.get(currency, f"{currency}\N{NO-BREAK SPACE}")


_SIGNS = {"GBP": "£", "EUR": "€", "USD": "US$", "BRL": "R$", "JPY": "JP¥", "CNY": "CN¥", "AUD": "A$", "CAD": "CA$",
          "INR": "₹", "MXN": "MX$", "NZD": "NZ$", "KRW": "₩", "ILS": "₪", "VND": "₫", "PHP": "₱"}  # fmt: skip


def locale(currency: str) -> dict[str, Any]:
    """What $ stands for in formats."""
    return {"number": {"decimal": ".", "thousands": ",", "grouping": [3], "currency": [sign(currency), ""]}}


@cache
def charts() -> dict[str, dict[str, Any]]:
    """Name -> specification."""
    import altair as alt

    made = {
        "revenue": _over_time(alt, "revenue", "Revenue a day", _MONEY),
        "orders": _over_time(alt, "orders", "Orders a day", _COUNT),
        "expected": _expected(alt),
        "segments": _shares(alt),
        "movement": _movement(alt),
        "map": _map(alt),
        "cohorts": _cohorts(alt),
        "churn": _churn(alt),
        "risk": _bars(alt, "segment", "risk", "Value at risk", "@bad"),
        "value": _bars(alt, "segment", "value", "Mean value over 12 months", "@accent"),
        "categories": _bars(alt, "category", "revenue", "Revenue of the month", "@accent"),
    }
    return {name: _plain(chart) for name, chart in made.items()}


def _plain(chart: "alt.TopLevelMixin") -> dict[str, Any]:
    """As JSON, without Altair's own configuration: the page brings one."""
    specification = json.loads(chart.to_json(validate=True))
    return {key: value for key, value in specification.items() if key not in ("config", "$schema")}


def _rows(alt: Any) -> Any:
    return alt.NamedData(name="rows")


def _amounts(alt: Any, currency: str) -> Any:
    """An axis of round amounts: £20k, and £0 rather than £0k."""
    zero = "format(0, '$d')" if currency else "'0'"
    return alt.Axis(format=f"{currency}~s", tickCount=5, tickMinStep=1, labelExpr=f"datum.value ? datum.label : {zero}")


def _names(alt: Any) -> Any:
    """An axis of names, far enough from what is drawn at its zero."""
    return alt.Axis(ticks=False, domain=False, labelLimit=150, labelPadding=9)


def _over_time(alt: Any, measure: str, title: str, number: str) -> Any:
    """Daily values as faint bars, with their moving averages over 7 and 30 days; the chosen month is shaded."""
    base = alt.Chart(_rows(alt)).encode(x=alt.X("day:T", title=None, axis=alt.Axis(format="%b %Y", grid=False)))
    month = (
        alt.Chart(alt.NamedData(name="month"))
        .mark_rect(color="@none", opacity=0.75)
        .encode(x=alt.X("begin:T", title=None), x2="end:T")
    )
    daily = base.mark_bar(color="@faint", width={"band": 1}, size=1.2).encode(
        y=alt.Y(f"{measure}:Q", title=title, axis=_amounts(alt, "$" if number == _MONEY else "")),
        tooltip=[
            alt.Tooltip("day:T", title="Day", format="%a %-d %b %Y"),
            alt.Tooltip(f"{measure}:Q", title="Of the day", format=number),
            alt.Tooltip("week:Q", title="Mean of 7 days", format=number),
            alt.Tooltip("thirty:Q", title="Mean of 30 days", format=number),
        ],
    )
    names = ["Mean of 7 days", "Mean of 30 days"]
    colours = alt.Scale(domain=names, range=["@second", "@accent"])
    legend = alt.Legend(orient="top", direction="horizontal", symbolStrokeWidth=2)
    lines = [
        base.transform_calculate(mean=f"'{name}'")
        .mark_line(strokeWidth=width)
        .encode(y=alt.Y(f"{average}:Q"), color=alt.Color("mean:N", title=None, scale=colours, legend=legend))
        for average, name, width in zip(("week", "thirty"), names, (1.1, 2.4), strict=True)
    ]
    marks = [_unusual(alt, measure, title, number)] if measure == "revenue" else []
    return alt.layer(month, daily, *lines, *marks).properties(width="container", height=230)


def _unusual(alt: Any, measure: str, title: str, number: str) -> Any:
    """Marks of the days outside of what was to be expected, of rows of their own."""
    return (
        alt.Chart(alt.NamedData(name="unusual"))
        .mark_point(filled=True, color="@bad", size=34, opacity=1)
        .encode(
            x="day:T",
            y=f"{measure}:Q",
            tooltip=[
                alt.Tooltip("day:T", title="Day", format="%a %-d %b %Y"),
                alt.Tooltip(f"{measure}:Q", title=title, format=number),
                alt.Tooltip("why:N", title="Why"),
            ],
        )
    )


def _expected(alt: Any) -> Any:
    """A month's days: what was to be expected as a bar from the least to the most, what was sold as a point."""
    base = alt.Chart(_rows(alt)).encode(
        x=alt.X("day:T", title=None, axis=alt.Axis(format="%-d %b", grid=False)),
        tooltip=[
            alt.Tooltip("day:T", title="Day", format="%a %-d %b %Y"),
            alt.Tooltip("revenue:Q", title="Revenue", format=_MONEY),
            alt.Tooltip("low:Q", title="Expected from", format=_MONEY),
            alt.Tooltip("high:Q", title="to", format=_MONEY),
        ],
    )
    ranges = base.transform_filter("isValid(datum.low)").mark_bar(color="@faint", size=7, cornerRadius=3)
    points = base.transform_filter("isValid(datum.revenue)").mark_point(filled=True, size=46, opacity=1)
    return alt.layer(
        ranges.encode(y=alt.Y("low:Q", title="Revenue", axis=_amounts(alt, "$")), y2="high:Q"),
        points.encode(
            y="revenue:Q",
            color=alt.Color(
                "found:N",
                title=None,
                scale=alt.Scale(domain=["as expected", "unusual", "too early to tell"],
                                range=["@accent", "@bad", "@muted"]),
                legend=alt.Legend(orient="top"),
            ),
        ),
    ).properties(width="container", height=230)  # fmt: skip


def _shares(alt: Any) -> Any:
    """Each segment's share of customers beside its share of revenue."""
    base = alt.Chart(_rows(alt)).encode(
        y=alt.Y("segment:N", sort=None, title=None, axis=_names(alt)),
        tooltip=[
            alt.Tooltip("segment:N", title="Segment"),
            alt.Tooltip("customer_share:Q", title="Of customers", format=".1%"),
            alt.Tooltip("revenue_share:Q", title="Of revenue", format=".1%"),
        ],
    )
    rule = base.mark_rule(color="@line", strokeWidth=3).encode(
        x=alt.X("customer_share:Q", title="Share", axis=alt.Axis(format="%", tickCount=5)), x2="revenue_share:Q"
    )
    points = (
        base.transform_fold(["customer_share", "revenue_share"], as_=["of", "share"])
        .mark_point(filled=True, size=85, opacity=1)
        .encode(
            x="share:Q",
            shape=alt.Shape("of:N", title=None, scale=_two(alt, ["circle", "diamond"])),
            color=alt.Color(
                "of:N",
                title=None,
                scale=_two(alt, ["@second", "@accent"]),
                legend=alt.Legend(
                    orient="top",
                    labelExpr="datum.label == 'customer_share' ? 'of customers' : 'of revenue'",
                ),
            ),
        )
    )
    return alt.layer(rule, points).properties(width="container", height=alt.Step(24))


def _two(alt: Any, values: list[str]) -> Any:
    return alt.Scale(domain=["customer_share", "revenue_share"], range=values)


def _movement(alt: Any) -> Any:
    """Customers by segment last month and this month; darker is a larger share of last month's segment."""
    base = alt.Chart(_rows(alt)).encode(
        x=alt.X("to:N", sort=None, title="this month", axis=alt.Axis(orient="top", labelAngle=-40, domain=False)),
        y=alt.Y("from:N", sort=None, title="last month", axis=alt.Axis(domain=False, labelLimit=140)),
        tooltip=[
            alt.Tooltip("from:N", title="Last month"),
            alt.Tooltip("to:N", title="This month"),
            alt.Tooltip("customers:Q", title="Customers", format=","),
            alt.Tooltip("share:Q", title="Of last month's", format=".1%"),
        ],
    )
    cells = base.mark_rect(stroke="@surface", strokeWidth=1).encode(color=_shaded(alt, "share:Q", [0, 1]))
    numbers = base.mark_text(fontSize=10).encode(
        text=alt.condition("datum.customers > 0", alt.Text("customers:Q", format=","), alt.value("")),
        color=_on_shade(alt, "datum.share > 0.55"),
    )
    return alt.layer(cells, numbers).properties(width="container", height=alt.Step(23))


def _shaded(alt: Any, field: str, domain: list[float]) -> Any:
    return alt.Color(field, scale=alt.Scale(domain=domain, range=["@low", "@high"], clamp=True), legend=None)


def _on_shade(alt: Any, dark: str) -> Any:
    return alt.condition(dark, alt.value("@on-high"), alt.value("@ink"))


def _map(alt: Any) -> Any:
    """Countries by revenue, on a logarithmic scale: one country sells more than all others together."""
    land = alt.Chart(alt.NamedData(name="shapes", format=alt.TopoDataFormat(type="topojson", feature="countries")))
    backdrop = land.mark_geoshape(fill="@none", stroke="@surface", strokeWidth=0.5)
    sold = (
        land.mark_geoshape(stroke="@surface", strokeWidth=0.5)
        .transform_lookup("id", from_=alt.LookupData(_rows(alt), "shape", ["country", "revenue", "customers", "share"]))
        .transform_filter("datum.revenue > 0")
        .encode(
            color=alt.Color(
                "revenue:Q",
                title="Revenue",
                scale=alt.Scale(type="log", range=["@low", "@high"]),
                legend=alt.Legend(
                    orient="bottom", direction="horizontal", format="$.1~s", gradientLength=220, gradientThickness=9
                ),
            ),
            tooltip=[
                alt.Tooltip("country:N", title="Country"),
                alt.Tooltip("revenue:Q", title="Revenue", format=_MONEY),
                alt.Tooltip("share:Q", title="Share", format=".2%"),
                alt.Tooltip("customers:Q", title="Customers", format=","),
            ],
        )
    )
    return alt.layer(backdrop, sold).properties(width="container", height=360).project(type="naturalEarth1")


def _cohorts(alt: Any) -> Any:
    """Of the customers who first bought in a month, the share that bought again so many months later."""
    base = alt.Chart(_rows(alt)).encode(
        x=alt.X("months:O", title="months since the first purchase", axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("named:O", title=None, axis=alt.Axis(domain=False, labelLimit=190)),
        tooltip=[
            alt.Tooltip("cohort:N", title="First bought in"),
            alt.Tooltip("months:Q", title="Months since"),
            alt.Tooltip("customers:Q", title="Customers who bought", format=","),
            alt.Tooltip("size:Q", title="Of the cohort's", format=","),
            alt.Tooltip("retention:Q", title="Share", format=".1%"),
        ],
    )
    cells = base.mark_rect(stroke="@surface", strokeWidth=1).encode(color=_shaded(alt, "retention:Q", [0, 0.6]))
    numbers = base.mark_text(fontSize=10).encode(
        text=alt.Text("percent:Q", format=".0f"), color=_on_shade(alt, "datum.retention > 0.33")
    )
    return alt.layer(cells, numbers).properties(width="container", height=alt.Step(17))


def _churn(alt: Any) -> Any:
    """Customers by how likely they are not to buy in the next 90 days."""
    return (
        alt.Chart(_rows(alt))
        .mark_bar(stroke="@surface", strokeWidth=1)
        .encode(
            x=alt.X(
                "bin:O",
                sort=None,
                title="Probability of no purchase in 90 days (%)",
                axis=alt.Axis(labelAngle=0, labelOverlap=True),
            ),
            y=alt.Y("customers:Q", title="Customers", axis=alt.Axis(tickCount=5, tickMinStep=1)),
            color=alt.Color(
                "risk:N",
                title="Risk",
                scale=alt.Scale(domain=["Low", "Medium", "High"], range=["@faint", "@second", "@bad"]),
                legend=alt.Legend(orient="top"),
            ),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("bin:N", title="Probability"),
                alt.Tooltip("risk:N", title="Risk"),
                alt.Tooltip("customers:Q", title="Customers", format=","),
            ],
        )
        .properties(width="container", height=230)
    )


def _bars(alt: Any, name: str, measure: str, title: str, colour: str) -> Any:
    """A bar each, in the order of the rows."""
    return (
        alt.Chart(_rows(alt))
        .mark_bar(color=colour, height={"band": 0.66})
        .encode(
            y=alt.Y(f"{name}:N", sort=None, title=None, axis=_names(alt)),
            x=alt.X(f"{measure}:Q", title=title, axis=_amounts(alt, "$")),
            tooltip=[
                alt.Tooltip(f"{name}:N", title=name.capitalize()),
                alt.Tooltip(f"{measure}:Q", title=title, format=_MONEY),
            ],
        )
        .properties(width="container", height=alt.Step(22))
    )


def picture(png: bytes, caption: str) -> MetadataValue:
    """A small PNG as Markdown that Dagster's UI shows when it is asked to."""
    return MetadataValue.md(f"![{caption}](data:image/png;base64,{base64.b64encode(png).decode()})")


def png(specification: Mapping[str, Any], rows: list[dict[str, Any]], currency: str) -> bytes:
    """A small PNG of a chart over these rows."""
    import vl_convert

    height = specification["height"]  # of each bar, where there are bars
    drawn = {**specification, "width": 420, "height": height if isinstance(height, dict) else 150}
    drawn["datasets"] = {"rows": rows}
    if "layer" in drawn:  # of rows only: no month is chosen here
        drawn["layer"] = [layer for layer in drawn["layer"] if layer.get("data", {"name": "rows"})["name"] == "rows"]
    text = json.dumps(drawn)
    for name, colour in {**LIGHT, "@on-high": "#ffffff"}.items():
        text = text.replace(f'"{name}"', f'"{colour}"')
    return bytes(
        vl_convert.vegalite_to_png(
            text,
            scale=1,
            config={"background": "white", "locale": locale(currency), "axis": {"titleFontWeight": "normal"}},
        )
    )
