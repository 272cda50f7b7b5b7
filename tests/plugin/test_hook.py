"""What the hook does to which imports: the real plugin among fakes for LAVIS, torch and our other modules."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.environments import run
from helpers.fake_lavis import world, write
from lavis_sam.plugin.hook import REGISTERED_MODULES


def python(folder: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A Python that has the standard library and `path` (a world, or nothing of ours), and nothing else."""
    variables = {"PYTHONPATH": str(path)} if path else {}
    return run([sys.executable, "-S", *arguments], cwd=folder, **variables)


def output(folder: Path, code: str, *flags: str) -> str:
    done = python(folder, *flags, "-c", "import lavis_sam; " + code, path=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


ALL_REGISTERED = (
    "from lavis.common.registry import registry; from lavis.models import model_zoo; "
    "from lavis.datasets.builders import dataset_zoo; "
    "print(*registry.mapping['model_name_mapping'], *dataset_zoo.dataset_zoo, model_zoo.model_zoo['ours'])"
)
REGISTERED = "theirs ours a_set m_set z_set ['vicuna7b', 'tiny']"


class TestLavisAbsent:
    def test_an_import_is_an_ordinary_error_with_our_remedy(self, bare):
        failed = bare.run("-c", "import lavis")
        assert failed.returncode == 1
        last = failed.stderr.strip().splitlines()[-1]
        assert last.startswith("ModuleNotFoundError: No module named 'lavis'.")
        assert "pip install --no-deps -r requirements.txt" in last
        assert bare.output("-c", "try: import lavis.models\nexcept ImportError as e: print(e.name)") == "lavis"

    @pytest.mark.parametrize("module", ["lavis.train", "lavis.evaluate"])
    def test_the_command_line_shows_the_remedy(self, bare, module):
        failed = bare.run("-m", module, "--cfg-path", "x.yaml")
        assert failed.returncode != 0
        assert "pip install --no-deps -r requirements.txt" in failed.stderr

    def test_a_question_is_answered_with_none(self, bare):
        assert bare.output("-c", "import importlib.util as u; print(u.find_spec('lavis'))") == "None"

    def test_other_missing_modules_are_not_our_business(self, bare):
        failed = bare.run("-c", "import lavish")
        assert failed.stderr.strip().endswith("ModuleNotFoundError: No module named 'lavish'")

    @pytest.mark.parametrize("module", REGISTERED_MODULES)
    def test_our_own_modules_that_need_it_say_so(self, tmp_path, module):
        folder = world(tmp_path)
        (folder / "lavis").rename(folder / "elsewhere")
        failed = python(folder, "-c", f"import {module}", path=folder)
        assert "ModuleNotFoundError: No module named 'lavis'. lavis_sam is a plugin" in failed.stderr

    def test_a_folder_of_that_name_is_what_it_is(self, bare, tmp_path):
        (tmp_path / "lavis").mkdir()
        code = "import lavis; print(list(lavis.__path__) == [__import__('os').path.abspath('lavis')])"
        assert bare.output("-c", code, cwd=tmp_path) == "True"


class TestLavisPresent:
    def test_lavis_finds_what_it_lacks_and_our_classes_are_registered(self, tmp_path):
        assert output(world(tmp_path), "import lavis; " + ALL_REGISTERED) == REGISTERED

    @pytest.mark.parametrize("first", [*REGISTERED_MODULES, "lavis.common.registry", "lavis.models"])
    def test_whatever_is_imported_first(self, tmp_path, first):
        """Our modules import LAVIS, and LAVIS's registration imports them: whoever begins, each runs once and whole."""
        code = f"import {first} as first, sys; same = first is sys.modules[{first!r}]; " + ALL_REGISTERED
        assert output(world(tmp_path), code + "; print(same)") == REGISTERED + "\nTrue"

    def test_the_garbage_collector_waits_until_lavis_is_there(self, tmp_path):
        folder = world(tmp_path)
        path = folder / "lavis/models/__init__.py"
        path.write_text("import gc; during = gc.isenabled()\n" + path.read_text())
        code = "import gc, lavis.models; print(lavis.models.during, gc.isenabled())"
        assert output(folder, code) == "False True"

    def test_the_parents_know_their_children(self, tmp_path):
        code = "import lavis_sam.plugin.task, sys; print(lavis_sam.plugin.task is sys.modules['lavis_sam.plugin.task'])"
        assert output(world(tmp_path), code) == "True"

    def test_installing_twice_is_installing_once(self, tmp_path):
        code = "import lavis_sam.plugin.hook as h; h.install(); import sys; print(sys.meta_path.count(h.LavisFinder))"
        assert output(world(tmp_path), code) == "1"

    def test_lavis_imported_before_us_is_registered_with_at_once(self, tmp_path):
        folder = world(tmp_path)
        # An old transformers, where LAVIS needs no help.
        easy = {"lavis/__init__.py": "from lavis.models import *"}
        code = "import lavis, lavis_sam; " + ALL_REGISTERED
        done = python(folder, "-c", code, path=write(folder, easy))
        assert (done.stdout.strip(), done.stderr) == (REGISTERED, "")

    def test_the_loader_stays_python_s_own(self, tmp_path):
        code = (
            "import lavis, inspect; print(type(lavis.__loader__).__name__, 'import spacy' in inspect.getsource(lavis))"
        )
        assert output(world(tmp_path), code) == "SourceFileLoader True"

    def test_an_error_in_lavis_itself_comes_out_as_it_is(self, tmp_path):
        folder = write(world(tmp_path), {"lavis/__init__.py": "import spacy\nraise OSError('disk')"})
        failed = python(folder, "-c", "import lavis_sam, lavis", path=folder)
        assert failed.stderr.strip().endswith("OSError: disk")
        assert "RuntimeWarning" not in failed.stderr
        assert f'File "{folder}/lavis/__init__.py", line 2' in failed.stderr

    def test_the_placeholders_are_gone_afterwards(self, tmp_path):
        code = "import lavis, sys; print('spacy' in sys.modules, 'decord' in sys.modules, lavis.spacy.__name__)"
        assert output(world(tmp_path), code) == "False False spacy"

    def test_an_installed_spacy_is_used(self, tmp_path):
        folder = write(world(tmp_path), {"spacy.py": "real = True"})
        assert output(folder, "import lavis, spacy; print(lavis.spacy is spacy, spacy.real)") == "True True"

    def test_a_stand_in_that_is_used_names_the_package_to_install(self, tmp_path):
        code = "import lavis\ntry: lavis.spacy.load('en')\nexcept ModuleNotFoundError as e: print(e.name, '|', e)"
        name, message = output(world(tmp_path), code).split(" | ")
        assert name == "spacy"
        assert "img2prompt_vqa" in message
        assert "pip install spacy" in message


class TestServedModules:
    def test_ours_are_served_where_lavis_has_none(self, bare, tmp_path):
        write(tmp_path, {"lavis/__init__.py": ""})
        code = (
            "import importlib.util as u, lavis_sam; folder = lavis_sam.__path__[0]; "
            "print(*(u.find_spec('lavis.' + n).origin == f'{folder}/{n}.py' for n in ('train', 'evaluate')))"
        )
        served = bare.run("-W", "ignore", "-c", code, PYTHONPATH=str(tmp_path))
        assert (served.stdout, served.stderr) == ("True True\n", "")

    def test_python_m_runs_ours_as_the_main_program(self, tmp_path):
        folder = world(tmp_path)
        write(folder, {"lavis_sam/train.py": "import sys\nprint(__name__, __spec__.name, *sys.argv[1:])"})
        write(folder, {"run.py": "import lavis_sam, runpy, sys\nrunpy.run_module(sys.argv.pop(1), alter_sys=True,"
                                 " run_name='__main__')"})  # fmt: skip
        ran = python(folder, "run.py", "lavis.train", "--cfg-path", "x.yaml", path=folder)
        assert (ran.stdout, ran.stderr) == ("__main__ lavis.train --cfg-path x.yaml\n", "")

    @pytest.mark.parametrize("name", ["train", "evaluate"])
    def test_a_real_file_of_lavis_wins(self, bare, tmp_path, name):
        write(tmp_path, {"lavis/__init__.py": "", f"lavis/{name}.py": "print('LAVIS itself')"})
        ran = bare.run("-W", "ignore", "-m", f"lavis.{name}", PYTHONPATH=str(tmp_path))
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "LAVIS itself\n", "")

    def test_other_missing_modules_of_lavis_stay_missing(self, tmp_path):
        folder = world(tmp_path)
        failed = python(folder, "-c", "import lavis_sam, lavis.training", path=folder)
        assert failed.stderr.strip().endswith("ModuleNotFoundError: No module named 'lavis.training'")


class TestBrokenPlugin:
    def broken(self, folder: Path, code: str = "import lavis; print('LAVIS works')") -> tuple[str, str]:
        done = python(folder, "-c", "import lavis_sam; " + code, path=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), done.stderr

    @pytest.mark.parametrize("step", ["registration", "compatibility"])
    def test_a_step_that_fails_is_a_warning_and_lavis_still_imports(self, tmp_path, step):
        folder = write(world(tmp_path), {f"lavis_sam/plugin/{step}.py": "raise OSError('no such thing')"})
        write(folder, {"lavis/__init__.py": ""})
        out, err = self.broken(folder)
        assert out == "LAVIS works"
        assert err.count("RuntimeWarning") == 1
        assert f"{step} failed with OSError: no such thing" in err

    def test_one_broken_module_is_named_and_the_others_are_registered(self, tmp_path):
        folder = world(tmp_path, task="1 / 0")
        out, err = self.broken(folder, ALL_REGISTERED)
        assert out == REGISTERED
        assert "lavis_sam.plugin.task: ZeroDivisionError: division by zero" in err
        assert "python -c 'import lavis_sam.plugin.task'" in err

    def test_the_named_command_shows_the_error_itself(self, tmp_path):
        folder = world(tmp_path, task="1 / 0")
        failed = python(folder, "-c", "import lavis_sam.plugin.task", path=folder)
        assert failed.stderr.strip().endswith("ZeroDivisionError: division by zero")
        assert "lavis_sam/plugin/task.py" in failed.stderr

    def test_a_plugin_without_its_packages_does_not_stop_lavis(self, bare, tmp_path):
        """The real package where torch is missing: broken by the environment."""
        write(tmp_path, {"lavis/__init__.py": "works = True"})
        done = bare.run("-c", "import lavis; print(lavis.works)", PYTHONPATH=str(tmp_path))
        assert done.stdout == "True\n"
        assert "RuntimeWarning: lavis_sam cannot take its place in LAVIS" in done.stderr
        assert "No module named 'torch'" in done.stderr


class TestLoadingFunctions:
    FIRST = "from lavis.models import load_model, load_model_and_preprocess; import lavis; "

    def test_the_default_model_type_is_the_model_s_own(self, tmp_path):
        code = (
            "print(load_model('ours'), load_model_and_preprocess('ours')); "
            "print(lavis.load_model is load_model, lavis.models.load_model is load_model)"
        )
        assert output(world(tmp_path), self.FIRST + code) == (
            "('ours', None, False, 'cpu', None) ('ours', None, False, 'cpu')\nTrue True"
        )

    def test_valid_calls_arrive_as_they_were_made(self, tmp_path):
        code = (
            "print(load_model('theirs', 'base', True, 'cuda', checkpoint='x')); "
            "print(load_model_and_preprocess(name='theirs', model_type='large', device='cuda'))"
        )
        assert output(world(tmp_path), self.FIRST + code) == (
            "('theirs', 'base', True, 'cuda', 'x')\n('theirs', 'large', False, 'cuda')"
        )

    def test_the_signature_says_that_there_is_a_default(self, tmp_path):
        code = "import inspect; print(inspect.signature(load_model), load_model.__wrapped__.__defaults__)"
        wanted = "(name, model_type=None, is_eval=False, device='cpu', checkpoint=None) (None, False, 'cpu', None)"
        assert output(world(tmp_path), self.FIRST + code) == wanted

    @pytest.mark.parametrize("function", ["load_model", "load_model_and_preprocess"])
    @pytest.mark.parametrize(
        ("call", "wanted"),
        [
            ("'our'", ["unknown model 'our'", "Did you mean 'ours'?", "Valid: ours, theirs."]),
            ("None", ["unknown model None", "Valid: ours, theirs."]),
            ("'theirs'", ["model_type is missing", "theirs has no default", "Valid: base, large."]),
        ],
    )
    def test_unknown_names_and_missing_types_are_answered_with_the_valid_ones(self, tmp_path, function, call, wanted):
        code = (
            f"from lavis.models import {function}\nfrom lavis_sam.errors import SamConfigurationError\n"
            f"try: {function}({call})\nexcept SamConfigurationError as error: print(error)"
        )
        done = output(world(tmp_path), "\n" + code)
        assert done.startswith(function)
        for part in wanted:
            assert part in done


def test_a_second_registration_changes_nothing(tmp_path):
    code = "import lavis; from lavis_sam.plugin.registration import register; register(); " + ALL_REGISTERED
    assert output(world(tmp_path), code) == REGISTERED


def test_the_placeholders_would_notice(tmp_path):
    """Without the plugin, the fake for LAVIS fails as LAVIS does: the tests above cannot pass by themselves."""
    failed = python(tmp_path, "-c", "import lavis", path=world(tmp_path))
    assert "No module named 'spacy'" in failed.stderr
