"""JSONPaths of the config: simple ones are read by a struct generated from them, others by jsonpath-ng.

A simple path is `$`, names after it (`$.data.rows`, `$['odd name']`) and at most one `[*]` at the end. A name that
begins with `@` holds the dots that follow: `$.@odata.nextLink` is one name, as OData writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_wire import jsonexact as exact
from tap_rest.formats.looks import look_of

__all__ = [
    "Column",
    "Finder",
    "Found",
    "Opener",
    "Path",
    "column_of",
    "filters",
    "finder_of",
    "has_member",
    "has_place",
    "list_and_last",
    "load_exactly",
    "opener_of",
    "parse_path",
    "rows_and_inside",
    "scalar_of",
    "scalar_text",
    "unfiltered",
]

Found: TypeAlias = "list[Raw] | Raw | None"
"""What a path found: its items (`[*]` or a complex path), one value, or None where there is nothing."""

Finder: TypeAlias = Callable[[bytes, str], "dict[str, Found]"]
"""Takes a JSON body and the name of its place; returns what each path found."""

Column: TypeAlias = Callable[[Sequence[Raw], str], list[Found]]
"""Takes records and the name of their place; returns what a path found in each."""

Opener: TypeAlias = Callable[[bytes], "tuple[dict[str, Found], dict[str, Raw]] | None"]
"""Takes a JSON body; returns what each path found, and the members of the body, or None: `finder_of` is to look."""

_STEP_OF_NAME = r"\.[A-Za-z_][\w@-]*|\.@[\w@-]+(?:\.[\w@-]+)*|\['[^'\\]+'\]|\[\"[^\"\\]+\"\]"
_SIMPLE = re.compile(rf"\$((?:{_STEP_OF_NAME})*)(\[\*\])?")
_NULL = Raw(b"null")
_STEPS = 100
"""What a path may have: records are decoded by as many structs, one in the other."""
_NAME = re.compile(r"\.([A-Za-z_][\w@-]*|@[\w@-]+(?:\.[\w@-]+)*)|\['([^']+)'\]|\[\"([^\"]+)\"\]")


@dataclass(frozen=True, slots=True)
class Path:
    """A path of the config; ``names`` is None when it is not simple, ``each`` says that it ends in `[*]`."""

    text: str
    names: tuple[str, ...] | None
    each: bool


def parse_path(text: str, key: str) -> Path:
    """Parse a JSONPath; ``key`` is where it stands in the config.

    Raises:
        ConfigurationError: it is not a JSONPath.
    """
    full = text if text.startswith("$") else f"$.{text}"
    if len(re.findall(r"[.\[(]", full)) > _STEPS:
        raise ConfigurationError(
            f"Expected a JSONPath of no more than {_STEPS} steps at `{key}`, got a longer one."
        )
    match = _SIMPLE.fullmatch(full)
    if match:
        names = tuple(next(filter(None, groups)) for groups in _NAME.findall(match.group(1)))
        return Path(text, names, match.group(2) is not None)
    _compiled(full, key)
    return Path(text, None, True)


_FILTER = re.compile(r"(?P<at>[^?]*)\[(?:\?[^\]]*|-?\d*:[-\d:]*)\](?:\.[A-Za-z_]\w*)*")


_INSIDE = re.compile(rf"(?P<rows>.*\[\*\])(?P<inside>(?:{_STEP_OF_NAME})+)")
_LAST = re.compile(rf"(?P<rows>.*)\[-1:?\](?P<inside>(?:{_STEP_OF_NAME})*)")


def rows_and_inside(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the path of a list, and the names down to a record in each of its items: `$.edges[*]` and `node`."""
    return _split(text, _INSIDE) or (text, ())


def list_and_last(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the path of a list, and the names down to what a path takes of its last item: `$.hits[-1].sort`; None: it does not."""
    return _split(text, _LAST)


def _split(text: str, pattern: re.Pattern[str]) -> tuple[str, tuple[str, ...]] | None:
    match = pattern.fullmatch(text)
    if match is None:
        return None
    rows = match["rows"] if match["rows"].endswith("[*]") else f"{match['rows']}[*]"
    if not _SIMPLE.fullmatch(rows if rows.startswith("$") else f"$.{rows}"):
        return None
    return rows, tuple(next(filter(None, groups)) for groups in _NAME.findall(match["inside"]))


def filters(text: str) -> bool:
    """Tell whether a path takes some of the rows of a page: `$.data[?(@.kind == 'x')]`, `$.data[1:]`."""
    return re.search(r"\[\s*(?:\?|-?\d*:)", text) is not None


def unfiltered(text: str) -> str | None:
    """Return the path of all rows for one that filters them at its end, None where that is not plain."""
    match = _FILTER.fullmatch(text.strip())
    at = f"{match['at']}[*]" if match else ""
    return at if at and _SIMPLE.fullmatch(at if at.startswith("$") else f"$.{at}") else None


def _compiled(text: str, key: str) -> Any:
    from jsonpath_ng.exceptions import JSONPathError
    from jsonpath_ng.ext.parser import parse

    try:
        return parse(text)
    except (JSONPathError, AttributeError) as error:  # the lexer of jsonpath-ng fails in both ways
        raise ConfigurationError(f"Expected a JSONPath at `{key}`, got `{text}` ({error}).") from None
    except Exception as error:
        if type(error) is Exception:  # the parser raises the bare class
            raise ConfigurationError(f"Expected a JSONPath at `{key}`, got `{text}` ({error}).") from None
        raise


def finder_of(paths: Sequence[Path]) -> Finder:
    """Return the function that finds all ``paths`` in a body at once."""
    slow = _slow_finder(paths)
    decoder = _decoder_of(paths)
    if decoder is None:
        return slow

    def find(body: bytes, where: str) -> dict[str, Found]:
        try:
            page = decoder.decode(body)
        except msgspec.ValidationError as error:
            raise BadDataError(f"{error} in {where}; check the paths in the config.") from None
        except (msgspec.DecodeError, RecursionError):
            return slow(body, where)  # it accepts all JSON there is, and words the error
        return {path.text: _walk(page, path.names or ()) for path in paths}

    return find


def opener_of(rows: Path, others: Sequence[Path], names: Sequence[str]) -> Opener | None:
    """Return the function that finds all in one look at a body whose rows are a member of it; None where they are not.

    ``names`` are the members that it may have: a body with more, or with something that does not fit, is left to `finder_of`.
    Of the member that holds the rows no more is returned than the first of them.
    """
    at = rows.names or ()
    deeper = [path for path in others if path.names != at or not path.each]
    if len(at) != 1 or not rows.each or not _are_plain(names):
        return None
    if any(not path.names or path.names[0] == at[0] or not _are_plain(path.names) for path in deeper):
        return None
    fields = {name: f"f{number}" for number, name in enumerate(dict.fromkeys([*names, *at]))}
    kinds = [
        (field, (list[Raw] if name == at[0] else Raw) | UnsetType, UNSET) for name, field in fields.items()
    ]
    struct = msgspec.defstruct(
        "Body", kinds, rename={field: name for name, field in fields.items()}, forbid_unknown_fields=True
    )
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(struct)
    walk = {path.text: _walker_below(path) for path in deeper}

    def open_body(body: bytes) -> tuple[dict[str, Found], dict[str, Raw]] | None:
        try:
            page = decoder.decode(body)
            members = {
                name: value for name, field in fields.items() if (value := getattr(page, field)) is not UNSET
            }
            found = {text: below(members) for text, below in walk.items()}
        except (msgspec.DecodeError, RecursionError):
            return None
        items = members.get(at[0])
        if items is not None:
            members[at[0]] = Raw(b"[" + b"".join(items[:1]) + b"]")
        return found | {path.text: items for path in (rows, *others) if path.text not in found}, members

    return open_body


def _walker_below(path: Path) -> Callable[[Mapping[str, Raw]], Found]:
    """Return the function that finds a simple path in the members of a body; it raises what msgspec does."""
    top, *below = path.names or ()
    if not below and not path.each:
        return lambda members: members.get(top)
    decoder = cast("msgspec.json.Decoder[Any]", _decoder_of([replace(path, names=tuple(below))]))

    def walk(members: Mapping[str, Raw]) -> Found:
        member = members.get(top)
        return None if member is None or member == _NULL else _walk(decoder.decode(member), below)

    return walk


def column_of(path: Path) -> Column:
    """Return the function that finds a simple ``path`` in each of many records; its second argument names their place."""
    find = finder_of([path])
    if not _are_plain(path.names or ()):
        return lambda records, where: [find(bytes(record), where)[path.text] for record in records]
    tree: dict[str, Any] = {}
    _plant(tree, path.names or (), Raw)
    decoder = msgspec.json.Decoder(list[_struct_of(tree)])  # type: ignore[misc]

    def column(records: Sequence[Raw], where: str) -> list[Found]:
        try:
            rows = decoder.decode(b"[" + b",".join(records) + b"]")
        except (msgspec.DecodeError, RecursionError):
            return [find(bytes(record), where)[path.text] for record in records]  # it words the error
        return [_walk(row, path.names or ()) for row in rows]

    return column


def _decoder_of(paths: Sequence[Path]) -> msgspec.json.Decoder[Any] | None:
    """Return a decoder of the struct that holds all ``paths``; None if they need the slow way."""
    if any(path.names is None or not _are_plain(path.names) for path in paths):
        return None
    tree: dict[str, Any] = {}
    for path in paths:
        if not _plant(tree, path.names or (), list[Raw] if path.each else Raw):
            return None
    return msgspec.json.Decoder(tree[""] if "" in tree else _struct_of(tree))


def _are_plain(names: Sequence[str]) -> bool:
    """Tell whether msgspec takes ``names`` as renamed fields."""
    return not any(
        char in '"\\' or char < " " or "\ud800" <= char <= "\udfff" for name in names for char in name
    )


def _plant(tree: dict[str, Any], names: Sequence[str], leaf: Any) -> bool:
    """Put ``leaf`` at ``names``; False if another path ends above, below or there as another type."""
    if not names:
        fits = not tree or tree == {"": leaf}
        tree[""] = leaf
        return fits
    if "" in tree:
        return False
    node = tree
    for name in names[:-1]:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            return False
    return bool(node.setdefault(names[-1], leaf) == leaf)


def _struct_of(tree: Mapping[str, Any]) -> Any:
    fields = []
    rename = {}
    for index, (name, node) in enumerate(tree.items()):
        kind = _struct_of(node) if isinstance(node, dict) else node
        kind = kind if kind is Raw else kind | None
        fields.append((f"f{index}", kind | UnsetType, UNSET))
        rename[f"f{index}"] = name
    struct = msgspec.defstruct("Page", fields, rename=rename)
    struct.positions = dict(zip(tree, rename, strict=True))  # type: ignore[attr-defined]
    return struct


def _walk(page: Any, names: Sequence[str]) -> Found:
    for name in names:
        if page is None or page is UNSET:
            return None
        page = getattr(page, type(page).positions[name])
    if page is UNSET or page is None:
        return None
    found: list[Raw] | Raw = page
    return found


def _slow_finder(paths: Sequence[Path]) -> Finder:
    walkers = {path.text: _slow_walker(path) for path in paths}

    def find(body: bytes, where: str) -> dict[str, Found]:
        page = load_exactly(body, where)
        return {text: walk(page, where) for text, walk in walkers.items()}

    return find


def load_exactly(body: bytes, where: str) -> Any:
    """Decode a body with `exact.loads`.

    Raises:
        BadDataError: it is not JSON, or nested too deeply.
    """
    try:
        return exact.loads(body)
    except ValueError as error:
        look = look_of(body)
        got = f"{look.words}{look.advice}" if look.fits else f"text that is not: {_problem(error)}"
        raise BadDataError(f"Expected JSON in {where}, got {got}.") from None
    except RecursionError:
        raise BadDataError(f"Expected JSON of a sane depth in {where}, got one nested too deeply.") from None


def _problem(error: ValueError) -> str:
    """Name the problem without its text, which may be a secret."""
    position = getattr(error, "pos", None)
    return str(error) if position is None else f"{getattr(error, 'msg', 'broken')} (character {position})"


def _slow_walker(path: Path) -> Callable[[Any, str], Found]:
    if path.names is None:
        compiled = _compiled(path.text if path.text.startswith("$") else f"$.{path.text}", path.text)
        return lambda page, _where: [Raw(exact.dumps(match.value)) for match in compiled.find(page)]
    names = path.names

    def walk(page: Any, where: str) -> Found:
        for name in names:
            if page is None:
                return None
            if not isinstance(page, dict):
                raise BadDataError(
                    f"Expected `object`, got `{_kind(page)}` above `{path.text}` in {where}; "
                    "check the paths in the config."
                )
            if name not in page:
                return None
            page = page[name]
        if path.each and page is not None:
            if not isinstance(page, list):
                raise BadDataError(
                    f"Expected `array`, got `{_kind(page)}` at `{path.text}` in {where}; "
                    "check the paths in the config."
                )
            return [Raw(exact.dumps(item)) for item in page]
        return None if page is None and path.each else Raw(exact.dumps(page))

    return walk


def has_member(body: bytes, names: Sequence[str]) -> bool:
    """Tell whether there is something, be it null, at ``names`` in a body."""
    return _at(body, names) is not None


def has_place(body: bytes, names: Sequence[str]) -> bool:
    """Tell whether there is an object at ``names`` in a body."""
    found = _at(body, names)
    return found is not None and bytes(found).lstrip()[:1] == b"{"


def _at(body: bytes, names: Sequence[str]) -> Raw | None:
    here = Raw(body)
    try:
        for name in names:
            here = msgspec.json.decode(here, type=dict[str, Raw])[name]
    except (msgspec.DecodeError, RecursionError, KeyError):
        return None
    return here


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds: dict[type, str] = {dict: "object", list: "array", str: "string"}
    return kinds.get(type(value), "number")


def scalar_text(found: Found, place: str) -> str | None:
    """Return a string, number or boolean as the text to put into a URL; None for null, nothing, "" and false.

    Raises:
        BadDataError: it is an object or an array.
    """
    if isinstance(found, Raw) and (raw := bytes(found)).isdigit():
        return raw.decode()  # as most are: numbers of pages, of rows
    value = scalar_of(found, place)
    if value is True:
        return "true"
    return value.text if isinstance(value, exact.ExactNumber) else None if value is None else str(value)


def scalar_of(found: Found, place: str, *, takes_all: bool = False) -> Any:
    """Return a string, number or `True` as such; None for null, nothing, "" and false; ``takes_all``: objects and arrays, too.

    Raises:
        BadDataError: it is an object or an array.
    """
    if isinstance(found, list):
        found = found[0] if found else None
    if found is None:
        return None
    raw = bytes(found).strip()
    if raw in (b"null", b"false", b'""'):
        return None
    if raw[:1] in b"{[" and not takes_all:
        raise BadDataError(
            f"Expected text or a number at {place}, got `{'object' if raw[:1] == b'{' else 'array'}`."
        )
    return exact.loads(raw)
