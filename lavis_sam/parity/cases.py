"""Reading the stored cases: sizes, texts, inputs and what the authors' code made of them, and its weights.

A folder holds, for each case X, `case_X.json` (sizes, texts, generation settings), `case_X_io.safetensors` (inputs
`in.…`, outputs `out.…`) and `case_X_weights.safetensors` (the whole model by the authors' key names); for all of them
`tok/` holds `vocab.txt` and `tokenizer.model`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lavis_sam.errors import SamDataError
from lavis_sam.files import read_json
from lavis_sam.weights.checkpoint_files import read_checkpoint

_PARTS = (".json", "_io.safetensors", "_weights.safetensors")
_TOKENIZER_FILES = ("vocab.txt", "tokenizer.model")


@dataclass(frozen=True)
class Case:
    """One stored case.

    Attributes:
        name: X.
        settings: The whole of `case_X.json`; read it with `setting`.
        arrays: Inputs and outputs by name.
        weights: Weights by the authors' names.
        tokenizers: The folder of both tokenizers.
    """

    name: str
    settings: dict[str, Any]
    arrays: dict[str, Tensor]
    weights: dict[str, Tensor]
    tokenizers: Path

    def setting(self, key: str, kind: type, default: Any = None) -> Any:
        """Return the value of a dotted key of `case_X.json`.

        Args:
            key: For instance `config.vit.depth`.
            kind: The wanted type; a whole number also serves where `float` is wanted.
            default: What an absent key means; None makes the key compulsory.

        Raises:
            SamDataError: The key is absent, or its value of another type.
        """
        value: Any = self.settings
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None and default is not None:
            return default
        fits = isinstance(value, (int, float) if kind is float else kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise SamDataError(
                f"case_{self.name}.json: {key} is {value!r}, a value of type {kind.__name__} is wanted. The folder "
                "must be laid out as the parity fixtures are."
            )
        return value

    def texts(self, key: str) -> list[str]:
        """Return the list of texts under a dotted key.

        Raises:
            SamDataError: It is not a list of texts.
        """
        value = self.setting(key, list)
        if not value or not all(isinstance(text, str) for text in value):
            raise SamDataError(
                f"case_{self.name}.json: {key} is {value!r}, a list of one text for each sample is wanted."
            )
        return value


def find_cases(folder: str | Path) -> list[str]:
    """Return the names of a folder's cases, after checking that every file of each is there.

    Raises:
        SamDataError: There is no such folder, no case, or a file of one is missing; all missing files are listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SamDataError(f"{folder}: there is no such folder. Give the folder that holds case_*.json and tok/.")
    names = sorted(
        {
            path.name.removeprefix("case_").removesuffix(part)
            for path in folder.iterdir()
            for part in _PARTS
            if path.name.startswith("case_") and path.name.endswith(part)
        }
    )
    if not names:
        raise SamDataError(
            f"{folder}: there is no case in this folder. A case X is case_X.json, case_X_io.safetensors and "
            "case_X_weights.safetensors; tok/ holds vocab.txt and tokenizer.model."
        )
    wanted = [f"case_{name}{part}" for name in names for part in _PARTS] + [f"tok/{file}" for file in _TOKENIZER_FILES]
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise SamDataError(f"{folder}: missing {', '.join(missing)}. Copy the complete cases and try again.")
    return names


def read_case(folder: str | Path, name: str) -> Case:
    """Read case `name` of a folder.

    Raises:
        SamDataError: `case_X.json` is not what it should be.
        SamCheckpointError: A safetensors file cannot be read.
    """
    folder = Path(folder)
    path = folder / f"case_{name}.json"
    settings = read_json(path, remedy="Copy the case again.", wanted=dict)
    arrays = read_checkpoint(folder / f"case_{name}_io.safetensors")
    weights = read_checkpoint(folder / f"case_{name}_weights.safetensors")
    return Case(name, settings, arrays, weights, folder / "tok")
