"""Material in the background (``docs/protocol.md``, sections 6 to 8 and 12.4).

The first centre in charter order coordinates: while all peers are connected and some kind is short, it proposes one
session after another.  A session agrees on the epoch (or founds one), drops what not all parties hold alike, makes one
batch, and unlocks it when every party has said that its share is on disk.  While a batch is being stored the next
session may begin.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Final

import attrs
import msgspec
import trio

from nskd.control import answers
from nskd.daemon.demand import Policy, Shortage
from nskd.daemon.epochs import EpochEndedError, Epochs
from nskd.daemon.inventory import Held, decode_inventory, encode_inventory
from nskd.daemon.needs import Needs
from nskd.daemon.phases import Phase, Stopwatch
from nskd.daemon.turns import BATCH_PATIENCE_S, GivesWay, OutOfTurnError, Turns
from nskd.daemon.workers import Workers
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.monitor.findings import Finding, Name
from nskd.peers.lanes import Lane
from nskd.peers.mesh import Mesh
from nskd.sessions.kinds import AgreedSession, Refusal
from nskd.sessions.manager import SessionManager
from nskd.sessions.proposal import NONCE_BYTES, Offer, Proposal
from nskd.stockpile import Incoming, SharedStockpile, Stockpile
from protocol.errors import Fault, ProtocolError, RemoteProtocolError
from protocol.material import BIT, SQUARE, TRIPLE, mask_kind
from protocol.offline.factory import Draft, Made, Product, ciphertexts_for, ciphertexts_max, make
from protocol.party import Party, fixed, octets
from protocol.prg import labelled_hash

GENERATE: Final = "generate"
PAUSE_AFTER_FAILURE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
COMPARE_AFTER_S: Final = 30.0  # of quiet, once after anything was made
_BATCH_BYTES: Final = 16
_PRODUCTS: Final = {TRIPLE: Product.TRIPLES, SQUARE: Product.SQUARES, BIT: Product.BITS}  # else masks


def _kinds_of(product: Product, parties: int) -> list[str]:
    if product is Product.MASKS:
        return [mask_kind(owner) for owner in range(parties)]
    return [kind for kind, made in _PRODUCTS.items() if made is product]


class Order(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a generation session is to make; travels in its proposal.  With no ciphertexts it makes nothing.

    ``compare``: the centres may not hold the same stock, and settle that first.
    """

    product: Product
    ciphertexts: int
    compare: bool


@attrs.define(eq=False)
class _Ordered:
    """A session that was proposed, and when the next may be."""

    proposal: Proposal
    only_compares: bool  # though something is short: the order before this one failed
    next_may_begin: trio.Event = attrs.field(factory=trio.Event)


class Generator:
    """Keeps the stock filled."""

    def __init__(
        self,
        *,
        workshop: Workshop,
        mesh: Mesh,
        sessions: SessionManager,
        stock: SharedStockpile,
        needs: Needs,
        epochs: Epochs,
        turns: Turns,
        workers: Workers,
    ) -> None:
        self._workshop = workshop
        self._mesh = mesh
        self._sessions = sessions
        self._stock = stock
        self._needs = needs
        self._workers = workers
        self._epochs = epochs
        self._turns = turns
        self._changed = trio.Event()
        self._sessions_here = 0
        self._ordered: _Ordered | None = None
        self._storing = trio.Lock()  # one batch is stored at a time, while the next one is made
        self._stored_soon: dict[str, int] = {}  # items by kind
        self._doubtful = True  # whatever the last life of this daemon left
        # Another centre may have failed to unlock the last batch after we had; it cannot tell us any more.
        self._uncompared = False
        self._failed = False  # the last order
        self._pause_s = PAUSE_AFTER_FAILURE_S  # ever longer while sessions fail
        self._not_before = -math.inf  # on trio's clock
        self._last_problem: str | None = None
        self._rates: dict[str, float] = {}
        self.made: Counter[str] = Counter()  # items by kind, since the start
        self.made_at: float | None = None  # when any last were, on trio's clock

    # --- demand -----------------------------------------------------------------------------------------------

    def use_policy(self, policy: Policy) -> None:
        """Keep the stock between other levels from now on."""
        self._needs.use_policy(policy)
        self.poke()

    def poke(self) -> None:
        """Look at the stock again."""
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    def doubt(self) -> None:
        """The centres may not hold the same stock any more: one of them was away, or a session failed.

        The first centre then has all compare, short of stock or not: a batch that one of them never unlocked, or a
        cursor that lags behind, would otherwise stand in the way of every run.
        """
        self._doubtful = True
        self.poke()

    # --- coordinating -----------------------------------------------------------------------------------------

    async def drive(self) -> None:
        """At the first centre: order one batch after another while something is short.  Elsewhere: nothing."""
        if self._workshop.index != 0:
            return
        async with trio.open_nursery() as nursery:
            while True:
                if trio.current_time() < self._not_before:
                    await trio.sleep_until(self._not_before)
                    continue  # another failure may have put it off
                changed = self._changed
                if self._workshop.attendance.left:  # nothing can use it any more (14.7)
                    await changed.wait()
                    continue
                shortage = await self._shortage()
                if shortage is None and not (self._doubtful and self._epochs.current_id()):
                    with trio.move_on_after(COMPARE_AFTER_S if self._uncompared else math.inf) as quiet:
                        await changed.wait()
                    self._doubtful |= quiet.cancelled_caught
                    continue
                await self._mesh.wait_connected()
                if self._doubtful:
                    async with self._storing:  # stock is compared when none is on its way
                        pass
                # After a failure by itself: whoever refuses the order would refuse an epoch and a comparison with it.
                only_compares = shortage is not None and self._doubtful and self._failed
                order = self._order(None if only_compares else shortage, compare=self._doubtful)
                ordered = _Ordered(order, only_compares)
                self._uncompared = shortage is not None
                self._doubtful = False  # what becomes doubtful meanwhile stays so
                self._ordered = ordered
                nursery.start_soon(self._see_through, ordered)
                await ordered.next_may_begin.wait()

    async def _shortage(self) -> Shortage | None:
        try:
            return await self._needs.shortage(self._stored_soon)
        except OperatorError as error:
            self._fault(error)
            await trio.sleep(PAUSE_AFTER_FAILURE_S)
            return None

    async def _see_through(self, ordered: _Ordered) -> None:
        """Have one batch made; the next may begin once this one is only being stored."""
        try:
            await self._sessions.propose(ordered.proposal)
        except (OperatorError, ProtocolError) as error:
            self._later()
            self._fault(error)
            self.doubt()
        except Exception as error:  # must not take the daemon and all its other sessions with it
            self._later()
            self._last_problem = f"{type(error).__name__}, see this centre's log"
            self._workshop.log.exception("generation failed through an error of our own")
            self.doubt()
        else:
            self._failed = False
            if not ordered.only_compares:  # else what failed has yet to succeed
                self._pause_s = PAUSE_AFTER_FAILURE_S
                self._last_problem = None
        finally:
            ordered.next_may_begin.set()

    def _later(self) -> None:
        """Order nothing for a while, after each failure in a row a longer one."""
        self._failed = True
        self._not_before = trio.current_time() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _fault(self, error: Exception) -> None:
        self._last_problem = str(error)
        self._workshop.log.warning("generation did not succeed", reason=str(error))

    def _order(self, shortage: Shortage | None, *, compare: bool) -> Proposal:
        order = Order(Product.MASKS, 0, compare)
        if shortage is not None:
            product = _PRODUCTS.get(shortage.kind, Product.MASKS)
            ciphertexts = ciphertexts_for(shortage.items, len(self._workshop.charter.names))
            order = Order(product, ciphertexts, compare)
        return Proposal(
            kind=GENERATE,
            coordinator=self._workshop.own,
            nonce=os.urandom(NONCE_BYTES),
            charter=self._workshop.charter.digest,
            parties=self._workshop.charter.names,
            lane=Lane.OFFLINE,
            extra=msgspec.msgpack.encode(order),
        )

    # --- taking part ------------------------------------------------------------------------------------------

    async def judge(self, offer: Offer) -> None:
        """Any order of a sane size by the first centre is filled, while there is room: material is nobody's data."""
        names = self._workshop.charter.names
        for absence in self._workshop.attendance.left:  # one that has paused goes on making material (14.7)
            raise Refusal(absence.what)
        if offer.sender != names[0]:
            raise Refusal(f"generation is for {names[0]} to coordinate")
        if not self._epochs.may_end():
            raise Refusal("epochs have ended here too often; it takes one order now and then")
        if offer.proposal.parties != names:
            raise Refusal("the parties are not those of the charter, in its order")
        order = self._read_order(offer.proposal)
        most = ciphertexts_max(len(names))
        if not 0 <= order.ciphertexts <= most:
            raise Refusal(f"a batch has at most {most} ciphertexts")
        if order.ciphertexts and await self._needs.ample(_kinds_of(order.product, len(names))):
            raise Refusal(
                f"there are far more {order.product.value} in stock here than can be used: see [stock] at both centres"
            )

    @staticmethod
    def _read_order(proposal: Proposal) -> Order:
        try:
            return msgspec.msgpack.decode(proposal.extra, type=Order)
        except (ValueError, RecursionError) as error:  # what is no UTF-8 is a ValueError and no more
            raise Refusal("the order cannot be read") from error

    async def run(self, session: AgreedSession) -> None:
        """This centre's side of one generation session."""
        order = self._read_order(session.proposal)
        party = session.party(os.urandom, self._workers)
        watch = Stopwatch(
            time.monotonic, session.channel.stats, on_begin=self._publish_begin, on_phase=self._publish_phase
        )
        session.channel.on_round = self._publish_round
        self._sessions_here += 1
        outcome, items = "made" if order.ciphertexts else "compared", 0
        try:
            epoch = await self._epochs.agree(party, watch)
            if order.compare:
                async with self._storing_turn():
                    await self._reconcile(party)
            if order.ciphertexts:
                party.work = GivesWay(self._workers, self._turns, partial(self._epochs.require, epoch))
                with watch.phase(order.product.value):
                    draft = await make(order.product, party, epoch, order.ciphertexts)
                async with self._turns.check(party):
                    self._epochs.require(epoch)
                    with watch.phase(f"check {order.product.value}"):
                        made = await self._checked(party, draft)
                async with self._storing_turn():
                    self._epochs.require(epoch)  # it is stored under the epoch that is then current
                    session.give_up_slot()
                    with self._on_its_way(made), watch.phase(f"store {order.product.value}"):
                        items = await self._keep(party, session.session, made)
                self._note_rate(made, watch)
        except BaseException as error:
            outcome = error.fault.value if isinstance(error, RemoteProtocolError) else "failed"
            if isinstance(error, OperatorError) and not isinstance(error, EpochEndedError):  # our own disk, as a rule
                self._last_problem = str(error)
                self._workshop.log.error("generation failed here", reason=str(error))
            await self._epochs.destroy_if_tested(party, error, "generation")
            raise
        else:
            self._last_problem = None
        finally:
            self._sessions_here -= 1
            self.poke()
            self._workshop.log.info(
                "generation",
                session=session.session.hex(),
                product=order.product.value,
                outcome=outcome,
                items=items,
                rounds=session.channel.stats.rounds,
                bytes_sent=session.channel.stats.bytes_sent,
                phases=[phase.as_fields() for phase in watch.phases],
            )
            self._workshop.events.publish("generation.end", outcome=outcome, items=items)

    @asynccontextmanager
    async def _storing_turn(self) -> AsyncIterator[None]:
        """Wait until the batch before is stored, but less long than the others wait for a message of ours."""
        with trio.move_on_after(BATCH_PATIENCE_S) as patience:
            await self._storing.acquire()
        if patience.cancelled_caught:
            raise OutOfTurnError(
                "the batch before is still being stored",
                where="this centre",
                remedy="It is tried again; if this stays so, see what holds up its disk or the other centres.",
            )
        try:
            yield
        finally:
            self._storing.release()

    @contextmanager
    def _on_its_way(self, made: Made) -> Iterator[None]:
        """While a batch is stored it counts as there, and the next may be ordered."""
        items = {batch.kind: batch.columns.shape[1] for batch in made.batches}
        self._stored_soon = items
        if self._ordered is not None:
            self._ordered.next_may_begin.set()
        try:
            yield
        finally:
            self._stored_soon = {}

    async def _checked(self, party: Party, draft: Draft) -> Made:
        """Check a batch; what a failure costs is settled before any run may go on."""
        try:
            return await draft.checked()
        except BaseException as error:
            await self._epochs.destroy_if_tested(party, error, "generation")
            raise

    async def _reconcile(self, party: Party) -> None:
        """Unlock or drop batches that a crash left in doubt; nobody uses again what another remembers as used."""
        held = [Held(info.batch, info.digest, info.cursor) for info in await self._stock(Stockpile.inventory)]
        told = await party.broadcast("inventory", encode_inventory(held))
        await party.confirm()
        inventories = [decode_inventory(part, peer) for peer, part in enumerate(told)]
        common = set.intersection(*({(h.batch, h.digest) for h in inventory} for inventory in inventories))
        cursors: dict[bytes, int] = {}
        for held_there in (h for inventory in inventories for h in inventory):
            cursors[held_there.batch] = max(held_there.cursor, cursors.get(held_there.batch, 0))
        changed = await self._stock(Stockpile.reconcile, dict(common), cursors)
        if changed.dropped or changed.unlocked or changed.advanced:
            self._workshop.log.info(
                "stock reconciled",
                unlocked=len(changed.unlocked),
                dropped=len(changed.dropped),
                advanced=len(changed.advanced),
            )

    async def _keep(self, party: Party, session: bytes, made: Made) -> int:
        """Store LOCKED, tell, and unlock when all have told (step 7.8)."""
        new = []
        for batch in made.batches:
            name = labelled_hash("batch", session, made.digest, batch.kind.encode())[:_BATCH_BYTES]
            new.append(Incoming(name, batch.kind, made.digest, batch.columns))
        await self._stock.add(new)
        told = await party.broadcast("stored", octets(made.digest))
        await party.confirm()
        for peer in party.peers:
            if fixed(told[peer], len(made.digest), peer) != made.digest:
                raise RemoteProtocolError(Fault.EQUIVOCATION, "stored another batch than we have", party=peer)
        await self._stock(Stockpile.unlock, *(batch.batch for batch in new))
        return sum(batch.columns.shape[1] for batch in made.batches)

    # --- for the control socket -------------------------------------------------------------------------------

    def findings(self) -> list[Finding]:
        """What an operator should know."""
        if self._last_problem is None:
            return []
        what = f"generation is held up: {self._last_problem}"
        return [Finding(Name.GENERATION_HELD_UP, what, "It is tried again by itself, ever more patiently.")]

    @property
    def generating(self) -> bool:
        """Whether a batch is being made, or stock compared."""
        return self._sessions_here > 0

    async def stock_answer(self) -> answers.StockAnswer:
        """Levels by kind."""
        rows = await self._needs.rows(self._rates)
        return answers.StockAnswer(epoch=self._epochs.name(), generating=self.generating, rows=rows)

    def _note_rate(self, made: Made, watch: Stopwatch) -> None:
        seconds = sum(phase.seconds for phase in watch.phases if phase.name != "epoch")
        self.made_at = trio.current_time()
        for batch in made.batches:
            self.made[batch.kind] += batch.columns.shape[1]
            self._rates[batch.kind] = round(batch.columns.shape[1] / max(seconds, 1e-9), 1)

    def _publish_begin(self, name: str) -> None:
        self._workshop.events.publish("generation.begin", name=name)

    def _publish_round(self, step: str) -> None:
        self._workshop.events.publish("generation.round", step=step)

    def _publish_phase(self, phase: Phase) -> None:
        self._workshop.events.publish("generation.phase", **phase.as_fields())
