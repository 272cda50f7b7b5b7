"""Tables of scores on the terminal."""

from lavis_sam.cli.score_tables import print_scores, print_table


def test_print_scores_has_a_row_for_each_set_and_a_dash_for_what_is_not_known(capsys):
    print_scores(
        "coco", [("AESOP", 3, {"rouge": 1.234, "cider": 5.0}), ("average, storytelling", None, {"bleu4": 2.0})]
    )
    said = capsys.readouterr().out
    assert said.splitlines()[0].strip() == "protocol coco, x100"
    (row,) = [line.split() for line in said.splitlines() if "AESOP" in line]
    assert row == ["AESOP", "3", "1.23", "5.00", "–"]
    (row,) = [line.split() for line in said.splitlines() if "average" in line]
    assert row == ["average,", "storytelling", "–", "–", "2.00"]


def test_print_table_justifies_numbers_to_the_right(capsys):
    print_table(("name", "n"), [("a", "1"), ("long", "1000")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[-2].endswith("   1")
    assert lines[-2].startswith("  a")
