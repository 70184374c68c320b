"""The one place where the C floor's -errno becomes an OSError."""

from __future__ import annotations

import os


def checked(answer: int, call: str, path: str | bytes | os.PathLike[str] | None = None) -> int:
    """Return the answer of a call, or raise the OSError that a negative one stands for.

    Args:
        answer: what the C floor said: >= 0, or -errno.
        call: the call in the man page's words, for the message.
        path: what it was done to, where that is a file; becomes ``filename``.
    """
    if answer >= 0:
        return answer
    text = f"{call}: {os.strerror(-answer)}"
    raise OSError(-answer, text) if path is None else OSError(-answer, text, os.fspath(path))
