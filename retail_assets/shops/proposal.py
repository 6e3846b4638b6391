"""Proposes the description of a shop from files of its: what they show, and nothing that they do not."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retail_assets.shops import guesses, headers
from retail_assets.shops.contents import by_content, is_a_total
from retail_assets.shops.description import PRESETS, REQUIRED, built_in
from retail_assets.shops.looking import Look
from retail_assets.shops.rules import InvoiceRules
from retail_assets.shops.shop import INVOICE_COLUMNS

SERVICES = (
    "POST|POSTAGE|SHIP|SHIPPING.*|DELIVERY.*|FREIGHT.*|CARRIAGE|FEES?|.* FEES?|BANK CHARGES|DISCOUNT.*|GIFT ?WRAP.*|"
    "TIP|SURCHARGE.*|VERSAND.*|PORTO.*|FRAIS DE PORT|VOUCHER.*|GUTSCHEIN.*"
)
"""Codes that usually stand for what is no product."""

_SIGNS = {"€": "EUR", "£": "GBP", "$": "USD", "¥": "JPY", "zł": "PLN", "kr": "SEK", "Fr.": "CHF", "₹": "INR"}
_OF_COUNTRY = {"GB": "GBP", "UNITED KINGDOM": "GBP", "US": "USD", "USA": "USD", "UNITED STATES": "USD", "CH": "CHF"}


@dataclass
class Proposal:
    """Sections and keys of a description; `unsure` says of which it is a guess, and what it was guessed from."""

    sections: dict[str, dict[str, Any]]
    unsure: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class NothingToPropose(ValueError):
    """A file that lacks what an invoice line needs: the message says what, and what it has."""


def propose(looks: Sequence[Look], title: str, given: Mapping[str, str]) -> Proposal:
    """The description of the shop that these files are of; `given` are answers: `currency`, `time_zone`, `dates`
    ("day first" or "month first"). Raises NothingToPropose, saying which columns are missing."""
    first = looks[0]
    preset, columns = _columns(first)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        totals = [header for header in first.header if is_a_total(header)]
        of_lines = f" {' and '.join(totals)} are of whole lines; the price of one piece is needed." if totals else ""
        raise NothingToPropose(
            f"{first.name} shows no column for {', '.join(missing)}. Its header is: {', '.join(first.header)}."
            f"{of_lines if 'unit_price' in missing else ''} "
            "If one of these is meant, write the description by hand (docs/your_shop.md), or rename it."
        )
    values = {name: first.values(header) for name, header in columns.items()}
    proposal = Proposal({"": {"title": title}})
    _files(proposal, first, [header for header in first.header if header not in columns.values()])
    proposal.sections["columns"] = {
        name: _spellings(name, columns, looks) for name in INVOICE_COLUMNS if name in columns
    }
    _numbers(proposal, first, values, given)
    _dates(proposal, values, given)
    _invoices(proposal, first, values, preset)
    _orders(proposal, columns, values)
    _countries(proposal, values)
    for name in ("customer_id", "country"):
        if name not in columns:
            stands = (
                'set one in [constants], such as country = "Germany"' if name == "country" else "none will be known"
            )
            proposal.notes.append(f"No column looks like {name}: {stands}.")
    return proposal


def _columns(look: Look) -> tuple[InvoiceRules | None, dict[str, str]]:
    """The rules of the preset that the header is of, if it is of one; and the header of each column that was found."""
    for name in PRESETS[1:]:
        preset = built_in(name)
        found = dict(zip(preset.layout.columns_of(look.header), look.header, strict=True))
        if all(column in found for column in REQUIRED) and any(look.header.count(h) for h in _distinctive(preset)):
            return preset.rules, {column: header for column, header in found.items() if column}
    columns: dict[str, str] = {}
    for header in look.header:
        column = headers.column_of(header)
        if column and (column not in columns or headers.rank(header) < headers.rank(columns[column])):
            columns[column] = header
    return None, by_content(look, columns)


def _distinctive(preset: Any) -> list[str]:
    """Headers that only this system writes."""
    texts = [text for names in preset.layout.columns.values() for text in names]
    return [text for text in texts if headers.letters(text) in _DISTINCTIVE]


_DISTINCTIVE = {"lineitemquantity", "itemsku", "itemquantity", "incrementid", "orderincrementid", "qtyordered"}


def _spellings(column: str, columns: Mapping[str, str], looks: Sequence[Look]) -> str | list[str]:
    """The header of a column, and other spellings of it in other files."""
    own = [columns[column]]
    for look in looks[1:]:
        if columns[column] not in look.header:
            own += [header for header in look.header if headers.column_of(header) == column][:1]
    own = list(dict.fromkeys(own))
    return own[0] if len(own) == 1 else own


def _files(proposal: Proposal, look: Look, others: list[str]) -> None:
    files: dict[str, Any] = {}
    if look.encoding not in ("utf-8", "utf-16"):  # both are told by the file itself
        files["encoding"] = look.encoding
    if look.delimiter not in (None, ","):
        files["delimiter"] = look.delimiter
    if look.quote != '"':
        files["quote"] = look.quote
    if others:
        files["other_columns"] = others
    if files:
        proposal.sections["files"] = files


def _numbers(proposal: Proposal, look: Look, values: Mapping[str, list[str]], given: Mapping[str, str]) -> None:
    found = guesses.numbers([*values["unit_price"], *values["quantity"]], look.delimiter == ";")
    said = {"decimal": found.decimal, "thousands": found.thousands, "currency_signs": list(found.currencies)}
    said |= {"negatives": list(found.negatives)}
    usual = {"decimal": ".", "thousands": "", "currency_signs": [], "negatives": []}
    if numbers := {key: value for key, value in said.items() if value != usual[key]}:
        proposal.sections["numbers"] = numbers
    column = headers.first_of(look.header, headers.CURRENCY)
    written = Counter(guesses.filled(look.values(column))) if column else Counter[str]()
    codes = [*written, *found.currencies]
    told = next((code.upper() for code in codes if re.fullmatch("[A-Za-z]{3}", code)), None)
    told = told or next((_SIGNS[sign] for sign in codes if sign in _SIGNS), None)
    if len(written) > 1:
        proposal.notes.append(f"{column} names several currencies ({', '.join(written)}): amounts are not converted.")
    countries = [name for name, _ in Counter(map(str.upper, guesses.filled(values.get("country", [])))).most_common()]
    guess = next((_OF_COUNTRY[name] for name in countries if name in _OF_COUNTRY), "EUR")
    proposal.sections[""]["currency"] = given.get("currency") or told or guess
    if not told and "currency" not in given:
        proposal.unsure["", "currency"] = "no file says it"


def _dates(proposal: Proposal, values: Mapping[str, list[str]], given: Mapping[str, str]) -> None:
    found = guesses.dates(values["invoice_ts"])
    dates: dict[str, Any] = {}
    if found.day_first is not None:
        dates["day_first"] = given["dates"] == "day first" if "dates" in given else found.day_first
    if found.forms:
        dates["forms"] = list(found.forms)
    if dates:
        proposal.sections["dates"] = dates
    if found.unread is not None:
        proposal.notes.append(
            f"Dates such as {found.unread!r} cannot be read. Days and times in numbers, or with English names of "
            "months, can: export them so, or say their form in [dates] (docs/your_shop.md)."
        )
    if not found.sure and "dates" not in given:
        key = "day_first" if found.day_first is not None else "forms"
        proposal.unsure["dates", key] = "no day is beyond the 12th, so the order of day and month is guessed"
    zone = guesses.time_zone(found.offsets, guesses.filled(values.get("country", [])))
    proposal.sections[""]["time_zone"] = given.get("time_zone") or zone or "UTC"
    if zone is None and "time_zone" not in given:
        proposal.unsure["", "time_zone"] = "no known zone has the offsets of the time stamps"
    elif found.offsets and "time_zone" not in given:
        proposal.unsure["", "time_zone"] = "by the offsets of the time stamps"


def _invoices(proposal: Proposal, look: Look, values: Mapping[str, list[str]], preset: InvoiceRules | None) -> None:
    numbers = [text.upper() for text in guesses.filled(values["invoice_no"])]
    codes = [text.upper() for text in guesses.filled(values["stock_code"])]
    published = built_in("online_retail").rules
    of_published = sum(re.fullmatch(published.invoice_no, number) is not None for number in numbers)
    products = sum(re.fullmatch(published.product_code, code) is not None for code in codes)
    signed = [
        (number.upper(), guesses.is_negative(text))
        for number, text in zip(values["invoice_no"], values["quantity"], strict=True)
    ]
    cancelling = _cancelling(signed)
    if of_published >= 0.95 * len(numbers) and products >= 0.8 * len(codes):
        sections = proposal.sections
        sections["invoices"] = {"pattern": published.invoice_no, "cancellation": "C.*", "adjustment": "[A-Z].*"}
        sections["products"] = {"codes": published.product_code}
        only_cancelled = any(number.startswith("C") and negative for number, negative in signed)
        sections["cancellations"] = {"negative_quantity": not only_cancelled}
        return
    proposal.sections["invoices"] = {"pattern": preset.invoice_no if preset else guesses.pattern(numbers)}
    if cancelling:
        proposal.sections["invoices"]["cancellation"] = cancelling
    proposal.sections["products"] = {"codes": ".+", "services": SERVICES}
    if len(codes) < len(values["stock_code"]) and "description" in values:
        proposal.sections["products"]["code_from_description"] = True
    cancellations: dict[str, Any] = {"negative_quantity": not cancelling}
    status = headers.first_of(look.header, headers.STATUS)
    if status and (cancelled := _cancelled(look.values(status), preset)):
        cancellations |= {"status_column": status, "status_values": cancelled}
    if refunds := headers.first_of(look.header, headers.REFUNDS):
        cancellations["refund_column"] = refunds
        if "status_values" in cancellations:  # what was refunded is not taken back twice
            kept = [value for value in cancellations["status_values"] if "refund" not in value.lower()]
            cancellations = (
                {**cancellations, "status_values": kept}
                if kept
                else {key: value for key, value in cancellations.items() if not key.startswith("status")}
            )
    proposal.sections["cancellations"] = cancellations


def _cancelling(signed: Sequence[tuple[str, bool]]) -> str | None:
    """The pattern of invoices that cancel: letters that numbers of negative lines begin with, and of no others."""
    negative = [number for number, is_negative in signed if is_negative]
    starts = Counter(match[0] for number in negative if (match := re.match("[A-Z]+", number)))
    for letters, count in starts.most_common(1):
        others = any(number.startswith(letters) for number, is_negative in signed if not is_negative)
        if count >= 0.9 * len(negative) and not others:
            return f"{letters}.*"
    return None


def _cancelled(texts: Sequence[str], preset: InvoiceRules | None) -> list[str]:
    """The values of a column of states that mean that nothing was sold: those that are there, and those of the system
    that the files are of."""
    usual = {headers.letters(word) for word in headers.CANCELLED}
    here = sorted({text.strip().lower() for text in texts if headers.letters(text) in usual})
    return list(dict.fromkeys([*here, *(preset.cancelled_values if preset else ())]))


def _orders(proposal: Proposal, columns: Mapping[str, str], values: Mapping[str, list[str]]) -> None:
    """Columns that the first line of every order fills, and most others leave empty."""
    own = [text.strip() for text in values["invoice_no"]]
    numbers: list[str] = []
    for number in own:
        numbers.append(number or (numbers[-1] if numbers else ""))
    first = [number != before for number, before in zip(numbers, ["", *numbers], strict=False)]
    found = ["invoice_no"] if own[0] and not all(own) else []
    for name in ("invoice_ts", "customer_id", "country"):
        if name in columns:
            texts = [text.strip() for text in values[name]]
            empty = [not text for text, is_first in zip(texts, first, strict=True) if not is_first]
            heads = [bool(text) for text, is_first in zip(texts, first, strict=True) if is_first]
            # A customer who is not known has none on any line: heads may lack some, lines below must lack nearly all.
            if empty and sum(empty) >= 0.9 * len(empty) and sum(heads) >= 0.5 * len(heads):
                found.append(name)
    if found:
        proposal.sections["orders"] = {"first_line_only": found}


def _countries(proposal: Proposal, values: Mapping[str, list[str]]) -> None:
    """One spelling for each country that is written in several: that seen the most."""
    spellings: dict[str, Counter[str]] = {}
    for text in guesses.filled(values.get("country", [])):
        spellings.setdefault(text.upper(), Counter())[text] += 1
    several = {folded: counts.most_common(1)[0][0] for folded, counts in spellings.items() if len(counts) > 1}
    if several:
        proposal.sections["countries"] = several
