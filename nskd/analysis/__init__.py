"""From a request to a plan of public shape, and what the shape alone decides.

Reading order: `shape` (where the cells and margins of a table lie in a vector), `table` (a request →
`TablePlan`), `suppression` (which further cells must stay closed so that no closed one can be worked out from
the margins). The local part of a plan is `nskd.data.query`.
"""
