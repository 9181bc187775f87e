"""1,319 word problems through two instructions, graded by a function and by a judge."""

from batchspec import Job, rows

VARIANTS = {
    "quick": {"instructions": "Answer at once."},
    "careful": {"instructions": "Think step by step."},
}
PROBLEMS = rows.jsonl("data/problems.jsonl", key="id")


def is_right(row: dict[str, str], answer: float) -> bool:
    """Compare with the reference."""
    return answer == float(row["answer"].rpartition("####")[2].replace(",", ""))


solved = Job(
    model="openai:gpt-5-mini",
    rows=PROBLEMS,
    prompt="{question}",
    output=float,
    variants=VARIANTS,
    grade=is_right,
)

judge = Job(
    model="openai:gpt-5-mini",
    prompt="Reference: {row[answer]}\nAnswer: {output}\nIs it right?",
    output=bool,
)

judged = Job(
    model="openai:gpt-5-mini",
    rows=PROBLEMS,
    prompt="{question}",
    output=float,
    variants=VARIANTS,
    grade=judge,
)
