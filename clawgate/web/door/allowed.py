"""The models that a request may name: the configured one, and those of `model.allowed_models`."""

from __future__ import annotations

from clawgate.config import ModelConfig
from clawgate.errors import ModelNotAllowed
from clawgate.ollama.silence import full_name
from clawgate.web.door.parts import shown


class AllowedModels:
    """Tells whether a model may be asked.

    Its name with `:latest` and without a tag are the same, and so are capital and small letters, as in Ollama.
    """

    def __init__(self, model: ModelConfig) -> None:
        self.names = (model.model_name, *model.allowed_models)
        self._known = frozenset(map(full_name, self.names))

    def has(self, name: str) -> bool:
        """Tell whether a request may name this model."""
        return full_name(name) in self._known

    def check(self, name: str) -> None:
        """Check that a request may name this model.

        Errors: ModelNotAllowed.
        """
        if not self.has(name):
            raise ModelNotAllowed(f'model: expected one of {", ".join(self.names)}, got "{shown(name)}"')
