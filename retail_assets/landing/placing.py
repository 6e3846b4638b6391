"""Which drops a landing puts in place and which it takes away, given what lies there already."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path

from upath import UPath

from retail_assets.landing.consent import Consent, Question, listed
from retail_assets.landing.drop_reader import DropRefused, opened
from retail_assets.landing.drops import Drop, LandingZone
from retail_assets.landing.exchange import Content, own_drops, sha256_of, unfinished
from retail_assets.landing.layout import SourceLayout

LARGEST_LOSS = 0.2
"""A day that would have fewer rows than before by more than this share is not replaced without being asked about."""


@dataclass(frozen=True)
class StagedDrop:
    """A drop that is ready to be put in place, under a name that is still to be found."""

    day: date
    path: Path
    content: Content


@dataclass
class Placing:
    """What is put in place, from where, and what is taken away; `unchanged` lie there already as they should be."""

    put: dict[str, Content] = field(default_factory=dict)
    staged: dict[str, Path] = field(default_factory=dict)
    unchanged: dict[str, Content] = field(default_factory=dict)
    taken: dict[str, Content] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the landing's drops, by day."""
        landed = self.put | self.unchanged
        return sorted(landed, key=lambda name: (landed[name].day, name))


class Lying:
    """What lies in the landing zone of a source. Raises DropRefused where what landing wrote there is spoilt."""

    def __init__(self, zone: LandingZone, layout: SourceLayout) -> None:
        self.directory = UPath(zone.directory(layout.name))
        self.source, self._layout = layout.name, layout
        self.interrupted = unfinished(self.directory)
        self._known = own_drops(self.directory) | (dict(self.interrupted.put) if self.interrupted else {})
        drops, self.oddities, _ = LandingZone(zone.root).listed(layout.name)
        self._by_day: dict[date, list[Drop]] = defaultdict(list)
        for drop in drops:
            self._by_day[drop.day].append(drop)

    def of_day(self, day: date) -> dict[str, Content]:
        """The drops of a day by name: those that landing put there, if they are still as it did, and others'."""
        return {drop.name: self._content(drop) for drop in self._by_day[day]}

    def _content(self, drop: Drop) -> Content:
        known, digest = self._known.get(drop.name), sha256_of(UPath(drop.path))
        if known and (known.size, known.sha256) == (drop.size, digest):
            return known
        return Content(str(drop.day), self._rows(drop), drop.size, digest, own=False)

    def _rows(self, drop: Drop) -> int | None:
        try:
            with opened(drop.path, self._layout) as (_, blocks):
                return sum(len(block.malformed) for block in blocks)
        except DropRefused:
            return None


def place(staged: Sequence[StagedDrop], lying: Lying, consent: Consent) -> Placing:
    """Where the staged drops go. What landing itself put there for their days is taken away; what becomes of others'
    drops, and of days that would lose many rows, is for `consent` to say. Raises DropRefused if it does not, and for
    what stands in the way."""
    by_day: dict[date, list[StagedDrop]] = defaultdict(list)
    for drop in staged:
        by_day[drop.day].append(drop)
    _must_complete(lying, {str(day) for day in by_day})
    before = {day: _adopted(lying.of_day(day), by_day[day], lying.source) for day in by_day}
    others = sorted(name for drops in before.values() for name, content in drops.items() if not content.own)
    keep = bool(others) and _keeps(others, lying, consent)
    placing = Placing()
    for day, drops in by_day.items():
        kept = {name for name, content in before[day].items() if keep and not content.own}
        _place_day(placing, drops, before[day], kept, lying.source)
    _must_be_free(placing, lying)
    _must_not_lose_rows(placing, lying, consent)
    return placing


def _must_complete(lying: Lying, days: set[str]) -> None:
    if lying.interrupted and not lying.interrupted.days <= days:
        interrupted = lying.interrupted
        raise DropRefused(
            str(lying.directory),
            f"the landing of {listed(interrupted.files)}, begun {interrupted.begun}, was interrupted, and these files "
            f"have not all of its days ({listed(sorted(interrupted.days - days))})",
            f"Land its files again first, or undo it: retail bring-back {interrupted.landing}.",
        )


def _adopted(before: dict[str, Content], drops: Sequence[StagedDrop], source: str) -> dict[str, Content]:
    """A drop that lies there under the name and with the content that landing would give it may as well be its own."""
    for drop, name in zip(drops, _names(source, drops[0].day), strict=False):
        if name in before and before[name].sha256 == drop.content.sha256:
            before[name] = drop.content
    return before


def _names(source: str, day: date) -> Iterator[str]:
    # A source of several tables has a directory for each.
    stem = f"{source.replace('/', '_')}_{day}"
    yield f"{stem}.csv"
    yield from (f"{stem}_{number}.csv" for number in count(2))


def _keeps(others: Sequence[str], lying: Lying, consent: Consent) -> bool:
    question = Question(
        str(lying.directory),
        f"for days that are to be landed, drops lie there that landing did not make: {listed(others)}. If they are "
        "kept, their rows and the new ones add up",
        ("replace", "keep"),
        "--other-drops",
    )
    return consent.answer(consent.other_drops, question) == "keep"


def _place_day(
    placing: Placing, drops: Sequence[StagedDrop], before: Mapping[str, Content], kept: set[str], source: str
) -> None:
    names = (name for name in _names(source, drops[0].day) if name not in kept)
    placed = dict(zip(names, drops, strict=False))
    for name, drop in placed.items():
        if name in before and before[name].sha256 == drop.content.sha256:
            placing.unchanged[name] = drop.content
        else:
            placing.put[name], placing.staged[name] = drop.content, drop.path
    gone = before.keys() - kept - placing.unchanged.keys()
    placing.taken |= {name: before[name] for name in sorted(gone)}


def _must_be_free(placing: Placing, lying: Lying) -> None:
    in_the_way = [oddity for oddity in lying.oddities if UPath(oddity.path).name in placing.put]
    if in_the_way:
        raise DropRefused(
            in_the_way[0].path, f"{in_the_way[0].problem}, and a drop is to lie there", "Move it away, and land again."
        )


def _must_not_lose_rows(placing: Placing, lying: Lying, consent: Consent) -> None:
    """Of days of which drops are taken away, the rows before and after are held against each other."""
    before, after = Counter[str](), Counter[str]()
    for content in placing.taken.values():
        before[content.day] += content.rows or 0
    for content in placing.unchanged.values():
        before[content.day] += content.rows or 0
    for content in (placing.put | placing.unchanged).values():
        after[content.day] += content.rows or 0
    shrunk = [
        f"{day} from {before[day]:,} to {after[day]:,}"
        for day in sorted({content.day for content in placing.taken.values()})
        if after[day] < before[day] * (1 - LARGEST_LOSS)
    ]
    if shrunk:
        question = Question(
            str(lying.directory),
            f"days would lose more than {LARGEST_LOSS:.0%} of their rows: {listed(shrunk)}. A landing replaces what "
            "lies there for a day",
            ("replace",),
            "--fewer-rows",
        )
        consent.answer(consent.fewer_rows, question)
