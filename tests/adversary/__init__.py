"""The adversary catalogue: every message that one centre can send another, and every lie in it, before real receivers.

``lies`` names the lies and makes the generic ones from a message; ``control`` has the typed messages between daemons,
``steps`` the labelled exchanges within sessions, and ``labels`` finds in the code which there are.
"""
