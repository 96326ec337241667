"""Every bound on what a peer, a file or a queue may make us hold or wait for, each with its reason."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# --- parties ---------------------------------------------------------------------------------------------
PARTIES_MIN: Final = 2
PARTIES_MAX: Final = 16  # compute centres; the flooding and decryption bounds of protocol.md use it

# --- channel (protocol.md, section 1) -----------------------------------------------------------------------
NOISE_MESSAGE_BYTES_MAX: Final = 65_535  # fixed by the Noise specification, revision 34, section 3
NOISE_REKEY_MESSAGES: Final = 1 << 20  # 64 GiB at full size: far below what AES-GCM allows under one key
NOISE_NONCE_MAX: Final = 1 << 40  # hard stop, 2^24 below the reserved nonce 2^64 - 1

# --- wire (section 2) ---------------------------------------------------------------------------------------
HEADER_BYTES_MAX: Final = 1 * KIB
MESSAGE_PARTS_MAX: Final = 16
MESSAGE_DIMENSIONS_MAX: Final = 3
STEP_BYTES_MAX: Final = 64
SESSION_BYTES: Final = 16
CONTROL_MESSAGE_BYTES_MAX: Final = 1 * MIB  # a request, an approval, a proposal
ONLINE_MESSAGE_BYTES_MAX: Final = 64 * MIB  # 8 million field elements in one opening
OFFLINE_MESSAGE_BYTES_MAX: Final = 256 * MIB  # a batch of ciphertexts with its proof

# --- offline phase (sections 6 to 8) -------------------------------------------------------------------------
OFFLINE_BATCH_CIPHERTEXTS_MAX: Final = 192  # per party and session; more would not fit one message
# Ciphertexts of all parties that a session may hold, 1.2 MB each: what a centre lends to generation, whatever n is.
OFFLINE_SESSION_CIPHERTEXTS_MAX: Final = 432

# --- waiting ------------------------------------------------------------------------------------------------
HANDSHAKE_TIMEOUT_S: Final = 10.0
ROUND_TIMEOUT_S: Final = 120.0  # one protocol round, the slowest peer included
SESSION_ACCEPT_TIMEOUT_S: Final = 30.0
SESSION_QUEUE_MESSAGES_MAX: Final = 8  # per peer and session: a lockstep protocol needs two

# --- links between peers (nskd/peers) -----------------------------------------------------------------------
CENTRE_NAME_BYTES_MAX: Final = 64  # names are table headings and log fields
HELLO_BYTES_MAX: Final = 512  # a version, a lane and a name
CONNECT_TIMEOUT_S: Final = 10.0  # TCP to a hospital next door; a dead address must not hold a dialer longer
UNAUTHENTICATED_CONNECTIONS_MAX: Final = 64  # all peers may return at once: 15 peers on 3 lanes are 45
REDIAL_FIRST_S: Final = 0.1  # centres that start together find each other within one progress line
REDIAL_MAX_S: Final = 30.0  # a centre back from maintenance is seen within half a minute
LINK_SETTLED_S: Final = 1.0  # a link that lived this long earns an immediate redial; shorter ones back off
LINK_OUTBOX_MESSAGES_MAX: Final = 64  # messages one peer leaves unread before its link is given up
LINK_FLUSH_S: Final = 2.0  # grace for the message in flight and the farewell when a link or session ends
PING_INTERVAL_S: Final = 10.0
LIVENESS_TIMEOUT_S: Final = 35.0  # three pings lost and a little: shorter than one round's patience
CONTROL_QUEUE_MESSAGES_MAX: Final = 64  # control messages of one peer waiting for their handler
FAULT_MEMORY: Final = 256  # distinct complaints remembered so that each is logged once

# --- sessions (nskd/sessions) -------------------------------------------------------------------------------
SESSION_QUEUE_WAIT_S: Final = 60.0  # a peer may run ahead while we compute; half a round, then it is at fault
SESSION_SLOT_WAIT_S: Final = 5.0  # an asked centre may still be tidying up after the session before
SESSION_LINKS_WAIT_S: Final = 8.0  # an asked centre's links to the other parties may be seconds behind ours
SESSION_JUDGE_TIMEOUT_S: Final = 15.0  # checks and a durable reservation; all three below accept's 30 s
SESSION_START_TIMEOUT_S: Final = 45.0  # accept timeout of the coordinator, and time for its Start to travel
SESSION_CLEANUP_TIMEOUT_S: Final = 30.0  # burning a reservation is one local write
SESSIONS_SEEN_MAX: Final = 1 << 16  # ids remembered against replay, 1 MiB; the stockpile forgets nothing
PROPOSAL_BYTES_MAX: Final = 256 * KIB
PROPOSAL_EXTRA_BYTES_MAX: Final = 64 * KIB  # what a kind of session adds: sizes, public keys, digests
PROPOSAL_KINDS_MAX: Final = 64  # kinds of stock in one proposal: triples, squares, bits, a mask per party
PROPOSAL_SEGMENTS_MAX: Final = 4096  # ranges of stock in one proposal, all kinds together
STOCK_POSITION_MAX: Final = 1 << 48  # start and stop of a range; far above any batch
REFUSAL_CHARACTERS_MAX: Final = 300  # one sentence for an operator

# --- audit logs (section 13) --------------------------------------------------------------------------------
AUDIT_SEQUENCE_MAX: Final = 1 << 48  # keeps numbers of entries inside 64 bits
AUDIT_DIGESTS_MAX: Final = 4096  # in one answer, 128 KiB: as many entries as a busy centre writes in two months
AUDIT_HEADS_WAITING_MAX: Final = 64  # signed heads of one centre that still have to be proved
AUDIT_HASHES_HELD_MAX: Final = (
    8192  # of one centre's latest entries, for heads that come late: 2 MiB for sixteen centres
)

# --- regression (section 18) --------------------------------------------------------------------------------
REGRESSION_SIZE_MAX: Final = 32  # coefficients; stock for as many steps of as many is reserved beforehand
REGRESSION_STEPS_MAX: Final = 10  # what an honest fit takes, twice over; each tells an estimate
