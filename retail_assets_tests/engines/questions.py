"""All questions, by the values they are about."""

from retail_assets_tests.engines import nested, numbers, rows, texts, times
from retail_assets_tests.engines.asking import Values

VALUES = [
    found
    for module in (texts, times, numbers, nested, rows)
    for found in vars(module).values()
    if isinstance(found, Values)
]
