"""What a file is: by the bytes with which it begins, where these tell, else by the ending of its name."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["media_type"]

_MAGIC: Sequence[tuple[int, bytes, str]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBPVP8", "image/webp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"%PDF-", "application/pdf"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/x-matroska"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (257, b"ustar", "application/x-tar"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"Obj\x01", "application/avro"),
    (0, b"ARROW1", "application/vnd.apache.arrow.file"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"wOF2", "font/woff2"),
    (0, b"\0asm", "application/wasm"),
    (0, b"\x7fELF", "application/x-elf"),
)
_RIFF = frozenset({"image/webp", "audio/wav", "video/x-msvideo"})
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OF_ZIP = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "epub": "application/epub+zip",
    "jar": "application/java-archive",
}
_OF_OLE = {
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
}
_OF_TEXT = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "htm": "text/html",
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "md": "text/markdown",
    "json": "application/json",
    "geojson": "application/geo+json",
    "jsonl": "application/jsonl",
    "ndjson": "application/x-ndjson",
    "xml": "application/xml",
    "svg": "image/svg+xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "eml": "message/rfc822",
    "ics": "text/calendar",
    "vcf": "text/vcard",
}
_OTHERS = {
    "mp3": "audio/mpeg",
    "webm": "video/webm",
    "bmp": "image/bmp",
    "woff": "font/woff",
    "ttf": "font/ttf",
}


def media_type(beginning: bytes, name: str, *, is_text: bool) -> str:
    """Return the type of a file; ``application/octet-stream`` where nothing tells it."""
    ending = name.rpartition("/")[2].rpartition(".")[2].lower() if "." in name else ""
    if beginning.startswith(_ZIP):
        return _OF_ZIP.get(ending, "application/zip")
    if beginning.startswith(_OLE):
        return _OF_OLE.get(ending, "application/x-ole-storage")
    if not is_text or beginning.startswith((b"%PDF-", b"{\\rtf")):
        found = _by_magic(beginning)
        if found == "video/x-matroska" and ending == "webm":
            return "video/webm"
        return found or (
            _OTHERS.get(ending, "application/octet-stream") if beginning else _of_nothing(ending)
        )
    return _OF_TEXT.get(ending, "text/plain")


def _of_nothing(ending: str) -> str:
    return _OF_TEXT.get(ending, "application/octet-stream")


def _by_magic(beginning: bytes) -> str | None:
    for offset, magic, kind in _MAGIC:
        if beginning[offset : offset + len(magic)] == magic:
            return kind if kind not in _RIFF or beginning.startswith(b"RIFF") else None
    if beginning.startswith(b"BM") and beginning[6:10] == bytes(4):
        return "image/bmp"
    if len(beginning) > 2 and beginning[0] == 0xFF and beginning[1] & 0xE6 in (0xE2, 0xE4, 0xE6):
        return "audio/mpeg"
    return None
