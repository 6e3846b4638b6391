"""The sources that this installation knows."""

from collections.abc import Mapping

from retail_assets import customers, dashboards, invoices, olist, quality, wdi
from retail_assets.lakehouse.found_tables import results_in, tables_in
from retail_assets.olist.source import OLIST
from retail_assets.settings import Settings
from retail_assets.shops.shop import Shop
from retail_assets.sources.online_retail import ONLINE_RETAIL
from retail_assets.sources.source import Source
from retail_assets.wdi.source import COUNTRIES, INDICATORS, WDI


def shop_source(shop: Shop) -> Source:
    """The source that a shop is: all tables of invoices, and of customers."""
    tables = tables_in(invoices, customers, dashboards)
    return Source(shop, tables, results_in(quality), {"raw_invoices": shop.name}, frozenset({"customer_id"}))


def known_sources(settings: Settings) -> Mapping[str, Source]:
    """Every source by its name, whether or not anything of it has landed."""
    olist_tables = ("orders", "order_items", "order_payments", "order_reviews", "customers", "products", "sellers")
    more = ("geolocation", "category_translation")
    marketplace = Source(
        OLIST,
        tables_in(olist, customers),
        results_in(quality),
        {f"raw_{table}": f"{OLIST.name}/{table}" for table in (*olist_tables, *more)},
        frozenset({"customer_id", "customer_unique_id"}),
        OLIST.terms,
    )
    statistics = Source(
        WDI,
        tables_in(wdi),
        results_in(quality),
        {"indicators": INDICATORS.name, "raw_countries": COUNTRIES.name},
        frozenset(),
        WDI.terms,
    )
    every = (shop_source(ONLINE_RETAIL), marketplace, statistics)
    return {source.name: source for source in every}
