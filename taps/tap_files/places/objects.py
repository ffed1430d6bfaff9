"""A bucket of S3, of Google Cloud Storage or of Azure, by obstore: listed in pages, read in ranges of the version that was listed.

No range is asked for without the ETag, and none is taken whose answer has another one: there are servers that ignore `If-Match`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from singerkit_shell.errors import BadDataError
from singerkit_shell.signals import stop_flag
from tap_files.places.ahead import Ahead
from tap_files.places.contract import Content, FileChanged, Found
from tap_files.places.names import changed, check_name, folder_of, gone, no_folder
from tap_files.places.objectfaults import failure_of, is_absent

__all__ = ["Objects"]

_RANGE = 8 << 20
"""Bytes of one request: few enough to be asked for again, so many that the way there and back does not count."""
_LISTED = 1000
_LAST = "~"
"""Comes behind the first letters of most names."""
_SAFE = "nothing of it was read, what was committed is safe."


class Objects:
    """One bucket; ``where`` names it in messages, ``section`` the settings that it was made of."""

    can_skip, may_grow = True, False

    def __init__(self, store: Any, where: str, section: str, *, lists_from: bool = True) -> None:
        """``lists_from``: the store is asked for keys behind another one, and gives them in the order of their bytes."""
        self._store, self._where, self._section = store, where, section
        self._lists_from = lists_from

    def files(self, prefix: str, *, deep: bool = True) -> Iterator[Found]:
        folder = folder_of(prefix)
        is_there = not folder
        is_shallow = not deep and self._lists_from
        for meta in self._listed_shallow(folder, prefix) if is_shallow else self._listed(folder, prefix):
            is_there = True
            name = meta["path"]
            is_wanted = deep or "/" not in name[len(prefix) :]
            if is_wanted and name.startswith(prefix) and not self._is_placeholder(meta):
                yield _found(meta, check_name(name, self._where))
        if not is_there and not self._is_folder(folder):
            raise no_folder(self._where, folder)

    def look(self, name: str) -> Found | None:
        check_name(name, self._where)
        meta = self._head(name)
        return None if meta is None else _found(meta, name)

    def open(self, found: Found, offset: int = 0) -> Content:
        name, size = check_name(found.name, self._where), found.size or 0
        if offset >= size:
            self._check_same(found, self._head(name) or {})
            return Ahead(lambda: b"")
        starts = iter(range(offset, size, _RANGE))

        def fetch() -> bytes:
            start = next(starts, size)
            return b"" if start >= size else self._range(found, start, min(start + _RANGE, size))

        first = self._asked(fetch, f"reading `{name}` from", name)
        pending = [first]
        return Ahead(lambda: pending.pop() if pending else fetch())

    def path_of(self, _found: Found) -> str | None:
        """None: it lies on no disk of this machine."""
        return None

    def close(self) -> None:
        self._store = None

    def _listed(self, folder: str, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self._pages(folder, _before(folder, prefix)):
            yield from page

    def _listed_shallow(self, folder: str, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield what lies in a folder, and of each one in it as much as comes in a page: where a page ends in such a one, the next page is asked for from behind it.

        A listing with a delimiter would do, but obstore gives it as a whole, which is no flat memory.
        """
        pages, last, floor, starts_there = self._pages(folder, _before(folder, prefix)), "", "", True
        while (page := next(pages, None)) is not None:
            news = [meta for meta in page if meta["path"] > floor]
            starts_there = starts_there and len(news) == len(page)  # else the store does not know how
            last = self._last_in_order(news, last)
            yield from news
            inner = last.find("/", len(prefix))
            behind = f"{last[: inner + 1]}{_LAST}"
            if starts_there and inner >= 0 and behind > last:
                pages, last, floor = self._pages(folder, behind), behind, behind

    def _last_in_order(self, page: Sequence[dict[str, Any]], last: str) -> str:
        """Return the last key of a page.

        Raises:
            BadDataError: the keys are not in order, so that some would be missed. No store does so that is known.
        """
        # Placeholders of folders come without the `/` by which they are in order.
        keys = [last, *(meta["path"] for meta in page if meta["size"])]
        if keys != sorted(keys):
            raise BadDataError(
                f"{self._where} lists its keys in another order than that of their bytes, so that some would be missed; what was read before is safe: ask who runs the store."
            )
        return str(keys[-1])

    def _pages(self, folder: str, offset: str | None) -> Iterator[Sequence[dict[str, Any]]]:
        pages = self._asked(
            lambda: iter(self._store.list(folder or None, offset=offset, chunk_size=_LISTED)), "listing"
        )
        while (page := self._asked(lambda: next(pages, None), "listing")) is not None:
            yield page

    def _is_placeholder(self, meta: dict[str, Any]) -> bool:
        """Tell whether an empty object is one whose key ends with `/`, which consoles make for a folder: its name is given without that."""
        if meta["size"] or meta["path"].rpartition("/")[2][:1] in ("_", "."):
            return False
        return self._head(meta["path"]) is None

    def _is_folder(self, folder: str) -> bool:
        """Tell whether a folder without files is there: as a placeholder, which stands beside its content and not in it."""
        return any(meta["path"] == folder for meta in self._listed(folder_of(folder), folder))

    def _head(self, name: str) -> dict[str, Any] | None:
        def ask() -> Any:
            try:
                return self._store.head(name)
            except FileNotFoundError as error:
                is_absent(error, self._where)
                return None

        meta: dict[str, Any] | None = self._asked(ask, f"looking for `{name}` in")
        return meta

    def _range(self, found: Found, start: int, end: int) -> bytes:
        options = {"range": (start, end), **_condition(found)}
        try:
            answer = self._store.get(found.name, options=options)
            self._check_same(found, answer.meta)
            body = answer.bytes()
        except Exception as error:
            raise self._told_apart(
                self._failure(error, f"reading `{found.name}` from", found.name), found
            ) from None
        if len(body) != end - start:
            raise BadDataError(
                f"Expected {end - start} bytes of `{found.name}` in {self._where} from byte {start} on, got {len(body)}; nothing of it that was not "
                "committed counts: run again, and ask who runs the store if that stays."
            )
        return bytes(body)

    def _told_apart(self, failure: Exception, found: Found) -> Exception:
        """Return what a failure is: to Azure the condition of a request is not met by a file that is gone, either."""
        is_gone = type(failure) is FileChanged and self._head(found.name) is None
        return gone(found.name, self._where) if is_gone else failure

    def _check_same(self, found: Found, meta: dict[str, Any]) -> None:
        if not meta:
            raise gone(found.name, self._where)
        if _version(meta) != found.version or meta["size"] != found.size:
            raise changed(found.name, self._where)

    def _asked(self, work: Callable[[], Any], doing: str, name: str | None = None) -> Any:
        try:
            return stop_flag.waiting_for(work, _SAFE)
        except Exception as error:
            raise self._failure(error, doing, name) from None

    def _failure(self, error: Exception, doing: str, name: str | None = None) -> Exception:
        import obstore.exceptions

        if isinstance(error, obstore.exceptions.BaseError | OSError | ValueError):
            return failure_of(error, self._where, doing, self._section, name)
        return error


def _before(folder: str, prefix: str) -> str | None:
    """Return a key behind which all names come that begin with ``prefix``; None: the folder says as much."""
    return prefix[:-1] if len(prefix) > len(folder) + 2 and not prefix.endswith("/") else None


def _found(meta: dict[str, Any], name: str) -> Found:
    modified = _microseconds(meta["last_modified"])
    return Found(name, meta["size"], modified, modified, _version(meta))


def _version(meta: dict[str, Any]) -> str:
    """Return the ETag without its quotes, which Azure gives in one answer and not in another; else size and time."""
    tag = (meta["e_tag"] or "").strip('"')
    return tag or f"{meta['size']}-{_microseconds(meta['last_modified'])}"


def _condition(found: Found) -> dict[str, Any]:
    is_of_time = found.version == f"{found.size}-{found.modified}"
    return {} if is_of_time else {"if_match": f'"{found.version}"'}


def _microseconds(when: datetime) -> int:
    return int(when.timestamp()) * 1_000_000 + when.microsecond
