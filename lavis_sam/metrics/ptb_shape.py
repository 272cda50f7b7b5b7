"""The shape of a text: every character without a meaning of its own replaced by a representative of its class.

The patterns of `ptb_grammar.py` then need to know a few dozen characters instead of Unicode. A text and its shape have
the same length, so that what matches in one is cut out of the other.
"""

import unicodedata

# Beyond ASCII: a capital, another letter, a digit, a mark that continues a word, a character that is a token by itself;
# and what the original deletes.
CAPITAL, SMALL, DIGIT, MARK, SYMBOL, NOTHING = "Éé٠\u0308§\0"
SOFT_HYPHEN = "\xad"

# Code points, both ends included. What is in neither list, and no letter, digit, space or below, is deleted; so are all
# characters beyond the basic plane, emoji among them.
_MARKS = """
2c2-2c5 2d2-2df 2e5-2eb 2ed 2ef-36f 375 378-379 384-385 3f6 483-487 55a-55f 591-5bd 5bf 5c1-5c2 5c4-5c5 5c7 615-61a
64b-65e 670 6d6-6e4 6e7-6ed 6fd-6fe 70f 711 730-74c 7a6-7b0 7eb-7f3 900-903 93c 93e-94e 951-955 962-963 981-983 9bc
9be-9cd 9d7 9e2-9e3 a01-a03 a3c-a4f a81-a83 abc abe-acf b82 bbe-bcd c01-c03 c3e-c56 d3e-d48 e31 e34-e3a e47-e4e eb1
eb4-ebc ec8-ecd
"""
_SYMBOLS = """
a1 a5-a9 ac ae-b1 b4 b6-b8 bf d7 f7 37e 387 589 5be 5c0 5c3 5c6 5f3-603 606-60c 614 61b 61e-61f 66a 66d 6d4 700-70d
7f6-7f8 964-965 e3f e4f 1fbd 2016-2017 2020-2023 2030-2038 203b 203e-2042 207a-207e 208a-208e 20a4 2100-2101 2103-2106
2108-2109 2114 2116-2118 211e-2123 2125 2127 2129 212e 213a-213b 2140-2144 214a-214d 214f 2155-215e 2190-2bff 3001-3002
3012 30fb ff01-ff0f ff1a-ff20 ff3b-ff40 ff5b-ff65 ffe0-ffe1 ffe5-ffe6
"""
# Characters that the patterns name -> those that they stand for.
_NAMED = {
    "’": "’\x92",
    "‘": "‘‛\x91",
    "“": "“”«»‹›\x93\x94",
    "„": "‚„‟",
    "–": "–—―\x96\x97",
    "‐": "‐‑֊",
    "…": "…\x85",
    "¢": "¢£¤€₠\x80",
    "½": "½¼¾⅓⅔",
    "²": "⁰¹²³⁴⁵⁶⁷⁸⁹",
    "₂": "₀₁₂₃₄₅₆₇₈₉",
    "⁄": "⁄",
    "٫": "٫٬",
    "、": "、",
    SOFT_HYPHEN: SOFT_HYPHEN,
    "\t": "\t",
    " ": "\n\v\f\r \xa0\u3000" + "".join(map(chr, range(0x2000, 0x200B))),
}


def _listed(ranges: str) -> list[int]:
    bounds = (part.partition("-") for part in ranges.split())
    return [code for first, _, last in bounds for code in range(int(first, 16), int(last or first, 16) + 1)]


class _Shapes(dict[int, str]):
    """Code point -> representative. Letters, digits and ASCII are looked at when first met."""

    def __init__(self) -> None:
        super().__init__()
        self.update(dict.fromkeys(_listed(_MARKS), MARK))
        self.update(dict.fromkeys(_listed(_SYMBOLS), SYMBOL))
        self.update((ord(character), name) for name, characters in _NAMED.items() for character in characters)

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if code < 0x80:
            shape = character if character.isprintable() else NOTHING
        elif code > 0xFFFF:
            shape = NOTHING
        elif category.startswith("L"):
            shape = CAPITAL if category == "Lu" else SMALL
        else:
            shape = DIGIT if category == "Nd" else NOTHING
        return self.setdefault(code, shape)


_SHAPES = _Shapes()


def shape_of(text: str) -> str:
    """Return the text with every character replaced by its representative; the length stays."""
    return text.translate(_SHAPES)
