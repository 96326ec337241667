"""Which charter may come into force: one that all its centres have signed, and all of the version before.

A workshop's charters form a chain: each names the digest of the one before.  A centre follows it link by link, and
never back (``docs/protocol.md``, section 15).
"""

from __future__ import annotations

from nskd.governance.charter import Charter
from nskd.governance.charter_signatures import CharterSignatures, Signer
from nskd.governance.policy import PolicyError, Refusal, Rule


def signers(charter: Charter, before: Charter | None) -> tuple[Signer, ...]:
    """Who has to sign: every centre of this version, in party order, then those of the version before (step 15.3).

    A centre that both versions list with the same key signs once; one that changed its key signs with both, so that
    whoever has only one of the two cannot take its place.
    """
    needed = [Signer(centre.name, centre.signing_key) for centre in charter.centres]
    if before is not None:
        needed += [Signer(centre.name, centre.signing_key) for centre in before.centres]
    return tuple(dict.fromkeys(needed))


def signer_of(key: bytes, charter: Charter, before: Charter | None) -> Signer | None:
    """As whom the owner of a signing key signs; None when it does not have to."""
    return next((signer for signer in signers(charter, before) if signer.key == key), None)


def review_signatures(charter: Charter, signatures: CharterSignatures, before: Charter | None) -> tuple[Refusal, ...]:
    """What is wrong with the signatures; empty when every centre that has to has signed.

    Without the version before an amendment, as a centre that joins is, nobody can tell whose further lines are: those
    are passed over.
    """
    if signatures.digest != charter.digest:
        what = f"the signatures are under another charter, {signatures.digest.hex()[:12]}…"
        return (Refusal(Rule.CHARTER_TRANSPLANTED, charter.workshop, what, "Collect those under this one."),)
    needed = signers(charter, before)
    all_known = before is not None or charter.previous is None
    found: list[Refusal] = []
    for each in signatures.signatures:
        name = each.signer.centre
        if each.signer not in needed:
            if not all_known:
                continue
            what = f"{name} with the key {each.signer.key.hex()[:12]}… is not among those who sign this charter"
            found.append(Refusal(Rule.CHARTER_SIGNER, name, what, "Take that line out."))
        elif not each.holds(charter.digest):
            what = f"the signature of {name} is not of this charter, or was changed"
            found.append(Refusal(Rule.CHARTER_FORGED, name, what, f"Have {name} sign it: nskctl charter sign."))
    for signer in needed:
        if signatures.of(signer) is None:
            what = f"{signer.centre} has not signed it{_which_key(charter, signer)}"
            remedy = f"Have {signer.centre} run nskctl charter sign, and collect its line: nskctl charter collect."
            found.append(Refusal(Rule.CHARTER_UNSIGNED, signer.centre, what, remedy))
    return tuple(found)


def require_signatures(charter: Charter, signatures: CharterSignatures, before: Charter | None) -> None:
    """Raise :class:`~nskd.governance.policy.PolicyError` when :func:`review_signatures` finds anything."""
    refusals = review_signatures(charter, signatures, before)
    if refusals:
        raise PolicyError(refusals)


def review_succession(charter: Charter, in_force: Charter) -> Refusal | None:
    """Why a charter does not follow the one in force directly; None when it does (step 15.4)."""
    if charter.workshop != in_force.workshop:
        what = f"it is the charter of {charter.workshop}, and this centre takes part in {in_force.workshop}"
        remedy = "Give each workshop a configuration and a state directory of its own."
        return Refusal(Rule.CHARTER_WORKSHOP, charter.workshop, what, remedy)
    if charter.version <= in_force.version:
        what = f"version {charter.version} is not in force any more, or never was: {_name(in_force)} is"
        remedy = f"Configure {_name(in_force)}; it is kept in the state directory, under charter."
        return Refusal(Rule.CHARTER_OLD, charter.workshop, what, remedy)
    if charter.version != in_force.version + 1 or charter.previous != in_force.digest:
        before = "none" if charter.previous is None else f"{charter.previous.hex()[:12]}…"
        what = f"version {charter.version} amends {before}, and {_name(in_force)} is in force here"
        remedy = "Take up the versions in between one by one, or have this one made anew: nskctl charter amend."
        return Refusal(Rule.CHARTER_SUCCESSION, charter.workshop, what, remedy)
    return None


def require_succession(charter: Charter, signatures: CharterSignatures, in_force: Charter | None) -> None:
    """Raise :class:`~nskd.governance.policy.PolicyError` unless the charter may come into force (step 15.4).

    ``in_force`` is None at a centre that takes up its first.
    """
    if in_force is not None:
        broken = review_succession(charter, in_force)
        if broken is not None:
            raise PolicyError((broken,))
    require_signatures(charter, signatures, in_force)


def _name(charter: Charter) -> str:
    return f"version {charter.version} ({charter.digest.hex()[:12]}…)"


def _which_key(charter: Charter, signer: Signer) -> str:
    listed = charter.find(signer.centre)
    if listed is None:
        return ", which it has to as a centre of the version before"
    return "" if listed.signing_key == signer.key else " with its key of the version before"
