"""Agreeing on a session before it starts, running it at every centre, and ending it everywhere.

``proposal``
    what is agreed, as bytes, and the session id made from them
``kinds``
    what the owner of a kind of session provides: a judge, a run, a clean-up
``attempt``
    one session at this centre: what both sides of the agreement do alike
``coordinator``, ``responder``
    the two sides
``manager``
    slots, routing of control messages, and :meth:`~nskd.sessions.manager.SessionManager.propose`

The agreement, per session::

    coordinator              every other party
      judge, open channel
      Propose(body)      ->
                              judge, open channel
                         <-   Accept | Refuse
      Start              ->
      confirm            <->  confirm               all to all, on the data lane: the digest of the whole body
      run                <->  run

Anybody may send Abort at any time, and a party that ends in any other way than success does.
"""
