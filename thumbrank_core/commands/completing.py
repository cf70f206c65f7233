"""What the shell completes after an option: names that a team edits in `config/`. Only small files are read, nothing is started."""

import yaml

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.niches import NICHES
from thumbrank_core.paths import config_file


def niches(incomplete: str) -> list[str]:
    """The frozen niche keys."""
    return _beginning(NICHES, incomplete)


def recipes(incomplete: str) -> list[str]:
    """The files of config/recipes/."""
    try:
        return _beginning(sorted(path.stem for path in config_file("recipes").glob("*.yaml")), incomplete)
    except ThumbrankError:
        return []


def encoder_sets(incomplete: str) -> list[str]:
    """The sets of config/encoders.yaml. What is wrong with that file is said by the command, not by the Tab key."""
    try:
        return _beginning(
            list(yaml.safe_load(config_file("encoders.yaml").read_text(encoding="utf-8"))["sets"]), incomplete
        )
    except (ThumbrankError, OSError, yaml.YAMLError, ValueError, KeyError, TypeError):
        return []


def stages(incomplete: str) -> list[str]:
    """The stages of a collection; a test holds them and youtube/collect.py together, which is heavy to import."""
    return _beginning(("discover", "vet", "list", "hydrate", "refresh", "snapshot", "trainability"), incomplete)


def _beginning(names: "list[str] | tuple[str, ...]", incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
