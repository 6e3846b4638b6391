"""The layers of a lakehouse: what a table's group in the graph is, whose it is, and whether it names people."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One layer. `pseudonymous`: where there is a key, its tables hold pseudonyms in place of people's ids."""

    name: str
    owner: str
    pseudonymous: bool = False


BRONZE = Layer("bronze", "team:data-engineering")
SILVER = Layer("silver", "team:data-engineering")
GOLD = Layer("gold", "team:analytics", pseudonymous=True)
ML = Layer("ml", "team:data-science", pseudonymous=True)
REPORT = Layer("report", "team:analytics", pseudonymous=True)
QUALITY = Layer("quality", "team:data-engineering")

LAYERS = (BRONZE, SILVER, GOLD, ML, REPORT, QUALITY)
