"""Writes descriptions of shops as TOML."""

import json
from collections.abc import Mapping
from typing import Any

from retail_assets.shops.keys import KEYS
from retail_assets.shops.proposal import Proposal

_ABOUT = {
    "files": "How the files are written.",
    "columns": "Our columns, and the headers their values stand under; the first that a file has counts.",
    "numbers": "Signs within numbers, and around them.",
    "dates": "The order of day and month, or other forms of dates than ISO, in the notation of strptime.",
    "invoices": "What an invoice number looks like, in capitals, from its beginning to its end.",
    "products": "Which codes are those of products; services are postage, fees and the like.",
    "cancellations": "How a cancellation or a refund shows.",
    "orders": "Columns that only the first line of an order fills.",
    "constants": "What stands in for columns that the files lack.",
    "countries": "Spellings in capitals, and the name that is meant.",
    "values": "Words that mean that there is no value.",
}


def toml(proposal: Proposal) -> str:
    """The text of a proposal's description."""
    lines = [
        "# Proposed by `retail shop new` from what the files show. Every key: docs/your_shop.md.",
        *_pairs("", proposal.sections[""], proposal),
    ]
    for section in KEYS:
        if section and proposal.sections.get(section):
            lines += ["", f"# {_ABOUT[section]}", f"[{section}]"]
            lines += _pairs(section, proposal.sections[section], proposal)
    return "\n".join(lines) + "\n"


def line(key: str, value: Any) -> str:
    """A key and its value as a line of TOML."""
    bare = key if key.replace("_", "").isalnum() and key.isascii() else json.dumps(key, ensure_ascii=False)
    return f"{bare} = {_value(value)}"


def _pairs(section: str, values: Mapping[str, Any], proposal: Proposal) -> list[str]:
    found = []
    for key, value in values.items():
        guessed = proposal.unsure.get((section, key))
        found.append(line(key, value) + (f"  # a guess: {guessed}" if guessed else ""))
    return found


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # Spaces that are none of ASCII are not told apart by eye.
    return json.dumps(value, ensure_ascii=any(sign in value for sign in "\u00a0\u202f"))
