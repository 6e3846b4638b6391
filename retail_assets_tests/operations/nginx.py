"""nginx for a test: the one that is installed, or Debian's package unpacked into a directory of its own."""

import shutil
import subprocess
from pathlib import Path

import pytest


def nginx_program(directory: Path) -> Path:
    """The program; skips the test, visibly, where there is none and Debian's package cannot be had."""
    installed = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if installed:
        return Path(installed)
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("nginx is not installed: apt-get install nginx")
    directory.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", "nginx"], cwd=directory, capture_output=True, text=True)
    packages = sorted(directory.glob("nginx_*.deb"))
    if not packages:
        pytest.skip(f"nginx is not installed, and its package cannot be had: {fetched.stderr.strip()[-200:]}")
    subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(directory / "unpacked")], check=True)
    return directory / "unpacked" / "usr" / "sbin" / "nginx"
