"""`retail forecast`: what is expected of one product, and how much of it to keep."""

from typing import Any

import click

from retail_assets.settings import Settings
from retail_assets.table_commands import SOURCE, Refusal, local, one_source


@click.command()
@click.argument("product")
@SOURCE
@click.pass_obj
def forecast(settings: Settings, product: str, source: str | None) -> None:
    """What PRODUCT, a code, will sell in the next four weeks, with bands, and when to order it again.

    Of the newest week that was forecast. A family, a country and "shop" are forecast as well.
    """
    local(settings)
    name = one_source(settings, source).name
    rows = _newest(settings, name, "demand_forecast", "item", product)
    if not rows:
        raise Refusal(
            f"Nothing is forecast of {product} in {name}: it was not sold within 13 weeks, or is no code, family, "
            "country or shop."
        )
    order = {"1": 1, "2": 2, "3": 3, "4": 4, "total": 5}
    first = rows[0]
    about = " · ".join(text for text in (first["description"], first["family"], first["reason"]) if text)
    click.echo(f"{first['item']}, from {first['as_of_date']} on" + (f": {about}" if about else ""))
    click.echo(f"{'week':>6}{'units':>10}   80 %             90 %")
    for row in sorted(rows, key=lambda row: order[row["horizon"]]):
        bands = [_band(row, low, high) for low, high in (("10", "90"), ("05", "95"))]
        click.echo(f"{row['horizon']:>6}{row['units']:>10,.1f}   {bands[0]:<16} {bands[1]}")
    click.echo(f"Model: {first['model']}. A band holds so many of the outcomes, by how far off earlier forecasts were.")
    _told_points(_newest(settings, name, "reorder_hints", "stock_code", product))


def _told_points(points: list[dict[str, Any]]) -> None:
    for row in sorted(points, key=lambda row: (row["lead_weeks"], row["service_level"])):
        weeks = f"{row['lead_weeks']} week{'s' if row['lead_weeks'] > 1 else ''}"
        click.echo(
            f"Delivered in {weeks}, there in {row['service_level']} of 100 cases: order at {row['reorder_point']:,.0f}"
        )


def _band(row: dict[str, Any], low: str, high: str) -> str:
    least, most = row[f"quantile_{low}"], row[f"quantile_{high}"]
    return "not told yet" if least is None else f"{least:,.0f} to {most:,.0f}"


def _newest(settings: Settings, source: str, table: str, column: str, item: str) -> list[dict[str, Any]]:
    """The rows of the table's newest week of the item. Refuses a table not made yet."""
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    place = "/".join([settings.lakehouse.rstrip("/"), source, table])
    if not DeltaTable.is_deltatable(place):
        raise Refusal(f"There is no table at {place} yet. Make it first: retail run.")
    rows = DeltaTable(place).to_pyarrow_table()
    if not rows.num_rows:
        return []
    newest = rows.filter(pc.equal(rows["week"], pc.max(rows["week"])))
    return [row for row in newest.to_pylist() if str(row[column]).lower() == item.lower()]
