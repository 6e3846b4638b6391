"""What a written value means, read as a source's dialect has it: columns of Spark from columns of text.

Engines read exponents, other scripts' digits and line ends differently: what is cast is first held to a pattern of
ASCII, which ends with `\\z`.
"""

import re

from pyspark.sql import Column
from pyspark.sql import functions as F

from retail_assets.landing.dialect import MINUS_AFTER, PARENTHESES, Dialect

# Day and month may stand in either order, with dots as well, where the dialect does not say: then the day of the drop
# does. Whatever date `retail land` goes by must be read here.
_WRITTEN_DATE = r"^[0-9]{1,2}[/.][0-9]{1,2}[/.][0-9]{4}( [0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?\z"
_MONTH_FIRST, _DAY_FIRST = "M/d/yyyy[ H:mm[:ss]]", "d/M/yyyy[ H:mm[:ss]]"

_OFFSET = r"^(.*[0-9]:[0-9]{2}.*?) ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})\z"
"""A time stamp, and its offset from UTC."""

_SPACES = " \u00a0\u202f"
"""What may stand between a number and its currency."""

_ANY_SPACE = (
    " \t\n\r\x0b\x0c\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

_AFTER_A_DATE = 12
"""The character from which on a minus is none of an ISO date."""

AFTER_DIGITS = ":"
"""The first character after the digits."""


def trimmed_of_spaces(text: Column) -> Column:
    """A text without spaces of any kind around, such as tabs and those that do not break. Names the text once."""
    return F.btrim(text, F.lit(_ANY_SPACE))


def present(text: Column, dialect: Dialect) -> Column:
    """A text without spaces around; NULL for none, and for words that mean none."""
    trimmed, words = trimmed_of_spaces(text), sorted(dialect.empty_words)
    is_word = F.lower(trimmed).isin(*words)
    if not any(word[0].isdigit() for word in words):
        # What begins with a digit, as most numbers of invoices and customers, is soon told.
        is_word = ((trimmed < "0") | (trimmed >= AFTER_DIGITS)) & is_word
    return F.when((trimmed != "") & ~is_word, trimmed)


def whole_number(written: Column | str, dialect: Dialect) -> Column:
    """INT of a column that holds a whole number in any spelling, such as 6, 6.0 or 1e3; else NULL, as beyond nine
    digits."""
    text = _plain_number(written, dialect)
    digits = F.when(text.rlike(r"^[+-]?0*[0-9]{1,9}\z"), text.cast("int"))
    zeros = F.when(text.rlike(r"^[+-]?0*[0-9]{1,9}\.0*\z"), F.regexp_replace(text, r"\..*\z", "").cast("int"))
    value = F.when(text.rlike(r"^[+-]?[0-9]{1,9}(\.[0-9]*)?[eE]\+?[0-9]{1,2}\z"), text.cast("double"))
    whole = (value == F.floor(value)) & (F.abs(value) < 1e9)
    return F.coalesce(digits, zeros, F.when(whole, value.cast("int")))


def price(written: Column | str, dialect: Dialect) -> Column:
    """DECIMAL(12,3) of a column that holds a number of at most three decimals, zeros after them apart; else NULL, as
    beyond nine digits before them."""
    text = _plain_number(written, dialect)
    is_price = text.rlike(r"^[+-]?0*([0-9]{1,9}(\.[0-9]{0,3}0*)?|\.[0-9]{1,3}0*)\z")
    return F.when(is_price, text.cast("decimal(12,3)"))


def worth(written: Column | str, dialect: Dialect) -> Column:
    """DECIMAL(18,9) of what is written as a price, with more decimals than a price may have, too; else NULL."""
    text = _plain_number(written, dialect)
    is_price = text.rlike(r"^[+-]?0*([0-9]{1,9}(\.[0-9]{0,9}0*)?|\.[0-9]{1,9}0*)\z")
    return F.when(is_price, text.cast("decimal(18,9)"))


def _plain_number(written: Column | str, dialect: Dialect) -> Column:
    """The text of a number with a decimal point and nothing else between its digits; NULL if signs stand elsewhere than
    the dialect has them."""
    text = _with_minus_before(F.trim(written), dialect)
    if dialect.currencies:
        sign = "|".join(map(re.escape, dialect.currencies))
        parts = rf"^([+-]?)[{_SPACES}]*(?:{sign})?[{_SPACES}]*([+-]?.*?)[{_SPACES}]*(?:{sign})?\z"
        text = F.regexp_replace(text, parts, "$1$2")
        text = _with_minus_before(text, dialect)  # as in $(2.50) and 2.50- €
    if (dialect.decimal, dialect.thousands) == (".", ""):
        return text
    decimal, thousands = re.escape(dialect.decimal), "".join(map(re.escape, dialect.thousands))
    plain = rf"^[+-]?[0-9]*({decimal}[0-9]*)?([eE]\+?[0-9]{{1,2}})?\z"
    groups = rf"[0-9]{{1,3}}([{thousands}][0-9]{{3}})+|[0-9]{{1,2}}([{thousands}][0-9]{{2}})+[{thousands}][0-9]{{3}}"
    grouped = rf"^[+-]?({groups})({decimal}[0-9]*)?\z"
    told = text.rlike(plain) | text.rlike(grouped) if thousands else text.rlike(plain)
    return F.when(told, F.translate(text, dialect.decimal + dialect.thousands, "."))


def _with_minus_before(text: Column, dialect: Dialect) -> Column:
    """Each names the text once: what names it twice doubles the expression, which engines then plan for seconds."""
    for written, pattern in ((PARENTHESES, r"^\( *([^+-]*?) *\)\z"), (MINUS_AFTER, r"^([^+-]*?) *-\z")):
        if written in dialect.negatives:
            text = F.regexp_replace(text, pattern, "-$1")
    return text


def moment(written: Column | str, day: str, dialect: Dialect) -> Column:
    """TIMESTAMP, as the shop's clocks show it, of a column with dates or times in ISO, in the dialect's forms, or with
    day and month before the year, which order gives the drop's own `day`; else NULL."""
    text = F.trim(written)
    local = F.coalesce(*_declared_times(text, dialect), _written_date(text, day, dialect))
    # What may have an offset is told without a pattern: few times have.
    may_have_offset = (
        text.contains("+") | text.endswith("Z") | text.endswith("UTC") | (F.locate("-", text, _AFTER_A_DATE) > 0)
    )
    return F.when(may_have_offset & text.rlike(_OFFSET), _zoned_time(text, dialect)).otherwise(local)


def _declared_times(text: Column, dialect: Dialect) -> list[Column]:
    iso = F.when(text.rlike("^[0-9]{4}-[0-9]{2}-[0-9]{2}"), F.try_to_timestamp(text))
    forms = [
        F.when(text.rlike(form.looks_like), F.try_to_timestamp(text, F.lit(form.spark))) for form in dialect.date_forms
    ]
    return [iso, *forms]


def _zoned_time(text: Column, dialect: Dialect) -> Column:
    """Of a time with an offset: by that to UTC, and from there to the shop."""
    local = F.coalesce(*_declared_times(F.regexp_extract(text, _OFFSET, 1), dialect))
    offset = F.regexp_extract(text, _OFFSET, 2)
    hours, minutes = F.substring(offset, 1, 3), F.substring(offset, -2, 2)
    iso_offset = F.when(offset.isin("Z", "UTC"), "Z").otherwise(F.concat(hours, F.lit(":"), minutes))
    exact = F.try_to_timestamp(F.concat(F.date_format(local, "yyyy-MM-dd HH:mm:ss"), iso_offset))
    return F.from_utc_timestamp(exact, dialect.time_zone)


def _written_date(text: Column, day: str, dialect: Dialect) -> Column:
    orders = {None: (_MONTH_FIRST, _DAY_FIRST), True: (_DAY_FIRST,), False: (_MONTH_FIRST,)}[dialect.day_first]
    read = [F.try_to_timestamp(F.translate(text, ".", "/"), F.lit(order)) for order in orders]
    own_day = [F.when(F.to_date(one) == F.col(day), one) for one in read]
    return F.when(text.rlike(_WRITTEN_DATE), F.coalesce(*own_day))
