"""Captioners that see: they name the colour of the figure in the middle of a drawn image."""

from lavis_sam.synthesis.backends.captioning import noun_phrase

NAMES = {"red": (190, 40, 40), "green": (40, 140, 60), "blue": (40, 60, 190), "yellow": (200, 180, 40)}
# A true caption says more of one view than of another, and of the place.
FORMS = {
    "front": "A woman wearing a {} dress, posing against a white wall.",
    "side": "a woman in a {} dress with her hands down",
    "full": "The image shows a woman in a {} dress and shoes",
}


class Captioner:
    """Colour and garment, in words that differ from view to view."""

    name, version, sees_images = "captioner", "1", True

    def describe(self, requests):
        found = []
        for request in requests:
            assert len(request.views) == 1, "each view by itself"
            (view,) = request.views
            height, width = view.image.shape[:2]
            colour = view.image[int(height * 0.4), width // 2].astype(int)
            name = min(NAMES, key=lambda name: abs(colour - NAMES[name]).sum())
            found.append(noun_phrase(FORMS.get(view.description, FORMS["front"]).format(name)))
        return found


ICON_COLOURS = {
    "red": (230, 25, 75), "green": (60, 180, 75), "yellow": (255, 225, 25), "blue": (0, 130, 200),
    "orange": (245, 130, 48), "purple": (145, 30, 180), "cyan": (70, 240, 240), "magenta": (240, 50, 230),
    "lime": (210, 245, 60), "pink": (250, 190, 212), "teal": (0, 128, 128), "brown": (170, 110, 40),
}  # fmt: skip


class IconCaptioner:
    """The colour of an icon, as it is seen on white."""

    name, version, sees_images = "icon captioner", "1", True

    def describe(self, requests):
        found = []
        for request in requests:
            (view,) = request.views
            assert (view.image[0, 0] == 255).all(), "transparent pixels are white"
            middle = view.image[view.image.shape[0] // 2, view.image.shape[1] // 2].astype(int)
            name = min(ICON_COLOURS, key=lambda name: abs(middle - ICON_COLOURS[name]).sum())
            found.append(noun_phrase(f"A flat icon of a {name} disc with a hole, on a white background."))
        return found
