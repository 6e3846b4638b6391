"""Who may do what in Unity Catalog: the policy, the grants it comes to, and how they differ from those that are there.

Pure: knows neither the workspace nor Spark. The groups of tables are those of the asset graph (bronze to ml).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from retail_assets.lakehouse.layers import LAYERS
from retail_assets.settings import SettingError

VARIABLE = "RETAIL_ACCESS_POLICY"
TABLE_GROUPS = frozenset(layer.name for layer in LAYERS)
EVERYTHING = "all"


@dataclass(frozen=True)
class Access:
    """What a principal (a group, a user, a service principal) may do with the tables of a source."""

    principal: str
    reads: frozenset[str] = frozenset()
    """The groups of tables it may read."""
    everything: bool = False
    """Whether it may do everything with every table, now and later."""


DEFAULT_POLICY = (
    Access("analysts", reads=frozenset({"gold"})),
    Access("engineers", everything=True),
)


@dataclass(frozen=True, order=True)
class Securable:
    """What is granted on: `kind` is CATALOG, SCHEMA or TABLE, `name` has as many levels."""

    kind: str
    name: str


Grants = Mapping[Securable, Mapping[str, frozenset[str]]]
"""Securable -> principal -> privileges."""


@dataclass(frozen=True)
class GrantChange:
    """What is to be added to and taken from a principal's privileges on one securable."""

    securable: Securable
    principal: str
    add: frozenset[str]
    remove: frozenset[str]

    @property
    def statements(self) -> list[str]:
        """The change as SQL would say it, for people."""
        on = f"ON {self.securable.kind} {self.securable.name}"
        privileges = [(sorted(self.add), "GRANT", "TO"), (sorted(self.remove), "REVOKE", "FROM")]
        return [
            f"{verb} {', '.join(names).replace('_', ' ')} {on} {preposition} `{self.principal}`"
            for names, verb, preposition in privileges
            if names
        ]


def read_policy(value: str | None) -> tuple[Access, ...]:
    """RETAIL_ACCESS_POLICY: a JSON object, principal -> the groups of tables it may read, or "all".

    Without a value the default policy. A principal with an empty list loses what it was granted. Raises SettingError.
    """
    if not value:
        return DEFAULT_POLICY
    example = '{"analysts": ["gold"], "engineers": "all"}'
    try:
        written = json.loads(value)
    except ValueError as problem:
        raise SettingError(f"{VARIABLE}={value!r} is not JSON ({problem}). Example: {example}.") from None
    if not isinstance(written, dict) or not written:
        raise SettingError(f"{VARIABLE}={value!r} is not a JSON object of principals. Example: {example}.")
    policy = []
    for principal, allowed in written.items():
        if allowed == EVERYTHING:
            policy.append(Access(principal, everything=True))
        elif isinstance(allowed, list) and all(isinstance(name, str) and name in TABLE_GROUPS for name in allowed):
            policy.append(Access(principal, reads=frozenset(allowed)))
        else:
            raise SettingError(
                f"{VARIABLE}: {principal!r} has {allowed!r}, which is neither {EVERYTHING!r} nor a list of "
                f"{', '.join(sorted(TABLE_GROUPS))}. Example: {example}."
            )
    return tuple(policy)


def wanted_grants(policy: Iterable[Access], catalog: str, tables: Mapping[tuple[str, str], str]) -> Grants:
    """The grants that a policy comes to. `tables`: (source, table) -> its group.

    Every principal of the policy appears with every securable: what it is not to have, it has to lose.
    """
    grants: dict[Securable, dict[str, frozenset[str]]] = {}
    for access in policy:
        for securable, privileges in _grants_of(access, catalog, tables):
            grants.setdefault(securable, {})[access.principal] = frozenset(privileges)
    return grants


def _grants_of(
    access: Access, catalog: str, tables: Mapping[tuple[str, str], str]
) -> Iterator[tuple[Securable, Iterable[str]]]:
    """Each securable with the privileges that one principal is to have on it."""
    readable = {table for table, group in tables.items() if group in access.reads}
    yield Securable("CATALOG", catalog), ["USE_CATALOG"] if access.everything or access.reads else []
    for schema in sorted({source for source, _ in tables}):
        used = ["USE_SCHEMA"] if any(source == schema for source, _ in readable) else []
        yield Securable("SCHEMA", f"{catalog}.{schema}"), ["ALL_PRIVILEGES"] if access.everything else used
    for schema, table in tables:
        selected = (schema, table) in readable and not access.everything
        yield Securable("TABLE", f"{catalog}.{schema}.{table}"), ["SELECT"] if selected else []


def grant_changes(wanted: Grants, current: Grants) -> list[GrantChange]:
    """What makes `current` into `wanted`, for the principals and securables of `wanted`; others are left alone.

    On a catalog privileges are only added: it may hold more than these tables.
    """
    changes = []
    for securable, principals in sorted(wanted.items(), key=lambda item: item[0]):
        for principal, privileges in sorted(principals.items()):
            have = current.get(securable, {}).get(principal, frozenset())
            surplus = frozenset() if securable.kind == "CATALOG" else have - privileges
            if privileges - have or surplus:
                changes.append(GrantChange(securable, principal, privileges - have, surplus))
    return changes
