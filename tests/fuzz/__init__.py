"""Fuzzing: whatever bytes come, from a peer, a person or a disk, only the documented errors leave.

``target`` says what a target is, ``catalogue`` lists all, one module each group beside it holds them.  ``replay`` runs
what is committed in ``corpus/`` and some mutations without further tools; ``hunt`` looks for more with atheris, one
target in a process, and ``python -m tests.fuzz`` (``make fuzz``) all of them in turn.
"""
