"""How the processes of a cluster come to see `/dbfs` and `/Volumes`; see isolation.py for the mechanism."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import retail_assets
from retail_assets.databricks.rehearsal import isolation

NOT_POSSIBLE = """The rehearsal cannot show its tasks /dbfs and /Volumes: {reason}
It needs one of
  - Linux with user namespaces for everyone: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04),
    sudo sysctl kernel.unprivileged_userns_clone=1 (older Debian), docker run --security-opt seccomp=unconfined;
  - or root, which may make the two as links in the real /: none may exist there yet."""


class View:
    """Made once per workspace; `close` takes away what had to be made in the real `/`.

    Raises RuntimeError, with what to do, where neither way is open.
    """

    def __init__(self, directory: Path, binds: Mapping[str, Path]) -> None:
        self._program = directory / "isolation.py"
        self._links: list[Path] = []
        root = directory / "root"
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(isolation.__file__, self._program)
        # The checkout's packages are seen empty, so that nothing can reach them even by path.
        packages = Path(retail_assets.__file__).resolve().parent
        hidden = [package for package in (packages, packages.with_name("retail_assets_tests")) if package.is_dir()]
        hidden = [package for package in hidden if not any(bind.is_relative_to(package) for bind in binds.values())]
        self._mounts: str | None = json.dumps(
            {
                "root": str(root),
                "binds": {path: str(bind) for path, bind in binds.items()},
                "hidden": [str(package) for package in hidden],
            }
        )
        trial = subprocess.run(self.command(["/bin/true"]), capture_output=True, text=True, check=False)
        if trial.returncode != 0:
            self._mounts = None
            self._link(binds, trial.stderr.strip().rpartition("\n")[2])

    def command(self, command: Sequence[str]) -> list[str]:
        """The same command, started where the two are seen."""
        if self._mounts is None:
            return list(command)
        return [sys.executable, "-I", "-S", str(self._program), self._mounts, *command]

    def close(self) -> None:
        for link in self._links:
            link.unlink(missing_ok=True)

    def _link(self, binds: Mapping[str, Path], reason: str) -> None:
        taken = [path for path in binds if os.path.lexists(path)]
        if os.getuid() != 0 or taken:
            reason = f"{reason}; {', '.join(taken)} exists already" if taken else reason
            raise RuntimeError(NOT_POSSIBLE.format(reason=reason))
        for path, directory in binds.items():
            Path(path).symlink_to(directory)
            self._links.append(Path(path))
