"""The tables of a package: whoever adds a module with a table has added the table."""

import pkgutil
from importlib import import_module
from types import ModuleType

from retail_assets.lakehouse.contracts import Contract
from retail_assets.lakehouse.results_table import ResultsTable
from retail_assets.lakehouse.table import Table


def tables_in(package: ModuleType) -> list[Table]:
    """The tables that the package's modules declare, each after what it reads; otherwise by name."""
    found = {table.contract: table for table in _declared(package) if isinstance(table, Table)}
    order: list[Table] = []

    def visit(contract: type[Contract]) -> None:
        table = found.get(contract)
        if table is None or table in order:
            return
        for upstream, _ in table.reads.values():
            visit(upstream)
        order.append(table)

    for contract in found:
        visit(contract)
    return order


def results_in(package: ModuleType) -> ResultsTable:
    """The one table that the package's checks write their results to."""
    (found,) = (table for table in _declared(package) if isinstance(table, ResultsTable))
    return found


def _declared(package: ModuleType) -> list[Table | ResultsTable]:
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."))
    # The one that asks is being imported.
    modules = [import_module(name) for name in names if name != f"{package.__name__}.tables"]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Table | ResultsTable) and value.contract.__module__ == module.__name__
    ]
