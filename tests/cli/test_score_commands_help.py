"""The commands about scores have examples in their help."""

import pytest


@pytest.mark.parametrize("command", ["score", "compare", "table"])
def test_help_has_examples(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"lavis-sam {command} " in out.split("Examples:")[1]
