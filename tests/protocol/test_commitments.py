"""A commitment is opened with the very bytes it was made over, cut where everybody cuts them (step 5.5)."""

from __future__ import annotations

import pytest

from protocol.errors import Fault, RemoteProtocolError
from protocol.party import SEED_BYTES, Party, octets
from tests.cluster import Cluster

VALUE = bytes(range(8))


@pytest.mark.parametrize("size", [0, 7, 9, 16, 4096])
async def test_a_value_of_another_length_is_malformed(size: int) -> None:
    """The liar has committed to it in good order, so that the hash alone would let it pass."""

    async def seat(party: Party) -> list[bytes]:
        return await party.commit_then_open("test", bytes(size) if party.index == 1 else VALUE)

    error = (await Cluster(2).outcomes(seat))[0].error
    assert isinstance(error, RemoteProtocolError)
    assert (error.fault, error.party) == (Fault.MALFORMED, 1)


@pytest.mark.parametrize("moved", [-8, -1, 1, 8])
async def test_no_byte_moves_between_nonce_and_value(moved: int) -> None:
    """One run of bytes in all, but committed to with the cut elsewhere: the same bytes would open two values."""
    opening = bytes(range(1, SEED_BYTES + len(VALUE) + 1))
    cut = SEED_BYTES + moved

    async def seat(party: Party) -> list[bytes]:
        if party.index == 0:
            return await party.commit_then_open("test", VALUE)
        commitment = party._commitment("test", party.index, opening[:cut], opening[cut:])
        await party.broadcast("test/commit", octets(commitment))
        await party.to_all("test/open", octets(party.transcript() + opening))
        return []

    error = (await Cluster(2).outcomes(seat))[0].error
    assert isinstance(error, RemoteProtocolError)
    assert (error.fault, error.party) == (Fault.COMMITMENT, 1)


async def test_a_commitment_of_another_length_is_malformed() -> None:
    async def seat(party: Party) -> list[bytes]:
        if party.index == 0:
            return await party.commit_then_open("test", VALUE)
        await party.broadcast("test/commit", octets(bytes(33)))
        return []

    error = (await Cluster(2).outcomes(seat))[0].error
    assert isinstance(error, RemoteProtocolError)
    assert (error.fault, error.party) == (Fault.MALFORMED, 1)
