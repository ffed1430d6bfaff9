"""Elements of HTML and SVG, which the standard library writes out: whatever a text holds, it is a text."""

from __future__ import annotations

import re
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

from singerkit_shell.secrets import redactor

__all__ = ["Children", "document", "element", "sentence"]

Children: TypeAlias = Element | str | None
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def element(tag: str, *children: Children, **attributes: str | float | None) -> Element:
    """Return one with texts and elements inside; an attribute `class_` is `class`, `stroke_width` is `stroke-width`, and None is left out."""
    made = Element(
        tag,
        {
            name.rstrip("_").replace("_", "-"): clean(str(value))
            for name, value in attributes.items()
            if value is not None
        },
    )
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif child:
            _add_text(made, clean(child))
    return made


def _add_text(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def clean(text: str) -> str:
    """Return a text without secrets, and without what no document may hold."""
    return _CONTROLS.sub("\ufffd", redactor.mask(text))


def sentence(text: str) -> list[Element | str]:
    """Return the parts of a text in which `words` stand that are typed."""
    parts = clean(text).split("`")
    if len(parts) % 2 == 0:
        return [text]
    return [element("code", part) if at % 2 else part for at, part in enumerate(parts)]


def document(root: Element) -> str:
    return f"<!DOCTYPE html>\n{tostring(root, encoding='unicode', method='html')}\n"
