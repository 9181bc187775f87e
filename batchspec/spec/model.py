"""`"provider:model"`, the way a spec names a model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelName:
    """A provider's name in the configuration and the model's name at that provider."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


def parse_model(text: str) -> ModelName:
    """Split `"provider:model"` at the first colon; a model's name may hold further ones.

    Raises:
        ValueError: One of the two parts is missing.
    """
    provider, _, model = text.partition(":")
    if not provider.strip() or not model.strip() or text != text.strip():
        raise ValueError(
            f'A model is written "provider:model", for example "openai:gpt-5-mini"; got {text!r}.'
        )
    return ModelName(provider, model)
