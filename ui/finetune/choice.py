"""What a run would be: the settings of this visitor, and the recipe of the Prune page."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pruning import Recipe
from pruning.recover.settings import Recovery
from ui import cache
from ui.finetune import presets
from ui.state import Session

SUGGESTED = 0.5  # of each key, as long as nothing is decided


def settings(session: Session) -> Recovery:
    """The chosen settings, or those of the usual preset; without a recipe."""
    return session.recovery or presets.make(presets.USUAL, session.model)


def recipe(session: Session) -> Recipe:
    """What was decided on the Prune page; else what is suggested."""
    return session.recipe if session.recipe.rules else session.recipe_of(suggestion(session))


def suggestion(session: Session) -> dict[str, float]:
    """Half of everything; whole layers are switches, for which there is none."""
    return {} if session.granularity == "layer" else dict.fromkeys(session.free, SUGGESTED)


def whole(session: Session) -> Recovery:
    """Everything that a run needs: settings and recipe."""
    return settings(session).model_copy(update={"recipe": recipe(session)})


def has_norm(session: Session) -> bool:
    """Whether the network has BatchNorm."""
    from pruning.recover.recalibrate import has_batch_norm

    return has_batch_norm(cache.model(session.model_id).module)


def changed(settings: Recovery, path: str, value: Any) -> Recovery:
    """Settings with another value.

    Args:
        path: names with points between, such as "fit.lr"; "teach" and "regularise" take whole values.
    Raises:
        ValueError: one sentence, if that is not possible.
    """
    given: dict[str, Any] = settings.model_dump(exclude={"recipe"})
    *parents, name = path.split(".")
    place = given
    for parent in parents:
        place = place[parent]
    place[name] = value
    try:
        return Recovery.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        where = "" if first["type"] == "value_error" else f"{name.replace('_', ' ').capitalize()}: "
        raise ValueError(f"{where}{message}.") from None


def change(session: Session, path: str, value: Any) -> None:
    """The same for this visitor; what is not possible is said and changes nothing."""
    try:
        session.choose_recovery(changed(settings(session), path, value))
    except ValueError as error:
        session.version += 1  # the widget shows what is true again
        session.note = str(error)
