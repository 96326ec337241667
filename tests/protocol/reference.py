"""Slow, obviously right counterparts of the kernels, on Python integers."""

from __future__ import annotations

from collections.abc import Sequence

P = (1 << 61) - (1 << 21) + 1


def is_prime(n: int) -> bool:
    """Miller–Rabin with bases that decide every n below 3.3·10^24 (Sorenson and Webster, 2015)."""
    if n < 2:
        return False
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    if n in bases:
        return True
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for base in bases:
        x = pow(base, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def dot(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(int(x) * int(y) for x, y in zip(a, b, strict=True)) % P
