"""What records say of variety."""

import pytest

from lavis_sam.synthesis.variety import Variety, variety_charts


def line(kind="characters", box=(0, 0, 32, 64), scene="park", **attributes):
    obj = {"role": "main", "mask": {"size": [128, 64]}, "box": list(box)}
    other = {**obj, "role": "companion"}
    return {
        "kind": kind,
        "objects": [{"attributes": attributes}],
        "pictures": [{"background": {"scene": scene}, "objects": [obj, other]}],
    }


def test_attributes_scenes_and_places_of_main_objects_are_counted():
    variety = Variety()
    variety.add(line(colour="red"))
    variety.add(line(colour="red", scene=""))
    variety.add(line(colour="blue", box=(48, 120, 32, 32)))
    found = variety.as_dict()
    assert found["attributes"] == {"characters: colour": {"red": 2, "blue": 1}}
    assert found["scenes"] == {"park": 2}
    grid = found["positions"]["characters"]
    assert grid[4][4] == 2, "its middle is a quarter from the left and from the top"
    assert grid[15][15] == 1, "beyond the edge counts as the edge"
    assert sum(map(sum, grid)) == 3
    assert found["heights"]["characters"] == pytest.approx([0.25, 0.5])


def test_charts_show_the_most_common_values_and_say_how_many_there_are():
    variety = Variety()
    for number in range(20):
        variety.add(line(colour=f"<{number}>"))
    markup = variety_charts(variety.as_dict())
    assert "20 different values" in markup
    assert "&lt;3&gt;" in markup
    assert "<3>" not in markup
    assert "heights from 0.50 to 0.50" in markup
