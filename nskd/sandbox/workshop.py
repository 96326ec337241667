"""A sandbox from beginning to end: check, lay out, run, show."""

from __future__ import annotations

import contextlib
import json
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import trio
from rich.console import Console

from nskd.control.answers import ResultAnswer
from nskd.errors import OperatorError
from nskd.sandbox.centres import running
from nskd.sandbox.drive import ask
from nskd.sandbox.layout import CentreFiles, centre_names, charter_path, lay_out
from nskd.sandbox.options import Options
from nskd.sandbox.prepare import Errand, check_data, check_policy, prepare
from nskd.sandbox.show import as_json, show_phases, show_result
from nskd.sandbox.watch import Watch
from protocol.lattice.rehearsal import rehearse


class StoppedError(Exception):
    """Somebody asked the sandbox to end."""


def run(options: Options, out: Console, err: Console) -> None:
    """Run a sandbox: the result goes to ``out``, progress to ``err``.  Raises an ``OperatorError``, perhaps grouped."""
    began_s = time.monotonic()
    with _directory(options.keep) as directory, Watch(err) as watch:
        errand = prepare(options)
        answer = trio.run(_answer, options, errand, _files(directory, options, errand, watch), watch)
    show_result(out, errand, answer, options)
    show_phases(out, watch.phases)
    if options.json_path is not None:
        _write(options.json_path, as_json(errand, answer, watch.phases, options))
        out.print(f"cells and phases: {options.json_path}")
    if options.keep is not None:
        out.print(f"keys, configurations, data and logs: {options.keep}")
    again = "" if options.seed is None else f"; the same data again with --seed {options.seed}"
    out.print(f"{time.monotonic() - began_s:.1f} s in all{again}")


def _files(directory: Path, options: Options, errand: Errand, watch: Watch) -> list[CentreFiles]:
    if options.seed is None:
        watch.begin("reading the data")
        for name, path in zip(centre_names(options.centres), options.data, strict=True):
            watch.note(f"{name}: {check_data(path, errand.pack)}")
    else:
        watch.begin(f"making {options.centres} synthetic extracts (--seed {options.seed})")
    files = lay_out(directory, errand.pack, errand.pack_source, options)
    check_policy(errand, charter_path(directory), files[0].name)
    watch.begin("compiling or loading the kernels")  # once here, rather than at the same time in every centre
    rehearse()
    return files


async def _answer(options: Options, errand: Errand, files: Sequence[CentreFiles], watch: Watch) -> ResultAnswer:
    async with trio.open_nursery() as nursery:
        await nursery.start(_heed_termination)
        async with running(files) as centres:
            answer = await ask(centres, errand.request, watch)
            watch.begin("stopping the daemons")
        nursery.cancel_scope.cancel()
    return answer


async def _heed_termination(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            raise StoppedError


@contextlib.contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="nskd-sandbox-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise OperatorError(
            f"it cannot be made: {error.strerror}", where=str(keep), remedy="Name a directory that does not exist yet."
        ) from error
    yield keep.resolve()


def _write(path: Path, document: dict[str, object]) -> None:
    try:
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OperatorError(
            f"the result cannot be written: {error.strerror}", where=str(path), remedy="Choose another --json path."
        ) from error
