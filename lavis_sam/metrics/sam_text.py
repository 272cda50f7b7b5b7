"""The text normalisation of the `sam` protocol: what the authors' scoring does to every prediction and reference.

Its quirks are kept, because they are part of the published numbers. They belong to this protocol alone.
"""

import re

# Looked at one by one, always in the text as it was before the punctuation step.
_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_ANY_MARK = re.compile(f"[{re.escape(_MARKS)}]")
_NUMBER_WITH_COMMA = re.compile(r"\d,\d")
_SENTENCE_PERIOD = re.compile(r"\.(?!\d)")
# The authors pass a regular expression's flag where the number of replacements is meant; the flag's value is 32.
_PERIODS_DELETED = 32


def normalise(text: str) -> str:
    """Normalise a text as the authors do: white space, punctuation, periods, quotes, case.

    A punctuation mark that touches a space anywhere in the text is deleted everywhere, otherwise it becomes a space
    everywhere; a digit, a comma and a digit in a row make every mark be deleted. Only the first 32 periods without a
    digit after them go.
    """
    text = text.replace("\n", " ").replace("\t", " ").strip()
    text = _without_marks(text)
    text = _SENTENCE_PERIOD.sub("", text, count=_PERIODS_DELETED)
    return text.strip("'").strip('"').strip().lower()


def _without_marks(text: str) -> str:
    present = set(_ANY_MARK.findall(text))
    if not present:
        return text
    delete_all = "," in present and _NUMBER_WITH_COMMA.search(text) is not None
    # None deletes. A mark's fate depends on the text alone, so all of them can go in one pass.
    fates = {ord(mark): None if delete_all or f"{mark} " in text or f" {mark}" in text else " " for mark in present}
    return text.translate(fates)
