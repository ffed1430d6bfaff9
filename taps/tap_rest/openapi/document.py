"""An OpenAPI document (3.0, 3.1) or a Swagger one (2.0), in JSON or YAML, from a file: its paths, its components, its references."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec

from singerkit_shell.configfile import read_text, reason_of
from singerkit_shell.errors import ConfigurationError
from tap_rest.openapi.yamltree import tree_of

__all__ = ["METHODS", "Document", "read_document"]

METHODS = ("get", "post", "put", "patch")
"""Those that tap-rest asks by."""
_LARGEST = 64 << 20  # bytes
_LONGEST_CHAIN = 100  # references that lead to references

Node = Mapping[str, Any]


class Document:
    """What a file says; ``file`` names it in errors."""

    def __init__(self, file: str, root: Node) -> None:
        self.file = file
        self.root = root

    @property
    def is_swagger(self) -> bool:
        """Whether it is of version 2.0, which has its schemas and servers elsewhere."""
        return "swagger" in self.root

    @property
    def schemas(self) -> Node:
        """The schemas by name."""
        return self.named("schemas", "definitions")

    def named(self, component: str, of_swagger: str) -> Node:
        """Return what the document names of one kind; Swagger has each kind at its top."""
        return (
            node_at(self.root, of_swagger) if self.is_swagger else node_at(self.root, "components", component)
        )

    def operations(self) -> Iterator[tuple[str, str, Node]]:
        """Yield path, method and operation of all that tap-rest can ask for."""
        for path, item in node_at(self.root, "paths").items():
            said = self.resolved(item)
            for method in METHODS:
                if isinstance(said.get(method), Mapping):
                    yield str(path), method, said[method]

    def resolved(self, node: Any) -> Node:
        """Return what a node refers to, itself without a reference; an empty one where that is nowhere in the document."""
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(node, Mapping):
                return {}
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            node = self._target(reference)
        return {}

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return None  # another document: nothing is fetched
        node: Any = self.root
        for part in reference[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list):
                node = (
                    node[int(name)] if name.isascii() and name.isdigit() and int(name) < len(node) else None
                )
            else:
                node = node.get(name) if isinstance(node, Mapping) else None
        return node


def node_at(node: Any, *names: str) -> Node:
    """Return the object at ``names`` below a node, an empty one where there is none."""
    for name in names:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def read_document(file: str) -> Document:
    """Read a document; one that was read before, and is the same, is not read again.

    Raises:
        ConfigurationError: the file cannot be read, or is no such document.
    """
    try:
        stat = os.stat(file)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The OpenAPI document {file} cannot be read ({reason_of(error)}); nothing was read, check its path."
        ) from None
    return _read(file, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@lru_cache(4)
def _read(file: str, _version: tuple[int, ...]) -> Document:
    try:
        text = read_text(file, _LARGEST).removeprefix("\ufeff")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The OpenAPI document {file} cannot be read ({reason_of(error)})."
        ) from None
    root = _root_of(text, file)
    version = str(root.get("openapi") or root.get("swagger") or "")
    if not version.startswith(("3.0", "3.1", "2.0")):
        got = f"version `{version[:20]}`" if version else "neither `openapi` nor `swagger` at its top"
        raise ConfigurationError(
            f"Expected an OpenAPI document of version 3.0, 3.1 or 2.0 in {file}, got {got}; nothing was read."
        )
    return Document(file, root)


def _root_of(text: str, file: str) -> Node:
    try:
        root = msgspec.json.decode(text) if text.lstrip()[:1] == "{" else tree_of(text)
    except RecursionError:
        raise ConfigurationError(f"The OpenAPI document {file} is nested too deeply.") from None
    except ValueError as error:  # msgspec's is one
        raise ConfigurationError(f"The OpenAPI document {file} is neither JSON nor YAML ({error}).") from None
    if not isinstance(root, Mapping):
        raise ConfigurationError(f"Expected an OpenAPI document in {file}, got no object.")
    return root
