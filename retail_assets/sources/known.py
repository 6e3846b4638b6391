"""The sources that this installation knows."""

from collections.abc import Mapping

from retail_assets import customers, dashboards, invoices, quality
from retail_assets.lakehouse.found_tables import results_in, tables_in
from retail_assets.settings import Settings
from retail_assets.shops.shop import Shop
from retail_assets.sources.online_retail import ONLINE_RETAIL
from retail_assets.sources.source import Source


def shop_source(shop: Shop) -> Source:
    """The source that a shop is: all tables of invoices, and of customers."""
    tables = tables_in(invoices, customers, dashboards)
    return Source(shop, tables, results_in(quality), {"raw_invoices": shop.name}, frozenset({"customer_id"}))


def known_sources(settings: Settings) -> Mapping[str, Source]:
    """Every source by its name, whether or not anything of it has landed."""
    return {ONLINE_RETAIL.name: shop_source(ONLINE_RETAIL)}
