"""What a shop's invoice lines mean: whose a number or a code is, how a cancellation shows, what stands for what."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from retail_assets.landing.dialect import PUBLISHED, Dialect


@dataclass(frozen=True)
class InvoiceRules:
    """How landed values become invoice lines. Patterns are of whole texts in capitals, as invoice numbers and product
    codes are compared; headers are written as in the files.

    `invoice_no` is what a number looks like, `cancellation` what those of cancelled invoices do, and `adjustment` those
    of corrections that are neither; None where there are none. `negative_is_cancellation`: a line of negative quantity
    is one, whatever its number. A line is a product if its code is in `product_code` and not in `service_code`, or else
    a service. `code_from_description`: what has no code goes by its description.
    `cancelled_values`, in lower case, of one of the columns `status_columns` cancel a line, and an amount in one of
    `refund_columns` is what was paid back of its order: both are followed by lines that take it back.
    `first_line_only` are columns that only the first line of an order fills. `constants` stand in for columns that the
    files lack, or for values that are missing. `countries` are names by other spellings of them, these in capitals.
    """

    dialect: Dialect = PUBLISHED
    invoice_no: str = ".+"
    cancellation: str | None = None
    adjustment: str | None = None
    negative_is_cancellation: bool = True
    product_code: str = ".+"
    service_code: str | None = None
    code_from_description: bool = False
    status_columns: tuple[str, ...] = ()
    cancelled_values: tuple[str, ...] = ()
    refund_columns: tuple[str, ...] = ()
    first_line_only: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    countries: Mapping[str, str] = field(default_factory=dict)


def whole(pattern: str) -> str:
    """The pattern of a text that is in a pattern from its beginning to its end."""
    return rf"^({pattern})\z"
