"""docs/lavis_defects.md lists every defect, names files that exist, and has a row for every test."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \| (.+) \| `(\S+)` \| `(\S+)::(\S+)` \|$", re.MULTILINE)
ROWS = ROW.findall((REPOSITORY / "docs" / "lavis_defects.md").read_text(encoding="utf-8"))
DEFECTS = 35


def test_every_defect_has_a_row():
    assert sorted({int(number) for number, *_ in ROWS}) == list(range(1, DEFECTS + 1))
    text = (REPOSITORY / "docs" / "lavis_defects.md").read_text(encoding="utf-8")
    assert sum(line.startswith("| ") for line in text.splitlines()) == len(ROWS) + 1  # and the heading


def test_every_row_names_a_file_of_ours_and_a_test_of_its_number():
    for number, _, place, _, test in ROWS:
        assert (REPOSITORY / "lavis_sam" / place).is_file(), place
        assert test.startswith(f"test_defect_{number}_"), test


def test_the_rows_are_the_tests():
    named = sorted((file, test) for *_, file, test in ROWS)
    files = sorted(Path(__file__).parent.glob("test_lavis_defects*.py"))
    written = [(p.name, test) for p in files for test in re.findall(r"^def (test_defect_\w+)", p.read_text(), re.M)]
    assert named == sorted(written)
