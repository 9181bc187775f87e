"""Evaluation: how well does a model solve sums about a price list, with a calculator at hand?"""

import ast
import csv
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from batchspec import Job, ModelRetry, RunContext, rows, tool

PRICES = Path(__file__).parent / "data" / "prices.csv"
OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Solution(BaseModel):
    """A worked answer."""

    steps: list[str] = Field(description="One short sentence per step.")
    total: float = Field(description="In euros.")


def price_list() -> dict[str, float]:
    """Return prices by product; made once per run, and given to tools as `ctx.deps`."""
    with PRICES.open(encoding="utf-8", newline="") as file:
        return {line["product"]: float(line["euros"]) for line in csv.DictReader(file)}


def evaluate(node: ast.expr) -> float:
    """Compute a syntax tree of numbers, + - * / and parentheses; nothing else can run."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -evaluate(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](evaluate(left), evaluate(right))
    raise ValueError(f"{ast.unparse(node)!r} is not arithmetic")


@tool
def calculator(expression: str) -> float:
    """Compute an arithmetic expression.

    Args:
        expression: Numbers, + - * / and parentheses, like (3 + 4) * 2.50
    """
    try:
        return evaluate(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError) as error:
        # The model reads this and can correct itself.
        raise ModelRetry(f"That cannot be computed: {error}.") from error


@tool(timeout=5)
def price_of(ctx: RunContext[dict[str, float]], product: str) -> float:
    """Look up the price of one product in euros.

    Args:
        ctx: Who asks, and what `deps` made; the model does not see it.
        product: Its name on the price list, in the singular.
    """
    if product not in ctx.deps:
        raise ModelRetry(f"Not on the list. There are: {', '.join(ctx.deps)}.")
    return ctx.deps[product]


def is_right(problem: Mapping[str, Any], solution: Solution) -> bool:
    """Compare with the known answer, to the cent."""
    return abs(solution.total - problem["expected"]) < 0.005


sums = Job(
    model="openai:gpt-5-nano",
    rows=rows.jsonl("specs/data/sums.jsonl", key="id"),
    instructions="Look up every price. Leave every calculation to the calculator.",
    prompt="{question}",
    output=Solution,
    tools=[calculator, price_of],
    deps=price_list,
    grade=is_right,
    max_turns=12,
    settings={"reasoning_effort": "low", "max_completion_tokens": 4000},
)
