"""The storytelling sets in miniature: the exact layout of their releases, with every pitfall that is known."""

import json
from pathlib import Path

from helpers.release_parts import (
    Expected,
    Miniature,
    cut_off,
    story,
    write_image,
    write_images,
    write_json,
    write_no_image,
)


def _vist_story(name: str, photographs: list[str], sentences: list[str], order: list[int]) -> list[list[dict]]:
    """One-element lists, as in the release, in the order of `order`."""
    return [
        [
            {
                "original_text": sentences[k],
                "album_id": "44277",
                "photo_flickr_id": photographs[k],
                "setting": "first-2-pick-and-tell",
                "worker_id": "FJROI8NWDRIPAM1",
                "story_id": name,
                "tier": "story-in-sequence",
                "worker_arranged_photo_order": k,
                "text": f"tokenised {sentences[k].strip().lower()} .",
                "storylet_id": f"{name}{k}",
            }
        ]
        for k in order
    ]


def vist(folder: Path) -> Miniature:
    images = folder / "images"
    said = ["We left early. ", "The road was long.", 'He said "stop".', "It rained,  a lot.", "At last: the sea! "]
    kept = [sentence.strip() for sentence in said]
    photographs = [f"69{k:02d}" for k in range(15)]
    for name in photographs[:5]:
        write_image(images / "train" / f"{name}.jpg")
    (images / "train" / f"{photographs[1]}.jpg").unlink()
    write_image(images / "train" / f"{photographs[1]}.png")  # some photographs are not .jpg
    write_images(images / "train", *[f"{name}.jpg" for name in photographs[5:14] if name not in ("6906", "6912")])
    write_no_image(images / "train" / "6906.jpg")
    cut_off(images / "train" / "6912.jpg")  # 6914 is dead
    write_images(images / "test", *[f"71{k:02d}.JPG" for k in range(5)])
    # The file's order is not the story's, and the stories' photographs are mixed.
    whole = _vist_story("30355", photographs[:5], said, [3, 0, 4, 1, 2])
    unreadable = _vist_story("30356", photographs[5:10], said, [0, 1, 2, 3, 4])
    dead = _vist_story("30357", photographs[10:15], said, [4, 3, 2, 1, 0])
    short = _vist_story("30358", photographs[:5], said, [0, 1, 3, 4])
    mixed = [record for four in zip(whole, unreadable, dead, short, strict=False) for record in four]
    mixed += [whole[4], unreadable[4], dead[4]]
    top = {"images": [{"id": "6900", "datetaken": "2004-01-01"}], "albums": [], "info": {}}
    train = write_json(folder / "sis" / "train.story-in-sequence.json", {**top, "annotations": mixed})
    tested = _vist_story("45530", [f"71{k:02d}" for k in range(5)], said, [0, 1, 2, 3, 4])
    test = write_json(folder / "sis" / "test.story-in-sequence.json", {**top, "annotations": tested}, bom=True)
    context = story(*kept[:4])
    images_of_whole = tuple(f"train/{name}.{'png' if name == '6901' else 'jpg'}" for name in photographs[:5])
    images_of_test = tuple(f"test/71{k:02d}.JPG" for k in range(5))
    return Miniature(
        "vist",
        folder / "sis",
        images,
        {"train": train, "test": test},
        {
            "train": [Expected("30355", images_of_whole, (kept[4],), context)],
            "test": [Expected("45530", images_of_test, (kept[4],), context)],
        },
        problems={"unreadable image": 2, "missing image": 1, "incomplete story": 1},
    )


def _aesop_record(name: str, texts: list[str], **changes: object) -> dict:
    record = {
        "storyid": name,
        "theme": ["moral"],
        "title": "A day",
        "split": "train",
        "text": texts,
        "bg": [3, 3, 3],
        "image_path": [f"./data/images/{name}/panel_{k}.png" for k in range(3)],
        "scenetype": ["Extended-All"] * 3,
        "image_data": [[{"name": "sun", "x": 26}], [], []],
    } | changes
    return {key: value for key, value in record.items() if value is not ...}


def aesop(folder: Path) -> Miniature:
    for name in ("0035", "0036"):  # the archive's folder and the renderer's extension
        write_images(folder / "previews" / "image_renderings" / name, *[f"panel_{k}.jpg" for k in range(3)])
    write_images(folder / "data" / "images" / "4933", *[f"panel_{k}.png" for k in range(3)])
    write_images(folder / "previews" / "previews", "0035.jpg")
    texts = ["Two friends met. They played. ", "It rained.", "They went home "]
    records = [
        _aesop_record("0035", texts),
        _aesop_record("0036", ["One.", "Two.", " "]),  # nothing to tell
        _aesop_record("0999", texts),  # never rendered
    ]
    train = write_json(folder / "data" / "train.json", records, crlf=True)
    test = write_json(folder / "data" / "test.json", [_aesop_record("4933", texts, split=...)])
    context = story("Two friends met. They played.", "It rained.")
    rendered = tuple(f"previews/image_renderings/0035/panel_{k}.jpg" for k in range(3))
    plain = tuple(f"data/images/4933/panel_{k}.png" for k in range(3))
    return Miniature(
        "aesop",
        folder / "data",
        folder,
        {"train": train, "test": test},
        {
            "train": [Expected("0035", rendered, ("They went home",), context)],
            "test": [Expected("4933", plain, ("They went home",), context)],
        },
        problems={"empty output": 1, "missing image": 3},
    )


def _article(identity: object, sections: list[dict], **more: object) -> dict:
    positions = [index for index, section in enumerate(sections) if section["type"] == "caption"]
    headline = {"main": "A headline"}
    return {"_id": identity, "headline": headline, "parsed_section": sections, "image_positions": positions, **more}


def _caption(name: str, text: str | None) -> dict:
    return {"type": "caption", "text": text, "hash": name}


def dm800k(folder: Path) -> Miniature:
    images = folder / "images"
    write_images(images, *[f"h{k:02d}.jpg" for k in range(13)])
    cut_off(images / "bad.jpg")
    paragraph = {"type": "paragraph", "text": "Some words.", "hash": "p"}
    many = [_caption(f"h{k:02d}", f"Caption {k}.") for k in range(12)]
    articles = [
        _article(
            {"$oid": "5c7f"},
            [
                paragraph,
                _caption("h00", "Mayor Smith, left. "),
                _caption("h01", " "),
                _caption("gone", "Gone."),
                _caption("bad", "Damaged."),
                _caption("h02", None),
                _caption("h03", "The bridge."),
            ],
            split="train",
        ),
        _article("single", [_caption("h04", "Alone.")], split="test"),
        _article("nothing", [paragraph, _caption("h05", "")], split="train"),
        _article(33, many, split="valid"),
    ]
    file = folder / "articles.jsonl"
    file.write_bytes(b"\r\n".join(json.dumps(article).encode() for article in articles) + b"\r\n{broken\r\n")
    ten = tuple(f"h{k:02d}.jpg" for k in range(10))
    return Miniature(
        "dm800k",
        file,
        images,
        dict.fromkeys(("train", "val", "test"), file),
        {
            "train": [Expected("5c7f", ("h00.jpg", "h03.jpg"), ("The bridge.",), story("Mayor Smith, left."))],
            "val": [Expected("33", ten, ("Caption 9.",), story(*[f"Caption {k}." for k in range(9)]))],
            "test": [Expected("single", ("h04.jpg",), ("Alone.",), story())],
        },
        problems={"no images": 1, "not JSON": 1},
        repairs={"empty caption": 3, "missing image": 1, "unreadable image": 1, "first 10": 1},
    )
