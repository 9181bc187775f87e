"""`"provider:model"`, the way a spec names a model."""

from collections.abc import Mapping
from dataclasses import dataclass

EMBEDDING_TOKENS = 8_192
"""What one input of OpenAI's embedding models may have."""


@dataclass(frozen=True, slots=True)
class EmbeddingSize:
    """How many components the vectors of a model have, and whether a request may ask for fewer."""

    most: int
    adjustable: bool


EMBEDDING_SIZES: Mapping[str, EmbeddingSize] = {
    "text-embedding-3-large": EmbeddingSize(3_072, adjustable=True),
    "text-embedding-3-small": EmbeddingSize(1_536, adjustable=True),
    "text-embedding-ada-002": EmbeddingSize(1_536, adjustable=False),
}
"""OpenAI's embedding models, as their pages describe them."""


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


def is_embedding_model(text: str) -> bool:
    """Tell whether a `"provider:model"` is one of OpenAI's embedding models."""
    return text.partition(":")[2] in EMBEDDING_SIZES
