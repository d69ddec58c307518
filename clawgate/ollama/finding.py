"""The finding at `model.endpoint`, where no Ollama answers as it should, and the words for it: pure.

The chat's error, `clawgate check`, `clawgate up` and the setup page tell it, the page in its own words for each kind.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from clawgate.errors import UpstreamError, UpstreamUnreachable

Kind = Literal[
    "refused",
    "unresolved",
    "no_route",
    "not_accepted",
    "silent",
    "dropped",
    "no_descriptor",
    "authority",
    "expired",
    "not_yet_valid",
    "other_name",
    "certificate",
    "not_tls",
    "tls",
    "no_handshake",
    "wants_https",
    "not_http",
    "path",
    "clawgate",
    "moved",
    "sign_in",
    "openai",
    "page",
    "proxy",
    "other",
    "foreign_host",
    "unwell",
]


class Words(NamedTuple):
    """The words for a kind, and its cure; {detail} is the finding's."""

    said: str
    cure: str = ""


START = "start it with `ollama serve`"
OF_OLLAMA: dict[str, Words] = {
    "refused": Words("refused the connection", START),
    "unresolved": Words("has a name that cannot be resolved", "look at the host in model.endpoint"),
    "no_route": Words("is on a host that cannot be reached from here"),
    "not_accepted": Words("did not accept the connection within {detail} s"),
    "silent": Words("did not answer in time"),
    "dropped": Words("dropped the connection"),
    "no_descriptor": Words("cannot be asked: the gateway has no file descriptor left"),
    "authority": Words(
        "has a TLS certificate of an authority that is not trusted ({detail})",
        "put that authority's certificate into a file and name it in model.ca_file",
    ),
    "expired": Words("has a TLS certificate that has expired", "renew it there"),
    "not_yet_valid": Words("has a TLS certificate that is not valid yet", "compare the clocks of both machines"),
    "other_name": Words(
        "has a TLS certificate for another name", "put the name that it is for into model.endpoint, or renew it there"
    ),
    "certificate": Words("has a TLS certificate that is not accepted ({detail})", "renew it there"),
    "tls": Words("does not agree on TLS ({detail})"),
    "no_handshake": Words("did not answer the TLS handshake in time", "look whether model.endpoint is an https port"),
    "foreign_host": Words(
        "refuses the Host of model.endpoint (403)",
        "use 127.0.0.1 or localhost there, or set OLLAMA_HOST on its machine",
    ),
    "unwell": Words("answers with an error ({detail})", "look at its log"),
}
"""Predicates of Ollama."""
OF_ANOTHER: dict[str, Words] = {
    "not_tls": Words("does not speak TLS", "begin model.endpoint with http://"),
    "wants_https": Words("wants https", "begin model.endpoint with https://"),
    "not_http": Words("does not speak HTTP", "look at the port in model.endpoint"),
    "path": Words("is not Ollama", "leave out {detail} in model.endpoint"),
    "clawgate": Words(
        "is a clawgate, perhaps this one", "name Ollama in model.endpoint, as a rule http://127.0.0.1:11434"
    ),
    "moved": Words("redirects to {detail}", "model.endpoint must be the final address"),
    "sign_in": Words("wants a sign-in, which clawgate does not have", "name Ollama's own address in model.endpoint"),
    "openai": Words("is not Ollama but an OpenAI-compatible server", "clawgate needs Ollama's own API"),
    "page": Words("is not Ollama but a web page ({detail})", "look at host, port and path in model.endpoint"),
    "proxy": Words("is a proxy that reaches no Ollama ({detail})", "look at Ollama behind it"),
    "other": Words("is not Ollama ({detail})", "look at host, port and path in model.endpoint"),
}
"""Predicates of something else that answers there."""
PASSING = (
    "refused",
    "unresolved",
    "no_route",
    "not_accepted",
    "silent",
    "dropped",
    "no_descriptor",
    "no_handshake",
    "proxy",
    "unwell",
)
"""The kinds that may be over a minute later."""


class Finding(msgspec.Struct, frozen=True):
    """One of these kinds; detail is a name, an address or a figure in its words."""

    kind: Kind
    detail: str = ""

    @property
    def is_another(self) -> bool:
        """True where something answers that is not Ollama, or that is to be asked in another way."""
        return self.kind in OF_ANOTHER

    @property
    def is_lasting(self) -> bool:
        """True where waiting does not help."""
        return self.kind not in PASSING

    @property
    def words(self) -> Words:
        """Its words with the detail in them."""
        said, cure = {**OF_OLLAMA, **OF_ANOTHER}[self.kind]
        return Words(said.format(detail=self.detail), cure.format(detail=self.detail))

    @property
    def message(self) -> str:
        """One line for the reader of a chat, who may not see where a redirect leads to."""
        shown = Finding("moved", "another address") if self.kind == "moved" else self
        subject = "what answers at model.endpoint" if self.is_another else "Ollama"
        said, cure = shown.words
        return f"{subject} {said}" + (f": {cure}" if cure and self.kind != "refused" else "")


def described(finding: Finding, endpoint: str) -> str:
    """One line for the operator, who may see all of it."""
    said, cure = finding.words
    what = f"what answers at {endpoint}" if finding.is_another else f"no Ollama answers at {endpoint}: it"
    return f"{what} {said}" + (f"; {cure}" if cure else "")


class Unreached(UpstreamUnreachable):
    """Ollama cannot be reached, for this reason."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class Unusable(UpstreamError):
    """The answer is not that of an Ollama that is well."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding
