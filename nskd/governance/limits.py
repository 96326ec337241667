"""Every bound on a charter, a request, an approval or the ledger, each with its reason."""

from __future__ import annotations

from typing import Final

from protocol.limits import AUDIT_SEQUENCE_MAX, KIB, PARTIES_MAX, PARTIES_MIN

DAY_S: Final = 86_400

# --- charter ------------------------------------------------------------------------------------------------
CHARTER_BYTES_MAX: Final = 256 * KIB  # sixteen centres and a page of prose per purpose fit many times over
# A line of 256 characters for every centre of this version and of the one before, and a heading.
CHARTER_SIGNATURES_BYTES_MAX: Final = 16 * KIB
CENTRES_MIN: Final = PARTIES_MIN
CENTRES_MAX: Final = PARTIES_MAX
ACRO_BYTES_MAX: Final = 64 * KIB  # a dozen lines and their comments
PURPOSES_MAX: Final = 64
NAME_CHARS_MAX: Final = 63  # a DNS label: names end up in file names, logs and certificates
TITLE_CHARS_MAX: Final = 200
PROSE_CHARS_MAX: Final = 4_000
HOST_CHARS_MAX: Final = 253  # RFC 1035
THRESHOLD_DEFAULT: Final = 10
# With 2, each of the two families in a cell knows that the other child is somebody else: 3 is the least that
# hides anyone from a fellow member of the cell, and the least any published practice uses.
THRESHOLD_MIN: Final = 3
THRESHOLD_MAX: Final = 1_000  # the most the joint comparison takes; a higher one is a slip of the keyboard
CENTRES_MIN_DEFAULT: Final = 3  # with two, each learns the other's figure by subtracting its own
CENTRES_MIN_LEAST: Final = 2  # with one, what is shown is that centre's own figure
PER_CENT: Final = 100
DOMINANCE_DEFAULT: Final = 85  # of a magnitude
DOMINANCE_LEAST: Final = 10  # less than that fails for every cell of ten centres that are all alike
NK_DEFAULT: Final = 90  # NK(2, 90)
P_PERCENT_DEFAULT: Final = 10  # p %; with NK(2, 90) it asks for nothing more
ROUNDING_DEFAULT: Final = 5  # as CBS publishes counts of Veilig Thuis
DIFFERENCING_DEFAULT: Final = 100  # earlier tables; half a million joint tests for one of twenty cells
DIFFERENCING_MAX: Final = 500  # beyond that nobody waits for the comparisons
ROUNDINGS: Final = (1, 3, 5)  # 1: exactly.  Others would need digits that the field has no roots of unity for
SHUFFLED_CENTRES_LEAST: Final = 3  # of two points each hospital knows the other's
OVERDISPERSION_CENTRES_LEAST: Final = 4  # of three hospitals, Σz and Σz² less one's own are the other two

STEWARDS_MAX: Final = 16  # of one centre; more people than decide together anywhere
APPROVALS_NEEDED_MAX: Final = 2  # of one centre: the two-person rule

# --- request ------------------------------------------------------------------------------------------------
REQUEST_TEXT_BYTES_MAX: Final = 8 * KIB
REQUEST_BODY_BYTES_MAX: Final = REQUEST_TEXT_BYTES_MAX + KIB  # the text and the fixed fields signed with it
VARIABLES_PER_AXIS_MAX: Final = 4  # more crossings than this leave no cell above any threshold
WHERE_CHARS_MAX: Final = 4_000
STEPS_MAX: Final = 12  # of a cascade; a figure with more is no figure
LABEL_CHARS_MAX: Final = 100  # of a step
COVARIATES_MAX: Final = 12  # of a model; how many coefficients they make is bounded besides
BINS_MAX: Final = 250  # a bin for each month of a childhood
NONCE_BYTES: Final = 16
REQUEST_OPEN_MAX_S: Final = 90 * DAY_S  # undecided for a quarter: nobody remembers what they would approve

# --- permit -------------------------------------------------------------------------------------------------
PERMIT_BYTES_MAX: Final = 64 * KIB  # five hundred variables by name, and room
PERMIT_ID_CHARS_MAX: Final = 100  # what authorities number their cases with
PERMITS_MAX: Final = 1_000  # of one centre; those whose retention has ended can go

# --- approval -----------------------------------------------------------------------------------------------
SSH_SIGNATURE_BYTES_MAX: Final = 512  # an Ed25519 one has some 180; the namespace is the only part that varies
STATEMENT_BYTES_MAX: Final = 2 * KIB  # ten lines, the longest of which holds a name
STANDING_POLICY_BYTES_MAX: Final = 16 * KIB  # five hundred variables by name
POLICY_VARIABLES_MAX: Final = 500  # as many as a codebook may have
POLICY_PER_MONTH_MAX: Final = 100  # more than that nobody follows any longer
SIGNATURES_MAX: Final = 4  # under one standing policy: two are the most that any centre needs
# A statement, the policy it rests on, and signatures under either.
APPROVAL_BODY_BYTES_MAX: Final = (
    STATEMENT_BYTES_MAX + STANDING_POLICY_BYTES_MAX + SIGNATURES_MAX * SSH_SIGNATURE_BYTES_MAX + KIB
)
APPROVAL_VALIDITY_DEFAULT_S: Final = 30 * DAY_S
APPROVAL_VALIDITY_MAX_S: Final = 92 * DAY_S
STEWARD_CHARS_MAX: Final = 200
STEWARD_LINE_CHARS_MAX: Final = STEWARD_CHARS_MAX + 100  # the name after the key and its kind, 81 characters
CLOCK_SKEW_MAX_S: Final = 300  # between centres; a hospital without NTP finds out at its first approval
YEAR_MIN: Final = 1970  # times are seconds since then, and not negative
YEAR_MAX: Final = 9000  # leaves room for a day more in every calendar that Python knows
TIME_MAX: Final = 1 << 40  # some thirty thousand years: keeps arithmetic on a peer's times inside 64 bits

# --- presence -----------------------------------------------------------------------------------------------
PRESENCE_WORD_BYTES_MAX: Final = 2 * KIB  # two names, a digest, and a reason in any script
PRESENCE_REASON_CHARS_MAX: Final = 200  # a line in the status of every centre
PRESENCE_NUMBER_MAX: Final = 1 << 48  # clocks count seconds: room for a word each second for millions of years
CHARTER_VERSION_MAX: Final = 1_000_000
MOMENT_MAX: Final = 221_845_392_000  # the beginning of YEAR_MAX: what is shown as a date can be one

# --- ledger -------------------------------------------------------------------------------------------------
# Per requesting centre, so that one centre's flood cannot lock out another's request.
REQUESTS_OPEN_PER_CENTRE_MAX: Final = 64
REQUESTS_PER_CENTRE_MAX: Final = 10_000  # one every working day for forty years; 90 MB when all are of full size
RELEASE_BYTES_MAX: Final = 512 * KIB  # with its frame it still fits one 1 MiB line of the control socket
DETAIL_CHARS_MAX: Final = 500
BEGUN_MAX: Final = 2 * DIFFERENCING_MAX  # half of them may have been asked among other centres
LIST_MAX: Final = 500  # entries per page
PREFIX_CHARS_MIN: Final = 4  # of a digest typed by a person

# --- audit log ----------------------------------------------------------------------------------------------
AUDIT_ENTRY_BYTES_MAX: Final = 16 * KIB  # sixteen centres with two stewards each fill a third of it
AUDIT_ENTRIES_MAX: Final = AUDIT_SEQUENCE_MAX
AUDIT_DETAILS_MAX: Final = 32
AUDIT_PAGE_BYTES_MAX: Final = 256 * KIB  # of entries in one answer: as JSON in JSON it still fits a 1 MiB line
AUDIT_PAGE_ENTRIES_MAX: Final = 1_000
AUDIT_HEAD_KEPT_EVERY_S: Final = 600  # of each other centre: what an auditor's comparison may lag behind
AUDIT_PROOF_PATIENCE_S: Final = 120  # until the status says that a centre owes a proof
# What a peer can make us write: a burst, then one entry a minute, 300 kB a day; what is beyond it is counted.
AUDIT_PEER_ENTRIES_BURST: Final = 30
AUDIT_PEER_ENTRY_EVERY_S: Final = 60
# Runs that one centre began and that came to nothing, each of them several entries here; a storm of accidents has
# two or three in a minute for a while.
FAILED_RUNS_BURST: Final = 64
FAILED_RUN_EVERY_S: Final = 120
# Epochs that ended here, each two entries with the next that is founded; among crashing machines some five an hour.
EPOCHS_ENDED_BURST: Final = 64
EPOCH_ENDED_EVERY_S: Final = 600
