"""A Dagster home belongs to one lakehouse and to one landing zone.

What was made is told by the home's event log. With another lakehouse all of it would be missing, with another landing
zone every day would have lost its drops and be made anew without a row. So the home keeps which they are, and a
lakehouse in a directory has a mark by which it is known wherever it is moved to.
"""

import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster import DagsterInstance

from retail_assets.settings import Settings

RECORD = "retail.json"
"""In a Dagster home: which lakehouse and which landing zone it belongs to."""

MARK = ".retail.json"
"""In a lakehouse: what it is known by, and the Dagster home that was at work on it last."""


class NotItsOwn(Exception):
    """A lakehouse or a landing zone that is not the Dagster home's. The message names both and says what to do."""


@dataclass(frozen=True)
class Places:
    """Where the work of a Dagster home lies.

    `lakehouse` as people are told of it; `tables`, the root under which the tables' logs can be read from here, None
    where they are in a catalog; `directory`, the lakehouse where it is a directory of this machine; `landing`, the root
    of the landing zone. `missing_drops` tells the drops that were ingested and do not lie there; without it the landing
    zone is not looked at.
    """

    lakehouse: str
    tables: str | None
    directory: Path | None
    landing: str
    missing_drops: Callable[[], Sequence[str]] | None = None

    @staticmethod
    def of(settings: Settings) -> "Places":
        """As the environment states them."""
        if settings.catalog:
            return Places(f"catalog {settings.catalog}", None, None, settings.landing)
        local = "://" not in settings.lakehouse
        directory = Path(os.path.realpath(settings.lakehouse)) if local else None
        return Places(str(directory or settings.lakehouse), settings.lakehouse, directory, settings.landing)


NOWHERE = Places("nowhere", None, None, "")
"""Of a graph that stores nothing."""


def home_of(instance: DagsterInstance) -> Path | None:
    """The directory of the Dagster home; None for an instance that lives in memory."""
    return Path(os.path.realpath(instance.root_directory)) if instance.is_persistent else None


def mismatch(instance: DagsterInstance, places: Places) -> str | None:
    """Why the lakehouse is not the home's; None if it is, or if the home has none yet."""
    home = home_of(instance)
    known = _read(home / RECORD) if home else {}
    if home is None or not known or places == NOWHERE:
        return None
    mark = _mark(places).get("id")
    same_place, same_mark = known["lakehouse"] == places.lakehouse, mark == known["id"]
    if same_mark or (same_place and mark is None):
        return None
    there = "another lakehouse" if mark else "no lakehouse of it"
    return (
        f"This Dagster home, {home}, has made the lakehouse at {known['lakehouse']}, and at {places.lakehouse} there "
        f"is {there}. Nothing was changed. To go on with its own, set RETAIL_LAKEHOUSE to where that is now; if it "
        "was moved, whole, it is known there. For another lakehouse take another home: set DAGSTER_HOME as well. To "
        f"begin anew with this one, remove {home / RECORD}: what is not there is then made again."
    )


def unattended(instance: DagsterInstance, places: Places) -> str | None:
    """Why nothing should be made while nobody looks on: the lakehouse is not the home's, or is not there at all, as
    when its disk is not mounted."""
    home, problem = home_of(instance), mismatch(instance, places)
    if problem or home is None or not places.directory or not _read(home / RECORD) or _mark(places):
        return problem
    return (
        f"The lakehouse at {places.lakehouse} is not there, or nothing that this Dagster home, {home}, has made in it. "
        "Put it back, or set RETAIL_LAKEHOUSE to where it is now. To make all of it again: retail run."
    )


def bind(instance: DagsterInstance, places: Places) -> list[str]:
    """Binds the home to these places, and returns what people should know of it.

    Raises NotItsOwn, having changed nothing, for another lakehouse, and for another landing zone where some of the
    ingested drops are missing.
    """
    home, problem = home_of(instance), mismatch(instance, places)
    if problem:
        raise NotItsOwn(problem)
    if home is None or places == NOWHERE:
        return []
    known, mark = _read(home / RECORD), _mark(places)
    landing = places.landing if places.missing_drops else known.get("landing")
    notices = [_moved(known, places), _other_home(home, mark, places), _other_landing(home, known, places)]
    ours = {"lakehouse": places.lakehouse, "id": known.get("id") or mark.get("id") or uuid.uuid4().hex}
    _write(home / RECORD, {**ours, **({"landing": landing} if landing else {})})
    if places.directory:
        places.directory.mkdir(parents=True, exist_ok=True)
        _write(places.directory / MARK, {"id": ours["id"], "home": str(home)})
    return [notice for notice in notices if notice]


def _moved(known: Mapping[str, str], places: Places) -> str | None:
    if not known or known["lakehouse"] == places.lakehouse:
        return None
    return f"The lakehouse was moved from {known['lakehouse']} to {places.lakehouse}: the work goes on there."


def _other_home(home: Path, mark: Mapping[str, str], places: Places) -> str | None:
    other = mark.get("home", str(home))
    if other == str(home) or not Path(other).is_dir():
        return None
    return (
        f"The lakehouse at {places.lakehouse} was last worked on from another Dagster home, {other}. What that has "
        f"made is not known here, and is made again. To go on with it, set DAGSTER_HOME={other}."
    )


def _other_landing(home: Path, known: Mapping[str, str], places: Places) -> str | None:
    before = known.get("landing", places.landing)
    if places.missing_drops is None or before == places.landing:
        return None
    missing = places.missing_drops()
    if not missing:
        return f"The landing zone was moved from {before} to {places.landing}: every drop that was ingested lies there."
    raise NotItsOwn(
        f"This Dagster home, {home}, has ingested drops of the landing zone {before}, and {len(missing):,} of them do "
        f"not lie in {places.landing}, such as {missing[0]}: their days would be emptied. Nothing was changed. Set "
        f"RETAIL_LANDING={before}, or bring the drops along; for other data take another home and another lakehouse: "
        f"DAGSTER_HOME and RETAIL_LAKEHOUSE. If these days are to be emptied, remove {home / RECORD}."
    )


def _mark(places: Places) -> dict[str, str]:
    return _read(places.directory / MARK) if places.directory else {}


def _read(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise NotItsOwn(f"{path} cannot be read ({problem}). Remove it: it is written anew.") from problem


def _write(path: Path, content: Mapping[str, str]) -> None:
    if _read(path) == content:
        return
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(json.dumps(content) + "\n", encoding="utf-8")
    unfinished.replace(path)
