"""Throw-away virtual environments, and subprocesses in them.

An environment costs 0.1 s and nothing on the disk: it has no pip of its own, and the 6 GB of the running interpreter's
packages are either absent or reached by one path line.
"""

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# Of the running interpreter, in order: in the transformers 4.57 environment there are two.
PACKAGE_FOLDERS = [entry for entry in sys.path if Path(entry).name == "site-packages"]
_SOURCE_FILES = ("setup.py", "pyproject.toml", "LICENSE", "NOTICE")
# Set by a developer, these would change what a test sees.
_CLEARED = ("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "PYTHONSTARTUP", "VIRTUAL_ENV")


def run(command: list[str], *, cwd: Path, timeout: float = 300, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command from `cwd` with `variables` added to a clean environment; the caller looks at the result."""
    environment = {name: value for name, value in os.environ.items() if name not in _CLEARED}
    return subprocess.run(
        command, cwd=cwd, env=environment | variables, capture_output=True, text=True, timeout=timeout, check=False
    )


@dataclass(frozen=True)
class Environment:
    """A virtual environment at `path`."""

    path: Path

    @classmethod
    def create(cls, path: Path, *, with_packages: bool) -> "Environment":
        """Make one; `with_packages` shares the running interpreter's packages, but none of its `.pth` files."""
        venv.EnvBuilder(with_pip=False, symlinks=True).create(path)
        environment = cls(path)
        if with_packages:
            environment._share(environment.site_packages / "shared.pth")
        return environment

    @staticmethod
    def _share(path_file: Path) -> None:
        path_file.write_text("\n".join(PACKAGE_FOLDERS) + "\n")

    @property
    def python(self) -> str:
        return str(self.path / "bin" / "python")

    @property
    def site_packages(self) -> Path:
        return self.path / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    def run(self, *arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run this environment's Python, by default from its own folder, where no source lies about."""
        return run([self.python, *arguments], cwd=cwd or self.path, **variables)

    def output(self, *arguments: str, cwd: Path | None = None, **variables: str) -> str:
        """As `run`, for commands that must succeed and say nothing on standard error; gives standard output."""
        done = self.run(*arguments, cwd=cwd, **variables)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.strip()

    def pip(self, *arguments: str) -> None:
        """Run the running interpreter's pip and build tools for this environment, offline.

        They come last on the path (PYTHONPATH would put them first), so that pip sees this environment's own packages.
        """
        tools = self.site_packages / "zz_tools.pth"
        self._share(tools)
        try:
            done = self.run("-m", "pip", "--no-input", *arguments)
        finally:
            tools.unlink()
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, what: Path, *options: str, editable: bool = False) -> None:
        """Install a wheel, or a source folder, with further options of pip's."""
        flags = [*options, "-e"] if editable else options
        self.pip("install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", *flags, str(what))

    def files(self) -> set[str]:
        """Everything in the environment, compiled files left out."""
        names = (path.relative_to(self.path) for path in self.path.rglob("*") if path.suffix != ".pyc")
        return {str(name) for name in names if name.name != "__pycache__"}


def copy_source(destination: Path) -> Path:
    """A copy of what a build needs: builds leave files behind, and some tests break the copy."""
    shutil.copytree(REPOSITORY / "lavis_sam", destination / "lavis_sam", ignore=shutil.ignore_patterns("__pycache__"))
    for name in _SOURCE_FILES:
        shutil.copy(REPOSITORY / name, destination)
    return destination


def build_wheel(source: Path, destination: Path) -> Path:
    """The wheel of a copied source."""
    flags = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    done = run(
        [sys.executable, "-m", "pip", "--no-input", "wheel", *flags, "-w", str(destination), str(source)], cwd=source
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = destination.glob("*.whl")
    return wheel
