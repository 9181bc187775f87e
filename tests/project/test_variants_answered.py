"""Answers a person gives, for a job with variants or for one of them."""

from pathlib import Path
from typing import Any

import pytest
from worlds import World

from batchspec.errors import RefusedError
from batchspec.project.project import Project

SPEC = """
from batchspec import Job, rows

j = Job(model="openai:gpt-5-mini", prompt="Route {id}", rows=rows.inline([{"id": "a"}]),
        samples=2, variants={"plain": {}, "terse": {"instructions": "Be brief."}})
"""


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("m.j", ["mine"] * 4),
        ("m.j@terse", ["other", "other", "mine", "mine"]),
        ("m.j@terse#2", ["other", "other", "other", "mine"]),
        ("m.*", ["mine"] * 4),
    ],
)
def test_simulated_answers_are_given_to_a_job_or_a_variant(
    tmp_path: Path, pattern: str, texts: list[str]
) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    (tmp_path / "answers.py").write_text(
        "def mine(body):\n    return 'mine'\n\n\ndef other(body):\n    return 'other'\n"
    )
    (tmp_path / "batchspec.toml").write_text(
        "[simulator]\npace = 0\n[simulator.answers]\n"
        f'"{pattern}" = "answers.py:mine"\n"*" = "answers.py:other"\n'
    )
    with Project(tmp_path, simulate=True) as project:
        project.apply(project.plan())
        assert [item.text for item in project.results("m.j")] == texts


def test_variants_that_judge_one_answer_in_two_ways_are_told(world: World) -> None:
    """An answer that is paid once is judged once; a person has to let the requests differ."""
    world.spec(
        """
        def check(value):
            pass

        j = Job(model="openai:gpt-5-mini", prompt="{id}", rows=rows.inline([{"id": "a"}]),
                variants={"plain": {}, "checked": {"output_validators": [check]}})
        """
    )
    with pytest.raises(RefusedError, match=r"m\.j@(plain|checked) asks exactly what"):
        world.apply()


def test_a_variant_has_an_output_of_its_own_for_what_is_made_of_it(world: World) -> None:
    """What a template over answers may name is not known where variants differ."""
    world.spec(
        """
        from pydantic import BaseModel

        class Long(BaseModel):
            words: int

        up = Job(model="openai:gpt-5-mini", prompt="{id}", rows=rows.inline([{"id": "a"}]),
                 output=Long, variants={"typed": {}, "text": {"output": str}})
        down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="{variant} {output}")
        """
    )

    def answer(body: dict[str, Any]) -> Any:
        return '{"words": 1}' if "response_format" in body else "some words"

    world.model = answer
    world.apply()
    assert world.outcomes("m.down") == {"a,typed": "succeeded", "a,text": "succeeded"}
