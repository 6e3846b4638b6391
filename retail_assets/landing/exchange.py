"""How drops are put in place and others taken away: as a whole, told beforehand, and so that it can be undone.

While it goes on, a mark (`drops.MARK`) beside the drops says what is to be put and what is to be taken; nobody reads
drops meanwhile. What is taken is kept in `.replaced/<landing>/`, with the same words beside it. `_landed.json` names
the drops that landing put in place itself, by their content: whatever else lies there is somebody else's.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from upath import UPath

from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.drops import MARK

LANDED = "_landed.json"
REPLACED = ".replaced"
RECORD = "landing.json"
_Result = TypeVar("_Result")
_PIECE = 8 * 1024 * 1024


@dataclass(frozen=True)
class Content:
    """What a drop holds. `rows` is None where they could not be counted; `own` are drops that landing made."""

    day: str
    rows: int | None
    size: int
    sha256: str
    own: bool = True


@dataclass(frozen=True)
class Exchange:
    """The drops that one landing puts in place and those that it takes away, by name. `files` are what was landed,
    `landing` is its number, `begun` the time in UTC."""

    landing: str
    begun: str
    files: tuple[str, ...]
    put: Mapping[str, Content]
    taken: Mapping[str, Content]

    @property
    def days(self) -> set[str]:
        """The days, as ISO dates, whose drops it changes."""
        return {content.day for content in (*self.put.values(), *self.taken.values())}

    @property
    def replaced(self) -> list[str]:
        """The days that had other drops before, in order."""
        return sorted({content.day for content in self.taken.values()})

    @staticmethod
    def begin(
        directory: UPath, files: tuple[str, ...], put: Mapping[str, Content], taken: Mapping[str, Content]
    ) -> "Exchange":
        """An exchange that begins now, with a number of its own in the directory."""
        now = datetime.now(tz=UTC)
        stem = number = f"{now:%Y%m%d-%H%M%S}"
        further = 1
        while (directory / REPLACED / number).exists():
            further += 1
            number = f"{stem}-{further}"
        return Exchange(number, f"{now:%Y-%m-%d %H:%M:%S} UTC", files, put, taken)

    @staticmethod
    def read(path: UPath) -> "Exchange":
        """Raises DropRefused for a file that says no such thing."""
        told = _read_json(path, "Remove it if no landing is under way, and land the files again.")
        try:
            put, taken = ({name: Content(**one) for name, one in told[which].items()} for which in ("put", "taken"))
            return Exchange(told["landing"], told["begun"], tuple(told["files"]), put, taken)
        except (LookupError, TypeError, AttributeError) as problem:
            raise DropRefused(
                str(path), f"does not say what a landing did ({problem!r})", "Remove it, and land the files again."
            ) from None


def unfinished(directory: UPath) -> Exchange | None:
    """What a landing that was killed was about to do; None if there was none. Raises DropRefused as `Exchange.read`."""
    return Exchange.read(directory / MARK) if (directory / MARK).exists() else None


def own_drops(directory: UPath) -> dict[str, Content]:
    """The drops that landing put in place, by name, the last time that it did. Raises DropRefused."""
    path = directory / LANDED
    if not path.exists():
        return {}
    told = _read_json(path, "Remove it: landing will then ask about the drops that lie there.")
    try:
        return {name: Content(**content) for name, content in told.items()}
    except (TypeError, AttributeError):
        raise DropRefused(str(path), "does not name drops", "Remove it: landing will then ask about drops.") from None


def sha256_of(path: UPath | Path) -> str:
    """Of a file's bytes, as they lie there."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def holds(path: UPath, content: Content) -> bool:
    """Whether a file is there and is this one, to the byte."""
    return path.exists() and path.stat().st_size == content.size and sha256_of(path) == content.sha256


def exchange(
    directory: UPath,
    wanted: Exchange,
    staged: Mapping[str, Path],
    unchanged: Mapping[str, Content],
    marker: str | None,
    then: Callable[[], _Result],
) -> _Result:
    """Take away, put in place (from `staged`, by name), do what comes `then`, lift the mark; what `then` returns.

    `unchanged` are drops that lie there already as landing would have made them: they are its own from now on. With a
    `marker`, each drop gets its file that says that it is complete. Raises DropRefused if the disk, or the store, does
    not do it; then all is as it was.
    """
    before = unfinished(directory)
    if before and before.taken:
        _keep_record(directory, before)
    kept = directory / REPLACED / wanted.landing
    with _undone_on_failure(directory, wanted, before):
        if wanted.taken:
            kept.mkdir(parents=True, exist_ok=True)
        write_json(directory / MARK, asdict(wanted))
        for name in wanted.taken:
            _move(directory / name, kept / name)
            if marker:
                (directory / f"{name}{marker}").unlink(missing_ok=True)
        for name in wanted.put:
            put(staged[name], directory / name)
            if marker:
                (directory / f"{name}{marker}").touch()
        _say_landed(directory, taken=wanted.taken, put={**unchanged, **wanted.put})
        result = then()
        if wanted.taken:
            _keep_record(directory, wanted)
    (directory / MARK).unlink()
    return result


def undo(directory: UPath, interrupted: Exchange) -> None:
    """Put everything back to where it was before a landing that did not come to its end. May itself be repeated."""
    kept = directory / REPLACED / interrupted.landing
    for name, content in interrupted.put.items():
        replaces = name in interrupted.taken
        if holds(directory / name, content) and (not replaces or (kept / name).exists()):
            (directory / name).unlink()
    for name in interrupted.taken:
        if (kept / name).exists():
            _move(kept / name, directory / name)
    back = {name: content for name, content in interrupted.taken.items() if content.own}
    _say_landed(directory, taken=interrupted.put, put=back)
    (directory / MARK).unlink(missing_ok=True)
    with suppress(OSError):
        remove_tree(kept)


def put(staged: Path, target: UPath) -> None:
    """By one rename, or one upload."""
    if is_local(target):
        staged.replace(target.path)
    else:
        target.fs.put_file(str(staged), target.path)


def fetched(kept: UPath, target: Path) -> Path:
    """A copy on this machine, which `put` may move."""
    if is_local(kept):
        shutil.copyfile(kept.path, target)
    else:
        kept.fs.get_file(kept.path, str(target))
    return target


def is_local(path: UPath) -> bool:
    """Whether it lies on a disk of this machine."""
    return path.protocol in ("", "file", "local")


def remove_tree(directory: UPath) -> None:
    """A directory with all that is in it; none is fine."""
    if is_local(directory):
        shutil.rmtree(directory.path, ignore_errors=True)
    elif directory.exists():
        directory.fs.rm(directory.path, recursive=True)


@contextmanager
def _undone_on_failure(directory: UPath, wanted: Exchange, before: Exchange | None) -> Iterator[None]:
    """`before` is a landing that was interrupted earlier: it is so again."""
    try:
        yield
    except (OSError, KeyboardInterrupt) as problem:
        undo(directory, wanted)
        if before:
            write_json(directory / MARK, asdict(before))
        if isinstance(problem, KeyboardInterrupt):
            raise
        raise DropRefused(
            str(directory), f"cannot take the drops ({problem})", "Mend that and land again: all is as it was."
        ) from problem


def _keep_record(directory: UPath, done: Exchange) -> None:
    """Beside what it replaced."""
    kept = directory / REPLACED / done.landing
    if kept.exists():
        write_json(kept / RECORD, asdict(done))


def _say_landed(directory: UPath, taken: Mapping[str, Content], put: Mapping[str, Content]) -> None:
    known = own_drops(directory)
    now = {name: content for name, content in known.items() if name not in taken}
    now |= {name: content for name, content in put.items() if content.own}
    if now != known:
        write_json(directory / LANDED, {name: asdict(content) for name, content in sorted(now.items())})


def _move(source: UPath, target: UPath) -> None:
    if is_local(source):
        Path(source.path).replace(target.path)
    else:
        source.fs.mv(source.path, target.path)


def write_json(path: UPath, content: Mapping[str, Any]) -> None:
    """By one rename."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content) + "\n", encoding="utf-8")
    _move(part, path)


def _read_json(path: UPath, remedy: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DropRefused(str(path), f"cannot be read ({problem})", remedy) from problem
