"""Three drops become tables: the shortest way through everything."""

from retail_assets_tests.workbench import Workbench, line

TABLES = ["raw_invoices", "quarantined_invoices", "clean_transactions", "customer_month_activity", "customer_rfm"]


def test_drops_become_clean_rows_and_rfm(workbench: Workbench):
    workbench.drop("2011-01-04", [line(), line(), line("500002", customer="", quantity=3), line("500003", quantity=-1)])
    workbench.drop("2011-01-05", [line("500004", when="2011-01-05 09:00:00", quantity=10), "ragged,line"])
    summary = workbench.run(TABLES)
    assert summary.failures == []
    clean = workbench.table("clean_transactions").orderBy("invoice_no").collect()
    assert [(row.invoice_no, row.quantity, row.landed_rows) for row in clean] == [
        ("500001", 1, 2),
        ("500002", 3, 1),
        ("500004", 10, 1),
    ]
    reasons = {tuple(row.reasons) for row in workbench.table("quarantined_invoices").collect()}
    assert reasons == {("negative_quantity",), ("malformed_line",)}
    rfm = workbench.table("customer_rfm").collect()
    assert [(row.customer_id, row.frequency, str(row.monetary), str(row.as_of_date)) for row in rfm] == [
        ("13085", 2, "28.050", "2011-01-06")
    ]
    assert workbench.run(TABLES).tables == {}
