"""Whatever is landed, from whatever files, names, sheets and directories, into whatever lies there: every row is
accounted for in the drops, or a sentence names file, line or day and nothing has changed."""

import gzip
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from retail_assets.landing.consent import Consent
from retail_assets.landing.drop_reader import DropRefused, read_drop
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import Landed
from retail_assets_tests.landing.landings import HEADER, file, lands, line, snapshot, workbook
from retail_assets_tests.made_shop import INVOICES

COLUMNS = HEADER.rstrip("\n").split(",")
NEAR = [f"2010-12-0{day}" for day in range(1, 6)]
DATES = st.sampled_from([*NEAR * 3, "2010-12-03 08:26:00", "13/12/2010", "1974-02-11", "0210-12-01", "soon"])
TEXTS = st.sampled_from(["MUG", '"MUG, RED"', '"TWO\nLINES"', '"A\n\nB"', 'PLATE 12"', '"SAID ""NO"""', "CAFÉ", ""])
ROWS = st.builds(line, st.integers(1, 99), DATES, TEXTS)
ODD = st.sampled_from(
    ["2,too,few\n", '3,85048,"open\n', 'shut",12,2010-12-01,1,2,3\n', '"\n', "\n", " \n", HEADER, "\r\n", "a\0b\n"]
)
HEADERS = [*[HEADER] * 8, *["\ufeff" + HEADER] * 2, HEADER.replace("\n", ",Channel\n"), HEADER.replace(",Price", "")]
CONTENTS = st.tuples(
    st.sampled_from(HEADERS),
    st.lists(st.one_of(ROWS, ROWS, ODD), min_size=1, max_size=14).map("".join),
    st.booleans(),
)
DATED = ["sales_2010-12-02", "sales_9999-12-31", "2010-12-01_to_2010-12-02"]
NAMES = st.sampled_from(["sales", "sales", "a b", "ü#?%20", "[x]*", "n" * 240, "-x", *DATED])
CELLS = st.lists(
    st.tuples(
        st.integers(1, 99),
        st.just("85048"),
        st.sampled_from(["MUG", "a\nb", "1,2,3,4,5,6,7,8\n9", 'x"', "\n".join("abcdefghij" * 3), None]),
        st.integers(1, 9),
        st.sampled_from([*map(date.fromisoformat, NEAR), "2010-12-02", "soon", None]),
        st.just(2.5),
        st.sampled_from([13085, None]),
        st.just("EIRE"),
    ).map(list),
    max_size=6,
)
SHEET_HEADERS = st.sampled_from([*[COLUMNS] * 9, COLUMNS[:-1], ["Country", "Sum"]])
SHEETS = st.lists(st.tuples(SHEET_HEADERS, CELLS), min_size=1, max_size=2)


@dataclass(frozen=True)
class Source:
    """A file to be made: `content` is text with whether its last line end is missing, or sheets."""

    directory: str
    name: str
    ending: str
    content: Any

    def made(self, root: Path) -> Path:
        """The file, below `root`."""
        directory = root / self.directory
        if self.ending == ".xlsx":
            sheets = {f"Sheet{number}": [header, *rows] for number, (header, rows) in enumerate(self.content)}
            return workbook(directory / f"{self.name}.xlsx", sheets)
        header, rows, cut = self.content
        text = (header + rows).rstrip("\n") if cut else header + rows
        packed = gzip.compress(text.encode()) if self.ending == ".csv.gz" else text.encode()
        return file(directory, packed, self.name + self.ending)


DIRECTORIES = st.sampled_from(["a", "b", "c d", "ç#"])
SOURCES = st.one_of(
    st.builds(Source, DIRECTORIES, NAMES, st.sampled_from([".csv", ".csv", ".csv.gz"]), CONTENTS),
    st.builds(Source, DIRECTORIES, NAMES, st.just(".xlsx"), SHEETS),
)
LYING = st.lists(
    st.sampled_from(
        ["online_retail_2010-12-01.csv", "online_retail_2010-12-02_late.csv", "x_2010-12-03.csv", "y_2010-12-09.csv"]
    ),
    max_size=2,
    unique=True,
)
CONSENTS = st.builds(
    Consent,
    st.sampled_from(["replace", "replace", "keep", "keep", "ask"]),
    st.sampled_from(["replace", "replace", "replace", "ask"]),
    st.sampled_from(["keep", "set-aside", "set-aside", "ask"]),
)
BEFORE = Consent("keep", "replace", "keep")


def content_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """A row without the place that it lies in."""
    extra = tuple(row["extra_columns"] or ())
    return (*(row[column] for column in INVOICES.columns), extra, row["malformed_line"])


def rows_of(path: str) -> Iterator[dict[str, Any]]:
    for batch in read_drop(path, INVOICES):
        yield from batch.to_pylist()


def rows_of_source(source: Source, path: Path) -> list[tuple[Any, ...]]:
    """What the file holds, read by itself; of workbooks the cells."""
    if source.ending != ".xlsx":
        return [content_of(row) for row in rows_of(str(path))]
    sheets = [rows for header, rows in source.content if header == COLUMNS]
    return [(*map(text, row), (), None) for rows in sheets for row in rows]


def text(cell: Any) -> str | None:
    return None if cell is None else str(cell)


def assert_accounted(told: Landed, sources: dict[Path, Source], zone: LandingZone) -> None:
    by_drop = {drop.name: list(rows_of(drop.path)) for drop in zone.drops("online_retail") if drop.name in told.drops}
    landed = [content_of(row) for rows in by_drop.values() for row in rows]
    expected = [row for path, source in sources.items() for row in rows_of_source(source, path)]
    assert Counter(landed) == Counter(expected)
    assert told.rows == len(landed)
    assert told.malformed == sum(row[-1] is not None for row in landed)
    aside = {str(one.day) for one in told.set_aside}
    for name, rows in by_drop.items():
        for row in rows:
            written = (row["invoice_ts"] or "")[:10]
            if written in NEAR or (written == "1974-02-11" and written not in aside):
                assert written in (name[14:24], *aside)
    assert told.calendar.first_day <= told.first_day
    assert all(told.calendar.includes(date.fromisoformat(name[14:24])) for name in told.drops)


def one_file(source: Source) -> tuple[str, str, str]:
    return source.directory, source.name, source.ending


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    sources=st.lists(SOURCES, min_size=1, max_size=3, unique_by=one_file),
    earlier=st.none() | CONTENTS,
    lying=LYING,
    consent=CONSENTS,
)
def test_every_row_is_accounted_for_or_a_sentence_says_why_not(sources, earlier, lying, consent):
    with TemporaryDirectory() as scratch:
        root, zone = Path(scratch), LandingZone(f"{scratch}/zöne #1")
        theirs = [file(Path(zone.directory("online_retail")), HEADER + line(9, "2010-12-01"), name) for name in lying]
        if earlier:
            with suppress(DropRefused):
                lands([Source("earlier", "earlier", ".csv", earlier).made(root)], zone, BEFORE)
        paths = {source.made(root): source for source in sources}
        before = snapshot(zone)
        try:
            told = lands(list(paths), zone, consent)
        except DropRefused as refusal:
            event("refused")
            said = str(refusal)
            assert snapshot(zone) == before
            assert len(said) < 2500
            named = [*(path.name for path in paths), *lying, "2010-12-0", "1974-02-11"]
            assert any(name in said for name in named), said
            return
        event("landed")
        assert_accounted(told, paths, zone)
        replaced = {str(day) for day in told.replaced}
        for path in theirs:
            assert path.exists() or any(day in path.name for day in replaced)
