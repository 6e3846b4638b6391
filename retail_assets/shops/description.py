"""A shop in one file: `<name>.toml` says how its exports are written and what its invoice lines mean.

docs/your_shop.md documents every key.
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from importlib.abc import Traversable
from importlib.resources import files
from pathlib import Path

from retail_assets.landing.dialect import EMPTY_WORDS, DateForm, Dialect, DialectError
from retail_assets.landing.layout import SourceLayout
from retail_assets.shops.closed_days import ClosedDays, closed_days
from retail_assets.shops.keys import DescriptionError, Written, checked
from retail_assets.shops.rules import InvoiceRules
from retail_assets.shops.shop import INVOICE_COLUMNS, Shop
from retail_assets.streaming.event_form import DROPS, EVENTS, FORMS, ORDER_LINE, EventForm

BUILT_IN = Path(__file__).parent
"""Where the descriptions lie that come with the package: Online Retail II, and what usual shop systems export."""

_IN_PACKAGE = files(__package__)

CARRIED = "carried"
"""In the package as it travels to a cluster: the descriptions of the user's shops."""

PRESETS = ("online_retail", "shopify", "woocommerce", "magento")

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a shop may be called: it names tables, directories and settings."""

REQUIRED = ("invoice_no", "stock_code", "quantity", "invoice_ts", "unit_price")
"""Columns without which there is no invoice line; a constant may stand in for a quantity."""

_FIELDS = {
    "encoding": ("files", "encoding"),
    "delimiter": ("files", "delimiter"),
    "quote": ("files", "quote"),
    "escape": ("files", "escape"),
    "decimal": ("numbers", "decimal"),
    "thousands": ("numbers", "thousands"),
    "currencies": ("numbers", "currency_signs"),
    "negatives": ("numbers", "negatives"),
    "date_forms": ("dates", "forms"),
    "time_zone": ("", "time_zone"),
    "empty_words": ("values", "empty"),
}
"""Field of a dialect -> section and key."""

_CALENDARS = {"england and wales": closed_days}
"""Countries whose closed days are known, year by year."""

_UNSAFE = re.compile(r"\\[A-Za-z]|\(\?|[$^]|[a-z]|[*+?}][+?]")
"""What a pattern must not have: engines differ in it, or numbers and codes are compared in capitals."""


def built_in(name: str) -> Shop:
    """A shop that comes with the package."""
    return _packed(_IN_PACKAGE.joinpath(f"{name}.toml"), BUILT_IN / f"{name}.toml")


def _packed(file: Traversable, path: Path) -> Shop:
    """As `described`, of a file that may lie in a zip, as on a cluster."""
    return described_by(file.read_text(encoding="utf-8"), path)


def shops_in(directory: Path) -> list[str]:
    """The names of the shops that are described there; on a cluster, of those that were described where it was sent
    from."""
    carried = _IN_PACKAGE.joinpath(CARRIED)
    packed = {file.name.removesuffix(".toml") for file in carried.iterdir()} if carried.is_dir() else set()
    return sorted(packed | {path.stem for path in directory.glob("*.toml")} if directory.is_dir() else packed)


def to_carry(directory: Path) -> dict[str, Path]:
    """The user's descriptions, by the path in the package at which a cluster finds them."""
    return {
        f"shops/{CARRIED}/{name}.toml": path for name in shops_in(directory) if (path := directory / f"{name}.toml")
    }


def find(name: str, directory: Path) -> Shop:
    """The shop of that name: the user's, or a built-in one. Raises DescriptionError where there is none."""
    path = directory / f"{name}.toml"
    if path.is_file():
        return described(path)
    carried = _IN_PACKAGE.joinpath(CARRIED, f"{name}.toml")
    if carried.is_file():
        return _packed(carried, path)
    if name == "online_retail":
        return built_in(name)
    known = ", ".join(sorted({*shops_in(directory), "online_retail"}))
    raise DescriptionError(
        f"There is no {path}. Known shops: {known}. Describe a new one by: retail shop new {name} FILE…"
    )


def described(path: Path) -> Shop:
    """The shop that a file describes, which is called as the file. Raises DescriptionError, naming file, line and key,
    for what cannot be gone by."""
    try:
        return described_by(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as problem:
        raise DescriptionError(f"{path} cannot be read ({problem}). It must be a text file in UTF-8.") from None


def described_by(text: str, path: Path) -> Shop:
    """The shop that a text describes, as if it lay at the path."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise DescriptionError(f"{path} is no TOML: {problem}.") from None
    if not NAME.fullmatch(path.stem):
        raise DescriptionError(
            f"{path}: a shop's name, {path.stem!r}, has small letters, digits and underscores only, a letter first."
        )
    written = checked(path, text, table)
    dialect = _dialect(written)
    rules = _rules(written, dialect)
    others = (*written.texts("files", "other_columns"), *rules.status_columns, *rules.refund_columns)
    layout = SourceLayout(path.stem, _columns(written), "invoice_ts", dialect, others, _events(written))
    return Shop(
        name=path.stem,
        title=written.text_of("", "title", path.stem),
        currency=_currency(written),
        layout=layout,
        closed=_closed(written),
        rules=rules,
        forgets_lines=_forgets_lines(written),
        personal_columns=written.texts("personal", "columns"),
    )


def _events(written: Written) -> EventForm | None:
    """Of a shop that has events."""
    if "events" not in written.values:
        return None
    topic, form = written.text_of("events", "topic", ""), written.text_of("events", "form", ORDER_LINE)
    truth = written.text_of("events", "truth", DROPS)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic):
        raise written.error("events", "topic", f"is {topic!r}, and takes the name of a topic of Kafka")
    for key, value, known in (("form", form, FORMS), ("truth", truth, (DROPS, EVENTS))):
        if value not in known:
            raise written.error("events", key, f"is {value!r}, and takes {' or '.join(known)}")
    defaults = EventForm(topic)
    seconds = {
        name: int(value) if (value := written.optional("events", name)) is not None else getattr(defaults, name)
        for name in ("quiet_seconds", "late_seconds", "idle_seconds")
    }
    return EventForm(
        topic,
        form,
        items=written.text_of("events", "items", defaults.items),
        key=written.texts("events", "key"),
        version=written.optional("events", "version"),
        truth=truth,
        **seconds,
    )


def _forgets_lines(written: Written) -> bool:
    lines = written.text_of("personal", "lines", "keep")
    if lines not in ("keep", "remove"):
        raise written.error("personal", "lines", f'is {lines!r}, and takes "keep" or "remove"')
    return lines == "remove"


def _currency(written: Written) -> str:
    currency = written.text_of("", "currency", "")
    if not re.fullmatch("[A-Z]{3}", currency):
        said = f"is {currency!r}" if currency else "is missing"
        raise written.error("", "currency", f'{said}, and takes a code of ISO 4217, such as "EUR"')
    return currency


def _columns(written: Written) -> Mapping[str, tuple[str, ...]]:
    columns = {name: written.texts("columns", name) for name in INVOICE_COLUMNS}
    for name in REQUIRED:
        if not columns[name] and written.optional("constants", name) is None:
            raise written.error("columns", name, "is missing: name the header that its values stand under")
    taken: dict[str, str] = {}
    for name, headers in columns.items():
        for header in headers:
            if not header.strip():
                raise written.error("columns", name, "has a blank header")
            other = taken.setdefault(re.sub(r"[\W_]+", "", header).casefold() or header, name)
            if other != name:
                raise written.error("columns", name, f"has the header {header!r}, which {other} has already")
    return columns


def _dialect(written: Written) -> Dialect:
    empty = written.optional("values", "empty")
    try:
        forms = tuple(map(DateForm, written.texts("dates", "forms")))
        return Dialect(
            encoding=written.text_of("files", "encoding", "utf-8"),
            delimiter=written.optional("files", "delimiter"),
            quote=written.text_of("files", "quote", '"'),
            escape=written.optional("files", "escape"),
            decimal=written.text_of("numbers", "decimal", "."),
            thousands=written.text_of("numbers", "thousands", ""),
            currencies=written.texts("numbers", "currency_signs"),
            negatives=frozenset(written.texts("numbers", "negatives")),
            day_first=written.optional("dates", "day_first"),
            date_forms=forms,
            time_zone=written.text_of("", "time_zone", "UTC"),
            empty_words=EMPTY_WORDS if empty is None else frozenset(written.texts("values", "empty")),
        )
    except DialectError as problem:
        field, _, rest = str(problem).partition(": ")
        section, key = _FIELDS.get(field, ("files", "delimiter"))
        raise written.error(section, key, f"cannot be: {rest or field}") from None


def _rules(written: Written, dialect: Dialect) -> InvoiceRules:
    first_line_only = written.texts("orders", "first_line_only")
    if unknown := [name for name in first_line_only if name not in INVOICE_COLUMNS]:
        known = ", ".join(INVOICE_COLUMNS)
        raise written.error("orders", "first_line_only", f"has {unknown[0]!r}, which is none of {known}")
    status, values = written.texts("cancellations", "status_column"), written.texts("cancellations", "status_values")
    if bool(status) != bool(values):
        raise written.error("cancellations", "status_values", "and status_column go together: one of them is missing")
    return InvoiceRules(
        dialect=dialect,
        invoice_no=_pattern(written, "invoices", "pattern") or ".+",
        cancellation=_pattern(written, "invoices", "cancellation"),
        adjustment=_pattern(written, "invoices", "adjustment"),
        negative_is_cancellation=written.flag("cancellations", "negative_quantity", True),
        product_code=_pattern(written, "products", "codes") or ".+",
        service_code=_pattern(written, "products", "services"),
        code_from_description=written.flag("products", "code_from_description", False),
        status_columns=status,
        cancelled_values=tuple(value.strip().lower() for value in values),
        refund_columns=written.texts("cancellations", "refund_column"),
        first_line_only=first_line_only,
        constants={key: str(value) for key, value in written.values.get("constants", {}).items()},
        countries={key.strip().upper(): str(value) for key, value in written.values.get("countries", {}).items()},
    )


def _pattern(written: Written, section: str, key: str) -> str | None:
    pattern = written.optional(section, key)
    if pattern is None:
        return None
    if unsafe := _UNSAFE.search(pattern):
        raise written.error(
            section,
            key,
            f"has {unsafe[0]!r}, which engines read differently, or which is no capital: write [0-9] for digits, "
            "letters in capitals, and nothing for beginning and end, as all of the text is meant",
        )
    try:
        re.compile(pattern)
    except re.error as problem:
        raise written.error(section, key, f"is no pattern: {problem}") from None
    return str(pattern)


def _closed(written: Written) -> ClosedDays:
    """Of countries by name, of dates, and of days of every year."""
    countries, once, yearly = [], set(), set()
    for text in written.texts("", "closed_days"):
        if text.lower() in _CALENDARS:
            countries.append(_CALENDARS[text.lower()])
        elif day := re.fullmatch("([0-9]{4}-)?([0-9]{2})-([0-9]{2})", text):
            try:
                parsed = date.fromisoformat(text if day[1] else f"2000-{text}")
            except ValueError:
                raise written.error("", "closed_days", f"has {text!r}, and there is no such day") from None
            once.add(parsed) if day[1] else yearly.add((parsed.month, parsed.day))
        else:
            known = ", ".join(f'"{name}"' for name in _CALENDARS)
            raise written.error(
                "", "closed_days", f'has {text!r}, and takes {known}, dates ("2024-12-24") and days ("12-25")'
            )

    if len(countries) == 1 and not once and not yearly:
        return ClosedDays(countries[0])

    def of_year(year: int) -> frozenset[date]:
        days = {day for country in countries for day in country(year)} | {day for day in once if day.year == year}
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return frozenset(days | {date(year, *day) for day in yearly if leap or day != (2, 29)})

    return ClosedDays(of_year)
