"""The text of a charter's next version: the same, with its number and its predecessor written into it.

Comments and layout stay, since people have written them for each other.
"""

from __future__ import annotations

import re
from typing import Final

from nskd.governance.charter import Charter, CharterError, parse_charter

# A key of the top-level table stands before the first table heading.
_HEADING: Final = re.compile(r"(?m)^\s*\[")
_VERSION: Final = re.compile(r"(?m)^[ \t]*version[ \t]*=[ \t]*[0-9_]+")
_PREVIOUS: Final = re.compile(r"(?m)^[ \t]*previous[ \t]*=.*\n?")


def amended_text(charter: Charter) -> bytes:
    """Return the bytes of the version that follows, which still says the same; to be edited by people.

    Raises :class:`~nskd.governance.charter.CharterError` for a charter written in a way this cannot be done to.
    """
    text = charter.raw.decode()
    heading = _HEADING.search(text)
    end = len(text) if heading is None else heading.start()
    top, rest = _PREVIOUS.sub("", text[:end]), text[end:]
    lines = f'version = {charter.version + 1}\nprevious = "{charter.digest.hex()}"'
    top, found = _VERSION.subn(lines, top, count=1)
    if not found:  # version 1 may go unsaid
        top = f"{lines}\n{top}"
    raw = (top + rest).encode()
    try:
        after = parse_charter(raw)
    except CharterError:
        after = None
    if after is None or (after.version, after.previous) != (charter.version + 1, charter.digest):
        raise CharterError(
            "its version cannot be counted up in the text",
            where="charter",
            remedy=f"Write these two lines at its top: {lines}".replace("\n", "; "),
        )
    return raw
