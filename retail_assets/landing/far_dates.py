"""Which days of a landing lie so far from the others that a slip of the pen is likelier than a sale."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from retail_assets.landing.calendar import LONGEST_GAP
from retail_assets.landing.consent import ASK, Consent, Question, listed
from retail_assets.partitions.calendar import Calendar

FAR_DAYS = 180
"""Days with nothing between them and the rest: half a year. A shop that opens for one season has more rows than FEW."""

FEW = 0.01
"""At most this share of the landing's rows, or one row of ONE_OF or more, are few."""

ONE_OF = 20


@dataclass(frozen=True)
class Stretch:
    """Days of a landing that lie near each other, and their rows."""

    first: date
    last: date
    rows: int

    def __str__(self) -> str:
        span = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        return f"{span} ({self.rows:,} row{'' if self.rows == 1 else 's'})"

    def days_between(self, first: date, last: date) -> int:
        """The days without a row between these days and those; 0 if they touch or overlap."""
        return max((first - self.last).days, (self.first - last).days, 1) - 1


def stretches(rows: Mapping[date, int]) -> list[Stretch]:
    """The days of a landing, with the rows of each, as stretches that are more than FAR_DAYS apart."""
    found: list[Stretch] = []
    for day in sorted(rows):
        if found and found[-1].days_between(day, day) <= FAR_DAYS:
            found[-1] = Stretch(found[-1].first, day, found[-1].rows + rows[day])
        else:
            found.append(Stretch(day, day, rows[day]))
    return found


def far_stretches(rows: Mapping[date, int], kept: Calendar | None, about: str, consent: Consent) -> list[Stretch]:
    """The days to be set aside: few rows, far from the most of the landing and from the calendar that is `kept`.

    Where more rows than few are further than LONGEST_GAP from everything else, `consent` says what becomes of them.
    Raises DropRefused if it does not.
    """
    if consent.far_dates == "keep":
        return []
    found, total = stretches(rows), sum(rows.values())
    most = max(found, key=lambda stretch: (stretch.rows, stretch.last))
    if kept and most.days_between(kept.first_day, kept.newest_day) > LONGEST_GAP:
        span = f"the calendar, {kept.first_day} to {kept.newest_day}"
        consent.answer(ASK, _question(about, [most], span, ("keep",)))
    far = [one for one in found if one is not most and not (kept and _is_near(one, kept))]
    if consent.far_dates == "set-aside":
        return far
    few = [one for one in far if one.rows <= FEW * total or (one.rows <= 1 and total >= ONE_OF)]
    alone = [one for one in far if one not in few and one.days_between(most.first, most.last) > LONGEST_GAP]
    if alone:
        question = _question(about, alone, f"the others, {most}", ("keep", "set-aside"))
        if consent.answer(consent.far_dates, question) == "set-aside":
            return far
    return few


def days_in(stretches: Sequence[Stretch], days: Collection[date]) -> set[date]:
    """The days that lie in one of the stretches."""
    return {day for day in days if any(one.first <= day <= one.last for one in stretches)}


def _is_near(stretch: Stretch, kept: Calendar) -> bool:
    return stretch.days_between(kept.first_day, kept.newest_day) <= FAR_DAYS


def _question(about: str, stretches: Sequence[Stretch], others: str, answers: tuple[str, ...]) -> Question:
    return Question(
        about,
        f"dates lie more than {LONGEST_GAP} days from {others}: {listed(stretches)}. If they are kept, the calendar "
        "has all days between, each a partition of every table",
        answers,
        "--far-dates",
    )
