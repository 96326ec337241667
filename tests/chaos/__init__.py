"""Chaos among real daemons: processes killed and links broken at random, from a seed, while they work.

Read ``network`` (how packets fare between centres) and ``namespaces`` (a machine of its own for each centre, joined by
that network), ``site`` (five centres laid out on them), ``faults`` (what goes wrong, drawn from a seed), ``workload``
(what is asked, and who decides), ``watch`` (how things stand, and what was going on), ``invariants`` (what must hold in
the end), ``__main__`` (``make chaos``).  ``cases`` are single faults of the network, one by one; ``make chaos`` runs
them first.
"""
