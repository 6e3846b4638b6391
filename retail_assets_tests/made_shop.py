"""The source that most tests are about, and its tables."""

from retail_assets.settings import Settings
from retail_assets.sources.known import known_sources

SOURCE = known_sources(Settings.read({}))["online_retail"]
TABLES, STORED, RESULTS, ID_COLUMNS = SOURCE.tables, SOURCE.stored, SOURCE.results, SOURCE.id_columns
RULES = SOURCE.owner.rules
INVOICES = SOURCE.owner.layout
