"""The table of rules: each begins where it says it can, and the tokens that it is for match whole."""

import pytest

from lavis_sam.metrics.ptb_grammar import RULES


def longest(text):
    """The names and lengths of the rules that match a beginning of the text, tried as the tokenizer tries them."""
    found = [(rule.pattern.match(text), rule) for rule in RULES if rule.first.match(text)]
    return max(((match.end(1), rule.name) for match, rule in found if match), key=lambda pair: pair[0])


@pytest.mark.parametrize(
    ("text", "length", "name"),
    [
        ("cannot ", 3, "two words"),
        ("http://a.org/b?c=1 x", 18, "address"),
        ("me@a.org ", 8, "address"),
        ("1,234.50 ", 8, "number"),
        ("1/2 ", 3, "fraction"),
        (":-) ", 3, "face"),
        ("... ", 3, "dots"),
        ("?!? ", 3, "run"),
        ("$5", 1, "currency"),
    ],
)
def test_the_longest_rule_is_the_one_that_a_text_is_about(text, length, name):
    if name == "two words":
        assert any(rule.name == name and rule.pattern.match(text) for rule in RULES)
    else:
        assert longest(text) == (length, name)


def test_every_printable_character_begins_some_token():
    for code in range(33, 127):
        assert any(rule.first.match(chr(code)) and rule.pattern.match(chr(code) + "  ") for rule in RULES), chr(code)
