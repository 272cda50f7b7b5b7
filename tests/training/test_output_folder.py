"""The folder of a run."""

from lavis_sam.training.output_folder import make_run_folder


def test_make_run_folder_gives_runs_that_start_together_folders_of_their_own(tmp_path):
    assert len({make_run_folder(tmp_path, None) for _ in range(5)}) == 5
