"""Tags: what a user knows of a model, by which models are compared."""

import math
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from ..core import InputError, nearest
from .database import Database
from .tables import Tag

Value = str | int | float | bool


def set_tags(
    database: Database, model_id: int, tags: Mapping[str, Value], remove: Iterable[str] = ()
) -> None:
    """Give a model tags, in place of those of the same names, and take others away.

    Raises InputError for a name or text that is empty or has what no screen shows, a number that
    is not finite, and one to be removed that is not there; then nothing has changed.
    """
    for name, value in tags.items():
        if not all(text.strip() and text.isprintable() for text in (name, _text(value))):
            raise InputError(f"tag {name!r}={value!r}: a tag has a name, and a text or a number")
        if (number := _number(value)) is not None and not math.isfinite(number):
            raise InputError(
                f"tag {name!r}={value!r}: the number is not finite; leave out what is not known"
            )
    with database.write(f"tags {model_id}") as session:
        known = {t.name: t for t in session.scalars(_of(model_id))}
        for name in remove:
            if name not in known:
                raise InputError(f"model {model_id} has no tag {name!r}; {nearest(name, known)}")
            session.delete(known[name])
        for name, value in tags.items():
            session.merge(
                Tag(model_id=model_id, name=name, value=_text(value), number=number_of(value))
            )


def tags_of(database: Database, model_id: int) -> dict[str, str | float]:
    """Return the tags of a model by name: numbers where they are, else texts."""
    with database.read() as session:
        found = session.scalars(_of(model_id)).all()
    return {t.name: t.value if t.number is None else t.number for t in found}


def _of(model_id: int) -> sa.Select[Tag]:
    return sa.select(Tag).where(Tag.model_id == model_id).order_by(Tag.name)


def number_of(value: Value) -> float | None:
    """Return a value as a finite number, None where it is none; true is 1, false 0."""
    number = _number(value)
    return number if number is not None and math.isfinite(number) else None


def _number(value: Value) -> float | None:
    given = {"true": "1", "false": "0"}.get(str(value).lower(), str(value))
    try:
        return None if "_" in given else float(given)  # 1_2 is a name
    except ValueError:
        return None


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
