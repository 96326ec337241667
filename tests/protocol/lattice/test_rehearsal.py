"""The rehearsal on a fresh machine computes a real product, and notices when it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.errors import LocalProtocolError
from protocol.lattice import rehearsal


def test_a_wrong_product_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsal.rehearse()
    monkeypatch.setattr(rehearsal, "decrypt", lambda *_: np.zeros((1, 16384), dtype=np.uint64))
    with pytest.raises(LocalProtocolError):
        rehearsal.rehearse()
