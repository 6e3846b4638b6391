"""Questions about numbers: whole ones, decimals and doubles, at their limits, over nothing, and in order."""

from decimal import Decimal

from pyspark.sql import Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import money, money_of_real, ratio
from retail_assets_tests.engines.asking import Values

INT, LONG = 2**31 - 1, 2**63 - 1

WHOLE = Values(
    "whole numbers",
    "i int, j int, b bigint, c bigint",
    [
        (None, 1, None, 1),
        (1, None, 1, None),
        (0, 0, 0, 0),
        (1, 0, 1, 0),
        (7, 2, 7, 2),
        (-7, 2, -7, 2),
        (7, -2, 7, -2),
        (INT, 1, LONG, 1),
        (-INT - 1, -1, -LONG - 1, -1),
        (INT, INT, LONG, LONG),
        (2**24 + 1, 3, 2**53 + 1, 3),
    ],
)
WHOLE.ask(
    plus=lambda: F.col("i") + F.col("j"),
    plus_long=lambda: F.col("b") + F.col("c"),
    plus_mixed=lambda: F.col("i") + F.col("c"),
    plus_one=lambda: F.col("i") + 1,
    minus=lambda: F.col("i") - F.col("j"),
    minus_long=lambda: F.col("b") - F.col("c"),
    one_less=lambda: F.col("b") - 1,
    less_from=lambda: F.lit(6) - F.col("i"),
    times=lambda: F.col("i") * F.col("j"),
    times_long=lambda: F.col("b") * F.col("c"),
    twice=lambda: 2 * F.col("b"),
    negative=lambda: -F.col("i"),
    negative_long=lambda: -F.col("b"),
    absolute=lambda: F.abs("i"),
    divided=lambda: F.col("i") / F.col("j"),
    divided_long=lambda: F.col("b") / F.col("c"),
    divided_where_it_can_be=lambda: F.when(F.col("c") != 0, F.col("b") / F.col("c")),
    pmod=lambda: F.pmod("i", F.lit(7)),
    pmod_long=lambda: F.pmod(F.col("b"), F.lit(1_000_000)),
    pmod_by_a_column=lambda: F.pmod("i", "j"),
    less=lambda: F.col("i") < F.col("j"),
    at_least=lambda: F.col("b") >= F.col("i"),
    equal=lambda: F.col("i") == F.col("b"),
    equal_or_both_null=lambda: F.col("i").eqNullSafe(F.col("j")),
    both=lambda: (F.col("i") > 0) & (F.col("j") > 0),
    either=lambda: (F.col("i") > 0) | (F.col("j") > 0),
    neither=lambda: ~((F.col("i") > 0) | (F.col("j") > 0)),
    between=lambda: F.col("i").between(-1_000_000, 1_000_000),
    least=lambda: F.least("i", "j"),
    least_of_kinds=lambda: F.least(F.lit(30), F.col("b")),
    greatest=lambda: F.greatest("i", "j"),
    as_text=lambda: F.col("b").cast("string"),
    as_int=lambda: F.col("b").cast("int"),
    as_double=lambda: F.col("b").cast("double"),
    as_money=lambda: F.col("b").cast("decimal(18,3)"),
    xxhash64=lambda: F.xxhash64("i", "b"),
    case_in_sql=lambda: F.expr("CASE WHEN i > 0 THEN -i END"),
    otherwise=lambda: F.when(F.col("i") > 0, F.lit("more")).when(F.col("i") < 0, F.lit("less")).otherwise(F.lit("?")),
    without_otherwise=lambda: F.when(F.col("i") > 0, "more"),
    formatted=lambda: F.format_string("%s", "b"),
)
WHOLE.ask_rows(
    sums=lambda rows: rows.agg(F.sum("i"), F.sum("j")),
    sum_beyond_the_limit=lambda rows: rows.filter("b > 0").agg(F.sum("b")),
    means=lambda rows: rows.agg(F.avg("i"), F.median("i"), F.count("i"), F.count_if(F.col("i") > 0)),
    least_and_greatest=lambda rows: rows.agg(F.min("i"), F.max("b")),
    of_nothing=lambda rows: rows.filter("i = 3").agg(
        F.sum("i"), F.avg("i"), F.median("i"), F.count("i"), F.count_if(F.col("i") > 0), F.min("i"), F.max("i")
    ),
    groups_of_nothing=lambda rows: rows.filter("i = 3").groupBy("j").agg(F.sum("i")),
    distinct=lambda rows: rows.select("j", "c").distinct(),
)

MOST = Decimal("999999999999999.999")
AMOUNTS = Values(
    "amounts",
    "d decimal(18,3), e decimal(18,3), p decimal(12,3), q int, n bigint",
    [
        (None, Decimal(1), None, 1, 1),
        (Decimal(1), None, Decimal("2.550"), None, None),
        (Decimal(0), Decimal(0), Decimal(0), 0, 0),
        (Decimal(1), Decimal(0), Decimal("0.001"), 1, 0),
        (Decimal(1), Decimal(3), Decimal("0.295"), 3, 3),
        (Decimal(2), Decimal(3), Decimal("12.750"), -4, 7),
        (Decimal("-1"), Decimal(3), Decimal("-11062.060"), 1, 9),
        (Decimal("0.001"), Decimal("1000.000"), Decimal("999999999.999"), 1_000_000, 1_000),
        (Decimal("10.005"), Decimal("0.003"), Decimal("999999999.999"), -1_000_000, 6),
        (MOST, Decimal("0.001"), Decimal("999999999.999"), INT, LONG),
        (-MOST, MOST, Decimal("-999999999.999"), -INT - 1, 1),
        (MOST, MOST, Decimal("1.000"), 80995, 2),
    ],
)
AMOUNTS.ask(
    itself=lambda: F.col("d"),
    as_text=lambda: F.col("d").cast("string"),
    as_double=lambda: F.col("d").cast("double"),
    as_long=lambda: (F.col("d") * 1000).cast("bigint"),
    as_whole_decimal=lambda: F.col("d").cast("decimal(38,0)"),
    line_total=lambda: F.col("q") * F.col("p"),
    line_total_as_money=lambda: (F.col("q") * F.col("p")).cast("decimal(18,3)"),
    landed_money=lambda: F.expr("try_cast(q * p AS decimal(18,3))"),
    plus=lambda: F.col("d") + F.col("e"),
    plus_as_money=lambda: (F.col("d") + F.col("e")).cast("decimal(18,3)"),
    minus=lambda: F.col("d") - F.col("e"),
    minus_one=lambda: F.col("d") - 1,
    negative=lambda: -F.col("d"),
    absolute=lambda: F.abs("d"),
    times=lambda: F.col("d") * F.col("e"),
    divided=lambda: F.col("d") / F.col("e"),
    divided_by_a_number=lambda: F.col("d") / F.col("n"),
    divided_by_a_number_as_money=lambda: (F.col("d") / F.col("n")).cast("decimal(18,3)"),
    mean_as_money=lambda: F.when(F.col("n") > 0, F.col("d") / F.col("n")).cast("decimal(18,3)"),
    money_of_a_mean=lambda: F.when(F.col("n") > 0, money(F.col("d") / F.col("n"))),
    growth=lambda: F.when(F.col("e") > 0, ratio(F.col("d") - F.col("e"), F.col("e"))),
    share=lambda: F.when(F.col("e") > 0, ratio(F.col("d"), F.col("e"))),
    share_of_decimals=lambda: F.when(F.col("e") > 0, (F.col("d") / F.col("e")).cast("double")),
    share_of_doubles=lambda: F.when(F.col("e") > 0, F.col("d").cast("double") / F.col("e").cast("double")),
    below_a_share=lambda: F.col("d") < F.col("e") * F.lit(0.8).cast("decimal(3,2)"),
    per_day=lambda: F.coalesce(F.col("d") / F.least(F.lit(7), F.col("q")), F.lit(0)).cast("decimal(18,3)"),
    money=lambda: money(F.col("d")),
    money_of_a_long=lambda: money(F.col("n")),
    whole_thousandths=lambda: (F.coalesce(F.col("d"), F.lit(0)) * 1000).cast("bigint"),
    more_than_a_number=lambda: F.abs("d") > 2_500,
    zero=lambda: F.col("d") == 0,
    equal=lambda: F.col("d") == F.col("e"),
    product_is_total=lambda: F.col("d") == F.col("q") * F.col("p"),
    least=lambda: F.least("d", "e"),
    xxhash64=lambda: F.xxhash64("d", "p"),
    in_sql=lambda: F.expr("CASE WHEN q > 0 THEN -d END"),
    formatted=lambda: F.format_string("%s", "d"),
)
_MODEST = "abs(d) < 1000000 OR d IS NULL"
AMOUNTS.ask_rows(
    sums=lambda rows: rows.filter(_MODEST).agg(F.sum("d"), F.sum(F.col("d") - F.col("e")), -F.sum("e")),
    sum_beyond_money=lambda rows: rows.filter("d > 0").agg(F.sum("d")),
    sum_beyond_money_as_money=lambda rows: rows.filter("d > 0").agg(F.sum("d").cast("decimal(18,3)")),
    money_of_a_sum=lambda rows: rows.agg(money(F.sum("d")), money(-F.sum(F.when(F.col("q") > 5, F.col("d"))))),
    sum_of_products=lambda rows: rows.agg(F.sum(F.col("q") * F.col("p"))),
    sum_of_most=lambda rows: rows.agg(F.sum(F.lit("9" * 38).cast("decimal(38,0)"))),
    means=lambda rows: rows.filter(_MODEST).agg(F.avg("d"), F.median("d")),
    medians_twice=lambda rows: rows.agg(F.median("d"), F.median(F.col("d").cast("double"))),
    mean_of_much=lambda rows: rows.agg(F.avg("d")),
    percentile=lambda rows: rows.filter(_MODEST).agg(F.percentile("d", F.lit(0.85)), F.percentile("d", F.lit(0.5))),
    percentile_as_money=lambda rows: rows.filter(_MODEST).agg(
        F.percentile("d", F.lit(0.85)).cast("decimal(18,3)"), F.avg("d").cast("decimal(18,3)")
    ),
    mean_of_a_sum=lambda rows: rows.filter(_MODEST).agg(F.sum("d").cast("double") / F.count("*")),
    of_nothing=lambda rows: rows.filter("d = 5").agg(
        F.sum("d"), F.avg("d"), F.median("d"), F.min("d"), money(F.sum("d"))
    ),
    least_and_greatest=lambda rows: rows.agg(F.min("d"), F.max("d")),
    totals=lambda rows: rows.select("n", F.sum("e").over(Window.partitionBy()).alias("all")),
    running=lambda rows: rows.filter(_MODEST).select("n", "d", F.sum("d").over(Window.orderBy("n", "d"))),
    moving=lambda rows: rows.filter(_MODEST).select(
        "n", "d", F.sum("d").over(Window.orderBy("n", "d").rowsBetween(-2, 0))
    ),
    filled=lambda rows: rows.select("d", "q", "n").fillna(0),
    distinct=lambda rows: rows.select("d").distinct(),
)
AMOUNTS.ask_order(
    ascending=lambda rows: rows.select("d", "n").orderBy("d", "n"),
    descending=lambda rows: rows.select("d", "n").orderBy(F.desc("d"), "n"),
)

NAN, INFINITE = float("nan"), float("inf")
DOUBLES = Values(
    "doubles",
    "x double, y double",
    [
        (None, 1.0), (1.0, None), (0.0, 0.0), (-0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.5, 2.0), (-0.5, 3.0), (1.5, 0.1),
        (2.5, 1e-300), (-2.5, 1e300), (4.0, 0.5), (1e10, 1e-10), (123456789.123, 7.0), (1e22, 1.0), (1e-5, 1e5),
        (0.0001, 0.001), (2.0**63, 1.0), (-1e300, 1e300), (NAN, 1.0), (1.0, NAN), (NAN, NAN), (INFINITE, 1.0),
        (-INFINITE, INFINITE), (0.1, 0.3), (5e-324, 2.0),
    ],
)  # fmt: skip
DOUBLES.ask(
    itself=lambda: F.col("x"),
    plus=lambda: F.col("x") + F.col("y"),
    minus=lambda: 1 - F.col("x"),
    times=lambda: F.col("x") * F.col("y"),
    divided=lambda: F.col("x") / F.col("y"),
    less=lambda: F.col("x") < F.col("y"),
    at_most=lambda: F.col("x") <= F.col("y"),
    more=lambda: F.col("x") > 0.5,
    equal=lambda: F.col("x") == F.col("y"),
    nan_is_nan=lambda: F.col("x").eqNullSafe(F.col("y")),
    between=lambda: F.col("x").between(0.0, 1.0),
    least=lambda: F.least("x", "y"),
    greatest=lambda: F.greatest("x", "y"),
    bounded=lambda: F.least(F.greatest("x", F.lit(0.0)), F.lit(100.0)),
    floor=lambda: F.floor("x"),
    floor_as_int=lambda: F.floor("x").cast("int"),
    step=lambda: F.floor(4 * F.log2("x")).cast("int").cast("string"),
    step_of_positive=lambda: F.when(F.col("x") > 0, F.floor(4 * F.log2("x"))),
    log1p=lambda: F.log1p("x"),
    log2=lambda: F.log2("x"),
    sqrt=lambda: F.sqrt("x"),
    squared=lambda: F.pow("x", F.lit(2)),
    power=lambda: F.col("x") ** 2,
    as_text=lambda: F.col("x").cast("string"),
    as_int=lambda: F.col("x").cast("int"),
    as_long=lambda: F.col("x").cast("bigint"),
    as_money=lambda: F.col("x").cast("decimal(18,3)"),
    as_decimal=lambda: F.expr("try_cast(x AS decimal(18,3))"),
    xxhash64=lambda: F.xxhash64("x"),
    formatted=lambda: F.format_string("%s of %s: %.3f, bound %.3f", F.lit("a"), F.lit("b"), "x", "y"),
    is_null=lambda: F.col("x").isNull(),
    first_that_is_there=lambda: F.coalesce("x", "y"),
)
_FINITE = "abs(x) < 1e6"
DOUBLES.ask_rows(
    grouped=lambda rows: rows.groupBy("x").agg(F.count("*")),
    distinct=lambda rows: rows.select("x").distinct(),
    joined=lambda rows: rows.select("x").join(rows.select(F.col("y").alias("x")).distinct(), "x", "left_semi"),
    sums=lambda rows: rows.filter(_FINITE).agg(F.sum("x"), F.avg("x"), F.median("x"), F.min("x"), F.max("x")),
    with_nan=lambda rows: rows.agg(F.sum("x"), F.avg("x"), F.min("x"), F.max("x"), F.count("x")),
    percentiles=lambda rows: rows.filter(_FINITE).agg(F.percentile("x", F.lit(0.85)), F.percentile("x", F.lit(0.1))),
    of_nothing=lambda rows: rows.filter("x = 77").agg(F.sum("x"), F.avg("x"), F.median("x"), F.min("x")),
    filled=lambda rows: rows.select("x", "y").fillna(0),
)
DOUBLES.ask_order(
    ascending=lambda rows: rows.select("x").orderBy("x"),
    descending=lambda rows: rows.select("x").orderBy(F.desc("x")),
)
ROUNDINGS = Values("roundings", "x double", [n / 2000 for n in range(-9, 12)] + [n + 0.0005 for n in range(9)])
ROUNDINGS.ask(
    shown=lambda: F.format_string("%.3f", "x"),
    as_money=lambda: F.col("x").cast("decimal(18,3)"),
    money=lambda: money_of_real(F.col("x")),
)

_PENCE = [Decimal(str(value)) for value in ("0.001", "0.295", "2.55", "12.75", "0.125", "1.005", "99.999", "-4.2")]
GROUPS = Values(
    "groups of amounts",
    "of int, amount decimal(18,3), whole int",
    [(size, _PENCE[(size * place + place) % 8] * (1 + place), place) for size in range(1, 30) for place in range(size)],
)
"""Groups of 1 to 29 amounts: what lies between two of them, or is a share of them, has more decimals than money."""
GROUPS.ask_rows(
    means=lambda rows: rows.groupBy("of").agg(F.avg("amount"), F.avg("amount").cast("decimal(18,3)")),
    means_of_sums=lambda rows: rows.groupBy("of").agg((F.sum("amount") / F.count("*")).cast("decimal(18,3)")),
    means_of_whole=lambda rows: rows.groupBy("of").agg(F.avg("whole"), F.sum("whole") / F.count("*")),
    medians=lambda rows: rows.groupBy("of").agg(F.median("amount")),
    medians_of_doubles=lambda rows: rows.groupBy("of").agg(F.median(F.col("amount").cast("double"))),
    medians_of_whole=lambda rows: rows.groupBy("of").agg(F.median("whole")),
    medians_as_money=lambda rows: rows.groupBy("of").agg(money_of_real(F.median("amount"))),
    medians_cast=lambda rows: rows.groupBy("of").agg(F.median("amount").cast("decimal(18,3)")),
    percentiles=lambda rows: rows.groupBy("of").agg(F.percentile("amount", F.lit(0.85))),
    percentiles_as_money=lambda rows: rows.groupBy("of").agg(money_of_real(F.percentile("amount", F.lit(0.85)))),
    shares=lambda rows: rows.select(
        "of", "whole", ratio(F.col("amount"), F.sum("amount").over(Window.partitionBy("of")))
    ),
    daily_means=lambda rows: rows.groupBy("of").agg(
        (F.sum("amount") / F.least(F.lit(30), F.max("of"))).cast("decimal(18,3)")
    ),
    running=lambda rows: rows.select(
        "of", "whole", F.sum("amount").over(Window.partitionBy("of").orderBy("whole")).cast("decimal(18,3)")
    ),
    quintiles=lambda rows: rows.select(
        "of", "whole", F.floor(F.percent_rank().over(Window.partitionBy("of").orderBy("amount")) * 5)
    ),
    commonest=lambda rows: (
        rows.groupBy("of", "amount")
        .count()
        .groupBy("of")
        .agg(F.min(F.struct((-F.col("count")).alias("order"), "amount"))["amount"])
    ),
)
