"""How a charter, its changes and its signatures look on a terminal, and to scripts."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text as Line

from nskd.control import answers, page, render
from nskd.control.app import App
from nskd.governance.charter import Charter
from nskd.governance.charter_signatures import CharterSignatures, Signer
from nskd.governance.succession import review_signatures, signers
from nskd.packs.codebook import Text

_LANGUAGES: Final = ("nl", "en")


def summary(found: Charter, signatures: CharterSignatures) -> dict[str, object]:
    """For scripts."""
    return {
        "workshop": found.workshop,
        "title": found.title,
        "version": found.version,
        "digest": found.digest.hex(),
        "previous": None if found.previous is None else found.previous.hex(),
        "centres": list(found.names),
        "contributors": list(found.contributors),
        "purposes": [purpose.id for purpose in found.purposes],
        "signed": [each.signer.centre for each in signatures.signatures if each.holds(found.digest)],
    }


def show(console: Console, found: Charter, signatures: CharterSignatures) -> None:
    """Print what a charter says, and who has signed it."""
    console.print(Line(render.plain(found.title), style="bold"))
    render.pairs(
        console,
        [
            ("workshop", found.workshop),
            ("version", found.version),
            ("digest", found.digest.hex()),
            ("amends", "nothing" if found.previous is None else found.previous.hex()),
            ("codebook", found.pack),
        ],
    )
    console.print()
    signed = {each.signer for each in signatures.signatures if each.holds(found.digest)}
    render.table(
        console,
        ("centre", "title", "address", "roles", "stewards", "signed"),
        [
            (
                centre.name,
                centre.title,
                centre.address,
                ", ".join(sorted(centre.roles)),
                ", ".join(steward.name for steward in centre.stewards),
                "yes" if Signer(centre.name, centre.signing_key) in signed else "no",
            )
            for centre in found.centres
        ],
    )
    console.print()
    render.table(
        console,
        ("purpose", "until", "text"),
        [(purpose.id, purpose.valid_until, purpose.text) for purpose in found.purposes],
    )


def show_changes(console: Console, found: tuple[Text, ...], language: page.Language | None) -> None:
    """Print what an amendment changes."""
    if not found:
        console.print("nothing: the two are the same")
        return
    section = {
        name: [
            answers.PageSection(
                key="changes",
                title="Wat er verandert" if name == "nl" else "What changes",
                sentences=[text.nl if name == "nl" else text.en for text in found],
            )
        ]
        for name in _LANGUAGES
    }
    page.show(console, section, language)


def report(app: App, agreed: Charter, signatures: CharterSignatures, before: Charter | None) -> bool:
    """Print which text it is, who has signed it and who has not; whether all have."""
    needed = signers(agreed, before)
    wrong = review_signatures(agreed, signatures, before)
    if app.json:
        app.dump(
            {
                "charter": agreed.digest.hex(),
                "version": agreed.version,
                "signed": [each.centre for each in needed if signatures.of(each) is not None],
                "wrong": [{"rule": each.rule.value, "centre": each.subject, "what": each.what} for each in wrong],
            }
        )
    else:
        console = app.console()
        # What people compare by telephone stands beside what was checked, of the very same bytes.
        render.pairs(console, [("version", agreed.version), ("digest", agreed.digest.hex())])
        console.print()
        render.table(
            console,
            ("centre", "key", "signature"),
            [
                (each.centre, f"{each.key.hex()[:12]}…", "in order" if _holds(signatures, each, agreed) else "missing")
                for each in needed
            ],
        )
        if agreed.previous is not None and before is None:
            console.print("only this version's own centres were looked at; --previous FILE looks at those before, too")
        for each in wrong:
            console.print(Line(render.plain(f"{each.rule}: {each.what}. {each.remedy}")))
    return not wrong


def _holds(signatures: CharterSignatures, signer: Signer, agreed: Charter) -> bool:
    found = signatures.of(signer)
    return found is not None and found.holds(agreed.digest)
