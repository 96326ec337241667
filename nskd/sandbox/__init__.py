"""A whole workshop on one machine: one operating-system process per centre, real channels, real preprocessing.

Read ``layout`` (keys, charter, configuration and data on disk), ``centres`` (the processes), ``drive`` (request,
approvals, result), ``show`` (progress, table, phases) and ``command`` (the options).
"""
