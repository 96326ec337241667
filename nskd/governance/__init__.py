"""Who may ask what of whom: charter, requests, approvals, and this centre's ledger of them.

``limits``, ``toml``, ``signing``
    bounds; a TOML table read key by key; labelled, length-prefixed signatures and digests
``sshsig``, ``steward``
    signatures as ``ssh-keygen`` makes them; the persons who give them
``charter``, ``request``, ``approval``
    the three documents centres sign or agree on, each with its own reader and verifier
``question``, ``request_text``
    what a request asks, of whatever kind; its text, key by key
``charter_signatures``, ``succession``, ``charter_store``, ``amendment``, ``charter_diff``
    who has signed a charter; which may follow which; those taken up here; the next text; what it changes
``statement``, ``verification``, ``tally``, ``words``
    what a steward signs; whether an approval holds; where a request stands; the table of all words on disk
``standing_policy``, ``own_policy``
    a steward's word in advance on requests of one shape; this centre's, on disk
``permit``, ``retention_table``
    what an authority allows, and until when its results are kept
``policy``, ``explain``
    a centre's own check of a request, rule by rule; the same request in plain Dutch and English
``audit``, ``audit_file``, ``audit_heads``, ``audit_check``, ``audit_fhir``
    the audit log's entries and their chain; on disk; what is held of other centres' logs; verified by an auditor;
    as FHIR R4 and NEN 7513
``lifecycle``, ``database``, ``ledger``, ``threaded``
    the states of a request as one table; requests, approvals and results on disk; the same for an event loop

No clock is read in here: every ``now`` is an argument, in whole seconds since 1970 (UTC).
"""
