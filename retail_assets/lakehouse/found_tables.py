"""The tables of a package: whoever adds a module with a table has added the table."""

import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType

from retail_assets.lakehouse.contracts import table_name
from retail_assets.lakehouse.results_table import ResultsTable
from retail_assets.lakehouse.table import Table


def tables_in(*packages: ModuleType, as_far_as_possible: Sequence[ModuleType] = ()) -> list[Table]:
    """The tables that the packages' modules declare, each after what it reads; otherwise as the packages are given, and
    by name. Of the packages `as_far_as_possible`, those tables that there is everything for which they read."""
    declared = [table for package in packages for table in _declared(package) if isinstance(table, Table)]
    found = {table_name(table.contract)[1]: table for table in declared}
    found |= _possible(found, as_far_as_possible)
    order: list[Table] = []

    def visit(name: str) -> None:
        table = found.get(name)
        if table is None or table in order:
            return
        for upstream, _ in table.reads.values():
            visit(table_name(upstream)[1])
        order.append(table)

    for name in found:
        visit(name)
    return order


def _possible(found: Mapping[str, Table], packages: Sequence[ModuleType]) -> dict[str, Table]:
    """Of the tables of these packages, those that read only what is found, or each other, however far back."""
    wanted = [table for package in packages for table in _declared(package) if isinstance(table, Table)]
    possible = {table_name(table.contract)[1]: table for table in wanted}

    def lacks(table: Table) -> bool:
        names = {table_name(upstream)[1] for upstream, _ in table.reads.values()}
        return not names <= found.keys() | possible.keys()

    while impossible := [name for name, table in possible.items() if lacks(table)]:
        for name in impossible:
            del possible[name]
    return possible


def results_in(package: ModuleType) -> ResultsTable:
    """The one table that the package's checks write their results to."""
    (found,) = (table for table in _declared(package) if isinstance(table, ResultsTable))
    return found


def _declared(package: ModuleType) -> list[Table | ResultsTable]:
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."))
    modules = [import_module(name) for name in names]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Table | ResultsTable) and value.contract.__module__ == module.__name__
    ]
