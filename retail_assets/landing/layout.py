"""What a source's files look like: the columns they have, the headers these have, and how they are written."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from retail_assets.landing.dialect import PUBLISHED, Dialect
from retail_assets.streaming.event_form import EventForm

_BETWEEN_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class SourceLayout:
    """The columns of a source's files, and how these are written. All columns that have a header must be there; a file
    may have others besides.

    `columns` maps our name of a column to the headers it is published under, in the order of our tables. Headers are
    recognised in any case, and whatever stands between their words: `Customer ID` is customer_id and CustomerID. Where
    a file has several of a column's headers, the one that is named first counts. A column without any is not in the
    files.
    `date_column` is the column that decides a row's day. `others` are headers that files have besides, and that nobody
    needs to be told of. `events`: how the source's events are read, where it has some.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    date_column: str
    dialect: Dialect = PUBLISHED
    others: tuple[str, ...] = ()
    events: EventForm | None = None

    def recognised(self, header: str) -> str | None:
        """Our name of a published header; None for a column that the layout does not know."""
        written = _letters(header)
        for column, headers in self.columns.items():
            if any(written == _letters(accepted) for accepted in headers):
                return column
        return None

    def expects(self, header: str) -> bool:
        """Whether a header that stands for no column is one of those that files have besides."""
        return _letters(header) in map(_letters, self.others)

    def columns_of(self, headers: Sequence[str]) -> tuple[str | None, ...]:
        """Our name of each header of a file; None for those that are not known, or not the first of their column."""
        found = [self.recognised(header) for header in headers]

        def rank(position: int) -> int:
            accepted = [_letters(header) for header in self.columns[found[position] or ""]]
            return accepted.index(_letters(headers[position]))

        best: dict[str, int] = {}
        for position, column in enumerate(found):
            if column:
                best[column] = min(rank(position), best.get(column, len(self.columns[column])))
        return tuple(
            column if column and rank(position) == best[column] else None for position, column in enumerate(found)
        )

    def missing(self, headers: Iterable[str]) -> list[str]:
        """The columns that none of the headers stands for, each with the headers that would."""
        found = {self.recognised(header) for header in headers}
        wanted = {column: names for column, names in self.columns.items() if names}
        return [f"{column} ({' or '.join(names)})" for column, names in wanted.items() if column not in found]

    def is_meant_by(self, missing: Collection[str]) -> bool:
        """Whether a table that lacks these columns was meant to be one: it has half of them or more."""
        return 2 * len(missing) <= len(self.columns)


def _letters(header: str) -> str:
    """A header without what stands between its words; as it is, if there is nothing else."""
    return _BETWEEN_WORDS.sub("", header).casefold() or header.strip()
