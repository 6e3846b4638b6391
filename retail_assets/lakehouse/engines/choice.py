"""Which engine it is: as the settings say for a new session, by the session where there is one."""

from dagster_pyspark import LazyPySparkResource
from pyspark.sql import SparkSession

from retail_assets.lakehouse.engines.engine import SAIL, Engine, is_client
from retail_assets.lakehouse.engines.spark import (
    MEANING,
    JvmPySparkResource,
    RuntimePySparkResource,
    Spark,
    local_session,
    spark_config,
)
from retail_assets.settings import Settings


def engine_of(session: SparkSession) -> Engine:
    """The engine of a session that tables on paths are made with."""
    from retail_assets.lakehouse.engines.sail import Sail

    return Sail(session) if is_client(session) else Spark(session)


def pyspark_resource(settings: Settings) -> LazyPySparkResource:
    """Where tables get their session: started when first asked for. In a catalog it is the runtime's own."""
    if settings.catalog:
        return RuntimePySparkResource(spark_config=MEANING)
    if settings.engine == SAIL:
        from retail_assets.lakehouse.engines.sail import EmbeddedPySparkResource

        return EmbeddedPySparkResource()
    return JvmPySparkResource(spark_config=spark_config(settings))


def start(settings: Settings, short: bool = False) -> SparkSession:
    """The session of a local deployment in this process. `short`: it will do little; see spark_config."""
    if settings.engine == SAIL:
        from retail_assets.lakehouse.engines.sail import embedded_session

        return embedded_session()
    return local_session(spark_config(settings, short=short))
