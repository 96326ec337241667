"""``nskctl charter``: four centres found, amend, sign and verify by files; and by the daemon of a running centre."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nskd.control import cli, steward_key
from nskd.control.app import EXIT_NO, EXIT_USAGE
from nskd.credentials import generate
from nskd.governance.charter_signatures import signatures_path
from tests.nskd.governance import workshop as papers

from .fake import Running
from .test_cli import nskctl, running  # noqa: F401  (a fixture)

NAMES = ("noord", "midden", "zuid")


def run(*words: str | Path, code: int = 0, stdin: str = "") -> Result:
    result = CliRunner().invoke(cli.main, [str(word) for word in words], input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def document(*words: str | Path, code: int = 0) -> dict[str, object]:
    found: dict[str, object] = json.loads(run("--json", *words, code=code).stdout)
    return found


def entry(directory: Path, name: str, port: int) -> str:
    steward_key.generate(directory / f"steward-{name}", f"dr. {name}")
    line = (directory / f"steward-{name}.pub").read_text().strip()
    return generate(directory / f"keys-{name}").charter_entry(name=name, address=f"[::1]:{port}", stewards=[line])


@pytest.fixture
def first(tmp_path: Path) -> Path:
    path = tmp_path / "v1.toml"
    entries = [entry(tmp_path, name, port) for port, name in enumerate(NAMES, 1)]
    path.write_text(papers.HEAD + papers.PURPOSE + "\n".join(entries))
    return path


def sign(charter: Path, name: str, *more: str | Path, code: int = 0) -> Result:
    keys = charter.parent / f"keys-{name}"
    return run("charter", "sign", "--yes", "--credentials", keys, *more, charter, code=code)


def test_found_and_amend_by_files(tmp_path: Path, first: Path) -> None:
    told = [sign(first, name).output for name in NAMES]
    assert told[0].count("missing") == 2 and "charter-unsigned: midden has not signed it" in told[0]
    assert "missing" not in told[2]
    verified = run("charter", "verify", first).output
    assert verified.count("in order") == 3
    assert document("charter", "show", first)["digest"] in verified  # which the centres compare by telephone
    assert run("charter", "show", first).output.count("yes") == 3

    second = tmp_path / "v2.toml"
    said = run("charter", "amend", first, "--out", second).output
    assert "version 2" in said
    assert "it exists already" in run("charter", "amend", first, "--out", second, code=EXIT_NO).output
    second.write_text(second.read_text() + "\n" + entry(tmp_path, "oost", 4))
    both = run("charter", "diff", first, second).output
    assert "Nieuw centrum: oost (oost, [::1]:4)." in both and "New centre: oost (oost, [::1]:4)." in both
    assert "Nieuw" not in run("charter", "diff", first, second, "--language", "en").output
    assert document("charter", "diff", first, first) == {"changes": []}
    assert "the two are the same" in run("charter", "diff", first, first).output

    # Each on a machine of its own, with the version before; one collects.
    for name in (*NAMES, "oost"):
        away = tmp_path / f"at-{name}.toml"
        away.write_bytes(second.read_bytes())
        keys = tmp_path / f"keys-{name}"
        run("charter", "sign", "--yes", "--credentials", keys, "--previous", first, away)
    collected = [signatures_path(tmp_path / f"at-{name}.toml") for name in ("oost", "zuid", "midden")]
    report = document("charter", "collect", "--previous", first, second, *collected)
    assert [each["centre"] for each in report["wrong"]] == ["noord"]  # type: ignore[attr-defined]
    failed = document("charter", "verify", "--previous", first, second, code=EXIT_NO)
    assert [each["rule"] for each in failed["wrong"]] == ["charter-unsigned"]  # type: ignore[attr-defined]
    run("charter", "collect", "--previous", first, second, signatures_path(tmp_path / "at-noord.toml"))
    assert document("charter", "verify", "--previous", first, second)["wrong"] == []
    assert "only this version's own centres" in run("charter", "verify", second).output
    assert "only this version's own centres" not in run("charter", "verify", "--previous", first, second).output


def test_what_is_refused(tmp_path: Path, first: Path) -> None:
    for name in NAMES:
        sign(first, name)
    second = tmp_path / "v2.toml"
    run("charter", "amend", first, "--out", second)

    assert "give that with --previous" in sign(second, "noord", code=EXIT_USAGE).output
    other = tmp_path / "other.toml"
    other.write_bytes(first.read_bytes() + b"# another\n")
    assert "is not the version that version 2 amends" in sign(second, "noord", "--previous", other, code=EXIT_NO).output
    generate(tmp_path / "keys-west")
    assert "neither this version nor the one before" in sign(second, "west", "--previous", first, code=EXIT_NO).output
    assert not signatures_path(second).exists()

    # Those of the first under the second, a stranger's, a forged one.
    wrong = signatures_path(first)
    said = run("charter", "collect", "--previous", first, second, wrong, code=EXIT_NO).output
    assert "charter-signatures-of-another" in said
    sign(second, "noord", "--previous", first)
    genuine = signatures_path(second).read_text().rstrip()
    forged = tmp_path / "forged"
    forged.write_text(genuine[:-1] + ("0" if genuine[-1] != "0" else "1"))
    said = run("charter", "collect", "--previous", first, second, forged, code=EXIT_NO).output
    assert "charter-signature-forged" in said
    assert document("charter", "verify", "--previous", first, second, code=EXIT_NO)["signed"] == ["noord"]
    assert "cannot be read" in run("charter", "collect", second, tmp_path / "none", code=EXIT_NO).output

    # Signed anew after an edit: the line under the old text is dropped, not kept beside.
    second.write_bytes(second.read_bytes() + b"# edited\n")
    sign(second, "midden", "--previous", first)
    assert document("charter", "verify", "--previous", first, second, code=EXIT_NO)["signed"] == ["midden"]


def test_nobody_signs_unseen(first: Path) -> None:
    keys = first.parent / "keys-noord"
    refused = run("--json", "charter", "sign", "--credentials", keys, first, code=EXIT_USAGE)
    assert "say --yes to sign unseen" in refused.output
    declined = run("charter", "sign", "--credentials", keys, first, code=130, stdin="n\n")
    assert "Sign version 1 of this charter for this centre?" in declined.output and "To better it." in declined.output
    run("charter", "sign", "--check", "--credentials", keys, first)
    assert not signatures_path(first).exists()
    run("charter", "sign", "--credentials", keys, first, stdin="y\n")
    assert signatures_path(first).exists()


async def test_by_the_daemon(running: Running, tmp_path: Path) -> None:  # noqa: F811
    assert papers.CHARTER.digest.hex() in (await nskctl(running, "charter", "show")).output
    raw = (await nskctl(running, "charter", "show", "--raw")).stdout
    assert raw.encode() == papers.CHARTER.raw
    second = tmp_path / "v2.toml"
    second.write_bytes(papers.OTHER_CHARTER.raw)
    assert "Only layout or comments" in (await nskctl(running, "charter", "diff", str(second))).output
    checked = (await nskctl(running, "charter", "sign", "--check", str(second))).output
    assert "nothing was signed" in checked
    assert running.service.changed == []
    assert not signatures_path(second).exists()
    said = (await nskctl(running, "charter", "sign", "--yes", str(second))).output
    assert running.service.changed == ["charter.sign"]
    assert said.count("missing") == 2
    assert signatures_path(second).read_text().count("noord ") == 1
    refused = await nskctl(running, "charter", "sign", "--yes", "--previous", str(second), str(second), code=EXIT_USAGE)
    assert "the daemon knows what is in force" in refused.output
