"""This centre's standing policy on disk: the TOML file, and beside it what ``ssh-keygen -Y sign`` made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from nskd.governance import limits, sshsig
from nskd.governance.charter import Centre
from nskd.governance.policy import PolicyError
from nskd.governance.standing_policy import StandingPolicy, StandingPolicyError, parse_standing_policy
from nskd.governance.verification import review_policy_signatures

SIGNATURE_SUFFIX: Final = ".sig"


@attrs.frozen
class OwnPolicy:
    """A policy that stewards of this centre have signed; ``signatures`` as they travel."""

    policy: StandingPolicy
    signatures: tuple[bytes, ...] = attrs.field(repr=False)


def load_own_policy(path: Path, *, centre: Centre, workshop: str) -> OwnPolicy:
    """Read ``path`` and ``path.sig``, and verify them; raises an ``OperatorError`` that names what is wrong."""
    policy = parse_standing_policy(_read(path, limits.STANDING_POLICY_BYTES_MAX), where=str(path))
    if (policy.centre, policy.workshop) != (centre.name, workshop):
        raise StandingPolicyError(
            f"it is of centre {policy.centre} in workshop {policy.workshop}",
            where=str(path),
            remedy=f"Have a policy signed for {centre.name} in {workshop}, or take the line out of nskd.toml.",
        )
    signed = path.with_name(path.name + SIGNATURE_SUFFIX)
    try:
        text = _read(signed, 2 * limits.SIGNATURES_MAX * limits.SSH_SIGNATURE_BYTES_MAX).decode("ascii")
        signatures = sshsig.unarmoured(text)
        read = tuple(sshsig.read_signature(raw) for raw in signatures)
        if len(read) > limits.SIGNATURES_MAX:
            raise sshsig.SshFormatError(f"there are {len(read)} signatures, at most {limits.SIGNATURES_MAX} are read")
    except (sshsig.SshFormatError, UnicodeDecodeError) as exc:
        what = str(exc) if isinstance(exc, sshsig.SshFormatError) else "it is not a signature file"
        raise StandingPolicyError(
            what,
            where=str(signed),
            remedy=f"Have a steward sign it: ssh-keygen -Y sign -n nskd-standing-policy … {path}",
        ) from None
    broken = review_policy_signatures(read, policy.raw, centre)
    if broken is not None:
        raise PolicyError((broken,))
    return OwnPolicy(policy, signatures)


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(bytes_max + 1)
    except OSError as exc:
        raise StandingPolicyError(
            f"cannot be read: {exc.strerror}", where=str(path), remedy="Check the path and its permissions."
        ) from None
