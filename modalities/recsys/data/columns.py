"""Which column is what: by name, by position, or by a common name."""

from collections.abc import Mapping

from multidd.data.tables import no_column
from multidd.recsys.data.events import Events

USERS = (
    "user_id user userid uid u customer_id customer visitor_id account_id reviewer_id "
    "session_id"
).split()
ITEMS = (
    "item_id item itemid iid i movie_id product_id product track_id song_id book_id "
    "game_id article_id parent_asin asin"
).split()
COMMON = {"user": USERS, "item": ITEMS}
"""Names looked for where none is given, the first of them first."""

ROLES = ("user", "item", "rating", "time", "split")


def choose_columns(events: Events, asked: Mapping[str, str | None]) -> dict[str, str]:
    """Role -> column of the source.

    Args:
        events: the source.
        asked: role -> name; None: for users and items a common name is looked for,
            another role is left out.

    Returns:
        The roles there are, in the order of `ROLES`.

    Raises:
        ValueError: a column is not there, or comes twice, or has two roles.

    Example:
        >>> from multidd.recsys.formats import open_events
        >>> import pandas
        >>> frame = pandas.DataFrame({"userId": [1], "movieId": [2], "stars": [3]})
        >>> choose_columns(open_events(frame), {"rating": "stars"})
        {'user': 'userId', 'item': 'movieId', 'rating': 'stars'}
    """
    if events.roles:
        return _by_position(events, asked)
    found = {}
    for role in ROLES:
        name = asked.get(role)
        if name is not None:
            found[role] = _named(events, role, name)
        elif role in COMMON:
            found[role] = _guessed(events, role)
    for role, name in found.items():
        if events.names.count(name) > 1:
            raise ValueError(f"column {name!r} comes twice in {events.what}")
        others = [r for r, n in found.items() if n == name and r != role]
        if others:
            raise ValueError(f"{name!r} is named as {role} and as {others[0]}")
    return found


def final_names(events: Events, asked: Mapping[str, str | None]) -> dict[str, str]:
    """What a log calls its columns: for triples and matrices, what it was told.

    Example:
        >>> from multidd.recsys.formats import open_events
        >>> final_names(open_events([(1, 2)]), {"user": "reader"})
        {'user': 'reader', 'item': 'item'}
    """
    chosen = choose_columns(events, asked)
    if not events.roles:
        return chosen
    return {role: asked.get(role) or name for role, name in chosen.items()}


def _by_position(events: Events, asked: Mapping[str, str | None]) -> dict[str, str]:
    """Triples and matrices have no names: those given are names for the log."""
    absent = [r for r in asked if asked[r] is not None and r not in events.roles]
    if absent:
        raise ValueError(
            f"{events.what} hold no {absent[0]} (got {absent[0]}={asked[absent[0]]!r}"
            f"); they hold {', '.join(events.names)}; pass a frame with named columns"
        )
    return dict(events.roles)


def _named(events: Events, role: str, name: str) -> str:
    """A column by its name, with or without a type such as `:token`."""
    if not isinstance(name, str):
        raise TypeError(f"{role} must be the name of a column; got {name!r}")
    if name in events.names:
        return name
    bare = name.split(":")[0]
    if events.typed and bare in events.names:
        return bare
    raise no_column(events.what, name, role, events.names)


def _guessed(events: Events, role: str) -> str:
    plain = {_plain(name): name for name in reversed(events.names)}
    for name in COMMON[role]:
        if _plain(name) in plain:
            return plain[_plain(name)]
    raise ValueError(
        f"{events.what} has no column that is known to hold {role}s (such as "
        f"{', '.join(COMMON[role][:3])}); its columns are {', '.join(events.names)}; "
        f"name the one with {role}="
    )


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
