"""The page, and the verdicts as JSON and Markdown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actlas import StoredRun
from examples.common.page import render
from examples.common.verdicts import Verdict, write_verdicts

from .claims import claims, controls, table
from .corpus import Corpus
from .figures import drawings
from .lexicon import english
from .study import Study
from .training import MIXED, ONE


def write_page(study: Study, folder: Path, quick: bool) -> list[Verdict]:
    """Write report.html, verdicts.json and verdicts.md into a folder; returns the verdicts."""
    judged, checked, facts = claims(study), controls(study), _facts(study)
    write_verdicts(folder, judged, checked, facts, quick)
    html = render(
        __package__, claims=judged, controls=checked, facts=facts, quick=quick,
        table=table(study), runs=list(_training_runs(study)), samples=_samples(study),
        drawings=list(drawings(study)), warnings=_warnings(study),
        numbers=[_numbered(*one) for one in _stored(study)],
    )  # fmt: skip
    (folder / "report.html").write_text(html, "utf-8")
    return [*judged, *checked]


def _facts(study: Study) -> dict[str, str]:
    size, corpus, lexicon = study.shop.size, study.shop.corpus, english()
    said = f"{len(corpus.kelen):,} pairs of a grammar written for this example"
    return {
        "Task": f"English from Kelen, a made-up language (verb last, cases, vowel harmony, no "
        f"articles, pronouns left out). {lexicon.size()} English words before inflection; "
        f"{_words(corpus)}.",
        f"Condition {ONE}": said + ", all from Kelen.",
        f"Condition {MIXED}": "as many, half of them from Orua instead (another made-up language: "
        "verb first, particles, doubled plurals).",
        "Test": f"{len(corpus.test)} sentences from Kelen that no model has seen, on neither side; "
        f"the first {len(study.shop.read)} are decomposed.",
        "Model": f"transformers' MarianMTModel (post-norm), width {size.width}, "
        f"{size.encoder_layers} + {size.decoder_layers} layers, BPE of {size.vocabulary} pieces, "
        f"{size.steps:,} steps of {size.batch} pairs, a checkpoint every {size.every}; "
        f"{size.seeds} seeds a condition, in float32.",
    }  # fmt: skip


def _words(corpus: Corpus) -> str:
    found = [len(pair.english.split()) for pair in corpus.test]
    return f"sentences of {min(found)} to {max(found)} English words, {sum(found) / len(found):.1f} on average"  # noqa: E501


def _training_runs(study: Study) -> Iterator[dict[str, Any]]:
    curves = study.bleu()
    for name, condition in study.series.items():
        chrf = [s.chrf for c, s in zip(study.checkpoints, study.scores, strict=True)
                if c.series == name]  # fmt: skip
        bleu = curves[name]
        yield {"name": name, "condition": condition, "first": bleu[0],
               "middle": bleu[len(bleu) // 2], "last": bleu[-1], "chrf": chrf[-1],
               "checkpoints": len(bleu)}  # fmt: skip


def _samples(study: Study) -> list[dict[str, str]]:
    """What the first training run writes at its end."""
    at = len(study.bleu()[next(iter(study.series))]) - 1
    written = study.scores[at].written
    return [{"source": pair.source, "reference": pair.english, "written": written[i]}
            for i, pair in enumerate(study.shop.corpus.test[:6])]  # fmt: skip


def _stored(study: Study) -> Iterator[tuple[str, StoredRun]]:
    yield "all checkpoints", study.study
    yield "tokens and sentences", study.tokens
    yield "shuffled qualities", study.shuffled
    for data, runs in study.decomposed.items():
        for one, run in zip(study.checkpoints, runs, strict=True):
            yield f"{one.series}, step {one.step}, {data}", run


def _numbered(name: str, run: StoredRun) -> dict[str, Any]:
    return {"name": name, "run": run.id, "analysis": run.record.analysis,
            "seconds": run.record.seconds}  # fmt: skip


def _warnings(study: Study) -> list[str]:
    said: dict[str, list[str]] = {}
    for name, run in _stored(study):
        for line in run.record.warnings:
            said.setdefault(line, []).append(name)
    return [f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {line}"
            for line, names in said.items()]  # fmt: skip
