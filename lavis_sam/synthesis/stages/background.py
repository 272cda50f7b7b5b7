"""Background descriptions: a different place for every picture, the same one for twins."""

from collections.abc import Sequence
from dataclasses import replace

from lavis_sam.synthesis.protocols import BackgroundRequest, BackgroundWriter
from lavis_sam.synthesis.records import DEFAULT_ACTION, Background, Composite, Draft
from lavis_sam.synthesis.stages.base import Failure, answer_all

NO_BACKGROUND = Background(text="", place="", scene="")


class BackgroundStage:
    """Asks the writer for the places of all scenes.

    The pictures of a sample are asked for one after the other, so that each can avoid the places of those before it.
    """

    name = "background"

    def __init__(self, writer: BackgroundWriter) -> None:
        """Keep the backend."""
        self._writer = writer

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Each draft with one background a picture."""
        results: list[Draft | Failure] = list(drafts)
        for index in range(max((len(draft.plan.pictures) for draft in drafts), default=0)):
            asked = [place for place, draft in enumerate(results) if isinstance(draft, Draft) and _needs(draft, index)]
            requests = [_request(results[place], index) for place in asked]  # type: ignore[arg-type]
            found = dict(zip(asked, answer_all(self._writer.write, requests), strict=True))
            for place, draft in enumerate(results):
                if isinstance(draft, Draft) and index < len(draft.plan.pictures):
                    results[place] = _with_background(draft, index, found.get(place))
        return results


def _needs(draft: Draft, index: int) -> bool:
    if index >= len(draft.plan.pictures):
        return False
    picture = draft.plan.pictures[index]
    return picture.layout == "scene" and picture.twin_of is None


def _request(draft: Draft, index: int) -> BackgroundRequest:
    picture = draft.plan.pictures[index]
    first = picture.actors[0]
    main = draft.plan.objects[first.thing]
    return BackgroundRequest(
        rng=draft.plan.attempt.rng("background", index),
        objects=tuple(draft.plan.objects[actor.thing] for actor in picture.actors),
        scene=picture.scene,
        avoid=tuple(background.scene for background in draft.backgrounds if background.scene),
        pose=main.views[first.view].attributes.get("pose", DEFAULT_ACTION) if main.kind == "characters" else "",
        company=company(draft, index),
    )


def company(draft: Draft, index: int) -> tuple[Composite, ...]:
    """The composites of a picture and of its twins, which are in one place."""
    pictures = zip(draft.plan.pictures, draft.composites, strict=True)
    return tuple(composite for other, (picture, composite) in enumerate(pictures) if index in (other, picture.twin_of))


def _with_background(draft: Draft, index: int, found: Background | Failure | None) -> Draft | Failure:
    if isinstance(found, Failure):
        return found
    twin = draft.plan.pictures[index].twin_of
    background = found or (NO_BACKGROUND if twin is None else draft.backgrounds[twin])
    return replace(draft, backgrounds=(*draft.backgrounds, background))
