"""A data set of single images as `lavis-sam synthesize --config pretraining` makes it, written by hand."""

import json

import numpy as np

from lavis_sam.synthesis.manifest import run_lengths

SIDE = 112


def box_mask(left, top, right, bottom):
    """A filled rectangle as run lengths."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[top:bottom, left:right] = True
    return run_lengths(mask)


def placed(index, left, top, right, bottom):
    """An object's place in an image."""
    box = [left, top, right - left, bottom - top]
    return {"object": index, "view": 0, "role": "main" if not index else "companion", "name": "", "box": box,
            "mask": box_mask(left, top, right, bottom)}  # fmt: skip


def described(kind, label, noun, words=(), attributes=None, view=None):
    """An object."""
    return {"id": label, "kind": kind, "noun": noun, "label": label, "description": f"a {label}", "told": list(words),
            "attributes": attributes or {}, "views": [{"attributes": view or {}}]}  # fmt: skip


def sample(number, kind, objects, places, scene="", place="", form="captions"):
    """A line of samples.jsonl."""
    return {
        "id": f"{number:06d}", "form": form, "kind": kind, "instruction": "What is it?", "output": "A chair.",
        "objects": objects, "pictures": [{"file": f"images/{number:06d}_1.jpg", "objects": places,
        "background": {"scene": scene, "place": place, "text": ""}}],
    }  # fmt: skip


def scene_sample(number, colour="red"):
    """A waving man on the left of a chair, in a park."""
    man = described("characters", "man in a blue shirt", "man", ["man", "blue shirt"],
                {"shirt colour": "blue", "upper": "blue shirt"}, {"pose": "waving", "turn": "3.7"})  # fmt: skip
    chair = described("furniture", f"{colour} chair", "chair", [f"{colour} chair"],
                  {"colour": colour, "kind": "chair", "name": f"{colour} chair"}, {"azimuth": "9.5"})  # fmt: skip
    places = [placed(0, 0, 0, 56, 112), placed(1, 70, 56, 112, 112)]
    return sample(number, "characters", [man, chair], places, "park", "in a park")


def icon_sample(number, *names):
    """Icons in a row of three at a time, placed in the opposite of their order."""
    objects = [described("icons", name, "icon", [name], {"icon": name, "meaning": "nothing"}) for name in names]
    places = [placed(i, 80 - 36 * (i % 3), 4 + 56 * (1 - i // 3), 104 - 36 * (i % 3), 40 + 56 * (1 - i // 3))
              for i in range(len(names))]  # fmt: skip
    return sample(number, "icons", objects, places)


def write_samples(root, samples):
    """Write samples.jsonl, and answer its folder."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "samples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples), encoding="utf-8")
    return root


def damaged_samples():
    """Lines of samples.jsonl that are none: no JSON, no object, or something in it missing or of another type."""
    lines = [b"", b"{", b"\xff", b"[]", b"3", b"[" * 100_000, b"{}"]
    for spoil in (
        lambda s: s.pop("id"),
        lambda s: s.pop("form"),
        lambda s: s.update(kind="unknown"),
        lambda s: s.update(kind=[]),
        lambda s: s.update(objects={}),
        lambda s: s["pictures"].clear(),
        lambda s: s["objects"][0].pop("told"),
        lambda s: s["objects"][0].update(label=3),
        lambda s: s["objects"][1].update(kind=None),
        lambda s: s["objects"][1].update(views=[]),
        lambda s: s["pictures"][0].pop("file"),
        lambda s: s["pictures"][0]["objects"].clear(),
        lambda s: s["pictures"][0]["objects"][0].update(object=7),
        lambda s: s["pictures"][0]["objects"][0].update(box=None),
        lambda s: s["pictures"][0]["background"].update(place=None),
    ):
        damaged = scene_sample(2)
        spoil(damaged)
        lines.append(json.dumps(damaged).encode())
    return lines
