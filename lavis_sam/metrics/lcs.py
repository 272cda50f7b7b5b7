"""Longest common subsequences, with one machine operation where the textbook has a row of a table.

Bit j of a row says whether the table's entry grows from column j to column j + 1 (Allison and Dix 1986, Hyyrö 2004).
Python's integers are as long as needed, so a row of any length is one integer.
"""

from collections.abc import Sequence


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of two sequences of words."""
    rows = _rows(first, _positions(second), len(second))
    return rows[-1].bit_count() if rows else 0


def lcs_words(reference: Sequence[str], candidate: Sequence[str]) -> set[str]:
    """Return the words of one longest common subsequence: the one that the `rouge` package finds.

    There are several in general. The package walks the table from its end; it takes a pair of equal words where there
    is one, otherwise goes up (to the previous word of the reference) only if that is the longer one, else left.

    Args:
        reference: Its words are the table's rows.
        candidate: Its words are the table's columns.
    """
    positions = _positions(candidate)
    rows = _rows(reference, positions, len(candidate))
    words = set()
    column = len(candidate)
    for word, row in zip(reversed(reference), reversed(rows), strict=True):
        equal = positions.get(word, 0)
        # Going left ends at the next equal word or the next growth; a growth means that up is longer than left.
        column = ((row | equal) & ((1 << column) - 1)).bit_length()
        if column == 0:
            break
        if equal >> (column - 1) & 1:
            words.add(word)
            column -= 1
    return words


def _positions(words: Sequence[str]) -> dict[str, int]:
    """Return word -> the bits of its columns."""
    positions: dict[str, int] = {}
    bit = 1
    for word in words:
        positions[word] = positions.get(word, 0) | bit
        bit <<= 1
    return positions


def _rows(words: Sequence[str], positions: dict[str, int], columns: int) -> list[int]:
    """Return the table's rows, one for each word; bits where the length grows are set."""
    every = (1 << columns) - 1
    still, rows = every, []  # `still` has the bits where it does not grow
    for word in words:
        equal = still & positions.get(word, 0)
        if equal:
            still = (still + equal | still - equal) & every
        rows.append(still ^ every)
    return rows
