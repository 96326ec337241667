"""What the centres say to each other, and why it is safe.

Pure: bytes, arrays and coroutines.  No clock, disk, socket, randomness or log of its own: those are arguments.
Every module points at the numbered steps of ``docs/protocol.md``.  Read in this order:

``errors``, ``limits``
    the two families of error; every bound with its reason
``noise``, ``wire``, ``messages``
    handshake to transport; frames; the control lane's typed messages
``field``, ``prg``
    F_p on numpy arrays; seeds to uniform elements, and the one labelled hash
``shares``, ``party``, ``checking``, ``material``
    authenticated shares; a party's seat: exchange, broadcast, coin; openings and their MAC check; what is consumed
``lattice``
    ring, transform, encryption, proof of plaintext knowledge
``offline``
    an epoch's keys; masks, triples, squares and bits
``online``
    arithmetic, comparison, disclosure decisions
"""
