"""What texts tell of how they are written: signs of numbers, forms and order of dates, patterns of numbers."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

from retail_assets.landing.dialect import EMPTY_WORDS, MINUS_AFTER, PARENTHESES, DateForm

_SPACES = " \u00a0\u202f"
_NUMBER = re.compile(
    rf"[{_SPACES}]*[+-]?[{_SPACES}]*(?P<before>[^\d+\-.,'’\s]*)[{_SPACES}]*"
    rf"[+-]?(?P<digits>[0-9.,'’{_SPACES}]*[0-9][.,]?)[{_SPACES}]*(?P<after>[^\d.,\s]*)[{_SPACES}]*"
)
_IN_PARENTHESES = re.compile(r"([^\d()+-]*)\(([^()+-]*[0-9][^()+-]*)\)([^\d()+-]*)")
_BEFORE_A_MINUS = re.compile(r"([^+-]*[0-9][^+-]*)-([^\d+-]*)")
_EXPONENT = re.compile(r"\s*[+-]?[0-9]+([.,][0-9]*)?[eE]\+?[0-9]{1,2}\s*")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?")
_WRITTEN = re.compile(r"([0-9]{1,2})([/.])([0-9]{1,2})\2([0-9]{4})( [0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?")
_OFFSET = re.compile(r"(?P<local>.*[0-9]:[0-9]{2}.*?) ?(?P<offset>Z|UTC|[+-][0-9]{2}:?[0-9]{2})")

_DAYS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%Y%m%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y"),
    *("%B %d, %Y", "%b %d %Y", "%d-%b-%Y", "%d-%b-%y", "%d. %B %Y"),
)
_TIMES = (
    *(
        "",
        " %H:%M:%S",
        " %H:%M",
        "T%H:%M:%S",
        "T%H:%M",
        " %I:%M:%S %p",
        " %I:%M %p",
        " %I:%M%p",
        ", %H:%M:%S",
        ", %H:%M",
    ),
    *(", %I:%M:%S %p", ", %I:%M %p"),
)
ZONES = {
    "GB": "Europe/London", "UNITED KINGDOM": "Europe/London", "UK": "Europe/London", "IE": "Europe/Dublin",
    "DE": "Europe/Berlin", "GERMANY": "Europe/Berlin", "AT": "Europe/Vienna", "AUSTRIA": "Europe/Vienna",
    "CH": "Europe/Zurich", "SWITZERLAND": "Europe/Zurich", "FR": "Europe/Paris", "FRANCE": "Europe/Paris",
    "ES": "Europe/Madrid", "SPAIN": "Europe/Madrid", "IT": "Europe/Rome", "ITALY": "Europe/Rome",
    "NL": "Europe/Amsterdam", "NETHERLANDS": "Europe/Amsterdam", "BE": "Europe/Brussels", "PL": "Europe/Warsaw",
    "SE": "Europe/Stockholm", "DK": "Europe/Copenhagen", "US": "America/New_York", "USA": "America/New_York",
    "UNITED STATES": "America/New_York", "CA": "America/Toronto", "AU": "Australia/Sydney", "IN": "Asia/Kolkata",
    "JP": "Asia/Tokyo", "BR": "America/Sao_Paulo",
}  # fmt: skip
"""Country -> where most of its shops' clocks are."""

UNREAD_SHARE = 0.1
"""Of dates: a few that cannot be read are slips of the pen."""

_OTHER_ZONES = ("America/Chicago", "America/Denver", "America/Los_Angeles", "Europe/Helsinki", "UTC")


@dataclass(frozen=True)
class Numbers:
    """The signs within numbers."""

    decimal: str
    thousands: str
    currencies: tuple[str, ...]
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class WrittenDates:
    """The forms of dates, and the order of day and month where these are numbers; `sure` if something tells it."""

    day_first: bool | None = None
    forms: tuple[str, ...] = ()
    sure: bool = True
    offsets: list[tuple[datetime, str]] = field(default_factory=list)
    unread: str | None = None
    """The first of those that no form reads, where it is not a few of them."""


def filled(texts: Iterable[str]) -> list[str]:
    """The texts that mean a value, without spaces around."""
    return [text.strip() for text in texts if text.strip() and text.strip().lower() not in EMPTY_WORDS]


def numbers(texts: Sequence[str], semicolons: bool) -> Numbers:
    """The signs of some numbers; `semicolons` part the fields of their file, as where commas are decimal."""
    unsigned, negatives = _without_signs(filled(texts))
    found = [match for text in unsigned if not _EXPONENT.fullmatch(text) and (match := _NUMBER.fullmatch(text))]
    signs = Counter(match[side] for match in found for side in ("before", "after") if match[side])
    evidence: Counter[str] = Counter()
    thousands: set[str] = set()
    for match in found:
        digits = match["digits"]
        thousands |= {sign for sign in "'’\u00a0\u202f " if re.search(rf"[0-9]{sign}[0-9]{{3}}(?![0-9])", digits)}
        points = [sign for sign in digits if sign in ".,"]
        if len(set(points)) == 2:
            evidence[points[-1]] += 100
            thousands.add(points[0])
        elif len(points) > 1:
            thousands.add(points[0])
            evidence[",."[points[0] == ","]] += 100
        elif points:
            decimals = len(digits) - digits.index(points[0]) - 1
            # Three digits after a sign may be thousands: then others tell, or what is usual.
            evidence[points[0]] += 1 if decimals == 3 else 100
    usual = "," if semicolons else "."
    if thousands & set(_SPACES):
        thousands |= set(_SPACES)  # which of them is in a file nobody sees
    decimal = max(",.", key=lambda sign: (evidence[sign], sign == usual))
    other = ",."[decimal == ","]
    if evidence[other] and evidence[other] < 100:
        thousands.add(other)
    if decimal == "," and 0 < evidence[","] < 100 and not semicolons and not evidence["."]:
        decimal, thousands = ".", thousands | {","}
    currencies = tuple(sign for sign, _ in signs.most_common(5))
    return Numbers(decimal, "".join(sorted(thousands - {decimal})), currencies, negatives)


def _without_signs(texts: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Numbers as they are without what makes them negative; and how that is written, but for a minus before them."""
    unsigned, negatives = [], set()
    for text in texts:
        if found := _IN_PARENTHESES.fullmatch(text):
            negatives.add(PARENTHESES)
        elif found := _BEFORE_A_MINUS.fullmatch(text):
            negatives.add(MINUS_AFTER)
        unsigned.append("".join(found.groups("")) if found else text)
    return unsigned, tuple(sorted(negatives))


def is_negative(text: str) -> bool:
    """Whether a number, in any of these ways, is below nothing."""
    text = text.strip()
    return text.startswith("-") or bool(_IN_PARENTHESES.fullmatch(text) or _BEFORE_A_MINUS.fullmatch(text))


def dates(texts: Sequence[str]) -> WrittenDates:
    """How dates are written, in the order of the file."""
    given = filled(texts)
    split = [_OFFSET.fullmatch(text) for text in given]
    local = [match["local"].strip() if match else text for match, text in zip(split, given, strict=True)]
    odd = list(dict.fromkeys(text for text in local if not _ISO.fullmatch(text) and not _WRITTEN.fullmatch(text)))
    orders = [(int(match[1]), int(match[3]), int(match[4])) for text in local if (match := _WRITTEN.fullmatch(text))]
    day_first, sure = _day_first(orders)
    forms: list[str] = []
    while odd and len(forms) < 3:
        reads = {form: sum(_reads(form, text) for text in odd[:500]) for form in _forms()}
        best = max(reads.values())
        if not best:
            break
        tied = [form for form, count in reads.items() if count == best]
        forms.append(_likeliest(tied, odd))
        sure = sure and len({_as_days(form, odd[:50]) for form in tied}) == 1
        odd = [text for text in odd if not _reads(forms[-1], text)]
    offsets = [
        (moment, match["offset"])
        for match, text in zip(split, local, strict=True)
        if match and (moment := _moment(text, forms)) is not None
    ]
    unread = odd[0] if len(odd) > UNREAD_SHARE * len(given) else None
    return WrittenDates(day_first, tuple(forms), sure, offsets[:500], unread)


def looks_like_a_date(text: str) -> bool:
    """Whether a text may be a date or a time of some form."""
    match = _OFFSET.fullmatch(text.strip())
    local = match["local"].strip() if match else text.strip()
    return bool(_ISO.fullmatch(local) or _WRITTEN.fullmatch(local)) or any(_reads(form, local) for form in _forms())


def time_zone(offsets: Sequence[tuple[datetime, str]], countries: Iterable[str]) -> str | None:
    """The zone whose clocks showed these times at these offsets, the likeliest first: of the most usual countries, then
    of others. None if no known one did. Without any offset to go by, that of the most usual country, or UTC."""
    likely = [ZONES[name] for name, _ in Counter(map(str.upper, countries)).most_common() if name in ZONES]
    # Who writes UTC says nothing of the shop's clocks.
    offsets = [(moment, offset) for moment, offset in offsets if _delta(offset)]
    if not offsets:
        return likely[0] if likely else "UTC"
    for name in dict.fromkeys([*likely, *ZONES.values(), *_OTHER_ZONES]):
        zone = ZoneInfo(name)
        if all(moment.replace(tzinfo=zone).utcoffset() == _delta(offset) for moment, offset in offsets):
            return name
    return None


def pattern(values: Iterable[str]) -> str:
    """The pattern of some numbers of invoices, in capitals: what is always there as it is, digits and letters by their
    kind; any text if they have little in common."""
    shapes: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for value in dict.fromkeys(text.upper() for text in values):
        tokens = re.findall(r"[A-Z]+|[0-9]+|.", value)
        shapes[tuple(_kind(token) for token in tokens)].append(tokens)
    if len(shapes) > 6 or any("" in shape or len(shape) > 9 for shape in shapes):
        return ".+"
    by_size = sorted(shapes.items(), key=lambda item: (-len(item[1]), item[0]))
    return "|".join(_of_shape(shape, tokens) for shape, tokens in by_size)


def _kind(token: str) -> str:
    if token.isascii() and token.isalpha():
        return "A"
    if token.isascii() and token.isdigit():
        return "0"
    return token if token.isascii() and token not in "^$\\" and token.isprintable() else ""


def _of_shape(shape: tuple[str, ...], tokens: list[list[str]]) -> str:
    parts = []
    for at, kind in enumerate(shape):
        words = sorted({own[at] for own in tokens})
        if kind == "0":
            parts.append("[0-9]+")
        elif kind == "A" and len(words) <= 3 and (len(tokens) > len(words) or len(words[0]) > 1):
            parts.append(words[0] if len(words) == 1 else f"({'|'.join(words)})")
        elif kind == "A":
            parts.append("[A-Z]+")
        else:
            parts.append(f"[{kind}]" if kind in ".+*?()|{}" else f"\\{kind}" if kind in "[]" else kind)
    return "".join(parts)


def _forms() -> Iterable[str]:
    return (f"{day}{time}" for day in _DAYS for time in _TIMES)


def _reads(form: str, text: str) -> bool:
    try:
        return DateForm(form).read(text) is not None
    except ValueError:
        return False


def _moment(text: str, forms: Sequence[str]) -> datetime | None:
    if _ISO.fullmatch(text):
        day, _, time = text.replace("T", " ").partition(" ")
        hour, minute, *_ = [int(part) for part in time.partition(".")[0].split(":")] if time else [0, 0]
        return datetime.fromisoformat(day) + timedelta(hours=hour, minutes=minute)
    return next((DateForm(form).read(text) for form in forms if _reads(form, text)), None)


def _delta(offset: str) -> timedelta:
    if offset in ("Z", "UTC"):
        return timedelta(0)
    minutes = int(offset[1:3]) * 60 + int(offset[-2:])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)).utcoffset(None)


def _day_first(orders: Sequence[tuple[int, int, int]]) -> tuple[bool | None, bool]:
    """Whether the day stands first, and whether that is told, by a number that is no month."""
    if not orders:
        return None, True
    firsts, seconds = sum(first > 12 for first, _, _ in orders), sum(second > 12 for _, second, _ in orders)
    if firsts or seconds:
        return firsts >= seconds, not (firsts and seconds)
    days = [date(year, second, first) for first, second, year in orders]
    months = [date(year, first, second) for first, second, year in orders]
    return _density(days) <= _density(months), False


def _likeliest(forms: Sequence[str], texts: Sequence[str]) -> str:
    """Of forms that read the same texts, that by which days lie the closest; the first if it makes no difference."""
    return min(forms, key=lambda form: _density([day for day in _as_days(form, texts[:500]) if day]))


def _as_days(form: str, texts: Sequence[str]) -> tuple[date | None, ...]:
    moments = (DateForm(form).read(text) if _reads(form, text) else None for text in texts)
    return tuple(moment.date() if moment else None for moment in moments)


def _density(days: Sequence[date]) -> int:
    """Days between one row and the next, in all: exports are mostly in the order of time."""
    return sum(abs((after - before).days) for before, after in pairwise(days))
