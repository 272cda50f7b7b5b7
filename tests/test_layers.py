"""The layers of the package: an import may only point down, nothing imports in a circle, and only `plugin` knows LAVIS.

Imports inside functions count as well; those under `if TYPE_CHECKING:` do not run and do not count.
"""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lavis_sam"
# From the ground up. The rooms of one line may import one another, as long as there is no circle.
LAYERS = (
    (
        *("errors", "files", "terminal", "progress", "locks", "distributed", "signals"),
        *("imports", "memory", "pages", "plotting", "run_layout"),
    ),
    ("config",),
    ("datasets",),
    ("models",),
    ("weights",),
    ("metrics",),
    ("evaluation",),
    ("features",),
    ("training",),
    ("baselines", "predictor", "explain", "doctor", "parity", "planning", "reports", "experiments"),
    ("serving",),
    ("demo",),
    ("synthesis",),
    ("plugin",),
    ("evaluators",),
    ("train", "evaluate", "entry", "cli"),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# `synthesis` is a building of its own: this is all that it may import beside itself.
SYNTHESIS_MAY_IMPORT = (*LAYERS[0], "config", "datasets.images", "datasets.sample", "synthesis")
# Its backends run models and ask services, and those of the evaluation do that already.
BACKENDS_MAY_IMPORT = (
    *SYNTHESIS_MAY_IMPORT,
    "baselines",
    "evaluation.model",
    "models.decoding",
    "predictor",
    "weights.packaged",
)
# `lavis_sam/__init__.py` installs the plugin's hook and hands out the predictor when it is asked for.
ROOT = "lavis_sam"


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif is_type_checking(child):
            for other in child.orelse:
                yield from statements(other)
        else:
            yield from statements(child)


@functools.cache
def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Every module of ours that `module` imports, and foreign ones by their full name."""
    found = set()
    for statement in statements(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        else:
            assert statement.level == 0, f"{module}: a relative import"
            for alias in statement.names:
                name = f"{statement.module}.{alias.name}"
                found.add(name if name in modules() else str(statement.module))
    return frozenset(found)


def room(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", sorted(modules().keys() - {ROOT}))
def test_imports_point_down(module):
    ours = [name for name in imports(module) if name.startswith(f"{ROOT}.")]
    up = [name for name in ours if LEVEL[room(name)] > LEVEL[room(module)]]
    assert not up, f"{module} imports {up}, which stand above it"


@pytest.mark.parametrize("module", sorted(name for name in modules() if name.startswith(f"{ROOT}.synthesis")))
def test_synthesis_imports_the_ground_and_images_alone(module):
    ours = [name.removeprefix(f"{ROOT}.") for name in imports(module) if name.startswith(f"{ROOT}.")]
    is_backend = module.startswith(f"{ROOT}.synthesis.backends")
    assert not [
        name for name in ours if not name.startswith(BACKENDS_MAY_IMPORT if is_backend else SYNTHESIS_MAY_IMPORT)
    ]


@pytest.mark.parametrize("module", sorted(name for name in modules() if name != ROOT and room(name) != "plugin"))
def test_only_the_plugin_imports_lavis(module):
    assert not [name for name in imports(module) if name.split(".")[0] == "lavis"]


def test_nothing_imports_in_a_circle():
    circles: list[str] = []
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        if module in above:
            circles.append(" -> ".join([*above[above.index(module) :], module]))
        elif module not in done:
            for name in sorted(imports(module) & modules().keys() - {ROOT}):
                visit(name, (*above, module))
            done.add(module)

    for module in sorted(modules().keys() - {ROOT}):
        visit(module, ())
    assert not circles, "\n".join(circles)


@pytest.mark.parametrize("name", ["predictor", "evaluation", "training", "synthesis", "baselines", "reports"])
def test_rooms_work_where_lavis_is_not_installed(name):
    """Every module of the room is imported in an environment that has no LAVIS."""
    names = sorted(module for module in modules() if module.split(".")[1:2] == [name])
    code = (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'lavis': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "import importlib\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "assert 'lavis' not in sys.modules\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
