"""The import hook that makes this package part of LAVIS. Every Python start of the environment pays for this file.

The installed `lavis_sam_plugin.pth` imports `lavis_sam`, which calls `install`; under `python -S`, where no `.pth`
runs, `import lavis_sam` does the same. So this file imports nothing at its top but `sys`, and acts on these names:

- `lavis`: found by whoever finds it; then run as ever, between our `compatibility` and our `registration`.
- `lavis.train`, `lavis.evaluate`: LAVIS 1.0.2 lacks them. A real file of that name in LAVIS wins; otherwise it is our
  `lavis_sam/train.py` or `lavis_sam/evaluate.py` that `python -m` runs.
- our packages that LAVIS's registry knows: they import LAVIS, which imports them to register them. Whoever begins with
  one of them gets LAVIS first, so that none is ever used half-imported.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# What `registration` imports, in this order.
REGISTERED_MODULES = (
    "lavis_sam.plugin.model",
    "lavis_sam.plugin.processors",
    "lavis_sam.plugin.builders",
    "lavis_sam.plugin.task",
    "lavis_sam.plugin.schedules",
    "lavis_sam.plugin.runner",
)
SERVED_MODULES = {"lavis.train": "train.py", "lavis.evaluate": "evaluate.py"}
REMEDY = (
    "No module named 'lavis'. lavis_sam is a plugin of LAVIS (salesforce-lavis 1.0.2), which this environment lacks. "
    "Its own pins fit no transformers with Llama, so install the tested set: "
    "pip install --no-deps -r requirements.txt (or `make setup`) in lavis_sam's source folder."
)


class LavisFinder:
    """The entry on `sys.meta_path`; see the module's docstring for what it does to which names."""

    @staticmethod
    def find_spec(
        fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Answer the import system's question who can load `fullname`; None leaves it to the other finders."""
        find = _HANDLERS.get(fullname)
        return find(fullname, path, target) if find is not None else None


def install() -> None:
    """Put the finder in front of all others, once; if LAVIS is there already, register with it now."""
    if LavisFinder in sys.meta_path:
        return
    sys.meta_path.insert(0, LavisFinder)
    lavis = sys.modules.get("lavis")
    if lavis is not None and not getattr(lavis.__spec__, "_initializing", False):
        _attempt("registration", "register")


def _find_lavis(fullname: str, path: "Sequence[str] | None", target: "ModuleType | None") -> "ModuleSpec | None":
    spec = _ask_the_others(fullname, path, target)
    if spec is None:
        # `importlib.util.find_spec("lavis")` is a question and its answer is None; an import gets the remedy.
        if sys._getframe(3).f_code.co_name == "_find_and_load_unlocked":
            raise ModuleNotFoundError(REMEDY, name=fullname)
        return None
    return _wrap(spec, _run_lavis)


def _find_served(fullname: str, path: "Sequence[str] | None", target: "ModuleType | None") -> "ModuleSpec | None":
    spec = _ask_the_others(fullname, path, target)
    if spec is not None:
        return spec
    import importlib.util
    import os

    file = os.path.join(os.path.dirname(os.path.dirname(__file__)), SERVED_MODULES[fullname])
    return importlib.util.spec_from_file_location(fullname, file)


def _find_registered(fullname: str, path: "Sequence[str] | None", target: "ModuleType | None") -> "ModuleSpec | None":
    if "lavis" in sys.modules:
        return None
    spec = _ask_the_others(fullname, path, target)
    return spec and _wrap(spec, _run_after_lavis)


_HANDLERS = {
    "lavis": _find_lavis,
    **dict.fromkeys(SERVED_MODULES, _find_served),
    **dict.fromkeys(REGISTERED_MODULES, _find_registered),
}


def _ask_the_others(fullname: str, path: "Sequence[str] | None", target: "ModuleType | None") -> "ModuleSpec | None":
    for finder in sys.meta_path:
        if finder is not LavisFinder and hasattr(finder, "find_spec"):
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
    return None


def _wrap(spec: "ModuleSpec", run: "Callable[[Callable[[ModuleType], None], ModuleType], None]") -> "ModuleSpec":
    """Let `run(execute, module)` execute the module; the loader stays what it is, so tracebacks and inspect work."""
    execute = getattr(spec.loader, "exec_module", None)
    if execute is not None:  # None: a namespace package, a folder that only looks like the real thing

        def exec_module(module: "ModuleType") -> None:
            run(execute, module)

        spec.loader.exec_module = exec_module  # type: ignore[union-attr, method-assign]
    return spec


def _run_lavis(execute: "Callable[[ModuleType], None]", module: "ModuleType") -> None:
    from lavis_sam.imports import fast_imports

    with fast_imports():
        prepared = _attempt("compatibility", "prepare")
        try:
            execute(module)
        finally:
            if prepared:
                _attempt("compatibility", "tidy")
        _attempt("registration", "register")


def _run_after_lavis(execute: "Callable[[ModuleType], None]", module: "ModuleType") -> None:
    """Import LAVIS, whose registration imports this very module; that one takes the place of `module`.

    The import system returns what stands in `sys.modules` after a module has run, so a module may be replaced this way.
    """
    name = module.__name__
    if "lavis" not in sys.modules:
        del sys.modules[name]
        __import__("lavis")
    if name not in sys.modules:  # registration failed and has warned; let the error itself come out here
        sys.modules[name] = module
    if sys.modules[name] is module:
        execute(module)


def _attempt(step: str, function: str) -> bool:
    """Run one step of the plugin. LAVIS has to import even where we are broken, so a failure becomes a warning."""
    try:
        module = __import__(f"lavis_sam.plugin.{step}", fromlist=[function])
        getattr(module, function)()
    except Exception as error:
        import warnings

        warnings.warn(
            f"lavis_sam cannot take its place in LAVIS; LAVIS is imported without it. Its {step} failed with "
            f"{type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True
