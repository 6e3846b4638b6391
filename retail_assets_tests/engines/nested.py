"""Questions about arrays, maps and structs."""

from pyspark.sql import functions as F

from retail_assets_tests.engines.asking import Values

ARRAYS = Values(
    "arrays",
    "texts array<string>, others array<string>, numbers array<int>",
    [
        (None, ["a"], None),
        ([], ["a"], []),
        (["a"], None, [1]),
        ([None], ["a"], [None]),
        (["a", None, "b", "a"], ["b"], [3, None, 1, 3]),
        (["b", "a"], [None], [2, 1]),
        (["a", "b"], [], [1, 2, 3]),
        (["ä", "z", "Z", ""], ["z", None], [-1, 0]),
        (["x"], ["y", "z"], [5]),
    ],
)
ARRAYS.ask(
    itself=lambda: F.col("texts"),
    size=lambda: F.size("texts"),
    size_of_null_as_zero=lambda: F.coalesce(F.size("texts"), F.lit(0)),
    is_empty=lambda: F.size("texts") == 0,
    array_sort=lambda: F.array_sort("texts"),
    array_sort_of_numbers=lambda: F.array_sort("numbers"),
    sort_array=lambda: F.sort_array("texts"),
    array_distinct=lambda: F.array_distinct("texts"),
    array_compact=lambda: F.array_compact("texts"),
    compacted_whens=lambda: F.array_compact(F.array(F.when(F.size("texts") > 1, F.lit("many")), F.lit("x"))),
    array_join=lambda: F.array_join("texts", ", "),
    array_min=lambda: F.array_min("numbers"),
    arrays_overlap=lambda: F.arrays_overlap("texts", "others"),
    arrays_overlap_with_constants=lambda: F.arrays_overlap("texts", F.array(F.lit("a"), F.lit("b"))),
    flatten=lambda: F.flatten(F.array("texts", "others")),
    forall=lambda: F.forall("texts", lambda text: text.isin("a", "b")),
    transform=lambda: F.transform("texts", lambda text: text.isNull()),
    forall_numbers=lambda: F.forall("numbers", lambda number: number > 0),
    slice=lambda: F.expr("slice(texts, 2, size(texts))"),
    slice_beyond=lambda: F.expr("slice(texts, 9, 2)"),
    first_of=lambda: F.array(F.lit(1), F.size("texts"))[0],
    array_of_columns=lambda: F.array("texts", "others"),
    array_except=lambda: F.array_except("texts", "others"),
    array_except_of_constants=lambda: F.array_except("texts", F.array(F.lit("a"), F.lit("b"))),
    no_texts=lambda: F.coalesce("texts", F.array().cast("array<string>")),
    equal=lambda: F.col("texts") == F.col("others"),
    xxhash64=lambda: F.xxhash64("texts"),
    lowest_struct=lambda: F.array_min(
        F.array(
            F.struct(F.size("texts").alias("size"), F.lit(1).alias("which")),
            F.struct(F.size("others").alias("size"), F.lit(2).alias("which")),
        )
    )["which"],
)
ARRAYS.ask_rows(
    exploded=lambda rows: rows.select("row", F.explode("texts")),
    exploded_of_constants=lambda rows: rows.select("row", F.explode(F.array(F.lit("x"), F.lit(None)))),
    exploded_with_positions=lambda rows: rows.select("row", F.posexplode("texts").alias("position", "text")),
    pairs=lambda rows: rows.select("row", "numbers", F.posexplode("numbers").alias("position", "first")).select(
        "row", "first", F.explode(F.expr("slice(numbers, position + 2, size(numbers))")).alias("second")
    ),
    inlined=lambda rows: rows.select(
        "row",
        F.inline(
            F.array(
                F.struct(F.lit("a").alias("scheme"), F.size("texts").alias("size")),
                F.struct(F.lit("b").alias("scheme"), F.size("others").alias("size")),
            )
        ),
    ),
    fields_of_a_struct=lambda rows: rows.select(
        F.struct(F.col("row").alias("from"), F.size("texts").alias("to")).alias("rule")
    ).select("rule.from", "rule.to"),
    all_fields_of_a_struct=lambda rows: rows.select(F.struct("row", F.lit("x").alias("y")).alias("side")).select(
        "side.*"
    ),
    gathered=lambda rows: rows.agg(F.array_sort(F.array_distinct(F.flatten(F.collect_set("texts"))))),
    gathered_of_nothing=lambda rows: rows.filter("row > 99").agg(
        F.array_sort(F.array_distinct(F.flatten(F.collect_set("texts")))), F.size(F.collect_set("texts"))
    ),
    max_of_joined=lambda rows: rows.agg(F.max(F.array_join("texts", ", "))),
)

MAPS = Values(
    "maps",
    "pairs map<string,string>, counts map<string,bigint>",
    [
        (None, None),
        ({}, {}),
        ({"a": "1"}, {"a": 1}),
        ({"a": None, "b": "2"}, {"a": None, "b": 2}),
        ({"ä": "", "": "x"}, {"-3": 4, "2": 9}),
    ],
)
MAPS.ask(
    itself=lambda: F.col("pairs"),
    counts=lambda: F.col("counts"),
    map_keys=lambda: F.array_sort(F.map_keys("pairs")),
    element=lambda: F.try_element_at("pairs", F.lit("a")),
    element_by_a_column=lambda: F.try_element_at(
        F.create_map(F.lit("0"), F.lit("none")), F.size("pairs").cast("string")
    ),
    size=lambda: F.size("pairs"),
    keys_of_sorted_entries=lambda: F.transform(F.array_sort(F.map_entries("counts")), lambda entry: entry["key"]),
    values_of_sorted_entries=lambda: F.transform(F.array_sort(F.map_entries("counts")), lambda entry: entry["value"]),
    filtered=lambda: F.map_filter("pairs", lambda _, value: value.isNotNull()),
    filtered_of_made=lambda: F.map_filter(
        F.create_map(F.lit("a"), F.try_element_at("pairs", F.lit("a")), F.lit("b"), F.lit("x")),
        lambda _, value: value.isNotNull(),
    ),
    made=lambda: F.create_map(F.lit("a"), F.lit(1), F.lit("b"), F.lit(2)),
    made_with_a_key_twice=lambda: F.create_map(F.lit("a"), F.lit(1), F.lit("a"), F.lit(2)),
    made_with_null_as_key=lambda: F.create_map(F.lit(None).cast("string"), F.lit(1)),
    none=lambda: F.coalesce("counts", F.create_map().cast("map<string,bigint>")),
    from_entries=lambda: F.map_from_entries(
        F.array(F.struct(F.lit("a"), F.size("pairs")), F.struct(F.lit("b"), F.lit(1)))
    ),
    from_entries_with_a_key_twice=lambda: F.map_from_entries(
        F.array(F.struct(F.lit("a"), F.lit(1)), F.struct(F.lit("a"), F.lit(2)))
    ),
)
MAPS.ask_rows(
    exploded=lambda rows: rows.select("row", F.explode("pairs")),
    keys_of_all=lambda rows: rows.agg(F.array_sort(F.array_distinct(F.flatten(F.collect_set(F.map_keys("pairs")))))),
)

PLACES = Values(
    "places",
    "place string, total int, code string, description string",
    [
        ("uk", 5, "b", "B"),
        ("uk", 5, "c", None),
        ("uk", None, "z", "Z"),
        ("fr", 1, None, "N"),
        ("fr", 1, "a", None),
        ("de", None, None, None),
        (None, 3, "d", "D"),
        ("it", -1, "ä", "Ä"),
        ("it", -1, "z", "z"),
    ],
)
PLACES.ask_rows(
    best=lambda rows: rows.groupBy("place").agg(
        F.max_by(F.struct("code", "description"), F.struct("total", "code")).alias("best")
    ),
    fields_of_the_best=lambda rows: (
        rows.groupBy("place")
        .agg(F.max_by(F.struct("code", "description"), F.struct("total", "code")).alias("best"))
        .select("place", F.col("best.code"), F.col("best.description").alias("named"))
    ),
    max_by=lambda rows: rows.groupBy("place").agg(F.max_by("code", F.struct("total", "code", "description"))),
    max_by_a_number=lambda rows: rows.filter("place = 'uk'").agg(F.max_by("place", "total")),
    max_by_of_null=lambda rows: rows.filter("place = 'de'").agg(F.max_by("place", "total")),
    first_struct=lambda rows: rows.groupBy("place").agg(
        F.min(F.struct((-F.col("total")).alias("order"), "code"))["code"].alias("code")
    ),
    first_struct_of_some=lambda rows: rows.groupBy("place").agg(
        F.min(F.when(F.col("total") > 0, F.struct((-F.col("total")).alias("order"), "code")))["code"].alias("code")
    ),
    first_struct_without_null=lambda rows: (
        rows.filter("total IS NOT NULL AND code IS NOT NULL")
        .groupBy("place")
        .agg(
            F.min(F.struct((-F.col("total")).alias("order"), "code"))["code"].alias("code"),
            F.min(F.when(F.col("total") > 1, F.struct("total", "code")))["code"].alias("some"),
        )
    ),
    sorted_structs_without_null=lambda rows: rows.filter("total IS NOT NULL AND code IS NOT NULL").agg(
        F.array_sort(F.collect_list(F.struct("code", "total")))
    ),
    struct_as_text=lambda rows: rows.select(F.struct("row", "place", "total", "code").cast("string")),
    last_struct=lambda rows: rows.agg(F.max(F.struct("total", "code"))),
    sorted_structs=lambda rows: rows.agg(F.array_sort(F.collect_list(F.struct("total", "code")))),
    map_of_groups=lambda rows: (
        rows.filter("code IS NOT NULL")
        .groupBy("place", "code")
        .agg(F.count("*").alias("rows"))
        .groupBy("place")
        .agg(F.map_from_entries(F.array_sort(F.collect_list(F.struct("code", "rows")))).alias("rows_of"))
    ),
    list_of_whens=lambda rows: rows.groupBy("place").agg(
        F.array_sort(F.collect_list(F.when(F.col("total") > 0, F.col("code")))).alias("codes")
    ),
    sets=lambda rows: rows.groupBy("place").agg(
        F.size(F.collect_set(F.when(F.col("total") > 0, F.col("code")))).alias("codes"),
        F.array_sort(F.collect_set("description")).alias("descriptions"),
    ),
)
