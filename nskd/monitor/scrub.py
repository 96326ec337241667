"""Text without the values that stand in it: for tracebacks, and for what leaves the machine to get help.

The words of an error are ours or a library's; the values are what was read, computed or typed.  Values stand between
quotes, are long numbers, or long runs of hexadecimal or base64 digits; paths tell how a hospital names things.
"""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "…"
_QUOTED: Final = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`[^`\n]*`""")
# An apostrophe within a word (centre's) is no quote.
_APOSTROPHE: Final = re.compile(r"(?<=\w)'(?=[a-z]{1,2}\b)")
_STANDS_IN: Final = "\ue000"
_LONG_NUMBER: Final = re.compile(r"\d{7,}")
_LONG_TOKEN: Final = re.compile(r"\b(?=[A-Za-z0-9+_=-]*\d)[A-Za-z0-9+_=-]{16,}")
_PATH: Final = re.compile(r"(?<![\w/])/(?:[^\s:;,'\"/]+/)*[^\s:;,'\"/]+")


def without_values(text: str, *, paths: bool = False) -> str:
    """``text`` with its values hidden; ``paths`` hides paths as well."""
    text = _QUOTED.sub(f"'{HIDDEN}'", _APOSTROPHE.sub(_STANDS_IN, text)).replace(_STANDS_IN, "'")
    if paths:
        text = _PATH.sub(f"/{HIDDEN}", text)
    return _LONG_NUMBER.sub(HIDDEN, _LONG_TOKEN.sub(HIDDEN, text))
