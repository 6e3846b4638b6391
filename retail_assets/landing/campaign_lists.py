"""Lists of whom a campaign contacted, and whom it held out: `<landing>/campaigns/<source>/<campaign>_YYYY-MM-DD.csv`.

A file is of one campaign and one day of contact. It is written by `retail campaign`, which has looked at every line.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from upath import UPath

from retail_assets.landing.drops import Drop, LandingZone

DIRECTORY = "campaigns"
GROUPS = CONTACTED, CONTROL = ("contacted", "control")
COLUMNS = ("customer_id", "campaign", "contacted_on", "group")
_HEADERS = {
    "customer_id": ("customer_id", "customerid", "customer"),
    "campaign": ("campaign",),
    "contacted_on": ("contacted_on", "contactedon", "date"),
    "group": ("group",),
}
_FIRST_DAY = date(1990, 1, 1)


class ListRefused(Exception):
    """A list that cannot be gone by: the message names file, line and what to do."""


@dataclass(frozen=True)
class Contact:
    """One line of a list."""

    customer_id: str
    campaign: str
    contacted_on: date
    group: str


def read_list(
    path: Path | UPath, today: date, campaign: str | None = None, contacted_on: date | None = None
) -> list[Contact]:
    """The lines of a list, whose columns may be in any order; those that it lacks are filled from what is given. Raises
    ListRefused."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise ListRefused(f"{path} cannot be read ({problem}). A list is a CSV in UTF-8.") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [re.sub(r"[\s_]+", "_", name.strip().lower()) for name in next(reader, [])]
    places = {column: next((header.index(n) for n in names if n in header), None) for column, names in _HEADERS.items()}
    given = {"campaign": campaign, "contacted_on": contacted_on.isoformat() if contacted_on else None}
    missing = [column for column in COLUMNS if places[column] is None and not given.get(column)]
    if missing:
        raise ListRefused(
            f"{path} has no column {', '.join(missing)}. A list has customer_id, campaign, contacted_on (YYYY-MM-DD) "
            "and group (contacted or control), as retail audience --hold-out --campaign --contacted writes it."
        )

    def value(row: Sequence[str], column: str) -> str:
        place = places[column]
        text = row[place] if place is not None and place < len(row) else ""
        return (text.strip() if place is not None else "") or given.get(column) or ""

    found = [
        _contact(path, line, {column: value(row, column) for column in COLUMNS}, today)
        for line, row in enumerate(reader, 2)
        if any(cell.strip() for cell in row)
    ]
    if not found:
        raise ListRefused(f"{path} has no line below its header: nobody was contacted.")
    _once_each(path, found)
    return found


def _contact(path: Path | UPath, line: int, written: Mapping[str, str], today: date) -> Contact:
    where, (customer, campaign, day, group) = f"{path}, line {line}", (written[column] for column in COLUMNS)
    if not customer or not re.fullmatch(r"[\w .-]{1,60}", campaign):
        raise ListRefused(f"{where}: a customer and a campaign (letters, digits, blanks, . and -) must be there.")
    try:
        contacted = date.fromisoformat(day)
    except ValueError:
        raise ListRefused(f"{where}: contacted_on is {day!r}, not a date such as 2026-11-30.") from None
    if not _FIRST_DAY <= contacted <= today:
        raise ListRefused(f"{where}: contacted_on is {day}; nobody is contacted then. It must be a day up to today.")
    if group.lower() not in GROUPS:
        raise ListRefused(f"{where}: group is {group!r}; it must be contacted or control.")
    # A spreadsheet's apostrophe before what it would have run.
    return Contact(re.sub(r"^'(?=[=+\-@])", "", customer), campaign, contacted, group.lower())


def _once_each(path: Path | UPath, contacts: Sequence[Contact]) -> None:
    groups = defaultdict(set)
    for contact in contacts:
        groups[contact.campaign, contact.customer_id].add((contact.group, contact.contacted_on))
    twice = [key for key, found in groups.items() if len(found) > 1]
    if twice or len(groups) < len(contacts):
        named = f"customer {twice[0][1]} of {twice[0][0]}" if twice else "a customer"
        raise ListRefused(
            f"{path}: {named} stands in it more than once. Each customer of a campaign is contacted once, or held out."
        )


def land_list(contacts: Sequence[Contact], zone: LandingZone, source: str) -> list[str]:
    """Puts a list in its place, a file for each campaign and day, and returns their names; what lay there of these is
    replaced."""
    directory = UPath(zone.directory(f"{DIRECTORY}/{source}"))
    directory.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[Contact]] = defaultdict(list)
    for contact in contacts:
        files[f"{re.sub(r'[ .]+', '_', contact.campaign)}_{contact.contacted_on}.csv"].append(contact)
    for name, lines in files.items():
        _write(directory / name, lines)
    return sorted(files)


def _write(path: UPath, contacts: Sequence[Contact]) -> None:
    """The file is there whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((c.customer_id, c.campaign, c.contacted_on, c.group) for c in contacts)
    unfinished = path.parent / f".{path.name}.part"
    unfinished.write_text(text.getvalue(), encoding="utf-8")
    unfinished.rename(path)


def forget_contacts(zone: LandingZone, source: str, customers: Collection[str]) -> int:
    """Takes these customers out of all lists of a source; returns how many lines went. A list of nobody else goes."""
    gone = 0
    for drop in zone.drops(f"{DIRECTORY}/{source}"):
        contacts = read_list(UPath(drop.path), drop.day)
        kept = [contact for contact in contacts if contact.customer_id not in customers]
        gone += len(contacts) - len(kept)
        if not kept:
            UPath(drop.path).unlink()
        elif len(kept) < len(contacts):
            _write(UPath(drop.path), kept)
    return gone


def landed_contacts(zone: LandingZone, source: str, months: Sequence[date]) -> Iterator[tuple[Drop, list[Contact]]]:
    """The lists of these months (their first days). Raises ListRefused for one that was spoilt."""
    for drop in zone.drops(f"{DIRECTORY}/{source}"):
        if drop.day.replace(day=1) in months:
            yield drop, read_list(UPath(drop.path), drop.day)
