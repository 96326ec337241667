"""The files of a workshop on this machine: for each centre keys, configuration and data; one charter for all."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from nskd.control import steward_key
from nskd.credentials import PublicIdentity, generate, load_keys
from nskd.errors import OperatorError
from nskd.governance.charter import load_charter
from nskd.governance.charter_signatures import CharterSignatures, Signer, sign_charter, signatures_path
from nskd.governance.limits import CENTRES_MIN_DEFAULT
from nskd.governance.steward import Steward
from nskd.packs.pack import Pack
from nskd.packs.synthetic import generate as synthesise
from nskd.packs.synthetic import write_visits
from nskd.sandbox.options import Options, Rules

_NAMES = (
    "noord", "midden", "zuid", "oost", "west", "amstel", "maas", "rijn",
    "waal", "ijssel", "linge", "eem", "vecht", "schelde", "dommel", "berkel",
)  # fmt: skip
_SOCKET_PATH_BYTES_MAX: Final = 107  # sun_path of unix(7), less its final zero


class SandboxError(OperatorError):
    """The workshop cannot be set up or run."""


@attrs.frozen
class CentreFiles:
    """Where one centre of the sandbox lives."""

    name: str
    directory: Path

    @property
    def config(self) -> Path:
        """Its ``nskd.toml``."""
        return self.directory / "nskd.toml"

    @property
    def credentials(self) -> Path:
        """Its key files."""
        return self.directory / "credentials"

    @property
    def steward_key(self) -> Path:
        """The key of the one who decides for it; in a sandbox nobody's secret."""
        return self.directory / "steward"

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return self.directory / "control.sock"

    @property
    def log(self) -> Path:
        """What its daemon says."""
        return self.directory / "log.jsonl"


def centre_names(count: int) -> tuple[str, ...]:
    """Names for so many centres."""
    return _NAMES[:count]


def charter_path(directory: Path) -> Path:
    """Where a sandbox's charter lies."""
    return directory / "charter.toml"


def lay_out(directory: Path, pack: Pack, pack_source: str, options: Options) -> list[CentreFiles]:
    """Write everything; without data of the user's each centre gets a synthetic extract of its own."""
    files = [CentreFiles(name, directory / name) for name in centre_names(options.centres)]
    _check_socket_paths(files)
    identities = [generate(centre.credentials) for centre in files]
    stewards = [steward_key.generate(centre.steward_key, f"Steward of {centre.name}") for centre in files]
    ports = _free_ports(options.centres)
    charter = charter_path(directory)
    charter.write_text(_charter(pack, files, identities, stewards, ports, options.rules))
    _sign(charter, files)
    workers = max(1, (os.cpu_count() or 1) // options.centres)
    for index, centre in enumerate(files):
        source = _own_data(centre, index, pack, options)
        centre.config.write_text(_config(centre, charter, source, ports[index], pack_source, workers))
    return files


def _sign(path: Path, files: Sequence[CentreFiles]) -> None:
    """All centres of a sandbox are the same person's, who signs for each with its own key."""
    charter = load_charter(path)
    signatures = [
        sign_charter(charter, Signer(centre.name, key.public), key.signer())
        for centre in files
        for key in (load_keys(centre.credentials).signing,)
    ]
    signatures_path(path).write_text(CharterSignatures(charter.digest, tuple(signatures)).text())


def _check_socket_paths(files: Sequence[CentreFiles]) -> None:
    for centre in files:
        if len(os.fsencode(centre.socket)) > _SOCKET_PATH_BYTES_MAX:
            raise SandboxError(
                "the path is too long for a socket",
                where=str(centre.socket),
                remedy="Give a shorter --keep directory, or set TMPDIR to a shorter one.",
            )


def _own_data(centre: CentreFiles, index: int, pack: Pack, options: Options) -> Path:
    if options.seed is not None:
        target = centre.directory / "visits.csv"
        write_visits(synthesise(pack, seed=options.seed, centre=index), target)
        return target
    source = options.data[index]
    target = centre.directory / f"visits{source.suffix or '.csv'}"
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise SandboxError(
            f"cannot be copied: {error.strerror}",
            where=str(source),
            remedy="Give an existing CSV or Parquet file, and leave room for a copy of it.",
        ) from error
    return target


def _free_ports(count: int) -> list[int]:
    """Ports nobody uses at this moment on the loopback address."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML basic string


def _charter(
    pack: Pack,
    files: Sequence[CentreFiles],
    identities: Sequence[PublicIdentity],
    stewards: Sequence[Steward],
    ports: Sequence[int],
    rules: Rules,
) -> str:
    parts = [
        f'workshop = "sandbox"\ntitle = "A workshop on one machine"\nversion = 1\npack = {_quoted(pack.name)}\n'
        f'pack_digest = "{pack.digest.hex()}"\n',
        f"[disclosure]\nthreshold = {rules.threshold}\ninsider = {str(rules.insider).lower()}\n"
        f"centres_min = {min(len(files), CENTRES_MIN_DEFAULT)}\nmodels = true\n",
    ]
    for purpose in pack.purposes:
        parts.append(
            f"[[purpose]]\nid = {_quoted(purpose.id)}\ntext = {_quoted(purpose.text.en)}\n"
            f"ehds = {_quoted(purpose.ehds)}\n"
        )
    for centre, identity, steward, port in zip(files, identities, stewards, ports, strict=True):
        parts.append(
            identity.charter_entry(
                name=centre.name,
                title=f"Hospital {centre.name.capitalize()}",
                address=f"127.0.0.1:{port}",
                stewards=[steward.line],
            )
        )
    return "\n".join(parts)


def _config(centre: CentreFiles, charter: Path, source: Path, port: int, pack_source: str, workers: int) -> str:
    nothing = "{ low = 0, high = 0 }"  # the sandbox makes what its one request needs, no more
    return (
        f"[centre]\nname = {_quoted(centre.name)}\n\n"
        f"[workshop]\ncharter = {_quoted(str(charter))}\n\n"
        f'[network]\nlisten = "127.0.0.1:{port}"\n\n'
        f"[data]\nsource = {_quoted(str(source))}\npack = {_quoted(pack_source)}\n\n"
        f"[state]\ndirectory = {_quoted(str(centre.directory / 'state'))}\n\n"
        f"[control]\nsocket = {_quoted(str(centre.socket))}\n\n"
        f"[stock]\ntriples = {nothing}\nbits = {nothing}\nmasks = {nothing}\n\n"
        f'[log]\nlevel = "info"\nformat = "json"\n\n'
        f"[limits]\nworker_threads = {workers}\n"
    )
