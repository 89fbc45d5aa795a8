"""Which cells of the grid cannot be, and why."""

from ..core import nearest
from .facts import DataFacts, ModelFacts
from .spec import DataEntry, ModelEntry

MANY = {"text": "texts", "image": "images", "audio": "recordings"}


def misfit(
    model: ModelEntry, known: ModelFacts, data: DataEntry, facts: DataFacts, pooling: str
) -> str:
    """Say why a model cannot be extracted over a data set; "" where it can, as far as is known."""
    if facts.fault:
        return f"data set {data.name} cannot be read: {facts.fault}"
    if facts.samples is None:
        return ""
    if known.reads and facts.modality not in known.reads:
        reads = " and ".join(MANY[kind] for kind in sorted(known.reads))
        return f"{model.name} reads {reads}, and {data.name} holds {MANY[facts.modality]}"
    if pooling == "word" and facts.modality != "text":
        return f"{data.name} holds {MANY[facts.modality]}, which have no words"
    return ""


def labels_fault(
    data: DataEntry, facts: DataFacts, pooling: str, labels: str, several: bool
) -> str:
    """Say why rows have no labels of a name; of an analysis of factors names parted by commas."""
    if facts.samples is None:
        return ""
    names = [labels]
    if several and labels not in facts.label_sets:
        names = [name.strip() for name in labels.split(",") if name.strip()]
    for name in names:
        if name not in facts.label_sets:
            hint = nearest(name, facts.label_sets) if facts.label_sets else "it has none"
            return f"data set {data.name} has no label set {name!r}; {hint}"
        if facts.label_sets[name] == "word" and pooling not in ("token", "word"):
            return f"label set {name!r} labels words, and with pooling {pooling} rows are samples"
    return ""
