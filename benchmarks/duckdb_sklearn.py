"""The same work as notebook_style.py in DuckDB and scikit-learn, written as Parquet: what one machine can do.

    python benchmarks/duckdb_sklearn.py HISTORY.csv OUTPUT_DIRECTORY [--as-of 2011-12-10]

The last line is the figures it arrived at, as JSON.
"""

import argparse
import json
from pathlib import Path

import duckdb
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score, silhouette_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("history")
parser.add_argument("output")
parser.add_argument("--as-of", default="2011-12-10")
arguments = parser.parse_args()

output = Path(arguments.output)
output.mkdir(parents=True, exist_ok=True)
database = duckdb.connect()
database.execute("SET VARIABLE as_of = ?::DATE", [arguments.as_of])


def save(query: str, name: str, partition_column: str | None = None) -> None:
    """Writes the query's rows under `name` and leaves a table of that name behind."""
    database.execute(f"CREATE TABLE {name} AS {query}")
    if partition_column:
        database.execute(f"COPY {name} TO '{output / name}' (FORMAT parquet, PARTITION_BY ({partition_column}))")
    else:
        database.execute(f"COPY {name} TO '{output / name}.parquet' (FORMAT parquet)")


# Bronze: the file as it is.
database.execute("CREATE MACRO history(path) AS TABLE SELECT * FROM read_csv(path, header = true, all_varchar = true)")
save(
    f"""
    SELECT *, now() AS ingested_at FROM history('{arguments.history}')
        AS source (invoice_no, stock_code, description, quantity, invoice_ts, unit_price, customer_id, country)
    """,
    "bronze",
)

# Silver: typed, valid, without exact duplicates.
save(
    """
    WITH typed AS (
        SELECT trim(invoice_no) AS invoice_no, trim(stock_code) AS stock_code, description,
               try_cast(quantity AS INTEGER) AS quantity, try_cast(unit_price AS DECIMAL(12, 3)) AS unit_price,
               try_cast(invoice_ts AS TIMESTAMP) AS invoice_ts,
               regexp_replace(customer_id, '\\.0$', '') AS customer_id, country,
               invoice_no LIKE 'C%' AS is_cancellation
        FROM (SELECT DISTINCT * EXCLUDE (ingested_at) FROM bronze)
    )
    SELECT *, invoice_ts::DATE AS invoice_date, (quantity * unit_price)::DECIMAL(18, 3) AS line_total,
           CASE WHEN is_cancellation THEN 'cancellation'
                WHEN regexp_matches(invoice_no, '^[A-Za-z]') THEN 'adjustment'
                WHEN regexp_matches(stock_code, '^([0-9]{5}[A-Za-z]*|PADS)$') THEN 'product'
                ELSE 'service' END AS line_type
    FROM typed
    WHERE regexp_matches(invoice_no, '^[A-Za-z]?[0-9]{6}$') AND stock_code != ''
      AND (quantity > 0 OR (quantity < 0 AND is_cancellation)) AND unit_price >= 0 AND invoice_ts IS NOT NULL
    """,
    "silver",
    "invoice_date",
)

# RFM of every customer on one day.
save(
    """
    WITH totals AS (
        SELECT customer_id, max(country) AS country,
               getvariable('as_of') - max(invoice_date) AS recency_days,
               count(DISTINCT invoice_no) AS frequency, sum(line_total) AS monetary, sum(quantity) AS units,
               count(DISTINCT stock_code) AS distinct_products,
               getvariable('as_of') - min(invoice_date) AS tenure_days
        FROM silver
        WHERE line_type = 'product' AND customer_id IS NOT NULL AND invoice_date < getvariable('as_of')
        GROUP BY customer_id
    )
    SELECT *, monetary / frequency AS avg_order_value, ntile(5) OVER (ORDER BY recency_days DESC) AS r_score,
           ntile(5) OVER (ORDER BY frequency) AS f_score, ntile(5) OVER (ORDER BY monetary) AS m_score,
           concat(r_score, f_score, m_score) AS rfm_score
    FROM totals
    """,
    "customer_rfm",
)

# Geography.
save(
    """
    WITH sales AS (
        SELECT country, count(DISTINCT invoice_no) AS orders, count(DISTINCT customer_id) AS customers,
               sum(quantity) AS units, sum(line_total) AS revenue
        FROM silver WHERE line_type = 'product' GROUP BY country
    ), returned AS (
        SELECT country, -sum(line_total) AS returns_value FROM silver WHERE is_cancellation GROUP BY country
    )
    SELECT sales.*, coalesce(returns_value, 0) AS returns_value, revenue / orders AS avg_order_value,
           coalesce(returns_value, 0) / revenue AS return_rate, revenue / sum(revenue) OVER () AS revenue_share
    FROM sales LEFT JOIN returned USING (country)
    """,
    "geo_metrics",
)

# Segments: the k with the best silhouette. A silhouette compares every pair, so beyond 10,000 it takes a sample.
rfm = database.execute("SELECT * FROM customer_rfm ORDER BY customer_id").df()
scaled = StandardScaler().fit_transform(rfm[["recency_days", "frequency", "monetary"]].astype(float))
models = {k: KMeans(n_clusters=k, random_state=42).fit(scaled) for k in range(2, 9)}
sample = min(len(scaled), 10_000)
silhouettes = {
    k: silhouette_score(scaled, model.labels_, sample_size=sample, random_state=42) for k, model in models.items()
}
best_k = max(silhouettes, key=lambda k: silhouettes[k])
rfm["cluster"] = models[best_k].labels_
save("SELECT customer_id, cluster FROM rfm", "customer_segments")

# Churn: no order for 90 days, told from everything but recency.
FEATURES = ["frequency", "monetary", "units", "distinct_products", "tenure_days", "avg_order_value"]
features, label = rfm[FEATURES].astype(float), rfm["recency_days"] > 90
train, test, train_label, test_label = train_test_split(features, label, test_size=0.2, random_state=42)
forest = RandomForestClassifier(n_estimators=100, max_depth=5, random_state=42, n_jobs=-1).fit(train, train_label)
area_under_curve = roc_auc_score(test_label, forest.predict_proba(test)[:, 1])
rfm["churn_probability"] = forest.predict_proba(features)[:, 1]
save("SELECT customer_id, churn_probability, churn_probability > 0.5 AS prediction FROM rfm", "churn_scores")

(clean_rows,) = database.execute("SELECT count(*) FROM silver").fetchall()[0]
customers, monetary = database.execute("SELECT count(*), sum(monetary) FROM customer_rfm").fetchall()[0]
(countries,) = database.execute("SELECT count(*) FROM geo_metrics").fetchall()[0]
figures = {
    "clean_rows": clean_rows,
    "customers": customers,
    "monetary": str(monetary),
    "countries": countries,
    "best_k": best_k,
    "silhouette": round(float(silhouettes[best_k]), 3),
    "churn_auc": round(float(area_under_curve), 3),
}
print(json.dumps(figures))
