"""Files and texts that people write: configuration, charter, permits, policies, conditions, SQL, key lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Final

from nskd.client.table_sql import read_table, write_table
from nskd.config import differences, parse_config
from nskd.data.months import months_selected
from nskd.data.where import parse_where
from nskd.errors import OperatorError
from nskd.governance.acro import convert_acro
from nskd.governance.charter import parse_charter
from nskd.governance.charter_diff import changes
from nskd.governance.charter_signatures import CharterSignatures, Signer, read_signatures, sign_charter
from nskd.governance.permit import parse_permit
from nskd.governance.standing_policy import parse_standing_policy
from nskd.governance.steward import parse_steward
from nskd.governance.succession import review_signatures, review_succession
from nskd.packs.codebook import Codebook
from nskd.packs.pack import load_pack
from nskd.packs.reader import read_codebook
from tests.nskd.governance import workshop as papers

from .target import Check, Target

CONFIGS: Final = Path(__file__).parents[2] / "configs"


def only_operator_errors(read: Callable[[bytes], object]) -> Callable[[], Check]:
    """A target that holds when nothing but an error for an operator leaves, and that is a sentence."""

    def check(data: bytes) -> None:
        try:
            read(data)
        except OperatorError as error:
            assert error.what and error.where and error.remedy, "an error without its parts"
            assert not any(c in str(error) for c in "\x00\x1b\u202e"), "an error that could play with a terminal"

    return lambda: check


@cache
def book() -> Codebook:
    return load_pack("nsk").codebook


def _config(data: bytes) -> None:
    config = parse_config(data, "nskd.toml")
    assert differences(config, parse_config(data, "nskd.toml")) == ([], [])


def _charter(data: bytes) -> None:
    charter = parse_charter(data)
    assert charter.raw == data
    changes(papers.CHARTER, charter)
    review_succession(charter, papers.CHARTER)


def _charter_seeds() -> Iterable[bytes]:
    yield (CONFIGS / "charter.toml").read_bytes()
    yield papers.CHARTER.raw
    yield papers.OTHER_CHARTER.raw
    yield papers.charter_toml(head=papers.PAIR_HEAD, names=("noord", "zuid"), noord="approvals_needed = 1")


def _signatures(data: bytes) -> None:
    found = read_signatures(data, where="charter.toml.signatures")
    assert read_signatures(found.text().encode(), where="x") == found
    review_signatures(papers.CHARTER, found, None)
    review_signatures(papers.OTHER_CHARTER, found, papers.CHARTER)


def _signatures_seeds() -> Iterable[bytes]:
    for charter in (papers.CHARTER, papers.OTHER_CHARTER):
        made = [
            sign_charter(charter, Signer(centre.name, centre.signing_key), papers.signing_key(centre.name).sign)
            for centre in charter.centres
        ]
        yield CharterSignatures(charter.digest, tuple(made)).text().encode()
        yield CharterSignatures(charter.digest, tuple(made[:1])).text().replace("\n", " \r\n\n").encode()


def _steward(data: bytes) -> None:
    try:
        steward = parse_steward(data.decode("latin-1"))
    except ValueError as error:
        assert type(error).__name__ in ("ValueError", "SshFormatError"), error
        return
    assert parse_steward(steward.line) == steward


def _where(data: bytes) -> None:
    found = parse_where(data.decode("utf-8", "replace"), book())
    assert set(found.variables) <= set(book().variables)
    months_selected(found, book())


def _where_seeds() -> Iterable[bytes]:
    yield b"sex = 'V' AND (delay IN ('ja', 'nee') OR NOT interaction IS NULL)"
    yield b"age_months BETWEEN 3 AND 47 AND visit_month >= '2025-01'"
    yield b"abs(age_months - 12) < -(-6) OR coalesce(delay, 'missing') <> 'missing'"
    yield b"lower(sex) = upper('v') AND TRUE"


def _sql(data: bytes) -> None:
    source = data.decode("utf-8", "replace")
    query = read_table(source, book())
    again = read_table(write_table(query, book()), book(), columns=query.columns)
    assert again == query, "what is written back asks something else"


def _sql_seeds() -> Iterable[bytes]:
    yield b"SELECT sex, COUNT(*) FROM visits GROUP BY sex"
    children = b"SELECT sex, age_band, COUNT(DISTINCT child) AS children FROM visits "
    yield children + b"WHERE delay = 'ja' GROUP BY CUBE (sex, age_band)"
    yield b"SELECT sex, ehr, triage, COUNT(*) FROM visits GROUP BY CUBE ((triage, sex), ehr) ORDER BY sex ASC;"
    sets = b"GROUPING SETS ((sex, ehr), (sex), (ehr), ())"
    yield b"select sex, ehr, count(*) from visits where not sex = 'M' group by " + sets
    yield b"SELECT sex FROM (SELECT * FROM visits) v HAVING COUNT(*) > 9 LIMIT 3 -- all"


def _files(*names: str) -> Callable[[], Iterable[bytes]]:
    return lambda: [(CONFIGS / name).read_bytes() for name in names]


ACRO: Final = (
    b"safe_threshold: 10\nsafe_dof_threshold: 10\nsafe_nk_n: 2\nsafe_nk_k: 0.9\n"
    b"safe_pratio_p: 0.1\nzeros_are_disclosive: True\n"
)
TARGETS = (
    Target("config", only_operator_errors(_config), _files("nskd.toml"), bytes_max=8192),
    Target("charter", only_operator_errors(_charter), _charter_seeds, bytes_max=8192),
    Target("signatures", only_operator_errors(_signatures), _signatures_seeds, bytes_max=2048),
    Target("permit", only_operator_errors(parse_permit), _files("permit.json")),
    Target(
        "policy",
        only_operator_errors(parse_standing_policy),
        lambda: [papers.policy_text(), *_files("standing-policy.toml")()],
    ),
    Target("acro", only_operator_errors(convert_acro), lambda: [ACRO], bytes_max=1024),
    Target("steward", lambda: _steward, lambda: [papers.steward("zuid").line.encode()], bytes_max=512),
    Target("where", only_operator_errors(_where), _where_seeds, bytes_max=1024),
    Target("sql", only_operator_errors(_sql), _sql_seeds, bytes_max=1024),
    Target(
        "codebook",
        only_operator_errors(lambda data: read_codebook(data, ("improvement", "research"), "codebook.toml")),
        lambda: [(Path(__file__).parents[2] / "nskd/packs/nsk/codebook.toml").read_bytes()],
        bytes_max=1 << 15,
        mutations=40,
    ),
)
