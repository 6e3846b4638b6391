"""The source that most tests are about, and its tables."""

from retail_assets.partitions.cadence import weekly
from retail_assets.settings import Settings
from retail_assets.sources.known import known_sources

SOURCE = known_sources(Settings.read({}))["online_retail"]
TABLES, STORED, RESULTS, ID_COLUMNS = SOURCE.tables, SOURCE.stored, SOURCE.results, SOURCE.id_columns
RULES = SOURCE.owner.rules
INVOICES = SOURCE.owner.layout

BY_THE_WEEK = {table.key.path[-1] for table in TABLES if table.cadence is weekly}
"""What is made of weeks, and tested in retail_assets_tests/foresight."""
