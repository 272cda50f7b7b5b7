"""Options of a run, as text."""

import pytest

from lavis_sam.config.resolve import parse_options
from lavis_sam.errors import SamConfigurationError


@pytest.mark.parametrize("options", [["run.a", "1", "run.b"], ["run.a", "1", "run.b=2"]])
def test_parse_options_loses_none(options):
    with pytest.raises(SamConfigurationError, match=r"--options: found 'run.a 1 run.b"):
        parse_options(options)
