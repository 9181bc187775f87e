"""How providers are configured: what they are, what an account may send, what tokens cost."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    field_validator,
)

from batchspec.state.records import LoneRequest

Endpoint = Literal["/v1/chat/completions", "/v1/responses"]
"""Where the requests of jobs go."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Environments and providers are named in paths and in `provider:model`."""
STRICT = ConfigDict(extra="forbid", frozen=True)


def as_table(value: object) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


class ModelPrices(BaseModel):
    """US dollars per million tokens, at batch price; cached input costs as `input` if not told."""

    model_config = STRICT

    input: Decimal = Field(ge=0)
    """US dollars per million input tokens, at batch price."""
    output: Decimal = Field(ge=0)
    """US dollars per million output tokens, at batch price."""
    cached: Decimal | None = Field(default=None, ge=0)
    """US dollars per million cached input tokens; none: as `input`."""


class Limits(BaseModel):
    """What an account may send. No API tells these numbers."""

    model_config = STRICT

    min_requests: int = Field(default=1, ge=1)
    """Fewer requests wait for more, as long as more can come."""
    canary: int = Field(default=0, ge=0)
    """Requests to a model that never answered before the rest is sent to it; 0: all at once."""
    lone_request: LoneRequest = "batch"
    """What becomes of fewer when no more can come: `batch` sends them all the same, `live` asks
    them one by one at the live endpoint, `error` ends them as failed."""
    max_requests: int = Field(default=50_000, ge=1)
    """Requests in one batch."""
    max_bytes: int = Field(default=200_000_000, ge=1)
    """Bytes of one input file."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Calls that a process makes to the account in a minute; more wait. None: as it likes to."""
    max_enqueued_tokens: dict[str, PositiveInt] = Field(default_factory=dict[str, int])
    """Prompt tokens in open batches, by model; `"*"` stands for every other model."""


class CommonSettings(BaseModel):
    """What every provider has. A key itself is never here, only where it is found."""

    model_config = STRICT

    limits: Limits = Limits()
    prices: dict[str, ModelPrices] = Field(default_factory=dict[str, ModelPrices])
    """By model; they win over the built-in list."""
    endpoint: Endpoint = "/v1/chat/completions"
    """Where requests of a `Job` go; `/v1/responses` is the other one. Vectors have their own."""
    record: str | None = None
    """A JSON-lines file to which every answer is added; `--simulate` answers from it."""


class OpenAISettings(CommonSettings):
    """A provider of the Files and Batches API."""

    type: Literal["openai"] = "openai"
    """What it speaks: the Files and Batches API."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key."""
    webhook_secret_env: str = "OPENAI_WEBHOOK_SECRET"  # noqa: S105 - a name
    """The environment variable that holds the secret of webhooks, for `batchspec watch`."""
    base_url: str | None = None
    """Where it is; none: `OPENAI_BASE_URL` for `openai`, else the SDK's own default."""
    account: str | None = Field(default=None, pattern=NAME_PATTERN)
    """What stands for the account instead of a hash of the key, for keys that are changed often."""


class LiveSettings(CommonSettings):
    """An endpoint that answers at once; the embedded server runs batches against it, in process."""

    type: Literal["live"]
    """An endpoint that answers at once: Ollama, vLLM, llama.cpp and the like."""
    base_url: str
    """Where it is, up to and with `/v1`."""
    api_key_env: str | None = None
    """The environment variable that holds a key; none: no key is sent."""
    concurrency: int = Field(default=8, ge=1, le=1_000)
    """Requests under way at a time."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds one request may take."""
    retries: int = Field(default=5, ge=0)
    """Further tries of a request that failed in passing, before its row counts as failed once."""
    patience: float = Field(default=60.0, ge=0)
    """Seconds an endpoint that answered before may be away until the run ends."""

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{value!r} is no URL such as http://127.0.0.1:11434/v1")
        return value


def type_of(settings: object) -> str:
    table = as_table(settings)
    kind = getattr(settings, "type", "openai") if table is None else table.get("type", "openai")
    return str(kind)


ProviderSettings = Annotated[
    Annotated[OpenAISettings, Tag("openai")] | Annotated[LiveSettings, Tag("live")],
    Discriminator(type_of),
]
"""How one provider is reached; `type` says which it is."""
OPENAI, OPENAI_RESPONSES = "openai", "openai-responses"
"""The providers that are there without any configuration."""


def with_built_in(own: Mapping[str, ProviderSettings]) -> dict[str, ProviderSettings]:
    """Return the providers of a configuration and those that are always there.

    `openai-responses` is `openai` at its other endpoint: what is not said of it is as there.
    """
    first: dict[str, ProviderSettings] = {OPENAI: OpenAISettings()}
    first |= {name: one for name, one in own.items() if name == OPENAI}
    base, more = first[OPENAI], own.get(OPENAI_RESPONSES)
    said: dict[str, Any] = {"endpoint": "/v1/responses"}
    if more is not None:
        said |= {name: getattr(more, name) for name in more.model_fields_set}
    if more is not None and type(more) is not type(base):
        base = more
    second: dict[str, ProviderSettings] = {OPENAI_RESPONSES: base.model_copy(update=said)}
    return first | second | {n: one for n, one in own.items() if n not in {*first, *second}}


TYPES: Mapping[str, type[BaseModel]] = {"openai": OpenAISettings, "live": LiveSettings}
