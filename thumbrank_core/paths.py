"""Where the files beside the code are: `config/` and `sql/`, in a clone or inside an installed wheel."""

from functools import cache
from pathlib import Path

from thumbrank_core.errors import ThumbrankError


@cache
def project_root() -> Path:
    """The folder that holds `config/` and `sql/`: the clone's root, or the copy a wheel carries.

    Raises:
        ThumbrankError: neither is there (a broken installation).
    """
    package = Path(__file__).resolve().parent
    for candidate in (package.parent, package / "_project"):
        if (candidate / "config" / "niches.yaml").is_file() and (candidate / "sql" / "migrations").is_dir():
            return candidate
    msg = (
        f"config/ and sql/ were not found beside {package}: reinstall thumbrank, or run it from a clone of the project."
    )
    raise ThumbrankError(msg)


def config_file(name: str) -> Path:
    """The path of one file in `config/`."""
    return project_root() / "config" / name


def migrations_folder() -> Path:
    """The folder of the forward-only migrations."""
    return project_root() / "sql" / "migrations"


@cache
def query(name: str) -> str:
    """The text of `sql/queries/<name>.sql`, read once."""
    return (project_root() / "sql" / "queries" / f"{name}.sql").read_text(encoding="utf-8")
