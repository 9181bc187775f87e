"""Why our schemas differ from those of Pydantic AI, in which cases; no other case does.

Modes are "s", strict, and "l", not.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A reason, and the cases of the corpus it explains."""

    reason: str
    modes: str
    cases: tuple[str, ...]


TOOLS = (
    Difference(
        "A default is told in the description: strict mode has no keyword for it, and"
        " a model that has to write every argument should know what is usual.",
        modes="s",
        cases=(
            "google_types",
            "asynchronous_context",
            "defaults",
            "literals",
            "enums",
            "list_default",
            "field_default",
            "single_dataclass",
            "single_recursive",
            "models",
            "model_default",
            "aliased_model",
            "dataclass_and_more",
            "keyword_only",
            "forward",
            "decorated",
            "partial_named",
            "partial_positional",
        ),
    ),
    Difference(
        "Null stands for what is left out and has no default that could be written:"
        " it is read as absent. Without it a model has to invent a value.",
        modes="s",
        cases=("implicit_optional", "single_typed_dict", "typed_dict_and_more"),
    ),
    Difference(
        "A dict with known keys has them as properties; theirs takes an empty object only.",
        modes="s",
        cases=("known_keys",),
    ),
    Difference(
        "A dict with free keys and `Any` are told before anything is sent; theirs are"
        " sent as an object that takes no key, and as a schema without a type, which"
        " the provider refuses.",
        modes="s",
        cases=("free_dict", "bare_dict", "mapping", "anything"),
    ),
    Difference(
        "A tuple is a list whose items may be of each type, with the order in the"
        " description and checked on this machine; theirs is refused.",
        modes="s",
        cases=("tuple_pair", "tuple_same", "named_tuple"),
    ),
    Difference(
        "Exclusive bounds, examples and writeOnly are told in the description: the"
        " documentation of the subset we go by does not name them.",
        modes="s",
        cases=("annotated_bounds", "annotated_examples", "urls"),
    ),
    Difference(
        "An enum of several types says which they are.",
        modes="s",
        cases=("literal_mixed",),
    ),
    Difference(
        "The description is the docstring before its first section; theirs adds what"
        " is returned, in XML. Our models see results, not promises of them.",
        modes="sl",
        cases=("google_returns", "numpy_returns", "sphinx_returns"),
    ),
    Difference(
        "What a partial has set is no question to the model; theirs asks for it"
        " again, also for what was given by position, and such a call fails.",
        modes="sl",
        cases=("partial_named", "partial_positional"),
    ),
    Difference(
        "Partials and objects that can be called need no `__name__` of their own.",
        modes="sl",
        cases=("callable_object", "partial_keywords"),
    ),
    Difference(
        "A model names arguments: what cannot be given by name is refused, as is a"
        " parameter without a type.",
        modes="sl",
        cases=("positional_only", "var_arguments", "var_keywords", "unannotated"),
    ),
    Difference(
        "Arguments are closed all through: a field that nobody reads is a mistake.",
        modes="l",
        cases=("typed_dict_and_more", "dataclass_and_more"),
    ),
    Difference(
        "`Field(…)` without a default is required; theirs takes any `Field` for a default.",
        modes="l",
        cases=("field_required",),
    ),
)

OUTPUTS = (
    Difference(
        "A default is told in the description, see above.",
        modes="s",
        cases=("Defaults", "Point", "Lines", "list[Point]"),
    ),
    Difference(
        "Null stands for what is left out, see above.",
        modes="s",
        cases=("Sparse", "Loose"),
    ),
    Difference(
        "Known keys of a dict are properties, see above.",
        modes="s",
        cases=("Known", "dict[Literal, int]"),
    ),
    Difference(
        "Free keys and `Any` are told before anything is sent, see above.",
        modes="s",
        cases=("Free", "Untyped", "Allowing", "dict[str, int]", "dict", "Any"),
    ),
    Difference(
        "A tuple is a list of its types, see above.",
        modes="s",
        cases=("Pair", "Span", "tuple[int, str]"),
    ),
    Difference(
        "Exclusive bounds and examples are told, see above.",
        modes="s",
        cases=("Exclusive", "Examples"),
    ),
    Difference(
        "An enum of several types says which they are.",
        modes="s",
        cases=("Enums", "Literals", "Level", "Literal mixed"),
    ),
    Difference(
        "A root model that is no object is wrapped like any other; theirs is refused.",
        modes="sl",
        cases=("Names",),
    ),
    Difference(
        "A dict is an object by itself and needs no other around it.",
        modes="l",
        cases=("dict[Literal, int]", "dict[str, int]", "dict"),
    ),
    Difference(
        "One of several: the data stands alone, without an object around what is"
        " none, and what a type says of itself stands with the data.",
        modes="sl",
        cases=("[Plain, Documented]", "[Cat, Dog, int]", "[Point, Movie]", "[int, list[str]]"),
    ),
    Difference(
        "A union is one type, whose members Pydantic tells apart; write a list for"
        " `kind` and `data`.",
        modes="sl",
        cases=("Plain | Documented", "Union[Cat, Dog]", "Plain | None"),
    ),
    Difference(
        "What is around the value is closed, and so are dataclasses in it, see above.",
        modes="l",
        cases=("list[Point]",),
    ),
)

NAMES = (
    Difference(
        "The schema of a type that is no class of the user's is called final_result;"
        " a title that a configuration gives is no name of a type.",
        modes="sl",
        cases=(
            "Titled",
            "int",
            "float",
            "bool",
            "list[str]",
            "List[Plain]",
            "list[list[int]]",
            "set[int]",
            "tuple[int, ...]",
            "tuple[int, str]",
            "Literal",
            "Literal of one",
            "Literal mixed",
            "Json",
            "Score",
            "Annotated model",
            "list[Box[Movie]]",
            "list[Point]",
            "list[Intent]",
            "list",
            "dict[Literal, int]",
            "dict[str, int]",
            "dict",
        ),
    ),
)


def listed(table: Sequence[Difference]) -> set[tuple[str, str]]:
    """Return the cases with the modes in which they differ."""
    return {(case, mode) for each in table for case in each.cases for mode in each.modes}
