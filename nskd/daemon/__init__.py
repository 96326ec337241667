"""The daemon put together: one process per centre.

Read ``workshop`` (what a centre knows), ``workers`` (threads for kernels), ``notices`` (requests and
approvals travel), ``generation`` (material in the background), ``runs`` (an analysis from approval to release),
``service`` (what the control socket offers) and ``daemon`` (start, recovery, stop).
"""
