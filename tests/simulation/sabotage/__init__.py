"""Deliberate defects of the daemon, each of a kind that a real mistake would make, and what must find them.

A simulation that finds nothing proves nothing until it has found what is there.  ``joint`` breaks the joint
computation and what it takes to begin one, ``records`` what is on disk, ``running`` how a daemon keeps going;
``python -m tests.simulation.sabotage`` (``make soak-sabotage``) runs workshops with one defect at a time, and fails if
one is not found, or as something else than what it is.
"""
