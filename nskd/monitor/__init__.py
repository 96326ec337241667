"""Whether a centre is well, in words, in numbers and in one file for whoever helps.  Read in this order.

``limits``
    bounds, and the levels from which on something is worth a person's attention
``findings``
    what can be wrong, how badly, and the verdict over all of it; each has its entry in ``docs/operations.md``
``exposition``
    numbers as Prometheus reads them
``endpoint``
    the same for a collector on this machine, over HTTP on the loopback address; off unless configured
``scrub``
    text without the values that stand in it

Nothing in here names a person, a row or a request.  What is measured where is in ``nskd.daemon.health`` and
``nskd.daemon.metrics``.
"""
