"""Numbers as Prometheus reads them: the text format, version 0.0.4.  Pure.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import attrs

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NAME: Final = re.compile(r"nskd_[a-z][a-z0-9_]*")
_LABEL: Final = re.compile(r"[a-z][a-z0-9_]*")

Labels = Mapping[str, str]


@attrs.frozen
class Family:
    """One metric: ``samples`` by labels.  A counter's name ends in ``_total``; units are in the name."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: tuple[tuple[Labels, float], ...] = ()

    def __attrs_post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or (self.kind == "counter") is not self.name.endswith("_total"):
            raise ValueError(f"{self.name!r} is no name for a {self.kind}")
        for labels, _ in self.samples:
            if wrong := [label for label in labels if not _LABEL.fullmatch(label)]:
                raise ValueError(f"{wrong[0]!r} is no name for a label")


def gauge(name: str, help: str, value: float) -> Family:  # noqa: A002 - as the format calls it
    """A gauge of one value."""
    return Family(name, "gauge", help, (({}, value),))


def counter(name: str, help: str, value: float) -> Family:  # noqa: A002
    """A counter of one value."""
    return Family(name, "counter", help, (({}, value),))


def by_label(
    name: str,
    kind: Literal["counter", "gauge"],
    help: str,  # noqa: A002
    label: str,
    values: Mapping[str, float],
) -> Family:
    """A metric with one label."""
    return Family(name, kind, help, tuple(({label: key}, value) for key, value in values.items()))


def render(families: Iterable[Family]) -> str:
    """Write them down; a family without samples is left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        described = family.help.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {family.name} {described}", f"# TYPE {family.name} {family.kind}"]
        lines += [f"{family.name}{_labels(labels)} {_number(value)}" for labels, value in family.samples]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Labels) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{written}}}" if written else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if isinstance(value, bool):
        value = int(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(value) if isinstance(value, int) else repr(float(value))
