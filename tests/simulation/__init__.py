"""Whole workshops under a virtual clock, from one seed: what can go wrong does, and rules are checked at every step.

Read ``machine`` (the computer a centre runs on: clock, randomness, threads, disk), ``disk``, ``medium`` and
``network`` (what they do wrong, and what a power cut leaves), ``edges`` (where all of it is put under the daemon),
``dealt`` (material without lattices), ``workshop`` (the centres, from start to crash to restart), ``workload``
(people who ask and decide), ``faults`` (what goes wrong, when), ``invariants`` (what must hold whatever happens),
``promises`` (what was durable once stays), ``run`` (one seed), ``__main__`` (many of them: ``make soak``) and
``sabotage`` (deliberate defects, which must be found).

Real: the daemon as :func:`nskd.daemon.serve.serve` puts it together, and all that it is made of.  Handshakes and
encryption, lanes and links, sessions, governance with its signatures, ledgers and stock on SQLite files, the audit
log, the local part in DuckDB, the joint part with its MAC checks, generation sessions with what they agree on, store,
confirm and compare.

Replaced: time (a virtual clock; each centre's wall clock is ahead of it or behind), sockets (streams in memory, with
delays and breaks), threads (what would run in one runs at once, after a delay), entropy (from the seed; ephemeral
keys of handshakes excepted, on which nothing that follows depends), signals, and the control socket (people call the
service behind it).  Material and keys of epochs are dealt by the tests' dealer in place of the lattice: the rounds in
which they are made are not those of the protocol; the check, storing and unlocking are.  Pings and housekeeping come
five times less often than in a daemon, with the patience that goes with them, or idle hours would cost the most.  The
self-test of the kernels is made once in a process, the extract of a centre read once, the cells of a table that
nobody can be in found once.  A disk that comes back is a copy, so the stock's own test for copies is told that it is
not.

Not simulated: a power cut takes what was never synced, wholly, in part or not at all, and a commit in any of its
sectors, but a disk keeps what it was asked to sync; files that were removed or cut shorter stay so; a process is never
killed while its machine goes on; a machine's memory is never short; nobody lies but by false shares in openings (other
lies have tests of their own); requests are small tables, without permits or policies.
"""
