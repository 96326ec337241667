"""Public coordinates in which a joint information is near a multiple of the identity (``docs/protocol.md``, 18.8).

Everything here is arithmetic on public numbers, operation by operation in a fixed order, so that it gives every centre
the same.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from protocol.errors import LocalProtocolError
from protocol.online.inverse import SCALE_BITS

Array = npt.NDArray[np.float64]
Vector: TypeAlias = tuple[float, ...]


@attrs.frozen
class Frame:
    """T with T'MT = 2^−3, M what is expected of the information; b = T·c are coefficients.

    ``rows``: T.  ``units`` and ``directions``: the length of each row and the row divided by it; a coefficient's
    variance is unit² · t'Vt with V the inverse information in these coordinates.
    """

    rows: tuple[Vector, ...]
    units: Vector
    directions: tuple[Vector, ...]

    @classmethod
    def of(cls, expected: Array) -> Frame:
        """From M, symmetric; raises :class:`LocalProtocolError` unless it is positive definite."""
        root = _cholesky(expected.tolist())
        inverse = _triangular_inverse(root)
        scale = math.ldexp(1.0, -SCALE_BITS) ** 0.5
        size = len(inverse)
        rows = tuple(tuple(scale * inverse[k][j] for k in range(size)) for j in range(size))
        units = tuple(math.sqrt(math.fsum(each * each for each in row)) for row in rows)
        directions = tuple(tuple(each / unit for each in row) for row, unit in zip(rows, units, strict=True))
        return cls(rows, units, directions)

    def information(self, information: Array) -> Array:
        """T'HT."""
        t = np.array(self.rows)
        found: Array = t.T @ information @ t
        return found

    def gradient(self, gradient: Array) -> Array:
        """T'g."""
        found: Array = np.array(self.rows).T @ gradient
        return found

    def back(self, step: Vector) -> Vector:
        """T·c."""
        return tuple(math.fsum(t * c for t, c in zip(row, step, strict=True)) for row in self.rows)

    def length(self, step: Vector) -> float:
        """About √(c'T'HTc): how long a step is, in standard errors."""
        return math.sqrt(math.ldexp(math.fsum(c * c for c in step), -SCALE_BITS))


def _cholesky(matrix: list[list[float]]) -> list[list[float]]:
    """L with LL' = M (lower triangular)."""
    size = len(matrix)
    root = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j] - math.fsum(root[i][k] * root[j][k] for k in range(j))
            if i != j:
                root[i][j] = rest / root[j][j]
            elif rest > 0.0 and math.isfinite(rest):
                root[i][i] = math.sqrt(rest)
            else:
                raise LocalProtocolError("what is expected of the information is not positive definite")
    return root


def _triangular_inverse(root: list[list[float]]) -> list[list[float]]:
    """L⁻¹, row by row."""
    size = len(root)
    inverse = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i):
            inverse[i][j] = -math.fsum(root[i][k] * inverse[k][j] for k in range(j, i)) / root[i][i]
        inverse[i][i] = 1.0 / root[i][i]
    return inverse
