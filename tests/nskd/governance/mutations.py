"""Bytes that are almost right: one change somewhere in genuine ones."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def mutated(draw: st.DrawFn, genuine: bytes) -> bytes:
    """Genuine bytes with one to three places flipped, cut out, doubled, replaced or cut off."""
    data = bytearray(genuine)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        until = min(len(data), at + draw(st.integers(1, 40)))
        match draw(st.sampled_from(("flip", "cut", "double", "insert", "end"))):
            case "flip" if data:
                data[at] ^= draw(st.integers(1, 255))
            case "cut":
                del data[at:until]
            case "double":
                data[at:at] = data[at:until]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=24))
            case _:
                del data[at:]
    return bytes(data)
