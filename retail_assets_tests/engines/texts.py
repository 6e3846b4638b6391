"""Questions about texts: what is trimmed, upper case, matched, hashed, and read as a number."""

from pyspark.sql import functions as F

from retail_assets.analytics.categories import category
from retail_assets.invoices.written_values import price, whole_number, worth
from retail_assets.lakehouse.pseudonyms import pseudonym
from retail_assets.landing.dialect import PUBLISHED, Dialect
from retail_assets_tests.engines.asking import Values

GERMAN = Dialect(decimal=",", thousands=". \u00a0", currencies=("€",))

TEXTS = Values(
    "texts",
    "text string",
    [
        None, "", " ", "a", "A", "  two  words ", "\ttab\t", "line\n", "carriage\r\n", "\u00a0no break\u00a0", "ä", "Ä",
        "straße", "ﬁ", "ŉ", "ı", "ǆ", "ÿ", "ς", "日本", "e\u0301", "\u200b", "😀", "\uffee", "\x00", "\x1f", "ÅLAND",
        "%", "_", "\\", ".", "a.b", "'", '"', "NULL", "nan", "C500001", "c500001", "85123A", "85123a", "PADS",
    ],
)  # fmt: skip

TEXTS.ask(
    itself=lambda: F.col("text"),
    upper=lambda: F.upper("text"),
    lower=lambda: F.lower("text"),
    is_a_word_in_any_case=lambda: F.lower(F.trim("text")).isin("null", "nan", "n/a"),
    contains=lambda: F.col("text").contains("a"),
    ends_with=lambda: F.col("text").endswith("a"),
    located=lambda: F.locate("a", F.col("text"), 2),
    last_letters=lambda: F.substring(F.col("text"), -2, 2),
    first_letters=lambda: F.substring(F.col("text"), 1, 3),
    extracted=lambda: F.regexp_extract(F.col("text"), r"^([A-Z]?)(.*?)(?:A|B)?\z", 2),
    trim=lambda: F.trim("text"),
    trimmed_of_characters=lambda: F.btrim("text", F.lit(" \t\n\u00a0")),
    replaced_by_what_was_found=lambda: F.regexp_replace("text", r"^([+-]?)[ ]*(.*?)[ ]*\z", "$1$2"),
    length=lambda: F.length("text"),
    starts_with_c=lambda: F.col("text").startswith("C"),
    equal=lambda: F.col("text") == "a",
    not_equal=lambda: F.trim("text") != "",
    not_equal_in_sql=lambda: F.expr("trim(text) <> ''"),
    after_the_digits=lambda: F.col("text") >= ":",
    before_a_letter=lambda: F.col("text") < "Z",
    up_to_a_letter=lambda: F.col("text") <= "Z",
    one_of_some=lambda: F.col("text").isin("a", "ä", ""),
    one_of_a_list=lambda: F.col("text").isin(["a", "ä", ""]),
    one_of_none=lambda: F.col("text").isin([]),
    none_of_some=lambda: ~F.col("text").isin("a", "ä"),
    is_null=lambda: F.col("text").isNull(),
    is_there=lambda: F.col("text").isNotNull(),
    is_there_in_sql=lambda: F.expr("text IS NOT NULL"),
    null_is_null=lambda: F.col("text").eqNullSafe(F.lit(None)),
    translate=lambda: F.translate(F.col("text"), ".", "/"),
    first_of_several=lambda: F.coalesce(F.col("text"), F.lit("?")),
    concat_with_null=lambda: F.concat(F.col("text"), F.lit("|")),
    concat_ws_without_null=lambda: F.concat_ws("\x1f", F.col("text"), F.lit(None).cast("string"), F.lit("|")),
    concat_ws_of_columns=lambda: F.concat_ws(" | ", "text", "text"),
    concat_ws_with_placeholder=lambda: F.concat_ws("\x1f", F.coalesce(F.col("text"), F.lit("\x00")), F.lit("b")),
    md5=lambda: F.md5("text"),
    utf8=lambda: F.encode("text", "UTF-8"),
    sha2=lambda: F.sha2(F.col("text"), 256),
    sha2_of_bytes=lambda: F.sha2(F.concat(F.lit(b"\x00\xff"), F.encode("text", "UTF-8")), 256),
    unhex=lambda: F.unhex(F.sha2(F.col("text"), 256)),
    unhex_of_md5=lambda: F.unhex(F.md5("text")),
    pseudonym=lambda: pseudonym("k" * 32, F.col("text")),
    pseudonym_of_a_long_key=lambda: pseudonym("key " * 32, F.col("text")),
    xxhash64=lambda: F.xxhash64("text"),
    as_array_of_texts=lambda: F.array(F.col("text"), F.lit("a")).cast("array<string>"),
    formatted=lambda: F.format_string("%s: %s", "text", F.lit("x")),
    a_word=lambda: F.col("text").rlike("(^|[^A-Z0-9])(A|TWO)S?($|[^A-Z0-9])"),
    category=lambda: category(F.col("text")),
)
TEXTS.ask_rows(
    distinct=lambda rows: rows.select("text").distinct(),
    grouped=lambda rows: rows.groupBy(F.upper("text").alias("upper")).agg(F.count("*").alias("rows")),
    counted=lambda rows: rows.agg(F.count("text"), F.count("*"), F.count_distinct("text"), F.countDistinct("text")),
    least_and_greatest=lambda rows: rows.agg(F.min("text"), F.max("text")),
    gathered=lambda rows: rows.agg(F.array_sort(F.collect_set("text"))),
    gathered_as_a_list=lambda rows: rows.agg(F.sort_array(F.collect_list("text"))),
    upper_gathered=lambda rows: rows.agg(F.size(F.collect_set(F.upper("text")))),
)
TEXTS.ask_order(
    by_bytes=lambda rows: rows.select("text").orderBy("text"),
    descending=lambda rows: rows.select("text").orderBy(F.desc("text")),
)

LETTERS = Values(
    "letters",
    "block int, text string",
    [
        (start // 256, "".join(map(chr, range(start, start + 256))))
        for start in range(0, 0x20000, 256)
        if not 0xD800 <= start < 0xE000
    ],
)
"""Every letter there is, and more, in pieces of 256."""
LETTERS.ask_rows(
    bytes=lambda rows: rows.select("block", F.md5("text")),
    gathered_bytes=lambda rows: rows.agg(F.array_sort(F.collect_list(F.md5("text")))),
    upper=lambda rows: rows.filter("block < 5 OR block BETWEEN 30 AND 32").select("block", F.upper("text")),
    trimmed=lambda rows: rows.filter(F.trim("text") != F.col("text")).select("block", F.length(F.trim("text"))),
    digits_by_name=lambda rows: rows.filter(F.col("text").rlike("[0-9]")).select("block"),
)

WRITTEN = Values(
    "written numbers",
    "text string",
    [
        None, "", " ", "0", "-0", "7", " 7 ", "\t7", "7\n", "\u00a07", "+7", "-7", "--7", "007", "7.", ".7", ".", "7.0",
        "7.00", "7.000", "7.0000", "7.0005", "7.5", "2.5554", "2.5555", "-2.5555", "2.55549999", "1,200", "1.200,5",
        "1_000", "1e3", "1E3", "1e-3", "1e", "1d", "1f", "0x10", "７", "٣", "NaN", "Infinity", "-inf", "null", "true",
        "2147483647", "2147483648", "-2147483648", "-2147483649", "999999999.999", "999999999.9994", "999999999.9995",
        "1000000000", "99999999999999999999999999999999999999", "123456789012345678901234567890123456789",
        "0." + "0" * 40 + "1", "9" * 400, "£7", "7 GBP", "(7)", "1 000", "½", "1/2",
        "€7", "-€ 7,50", "€\u00a01\u00a0234,5", "7,50 €", "1.234.567", "12.34", "7e2", "7.5E2", "7.5e0", "1e99",
        "12345678901.0",
    ],
)  # fmt: skip
_DIGITS = r"^[+-]?[0-9]+\z"
_PRICE = r"^[+-]?([0-9]+(\.[0-9]{0,3}0*)?|\.[0-9]{1,3}0*)\z"
WRITTEN.ask(
    as_int=lambda: F.expr("try_cast(text AS int)"),
    as_trimmed_int=lambda: F.expr("try_cast(trim(text) AS int)"),
    as_checked_int=lambda: F.when(F.trim("text").rlike(_DIGITS), F.expr("try_cast(trim(text) AS int)")),
    as_price=lambda: F.expr("try_cast(text AS decimal(12,3))"),
    as_checked_price=lambda: F.when(F.trim("text").rlike(_PRICE), F.expr("try_cast(trim(text) AS decimal(12,3))")),
    as_price_if_written_so=lambda: F.when(
        F.col("text").rlike(r"^ *[+-]?[0-9.]+ *\z"), F.expr("try_cast(text AS decimal(12,3))")
    ),
    as_double=lambda: F.expr("try_cast(text AS double)"),
    whole_number=lambda: whole_number("text", PUBLISHED),
    whole_number_in_german=lambda: whole_number("text", GERMAN),
    price_with_a_point=lambda: price("text", PUBLISHED),
    price_in_german=lambda: price("text", GERMAN),
    worth=lambda: worth("text", PUBLISHED),
    worth_as_money=lambda: (worth("text", PUBLISHED) * F.lit(3).cast("decimal(10,0)")).cast("decimal(18,3)"),
    whole=lambda: F.col("text").rlike(_DIGITS),
    price=lambda: F.col("text").rlike(_PRICE),
    integer=lambda: F.col("text").rlike(r"^[ \t]*[+-]?[0-9]+(\.0*)?[ \t]*\z"),
    number=lambda: F.col("text").rlike(r"^[ \t]*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*\z"),
    without_zeros=lambda: F.regexp_replace(F.trim("text"), r"\.0+\z", ""),
    without_zeros_anywhere=lambda: F.regexp_replace("text", "0", "o"),
    digits_by_class=lambda: F.col("text").rlike(r"\d"),
    space_by_class=lambda: F.col("text").rlike(r"\s"),
    ends_before_a_line_end=lambda: F.col("text").rlike("7$"),
)

MISWRITTEN = Values("miswritten numbers", "text string", [None, "7", "", "x", "7.5", "2147483648", "1e3"])
MISWRITTEN.ask(
    as_int=lambda: F.col("text").cast("int"),
    as_price=lambda: F.col("text").cast("decimal(12,3)"),
    as_double=lambda: F.col("text").cast("double"),
    as_date=lambda: F.col("text").cast("date"),
)
