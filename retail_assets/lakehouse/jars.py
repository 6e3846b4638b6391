"""The Delta jars, fetched once at set-up and checked against their locked hashes.

The wheel of delta-spark carries no jars. Spark can resolve them at every start of a session, which costs seconds
and a network; here they are resolved once, by Spark's own resolver, into the environment. The same step records
the classes that a first Delta write loads (application class-data sharing), so that later sessions start faster.
"""

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

JARS = Path(sys.prefix) / "share" / "retail-assets" / "jars"
CLASS_ARCHIVE = JARS / "classes.jsa"

# Spark's own distribution already has what Delta needs at run time but for these two.
NEEDED = ("delta-spark", "delta-storage")
EXCLUDED = "org.apache*:*,org.slf4j*:*,com.*:*,org.roaringbitmap*:*,org.locationtech*:*,javax*:*,commons*:*,io.unitycatalog*:*,org.antlr*:*,io.airlift*:*,*:delta-kernel*"


def jar_files() -> list[Path]:
    """The jars a local session needs; empty before `make setup`, or where the platform brings Delta itself."""
    return sorted(JARS.glob("*.jar"))


def locked_hashes(lock: Path) -> dict[str, str]:
    """File name -> SHA-256, as `requirements/jars.lock` states them (the format of sha256sum)."""
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
        hashes = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in found}
        expected = locked_hashes(lock)
        if hashes != expected:
            raise SystemExit(
                f"The Delta jars that were resolved are not the ones that {lock} locks.\n"
                f"  locked:   {expected}\n  resolved: {hashes}\n"
                "If delta-spark was upgraded on purpose, write the new hashes into that file."
            )
        JARS.mkdir(parents=True, exist_ok=True)
        for jar in found:
            shutil.copy(jar, JARS / jar.name)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
