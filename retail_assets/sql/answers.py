"""An answer as people read it, or as a program or a file takes it."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from retail_assets.people_csv import RISKY, escaped
from retail_assets.sql.door import told
from retail_assets.sql.tables import literal, quoted

if TYPE_CHECKING:
    import duckdb

MOST_SHOWN = 100
"""So many rows are shown to people; a file has all."""

_OPTIONS = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json, ARRAY", "parquet": "FORMAT parquet"}


def show(answer: "duckdb.DuckDBPyRelation") -> None:
    """Prints it as a table, as wide as the terminal, or in full where nobody looks on."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    with told():
        answer.show(max_rows=MOST_SHOWN, max_width=width, max_col_width=max(width, 1000))


def write(answer: "duckdb.DuckDBPyRelation", form: str, output: Path | None, raw: bool = False) -> None:
    """Writes all of it, decimals in full, to a file, or to standard output. The file is there whole or not at all. In
    CSV, texts that a spreadsheet would run are escaped, unless they are wanted `raw`."""
    with told(), tempfile.TemporaryDirectory(dir=output and output.parent, prefix=".retail-sql-") as directory:
        written = Path(directory) / "answer"
        shown = answer if raw or form != "csv" else _for_people(answer)
        shown.query("answer", f"COPY (FROM answer) TO {literal(str(written))} ({_OPTIONS[form]})")
        if output:
            written.replace(output)
            return
        with written.open("rb") as rows:
            shutil.copyfileobj(rows, sys.stdout.buffer)


def _for_people(answer: "duckdb.DuckDBPyRelation") -> "duckdb.DuckDBPyRelation":
    """The answer with its texts escaped, as `people_csv` does it."""
    names = {name: quoted(name) for name in answer.columns}
    risky = ", ".join(f"chr({ord(sign)})" for sign in RISKY)
    texts = [
        f"CASE WHEN {names[name]}[1] IN ({risky}) THEN chr(39) || {names[name]} ELSE {names[name]} END"
        if str(kind) == "VARCHAR"
        else names[name]
        for name, kind in zip(answer.columns, answer.types, strict=True)
    ]
    named = [f"{text} AS {quoted(escaped(name))}" for text, name in zip(texts, answer.columns, strict=True)]
    shown = answer.query("answer", f"SELECT {', '.join(named)} FROM answer")
    assert shown is not None
    return shown
