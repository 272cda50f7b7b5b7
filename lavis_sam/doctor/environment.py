"""Versions against the tested matrix, the plugin hook, and LAVIS itself."""

import importlib.metadata
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from lavis_sam.doctor.findings import Finding, Verdict

AREA = "environment"
# Distribution -> versions that the tests run on (requirements.txt, requirements-transformers4.txt).
TESTED: dict[str, tuple[str, ...]] = {
    "torch": ("2.15.0",),
    "torchvision": ("0.29.2",),
    "transformers": ("5.23.0", "4.57.6"),
    "salesforce-lavis": ("1.0.2",),
    "huggingface-hub": ("2.4.0", "0.36.2"),
    "numpy": ("2.4.6",),
    "omegaconf": ("2.4.0",),
    "pillow": ("13.0.0",),
    "safetensors": ("0.8.0",),
    "sentencepiece": ("0.2.3",),
}
# Below these, lavis_sam is known not to work.
OLDEST = {"torch": "2.4", "transformers": "4.57", "salesforce-lavis": "1.0.2"}
PYTHONS = ((3, 11), (3, 12), (3, 13))
INSTALL = "Install the tested set: pip install --no-deps -r requirements.txt (or `make setup`) in the source folder."
HOOK_REMEDY = (
    "Install the package into this Python (pip install --no-deps -e ., or its wheel): a .pth file in site-packages is "
    "what makes LAVIS know it. With `python -S`, or from a source folder alone, `import lavis_sam` first does the same."
)
LAVIS_SECONDS = 180

_HOOK_QUESTION = "import sys; print('lavis_sam.plugin.hook' in sys.modules)"
# Neither the garbage collector nor taking everything down at the end is needed for an answer: a third of the time.
_LIBRARIES_QUESTION = """
import gc, importlib, os, sys, warnings
gc.disable()
warnings.simplefilter("ignore")
warnings.simplefilter("always", RuntimeWarning)
try:
    import torchvision
except (ImportError, RuntimeError, OSError) as error:
    print("torchvision:", (str(error).splitlines() or [""])[0])
else:
    print("torchvision: loads")
sys.stdout.flush()
lavis = importlib.import_module("lavis")
registry = importlib.import_module("lavis.common.registry").registry
print("registered:", registry.get_model_class("blip2_vicuna_sam") is not None, lavis.__file__)
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
"""


def check_python() -> Iterator[Finding]:
    """Check whether this Python is one of the tested ones."""
    tested = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    version = sys.version_info[:2]
    verdict = Verdict.OK if version in PYTHONS else Verdict.FAILURE if version < PYTHONS[0] else Verdict.WARNING
    remedy = (
        "" if verdict is Verdict.OK else f"Make the environment with Python {tested}: make PYTHON=python3.11 setup."
    )
    yield Finding(AREA, "Python", verdict, f"{platform.python_version()} (tested: {tested})", remedy)


def check_versions() -> Iterator[Finding]:
    """Check whether every package is there, in a tested version."""
    for name, tested in TESTED.items():
        wanted = " or ".join(tested)
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(AREA, name, Verdict.FAILURE, f"not installed (tested: {wanted})", INSTALL)
            continue
        if found.partition("+")[0] in tested:
            yield Finding(AREA, name, Verdict.OK, found)
        elif name in OLDEST and _numbers(found) < _numbers(OLDEST[name]):
            yield Finding(AREA, name, Verdict.FAILURE, f"{found}, at least {OLDEST[name]} is needed", INSTALL)
        else:
            yield Finding(AREA, name, Verdict.WARNING, f"{found} (tested: {wanted})", INSTALL)


def check_hook() -> Iterator[Finding]:
    """Check whether a fresh Python knows the plugin before anything of it is imported."""
    output = _ask(_HOOK_QUESTION, seconds=60)
    if output.stdout.strip().endswith("True"):
        yield Finding(AREA, "plugin hook", Verdict.OK, "in place when Python starts")
    else:
        said = _last_line(output.stderr)
        found = "not in place when Python starts" + (f": {said}" if said else "")
        yield Finding(AREA, "plugin hook", Verdict.FAILURE, found, HOOK_REMEDY)


def check_libraries() -> Iterator[Finding]:
    """Check whether torch and torchvision fit each other, and whether LAVIS imports and knows our model.

    One fresh Python answers all of it, and in this one nothing has to be imported for it.
    """
    try:
        output = _ask(_LIBRARIES_QUESTION, seconds=LAVIS_SECONDS)
    except subprocess.TimeoutExpired:
        yield Finding(
            AREA,
            "LAVIS",
            Verdict.FAILURE,
            f"`import lavis` did not end within {LAVIS_SECONDS} s",
            "Look at what it waits for: python -X faulthandler -c 'import lavis'.",
        )
        return
    yield _torchvision(output)
    yield _lavis(output)


def _torchvision(output: subprocess.CompletedProcess[str]) -> Finding:
    check = "torch with torchvision"
    said = next((line for line in output.stdout.splitlines() if line.startswith("torchvision: ")), "")
    if said == "torchvision: loads":
        return Finding(AREA, check, Verdict.OK, "they fit each other")
    found = f"torchvision does not load: {said.removeprefix('torchvision: ') or _last_line(output.stderr)}"
    return Finding(AREA, check, Verdict.FAILURE, found, f"The two were built for different versions. {INSTALL}")


def _lavis(output: subprocess.CompletedProcess[str]) -> Finding:
    warned = [line for line in output.stderr.splitlines() if "RuntimeWarning" in line]
    if output.returncode != 0:
        return Finding(AREA, "LAVIS", Verdict.FAILURE, f"does not import: {_last_line(output.stderr)}", INSTALL)
    if "registered: True" in output.stdout and not warned:
        return Finding(AREA, "LAVIS", Verdict.OK, "imports, and knows blip2_vicuna_sam")
    found = warned[0] if warned else "imports, but does not know blip2_vicuna_sam"
    return Finding(AREA, "LAVIS", Verdict.FAILURE, found, HOOK_REMEDY)


def _ask(code: str, *, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh Python like this one, away from any source folder."""
    command: Sequence[str] = [sys.executable, "-c", code]
    with tempfile.TemporaryDirectory() as elsewhere:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=elsewhere, check=False)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the release of a version, for comparison: "2.15.0+cpu" is (2, 15, 0)."""
    return tuple(int(part) for part in re.match(r"[\d.]*\d|", version)[0].split(".") if part)  # type: ignore[index]


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
