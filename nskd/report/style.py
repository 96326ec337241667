"""The style sheet: light and dark, desktop, phone and paper, in variables that the drawings share.

Marks follow the palette of M. Okabe and K. Ito (2008), made for all kinds of colour vision, darkened on white and
lightened on black until each has a contrast of 3:1 with its ground, and text one of 4.5:1 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LIGHT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ground": "#ffffff",
        "panel": "#f4f6f8",
        "text": "#1b2026",
        "muted": "#57606a",
        "rule": "#d5dbe1",
        "accent": "#005a8e",
        "c1": "#0072b2",
        "c2": "#c24e00",
        "c3": "#00805c",
        "c4": "#a15b86",
        "c5": "#8a6d00",
        "c6": "#3a3f47",
    }
)
DARK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ground": "#14181d",
        "panel": "#1e242b",
        "text": "#e8ebee",
        "muted": "#a3adb8",
        "rule": "#36404a",
        "accent": "#7cc4ee",
        "c1": "#56b4e9",
        "c2": "#f28a3c",
        "c3": "#2cc295",
        "c4": "#e39cc4",
        "c5": "#f0d545",
        "c6": "#c8ced6",
    }
)
GROUNDS: Final = ("ground", "panel")
TEXTS: Final = ("text", "muted", "accent")
MARKS: Final = ("c1", "c2", "c3", "c4", "c5", "c6")
PHONE: Final = 640  # CSS pixels; below, drawings are the narrow ones


def _variables(theme: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in theme.items())


SHEET: Final = (
    f":root{{color-scheme:light dark;{_variables(LIGHT)}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    """
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:54rem;margin:0 auto;padding:1.5rem 1.25rem 3rem}
h1{font-size:1.75rem;line-height:1.25;margin:.25rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;line-height:1.3;margin:2.25rem 0 .6rem;padding-top:.9rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:0 0 .25rem}
p{margin:.4rem 0;max-width:44rem}
ul{margin:.4rem 0;padding-left:1.2rem;max-width:44rem}
li{margin:.25rem 0}
p,li,dd{overflow-wrap:anywhere}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:0;font-size:.95rem}
.facts dt{color:var(--muted)}
.facts dd{margin:0}
.notice{border:2px solid var(--c2);padding:.6rem .9rem;margin:0 0 1rem;font-weight:600}
.summary{display:grid;grid-template-columns:1fr 1fr;gap:0 2rem;background:var(--panel);border-left:4px solid var(--c1);
padding:.9rem 1.1rem;margin:1.5rem 0 0}
.summary h2{border:0;margin:0;padding:0;font-size:1rem;color:var(--accent)}
.scroll{overflow-x:auto;margin:.5rem 0}
.scroll:focus-visible,summary:focus-visible{outline:3px solid var(--c1);outline-offset:2px}
table{border-collapse:collapse;font-size:.95rem;font-variant-numeric:tabular-nums}
.caption{font-weight:600;margin:.8rem 0 .2rem}
th,td{padding:.32rem .8rem .32rem 0;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}
thead th{border-bottom:2px solid var(--muted);vertical-align:bottom;font-weight:600}
tbody th{font-weight:400}
th+th,td{padding-left:.4rem}
.n{text-align:right;white-space:nowrap}
thead .n{white-space:normal}
td.hidden{font-weight:700}
.legend{color:var(--muted);font-size:.875rem}
figure{margin:1.25rem 0;break-inside:avoid}
figcaption{font-weight:600;margin-bottom:.5rem}
details{margin:.5rem 0 0;font-size:.95rem}
summary{cursor:pointer;color:var(--accent)}
code{font:.85rem/1.5 ui-monospace,"Cascadia Mono","DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto;overflow:visible;font:13px system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","DejaVu Sans",sans-serif}
svg.wide{max-width:720px}
svg.narrow{max-width:440px;display:none}
svg text{fill:var(--text)}
svg .small{font-size:12px}
svg .strong{font-weight:600}
svg .muted{fill:var(--muted)}
svg .hidden{font-size:18px;font-weight:700}
svg .halo{stroke:var(--ground);stroke-width:5}
svg .tip{fill:var(--text)}
svg line,svg path{fill:none;stroke:var(--muted);stroke-width:1}
svg .grid{stroke:var(--rule)}
svg .axis{stroke:var(--muted)}
svg .ref{stroke:var(--text);stroke-width:1.25}
svg .limit-outer{stroke:var(--c2);stroke-width:1.5}
svg .limit-inner{stroke:var(--c2);stroke-width:1.5;stroke-dasharray:6 4}
svg .widened{stroke:var(--c4);stroke-width:1.25;stroke-dasharray:2 3}
svg .series{stroke:var(--c1);stroke-width:1.5}
svg .model{stroke:var(--c3);stroke-width:2}
svg .dashed{stroke-dasharray:5 4}
svg .change{stroke:var(--muted);stroke-dasharray:3 3;stroke-width:1.5}
svg .whisker{stroke:var(--text);stroke-width:1.5}
svg .track{fill:var(--panel)}
""" + "".join(f"svg .{name}{{fill:var(--{name})}}" for name in MARKS) + f"@media (max-width:{PHONE}px){{"
    "main{padding:1rem .9rem 2rem}h1{font-size:1.4rem}"
    ".summary{grid-template-columns:1fr;row-gap:.8rem}"
    ".facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:.4rem}"
    "table{font-size:.875rem}th,td{padding-right:.5rem}th+th,td{padding-left:.2rem}"
    "svg.wide{display:none}svg.narrow{display:block}}"
    "@media print{body{font-size:10.5pt}main{max-width:none;padding:0}.summary{background:none}"
    "h2{break-after:avoid}tr{break-inside:avoid}.scroll{overflow:visible}"
    "svg.wide{display:block}svg.narrow{display:none}"
    "details>summary{display:none}details::details-content{content-visibility:visible}}"
)
