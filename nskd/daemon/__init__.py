"""The daemon put together: one process per centre.

Read ``workshop`` (what a centre knows), ``auditor`` with ``journal`` and ``heads`` (what is put on record),
``charters`` and ``endings`` (the charter in force, and what ends with the one before), ``workers`` (threads for
kernels), ``notices`` (requests and approvals travel), ``epochs`` (the keys), ``generation``
with ``demand``, ``needs``, ``inventory`` and ``turns`` (material in the background), ``history`` (earlier tables),
``requester`` (this centre's own requests), ``run_judge`` with ``allowance`` (whether to take part), ``runs`` with
``objections``, ``wanted`` and ``failures`` (taking part, and what became of it), ``service`` and ``answers`` (what the
control socket offers), ``start`` (papers that agree), ``daemon`` (the parts and what they do) and ``serve`` (from start
to stop).
"""
