"""The table of results as Dagster, the dictionary and governance know it: an asset that other assets' steps write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from dagster import AssetKey, AssetSpec

from retail_assets.lakehouse.asset_metadata import asset_key, definition_metadata, written_asset
from retail_assets.lakehouse.checks import TableCheck
from retail_assets.lakehouse.contracts import Contract, of_source
from retail_assets.lakehouse.layers import QUALITY, Layer
from retail_assets.lakehouse.table import Owner


@dataclass(frozen=True)
class ResultsTable:
    """A source's table of results, or another that is added to, declared in a module of its own as other tables are."""

    contract: type[Contract]
    layer: Layer = QUALITY
    checks: Sequence[TableCheck] = ()
    told: str = "written by the steps of all tables"
    """Who writes it, as the dictionary says."""

    def of(self, source: Owner) -> Self:
        """The table as this source has it."""
        return replace(self, contract=of_source(self.contract, source.name))

    @property
    def key(self) -> AssetKey:
        """The asset key."""
        return asset_key(self.contract)

    @property
    def reads(self) -> Mapping[str, Any]:
        """No table: it is told."""
        return {}

    def asset(self) -> AssetSpec:
        """The asset. It has no step of its own, and no partitions: others add to it."""
        return written_asset(self.contract, self.layer, definition_metadata(self.contract, self.contract))
