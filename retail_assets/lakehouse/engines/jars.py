"""What a local Spark session starts from: the Delta jars, and an archive of the classes that it will load.

The wheel of delta-spark carries no jars. Spark can resolve them at every start of a session, which costs seconds and
a network; here they are resolved once, when a JVM is first wanted, by Spark's own resolver, and checked against their
locked hashes. Then the classes that a first use of Delta loads are recorded (application class-data sharing): later
sessions start faster.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from retail_assets.lakehouse.engines.java import require_java

JARS = Path(sys.prefix) / "share" / "retail-assets" / "jars"
CLASS_ARCHIVE = JARS / "classes.jsa"
LOCK = Path(__file__).with_name("jars.lock")

# Spark's own distribution already has what Delta needs at run time but for these two.
NEEDED = ("delta-spark", "delta-storage")
EXCLUDED = (
    "org.apache*:*,org.slf4j*:*,com.*:*,org.roaringbitmap*:*,org.locationtech*:*,javax*:*,commons*:*,"
    "io.unitycatalog*:*,org.antlr*:*,io.airlift*:*,*:delta-kernel*"
)


def wanted_jars() -> list[Path]:
    """The jars that a local session needs; when first asked for they are fetched, and their classes recorded."""
    found = sorted(JARS.glob("*.jar"))
    if found:
        return found
    require_java()
    sys.stderr.write("Fetching what Spark needs for Delta tables; this happens once …\n")
    for task in ([str(LOCK)], ["record-classes"]):  # each in a JVM of its own
        made = subprocess.run([sys.executable, "-m", __name__, *task], capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"Delta's jars could not be prepared:\n{made.stdout}{made.stderr}")
    return sorted(JARS.glob("*.jar"))


def locked_hashes(lock: Path) -> dict[str, str]:
    """File name -> SHA-256, as jars.lock states them (the format of sha256sum)."""
    lines = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return {name: digest for digest, name in lines}


def fetch(lock: Path) -> None:
    """Resolves the jars from Maven's central repository and keeps them if their hashes are the locked ones."""
    from delta import configure_spark_with_delta_pip
    from pyspark.sql import SparkSession

    with tempfile.TemporaryDirectory() as ivy:
        builder = (
            SparkSession.Builder()
            .master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.jars.ivy", ivy)
            .config("spark.jars.excludes", EXCLUDED)
        )
        configure_spark_with_delta_pip(builder).getOrCreate().stop()
        found = [jar for jar in Path(ivy, "jars").glob("*.jar") if any(f"_{name}" in jar.name for name in NEEDED)]
        _keep(found, JARS, lock)


def fetch_package(package: str, into: Path, lock: Path) -> None:
    """Resolves a package of another program with all that it needs, and keeps it if its hashes are the locked ones."""
    from pyspark.sql import SparkSession

    with tempfile.TemporaryDirectory() as ivy:
        builder = SparkSession.Builder().master("local[1]").config("spark.ui.enabled", "false")
        builder.config("spark.jars.ivy", ivy).config("spark.jars.packages", package).getOrCreate().stop()
        _keep(sorted(Path(ivy, "jars").glob("*.jar")), into, lock)


def _keep(found: list[Path], into: Path, lock: Path) -> None:
    """Keeps the jars whole: a directory that is there has all of them. Raises SystemExit for others than the lock's."""
    hashes = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in found}
    expected = locked_hashes(lock)
    if hashes != expected:
        raise SystemExit(
            f"The jars that were resolved are not the ones that {lock} locks.\n"
            f"  locked:   {expected}\n  resolved: {hashes}\n"
            "If they were upgraded on purpose, write the new hashes into that file."
        )
    unfinished = into.with_name(f"{into.name}.{os.getpid()}.part")
    unfinished.mkdir(parents=True)
    for jar in found:
        shutil.copy(jar, unfinished / jar.name)
    try:
        unfinished.rename(into)
    except OSError:  # another has put them there meanwhile
        shutil.rmtree(unfinished)


def record_classes() -> None:
    """Writes the class archive: does what a table's step does, small, in a JVM that records what it loads."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    from retail_assets.lakehouse.engines.spark import local_session, spark_config
    from retail_assets.lakehouse.path_tables import PathTables
    from retail_assets.partitions.keys import PARTITION, within
    from retail_assets.settings import Settings

    CLASS_ARCHIVE.unlink(missing_ok=True)
    config = spark_config(Settings.read({}))
    config["spark.driver.extraJavaOptions"] += f" -XX:ArchiveClassesAtExit={CLASS_ARCHIVE}"
    with tempfile.TemporaryDirectory() as directory:
        spark = local_session(config)
        tables, name, day = PathTables(spark, directory), ("recorded", "rows"), date(2011, 12, 9)
        rows = spark.createDataFrame([(day, "a", 1.5), (day, "b", 2.5)], "day date, name string, amount double")
        rows = rows.mapInArrow(_unchanged, rows.schema).persist()
        for _ in range(2):
            tables.replace(name, rows, {PARTITION: "day"}, [day])
        read = tables.read(name).filter(within("day", [day]))
        ranked = read.withColumn("rank", F.rank().over(Window.partitionBy("day").orderBy("amount")))
        ranked.join(read, ["day", "name"]).groupBy("day").agg(F.countDistinct("name"), F.sum("rank")).collect()
        ranked.toPandas()
        rows.unpersist()
        spark.stop()


def _unchanged(batches):  # type: ignore[no-untyped-def]
    yield from batches


if __name__ == "__main__":
    # The JVM's talk is for nobody here: what goes wrong is raised.
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    if sys.argv[1] == "record-classes":
        record_classes()
    else:
        fetch(Path(sys.argv[1]))
