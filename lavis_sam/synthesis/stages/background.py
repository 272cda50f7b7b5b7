"""Background descriptions: a different place for every image, the same one for paired images."""

from collections.abc import Sequence
from dataclasses import replace

from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.protocols import BackgroundRequest, BackgroundWriter
from lavis_sam.synthesis.records import DEFAULT_ACTION, Background, Composite, Draft
from lavis_sam.synthesis.stages.base import Failure, answer_all

NO_BACKGROUND = Background(text="", place="", scene="")


class BackgroundStage:
    """Asks the writer for the places of all scenes.

    The images of a sample are asked for one after the other, so that each can avoid the places of those before it.
    """

    name = "background"

    def __init__(self, writer: BackgroundWriter) -> None:
        self._writer = writer

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Return each draft with one background an image."""
        results: list[Draft | Failure] = list(drafts)
        for index in range(max((len(draft.plan.images) for draft in drafts), default=0)):
            asked = [place for place, draft in enumerate(results) if isinstance(draft, Draft) and _needs(draft, index)]
            requests = [_request(results[place], index) for place in asked]  # type: ignore[arg-type]
            found = dict(zip(asked, answer_all(self._writer.write, requests), strict=True))
            for place, draft in enumerate(results):
                if isinstance(draft, Draft) and index < len(draft.plan.images):
                    results[place] = _with_background(draft, index, found.get(place))
        return results


def _needs(draft: Draft, index: int) -> bool:
    if index >= len(draft.plan.images):
        return False
    image = draft.plan.images[index]
    return image.layout == "scene" and image.paired_with is None


def _request(draft: Draft, index: int) -> BackgroundRequest:
    image = draft.plan.images[index]
    first = image.actors[0]
    main = draft.plan.objects[first.object]
    return BackgroundRequest(
        rng=draft.plan.attempt.rng("background", index),
        objects=tuple(draft.plan.objects[actor.object] for actor in image.actors),
        scene=image.scene,
        avoid=tuple(name for background in draft.backgrounds if (name := background.scene or background.text)),
        pose=main.views[first.view].attributes.get("pose", DEFAULT_ACTION) if KINDS[main.kind].has_poses else "",
        same_scene=same_scene(draft, index),
    )


def same_scene(draft: Draft, index: int) -> tuple[Composite, ...]:
    """Return the composites of an image and of those paired with it, which are in one place."""
    images = zip(draft.plan.images, draft.composites, strict=True)
    return tuple(composite for other, (image, composite) in enumerate(images) if index in (other, image.paired_with))


def _with_background(draft: Draft, index: int, found: Background | Failure | None) -> Draft | Failure:
    if isinstance(found, Failure):
        return found
    paired = draft.plan.images[index].paired_with
    background = found or (NO_BACKGROUND if paired is None else draft.backgrounds[paired])
    return replace(draft, backgrounds=(*draft.backgrounds, background))
