"""Files like Olist's nine, small: orders of a few months with items, payments and reviews, and what these refer to."""

import csv
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np

MONTHS = (date(2018, 5, 1), date(2018, 6, 1), date(2018, 7, 1))
ORDERS = 120
"""Of a month."""

_BUYERS, _PRODUCTS = 250, 40
_STATES = {"SP": (-23.5, -46.6), "RJ": (-22.9, -43.2), "MG": (-19.9, -43.9)}
_CATEGORIES = {"beleza_saude": "health_beauty", "moveis_decoracao": "furniture_decor", "brinquedos": "toys"}
_DAY = timedelta(days=1)
_Tables = Mapping[str, list[dict[str, Any]]]


def make_marketplace(directory: Path, seed: int = 42) -> list[Path]:
    """Writes the nine files; the same seed gives the same bytes. One order in twelve is canceled, one buyer in a few
    buys again, and one review in ten is of several lines."""
    random = np.random.default_rng(seed)
    tables = _references() | {name: [] for name in ("customers", "orders", "order_items", "order_payments")}
    tables["order_reviews"] = []
    for month in MONTHS:
        for number in range(ORDERS):
            _order(tables, random, f"{month:%Y%m}{number:04}", datetime.combine(month, time(9)))
    names = {name: f"olist_{name}_dataset.csv" for name in tables}
    names["category_translation"] = "product_category_name_translation.csv"
    return [_write(directory / names[name], rows) for name, rows in tables.items()]


def _references() -> dict[str, list[dict[str, Any]]]:
    places = [(f"{zone:02}00{at}", state) for zone, state in enumerate(_STATES, start=1) for at in range(3)]
    categories = list(_CATEGORIES)
    sizes = ("weight_g", "length_cm", "height_cm", "width_cm")
    lengths = dict.fromkeys(("product_name_lenght", "product_description_lenght", "product_photos_qty"), 3)
    return {
        "products": [
            {"product_id": f"product{at}", "product_category_name": categories[at % 3], **lengths}
            | {f"product_{size}": 10 + at for size in sizes}
            for at in range(_PRODUCTS)
        ],
        "sellers": [
            {"seller_id": f"seller{at}", "seller_zip_code_prefix": place, "seller_city": f"city of {state}"}
            | {"seller_state": state}
            for at, (place, state) in enumerate(places)
        ],
        "geolocation": [
            {"geolocation_zip_code_prefix": place, "geolocation_lat": _STATES[state][0] + 0.01 * at}
            | {"geolocation_lng": _STATES[state][1], "geolocation_city": f"city of {state}"}
            | {"geolocation_state": state}
            for place, state in places
            for at in range(4)
        ],
        "category_translation": [
            {"product_category_name": name, "product_category_name_english": english}
            for name, english in _CATEGORIES.items()
        ],
    }


def _order(tables: _Tables, random: np.random.Generator, number: str, start: datetime) -> None:
    bought = start + timedelta(minutes=int(random.integers(0, 27 * 1440)))
    buyer, arrives = int(random.integers(0, _BUYERS)), int(random.integers(3, 20))
    delivered, order = random.random() > 1 / 12, f"order{number}"
    state = list(_STATES)[buyer % 3]
    tables["customers"].append(
        {"customer_id": f"customer{number}", "customer_unique_id": f"buyer{buyer}"}
        | {"customer_zip_code_prefix": f"{buyer % 3 + 1:02}00{buyer % 2}", "customer_city": f"city of {state}"}
        | {"customer_state": state}
    )
    tables["orders"].append(
        {"order_id": order, "customer_id": f"customer{number}"}
        | {"order_status": "delivered" if delivered else "canceled", "order_purchase_timestamp": bought}
        | {"order_approved_at": bought + timedelta(hours=1)}
        | {"order_delivered_carrier_date": bought + _DAY if delivered else None}
        | {"order_delivered_customer_date": bought + arrives * _DAY if delivered else None}
        | {"order_estimated_delivery_date": datetime.combine(bought.date() + 14 * _DAY, time())}
    )
    value = 0.0
    for item in range(1, 1 + int(random.integers(1, 4))):
        price, freight = round(float(random.lognormal(4, 0.6)), 2), round(float(random.uniform(5, 25)), 2)
        value += price + freight
        product, seller = int(random.integers(0, _PRODUCTS)), int(random.integers(0, 9))
        tables["order_items"].append(
            {"order_id": order, "order_item_id": item, "product_id": f"product{product}"}
            | {"seller_id": f"seller{seller}", "shipping_limit_date": bought + 5 * _DAY}
            | {"price": f"{price:.2f}", "freight_value": f"{freight:.2f}"}
        )
    tables["order_payments"].append(
        {"order_id": order, "payment_sequential": 1, "payment_type": str(random.choice(["credit_card", "boleto"]))}
        | {"payment_installments": int(random.integers(1, 9)), "payment_value": f"{value:.2f}"}
    )
    asked = datetime.combine(bought.date() + (arrives + 1) * _DAY, time())
    comment = "Chegou bem,\nobrigada" if random.random() < 0.1 else ""
    tables["order_reviews"].append(
        {"review_id": f"review{number}", "order_id": order, "review_score": int(random.integers(1, 6))}
        | {"review_comment_title": "", "review_comment_message": comment, "review_creation_date": asked}
        | {"review_answer_timestamp": asked + timedelta(hours=30)}
    )


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
