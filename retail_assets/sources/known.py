"""The sources that this installation knows."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from retail_assets import customers, dashboards, foresight, invoices, olist, quality, wdi
from retail_assets.invoices.economies import Economies
from retail_assets.lakehouse.contracts import Contract, of_source
from retail_assets.lakehouse.found_tables import results_in, tables_in
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.source import OLIST
from retail_assets.settings import SettingError, Settings
from retail_assets.shops.description import find, shops_in
from retail_assets.shops.keys import DescriptionError
from retail_assets.shops.shop import Shop
from retail_assets.sources.landings import land_shop, land_tables, made_by
from retail_assets.sources.online_retail import ONLINE_RETAIL
from retail_assets.sources.source import Source
from retail_assets.wdi.country_indicators import CountryIndicators
from retail_assets.wdi.source import COUNTRIES, INDICATORS, WDI


def shop_source(shop: Shop) -> Source:
    """The source that a shop is: all tables of invoices, and of customers."""
    tables, economies = tables_in(invoices, customers, foresight, dashboards), of_source(CountryIndicators, WDI.name)
    shop = replace(shop, elsewhere=((Economies, economies),))
    return Source(
        shop,
        tables,
        results_in(quality),
        {"raw_invoices": shop.name},
        frozenset({"customer_id"}),
        partial(land_shop, shop),
    )


def known_sources(settings: Settings) -> Mapping[str, Source]:
    """Every source by its name, whether or not anything of it has landed: the shop that comes with the package, those
    that the user described, and what is more than a shop. Raises SettingError for a description that cannot be gone by.
    """
    described = Path(settings.shops)
    try:
        shops = [find(name, described) for name in dict.fromkeys([ONLINE_RETAIL.name, *shops_in(described)])]
    except DescriptionError as problem:
        raise SettingError(str(problem)) from None
    every = [*map(shop_source, shops), marketplace(), statistics()]
    return {source.name: source for source in every}


def sources_at_work(settings: Settings) -> list[Source]:
    """The sources that the graph is made of: those that have a directory in the landing zone, and where none has, the
    first. Where only the cluster sees the landing zone, those whose calendar is set."""
    known = known_sources(settings)
    if settings.deployment == "databricks":
        wanted = {name for name in known if f"RETAIL_{name.upper()}_FIRST_DAY" in settings.calendars}
    else:
        wanted = set(LandingZone(settings.landing).directories())
    return [source for name, source in known.items() if name in wanted] or [next(iter(known.values()))]


def contracts_of(sources: Iterable[Source]) -> list[type[Contract]]:
    """Those of all their tables, in the order of the data."""
    return [table.contract for source in sources for table in source.stored]


def marketplace() -> Source:
    """Olist: tables of its own, and those of any source's customers."""
    facts = ("orders", "order_items", "order_payments", "order_reviews")
    references = ("customers", "products", "sellers", "geolocation", "category_translation")
    return Source(
        OLIST,
        tables_in(olist, customers, as_far_as_possible=[foresight]),
        results_in(quality),
        {f"raw_{table}": f"{OLIST.name}/{table}" for table in (*facts, *references)},
        frozenset({"customer_id", "customer_unique_id"}),
        partial(land_tables, "retail_assets.olist.landing"),
        partial(made_by, "retail_assets.generator.generated_marketplace:make_marketplace"),
    )


def statistics() -> Source:
    """The World Development Indicators."""
    arrives = {"indicators": INDICATORS.name, "raw_countries": COUNTRIES.name}
    lands = partial(land_tables, "retail_assets.wdi.landing")
    makes = partial(made_by, "retail_assets.generator.generated_indicators:make_indicators")
    return Source(WDI, tables_in(wdi), results_in(quality), arrives, frozenset(), lands, makes)
