"""How much may come out of what is packed."""

from __future__ import annotations

from dataclasses import dataclass

from tap_files.formats.contract import OtherSettings

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """``most``: bytes that may come out of one file or archive; ``ratio``: how many times the packed bytes.

    ``harmless``: so many may come out whatever went in, as small files of blanks are packed better than anything that is large.
    """

    most: int = 1 << 40
    ratio: int = 500
    harmless: int = 64 * 1024 * 1024

    def check(self, packed: int, unpacked: int) -> None:
        """Hold what came out so far against what went in.

        Raises:
            OtherSettings: it is too much.
        """
        if unpacked > self.most:
            raise OtherSettings(
                f"Expected no more than {self.most} bytes when it is unpacked, got more; raise `unpacked_limit` if that is right"
            )
        if unpacked > self.harmless and unpacked > self.ratio * packed:
            raise OtherSettings(
                f"Expected no more than {self.ratio} times the packed bytes when it is unpacked, as a file that is made to fill disks has, got more "
                f"({unpacked} of {packed}); raise `unpacked_ratio` if that is right"
            )
