"""Penn Treebank tokens as the `coco` protocol counts them, without Java.

pycocoevalcap runs Stanford's PTBTokenizer with lower-casing and drops punctuation tokens; this gives the same tokens of
one text (`tests/metrics/test_ptb.py` compares with stored output of the original). Two things are different on purpose.
The original reads all texts as one stream, where the period after a last word of one letter depends on the first word
of the next sample; here a text is read by itself. And letters that came into Unicode after version 6 are letters here.
"""

import functools
import re
import shutil
from collections.abc import Sequence

from lavis_sam.errors import SamConfigurationError
from lavis_sam.metrics.ptb_grammar import RULES, Rule
from lavis_sam.metrics.ptb_shape import SOFT_HYPHEN, shape_of

# Tokens that do not count. Brackets do: the original lower-cases -LRB- and then looks for it in capitals.
PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
_BRACKETS = {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-"}
_CURRENCIES = {"¢": "cents", "£": "#"}
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": "''", "&nbsp;": ""}
_FRACTIONS = {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_QUOTES = {
    **dict.fromkeys("“«\x93", "``"),
    **dict.fromkeys("”»\x94", "''"),
    **dict.fromkeys("‘‛‹\x91`", "`"),
    **dict.fromkeys("’›\x92", "'"),
}
# Name -> length of the first of two tokens (cannot, 'tis); the second is read again, with what follows it.
_FIRST_PART = {"two words": 3, "'t and a word": 2}
# What is most of any caption needs no rules: letters in front of a space.
_PLAIN_WORD = re.compile(r"[A-Za-z]+(?= )")
_NOT_PLAIN = frozenset(["cannot", "gonna", "gotta", "lemme", "gimme", "wanna"])
# Bounds the time that a long text without spaces takes.
_LONGEST_TOKEN = 1000


def ptb_tokens(text: str) -> list[str]:
    """Return the tokens of a text, lower-case and without punctuation.

    Args:
        text: A prediction or a reference; a line break counts as a space.
    """
    return [token for token in _all_tokens(" ".join(text.splitlines())) if token and token not in PUNCTUATION]


def stanford_tokens(texts: Sequence[str]) -> list[str]:
    """Return the tokens of each text, joined by spaces, as Stanford's program gives them to pycocoevalcap.

    Raises:
        SamConfigurationError: There is no Java, or the program fails.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    if shutil.which("java") is None:
        raise SamConfigurationError(
            "tokenizer stanford: found no `java` on the PATH, which Stanford's program needs; install Java, or use "
            "the tokenizer python, which gives the same tokens."
        )
    captions = {i: [{"caption": " ".join(text.splitlines())}] for i, text in enumerate(texts)}
    try:
        tokens = PTBTokenizer().tokenize(captions)
    except (OSError, ValueError) as error:  # it writes a file beside itself, and reads what Java said as UTF-8
        raise SamConfigurationError(
            f"tokenizer stanford: it cannot run ({error}); use the tokenizer python."
        ) from error
    lines = [tokens[i][0] if i in tokens else "" for i in captions]
    if any(texts) and not any(lines):
        raise SamConfigurationError("tokenizer stanford: Java gave no tokens; use the tokenizer python.")
    return lines


def _all_tokens(text: str) -> list[str]:
    shape = shape_of(text) + "   "  # what must follow a token may follow the last one too
    tokens = []
    position = 0
    while position < len(text):
        if shape[position] in " \t":
            position += 1
            continue
        plain = _PLAIN_WORD.match(shape, position)
        if plain is not None and plain.group().lower() not in _NOT_PLAIN:
            tokens.append(plain.group().lower())
            position = plain.end()
            continue
        found = _longest(shape, position)
        if found is None:  # a character that the original deletes
            position += 1
            continue
        name, end = found
        end = position + _FIRST_PART.get(name, end - position)
        tokens.append(_written(name, text[position:end]).lower())
        position = end
    return tokens


def _longest(shape: str, position: int) -> tuple[str, int] | None:
    """Return name and end of the token that starts here, by the longest match (with what must follow), then by rule."""
    found, longest = None, position
    for rule in _rules_for(shape[position]):
        match = rule.pattern.match(shape, position, position + _LONGEST_TOKEN)
        if match is not None and match.end() > longest:
            found, longest = (rule.name, match.end(1)), match.end()
    return found


@functools.lru_cache(maxsize=1024)
def _rules_for(first: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if rule.first.match(first))


def _written(name: str, token: str) -> str:
    """Return the token as the original spells it, apart from its case."""
    match name:
        case "quote" if token in ("''", '"', "&quot;"):
            return "''"
        case "quote":
            # Two in a row are one token, which is no punctuation any more once both are written out.
            return "'" if token == "&apos;" else "".join(_QUOTES.get(character, character) for character in token)
        case "clitic":
            return "'".join(re.split("[’\x92]|&apos;", token))
        case "dash":
            return "--"
        case "dots":
            return "..."
        case "run" if token in ("---", "----"):
            return "--"
        case "ampersand":
            return "&"
        case "entity":
            return _ENTITIES.get(token, token)
        case "currency sign":
            return _CURRENCIES.get(token, "$")
        case "fraction character":
            return _FRACTIONS[token]
        case "fraction" | "tag":
            return token.replace(" ", "\xa0")
        case "telephone" | "face":
            return token.replace("(", "-LRB-").replace(")", "-RRB-").replace(" ", "\xa0")
        case "word":
            return token.replace("&amp;", "&").replace(SOFT_HYPHEN, "") or "-"
        case "other":
            return _BRACKETS.get(token, token)
        case _:
            return token.replace(SOFT_HYPHEN, "")
