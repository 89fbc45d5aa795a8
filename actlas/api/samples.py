"""The samples of a stored extraction, to be given to the network again."""

from pathlib import Path
from typing import Any

from ..core import Dataset, DatasetError, Media, Samples
from ..storage import Database, Extraction, read_samples
from ..storage import Dataset as StoredDataset


def stored_samples(
    database: Database, extraction: Extraction, folder: str | None, option: str = "--data FOLDER"
) -> Samples:
    """Read the samples of an extraction: texts from the store, else files.

    folder: where the files are; by default the current one, or one below it with the data set's
        name. option: what a user types to name it.

    Raises DatasetError where files are not there, or not those that were extracted.
    """
    record = database.find(StoredDataset, extraction.dataset_id)
    texts, targets = read_samples(database, record.id)
    media = None
    if record.modality != "text":
        media = _media(record, texts, folder, option)
    kind: Any = record.modality
    dataset = Dataset(record.name, texts, modality=kind, media=media, targets=targets)
    if media is not None and dataset.digest() != record.digest:
        raise DatasetError(
            f"the files of {record.name} are not those that were extracted; extract again, or name "
            f"their folder with {option}"
        )
    return Samples(dataset, extraction.pooling, extraction.options.get("max_length"))


def _media(record: StoredDataset, names: list[str], folder: str | None, option: str) -> list[Media]:
    roots = [Path.cwd(), Path.cwd() / record.name] if folder is None else [Path(folder)]
    for root in roots:
        if (root / names[0]).is_file():
            kind: Any = record.modality
            return [Media(str(root / name), kind) for name in names]
    raise DatasetError(
        f"{names[0]} of {record.name} is not in {' or '.join(map(str, roots))}; name the folder of "
        f"its files with {option}"
    )
