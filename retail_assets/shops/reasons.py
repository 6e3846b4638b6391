"""Why a landed row cannot be used."""

MALFORMED_LINE = "malformed_line"
INVALID_INVOICE_NO = "invalid_invoice_no"
MISSING_STOCK_CODE = "missing_stock_code"
INVALID_QUANTITY = "invalid_quantity"
INVALID_UNIT_PRICE = "invalid_unit_price"
INVALID_INVOICE_DATE = "invalid_invoice_date"
NEGATIVE_QUANTITY = "negative_quantity"

# A million units at the highest price that DECIMAL(12,3) holds is what DECIMAL(18,3) holds of a line's total; the
# largest real quantity is 80,995.
LARGEST_QUANTITY = 1_000_000

REASONS = {
    MALFORMED_LINE: "The line is no row of the file's table: ragged, broken quotes, or undecodable",
    INVALID_INVOICE_NO: "Not as the shop's invoice numbers are written",
    MISSING_STOCK_CODE: "No stock code",
    INVALID_QUANTITY: f"Not a whole number, 0, or beyond {LARGEST_QUANTITY:,}",
    INVALID_UNIT_PRICE: "Not a number of at most three decimals, or negative",
    INVALID_INVOICE_DATE: "Not a date, or not the day of its drop",
    NEGATIVE_QUANTITY: "Negative without being a cancellation",
}
