"""Amazon Berkeley Objects in its own layout."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.protocols import SampleRequest
from lavis_sam.synthesis.sources import groups
from lavis_sam.synthesis.sources.abo import abo_spins


def texts(value, tag="en_US"):
    return [{"language_tag": tag, "value": value}]


SOFA = {
    "item_id": "B07",
    "domain_name": "amazon.com",
    "product_type": [{"value": "SOFA"}],
    "spin_id": "s1",
    "item_name": texts("Rivet  Sofa, 81 inch"),
    "color": [*texts("Gris", "es_MX"), *texts("Light Gray", "en_GB")],
    "material": texts("this is an essay about how the material of our sofas feels"),
}
CHAIR = {"item_id": "B08", "domain_name": "amazon.in", "product_type": "CHAIR", "spin_id": "s2", "color": texts("Red")}
PHONE = {"item_id": "B09", "product_type": [{"value": "CELLULAR_PHONE_CASE"}], "spin_id": "s3"}
SPINS, LISTING = "spins/metadata/spins.csv.gz", "listings/metadata/listings_0.json.gz"
NO_DEFLATE = b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 40
HEADER = "spin_id,azimuth,image_id,path\n"
NO_SPIN = {"item_id": "B10", "product_type": "LAMP"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "_HELD_OUT", 0.0)
    listings = tmp_path / "listings" / "metadata"
    listings.mkdir(parents=True)
    again = {**SOFA, "domain_name": "amazon.co.uk", "item_name": texts("the same in another shop")}
    for name, rows in (("0", [SOFA, PHONE]), ("f", [CHAIR, again, NO_SPIN])):
        with gzip.open(listings / f"listings_{name}.json.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    spins = tmp_path / "spins"
    (spins / "metadata").mkdir(parents=True)
    lines = ["spin_id,azimuth,image_id,height,width,path"]
    for spin, count in (("s1", 72), ("s2", 24), ("s3", 24)):
        for azimuth in range(count):
            path = f"{spin[-1]}{azimuth % 10}/{spin}_{azimuth:02d}.jpg"
            lines.append(f"{spin},{azimuth},{spin}i{azimuth},80,80,{path}")
            (spins / "original" / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (80, 80), (azimuth, 0, 0)).save(spins / "original" / path)
    with gzip.open(spins / "metadata" / "spins.csv.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    return tmp_path


def draw(source, position, views=2, seed=0):
    return source.draw(SampleRequest(np.random.default_rng(seed), views, position))


def test_listings_and_spins_come_together(root):
    source = abo_spins(str(root))
    assert len(source) == 2
    sofa = draw(source, 0)
    assert sofa.id == "s1"
    assert sofa.attributes == {"furniture": "sofa", "colour": "light gray", "item name": "Rivet Sofa, 81 inch"}
    assert sofa.required_words == ("light gray", "sofa")
    assert sofa.label == "light gray sofa"
    assert draw(source, 1).label == "red chair"
    assert [(entry.id, entry.reason) for entry in source.skipped()] == [("s3", "no furniture")]


def test_views_are_far_apart(root):
    source = abo_spins(str(root))
    for position, views in ((0, 2), (0, 5), (1, 2), (1, 4)):
        for seed in range(8):
            obj = draw(source, position, views, seed)
            angles = [float(view.description.removeprefix("azimuth ")) for view in obj.views]
            assert len(set(angles)) == views
            for index, angle in enumerate(angles[:2]):
                for other in angles[:index]:
                    assert min(abs(angle - other), 360 - abs(angle - other)) >= 60
            assert max(angles) < 360


def test_azimuths_are_the_same_in_24_and_72_images(root):
    source = abo_spins(str(root))
    seen = {
        position: {view.description for seed in range(60) for view in draw(source, position, 5, seed).views}
        for position in (0, 1)
    }
    assert {float(text.split()[1]) % 5 for text in seen[0]} == {0.0}
    assert {float(text.split()[1]) % 15 for text in seen[1]} == {0.0}


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "spins/metadata/spins.csv.gz").unlink(), "spins.csv.gz: missing"),
        (lambda root: (root / "spins/metadata/spins.csv.gz").write_bytes(b"no gzip"), "cannot be read"),
        (lambda root: _rewrite(root, "spin,azimuth,image_id,height,width,path\n"), "no column spin_id"),
        (lambda root: _rewrite(root, HEADER + "s1,north,i,p\n"), "csv.gz:2: spin s1: azimuth 'north'"),
        (lambda root: _rewrite(root, HEADER + "s1,0,i,p\n\ns1,nan,i,p\n"), "csv.gz:4: spin s1: azimuth 'nan' is no"),
        (lambda root: _rewrite(root, HEADER + "s1,0,i,p\ns1,1\n"), "csv.gz:3: found 2 columns, wanted 4. Get"),
        (lambda root: _rewrite(root, HEADER + 's1,0,i,"p\n' + "s1,1,i,p\n" * 99_999), "cannot be read as a table"),
        (lambda root: _rewrite(root, HEADER + "s1,0,i," + "p" * 200_000), "csv.gz:2: cannot be read as a table"),
        (lambda root: _rewrite(root, (HEADER + "s1,0,i,p\n").encode() + b"\xff"), "csv.gz:1: cannot be read"),
        (lambda root: (root / SPINS).write_bytes((root / SPINS).read_bytes()[:-20]), r"csv.gz:\d+: cannot be read"),
        (lambda root: (root / SPINS).write_bytes(NO_DEFLATE), r"csv.gz:1: cannot be read"),
        (lambda root: (root / LISTING).write_bytes((root / LISTING).read_bytes()[:-20]), r"json.gz:\d+: cannot be"),
        (lambda root: (root / LISTING).write_bytes(NO_DEFLATE), r"listings_0.json.gz:1: cannot be read"),
        (lambda root: [path.unlink() for path in (root / "listings/metadata").iterdir()], "no listings_"),
        (lambda root: (root / "spins/original").rename(root / "spins/o") and None, "spins"),
    ],
)
def test_metadata_that_are_not_whole(root, break_it, message):
    break_it(root)
    if message == "spins":  # the images may also lie right under spins/; then single draws fail, not the source
        assert len(abo_spins(str(root))) == 2
        return
    with pytest.raises(SamConfigurationError, match=message):
        abo_spins(str(root))


def _rewrite(root, text):
    with gzip.open(root / SPINS, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
