"""Figures over a wide-area network, computed from what was measured on loopback (``docs/benchmarks.md``).

Parties speak at once, so a round costs one delay.  A centre's uplink carries what it sends to all others, one byte
after another.  Nothing is taken to overlap: time = time on loopback + rounds·delay + bytes·8 / bandwidth.
"""

from __future__ import annotations

from typing import Final

import attrs

from tests.bench.figures import Figure, Traffic


@attrs.frozen
class Wan:
    """A network: delay from any centre to any other, and the bandwidth of each centre's uplink."""

    name: str
    delay_s: float
    bits_per_s: float

    def seconds(self, traffic: Traffic) -> float:
        """What takes ``traffic.seconds`` on loopback would take so long here."""
        wire_s = traffic.bytes_sent * 8 / self.bits_per_s
        return traffic.seconds + traffic.rounds * self.delay_s + wire_s


WANS: Final = (Wan("100mbit", 0.020, 100e6), Wan("1gbit", 0.020, 1e9))


def computed(traffic: Traffic, wan: Wan) -> Figure:
    """The figure of ``traffic`` over ``wan``, labelled as computed."""
    seconds = wan.seconds(traffic)
    note = (
        f"computed: {traffic.seconds:.3g} s on loopback + {traffic.rounds} rounds of {wan.delay_s * 1e3:.0f} ms"
        f" + {traffic.bytes_sent / 1e6:.3g} MB at {wan.bits_per_s / 1e6:.0f} Mbit/s"
    )
    value, unit = (seconds, "s") if traffic.units is None else (traffic.units / seconds, "1/s")
    return Figure(f"{traffic.name}@{wan.name}", traffic.parties, value, unit, note)
