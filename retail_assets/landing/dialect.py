"""How the files of a source are written: a value that is handed in, and nothing else decides how bytes are read.

Who reads what. *Landing* needs of it what tells lines, fields and days apart: encoding, delimiter, quote and escape,
the forms of dates, the time zone. *Drop reading* needs the same, but for dates. *Silver* needs what makes values of
texts: signs of numbers and currencies, forms of dates, the time zone, words that mean empty.

Why drops are not normalised. A drop holds the delivered lines of a day with the delivered fields in the delivered
order: landing could as well write ISO dates and decimal points, and every reader after it would be simpler. But then
quarantine would show a line that nobody delivered, bronze would keep our reading of a value instead of the value, a
description that was wrong would be mended by landing everything again instead of by making silver again, and shops that
deliver drops by themselves, without `retail land`, would need a second way of reading. So only what contains the lines
is made one: whatever was compressed, archived, in another encoding, in a workbook or in Parquet becomes lines of UTF-8
in the dialect's own delimiter and quotes. A drop that is UTF-8 against its dialect says so by a byte order mark.
"""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EMPTY_WORDS = frozenset(
    ["null", "(null)", "nil", "none", "nan", "nat", "<na>", "na", "n/a", "#n/a", "\\n", "undefined"]
)
"""What databases, spreadsheets and data frames write for nothing: SQL, MySQL's and PostgreSQL's \\N, Python, pandas, R,
Excel, JavaScript. In lower case: case does not count, nor do spaces around."""

_DATE_PARTS = {
    "%Y": ("[0-9]{4}", "yyyy"),
    "%y": ("[0-9]{2}", "yy"),
    "%m": ("[0-9]{1,2}", "M"),
    "%d": ("[0-9]{1,2}", "d"),
    "%b": ("[A-Za-z]{3}", "MMM"),
    "%B": ("[A-Za-z]+", "MMMM"),
    "%H": ("[0-9]{1,2}", "H"),
    "%I": ("[0-9]{1,2}", "h"),
    "%M": ("[0-9]{2}", "mm"),
    "%S": ("[0-9]{2}", "ss"),
    "%p": ("[AaPp][Mm]", "a"),
}
"""Parts of a date's form, as in strptime: what they look like, and what Spark calls them."""


_TWO_DIGITS = {
    "%m": ("[0-9]{2}", "MM"),
    "%d": ("[0-9]{2}", "dd"),
    "%H": ("[0-9]{2}", "HH"),
    "%I": ("[0-9]{2}", "hh"),
}


class DialectError(ValueError):
    """A dialect that cannot be: the message begins with the name of the field."""


@dataclass(frozen=True)
class DateForm:
    """A form in which dates are written, in the notation of strptime: `%d-%m-%Y`, `%b %d, %Y, %I:%M:%S %p`.

    Known are %Y %y %m %d %b %B %H %I %M %S %p; two digits of a year are of this century, names of months English. An
    offset from UTC may follow any form that has a time, and is not written in it.
    """

    form: str

    def __post_init__(self) -> None:
        parts = re.findall("%.?", self.form)
        if unknown := [part for part in parts if part not in _DATE_PARTS]:
            raise DialectError(f"date_forms: {self.form!r} has {unknown[0]!r}; known are {' '.join(_DATE_PARTS)}")
        for needed in ("%Y %y", "%m %b %B", "%d"):
            if sum(part in needed.split() for part in parts) != 1:
                raise DialectError(f"date_forms: {self.form!r} must have one of {needed}")
        if "%I" in parts and "%p" not in parts:
            raise DialectError(f"date_forms: {self.form!r} has %I, hours to 12, and no %p, which half of the day")

    def _each(self, of: int, plain: Callable[[str], str]) -> str:
        """The form with each part as `_DATE_PARTS` says; of two digits where no text parts it from another."""
        pieces = re.split("(%.)", self.form)
        written = []
        for at, piece in enumerate(pieces):
            if at % 2 == 0:
                written.append(plain(piece))
                continue
            beside = at > 1 and not pieces[at - 1], at < len(pieces) - 2 and not pieces[at + 1]
            written.append(_TWO_DIGITS.get(piece, _DATE_PARTS[piece])[of] if any(beside) else _DATE_PARTS[piece][of])
        return "".join(written)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self._each(0, re.escape))

    def read(self, text: str) -> datetime | None:
        """The date and time of a text; None if it is not in this form. Raises ValueError for a day or time there is
        not."""
        if not self._pattern.fullmatch(text):
            return None
        moment = datetime.strptime(text, self.form)
        return moment.replace(year=moment.year + 100) if moment.year < 2000 and "%y" in self.form else moment

    @property
    def looks_like(self) -> str:
        """The pattern of what is in this form: beyond it engines differ in what they forgive."""
        return rf"^{self._pattern.pattern}\z"

    @property
    def spark(self) -> str:
        """The form in Spark's notation."""
        return self._each(1, lambda text: re.sub("[A-Za-z]+", lambda word: f"'{word[0]}'", text.replace("'", "''")))


PARENTHESES, MINUS_AFTER = "(1)", "1-"
NEGATIVES = frozenset([PARENTHESES, MINUS_AFTER])
"""How accountants, and some systems, write what is below nothing."""


@dataclass(frozen=True)
class Dialect:
    """How a source's files are written. Every field has the default of files as they are published on the web.

    `delimiter`: one character; None for the one of , ; tab | by which the header has the most of the columns.
    `quote` encloses fields; "" where quotes are text like any other. `escape` goes before a quote within a field; None
    where it is doubled instead. `encoding` is one of Python's, of files without a byte order mark.
    `decimal` and `thousands` are the signs within numbers; `thousands` may be several, each a sign of its own ("" for
    none). `currencies` are signs or letters before or after a number. `negatives`: how numbers below nothing may
    be written, but for a minus before them, of NEGATIVES.
    `day_first` says how 1/2/2011 and 1.2.2011 are read; None: each file has to tell by a date that can only be one.
    `date_forms` are others than these and than ISO, which is always read. `time_zone` is the shop's: a time stamp with
    an offset belongs to the day that it is there; one without is of that time.
    `empty_words` stand for no value, in any case.

    Raises DialectError, naming the field, for what cannot be.
    """

    encoding: str = "utf-8"
    delimiter: str | None = None
    quote: str = '"'
    escape: str | None = None
    decimal: str = "."
    thousands: str = ""
    currencies: tuple[str, ...] = ()
    negatives: frozenset[str] = frozenset()
    day_first: bool | None = None
    date_forms: tuple[DateForm, ...] = ()
    time_zone: str = "UTC"
    empty_words: frozenset[str] = EMPTY_WORDS

    def __post_init__(self) -> None:
        try:
            codecs.lookup(self.encoding)
            "".encode(self.encoding)
        except (LookupError, UnicodeError, ValueError):
            raise DialectError(f"encoding: {self.encoding!r} is none that is known, such as utf-8 or cp1252") from None
        for name, sign in self._signs().items():
            if sign is not None and (len(sign) != 1 or not sign.isascii() or sign in "\r\n\0"):
                raise DialectError(f"{name}: {sign!r} is not one ASCII character that may stand in a line")
        told_apart = [sign for sign in (self.delimiter, self.quote, self.escape) if sign]
        if len(set(told_apart)) < len(told_apart):
            raise DialectError("delimiter, quote and escape must differ from each other")
        if len(self.decimal) != 1 or self.decimal.isalnum() or self.decimal in self.thousands:
            raise DialectError(f"decimal: {self.decimal!r} is not one sign, other than those of thousands")
        if any(sign.isalnum() or sign in "+-" for sign in self.thousands):
            raise DialectError(f"thousands: {self.thousands!r} has a letter, a digit or the sign of a number")
        if any(not currency.strip() or any(c.isdigit() for c in currency) for currency in self.currencies):
            raise DialectError(f"currencies: {self.currencies!r} has one that is blank or has digits")
        if any(set(currency) & set("+-()") for currency in self.currencies):
            raise DialectError(
                f"currencies: {self.currencies!r} has the sign of a number: negatives says how it stands"
            )
        if self.negatives - NEGATIVES:
            raise DialectError(f"negatives: {sorted(self.negatives)} has one that is none of {sorted(NEGATIVES)}")
        if any(word != word.strip().lower() for word in self.empty_words):
            raise DialectError("empty_words: write them in lower case, without spaces around")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise DialectError(f"time_zone: {self.time_zone!r} is none, such as Europe/London or UTC") from None

    def _signs(self) -> dict[str, str | None]:
        return {"delimiter": self.delimiter, "quote": self.quote or None, "escape": self.escape}

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def is_utf8(self) -> bool:
        """Whether its files are UTF-8 if they do not say otherwise."""
        return codecs.lookup(self.encoding).name in ("utf-8", "ascii")

    def is_empty(self, text: str) -> bool:
        """Whether a text means that there is no value."""
        return not text.strip() or text.strip().lower() in self.empty_words


PUBLISHED = Dialect()
"""As files are published on the web: UTF-8, quotes doubled, decimal points, dates that are ISO or tell their order."""
