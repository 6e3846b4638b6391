"""What runs import, in one place: loaded ahead of them by warm_runs.py.

Nothing here may start a thread or open a connection, as processes are forked from the one that has loaded it.
"""

import gc

import altair  # noqa: F401
import dagster_mlflow  # noqa: F401
import deltalake  # noqa: F401
import mlflow.sklearn  # noqa: F401
import pyarrow.compute
import pyarrow.parquet  # noqa: F401
import pysail.spark  # noqa: F401
import pyspark.sql.connect.session  # noqa: F401
import sklearn.cluster
import sklearn.ensemble
import sklearn.linear_model
import sklearn.metrics  # noqa: F401
import vl_convert  # noqa: F401
from dagster._core.execution import api  # noqa: F401
from dagster._grpc import impl  # noqa: F401

from retail_assets.lakehouse import event_log, table  # noqa: F401
from retail_assets.lakehouse.engines import choice, sail  # noqa: F401

# What is there now stays: the collector would touch, and so copy, pages that forked processes share.
gc.freeze()
