"""Released counts → the figures that clinicians read.  Pure: tables in, frozen objects out; no I/O, no clock, no MPC.

A count is a whole number, or ``None`` where the cell was suppressed.  A figure that cannot be computed is a
:class:`~nskd.statistics.figure.Figure` without a value and with the reason why: nothing is ever filled in.

``scipy`` is imported by the functions that need it, when they are called: the daemon does without.
"""
