"""The keys of a shop's description: what there is to say, of which kind, and where in the file it is said."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from retail_assets.shops.shop import INVOICE_COLUMNS

TEXT, TEXTS, FLAG = "a text in quotes", 'a text in quotes, or several: ["…", "…"]', "true or false"
NUMBER = "a whole number, 0 or more"

KEYS: Mapping[str, Mapping[str, str]] = {
    "": {"title": TEXT, "currency": TEXT, "time_zone": TEXT, "closed_days": TEXTS},
    "files": {"encoding": TEXT, "delimiter": TEXT, "quote": TEXT, "escape": TEXT, "other_columns": TEXTS},
    "columns": dict.fromkeys(INVOICE_COLUMNS, TEXTS),
    "constants": dict.fromkeys(("country", "customer_id", "description", "quantity"), TEXT),
    "numbers": {"decimal": TEXT, "thousands": TEXT, "currency_signs": TEXTS, "negatives": TEXTS},
    "dates": {"day_first": FLAG, "forms": TEXTS},
    "values": {"empty": TEXTS},
    "invoices": {"pattern": TEXT, "cancellation": TEXT, "adjustment": TEXT},
    "products": {"codes": TEXT, "services": TEXT, "code_from_description": FLAG},
    "cancellations": {
        "negative_quantity": FLAG,
        "status_column": TEXTS,
        "status_values": TEXTS,
        "refund_column": TEXTS,
    },
    "orders": {"first_line_only": TEXTS},
    "events": {
        "topic": TEXT,
        "form": TEXT,
        "items": TEXT,
        "key": TEXTS,
        "version": TEXT,
        "truth": TEXT,
        "quiet_seconds": NUMBER,
        "late_seconds": NUMBER,
        "idle_seconds": NUMBER,
    },
    "personal": {"lines": TEXT, "columns": TEXTS},
    "countries": {},
}
"""Section -> key -> what it takes. The section without a name stands first; that of countries has the shop's own keys,
each a text."""


class DescriptionError(ValueError):
    """A description that cannot be gone by; the message names the file, the line, the key, and what would do."""


@dataclass(frozen=True)
class Written:
    """A description as it is written, its keys known and of their kinds."""

    path: Path
    text: str
    values: Mapping[str, Mapping[str, Any]]

    def line(self, section: str, key: str) -> int:
        """The line of a key, or of its section if it has none; 1 if neither is there."""
        lines, inside, found = self.text.splitlines(), section == "", 1
        for number, line in enumerate(lines, start=1):
            if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                inside = header[1].strip("\"'") == section
                found = number if inside else found
            elif inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return number
        return found

    def error(self, section: str, key: str, problem: str) -> DescriptionError:
        """The error to raise about a key."""
        return DescriptionError(f"{self.path}, line {self.line(section, key)}: {named(section, key)} {problem}.")

    def text_of(self, section: str, key: str, default: str) -> str:
        """A text; the default if the key is not there."""
        return str(self.values.get(section, {}).get(key, default))

    def texts(self, section: str, key: str) -> tuple[str, ...]:
        """All texts of a key; none if it is not there."""
        value = self.values.get(section, {}).get(key, [])
        return (value,) if isinstance(value, str) else tuple(value)

    def flag(self, section: str, key: str, default: bool) -> bool:
        """True or false; the default if the key is not there."""
        return bool(self.values.get(section, {}).get(key, default))

    def optional(self, section: str, key: str) -> Any:
        """The value of a key; None if it is not there."""
        return self.values.get(section, {}).get(key)


def named(section: str, key: str) -> str:
    """A key as messages call it."""
    return f"{key} in [{section}]" if section else key


def checked(path: Path, text: str, table: Mapping[str, Any]) -> Written:
    """The table of a file. Raises DescriptionError for the first key that is none, or of the wrong kind."""
    sections = {key: value for key, value in table.items() if isinstance(value, dict)}
    top = {key: value for key, value in table.items() if not isinstance(value, dict)}
    written = Written(path, text, {"": top, **sections})
    for section in sections:
        if section not in KEYS:
            raise written.error(section, section, f"is no section{_nearest(section, [name for name in KEYS if name])}")
    for section, values in written.values.items():
        for key, value in values.items():
            if section != "countries" and key not in KEYS[section]:
                elsewhere = [name for name, keys in KEYS.items() if key in keys]
                meant = f"; it belongs to [{elsewhere[0]}]" if elsewhere and elsewhere[0] else ""
                raise written.error(section, key, f"is no key{meant or _nearest(key, list(KEYS[section]))}")
            kind = KEYS[section].get(key, TEXT)
            if not _is_of(kind, value):
                raise written.error(section, key, f"is {value!r}, and takes {kind}")
    return written


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _is_of(kind: str, value: Any) -> bool:
    if kind == FLAG:
        return isinstance(value, bool)
    if kind == NUMBER:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if kind == TEXTS and isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str)
