"""What a source's files look like: the columns they have and the headers these are published under."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SourceLayout:
    """The columns of a source's files. All of them must be there; a file may have others besides.

    `columns` maps our name of a column to the headers it is published under, in the order of our tables. Headers are
    recognised in any case and with spaces around them. `date_column` is the column that decides a row's day.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    date_column: str

    def recognised(self, header: str) -> str | None:
        """Our name of a published header; None for a column that the layout does not know."""
        written = header.strip().casefold()
        for column, headers in self.columns.items():
            if any(written == accepted.casefold() for accepted in headers):
                return column
        return None

    def missing(self, headers: Iterable[str]) -> list[str]:
        """The columns that none of the headers stands for, each with the headers that would."""
        found = {self.recognised(header) for header in headers}
        return [f"{column} ({' or '.join(names)})" for column, names in self.columns.items() if column not in found]
