"""Behaviours 9 to 11: files that cannot be found, are not listed, or are gone."""

from typing import Any

import pytest

from .conftest import Simulation, request_line
from .faulty import create, look, raw

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("refuses", [True, False])
async def test_09_a_file_just_uploaded_cannot_be_found(
    simulation: Simulation, *, refuses: bool
) -> None:
    simulation.engine.faults.add("file_not_visible", seconds=30, refuses_create=refuses, times=1)
    file = await simulation.upload(request_line("a"))
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answer = await raw(simulation, method, f"/files/{file}{path}")
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith(f"Cannot find file {file}")
        assert answer.json()["error"]["param"] == "file_id"
    created = await create(simulation, file)
    if refuses:
        assert created.status_code == 400
        assert "Cannot find file" in created.json()["error"]["message"]
    else:
        simulation.clock.advance(20)
        failed = await look(simulation, created.json()["id"])
        assert "Cannot find file" in failed["errors"]["data"][0]["message"]
    simulation.clock.advance(30)
    assert (await raw(simulation, "GET", f"/files/{file}/content")).status_code == 200
    assert (await create(simulation, file)).status_code == 200


async def test_10_the_list_of_files_lags(simulation: Simulation) -> None:
    simulation.engine.faults.add("file_unlisted", seconds=30, nth=2)
    one, two = [await simulation.upload(request_line("a")) for _ in range(2)]

    async def listed() -> list[str]:
        return [file["id"] for file in (await raw(simulation, "GET", "/files")).json()["data"]]

    assert await listed() == [one]
    assert (await raw(simulation, "GET", f"/files/{two}")).status_code == 200
    simulation.clock.advance(30)
    assert await listed() == [two, one]


async def test_11_a_result_file_expires_early(simulation: Simulation) -> None:
    simulation.engine.faults.add("file_expires", seconds=60)
    batch = await simulation.after(125, await simulation.submit(request_line("a")))
    path = f"/files/{batch.output_file_id}/content"
    assert (await raw(simulation, "GET", path)).status_code == 200
    simulation.clock.advance(61)
    assert (await raw(simulation, "GET", path)).status_code == 404
    assert (await look(simulation, batch.id))["output_file_id"] == batch.output_file_id


async def test_11_a_result_file_is_about_the_model_that_answered(simulation: Simulation) -> None:
    simulation.engine.faults.add("file_expires", seconds=0, model="ends-*")
    for model, status in (("ends-lost", 404), ("another", 200)):
        batch = await simulation.finish(request_line("a", model=model))
        path = f"/files/{batch.output_file_id}/content"
        assert (await raw(simulation, "GET", path)).status_code == status


async def test_11_content_is_gone_after_expiry_or_delete(simulation: Simulation) -> None:
    batch = await simulation.finish(request_line("a"))
    answers: list[Any] = []
    await raw(simulation, "DELETE", f"/files/{batch.input_file_id}")
    answers.append(await raw(simulation, "GET", f"/files/{batch.input_file_id}/content"))
    simulation.clock.advance(30 * 86_400)
    answers.append(await raw(simulation, "GET", f"/files/{batch.output_file_id}/content"))
    assert [answer.status_code for answer in answers] == [404, 404]
    assert "No such File object" in answers[1].json()["error"]["message"]


async def test_a_rule_about_files_can_name_a_model(simulation: Simulation) -> None:
    simulation.engine.faults.add("file_unlisted", model="other")
    await simulation.upload(request_line("a"))
    await simulation.upload(request_line("a", model="other"))
    assert len((await raw(simulation, "GET", "/files")).json()["data"]) == 1
