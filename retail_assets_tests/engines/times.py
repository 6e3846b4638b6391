"""Questions about days and moments, as they are written and as they are reckoned with."""

from datetime import date, datetime

from pyspark.sql import Window
from pyspark.sql import functions as F

from retail_assets.invoices.written_values import moment
from retail_assets.lakehouse.contracts import days_between
from retail_assets.landing.dialect import PUBLISHED, DateForm, Dialect
from retail_assets_tests.engines.asking import Values

DAYS = Values(
    "days",
    "day date, other date",
    [
        (None, date(2011, 1, 1)),
        (date(2011, 1, 1), None),
        (date(2011, 1, 2), date(2011, 1, 1)),  # a Sunday
        (date(2011, 1, 3), date(2011, 1, 9)),
        (date(2011, 1, 31), date(2011, 2, 28)),
        (date(2011, 2, 28), date(2012, 2, 29)),
        (date(2011, 12, 31), date(2012, 1, 1)),
        (date(2012, 1, 1), date(2011, 12, 31)),
        (date(2012, 2, 28), date(2012, 2, 28)),
        (date(2012, 2, 29), date(2011, 2, 28)),
        (date(2012, 3, 31), date(2012, 3, 25)),  # summer time begins
        (date(2012, 10, 28), date(2012, 10, 29)),  # and ends
        (date(2000, 2, 29), date(1900, 2, 28)),
        (date(1970, 1, 1), date(1969, 12, 31)),
        (date(1677, 10, 1), date(2262, 3, 31)),
    ],
)
DAYS.ask(
    itself=lambda: F.col("day"),
    as_text=lambda: F.col("day").cast("string"),
    year=lambda: F.year("day"),
    month=lambda: F.month("day"),
    day_of_week=lambda: F.dayofweek("day"),
    from_monday_on=lambda: F.pmod(F.dayofweek("day") + 5, F.lit(7)) + 1,
    weekday=lambda: F.weekday("day"),
    first_of_the_month=lambda: F.trunc("day", "MM"),
    first_of_the_month_as_directory=lambda: F.date_format("day", "yyyy-MM"),
    month_later=lambda: F.add_months("day", 1),
    month_before=lambda: F.add_months("day", -1),
    year_before=lambda: F.add_months("day", -12),
    months_by_a_column=lambda: F.add_months("day", F.lit(25)),
    days_between=lambda: days_between("other", "day"),
    datediff=lambda: F.datediff("day", "other"),
    date_diff=lambda: F.date_diff("day", "other"),
    ninety_days_later=lambda: F.date_add("day", 90),
    a_day_before=lambda: F.date_add("day", -1),
    before=lambda: F.col("day") < F.col("other"),
    before_a_date=lambda: F.col("day") < F.lit(date(2012, 1, 1)),
    the_day_as_text=lambda: F.col("day") == "2012-02-29",
    in_sql=lambda: F.expr("day >= DATE'2011-01-31' AND day < DATE'2012-01-01'"),
    in_a_list=lambda: F.col("day").isin([F.lit(date(2012, 2, 29)), F.lit(date(2011, 1, 2))]),
    in_a_list_of_python=lambda: F.col("day").isin([date(2012, 2, 29), date(2011, 1, 2)]),
    between=lambda: F.col("day").between(F.col("other"), F.lit(date(2012, 12, 31))),
    earlier=lambda: F.least("day", "other"),
    later=lambda: F.greatest("day", "other"),
    xxhash64=lambda: F.xxhash64("day", "other"),
    every_day_of_a_week=lambda: F.sequence("day", F.date_add("day", 3)),
    one_day=lambda: F.sequence("day", "day"),
    back_in_time=lambda: F.sequence(F.date_add("day", 2), "day"),
    as_moment=lambda: F.col("day").cast("timestamp"),
)
DAYS.ask_rows(
    every_day=lambda rows: (
        rows.filter("year(day) BETWEEN 2011 AND 2012")
        .agg(F.min("day").alias("first"), F.max("day").alias("last"))
        .select(F.explode(F.sequence("first", "last")).alias("day"))
    ),
    first_and_last=lambda rows: rows.agg(F.min("day"), F.max("day"), F.count("day")),
    months=lambda rows: rows.groupBy(F.trunc("day", "MM").alias("month")).count(),
)
DAYS.ask_order(in_time=lambda rows: rows.select("day").orderBy("day"))

FAR = Values("far days", "day date", [date(1, 1, 2), date(1582, 10, 4), date(1582, 10, 15), date(9999, 12, 30)])
FAR.ask(
    itself=lambda: F.col("day"),
    as_text=lambda: F.col("day").cast("string"),
    day_of_week=lambda: F.dayofweek("day"),
    first_of_the_month=lambda: F.trunc("day", "MM"),
    directory=lambda: F.date_format("day", "yyyy-MM"),
    day_later=lambda: F.date_add("day", 1),
    days_since=lambda: days_between(F.lit(date(1970, 1, 1)), "day"),
)

CALENDAR = Values("calendar", "day date", [date.fromordinal(n) for n in range(date(2011, 12, 1).toordinal(), 734600)])
"""Every day of a few months over a leap day."""
CALENDAR.ask_rows(
    weekdays=lambda rows: rows.select("day", F.dayofweek("day"), F.pmod(F.dayofweek("day") + 5, F.lit(7)) + 1),
    month_earlier=lambda rows: rows.select("day", F.add_months("day", -1), F.add_months("day", 12)),
    so_far_in_the_month=lambda rows: rows.select(
        "day", F.count("*").over(Window.partitionBy(F.trunc("day", "MM")).orderBy("day"))
    ),
)

MOMENTS = Values(
    "moments",
    "moment timestamp",
    [
        None, datetime(2011, 1, 4, 10), datetime(2011, 1, 4, 10, 0, 0, 500000),
        datetime(2011, 1, 4, 23, 59, 59, 999999), datetime(2011, 1, 5), datetime(2012, 3, 25, 1, 30),
        datetime(2012, 3, 25, 2, 30), datetime(2012, 10, 28, 1, 30), datetime(2011, 3, 13, 2, 30),
        datetime(1970, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 1), datetime(2038, 1, 19, 3, 14, 8),
        datetime(1900, 1, 1), datetime(9999, 12, 30, 23, 59, 59),
    ],
)  # fmt: skip
MOMENTS.ask(
    itself=lambda: F.col("moment"),
    as_text=lambda: F.col("moment").cast("string"),
    its_day=lambda: F.to_date("moment"),
    its_day_by_a_cast=lambda: F.col("moment").cast("date"),
    xxhash64=lambda: F.xxhash64("moment"),
    later=lambda: F.col("moment") > F.lit(datetime(2011, 1, 4, 10)),
)
MOMENTS.ask_rows(
    first_and_last=lambda rows: rows.agg(F.min("moment"), F.max("moment")),
    now=lambda rows: rows.select((F.current_timestamp() > F.lit(datetime(2024, 1, 1))).alias("later")).distinct(),
)

WRITTEN = Values(
    "written moments",
    "text string",
    [
        None, "", "2011-01-04", " 2011-01-04 ", "2011-1-4", "2011-01-04 ", "2011-01-04T", "2011-01-04 10",
        "2011-01-04 10:05", "2011-01-04 10:05:09", "2011-01-04T10:05:09", "2011-01-04 10:05:09.5",
        "2011-01-04 10:05:09.123456", "2011-01-04 10:05:09.123456789", "2011-01-04 1:2:3", "2011-01-04 24:00:00",
        "2011-01-04 23:59:60", "2011-01-04 10:05:09Z", "2011-01-04T10:05:09Z", "2011-01-04 10:05:09+01:00",
        "2011-01-04 00:30:00+01:00", "2011-01-04 10:05:09+0100", "2011-01-04 10:05:09 Europe/London",
        "2011-07-04 00:30:00 Europe/London", "2011-01-04 10:05:09 UTC", "2011-01-04 10:05:09 GMT+1",
        "2011-01-04 10:05 PM", "2011-01-04 10:05:09 AM", "2011-01-04, 10:05", "2011-01-04x", "2011-01-04 10:05:09x",
        "2011-01-04\n", "2011-01-04 10:05:09\n", "2011-02-29", "2012-02-29", "2011-02-30 10:00:00", "2011-13-01",
        "2011-00-10", "2011-01-32", "0000-01-01", "0001-01-01", "9999-12-31 23:59:59.999999", "10000-01-01",
        "20110104", "2011-01", "2011", "10:05x", "epoch", "2011/01/04", "2011.01.04",
        "1/4/2011", "1/4/2011 8:05", "01/04/2011 08:05", "1/4/2011 8:05:09", "1/4/2011 8:5", "1/4/2011 08:05:9",
        "13/1/2011 8:05", "1/13/2011 8:05", "29/2/2012", "29/2/2011", "2/29/2011", "31/31/2011", "0/1/2011", "1/0/2011",
        "1/4/11", "1/4/11 8:05", "1/4/02011", "1/4/20111", "1/4/2011 24:00", "1/4/2011 23:60", "1/4/2011 8:05 ",
        " 1/4/2011 8:05", "1/4/2011  8:05", "1/4/2011 8:05:09.5", "1/4/2011T8:05", "1/4/2011 8", "1/4/2011 8:05 AM",
        "1/4/2011 008:05", "001/4/2011", "1/4/-2011", "+1/4/2011", "1/4/2011\n", "1.4.2011", "1/4/2011 8:05:",
        "1/4/2011 8:05:60", "yesterday",
    ],
)  # fmt: skip
MONTH_FIRST, DAY_FIRST = "M/d/yyyy[ H:mm[:ss]]", "d/M/yyyy[ H:mm[:ss]]"
WRITTEN.ask(
    iso=lambda: F.expr("try_cast(text AS timestamp)").cast("string"),
    iso_day=lambda: F.expr("try_cast(text AS date)").cast("string"),
    checked_iso=lambda: F.when(
        F.trim("text").rlike(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"), F.expr("try_cast(trim(text) AS timestamp)")
    ).cast("string"),
    month_first_if_it_looks_like_it=lambda: F.when(
        F.col("text").rlike(r"^[0-9]{1,2}[/.][0-9]{1,2}[/.][0-9]{4}( [0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?\z"),
        F.try_to_timestamp(F.translate("text", ".", "/"), F.lit(MONTH_FIRST)),
    ).cast("string"),
    month_first=lambda: F.try_to_timestamp(F.col("text"), F.lit(MONTH_FIRST)).cast("string"),
    day_first=lambda: F.try_to_timestamp(F.col("text"), F.lit(DAY_FIRST)).cast("string"),
    dots_as_slashes=lambda: F.try_to_timestamp(F.translate(F.trim("text"), ".", "/"), F.lit(DAY_FIRST)).cast("string"),
    looks_like_a_date=lambda: F.col("text").rlike(r"^[ \t]*[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}"),
)

BERLIN = Dialect(
    time_zone="Europe/Berlin",
    date_forms=tuple(map(DateForm, ("%d-%m-%Y %H:%M", "%b %d, %Y, %I:%M:%S %p", "%y%m%d"))),
)
OFFSETS = [
    *("2011-01-03 23:30:00Z", "2011-01-04 00:30:00 +0200", "2011-03-27 00:59:59Z", "2011-03-27T01:00:00Z"),
    *("2011-10-30 00:30:00 +0000", "2011-10-30 01:30 UTC", "2011-01-04 10:05:09.123 -0530", "2011-01-04 10:05:09-05"),
    *("2011-01-04 25:00:00Z", "Z", "+01:00", "2011-01-04Z", "04-01-2011 10:05 +01:00", "04-01-2011 10:05", "110104"),
    *("Jan 4, 2011, 10:00:00 PM", "Jan 4, 2011, 12:00:00 AM +0100", "Foo 4, 2011, 10:00:00 PM", "991231", "111304"),
]
LANDED = Values(
    "landed moments",
    "text string, day date",
    [(row[0], day) for row in WRITTEN.rows for day in (date(2011, 1, 4), date(2011, 4, 1))]
    + [(text, date(2011, 1, 4)) for text in OFFSETS],
)
LANDED.ask(
    moment=lambda: moment("text", "day", PUBLISHED).cast("string"),
    moment_in_berlin=lambda: moment("text", "day", BERLIN).cast("string"),
    moment_day_first=lambda: moment("text", "day", Dialect(day_first=True)).cast("string"),
    shifted=lambda: F.from_utc_timestamp(
        F.when(F.col("text").rlike(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z\z"), F.try_to_timestamp("text")),
        "Europe/London",
    ).cast("string"),
)
