"""``nskd`` on a machine whose clock is ahead: ``later.py FILE run …``, where FILE says by how many seconds.

The file is read whenever the time is asked for, so that months can pass while a daemon runs.  What a daemon waits for
goes by another clock, which nothing here touches.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from nskd.__main__ import main

_now = time.time


def _later() -> float:
    return _now() + int(_ahead.read_text())


if __name__ == "__main__":
    _ahead = Path(sys.argv.pop(1))
    time.time = _later
    main()
