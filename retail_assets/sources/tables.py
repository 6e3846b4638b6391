"""The tables of Online Retail, in the order of the data."""

from retail_assets import customers, dashboards, invoices, quality
from retail_assets.lakehouse.found_tables import results_in, tables_in
from retail_assets.lakehouse.results_table import ResultsTable
from retail_assets.lakehouse.table import Table
from retail_assets.sources.online_retail import INVOICES as SOURCE
from retail_assets.sources.online_retail import ONLINE_RETAIL

TABLES = [table.of(ONLINE_RETAIL) for table in tables_in(invoices, customers, dashboards)]

RESULTS = results_in(quality).of(ONLINE_RETAIL)
"""The table that all of them write the results of their checks to."""

STORED: list[Table | ResultsTable] = [*TABLES, RESULTS]
"""Everything of this source that lies in the lakehouse."""

ID_COLUMNS = frozenset({"customer_id"})
"""What people read of this source has pseudonyms of its customers."""

__all__ = ["ID_COLUMNS", "RESULTS", "SOURCE", "STORED", "TABLES"]
