"""What the backends that run a model here share: its folder, device and precision, and batches that fit into memory.

Nothing is downloaded in the middle of a run: a model is a folder, or a hub's name whose files are already in the local
cache. Weights are read at the first call, so that a run's parent process never holds them; whether they are there at
all is looked at when the backend is made. Only safetensors are read, and code that comes with a model is not run.
"""

import functools
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.files import walk_folder
from lavis_sam.memory import is_out_of_memory, naming_samples

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Answer = TypeVar("Answer")

PRECISIONS = ("fp32", "bf16", "fp16")
REMEDY = (
    "Choose a smaller precision (bf16, fp16), a smaller model, or a device with more memory; fewer --workers where "
    "several share it. Finished parts are kept, and --resume goes on."
)
# Enough of both ends of a file of weights to tell two of them apart; all of it would take a minute for a large model.
_END_BYTES = 1 << 16

logger = logging.getLogger(__name__)


class LocalModel:
    """A model's files, and where and how it runs.

    Attributes:
        folder: Where its files are.
        version: Tells apart files that give different answers.
        batch_size: Items that go through the model together; falls when memory runs out.
    """

    def __init__(
        self,
        job: str,
        model: str,
        *,
        device: str | None,
        precision: str | None,
        batch_size: int,
        packages: Sequence[str] = (),
    ) -> None:
        """Look whether everything is there; read no weights.

        Args:
            job: The stage, for messages: "segment".
            model: A folder, or a hub's name that is in the local cache.
            device: "cpu", "cuda", "cuda:1"; None takes the first GPU, or else the CPU.
            precision: fp32, bf16 or fp16; None takes fp32 on a CPU and bf16 elsewhere.
            packages: What has to be installed beside torch and transformers.

        Raises:
            SamConfigurationError: Everything that is missing or wrong, in one message.
        """
        self._place = f"stages.{job}"
        problems = [
            f"{self._place}: needs the package {name}, which is not installed. Install it with `pip install "
            "lavis_sam[synthesis-gpu]`."
            for name in packages
            if importlib.util.find_spec(name) is None
        ]
        if precision is not None and precision not in PRECISIONS:
            problems.append(unknown_name("precision", precision, PRECISIONS, f"{self._place}.precision"))
        if batch_size < 1:
            problems.append(f"{self._place}.batch_size: found {batch_size}, wanted 1 or more.")
        folder = find_model(model)
        if folder is None:
            problems.append(
                f"{self._place}.model: {model!r} is neither a folder nor a model in the local cache of the hub. Bring "
                f"it with `hf download {model}`, or give the path of a folder that holds it."
            )
        if folder is None or problems:
            raise SamConfigurationError("\n".join(problems))
        self.folder, self.batch_size = folder, batch_size
        self.version = f"1 {fingerprint(folder)}"
        self._device, self._precision = device, precision

    @functools.cached_property
    def device(self) -> "torch.device":
        """Where it runs."""
        from lavis_sam.predictor.load_model import read_device

        return read_device(self._device)

    @property
    def precision(self) -> str:
        """How its weights are held."""
        return self._precision or ("fp32" if self.device.type == "cpu" else "bf16")

    @property
    def dtype(self) -> "torch.dtype":
        """The precision as torch calls it."""
        import torch

        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]

    def load_weights(self, factory: Any, **arguments: Any) -> Any:
        """Read one of transformers' models and put it on the device.

        Raises:
            SamCheckpointError: The folder holds no such model, or not all of it.
            SamConfigurationError: The device is not there, or too small.
        """
        arguments = {"dtype": self.dtype, **arguments}
        with naming_samples(lambda: f"loading {self.folder} to {self.device}", REMEDY):
            model, report = self.load(factory, use_safetensors=True, output_loading_info=True, **arguments)
            if missing := sorted(report["missing_keys"]):
                raise SamCheckpointError(
                    f"{self._place}.model: {self.folder}: {len(missing)} weights of {factory.__name__} are missing, "
                    f"such as {missing[0]}. Bring the whole model, and one of this kind."
                )
            return model.to(self.device).eval().requires_grad_(False)

    def load(self, factory: Any, **arguments: Any) -> Any:
        """Call the factory's `from_pretrained` with the folder.

        Raises:
            SamCheckpointError: The folder holds no such thing.
        """
        try:
            with _without_bars():
                return factory.from_pretrained(str(self.folder), local_files_only=True, **arguments)
        # Damaged or foreign folders fail in whichever of many libraries meets the damage first.
        except Exception as error:
            if is_out_of_memory(error):
                raise
            problem = str(error).strip().partition("\n")[0]
            raise SamCheckpointError(
                f"{self._place}.model: {self.folder} holds no {factory.__name__} that can be loaded "
                f"({type(error).__name__}: {problem}). Bring a whole folder with its config, processor or tokenizer "
                "files and safetensors weights."
            ) from error

    def in_batches(self, call: Callable[[Sequence[Item]], Sequence[Answer]], items: Sequence[Item]) -> list[Answer]:
        """Ask the model about all items, a batch at a time; where memory runs out, about half as many.

        Args:
            call: Items -> as many answers.

        Raises:
            SamConfigurationError: One item alone is too much.
        """
        answers: list[Answer] = []
        with _repeatable(self.device):
            while len(answers) < len(items):
                batch = items[len(answers) : len(answers) + self.batch_size]
                try:
                    answers += call(batch)
                    continue
                except Exception as error:
                    if not _ran_out_of_memory(error):
                        raise
                    if len(batch) == 1:
                        problem = (str(error).splitlines() or [type(error).__name__])[0][:160]
                        raise SamConfigurationError(
                            f"{self._place}: out of memory on {self.device} with one item alone ({problem}). {REMEDY}"
                        ) from error
                # Only out here has the error let go of what the batch had computed.
                self._take_less(len(batch))
        return answers

    def _take_less(self, size: int) -> None:
        self.batch_size = size // 2
        logger.warning("%s: out of memory with %d items; going on with %d", self._place, size, self.batch_size)
        if self.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep the libraries' own progress bars of loading out of the run's progress."""
    import transformers

    libraries = [transformers.utils.logging]
    if "diffusers" in sys.modules:
        libraries.append(sys.modules["diffusers"].utils.logging)
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


@contextmanager
def _repeatable(device: "torch.device") -> Iterator[None]:
    """No gradients; and on a CPU one thread, since sums that several share are rounded differently."""
    import torch

    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def _ran_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out, also where a room below has said so in its own words."""
    return is_out_of_memory(error) or (error.__cause__ is not None and is_out_of_memory(error.__cause__))


def find_model(model: str) -> Path | None:
    """Find a model's folder or file: itself, or what the hub's local cache has under its name; None if neither is."""
    path = Path(model).expanduser()
    if path.exists():
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def fingerprint(folder: Path) -> str:
    """Return twelve hexadecimal digits of all files' names and sizes and of both ends of their contents."""
    digest = hashlib.sha256()
    paths = (
        [folder]
        if folder.is_file()
        else [Path(below, name) for below, _, names in walk_folder(folder) for name in names]
    )
    for path in sorted(paths):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        with path.open("rb") as file:
            digest.update(file.read(_END_BYTES))
            if size > 2 * _END_BYTES:
                file.seek(-_END_BYTES, 2)
            digest.update(file.read(_END_BYTES))
    return digest.hexdigest()[:12]
