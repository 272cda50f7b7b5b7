"""MmLINK and the group captioning sets in miniature: the exact layout of their releases, with every known pitfall."""

from pathlib import Path

from helpers.release_parts import Expected, Miniature, cut_off, write_image, write_images, write_json


def conceptual(folder: Path) -> Miniature:
    names = [f"group {k}/ä{j}.jpg" for k in range(2) for j in range(5)]
    write_images(folder, *names, "other.jpg")
    records = [
        {"id": 1, "targets": names[:5], "references": ["other.jpg"], "caption": "A dog on a beach "},
        {"id": "1", "targets": names[:5], "references": [], "caption": "The same id"},
        {"id": 2, "targets": names[5:], "references": ["other.jpg"], "caption": "Red cars"},
        {"id": 3, "targets": [], "references": ["other.jpg"], "caption": "Nothing"},
    ]
    test = write_json(folder / "test.json", records)
    return Miniature(
        "conceptual",
        test,
        folder,
        {"test": test},
        {
            "test": [
                Expected("1", tuple(names[:5]), ("A dog on a beach",)),
                Expected("2", tuple(names[5:]), ("Red cars",)),
            ]
        },
        problems={"duplicate id": 1, "no images": 1},
    )


def mmlink(folder: Path) -> Miniature:
    write_images(folder / "images", "one a.png", "one b.PNG", "zwölf.jpg")
    cut_off(folder / "images" / "cut.jpg")
    question = "Can you pinpoint the same icon present in both visuals?"
    records = [
        {"id": 7, "img_list": ["images/one a.png", "images/one b.PNG"], "output": "An acorn."},
        {"id": "7", "img_list": ["images/one a.png"], "output": "Twice."},
        {"id": 8, "img_list": ["images/zwölf.jpg"], "output": "Both. Two", "references": ["Both", "Two"]},
        {"id": 9, "img_list": ["images/cut.jpg"], "output": "Cut."},
        {"id": 10, "img_list": ["images/../images/one a.png"], "output": "Dots."},
        {"id": 11, "img_list": ["images/gone.jpg", "images/one a.png"], "output": ""},
    ]
    records = [{**record, "instruction": question} for record in records]
    train = write_json(folder / "annotations.json", records, bom=True)
    return Miniature(
        "mmlink",
        folder,
        folder,
        {"train": train},
        {
            "train": [
                Expected("7", ("images/one a.png", "images/one b.PNG"), ("An acorn.",), question),
                Expected("8", ("images/zwölf.jpg",), ("Both", "Two"), question),
            ]
        },
        problems={
            "duplicate id": 1,
            "unreadable image": 1,
            "path leaves the root": 1,
            "missing image": 1,
            "empty output": 1,
        },
    )


def _nico(folder: Path, superclass: str) -> None:
    """Six contexts of a dog, of which one has two images and one only a damaged one; too few of a cat."""
    for context in ("at home", "on grass", "on snow", "in water", "running"):
        write_images(folder / superclass / "dog" / context, f"{context} 1.jpg")
    write_image(folder / superclass / "dog" / "on grass" / ("long" * 50 + ".JPEG"))
    write_image(folder / superclass / "dog" / "at home" / "2.gif")
    cut_off(folder / superclass / "dog" / "aside people" / "cut.jpg")
    (folder / superclass / "dog" / "on grass" / "Thumbs.db").write_bytes(b"no image")
    write_images(folder / superclass / "cat" / "on snow", "a.png", "b.jpeg")


def nico_animal(folder: Path) -> Miniature:
    _nico(folder, "Animal")
    write_images(folder / "vehicles" / "bus" / "on road", *[f"{k}.jpg" for k in range(5)])
    names = ("at home/2.gif", "in water/in water 1.jpg", "on grass/" + "long" * 50 + ".JPEG")
    images = tuple(f"Animal/dog/{name}" for name in (*names, "on snow/on snow 1.jpg", "running/running 1.jpg"))
    return Miniature(
        "nico_animal",
        folder,
        folder,
        {"test": folder},
        {"test": [Expected("dog-0", images, ("dog",))]},
        problems={"unreadable image": 1},
        repairs={"left over": 4},
    )


def nico_vehicle(folder: Path) -> Miniature:
    root = folder / "NICO"
    write_images(root / "vehicles" / "fire_truck" / "on road", "a.jpg")
    for context in ("at night", "in city", "on bridge", "with people"):
        write_images(root / "vehicles" / "fire_truck" / context, "a.jpg", "b.png")
    names = ("at night/a.jpg", "in city/a.jpg", "on bridge/a.jpg", "on road/a.jpg", "with people/a.jpg")
    images = tuple(f"NICO/vehicles/fire_truck/{name}" for name in names)
    return Miniature(
        "nico_vehicle",
        folder,
        folder,
        {"test": folder},
        {"test": [Expected("fire_truck-0", images, ("fire truck",))]},
        repairs={"left over": 4},
    )
