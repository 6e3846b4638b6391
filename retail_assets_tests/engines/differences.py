"""Where the embedded engine does not answer as Spark on a JVM does, and what keeps tables out of it.

A difference is either an error where Spark has an answer (REFUSED: a table that needed it would not be made, which is
seen at once), or another answer: then a rule of BANNED keeps it out of table code, or, of a function, ruff does
(pyproject.toml).
"""

from retail_assets_tests.engines.asking import REFUSED

REGEX_CLASS, REGEX_END = "regex class", "regex end"
TEXT_AS_NUMBER, WRITTEN_DATE = "text as number", "written date"
OVERFLOW, QUOTIENT, REAL_AS_TEXT, REAL_AS_MONEY = "overflow", "quotient", "real as text", "real as money"
STRUCTS_IN_ORDER, TINY = "structs in order", "tiny"

BANNED = {
    REGEX_CLASS: r"\d, \s, \w and \b are ASCII on a JVM and Unicode in Rust: write [0-9], [ \t], [A-Za-z0-9_]",
    REGEX_END: r"$ also matches before a last line end on a JVM, and not in Rust: write \z",
    TEXT_AS_NUMBER: "only written_values casts texts, behind patterns: engines forgive other ways of writing a number",
    WRITTEN_DATE: "only written_values reads written dates, behind a pattern",
    OVERFLOW: "whole numbers, and sums of DECIMAL(38), wrap round: quantities are held to a million, counts are counts",
    QUOTIENT: "the quotient of two decimals has other decimals, cut off: ratio() divides doubles, or cast it to money",
    REAL_AS_TEXT: "doubles, and NULL in structs, are written differently: no key of a contract is a double",
    REAL_AS_MONEY: "halves of a thousandth are rounded by what is written or by what is stored: money_of_real()",
    STRUCTS_IN_ORDER: "NULL in a struct is the lowest, or the highest: structs are compared only where none has NULL",
    TINY: "log1p loses what is below 1e-16: no measure of a customer is so small",
}

DIFFERENT: dict[str, object] = {
    # Refused by the embedded engine.
    "texts/unhex_of_md5": REFUSED,
    "letters/gathered_bytes": REFUSED,
    "miswritten numbers/as_price": REFUSED,
    "far days/first_of_the_month": REFUSED,  # from 1677 to 2262 it is known
    "amounts/medians_twice": REFUSED,
    "doubles/as_long": REFUSED,
    "doubles/as_money": REFUSED,
    "arrays/array_except_of_constants": REFUSED,
    # Answered, but otherwise.
    "days/weekday": "F.weekday",
    "days/datediff": "F.datediff",
    "days/date_diff": "F.date_diff",
    "amounts/formatted": "F.format_string",
    "doubles/formatted": "F.format_string",
    "roundings/shown": "F.format_string",
    "groups of amounts/means": "F.avg",
    "written numbers/digits_by_class": REGEX_CLASS,
    "written numbers/space_by_class": REGEX_CLASS,
    "written numbers/ends_before_a_line_end": REGEX_END,
    "written numbers/as_price": TEXT_AS_NUMBER,
    "written numbers/as_double": TEXT_AS_NUMBER,
    "written moments/iso_day": WRITTEN_DATE,
    "written moments/month_first": WRITTEN_DATE,
    "written moments/day_first": WRITTEN_DATE,
    "written moments/dots_as_slashes": WRITTEN_DATE,
    "whole numbers/plus": OVERFLOW,
    "whole numbers/plus_long": OVERFLOW,
    "whole numbers/plus_mixed": OVERFLOW,
    "whole numbers/plus_one": OVERFLOW,
    "whole numbers/one_less": OVERFLOW,
    "whole numbers/less_from": OVERFLOW,
    "whole numbers/times": OVERFLOW,
    "whole numbers/times_long": OVERFLOW,
    "whole numbers/twice": OVERFLOW,
    "whole numbers/sum_beyond_the_limit": OVERFLOW,
    "amounts/sum_of_most": OVERFLOW,
    "amounts/divided": QUOTIENT,
    "amounts/divided_by_a_number": QUOTIENT,
    "amounts/share_of_decimals": QUOTIENT,
    "doubles/as_text": REAL_AS_TEXT,
    "places/struct_as_text": REAL_AS_TEXT,
    "roundings/as_money": REAL_AS_MONEY,
    "groups of amounts/medians_cast": REAL_AS_MONEY,
    "arrays/lowest_struct": STRUCTS_IN_ORDER,
    "places/first_struct": STRUCTS_IN_ORDER,
    "places/last_struct": STRUCTS_IN_ORDER,
    "places/sorted_structs": STRUCTS_IN_ORDER,
    "doubles/log1p": TINY,
}
