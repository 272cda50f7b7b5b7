import pytest

from lavis_sam.evaluation.run_folder import write_results
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.metrics.protocols import score

TRUTHS = ("a dog runs on the grass", "two people sit at a table", "a red bird sings in spring")


def answers(kept, truths=TRUTHS):
    """Predictions that keep the first words of the truths."""
    return [Prediction(i, " ".join(truth.split()[:kept]), truth, (truth,)) for i, truth in enumerate(truths, start=1)]


@pytest.fixture
def write(tmp_path):
    """Write results of a run: (run, data set, words kept, protocol, truths) -> the run's folder."""

    def write_one(run, dataset, kept=4, protocol="sam", truths=TRUTHS):
        predictions = answers(kept, truths)
        write_results(tmp_path / run / dataset, predictions, score(predictions, protocol), dataset=dataset)
        return tmp_path / run

    return write_one
