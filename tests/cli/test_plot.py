"""`lavis-sam plot` draws the curves of runs."""

from helpers.command_line import call
from helpers.run_logs import write_log
from lavis_sam.training.curves import draw_curves


def test_plot_writes_a_image(tmp_path):
    runs = [write_log(tmp_path / name, [3.0, 2.0]) for name in ("one", "two")]
    call("plot", *map(str, runs))
    assert (runs[0] / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert draw_curves([runs[0] / "log.jsonl"], tmp_path / "here.png") == tmp_path / "here.png"
    assert (tmp_path / "here.png").stat().st_size > 1000
