"""A file of the World Development Indicators as large as the published one: landed and made, with its peak of memory.

    python -m benchmarks.wide_indicators [values in millions, 21.8]

Makes a wide CSV (economies × indicators, a column a year), lands it, runs the main job of the source, and tells the
rows, the seconds and the largest resident set of each of the two commands.
"""

import csv
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

YEARS = range(1960, 2025)
ECONOMIES = [f"{a}{b}{c}" for a in "ABC" for b in "ABCDEFGHIJ" for c in "ABCDEFGHIJ"][:266]


def write(directory: Path, values: int) -> int:
    """The two published files, with about so many values; how many there are."""
    source, written = random.Random(7), 0
    with (directory / "Countries.csv").open("w", newline="") as file:
        countries = csv.writer(file)
        countries.writerow(["Country Code", "Region", "IncomeGroup", "SpecialNotes", "TableName"])
        countries.writerows([code, "Region", "High income", "", f"Economy {code}"] for code in ECONOMIES)
    with (directory / "WDI.csv").open("w", newline="") as file:
        wide = csv.writer(file)
        wide.writerow(["Country Name", "Country Code", "Indicator Name", "Indicator Code", *YEARS])
        number = 0
        while written < values:
            number += 1
            for code in ECONOMIES:
                cells = [f"{source.uniform(-100, 1e6):.6f}" for _ in YEARS]
                wide.writerow([f"Economy {code}", code, f"Indicator {number}", f"XX.{number:05}.ZS", *cells])
                written += len(cells)
    return written


def measured(*arguments: str, environment: dict[str, str]) -> tuple[float, float, str]:
    """Seconds, the largest resident set in GB of this and all commands before, and what was said."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "retail_assets.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return seconds, peak, done.stdout + done.stderr


def main() -> None:
    """Makes, lands, runs, tells."""
    values = int(float(sys.argv[1] if len(sys.argv) > 1 else "21.8") * 1_000_000)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "files").mkdir()
        written = write(place / "files", values)
        size = sum(path.stat().st_size for path in (place / "files").iterdir()) / 1024**2
        print(f"{written:,} values in {size:,.0f} MB")
        of = {"RETAIL_LANDING": "landing", "RETAIL_LAKEHOUSE": "lakehouse", "DAGSTER_HOME": "home"}
        environment = os.environ | {name: str(place / directory) for name, directory in of.items()}
        for arguments in (("land", "--source", "wdi", str(place / "files")), ("run", "--source", "wdi")):
            seconds, peak, said = measured(*arguments, environment=environment)
            print(f"retail {arguments[0]}: {seconds:.1f} s, at most {peak:.2f} GB")
        print(said)


if __name__ == "__main__":
    main()
