"""Starts a command where the cluster's file system is: `/dbfs` and `/Volumes` are directories of the workspace.

Copied to the cluster and run as a script: `isolation.py MOUNTS COMMAND…`, MOUNTS being JSON: `root` (an empty directory
to build the new root in), `binds` (path -> directory that is seen there), `hidden` (directories that are seen empty).

A mount namespace of its own gives each process that view and nobody else: the new root holds bind mounts of everything
in the real one, so nothing is made in the real `/`. Root may make one directly; others make a user namespace first.
"""

import ctypes
import json
import os
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

_c = ctypes.CDLL(None, use_errno=True)


def enter_namespace() -> None:
    """A mount namespace of this process's own. Raises OSError where the kernel or a container forbids it."""
    if os.getuid() == 0 and _c.unshare(CLONE_NEWNS) == 0:
        return
    user, group = os.getuid(), os.getgid()
    _checked(_c.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def change_root(root: Path, binds: dict[str, str], hidden: list[str]) -> None:
    """Makes `root` this process's `/`: the real one's entries, and over them `binds` and `hidden`."""
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("rehearsal", str(root), "tmpfs", 0)
    for entry in Path("/").iterdir():
        place = root / entry.name
        if f"/{entry.name}" in binds:
            continue
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
        elif entry.is_dir():
            place.mkdir()
            _mount(str(entry), str(place), None, MS_BIND | MS_REC)
    for path, directory in binds.items():
        place = root / path.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        _mount(directory, str(place), None, MS_BIND | MS_REC)
    for path in hidden:
        _mount("hidden", str(root / path.lstrip("/")), "tmpfs", 0)
    working = Path.cwd()
    os.chroot(root)
    os.chdir(working)


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    arguments = (value if value is None else value.encode() for value in (source, target, kind))
    _checked(_c.mount(*arguments, ctypes.c_ulong(flags), None), f"mount {source} on {target}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def main() -> None:
    mounts, command = json.loads(sys.argv[1]), sys.argv[2:]
    enter_namespace()
    change_root(Path(mounts["root"]), mounts["binds"], mounts["hidden"])
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
