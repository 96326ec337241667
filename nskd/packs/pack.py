"""A pack: a directory of files, or the name of one that ships with the daemon."""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs

from nskd.packs import schema
from nskd.packs.codebook import Codebook, Text
from nskd.packs.errors import PackError
from nskd.packs.fhir import FhirMapping, read_fhir
from nskd.packs.reader import NAME, decode, read_codebook
from nskd.packs.synthetic_model import Synthetic, read_synthetic

PACK_LABEL = b"nskd pack 1\0"
PACK_FILE_BYTES_MAX = 1 << 20  # a codebook of 500 variables takes a tenth of this

_REQUIRED = ("codebook.toml", "pack.toml")
# The last two are for people and their systems: what the mapping of `fhir.toml` speaks of.
_OPTIONAL = ("synthetic.toml", "fhir.toml", "questionnaire.json", "codesystem.json")
_BUILT_IN = Path(__file__).parent


@attrs.frozen
class Purpose:
    """A purpose that variables can serve, with the letter of EHDS Article 53(1) it falls under."""

    id: str
    text: Text
    ehds: str


@attrs.frozen
class Pack:
    """Everything a workshop agrees on about its data; `digest` covers every file byte for byte.

    `keywords` are what a catalogue lists the data under, `framework` are laws and guidelines of the field, and `fhir`
    says how the variables are read from FHIR resources, if the pack does.
    """

    name: str
    version: str
    title: Text
    purposes: tuple[Purpose, ...]
    codebook: Codebook
    synthetic: Synthetic | None
    digest: bytes
    keywords: tuple[Text, ...] = ()
    framework: tuple[Text, ...] = ()
    fhir: FhirMapping | None = None


def load_pack(name_or_directory: str | Path) -> Pack:
    """Load the pack in a directory, or the built-in one of that name. Raises `PackError`.

    A plain word is a built-in name; anything with a slash or a dot in it, and any `Path`, is a directory.
    """
    directory = _directory(name_or_directory)
    files = {name: _read(directory / name) for name in _REQUIRED}
    files |= {name: _read(directory / name) for name in _OPTIONAL if (directory / name).exists()}
    shown = {name: str(directory / name) for name in files}

    head = decode(files["pack.toml"], schema.PackFile, shown["pack.toml"])
    if not NAME.fullmatch(head.name):
        raise PackError(
            f'"{head.name}" cannot name a pack',
            file=shown["pack.toml"],
            key="name",
            remedy="Use a lower-case word of letters, digits and _.",
        )
    purposes = tuple(Purpose(p.id, Text(p.nl, p.en), p.ehds) for p in head.purpose)
    codebook = read_codebook(files["codebook.toml"], [p.id for p in purposes], shown["codebook.toml"])
    synthetic = None
    if "synthetic.toml" in files:
        synthetic = read_synthetic(files["synthetic.toml"], codebook, shown["synthetic.toml"])
    return Pack(
        head.name,
        head.version,
        Text(head.nl, head.en),
        purposes,
        codebook,
        synthetic,
        _digest(files),
        tuple(Text(word.nl, word.en) for word in head.keyword),
        tuple(Text(law.nl, law.en) for law in head.framework),
        read_fhir(files["fhir.toml"], codebook, shown["fhir.toml"]) if "fhir.toml" in files else None,
    )


def _directory(name_or_directory: str | Path) -> Path:
    if isinstance(name_or_directory, str) and NAME.fullmatch(name_or_directory):
        directory = _BUILT_IN / name_or_directory
        if not (directory / "pack.toml").is_file():
            known = ", ".join(sorted(p.parent.name for p in _BUILT_IN.glob("*/pack.toml")))
            raise PackError(
                "is not a pack that ships with nskd",
                file=f'pack "{name_or_directory}"',
                remedy=f"Built in: {known}. For your own give its directory, such as ./{name_or_directory}.",
            )
        return directory
    directory = Path(name_or_directory)
    if not directory.is_dir():
        remedy = "Give a directory with pack.toml and codebook.toml."
        raise PackError("is not a directory", file=str(directory), remedy=remedy)
    return directory


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(PACK_FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise PackError("is missing from the pack", file=str(path), remedy="Write it.") from error
    except OSError as error:
        remedy = "Make it readable for this user."
        raise PackError(f"cannot be read: {error.strerror}", file=str(path), remedy=remedy) from error
    if len(raw) > PACK_FILE_BYTES_MAX:
        remedy = f"Keep each pack file under {PACK_FILE_BYTES_MAX} bytes."
        raise PackError("is too large", file=str(path), remedy=remedy)
    return raw


def _digest(files: dict[str, bytes]) -> bytes:
    """SHA-256 over the label and, in order of name, each file's name and contents, both length-prefixed."""
    state = hashlib.sha256(PACK_LABEL)
    for name, raw in sorted(files.items()):
        for part in (name.encode(), raw):
            state.update(len(part).to_bytes(8, "little"))
            state.update(part)
    return state.digest()
