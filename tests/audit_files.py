"""Small audits for tests: a data set, and a plugin whose analysis and models fail as told."""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actlas.storage import AuditJob, Database, audit_jobs, audit_named

PLUGIN = '''
import dataclasses
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import actlas
from actlas import Activations, Result, analysis, loader


@dataclass(frozen=True)
class Summary:
    """What came of it."""

    rows: Annotated[int, "how many rows"]
    threads: Annotated[int, "of torch"]


@analysis(version=1, tables={"summary": Summary})
def tried(
    acts: Activations,
    *,
    log: Annotated[str, "file with a line for each time it was begun"] = "",
    fault: Annotated[str, "what goes wrong: connection, value, kill, sleep or memory"] = "",
    times: Annotated[int, "how often it goes wrong"] = 0,
    number: Annotated[int, "tells jobs apart"] = 0,
) -> Result:
    """Count rows, at the so-manieth time."""
    import torch

    with open(log, "a") as file:
        file.write(f"{acts.site} {number}\\n")
    begun = sum(line.split()[1] == str(number) for line in Path(log).read_text().splitlines())
    if begun <= times:
        if fault == "connection":
            raise ConnectionError("the line is cut")
        if fault == "value":
            raise ValueError("never\\nthis way")
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "sleep":
            time.sleep(60)
        if fault == "memory":
            bytearray(1 << 62)
    return Result({"summary": Summary(len(acts), torch.get_num_threads())})


@analysis(version=1, tables={"summary": Summary})
def hungry(acts: Activations) -> Result:
    """Take 8 GiB, untouched."""
    import numpy as np

    return Result({"summary": Summary(np.empty(1 << 30).size, 0)})


@loader("greedy")
def greedy(rest, **options):
    """Load a model that takes batches of at most so many tokens: greedy:TOKENS:FOLDER."""
    most, _, folder = rest.partition(":")
    model = actlas.load_model(folder, device=options["device"])

    def check(module, given, named):
        if next(iter(named.values())).numel() > int(most):
            raise MemoryError(f"no room for more than {most} tokens")

    model.module.register_forward_pre_hook(check, with_kwargs=True)
    return dataclasses.replace(model, spec=f"greedy:{rest}")
'''
TEXTS = "".join(
    f'{{"text": "sentence number {i} of some", "kind": "{i % 2}"}}\n' for i in range(30)
)


def write_audit(
    folder: Path, models: Mapping[str, object], entries: str, *, name: str = "small",
    limits: str = "",
) -> Path:  # fmt: skip
    """Write an audit file, its data and its plugin; models: name → spec."""
    folder.mkdir(exist_ok=True)
    for file, text in (("plugin.py", PLUGIN), ("texts.jsonl", TEXTS)):
        if not (folder / file).exists():
            (folder / file).write_text(text)
    listed = "".join(
        f'[[models]]\nspec = "{spec}"\nname = "{model}"\ntags = {{family = "{model}"}}\n'
        for model, spec in models.items()
    )
    path = folder / f"{name}.toml"
    path.write_text(
        f'[audit]\nname = "{name}"\nplugins = ["plugin.py"]\n{listed}[[datasets]]\n'
        f'path = "texts.jsonl"\nname = "texts"\n[[extract]]\nsites = ["embed", "layers.-1"]\n'
        f'pooling = "mean"\n{entries}\n[limits]\ndevice = "cpu"\n{limits}'
    )
    return path


def tried(log: Path, **parameters: Any) -> str:
    """Return the entry of an analysis that writes a log."""
    more = "".join(f"{name} = {value!r}\n" for name, value in parameters.items())
    sites = "" if "sites" in parameters else 'sites = "embed"\n'
    return f'[[analyses]]\nname = "tried"\nlog = "{log}"\n{sites}{more}'


def lines(log: Path) -> list[str]:
    """How often the analysis was begun."""
    return log.read_text().splitlines() if log.exists() else []


def rows(database: Database, name: str = "small") -> dict[str, AuditJob]:
    """Return the jobs of an audit, by name."""
    return {job.job: job for job in audit_jobs(database, audit_named(database, name).id)}


def statuses(database: Database, name: str = "small") -> Sequence[str]:
    """Return how the jobs of an audit stand, in their order."""
    return [job.status for job in rows(database, name).values()]


def dead_owner() -> str:
    """Name a process of this machine that is no more."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return f"{socket.gethostname()}:{child}:0"
