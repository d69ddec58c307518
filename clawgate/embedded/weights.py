"""Finds the engine and the weights, and names the command that installs what is missing.

__main__.py calls it before anything is loaded. Nothing is imported to find out: the package that carries the weights
would pull in a compiler's worth of dependencies, the engine is 100 MB.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

from clawgate.embedded.assembly import Altered, NoRoom, assemble, cache_folder, is_exact
from clawgate.embedded.gguf import NotGguf, Value, quantization, read_facts
from clawgate.embedded.models import SMOLLM2, Packaged, Part, Whole
from clawgate.embedded.packages import is_frozen, packaged_file

ENGINE_MODULE = "xllamacpp"
INSTALL_ENGINE = "pip install 'clawgate[embedded]'"
_NO_CONTEXT_TOLD = 4096
_DIGESTED_BYTES = 1 << 20
_BARE = (
    "this program carries no model and no engine: take the one whose name ends in -with-model, or clawgate's package "
    "for Python, or Ollama"
)


class Missing(Exception):
    """Something has to be installed or named first; the message says what, and with which command."""


@dataclass(frozen=True)
class Weights:
    """One model file and the names it answers to, as it was at the start: it may be removed while the model answers.

    Shape: `name` is what the API lists; `aliases` are lower case and contain it; `facts` is the file's own head;
    `digest` is an id for it; `modified_at` is written as Ollama writes times; `reads_singly` is Packaged's.
    """

    path: Path
    name: str
    aliases: frozenset[str]
    facts: dict[str, Value]
    size_bytes: int
    modified_at: str
    digest: str
    reads_singly: bool = False

    def answers_to(self, name: str) -> bool:
        """Say whether a request that names this model means these weights; as in Ollama, case does not count."""
        return name.lower() in self.aliases

    @property
    def context_tokens(self) -> int:
        """The longest context that the model was made for."""
        told = self.facts.get(f"{self.facts.get('general.architecture')}.context_length")
        return told if isinstance(told, int) and told > 0 else _NO_CONTEXT_TOLD

    @property
    def details(self) -> dict[str, object]:
        """Ollama's `details` of a model."""
        family = self.facts.get("general.architecture") or "unknown"
        return {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": self.facts.get("general.size_label") or "unknown",
            "quantization_level": quantization(self.facts),
        }


def find_weights(given: Path | None = None, model: Packaged = SMOLLM2) -> Weights:
    """Locate the weights: the given file, or those that the model's packages carry.

    Errors: Missing, for a file that is absent or not a GGUF file, for packages that are not installed or altered, and
    for a cache that cannot take the file.
    """
    path = given or _packaged(model)
    try:
        facts, about, digest = read_facts(path), path.stat(), _digest(path)
    except NotGguf as error:
        raise Missing(str(error)) from error
    except OSError as error:
        raise Missing(f"{path}: {error.strerror or error}") from error
    modified_at = datetime.fromtimestamp(int(about.st_mtime), timezone.utc).isoformat().replace("+00:00", "Z")
    name = model.name if given is None else f"{path.stem.lower()}:latest"
    names = model.names if given is None else (name, path.stem.lower())
    reads_singly = given is None and model.reads_singly
    return Weights(path, name, frozenset(names), facts, about.st_size, modified_at, digest, reads_singly)


def _digest(path: Path) -> str:
    """Return the SHA-256 of the file's first MiB and its size. Hashing all of it would delay the start."""
    with path.open("rb") as file:
        head = file.read(_DIGESTED_BYTES)
        size_bytes = os.fstat(file.fileno()).st_size
    return hashlib.sha256(head + str(size_bytes).encode()).hexdigest()


def check_engine() -> None:
    """Raise Missing where the engine is not installed."""
    if not _has_engine():
        raise Missing(f"the engine is not installed; install it with: {INSTALL_ENGINE}" if not is_frozen() else _BARE)


def lacking(model: Packaged) -> list[Part]:
    """Return the packages of the model that are not installed; none where its whole file is in the cache, too."""
    absent = [part for part in model.parts if packaged_file(part.distribution, part.pattern) is None]
    if absent and model.whole is not None:
        try:
            file = cache_folder() / model.whole.file_name
            return [] if file.stat().st_size == model.whole.size_bytes else absent
        except (NoRoom, OSError):
            return absent
    return absent


def _has_engine() -> bool:
    return find_spec(ENGINE_MODULE) is not None


def _packaged(model: Packaged) -> Path:
    if model.whole is not None:
        return _whole(model, model.whole)
    found = packaged_file(model.parts[0].distribution, model.parts[0].pattern)
    if found is None:
        raise _not_installed(model, list(model.parts))
    return found


def _whole(model: Packaged, whole: Whole) -> Path:
    """Return the file out of the cache, where it is exact, or make it anew."""
    try:
        folder = cache_folder()
        if is_exact(folder / whole.file_name, whole):
            return folder / whole.file_name
        found = [(part, packaged_file(part.distribution, part.pattern)) for part in model.parts]
        if absent := [part for part, path in found if path is None]:
            raise _not_installed(model, absent)
        return assemble(folder, whole, [(part, path) for part, path in found if path is not None])
    except Altered as error:
        again = model.install([error.part], again=True)
        raise Missing(
            f"the package {error.part.requirement} is not what it was: a sum is wrong, and nothing of it is used; "
            f"install it anew with: {again}; or {_elsewhere(model)}"
        ) from error
    except NoRoom as error:
        raise Missing(str(error)) from error


def _not_installed(model: Packaged, absent: list[Part]) -> Missing:
    if is_frozen():
        words = _BARE if not _has_engine() else f"this program does not carry {model.name}; {_elsewhere(model)}"
        return Missing(words)
    command = model.install(absent)
    if not _has_engine():
        both = f"{INSTALL_ENGINE} && {command}"
        what = "the small model and its engine are not installed; install both with"
        return Missing(f"{what}: {both}{_otherwise(model)}")
    what = "the model's weights are not installed"
    if len(absent) < len(model.parts):
        what = f"{len(absent)} of the {len(model.parts)} packages with the model's weights are not installed"
    return Missing(f"{what}; install them with: {command}{_otherwise(model)}")


def _otherwise(model: Packaged) -> str:
    """Name the other ways, where the packages are somebody else's and may be gone one day."""
    return f" (or, should they be gone, {_elsewhere(model)})" if model.whole is not None else ""


def _elsewhere(model: Packaged) -> str:
    file = f" with {model.whole.file_name}" if model.whole is not None else ""
    return f"use `clawgate embedded --weights FILE.gguf`{file}, or Ollama: `ollama pull {model.name}`"
