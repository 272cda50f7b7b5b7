"""A captioner that sees: it names the colour of the figure in the middle of a drawn image."""

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
