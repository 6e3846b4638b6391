"""What is bought together: association rules between two products, with support, confidence and lift.

Rules of one antecedent and one consequent, which is what a shop can act on, follow from counts of pairs alone: a
self-join of baskets on their frequent items gives them exactly, as FP-growth would, on any engine that has joins.
Formulas: R. Agrawal, T. Imielinski, A. Swami, "Mining association rules between sets of items in large databases",
SIGMOD 1993 (support, confidence); S. Brin et al., "Dynamic itemset counting", SIGMOD 1997 (lift).
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

MIN_SUPPORT = 0.01
"""A pair counts if it is in at least this share of the baskets …"""
MIN_BASKETS = 5
"""… and in at least so many of them: fewer are chance."""
MOST_ITEMS = 300
"""Of items that are frequent enough, the commonest so many are paired."""


def pair_rules(baskets: DataFrame, within: str) -> DataFrame:
    """Rules between two items of the same basket, both ways: one row per `antecedent` and `consequent`.

    `baskets`: one row per item of a basket, with `basket` and `item`; an item counts once per basket. Baskets are
    compared with those of the same value in the column `within` (a month, say). Gives `baskets` (all), `antecedent_`,
    `consequent_` and `together_baskets` (BIGINT), `support` = together / all, `confidence` = together / antecedent,
    `lift` = confidence / (consequent / all), all DOUBLE. Only pairs of lift above 1, in at least `MIN_SUPPORT` of
    the baskets and at least `MIN_BASKETS`.

    The work is bounded: of each basket at most `MOST_ITEMS` items are paired, each once with every other, so that
    a basket gives at most 44,850 pairs and a month at most as many counts, however many products a shop has. An item
    of a pair that is frequent enough is itself frequent enough, so that below `MOST_ITEMS` nothing is lost.
    """
    items = baskets.select(within, "basket", "item").distinct()
    totals = items.groupBy(within).agg(F.count_distinct("basket").alias("baskets"))
    counts = items.groupBy(within, "item").agg(F.count("*").alias("item_baskets"))
    commonest = Window.partitionBy(within).orderBy(F.desc("item_baskets"), "item")
    frequent = (
        counts.join(totals, within)
        .filter(_enough(F.col("item_baskets")))
        .withColumn("place", F.row_number().over(commonest))
        .filter(F.col("place") <= MOST_ITEMS)
        .select(within, "item", "place", "item_baskets", "baskets")
    )
    known = items.join(F.broadcast(frequent.select(within, "item", "place")), [within, "item"])
    # As arrays of small numbers, not as a join of rows: a basket's items are then together once.
    places = known.groupBy(within, "basket").agg(F.sort_array(F.collect_list("place")).alias("places"))
    pairs = (
        places.select(within, "places", F.posexplode("places").alias("position", "first"))
        .select(within, "first", F.explode(F.expr("slice(places, position + 2, size(places))")).alias("second"))
        .groupBy(within, "first", "second")
        .agg(F.count("*").alias("together_baskets"))
    )
    both_ways = pairs.select(
        within,
        "together_baskets",
        F.explode(
            F.array(
                F.struct(F.col("first").alias("from"), F.col("second").alias("to")),
                F.struct(F.col("second").alias("from"), F.col("first").alias("to")),
            )
        ).alias("rule"),
    )
    antecedents = frequent.select(
        within,
        F.col("place").alias("from"),
        F.col("item").alias("antecedent"),
        F.col("item_baskets").alias("antecedent_baskets"),
        "baskets",
    )
    consequents = frequent.select(
        within,
        F.col("place").alias("to"),
        F.col("item").alias("consequent"),
        F.col("item_baskets").alias("consequent_baskets"),
    )
    named = (
        both_ways.select(within, "together_baskets", "rule.from", "rule.to")
        .join(F.broadcast(antecedents), [within, "from"])
        .join(F.broadcast(consequents), [within, "to"])
        .drop("from", "to")
        .filter(_enough(F.col("together_baskets")))
    )
    together, of_all = F.col("together_baskets"), F.col("baskets")
    return named.withColumns(
        {
            "support": together / of_all,
            "confidence": together / F.col("antecedent_baskets"),
            "lift": together * of_all / (F.col("antecedent_baskets") * F.col("consequent_baskets")),
        }
    ).filter("lift > 1")


def _enough(count: Column) -> Column:
    return (count / F.col("baskets") >= MIN_SUPPORT) & (count >= MIN_BASKETS)
