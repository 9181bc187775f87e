"""The mean grade that `status` tells: kept by an apply, and gone with newer answers."""

from worlds import World

from batchspec.state.records import MeanGrade


def graded(world: World, *keys: str) -> None:
    world.job(*keys, grade="lambda output: float(len(output))")


def told(world: World) -> list[MeanGrade | None]:
    with world.project() as project:
        return [job.grade for job in project.status().jobs]


def test_a_mean_grade_is_told_until_there_is_a_newer_answer(world: World) -> None:
    graded(world, "a", "bc")
    result = world.apply()
    grades = [len(text or "") for text in world.texts().values()]
    (grade,) = [job.grade for job in result.jobs]
    assert grade is not None
    assert (grade.mean, grade.items) == (sum(grades) / 2, 2)
    assert told(world) == [grade]
    graded(world, "a", "bc", "def")
    assert not world.apply(detach=True).done
    assert told(world) == [grade]
    world.clock.advance(3600)
    with world.project() as project:
        project.refresh()
    assert told(world) == [None]


def test_an_apply_keeps_the_grades_of_all_jobs(world: World) -> None:
    graded(world, "a", "bc")
    world.job("x", name="other", grade="lambda output: None")
    world.apply()
    assert [grade is not None for grade in told(world)] == [True, False]
    world.job("a", "bc")
    world.job("x", "y", name="other", grade="lambda output: 2.0")
    world.apply()
    assert told(world) == [None, MeanGrade(2.0, 2, 2.0, 2.0)]


def test_items_that_are_forgotten_take_the_mean_with_them(world: World) -> None:
    graded(world, "a", "bc", "def")
    world.apply()
    with world.project() as project:
        project.state.forget(['m.j["a"]'])
    assert told(world) == [None]
    graded(world, "bc")
    world.apply()
    (grade,) = told(world)
    assert grade is not None
    assert grade.items == 1
    graded(world, "x")
    assert not world.apply(detach=True).done
    assert told(world) == [None]
