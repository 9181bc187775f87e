"""Agents of many kinds, each with a run of Pydantic AI and the job it is to become."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import httpx2
from pydantic import BaseModel, Field
from pydantic_ai import (
    Agent,
    ModelRetry,
    NativeOutput,
    PromptedOutput,
    RunContext,
    TextOutput,
    Tool,
    ToolOutput,
    ToolReturn,
)
from pydantic_ai.capabilities import Thinking
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.output import StructuredDict
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.toolsets import FunctionToolset
from typing_extensions import TypeAliasType, TypedDict


class City(BaseModel):
    """A city, as it is on a map."""

    name: str
    country: str


class Person(BaseModel):
    name: str
    age: int


class Triage(BaseModel):
    """Where a ticket goes."""

    queue: Literal["billing", "bug", "other"]
    urgency: Annotated[int, Field(ge=1, le=5)]
    tags: list[str] = []


class Tree(BaseModel):
    name: str
    children: "list[Tree]"


class Movie(TypedDict):
    title: str
    year: int


@dataclass
class Shop:
    name: str = "Lindt"
    stock: dict[str, int] = field(default_factory=lambda: {"tea": 3})


def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: The first one.
        b: The second one.
    """
    return a + b


def stock(ctx: RunContext[Shop], item: str) -> int:
    """Say how many there are."""
    if item not in ctx.deps.stock:
        raise ModelRetry(f"There is no {item} in {ctx.deps.name}. Try another item.")
    return ctx.deps.stock[item]


async def weather(city: City, unit: Literal["C", "F"] = "C") -> dict[str, Any]:
    """Tell the weather.

    Parameters
    ----------
    city : City
        Where.
    unit : str
        Of the temperature.
    """
    return {"city": city.name, "degrees": 7, "unit": unit}


def noted(text: str) -> ToolReturn[str]:
    """Take a note."""
    return ToolReturn(return_value=f"noted {text}", metadata={"for": "the application"})


def in_words(text: str) -> list[str]:
    return text.split()


def to_city(name: str, country: str) -> City:
    """Make a city of its name and country."""
    if country == "Atlantis":
        raise ModelRetry("There is no such country.")
    return City(name=name, country=country)


def of_shop(ctx: RunContext[Shop], city: City) -> str:
    """Place a shop in a city."""
    return f"{ctx.deps.name} in {city.name}"


@dataclass(frozen=True)
class Case:
    """An agent, as a function of its model, and what a run and a job of it need more."""

    make: Callable[[Any], Agent[Any, Any]]
    prompt: str = "Where is {{the}} Eiffel tower?"
    deps: Any = None
    job: Mapping[str, Any] = field(default_factory=dict)


def plain(**options: Any) -> Case:
    return Case(lambda model: Agent(model, **options))


def _instructed(model: Any) -> Agent[Shop, str]:
    agent = Agent(model, deps_type=Shop, instructions="You serve.", system_prompt="Be {polite}.")

    @agent.instructions
    def of_the_shop(ctx: RunContext[Shop]) -> str:
        return f"You work for {ctx.deps.name}, and were asked {ctx.prompt!r}."

    @agent.system_prompt
    async def plainly() -> str:
        return "Answer in one sentence."

    return agent


def _decorated(model: Any) -> Agent[Shop, City]:
    agent = Agent(model, deps_type=Shop, output_type=City, retries={"tools": 2, "output": 3})
    agent.tool(retries=4, timeout=20)(stock)
    agent.tool_plain(docstring_format="google", require_parameter_descriptions=True)(add)

    @agent.output_validator
    def known(city: City) -> City:
        if city.name == "Nowhere":
            raise ModelRetry("That is nowhere.")
        return city

    return agent


def _lenient(model: Any) -> Agent[None, str]:
    agent = Agent(model, output_type=[TextOutput(_at_last)], retries={"output": 2})

    @agent.output_validator
    def second(ctx: RunContext[None], text: str) -> str:
        if ctx.retry < 1:
            raise ModelRetry("Once more.")
        return f"{text} {ctx.retry}"

    return agent


def _at_last(ctx: RunContext[None], text: str) -> str:
    if text == "bad" and not ctx.last_attempt:
        raise ModelRetry(f"No, {ctx.retry} of {ctx.max_retries}.")
    return text


def _toolsets(model: Any) -> Agent[Shop, str]:
    inner = FunctionToolset[Shop]([stock], max_retries=3, instructions="Look into the stock first.")
    other = FunctionToolset[Shop]([add, weather])
    return Agent(
        model, deps_type=Shop, toolsets=[inner.prefixed("shop"), other.renamed({"sum": "add"})]
    )


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

CORPUS: Mapping[str, Case] = {
    "text": plain(),
    "instructions": plain(instructions="Be {brief}."),
    "several instructions": plain(instructions=["Be brief.", "Be polite."]),
    "system prompts": plain(system_prompt=("One.", "Two."), instructions="Three."),
    "dynamic prompts": Case(
        _instructed, deps=Shop("Läderach"), job={"deps": lambda: Shop("Läderach")}
    ),
    "settings": plain(
        model_settings={
            "max_tokens": 99,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "parallel_tool_calls": False,
            "openai_user": "me",
            "service_tier": "flex",
        },
        tools=[add],
    ),
    "chat settings": plain(
        model_settings={
            "stop_sequences": ["END"],
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
            "logit_bias": {"50256": -100},
            "openai_logprobs": True,
            "openai_top_logprobs": 2,
        }
    ),
    "extra body": plain(model_settings={"extra_body": {"safety_identifier": "u-1"}}),
    "thinking": Case(lambda model: Agent(model, capabilities=[Thinking("high")])),
    "cache key": plain(model_settings={"openai_prompt_cache_key": "mine", "openai_store": False}),
    "tools": plain(tools=[add, weather, Tool(noted, name="note", description="Note it.")]),
    "strict tool": plain(tools=[Tool(weather, strict=True), Tool(add, strict=False)]),
    "return schema": plain(tools=[Tool(weather, include_return_schema=True)]),
    "from schema": plain(
        tools=[Tool.from_schema(lambda **given: str(given), "raw", "Take it.", SCHEMA)]
    ),
    "toolsets": Case(_toolsets, deps=Shop(), job={"deps": Shop}),
    "decorated": Case(_decorated, deps=Shop(), job={"deps": Shop}),
    "lenient": Case(_lenient),
    "type": plain(output_type=City),
    "type with bounds": plain(output_type=Triage),
    "native": plain(output_type=NativeOutput(City)),
    "native with tools": plain(output_type=NativeOutput(Person), tools=[add]),
    "native with a name": plain(
        output_type=NativeOutput(Person, name="someone", description="Anybody.", strict=True)
    ),
    "native list": plain(output_type=NativeOutput(list[City])),
    "native union": plain(output_type=NativeOutput([City, Person])),
    "native loose": plain(output_type=NativeOutput(Person, strict=False)),
    "recursive": plain(output_type=NativeOutput(Tree)),
    "typed dict": plain(output_type=Movie),
    "tool list": plain(output_type=list[int]),
    "tools of a union": plain(output_type=[City, Person]),
    "tool or text": plain(output_type=[City, str], tools=[add]),
    "named tool": plain(output_type=ToolOutput(City, name="answer", description="The answer.")),
    "prompted": plain(output_type=PromptedOutput(City), instructions="Be brief."),
    "prompted alone": plain(output_type=PromptedOutput(City)),
    "prompted template": plain(output_type=PromptedOutput(Person, template="As JSON: {schema}")),
    "text function": plain(output_type=TextOutput(in_words)),
    "output function": plain(output_type=to_city),
    "output function with context": Case(
        lambda model: Agent(model, deps_type=Shop, output_type=of_shop),
        deps=Shop(),
        job={"deps": Shop},
    ),
    "structured dict": plain(output_type=StructuredDict(SCHEMA, name="number")),
    "union": plain(output_type=City | Person),
    "union or text": plain(output_type=City | str, tools=[add]),
    "unions or text": plain(output_type=City | Person | str),
    "union or none": plain(output_type=City | None),
    "text or none": plain(output_type=str | None),
    "text, a type or none": plain(output_type=[City, str, None]),
    "union in a list": plain(output_type=[City | Person, Movie]),
    "union and a function": plain(output_type=[Person | Movie, to_city]),
    "union with a note": plain(
        output_type=Annotated[City, Field(description="Where.")] | Annotated[int, Field(ge=1)]
    ),
    "union by a name": plain(output_type=TypeAliasType("Place", City | Person)),
    "union in a union": plain(output_type=[Person, [City | Triage | None]]),
    "tools named among types": plain(
        output_type=[City, ToolOutput(Person, name="who", max_retries=2), TextOutput(in_words)]
    ),
    "tool of a union": plain(output_type=ToolOutput(City | Person)),
    "tool or none": plain(output_type=[ToolOutput(City, name="place"), None]),
    "tool of none": plain(output_type=[City, ToolOutput(None, name="nothing")]),
    "list of a union": plain(output_type=list[City | Person]),
    "native of a union": plain(output_type=NativeOutput(City | Person)),
    "native or none": plain(output_type=[NativeOutput(City), None]),
    "prompted of a union": plain(output_type=PromptedOutput(City | Person)),
    "prompted or none": plain(output_type=[PromptedOutput(City), None]),
    "prompted list": plain(output_type=PromptedOutput([City | Person, to_city])),
}
ENDPOINTS = ("openai", "openai-responses")


def model_of(endpoint: str, client: Any = None, name: str = "gpt-4.1-mini") -> Any:
    """Return a model of Pydantic AI whose requests go to a client, or nowhere."""
    if client is None:
        nothing = httpx2.MockTransport(lambda _: httpx2.Response(500))
        client = httpx2.AsyncClient(transport=nothing)
    provider = OpenAIProvider(base_url="http://simulator/v1", api_key="test", http_client=client)
    kind = OpenAIResponsesModel if endpoint == "openai-responses" else OpenAIChatModel
    return kind(name, provider=provider)
