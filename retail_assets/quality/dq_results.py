"""dq_results: what every rule of every check of every table came to, run by run."""

from retail_assets.lakehouse.results import CheckResults
from retail_assets.lakehouse.results_table import ResultsTable


class DqResults(CheckResults):
    """One row per run, partition, table and rule: what was observed, the bounds it was held to, and the verdict.

    Each step adds the rows of the partitions it judged, published or not. A partition that is made again has rows of
    each run; the newest are those of its highest `evaluated_at`.
    """


build = ResultsTable(DqResults)
