"""A whole workshop on one machine: one operating-system process per centre, real channels, real preprocessing.

Read ``options`` and ``prepare`` (what is asked, checked before anything starts), ``layout`` (keys, charter,
configuration and data on disk), ``centres`` (the processes), ``drive`` (request, approvals, result), ``watch``
(progress), ``show`` (table, phases), ``workshop`` (all of these in order) and ``command`` (the command line).
"""
