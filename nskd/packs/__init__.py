"""A domain as files: what a visit is, which values a field may hold, and how a made-up extract looks.

Reading order: `codebook` (the model everything else is written against), `conditions` (the one small grammar
of conditions, with an SQL and a numpy backend), `schema` (the shape of the TOML files), `reader` (files →
model, with errors that name file, key and remedy), `pack` (a directory or a built-in name → `Pack` and its
digest), `synthetic` (a declarative generator of extracts). The first pack is `nsk/`; writing another takes
files, not code.
"""
