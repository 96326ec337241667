"""From a request to a plan of public shape, and what the shape alone decides.

Reading order: `shape` (where the cells and margins of a table lie in a vector), `axes` (groups that a request
defines), `readings` (what a kind asks of the codebook), `table` (a request → `TablePlan`), `agreed` (what the charter
asks of it), `impossible` (zeros everybody knows), `suppression` (which further cells must stay closed so that no closed
one can be worked out from the margins), `pairs`, `population` and `populations` (who is in which cell, compared with
earlier tables and kept for later ones), `contribution` (fixed at the first attempt), `release` (the same bytes
everywhere), `hospitals` (what a funnel tells of each), `design` and `regression` (a model: what all know of it, what a
centre makes of its rows). The local part of a plan is `nskd.data.query`, of a model `nskd.data.patterns`.
"""
