"""The engine is started, and what models need is loaded, while the first tables are planned and made."""

from retail_assets.settings import Settings

# With more partitions than these to make, code that is compiled well pays.
SHORT_RUN_PARTITIONS = 100


def warm_up(settings: Settings, partitions: int) -> None:
    """Starts the engine, for so many partitions to make, then loads what the models need."""
    if settings.databricks:  # both are the cluster's
        return
    from retail_assets.analytics.tracking import load
    from retail_assets.lakehouse.engines.choice import start

    start(settings, short=partitions <= SHORT_RUN_PARTITIONS)
    load(settings.mlflow_tracking_uri)
