"""The charter in force at this centre: put into force at the start, shown, and its successor signed (section 15)."""

from __future__ import annotations

import trio

from nskd.control import answers, methods
from nskd.control.codes import Code, ControlError
from nskd.control.service import Call
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance.audit import Event
from nskd.governance.charter import Charter, parse_charter
from nskd.governance.charter_signatures import CharterSignatures, sign_charter
from nskd.governance.charter_store import CharterStore
from nskd.governance.policy import PolicyError
from nskd.governance.succession import review_succession, signer_of


class Charters:
    """Holds the signatures under the charter, and the place where charters are kept."""

    def __init__(self, workshop: Workshop, signatures: CharterSignatures, store: CharterStore) -> None:
        self._workshop = workshop
        self._signatures = signatures
        self._store = store
        self._former_keys: list[str] | None = None  # no charter is taken up while the daemon runs

    async def take_up(self) -> None:
        """Put the charter into force here: on record first, then kept (step 15.5).  Raises an ``OperatorError``."""
        charter = self._workshop.charter
        details: dict[str, bytes | int | str] = {
            "workshop": charter.workshop,
            "version": charter.version,
            "centres": len(charter.centres),
            "signatures": len(self._signatures.signatures),
        }
        if charter.previous is not None:
            details["previous"] = charter.previous
        await self._workshop.audit.record(Event.CHARTER_TAKEN_UP, details=details)
        await trio.to_thread.run_sync(self._store.take_up, charter, self._signatures)
        self._workshop.log.info("charter taken up", charter=charter.digest.hex(), version=charter.version)

    async def former_keys(self) -> list[str]:
        """The signing keys this centre had before, which its log may have entries of."""
        if self._former_keys is None:
            own = self._workshop.charter.centres[self._workshop.index]
            keys = await trio.to_thread.run_sync(self._store.signing_keys, own.name)
            self._former_keys = [key.hex() for key in keys if key != own.signing_key]
        return self._former_keys

    async def show(self, digest: str | None) -> answers.CharterAnswer:
        """Show the one in force, or one that was, by its digest."""
        charter = self._workshop.charter
        if digest is None or digest == charter.digest.hex():
            return _answer(charter, self._signatures)
        former = await trio.to_thread.run_sync(self._store.find, bytes.fromhex(digest))
        if former is None:
            raise ControlError(Code.NOT_FOUND, f"no charter {digest[:12]} has been in force at this centre.")
        return _answer(former.charter, former.signatures)

    async def sign(self, call: Call, params: methods.CharterSignParams) -> answers.CharterAnswer:
        """Sign the version that follows the one in force; nothing else is signed."""
        workshop = self._workshop
        charter = parse_charter(params.text.encode())
        broken = review_succession(charter, workshop.charter)
        if broken is not None:
            raise PolicyError((broken,))
        own = workshop.charter.centres[workshop.index]
        signer = signer_of(own.signing_key, charter, workshop.charter)
        if signer is None or signer.centre != own.name:
            raise OperatorError(
                f"it lists this centre's key under the name {'nobody' if signer is None else signer.centre!r}",
                where="charter",
                remedy=f"The name of this centre is {own.name!r}.",
            )
        signed = CharterSignatures(charter.digest)
        if not params.check:
            await workshop.audit.record(
                Event.CHARTER_SIGNED,
                uid=call.credentials.uid,
                user=call.user,
                details={"version": charter.version, "digest": charter.digest},
            )
            signed = signed.adding((sign_charter(charter, signer, workshop.sign),))
        return _answer(charter, signed)


def _answer(charter: Charter, signatures: CharterSignatures) -> answers.CharterAnswer:
    return answers.CharterAnswer(
        version=charter.version,
        digest=charter.digest.hex(),
        text=charter.raw.decode(),
        signatures=signatures.text(),
    )
