"""A commented audit file to begin with; it runs as it is."""

from importlib import resources
from pathlib import Path

from ..core import InputError


def write_template(path: str | Path = "audit.toml") -> Path:
    """Write a commented audit file over the demo model; InputError where there is a file."""
    path = Path(path)
    text = (resources.files("actlas.auditing") / "template.toml").read_text()
    try:
        with path.open("x") as file:
            file.write(text.replace("audit.toml ", f"{path.name} "))
    except FileExistsError as error:
        raise InputError(f"{path} is there already; name another file, or remove it") from error
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); name another file") from error
    return path
