"""What can go wrong with the stock, as sentences for an operator."""

from __future__ import annotations

from nskd.errors import OperatorError


class StockError(OperatorError):
    """The stock of preprocessing cannot be read, written or used as asked."""


class StockInUseError(StockError):
    """Another process holds this stock."""


class StockDamagedError(StockError):
    """Something on disk is not what was written there; what it held has been given up."""


class SegmentRefusedError(StockError):
    """A range of stock that is not free here: used, burnt, locked, or never made; perhaps a peer named it."""


class NotReservedError(StockError):
    """A session without a reservation, or one that had its material already."""


class ShortOfStockError(StockError):
    """Less is ready than a session needs; ``missing`` says how many items of each kind."""

    def __init__(self, missing: dict[str, int], *, where: str) -> None:
        self.missing = missing
        kinds = ", ".join(f"{count} more of {kind}" for kind, count in sorted(missing.items()))
        super().__init__(
            f"the stock is short: {kinds} needed",
            where=where,
            remedy="Wait until more has been made, or raise the watermarks in [stock].",
        )
