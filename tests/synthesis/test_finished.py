"""A finished set's records: read, or one clear error."""

import pytest

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.finished import reading_finished


def test_the_manifest_is_given(finished):
    with reading_finished(finished) as manifest:
        assert manifest["accepted"] == 14


@pytest.mark.parametrize("error", [KeyError("a"), TypeError("a"), ZeroDivisionError("a"), UnicodeError("a")])
def test_what_goes_wrong_with_its_records_is_one_clear_error(finished, error):
    with (
        pytest.raises(SamDataError, match="is not what `lavis-sam synthesize` writes"),
        reading_finished(finished),
    ):
        raise error


def test_there_has_to_be_a_data_set(tmp_path):
    with pytest.raises(SamDataError, match="wanted a finished data set"), reading_finished(tmp_path):
        pass
