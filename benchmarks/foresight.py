"""How good forecasts, reorder points and recommendations are on Online Retail II, and what they take on one core.

    .venv/bin/python -m benchmarks.foresight [--lakehouse DIRECTORY]

Judged as docs/foresight.md says: eight origins, 2011-04-24 and every 28 days; products sold within the 13 weeks before.
The rows judged are those of the tables, which are made from the landed data unless a lakehouse is given that has them.
"""

import argparse
import sys
import tempfile
from datetime import date
from pathlib import Path

import pandas as pd
from deltalake import DeltaTable

from benchmarks import recommendations
from benchmarks.contestants import PROJECT, RETAIL, environment, land
from benchmarks.customer_science import seconds_by_table, selected
from benchmarks.datasets import history
from benchmarks.measure import measured

MADE = [
    "raw_invoices", "quarantined_invoices", "clean_transactions", "product_demand", "demand_candidates",
    "forecast_evaluation", "demand_forecast", "reorder_evaluation", "reorder_hints",
]  # fmt: skip
ORIGINS = [date(2011, 4, 18).toordinal() + 28 * number for number in range(8)]
MODELS = ("learned", "seasonal", "smoothed", "last_year")


def judged(lakehouse: Path, table: str) -> pd.DataFrame:
    """The rows of the table of the eight origins."""
    rows = DeltaTable(str(lakehouse / "online_retail" / table)).to_pandas()
    return rows[[day.toordinal() in ORIGINS for day in rows["origin"]]]


def demand_figures(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Model -> the figures that are promised of it, in the mean of the origins unless said otherwise."""
    products = rows[(rows["level"] == "product") & rows["product_class"].isin(["all", "top 300"])]
    found = {}
    for model in MODELS:
        own = products[products["model"] == model].set_index(["product_class", "origin"]).sort_index()
        of_all, top = own.loc["all"], own.loc["top 300"]
        cheap = products[(products["model"] == "smoothed") & (products["product_class"] == "all")]
        cheap = cheap.set_index("origin").sort_index()
        found[model] = {
            "WAPE": of_all["wape"].mean(),
            "WAPE, top 300": top["wape"].mean(),
            "mean abs. bias": of_all["bias"].abs().mean(),
            "worst bias": of_all["bias"].abs().max(),
            "RMSSE": of_all["rmsse"].mean(),
            "better than smoothing at": float((of_all["wape"] < cheap["wape"]).sum()),
            "80 % covers, least": of_all["coverage_80"].min(),
            "80 % covers, most": of_all["coverage_80"].max(),
            "90 % covers, least": of_all["coverage_90"].min(),
            "90 % covers, most": of_all["coverage_90"].max(),
        }
    return found


def stock_figures(rows: pd.DataFrame) -> dict[str, float]:
    """Of two weeks of lead time and 95 % promised."""
    default = rows[(rows["lead_weeks"] == 2) & (rows["service_level"] == 95)]
    return {
        "reached, mean": default["reached"].mean(),
        "reached, least": default["reached"].min(),
        "fill rate": default["fill_rate"].mean(),
        "left over per unit sold": default["left_over"].mean(),
    }


def markdown(demand: dict[str, dict[str, float]], stock: dict[str, float]) -> str:
    """The tables of the documentation."""
    lines = ["| | " + " | ".join(demand) + " |", "| --- |" + " --- |" * len(demand)]
    for name in next(iter(demand.values())):
        lines += [f"| {name} | " + " | ".join(f"{figures[name]:.3f}" for figures in demand.values()) + " |"]
    lines += ["", "| stock | |", "| --- | --- |", *(f"| {name} | {value:.3f} |" for name, value in stock.items())]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lakehouse", type=Path)
    lakehouse = parser.parse_args().lakehouse
    if lakehouse is not None:
        print(markdown(demand_figures(judged(lakehouse, "forecast_evaluation")),
                       stock_figures(judged(lakehouse, "reorder_evaluation"))))  # fmt: skip
        print(recommendations.markdown(lakehouse))
        return
    data = history(1, False)
    with tempfile.TemporaryDirectory(prefix="retail-benchmark-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        surroundings, log = environment(home), home / "log"
        first = [*RETAIL, "run", *selected(MADE[:4])]
        for command in (land(data.whole), first, [*RETAIL, "run", "--from", "2010-12-27", *selected(MADE[4:])]):
            run = measured(command, surroundings, PROJECT, log, 3600)
            if run.exit_code:
                sys.exit(log.read_text()[-3000:])
        lakehouse = home / "lakehouse"
        seconds = seconds_by_table(lakehouse)
        print(", ".join(f"{table} {seconds.get(table, 0):.1f} s" for table in MADE[3:]))
        print(f"others used {run.cpu_of_others:.1f} CPU-s in {run.wall:.1f} s")
        print(markdown(demand_figures(judged(lakehouse, "forecast_evaluation")),
                       stock_figures(judged(lakehouse, "reorder_evaluation"))))  # fmt: skip
        print(recommendations.markdown(lakehouse))


if __name__ == "__main__":
    main()
