"""Word problems, solved with a calculator over several turns and compared with the known answer."""

import ast
import operator
from collections.abc import Callable, Mapping

from dying import reach
from pydantic import BaseModel

from batchspec import Job, ModelRetry, RunContext, rows, tool

OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Problem(BaseModel):
    """A line of the data set, with an id."""

    id: str
    question: str
    answer: str

    @property
    def solution(self) -> float:
        """The number after `####`."""
        return float(self.answer.rpartition("####")[2].replace(",", ""))


class Solution(BaseModel):
    """What the model comes to."""

    answer: float


def evaluate(node: ast.expr) -> float:
    """Compute a syntax tree of numbers, + - * / and parentheses."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -evaluate(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](evaluate(left), evaluate(right))
    raise ValueError(f"{ast.unparse(node)!r} is not arithmetic")


@tool
def calculator(ctx: RunContext, expression: str) -> float:
    """Compute an arithmetic expression.

    Args:
        ctx: Whose call this is.
        expression: Numbers, + - * / and parentheses.
    """
    reach("tool")
    assert ctx.call_id
    try:
        return evaluate(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError) as error:
        raise ModelRetry(f"That cannot be computed: {error}.") from error


def is_right(problem: Problem, solution: Solution) -> bool:
    """Compare with the reference."""
    return abs(solution.answer - problem.solution) < 1e-6


solve = Job(
    model="openai:gpt-5-mini",
    rows=rows.jsonl("data/problems.jsonl", key="id"),
    row_type=Problem,
    instructions="Solve the problem. Leave every calculation to the calculator.",
    prompt="{question}",
    output=Solution,
    tools=[calculator],
    grade=is_right,
    max_turns=8,
)
