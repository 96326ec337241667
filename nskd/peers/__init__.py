"""The mesh of encrypted links between this centre and its peers.

``lanes``
    the three lanes, their bounds, and the hello that opens each
``line``, ``frames``
    raw bytes with as few system calls as possible; encrypted frames in large buffers
``secure``, ``stream``
    the encrypted trio stream; handshake and message stream
``greeting``
    from a raw connection to an admitted peer: who may come in, and what both sides are told if not
``complaints``
    what went wrong with a connection, said once and with a remedy
``link``, ``control``
    one live connection: a reader, a bounded writer; ping, pong and dispatch on the control lane
``dialer``, ``listener``
    who connects to whom, again and again, and how little a stranger can cost
``inbox``, ``channel``
    what waits to be asked for; the message path of one session
``mesh``
    all of it, for all peers
"""
