"""What a wheel and an editable install leave in an environment, and that nothing of it stays or costs."""

import shutil
import zipfile

import pytest

from helpers.environments import REPOSITORY, Environment, copy_source

HOOK_FILE = "lavis_sam_plugin.pth"
# One line of what a fresh interpreter has imported, and who is asked first for modules.
STATE = (
    "import sys; heavy = {'torch', 'lavis', 'transformers', 'numpy', 'omegaconf'} & set(sys.modules); "
    "print(sorted(heavy), getattr(sys.meta_path[0], '__name__', ''))"
)


@pytest.mark.parametrize("flags", [(), ("-I",), ("-E", "-s"), ("-P",)], ids=" ".join)
def test_every_start_has_the_hook_and_nothing_heavy(bare, flags):
    assert bare.output(*flags, "-c", STATE) == "[] LavisFinder"


def test_a_start_imports_three_small_modules_and_no_others(wheel, tmp_path):
    """With a wheel; an editable install pays for setuptools' own finder on top."""
    code = "import sys; print(*sys.modules)"
    environment = Environment.create(tmp_path / "environment", with_packages=False)
    (environment.site_packages / "a.pth").write_text("# Whatever reading any .pth file costs is not ours.\n")
    before = set(environment.output("-c", code).split())
    environment.install(wheel)
    added = set(environment.output("-c", code).split()) - before
    assert added == {"lavis_sam", "lavis_sam.plugin", "lavis_sam.plugin.hook"}


def test_without_site_importing_the_package_installs_the_hook(source, bare):
    assert bare.output("-S", "-c", STATE) == "[] BuiltinImporter"
    code = f"import sys; sys.path.append({str(source)!r}); import lavis_sam, lavis_sam.plugin.hook; "
    assert bare.output("-S", "-c", code + STATE) == "[] LavisFinder"


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_that_multiprocessing_starts_have_the_hook(bare, tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "def child(): print(sys.meta_path[0].__name__, flush=True)\n"
        "if __name__ == '__main__':\n"
        f"    process = multiprocessing.get_context({method!r}).Process(target=child)\n"
        "    process.start(); process.join(); sys.exit(process.exitcode)\n"
    )
    assert bare.output(str(script)) == "LavisFinder"


def test_the_hook_file_runs_after_the_one_that_says_where_an_editable_package_is(bare):
    path_files = sorted(path.name for path in bare.site_packages.glob("*.pth"))
    assert path_files[-1] == HOOK_FILE
    assert all(name.startswith("__editable__") for name in path_files[:-1])


@pytest.mark.integration
@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_the_other_modes_of_editable_install_have_the_hook(tmp_path, mode):
    environment = Environment.create(tmp_path / "environment", with_packages=False)
    source = copy_source(tmp_path / "source")  # strict mode keeps links in the source's build folder
    environment.install(source, f"--config-settings=editable_mode={mode}", editable=True)
    assert environment.output("-c", STATE) == "[] LavisFinder"


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_uninstalling_leaves_the_environment_as_it_was(request, tmp_path, kind):
    environment = Environment.create(tmp_path / "environment", with_packages=False)
    before = environment.files()
    environment.install(request.getfixturevalue("wheel" if kind == "wheel" else "source"), editable=kind == "editable")
    installed = environment.files() - before
    assert "bin/lavis-sam" in installed
    assert str(environment.site_packages.relative_to(environment.path) / HOOK_FILE) in installed

    environment.pip("uninstall", "--quiet", "--yes", "lavis_sam")
    assert environment.files() == before
    assert environment.output("-c", STATE) == "[] BuiltinImporter"


def test_damage_is_reported_and_a_deleted_source_folder_is_passed_over(tmp_path):
    source = copy_source(tmp_path / "source")
    environment = Environment.create(tmp_path / "environment", with_packages=False)
    environment.install(source, editable=True)

    (source / "lavis_sam/plugin/hook.py").unlink()
    damaged = environment.run("-c", STATE)
    assert damaged.stdout == "[] BuiltinImporter\n"
    assert "No module named 'lavis_sam.plugin.hook'" in damaged.stderr

    shutil.rmtree(source)
    assert environment.output("-c", STATE) == "[] BuiltinImporter"
    assert "No module named 'lavis_sam'" in environment.run("-c", "import lavis_sam").stderr


def test_the_wheel_holds_the_package_its_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    top = {name.split("/")[0] for name in names}
    assert top == {"lavis_sam", HOOK_FILE, next(name for name in top if name.endswith(".dist-info"))}
    packaged = {path for path in (REPOSITORY / "lavis_sam").rglob("*") if path.is_file()}
    wanted = {str(path.relative_to(REPOSITORY)) for path in packaged if path.suffix != ".pyc"}
    found = {name for name in names if name.startswith("lavis_sam/")}
    assert found == wanted, "data of a new kind: name it under package_data in setup.py"
    for name in ("py.typed", "ARCHITECTURE.md", "configs/models/blip2_vicuna_sam_tiny.yaml"):
        assert f"lavis_sam/{name}" in names
    assert {"LICENSE", "NOTICE"} <= {name.rpartition("/")[2] for name in names if ".dist-info/licenses/" in name}
