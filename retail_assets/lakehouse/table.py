"""@table: from a contract and a function that builds the rows to a partitioned Dagster asset with its checks.

A step builds the rows of its partitions, judges them (`judging`), publishes the partitions that pass, and reports one
check evaluation per check and partition, current with the materialization it belongs to. Partitions that fail a
blocking check are not published, and the step fails, saying which and why; what depends on them is skipped.
"""

import inspect
import re
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetIn,
    AssetKey,
    AssetMaterialization,
    AssetsDefinition,
    BackfillPolicy,
    DagsterEvent,
    DagsterEventType,
    Failure,
    MetadataValue,
    Output,
    PartitionMapping,
    TimeWindowPartitionsDefinition,
    asset,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from pyspark.errors import PythonException
from pyspark.sql import DataFrame

from retail_assets.lakehouse.asset_metadata import asset_key, column_lineage, definition_metadata, layout, pool_of
from retail_assets.lakehouse.checks import Audit, TableCheck, Verdict, contract_check
from retail_assets.lakehouse.content import CONTENT_HASH
from retail_assets.lakehouse.contracts import (
    Contract,
    Elsewhere,
    conform,
    of_source,
    partition_column,
    rules,
    table_name,
    unique_key,
    written_schema,
)
from retail_assets.lakehouse.dagster_internals import SharedMetadata, add_metadata_of_partitions, recorded
from retail_assets.lakehouse.delta_tables import Commit
from retail_assets.lakehouse.interrupts import interrupts_kept
from retail_assets.lakehouse.io_manager import DATA_VERSION_TAG, OPTIONAL, Publication, commit_metadata
from retail_assets.lakehouse.judging import Judged, judge
from retail_assets.lakehouse.layers import Layer
from retail_assets.lakehouse.results import keep_results, result_rows
from retail_assets.lakehouse.retries import ONE_MORE_TRY, verdicts_kept
from retail_assets.partitions.keys import PartitionWindow

Reads = Mapping[str, tuple[type[Contract], PartitionMapping]]
"""Parameter name -> the table it is read from, and which of its partitions."""

HISTORY = "history_of"
"""Definition metadata: the tables of which earlier partitions are read as far as they were made."""

NEWEST = "newest_partition"
"""In the metadata of an evaluation of no partition: whose verdict it says again."""

DUE = "due_by_itself"
"""Definition metadata of a table not all of whose partitions are made without being asked for: which are (see
`partitions.cadence.NEWEST`)."""

REFUSED = "refused_partitions"
"""In the metadata of a step's failure: how many partitions failed a blocking check. Their evaluations tell more."""


@dataclass(frozen=True)
class Built:
    """What a table function may return instead of a bare frame: rows, with more to show and to judge.

    `findings` are handed to the checks; `metadata` is shown per partition key in the UI. `provenance` says, of each
    partition key, what its rows were made from; it is written into the table's own log by the commit that writes them.
    """

    frame: DataFrame
    findings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    provenance: Callable[[Judged], Mapping[str, Any]] | None = None


class Owner(Protocol):
    """A source, as far as a table's machinery needs to know it; the table's own functions know more of theirs."""

    @property
    def name(self) -> str:
        """What its tables are called by."""

    @property
    def currency(self) -> str | None:
        """What its money is in, where all of it is in one."""

    @property
    def elsewhere(self) -> Elsewhere:
        """What it reads of other sources' tables."""


def terms_of(owner: Owner | None) -> str | None:
    """Under which a source's data may be used, where it says so."""
    return getattr(owner, "terms", None)


@dataclass(frozen=True)
class Table:
    """A table as its module declares it, of whatever source has such a table; `of` makes it one source's, and `asset`
    the Dagster asset once the calendar is known."""

    contract: type[Contract]
    cadence: Callable[[Any], TimeWindowPartitionsDefinition]
    build: Callable[..., DataFrame | Built]
    layer: Layer
    reads: Reads
    checks: list[TableCheck]
    kinds: frozenset[str]
    history: frozenset[str] = frozenset()
    due: tuple[str, ...] = ()
    source: Owner | None = None

    def of(self, source: Owner) -> Self:
        """The table as this source has it, and the tables it reads; those of another source stay so."""

        def own(contract: type[Contract]) -> type[Contract]:
            return of_source(contract, source.name, source.currency, source.elsewhere)

        reads = {name: (own(upstream), mapping) for name, (upstream, mapping) in self.reads.items()}
        return replace(self, contract=own(self.contract), reads=reads, source=source)

    @property
    def key(self) -> AssetKey:
        """The asset key."""
        return asset_key(self.contract)

    def _history(self) -> dict[str, Any]:
        kept = self.history | self._of_others()
        keys = [asset_key(self.reads[name][0]).to_user_string() for name in sorted(kept)]
        return {HISTORY: keys} if keys else {}

    def _told(self) -> dict[str, Any]:
        """What the planner and people are told of it beside its contract."""
        return self._history() | self._terms() | ({DUE: list(self.due)} if self.due else {})

    def _terms(self) -> dict[str, Any]:
        """Under which its data may be used, where that must be told."""
        terms = terms_of(self.source)
        return {"terms": terms} if terms else {}

    def _of_others(self) -> set[str]:
        """What it reads of other sources, where these are at work."""
        return {name for name, (upstream, _) in self.reads.items() if asset_key(upstream).path[0] != self.key.path[0]}

    def asset(
        self, calendar: Any, results: type[Contract] | None = None, others: Container[AssetKey] = ()
    ) -> AssetsDefinition:
        """The asset, partitioned by the source's calendar. `results`: the table that its checks' results go to.
        `others`: the tables of other sources that there are; what it would read besides is None."""
        partitions, parameters = self.cadence(calendar), set(inspect.signature(self.build).parameters)
        optional = self._of_others()
        absent = {name for name in optional if asset_key(self.reads[name][0]) not in others}
        resources = parameters - set(self.reads) - {"window", "context", "source"}

        @asset(
            key=self.key,
            description=inspect.getdoc(self.contract),
            group_name=self.layer.name,
            kinds=set(self.kinds),
            owners=[self.layer.owner],
            partitions_def=partitions,
            backfill_policy=BackfillPolicy.single_run(),
            ins={
                name: AssetIn(key=asset_key(upstream), partition_mapping=mapping, metadata={OPTIONAL: name in optional})
                for name, (upstream, mapping) in self.reads.items()
                if name not in absent
            },
            check_specs=[
                AssetCheckSpec(
                    check.name,
                    asset=self.key,
                    description=check.promise,
                    blocking=check.blocking,
                    # Dagster shows a partitioned check as failed as long as any partition fails it, however long ago.
                    # Of what warns, people are to see how it stands now (docs/quality.md).
                    partitions_def=partitions if check.blocking else None,
                )
                for check in self.checks
            ],
            required_resource_keys=resources | {"io_manager", "step_launcher"},
            metadata=definition_metadata(self.contract, self.build) | self._told(),
            pool=pool_of(self.key),
            retry_policy=ONE_MORE_TRY,
        )
        def step(context: AssetExecutionContext, **inputs: DataFrame) -> Iterator[Any]:
            window = PartitionWindow(list(context.partition_keys))
            known = {"window": window, "context": context, "source": self.source, **dict.fromkeys(absent), **inputs}
            given = {name: known[name] if name in known else getattr(context.resources, name) for name in parameters}
            from retail_assets.lakehouse.gathered_events import (
                stored_together,
            )  # not while definitions load: sqlalchemy

            # A range makes thousands of events at once; they are written in a few transactions.
            with stored_together(context.instance), verdicts_kept(), interrupts_kept():
                yield from _materialize(context, self, self.build(**given), inputs, window, results)

        return step


def table(
    contract: type[Contract],
    cadence: Callable[[Any], TimeWindowPartitionsDefinition],
    *,
    layer: Layer,
    reads: Reads | None = None,
    checks: Sequence[TableCheck] = (),
    kinds: Iterable[str] = (),
    history: Iterable[str] = (),
    due: Iterable[str] = (),
) -> Callable[[Callable[..., DataFrame | Built]], Table]:
    """Makes a table of a function that builds its rows.

    The function's parameters are the tables it reads (as DataFrames), optionally `window` (a PartitionWindow), `source`
    (whose table it is) and `context` (Dagster's), and resources by name; tables read for a check only need not be
    parameters. Its rows must belong to the window's partitions. The contract's own check comes before `checks`. Of the
    tables in `history`, and of those of other sources, earlier partitions are read as far as they were made: none is
    made for this table's sake, none that failed holds it up. A table of a source that is not at work is None. `due`: by
    which rules a partition is made without being asked for; without one, all are.
    """
    own = contract_check(contract.__name__, rules(contract), keyed=bool(unique_key(contract)))

    def decorate(build: Callable[..., DataFrame | Built]) -> Table:
        return Table(
            contract,
            cadence,
            build,
            layer,
            reads or {},
            [own, *checks],
            frozenset({"pyspark", "delta", *kinds}),
            frozenset(history),
            tuple(due),
        )

    return decorate


def _materialize(
    context: AssetExecutionContext,
    table: Table,
    result: DataFrame | Built,
    inputs: Mapping[str, DataFrame],
    window: PartitionWindow,
    results: type[Contract] | None,
) -> Iterator[Any]:
    contract, checks = table.contract, table.checks
    built = result if isinstance(result, Built) else Built(result)
    manager, keys, columns = context.resources.io_manager, window.keys, written_schema(contract)
    rows_made = conform(built.frame, contract)
    with (
        _own_errors_told(contract),
        manager.staged(table_name(contract), layout(contract), rows_made, keys, columns) as staged,
    ):
        audit = Audit(staged.frame, inputs, keys, partition_column(contract), built.findings, table.source)
        judged = judge(audit, contract, checks)
        verdicts, refused = judged.verdicts, judged.refused
        shown: dict[str, dict[str, Any]] = {
            key: {
                "dagster/partition_row_count": MetadataValue.int(judged.rows(key)),
                CONTENT_HASH: MetadataValue.text(judged.content(key)),
            }
            | dict(built.metadata.get(key, {}))
            for key in window.keys
        }
        published = [key for key in window.keys if key not in refused]
        provenance = built.provenance(judged) if built.provenance else {}
        if published:
            # The UI takes a table's lineage from its newest materialization; once is enough.
            shown[published[-1]]["dagster/column_lineage"] = column_lineage(contract)
        log = _ResultsLog(context, contract, results, judged)
        if refused:
            told = {key: provenance[key] for key in published if key in provenance}
            part = Publication(staged, told, log.keep, published)
            yield from _publish_part(manager, contract, part, shown)
            if not published:
                log.keep(None)
        else:
            add_metadata_of_partitions(context, shown)
            yield Output(Publication(staged, provenance, log.keep))
        yield from log.told()
    yield from _evaluations(context, asset_key(contract), checks, verdicts, set(refused))
    if refused:
        explained = _explained(contract, refused, verdicts, len(window.keys))
        raise Failure(explained, metadata={REFUSED: len(refused)}, allow_retries=False)


_OWN_ERROR = re.compile(r"^retail_assets\.[\w.]+: (.+)$", re.MULTILINE)


@contextmanager
def _own_errors_told(contract: type[Contract]) -> Iterator[None]:
    """An error of ours that a Spark worker raised says what to do; Spark wraps it in tracebacks of two languages."""
    try:
        yield
    except PythonException as error:
        own = _OWN_ERROR.findall(str(error))
        if not own:
            raise
        raise Failure(f"{'.'.join(table_name(contract))}: {own[-1]}", allow_retries=False) from error


def _publish_part(
    manager: Any, contract: type[Contract], part: Publication, shown: Mapping[str, dict[str, Any]]
) -> Iterator[AssetMaterialization]:
    """Publishes the partitions that passed, when others of the same run did not."""
    if not part.keys:
        return
    commit = part.publish()
    metadata = commit_metadata(commit, manager.tables.place(table_name(contract)))
    for key in part.keys:
        yield AssetMaterialization(
            asset_key(contract),
            partition=key,
            metadata=metadata | shown[key],
            tags={DATA_VERSION_TAG: str(commit.version)},
        )


@dataclass
class _ResultsLog:
    """The results of a step's checks on their way into their table, where there is one."""

    context: AssetExecutionContext
    contract: type[Contract]
    results: type[Contract] | None
    judged: Judged
    kept: Commit | None = None

    def keep(self, commit: Commit | None) -> None:
        """Writes them. `commit` is that of the step's own table; None if nothing was published."""
        if self.results is None:
            return
        run_id, name = self.context.run_id, ".".join(table_name(self.contract))
        version = commit.version if commit else None
        rows = result_rows(run_id, name, self.judged, version, datetime.now(tz=UTC))
        again = self.context.retry_number > 0
        self.kept = keep_results(self.context.resources.io_manager.tables, self.results, run_id, name, again, rows)

    def told(self) -> Iterator[AssetMaterialization]:
        """Tells Dagster of them."""
        if self.results is None or self.kept is None:
            return
        place = self.context.resources.io_manager.tables.place(table_name(self.results))
        yield AssetMaterialization(asset_key(self.results), metadata=commit_metadata(self.kept, place))


def _evaluations(
    context: AssetExecutionContext,
    key: AssetKey,
    checks: Sequence[TableCheck],
    verdicts: Mapping[str, Mapping[str, Verdict]],
    refused: set[str],
) -> Iterator[DagsterEvent | Output]:
    """One evaluation per check and partition, each pointing at the materialization that this step made; and of a check
    that warns one more, of no partition, which says how the newest of them stands: it is what Dagster has planned.

    That of a refused partition points at none: it is not of what readers go on seeing.
    """
    partitions = set(next(iter(verdicts.values())))
    latest = context.instance.event_log_storage.get_latest_storage_id_by_partition(
        key, DagsterEventType.ASSET_MATERIALIZATION, partitions
    )
    now = time.time()
    outputs = {spec.key.name: output for output, spec in context.assets_def.node_check_specs_by_output_name.items()}
    selected = {check_key.name for check_key in context.selected_asset_check_keys}
    shared = SharedMetadata()

    def evaluation(check: TableCheck, partition: str, verdict: Verdict, of: str | None) -> AssetCheckEvaluation:
        target = (
            AssetCheckEvaluationTargetMaterializationData(
                storage_id=latest[partition], run_id=context.run_id, timestamp=now
            )
            if partition in latest and partition not in refused
            else None
        )
        return AssetCheckEvaluation(
            asset_key=key,
            check_name=check.name,
            passed=verdict.passed,
            metadata=shared.of(check.told(verdict) | ({} if of else {NEWEST: partition})),
            target_materialization_data=target,
            severity=check.severity_of(verdict),
            blocking=check.blocking,
            partition=of,
        )

    def evaluations(check: TableCheck) -> Iterator[AssetCheckEvaluation]:
        of_check = verdicts[check.name]
        yield from (evaluation(check, key, verdict, key) for key, verdict in of_check.items())
        if not check.blocking:
            newest = max(of_check)
            yield evaluation(check, newest, of_check[newest], None)

    for check in checks:
        if check.name not in selected:
            continue
        # Dagster wants the check's own output beside evaluations that name their partition.
        yield Output(None, output_name=outputs[check.name])
        yield from recorded(context, evaluations(check))


def _explained(
    contract: type[Contract],
    refused: Mapping[str, list[str]],
    verdicts: Mapping[str, Mapping[str, Verdict]],
    total: int,
) -> str:
    lines = [
        f"{'.'.join(table_name(contract))}: {len(refused)} of {total} partitions were not published; "
        "readers keep what was there before."
    ]
    for key, names in list(refused.items())[:10]:
        for name in names:
            verdict = verdicts[name][key]
            details = ", ".join(f"{k}: {v}" for k, v in verdict.metadata.items())
            lines.append(
                f"  {key}: check {name!r} failed: {verdict.explanation}" + (f" ({details})" if details else "")
            )
    if len(refused) > 10:
        lines.append(f"  … and {len(refused) - 10} more; see the checks of the asset in the Dagster UI")
    return "\n".join(lines)
