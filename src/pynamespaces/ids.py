"""NamespaceId: (device, inode), which is what makes two namespaces of a kind the same while they live."""

from __future__ import annotations

import re

from pynamespaces import kinds
from pynamespaces.kinds import Kind
from pynamespaces.values import value

_TEXT = re.compile(r"([a-z]+)(?:_for_children)?:\[([0-9]+)\]\Z", re.ASCII)


@value(frozen=True)
class NamespaceId:
    """A namespace's device and inode on nsfs; inodes are used again as soon as a namespace is gone."""

    dev: int
    ino: int

    @staticmethod
    def parse(text: str, /, dev: int = 0) -> tuple[Kind, NamespaceId]:
        """Read ``"net:[4026531840]"``, as /proc/PID/ns, mountinfo and lsns spell it.

        Args:
            text: the link's text.
            dev: nsfs's device number, which the text does not tell.

        Raises:
            ValueError: not of that form, or an unknown kind.
        """
        match = _TEXT.match(text)
        if match is None:
            raise ValueError(f"not a namespace's name: {text!r}; expected one like 'net:[4026531840]'")
        return kinds.row(match[1]).kind, NamespaceId(dev, int(match[2]))

    def text(self, kind: Kind | str, /) -> str:
        """``"net:[4026531840]"``."""
        return f"{kinds.row(kind).name}:[{self.ino}]"
