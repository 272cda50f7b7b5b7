"""Instructions by task: several phrasings in a data file each, one of which a sample's id chooses.

The draw depends on task and id alone, so a sample has the same instruction in every run, order and split of the work.
"""

import hashlib
from functools import cache
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError

# Sets that mean something for every task: the source's own instructions, else ours; those of DEMON's files only.
DEFAULT, DEMON = "default", "demon"
_FOLDER = Path(__file__).parent
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Prompts:
    """The instructions of one task.

    Attributes:
        task: "group_captioning", "storytelling", "change_captioning" or "edit_request".
        phrasings: Of the chosen set. `{number}` stands for the number of images; `{image#k}` is text.
    """

    def __init__(self, task: str, prompt_set: str = DEFAULT) -> None:
        """Read the task's file.

        Args:
            task: Name of a file of this folder.
            prompt_set: "default", or "published" for the instructions that the paper or its benchmark print.

        Raises:
            SamConfigurationError: An unknown task, or a set that the task does not have.
        """
        sets = prompt_sets(task)
        if prompt_set not in sets:
            valid = (*sets, DEMON)  # which is read from DEMON's files, not from here
            raise SamConfigurationError(unknown_name("prompt_set", prompt_set, valid, f"prompts of {task}"))
        self.task, self.phrasings = task, sets[prompt_set]

    def draw(self, sample_id: int | str, number: int) -> str:
        """Return the instruction of a sample.

        Args:
            sample_id: 1 and "1" draw the same.
            number: How many images the sample has.
        """
        # Python's own hash of a text differs from process to process. A lone surrogate is reported elsewhere.
        key = f"{self.task}/{sample_id}".encode(errors="surrogatepass")
        chosen = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") % len(self.phrasings)
        word = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
        return self.phrasings[chosen].replace("{number}", word)


def tasks() -> list[str]:
    """Return the tasks that have prompts."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def prompt_sets(task: str) -> dict[str, tuple[str, ...]]:
    """Return set name -> phrasings of a task.

    Raises:
        SamConfigurationError: An unknown task; the message lists them.
    """
    if task not in tasks():
        raise SamConfigurationError(unknown_name("task", task, tasks(), "prompts"))
    with (_FOLDER / f"{task}.yaml").open(encoding="utf-8") as file:
        return {name: tuple(phrasings) for name, phrasings in yaml.safe_load(file).items()}
