"""``nskd.toml``: what one centre decides for its own machine.

What all centres must agree on is in the charter, what is secret comes from the credentials directory; neither
has a place here.  An unknown key is fatal: a typing error in a safety setting must not go unnoticed.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from nskd import units
from nskd.config_reader import ConfigError as ConfigError
from nskd.config_reader import Reader, as_path
from nskd.data.origin import Origin, OriginError, origin_of
from nskd.governance.charter import NAME, Address
from nskd.governance.toml import is_plain, read_document, shown
from nskd.monitor.loopback import is_loopback
from protocol.limits import CONNECT_TIMEOUT_S, KIB, REDIAL_FIRST_S, REDIAL_MAX_S

CONFIG_BYTES_MAX: Final = 64 * KIB
DEFAULT_PATH: Final = Path("/etc/nskd/nskd.toml")


Duration = Annotated[float, msgspec.Meta(gt=0, le=86_400, extra={"unit": units.duration_s})]
Age = Annotated[float, msgspec.Meta(ge=86_400, le=3_650 * 86_400, extra={"unit": units.duration_s})]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40, extra={"unit": units.count})]
File = Annotated[Path, msgspec.Meta(extra={"absolute": True})]
Principals = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=64)], ...], msgspec.Meta(max_length=64)
]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Centre(_Section, frozen=True):
    """Who we are: a name that the charter lists."""

    name: str


class Workshop(_Section, frozen=True):
    """Whom we work with."""

    charter: File


class Network(_Section, frozen=True):
    """Where other centres reach us, and how patiently we try to reach them."""

    listen: str
    connect_timeout: Duration = CONNECT_TIMEOUT_S
    redial_first: Duration = REDIAL_FIRST_S
    redial_max: Duration = REDIAL_MAX_S

    @property
    def address(self) -> Address:
        """``listen``, parsed."""
        return Address.parse(self.listen)


class Data(_Section, frozen=True):
    """Our own extract and the pack that describes it; ``pack`` is a name or an absolute directory.

    ``source`` is a file or a directory of FHIR files, and ``url`` a database server; ``table`` is a table or view of a
    DuckDB file or of the server.  A centre that computes and brings no data has neither.  ``opt_out`` lists the people
    who object to the use of their data; it is read anew for each run.
    """

    source: File | None = None
    url: str | None = None
    table: str | None = None
    opt_out: File | None = None
    pack: str = "nsk"

    @property
    def origin(self) -> Origin | None:
        """Where the data are, None without any; raises :class:`OriginError`."""
        return origin_of(source=self.source, url=self.url, table=self.table)


class Governance(_Section, frozen=True):
    """What this centre lets happen without asking, and what it asks for besides the charter's rules.

    ``standing_policy`` is a file that a steward has signed (``FILE.sig`` beside it).  ``permits`` are files, or
    directories of them; with ``require_permit`` a request that names none is refused.
    """

    standing_policy: File | None = None
    permits: Annotated[tuple[File, ...], msgspec.Meta(max_length=64)] = ()
    require_permit: bool = False


class State(_Section, frozen=True):
    """Where the daemon keeps stock and ledgers."""

    directory: File = Path("/var/lib/nskd")


class Keys(_Section, frozen=True):
    """After how long of use one of this centre's keys is due to be replaced."""

    rotate_after: Age = 730 * 86_400.0


class Roles(_Section, frozen=True):
    """Users, uids and ``@groups`` per role; a role includes those before it."""

    read: Principals = ()
    operate: Principals = ()
    approve: Principals = ()
    admin: Principals = ()

    def principals(self) -> dict[str, tuple[str, ...]]:
        """As :meth:`nskd.control.roles.RoleMap.parse` takes them."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class Control(_Section, frozen=True):
    """The socket for the people of this machine.  The group of its file may connect, ``roles`` says as what."""

    socket: File = Path("/run/nskd/control.sock")
    roles: Roles = Roles()


class Watermarks(_Section, frozen=True):
    """Generation begins when fewer than ``low`` items are ready, and ends at ``high``.

    With both 0 only what open requests need is made.
    """

    low: Count
    high: Count


class Stock(_Section, frozen=True):
    """How much preprocessing to keep; ``masks`` are per contributing centre.

    Where past runs have used more than the marks provide for, these are raised, up to ``history_max`` items of a kind.
    """

    history_max: Count = 10_000_000
    triples: Watermarks = Watermarks(low=200_000, high=1_000_000)
    squares: Watermarks = Watermarks(low=0, high=0)
    bits: Watermarks = Watermarks(low=200_000, high=1_000_000)
    masks: Watermarks = Watermarks(low=20_000, high=100_000)


class Log(_Section, frozen=True):
    """``auto`` is for people on a terminal and JSON otherwise."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Metrics(_Section, frozen=True):
    """``listen`` is a loopback address on which a collector finds the metrics; none by default."""

    listen: str | None = None

    @property
    def address(self) -> Address | None:
        """``listen``, parsed."""
        return None if self.listen is None else Address.parse(self.listen)


class Limits(_Section, frozen=True):
    """``worker_threads`` compute in the background; 0 means one per core."""

    worker_threads: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0


class Catalogue(_Section, frozen=True):
    """How this centre stands in a catalogue of health data, for ``nskctl catalogue``.

    ``dataset`` and ``publisher`` are IRIs that name the data set and the centre, ``homepage`` and ``email`` are the
    centre's, ``contact`` is who reads that mail (the centre's title by default).
    """

    dataset: str | None = None
    publisher: str | None = None
    homepage: str | None = None
    email: str | None = None
    contact: str | None = None


class Config(_Section, frozen=True):
    """All of it, checked."""

    centre: Centre
    workshop: Workshop
    network: Network
    data: Data = Data()
    governance: Governance = Governance()
    state: State = State()
    keys: Keys = Keys()
    control: Control = Control()
    stock: Stock = Stock()
    log: Log = Log()
    metrics: Metrics = Metrics()
    limits: Limits = Limits()
    catalogue: Catalogue = Catalogue()


RELOADABLE: Final = ("control.roles.", "stock.", "catalogue.", "keys.")
"""Keys (or beginnings of keys) that take effect on reload; the others need a restart."""

_WEB: Final = re.compile(r"https?://[^\s/<>\"{}|\\^`#]+(?:/[^\s<>\"{}|\\^`#]*)?")
_EMAIL: Final = re.compile(r"[^\s@<>\"{}|\\^`?&%:/]+@[^\s@<>\"{}|\\^`?&%:/]+\.[A-Za-z]{2,}")
_IN_CATALOGUE: Final = (
    ("dataset", _WEB, "an address on the web", '"https://ziekenhuis.example/data/nsk"'),
    ("publisher", _WEB, "an address on the web", '"https://ziekenhuis.example/id"'),
    ("homepage", _WEB, "an address on the web", '"https://ziekenhuis.example"'),
    ("email", _EMAIL, "an e-mail address", '"gegevens@ziekenhuis.example"'),
)
_CATALOGUE_CHARS_MAX: Final = 300


def load_config(path: Path) -> Config:
    """Read and check a configuration; :class:`ConfigError` says what is wrong with which key."""
    where = str(path)
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as exc:
        raise ConfigError(
            f"it cannot be read: {exc.strerror}", where=where, remedy="Name the file with --config."
        ) from None
    if mode & stat.S_IWOTH:
        raise ConfigError("everybody on this machine can change it", where=where, remedy="chmod o-w it.")
    return parse_config(raw, where)


def parse_config(raw: bytes, where: str) -> Config:
    """Check the text of a configuration; ``where`` names it in errors."""
    table = read_document(raw, where=where, bytes_max=CONFIG_BYTES_MAX, error=ConfigError)
    reader = Reader(where)
    try:
        config = msgspec.convert(reader.table(table, Config, ""), Config, dec_hook=as_path)
    except msgspec.ValidationError as exc:
        raise reader.translated(exc) from None
    _check(config, reader)
    return config


def differences(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """Return the keys that changed, and those among them that need a restart."""
    before, after = _flat(old, ""), _flat(new, "")
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return changed, [key for key in changed if not key.startswith(RELOADABLE)]


def _check(config: Config, reader: Reader) -> None:
    """Check what a type cannot say."""
    if not NAME.fullmatch(config.centre.name):
        raise reader.fault(
            "centre.name",
            f"{shown(config.centre.name)} is not a name of small letters, digits and inner hyphens",
            "Write it as the charter does.",
        )
    try:
        _ = config.network.address
    except ValueError as exc:
        raise reader.fault(
            "network.listen",
            f"{shown(config.network.listen)}: {exc}",
            'Write for example listen = "0.0.0.0:7443".',
        ) from None
    if config.network.redial_first > config.network.redial_max:
        raise reader.fault("network.redial_first", "it is above network.redial_max", "Lower it.")
    _check_metrics(config.metrics, reader)
    try:
        origin = config.data.origin
    except OriginError as exc:
        raise reader.fault(f"data.{exc.key}", exc.what, exc.remedy) from None
    if config.data.opt_out is not None and origin is None:
        raise reader.fault("data.opt_out", "there is no data to leave anybody out of", "Name data.source too.")
    for kind in Stock.__struct_fields__:
        marks: Watermarks | int = getattr(config.stock, kind)
        if isinstance(marks, Watermarks) and not (marks.low < marks.high or marks.low == marks.high == 0):
            raise reader.fault(
                f"stock.{kind}",
                f"low ({marks.low}) must be below high ({marks.high})",
                "Correct them; both 0 keeps no stock beyond what open requests need.",
            )
    for path in config.governance.permits:
        if not path.is_absolute():
            raise reader.fault(
                "governance.permits", f"{shown(str(path))} is not an absolute path", "Begin it with a slash."
            )
    _check_catalogue(config.catalogue, reader)


def _check_metrics(metrics: Metrics, reader: Reader) -> None:
    try:
        address = metrics.address
    except ValueError as exc:
        what = f"{shown(metrics.listen)}: {exc}"
    else:
        if address is None or is_loopback(address.host):
            return
        what = f"{shown(metrics.listen)} is not a loopback address: others could reach it"
    raise reader.fault("metrics.listen", what, 'Write for example listen = "127.0.0.1:9464".')


def _check_catalogue(catalogue: Catalogue, reader: Reader) -> None:
    for key, pattern, meaning, example in _IN_CATALOGUE:
        value: str | None = getattr(catalogue, key)
        if value is not None and not (len(value) <= _CATALOGUE_CHARS_MAX and pattern.fullmatch(value)):
            raise reader.fault(
                f"catalogue.{key}", f"{shown(value)} is not {meaning}", f"Write for example {key} = {example}."
            )
    contact = catalogue.contact
    if contact is not None and not (contact.strip() and len(contact) <= _CATALOGUE_CHARS_MAX and is_plain(contact)):
        raise reader.fault(
            "catalogue.contact",
            f"{shown(contact)} cannot stand as a name",
            f"Write up to {_CATALOGUE_CHARS_MAX} printable characters.",
        )


def _flat(section: msgspec.Struct, path: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in section.__struct_fields__:
        value = getattr(section, name)
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, msgspec.Struct) else {f"{path}{name}": value}
    return flat
