"""The place of a stream as its files are read: packed ones unpacked, archives as their members."""

from __future__ import annotations

from tap_files.packed.archives import Archives
from tap_files.packed.unpacked import Unpacking
from tap_files.places.contract import Place
from tap_files.settings.stream import StreamSettings

__all__ = ["unpacking"]


def unpacking(settings: StreamSettings, place: Place) -> tuple[Unpacking, Archives]:
    """Return the place around ``place``, and what of it holds archives until it is closed."""
    members = Archives(place, settings.pattern.fits, settings.members, settings.limits)
    return Unpacking(members, settings.compression, settings.limits, is_text=settings.format.is_text), members
