"""The control socket and ``nskctl``: how people and scripts on this machine operate the daemon.

Newline-delimited JSON-RPC 2.0 on a Unix socket; it can be driven with ``socat``.

``limits``, ``codes``, ``lines``
    bounds; the stable error codes; bytes to lines, sans-IO
``roles``
    who is at the other end of the socket, and what that person may do
``methods``, ``answers``, ``service``
    every method with its role and parameters; the shapes of what comes back; what a daemon implements
``jsonrpc``, ``dispatch``
    requests and answers as lines; from a line to its answer
``events``, ``endpoint``, ``server``
    events for subscribers; the socket file; connections
``client``, ``async_client``, ``app``, ``cli``, ``cli_audit``, ``cli_sql``, ``render``
    small clients; what all commands of ``nskctl`` share; the commands; its tables

Nothing here returns keys, shares or rows.
"""
