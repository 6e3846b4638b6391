"""Whether there is a Java runtime, which Spark on this machine needs and the embedded engine does not."""

import os
import shutil
import sys
from pathlib import Path


class JavaMissing(Exception):
    """There is no Java where Spark looks for it; the message says what to do."""


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")  # Spark takes Java from there, if it is set, and from nowhere else
    return shutil.which(str(Path(home, "bin", "java")) if home else "java")


def require_java() -> None:
    """Raises JavaMissing."""
    if _java() is None:
        home = os.environ.get("JAVA_HOME")
        wrong = f" JAVA_HOME={home!r} has none: correct or unset it." if home else ""
        raise JavaMissing(
            "Java is missing: Spark needs a Java 17 runtime, on the PATH or in JAVA_HOME (Debian/Ubuntu: sudo apt-get "
            f"install openjdk-17-jre-headless; macOS: brew install openjdk@17).{wrong} Without RETAIL_ENGINE=spark "
            "tables are made by the embedded engine, which needs no Java."
        )


if __name__ == "__main__":
    sys.exit(_java() is None)
