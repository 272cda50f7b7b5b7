"""The change captioning sets in miniature: the exact layout of their releases, with every pitfall that is known."""

from pathlib import Path

from helpers.release_parts import Expected, Miniature, write_image, write_images, write_json

DIFFERENCE = "{image#1}{image#2}Difference:"
EDIT = "Source Image:{image#1} Target Image:{image#2}Instruction:"


def spot_the_diff(folder: Path) -> Miniature:
    images = folder / "images"
    write_images(images, "256.png", "256_2.png", "17.jpg", "17_2.JPG", "900.png", "77.png", "77_2.png")
    train = [
        {"img_id": "256", "sentences": ["the man on the left is gone", ""]},
        {"img_id": "17", "sentences": ["there is no difference"]},
        {"img_id": 256, "sentences": ["a car has moved "]},  # another annotator, the id as a number
        {"img_id": "900", "sentences": ["its second frame is missing"]},
    ]
    test = [{"img_id": "77", "sentences": ["", " "]}, {"img_id": "77", "sentences": ["the van left"]}]
    val = [{"img_id": "17", "sentences": ["nothing has changed"]}, {"img_id": "256", "sentences": [""]}]
    files = {
        name: write_json(folder / "annotations" / f"{name}.json", records)
        for name, records in (("train", train), ("val", val), ("test", test))
    }
    pair = ("256.png", "256_2.png")
    return Miniature(
        "spot_the_diff",
        folder / "annotations",
        images,
        files,
        {
            "train": [
                Expected("256", pair, ("the man on the left is gone", "a car has moved"), DIFFERENCE),
                Expected("17", ("17.jpg", "17_2.JPG"), ("there is no difference",), DIFFERENCE),
            ],
            "val": [Expected("17", ("17.jpg", "17_2.JPG"), ("nothing has changed",), DIFFERENCE)],
            "test": [Expected("77", ("77.png", "77_2.png"), ("the van left",), DIFFERENCE)],
        },
        problems={"missing image": 1, "empty output": 1},
        repairs={"another annotator": 2, "empty sentence": 3},
    )


def clevr_change(folder: Path) -> Miniature:
    kinds = (("images", "default"), ("sc_images", "semantic"), ("nsc_images", "nonsemantic"))
    for sub, kind in kinds:
        write_images(folder / sub, *[f"CLEVR_{kind}_{index:06d}.png" for index in (0, 2, 13)])
    (folder / "sc_images" / "CLEVR_semantic_000002.png").unlink()
    # Files that a directory listing would pair wrongly.
    write_image(folder / "sc_images" / "CLEVR_semantic_000001.png")
    change = {f"CLEVR_default_{k:06d}.png": [f"the cube {k} moved left", f"cube {k} is gone"] for k in (13, 2, 0)}
    same = {f"CLEVR_default_{k:06d}.png": [f"nothing changed in {k}"] for k in (0, 2)}
    write_json(folder / "change_captions.json", change)
    write_json(folder / "no_change_captions.json", same)
    write_json(folder / "splits.json", {"train": [0], "val": ["000002"], "test": [13]})

    def sample(index: int, kind: str, *references: str) -> Expected:
        second = {"semantic": "sc_images", "nonsemantic": "nsc_images"}[kind]
        images = (f"images/CLEVR_default_{index:06d}.png", f"{second}/CLEVR_{kind}_{index:06d}.png")
        return Expected(f"{index:06d}-{kind}", images, references, DIFFERENCE)

    return Miniature(
        "clevr_change",
        folder,
        folder,
        dict.fromkeys(("train", "val", "test"), folder),
        {
            "train": [
                sample(0, "semantic", "the cube 0 moved left", "cube 0 is gone"),
                sample(0, "nonsemantic", "nothing changed in 0"),
            ],
            "val": [sample(2, "nonsemantic", "nothing changed in 2")],
            "test": [sample(13, "semantic", "the cube 13 moved left", "cube 13 is gone")],
        },
        problems={"missing image": 1, "empty output": 1},
    )


def _bird(first: tuple[str, str], second: tuple[str, str], split: str, number: int, text: str) -> list[str]:
    """The eleven cells of a row; `first` and `second` are observation and photograph."""
    cells = []
    for (observation, address), species in ((first, "Turdus merula"), (second, "Parus major")):
        cells += [f"https://www.inaturalist.org/observations/{observation}", address, species, "visual"]
    return [*cells, split, str(number), text]


def birds_to_words(folder: Path) -> Miniature:
    images = folder / "images"
    large = "https://static.inaturalist.org/photos/{}/large.jpg?1444775557"
    by_observation, by_photograph = ("1001", large.format("501")), ("1002", large.format("502"))
    by_tail, by_folder = ("1003", "https://example.org/pics/bird%20x.png"), ("1004", large.format("504"))
    missing = ("1005", large.format("505"))
    write_images(images, "1001.jpg", "502.jpeg", "bird%20x.PNG", "504/large.jpg?1444775557", "large.jpg")
    header = [
        "img1ObservationURL",
        "img1ImgURL",
        "img1Species",
        "img1Selection",
        "img2ObservationURL",
        "img2ImgURL",
        "img2Species",
        "img2Selection",
        "split",
        "annN",
        "description",
    ]
    rows = [
        _bird(by_observation, by_photograph, "train", 1, 'Animal 1 is "brown.'),  # a stray quotation mark
        _bird(by_tail, by_folder, "val", 1, "“Animal 1” is bigger."),
        _bird(by_observation, by_photograph, "train", 2, "Animal 2 has a crest. "),
        _bird(by_observation, missing, "train", 1, "Nobody has the second."),
        _bird(by_photograph, by_observation, "train", 1, ""),
    ]
    lines = ["\t".join(cells) for cells in [header, *rows, ["too", "few"]]]
    table = folder / "birds-to-words-v1.0.tsv"
    table.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    pair = ("1001.jpg", "502.jpeg")
    return Miniature(
        "birds_to_words",
        table,
        images,
        dict.fromkeys(("train", "val"), table),
        {
            "train": [Expected("1001-1002", pair, ('Animal 1 is "brown.', "Animal 2 has a crest."), DIFFERENCE)],
            "val": [
                Expected(
                    "1003-1004", ("bird%20x.PNG", "504/large.jpg?1444775557"), ("“Animal 1” is bigger.",), DIFFERENCE
                )
            ],
        },
        problems={"missing image": 1, "empty output": 1, "wrong columns": 1},
    )


def iedit(folder: Path) -> Miniature:
    images = folder / "images"
    write_images(images, "Reddit.com_4w_4w.jpg", "Reddit.com_4w_d6.JPG", "zhopped 1.gif", "zhopped 2.png", "jpeg.jpeg")
    train = [
        {"img0": "Reddit.com_4w_4w.jpg", "img1": "Reddit.com_4w_d6.JPG", "sents": ["remove the people "], "uid": "R_1"},
        {"img0": "Reddit.com_4w_4w.jpg", "img1": "Reddit.com_4w_d6.JPG", "sents": ["add a dog"], "uid": "R_2"},
        {
            "img0": "zhopped 1.png",
            "img1": "jpeg.JPG",
            "sents": ["crop"],
            "uid": 12,
        },  # other extensions than on the disk
        {"img0": "../images/jpeg.jpeg", "img1": "jpeg.jpeg", "sents": ["escape"], "uid": "R_3"},
    ]
    valid = [{"img0": "zhopped 2.png", "img1": "jpeg.jpeg", "sents": ["a", "", "c"], "uid": "R_1"}]
    files = {"train": write_json(folder / "train.json", train), "val": write_json(folder / "valid.json", valid)}
    pair = ("Reddit.com_4w_4w.jpg", "Reddit.com_4w_d6.JPG")
    return Miniature(
        "iedit",
        folder,
        images,
        files,
        {
            "train": [
                Expected("R_1", pair, ("remove the people",), EDIT),
                Expected("R_2", pair, ("add a dog",), EDIT),
                Expected("12", ("zhopped 1.gif", "jpeg.jpeg"), ("crop",), EDIT),
            ],
            "val": [Expected("R_1", ("zhopped 2.png", "jpeg.jpeg"), ("a", "c"), EDIT)],
        },
        problems={"path leaves the root": 1},
        repairs={"empty sentence": 1},
    )
