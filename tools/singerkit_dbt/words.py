"""How names and sentences of others stand in the files of dbt: in SQL and in YAML, both of which dbt reads as templates of Jinja first."""

from __future__ import annotations

import hashlib
import re

__all__ = ["column", "plain_name", "quoted", "shortened", "text", "value", "yaml_text"]

_LONGEST = 63
"""Letters of the name of a model, which becomes that of a view; PostgreSQL takes no more."""
_HASH_DIGITS = 8

_OPENS = re.compile(r"\{(?=[{%#])")
_TEMPLATE_BRACE = "{{ '{' }}"
_CALL = re.compile(r"\s*(?:env_var|ref|var|source|doc)\s*\(")
"""How an argument of a test begins that dbt takes for a call."""
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def plain_name(name: str) -> str:
    """Return a name of small letters, digits and `_`; where there is none in it, or too many, with a hash of all of it."""
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    plain = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    if plain and name.isascii():
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{plain}_{digest}" if plain else f"name_{digest}"


def shortened(name: str) -> str:
    """Return a name of a model that is not too long: its beginning and a hash of all of it, where it was."""
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{name[: _LONGEST - _HASH_DIGITS - 1]}_{digest}"


def quoted(name: str) -> str:
    """Return a name as SQL has it in any case."""
    return '"' + name.replace('"', '""') + '"'


def _templated(words: str) -> str:
    """Return what Jinja makes these words of."""
    found = _OPENS.sub(_TEMPLATE_BRACE, words)
    return found.replace("\r", "{{ '\\r' }}")  # it makes a line feed of one that stands there


def column(name: str) -> str:
    """Return a column as it stands in the SQL of a model."""
    return _templated(quoted(name))


def text(words: str) -> str:
    """Return words as a text of YAML that Jinja reads before dbt takes it."""
    return yaml_text(_templated(words))


def value(words: str) -> str:
    """Return a value as a text of YAML which dbt puts between quotes of SQL as it stands."""
    in_sql = words.replace("'", "''")
    if _CALL.match(in_sql):
        return yaml_text(f"{{{{ '' }}}}{_templated(in_sql)}")
    return text(in_sql)


def yaml_text(words: str) -> str:
    """Return words as a text of YAML, in double quotes."""
    return '"' + "".join(map(_in_yaml, words)) + '"'


def _in_yaml(letter: str) -> str:
    if letter in _ESCAPED:
        return _ESCAPED[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xD800 <= code <= 0xDFFF:
        return "�"  # no text has it
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
