"""A person is taken out of drops: the lines go, or what says who it was goes from them. All other bytes stay."""

import csv
import gzip
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from upath import UPath

from retail_assets.erasure.search import KEYED, Ids
from retail_assets.landing.decoding import decoded
from retail_assets.landing.drop_lines import BYTE_ORDER_MARK, Block, Header, csv_signs
from retail_assets.landing.drop_reader import DropRefused, opened
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.exchange import (
    LANDED,
    RECORD,
    REPLACED,
    Content,
    Exchange,
    own_drops,
    unfinished,
    write_json,
)
from retail_assets.landing.layout import SourceLayout
from retail_assets.landing.staging import staging

CUSTOMER = "customer_id"
CODES = ("invoice_no", "stock_code")
"""Columns whose values may look like an id, and be none."""
_PIECE = 8 * 1024 * 1024
_NUMBER = re.compile(r"\.0+\Z")


@dataclass(frozen=True)
class Manner:
    """What is declared of a shop: whether a person's lines go, or stay without the person, and which columns, by our
    names or their headers, are blanked then. Without any they are the customer's, and all that no table knows."""

    removes: bool = False
    columns: tuple[str, ...] = ()

    def blanks(self, header: Header) -> list[int]:
        """The positions of the columns that are blanked."""
        pairs = list(enumerate(zip(header.columns, header.headers, strict=True)))
        if self.columns:
            wanted = {CUSTOMER, *self.columns}
            return [at for at, (column, written_as) in pairs if column in wanted or written_as in wanted]
        return [at for at, (column, _) in pairs if column in (CUSTOMER, None)]


def as_known(written_id: str) -> str:
    """An id as tables know it: without spaces, and without the `.0` of a spreadsheet's number."""
    return _NUMBER.sub("", written_id.strip())


def customers_of(path: str, layout: SourceLayout) -> set[str]:
    """The ids in a drop, as tables know them. Raises DropRefused."""
    with opened(path, layout) as (header, blocks):
        if CUSTOMER not in header.columns:
            return set()
        at = header.columns.index(CUSTOMER)
        return {as_known(value) for block in blocks for value in block.columns[at].unique().to_pylist() if value}


@dataclass(frozen=True)
class People:
    """Who is forgotten, by ids as tables know them.

    `named` are those that are no product's code and no invoice's number as well: these are looked for wherever they
    stand, the others among customers only.
    """

    ids: frozenset[str]
    named: frozenset[str]

    @cached_property
    def by_name(self) -> Ids:
        """What is looked for in texts."""
        return Ids(self.named)

    @staticmethod
    def of(zone: LandingZone, layout: SourceLayout, ids: Collection[str]) -> "People":
        """With a look at all drops."""
        codes: set[str] = set()
        for path in all_drops(Path(zone.directory(layout.name))):
            with opened(str(path), layout) as (header, blocks):
                at = [header.columns.index(name) for name in CODES if name in header.columns]
                for block in blocks:
                    for position in at:
                        codes |= {as_known(code) for code in block.columns[position].unique().to_pylist() if code}
        return People(frozenset(ids), frozenset(ids) - codes)


@dataclass(frozen=True)
class Erased:
    """What was done to drops, kept ones included."""

    drops: int
    lines: int


def erase_from_drops(zone: LandingZone, layout: SourceLayout, people: People, manner: Manner) -> Erased:
    """Rewrites the drops of a source in which one of the ids is, those that landings replaced included.

    What landing knows of its drops (their size and hash) is told anew before each is put in its place: killed in
    between, the same is done again, to the byte. Raises DropRefused for drops that cannot be read, while a landing is
    under way, and where one was interrupted.
    """
    directory, drops, lines = UPath(zone.directory(layout.name)), 0, 0
    if interrupted := unfinished(directory):
        raise DropRefused(
            str(directory), f"the landing {interrupted.landing} was interrupted", "Land its files again, or undo it."
        )
    with staging(directory, layout.dialect):
        for path in all_drops(Path(directory.path)):
            changed = without(path, layout, people, manner)
            if changed is None:
                continue
            content, gone, count = changed
            _tell_landing(path, content, gone)
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(content)
            _must_have_the_others(path, part, layout, gone)
            part.replace(path)
            drops, lines = drops + 1, lines + count
    return Erased(drops, lines)


def _must_have_the_others(before: Path, after: Path, layout: SourceLayout, gone: int) -> None:
    """Raises DropRefused if a drop that was written anew has not all other rows; the one before stays then."""
    counts = []
    for path in (before, after):
        with opened(str(path), layout) as (_, blocks):
            counts.append(sum(len(block.malformed) for block in blocks))
    if counts[1] != counts[0] - gone:
        after.unlink()
        told = f"would have {counts[1]:,} rows without the people, not {counts[0] - gone:,}"
        raise DropRefused(str(before), told, "It stays as it is. Take the people out by hand, and report this.")


def all_drops(directory: Path) -> Iterator[Path]:
    """The drops that lie there, and those that landings replaced."""
    if not directory.is_dir():
        return
    replaced = directory / REPLACED
    for place in [directory, *(sorted(replaced.iterdir()) if replaced.is_dir() else [])]:
        yield from (path for path in sorted(place.iterdir()) if re.search(r"\.csv(\.gz)?\Z", path.name, re.I))


def without(path: Path, layout: SourceLayout, people: People, manner: Manner) -> tuple[bytes, int, int] | None:
    """The bytes of a drop without the people, how many of its rows went, and how many changed; None if none of them is
    in it."""
    packed, rows = path.read_bytes(), list[_Row]()
    with opened(str(path), layout) as (header, blocks):
        for block in blocks:
            rows += _changes(block, header, people, manner)
    if not rows:
        return None
    is_gzip = packed[:2] == b"\x1f\x8b"
    stream = decoded(io.BytesIO(gzip.decompress(packed) if is_gzip else packed), layout.dialect.encoding)
    text = b"".join(iter(lambda: stream.read(_PIECE), b""))
    lines: list[bytes | None] = [*(text.replace(b"\r", b"\n") if header.lone_carriage_returns else text).split(b"\n")]
    for row in rows:
        lines[row.first - 1 : row.beyond - 1] = [row.instead] + [None] * (row.beyond - row.first - 1)
    text = b"\n".join(line for line in lines if line is not None)
    if not layout.dialect.is_utf8 and not text.startswith(BYTE_ORDER_MARK):
        text = BYTE_ORDER_MARK + text
    return (gzip.compress(text, mtime=0) if is_gzip else text), sum(row.instead is None for row in rows), len(rows)


@dataclass(frozen=True)
class _Row:
    """A row that one of the people is in: its first line, the line after its last, and what stands there instead."""

    first: int
    beyond: int
    instead: bytes | None


def _changes(block: Block, header: Header, people: People, manner: Manner) -> Iterator[_Row]:
    """The rows of the people, and of others those in whose texts one is named. A line that is no row, and has an id in
    it, goes if lines go; else the id does."""
    at = header.columns.index(CUSTOMER) if CUSTOMER in header.columns else None
    customers = block.columns[at].to_pylist() if at is not None else [None] * len(block.malformed)
    named, starts = _named(block, header, people.by_name), [*block.starts.tolist(), len(block.data)]
    for row, malformed in enumerate(block.malformed.to_pylist()):
        own = malformed is None and as_known(customers[row] or "") in people.ids
        if not own and row not in named and not (malformed and people.by_name.within(malformed)):
            continue
        raw, number = block.data[starts[row] : starts[row + 1]], int(block.line_numbers[row])
        if malformed is not None:
            instead = people.by_name.in_bytes.sub(b"", raw.split(b"\n")[0])
            yield _Row(number, number + 1, None if manner.removes else instead)
            continue
        blanks = manner.blanks(header) if own else []
        kept = None if own and manner.removes else _written_anew(block, row, header, blanks, people.by_name, raw)
        yield _Row(number, number + len(raw.rstrip(b"\r\n").split(b"\n")), kept)


def _named(block: Block, header: Header, by_name: Ids) -> set[int]:
    """The rows in whose texts (not their numbers, codes and dates) an id stands."""
    found: set[int] = set()
    for name, column in zip(header.columns, block.columns, strict=True):
        if name not in KEYED and name != CUSTOMER:
            found |= {row for row, value in enumerate(column.to_pylist()) if value and by_name.within(value)}
    return found


def _written_anew(block: Block, row: int, header: Header, blanks: list[int], by_name: Ids, raw: bytes) -> bytes:
    values = []
    for at, (name, column) in enumerate(zip(header.columns, block.columns, strict=True)):
        value = column[row].as_py() or ""
        kept = value if name in KEYED or name == CUSTOMER else by_name.without(value, "")
        values.append("" if at in blanks else kept)
    text = io.StringIO()
    csv.writer(text, **csv_signs(header, header.delimiter), lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n").encode() + (b"\r" if raw.rstrip(b"\n").endswith(b"\r") else b"")


def _tell_landing(path: Path, content: bytes, gone: int) -> None:
    """Landing takes a drop for its own by its size and hash."""

    def renewed(known: Content) -> Content:
        rows = None if known.rows is None else known.rows - gone
        return replace(known, rows=rows, size=len(content), sha256=sha256(content).hexdigest())

    directory = UPath(path.parent)
    if path.parent.parent.name == REPLACED:
        record = directory / RECORD
        if record.exists():
            told = Exchange.read(record)
            if path.name in told.taken:
                taken = {**told.taken, path.name: renewed(told.taken[path.name])}
                write_json(record, asdict(replace(told, taken=taken)))
        return
    own = own_drops(directory)
    if path.name in own and own[path.name].sha256 == sha256(path.read_bytes()).hexdigest():
        own[path.name] = renewed(own[path.name])
        write_json(directory / LANDED, {name: asdict(one) for name, one in sorted(own.items())})
