"""What is played in a sweep: small on purpose, since each is run hundreds of times."""

from typing import Any

from adoption.handmade import by_hand, line

from batchspec.simulator import HTTPFailure
from batchspec.simulator.endpoints.responses import to_chat
from batchspec.simulator.endpoints.responses_items import items_of
from sweep.sweeping import Scene, Step, SweepWorld

TOOLS = """
import pathlib
import sys

LOG = pathlib.Path(__file__).parent.parent / "log"

def note(text):
    with LOG.open("a") as log:
        log.write(text + "\\n")

@tool(once=ONCE, retries=0)
async def add(ctx: RunContext, x: int, y: int) -> int:
    "Add two numbers."
    sys.audit("sweep", "before", "tool")
    note(ctx.call_id)
    sys.audit("sweep", "after", "tool")
    return x + y

def check(value):
    sys.audit("sweep", "inside", "judging")
    if str(value).endswith("?"):
        raise ModelRetry("be sure")
    return value
"""


def adding(body: dict[str, Any]) -> Any:
    """Call a tool once per row; be unsure at first; then tell the result."""
    said = [m["content"] for m in body["messages"] if m["role"] == "tool"]
    if not said:
        number = int(str(body["messages"][-1]["content"]).split()[-1])
        calls = [{"name": "add", "arguments": {"x": number, "y": n}} for n in (1, 2)]
        return {"role": "assistant", "tool_calls": calls}
    unsure = body["messages"][-1]["role"] == "tool" and "7" in "".join(said)
    return " ".join(said) + ("?" if unsure else "")


def adding_items(body: dict[str, Any]) -> Any:
    """Do as `adding`, where messages are items."""
    return adding(to_chat(body, items_of(body["input"])))


def flaky(body: dict[str, Any]) -> Any:
    """Refuse one row for good."""
    text = str(body["messages"][-1]["content"])
    if text.endswith(" d"):
        raise HTTPFailure(400, "This cannot be answered.", code="invalid_prompt")
    return text.upper()


# --- steps


def plain(world: SweepWorld) -> None:
    world.job("a", "b", "c", "d")
    world.apply()


def failing(world: SweepWorld) -> None:
    world.job("a", "b", "d")
    world.apply()


def sent(world: SweepWorld) -> None:
    """Send rows, and leave."""
    world.spec(_telling(a="1", b="1", c="1", d="1"))
    world.apply(detach=True)


def edited(world: SweepWorld) -> None:
    """Change a row that is being answered, remove another one, add one."""
    world.spec(_telling(a="1", c="2", d="1", e="1"))
    world.apply()


def _telling(**texts: str) -> str:
    data = [{"id": key, "text": text} for key, text in texts.items()]
    job = (
        f"Job(model='openai:gpt-5-mini', rows=rows.inline({data!r}), prompt='say {{id}} {{text}}')"
    )
    return f"j = {job}"


def with_tools(numbers: str, *, once: bool = False, provider: str = "openai") -> Step:
    def step(world: SweepWorld) -> None:
        _spec(world, numbers, once=once, provider=provider)
        world.apply()

    return step


def bounded(world: SweepWorld) -> None:
    """Let a model have one turn, which is not enough."""
    _spec(world, "56", turns=1)
    world.apply()


def resumed(world: SweepWorld) -> None:
    """Go on with what ended because of that."""
    _spec(world, "56")
    with world.open() as project:
        project.apply(project.plan(failed=True), hook=world.hook)


def _spec(
    world: SweepWorld,
    numbers: str,
    *,
    once: bool = False,
    provider: str = "openai",
    turns: int = 5,
) -> None:
    world.spec(
        TOOLS.replace("ONCE", str(once))
        + f"DATA = [{{'id': n}} for n in '{numbers}']\n"
        + f"j = Job(model='{provider}:gpt-5-mini', rows=rows.inline(DATA), prompt='add {{id}}', "
        + f"tools=[add], output_validators=[check], output_retries=2, max_turns={turns})"
    )


def chained(world: SweepWorld) -> None:
    world.spec("""
        M = "openai:gpt-5-mini"
        first = Job(model=M, rows=rows.inline([{"id": k} for k in "ab"]), prompt="say {id}")
        whole = Job(model=M, rows=rows.collect(first), prompt="{outputs}")
    """)
    world.apply()


def flowing(world: SweepWorld) -> None:
    """Send rows on while a batch above takes its time."""
    world.spec("""
        M = "openai:gpt-5-mini"
        first = Job(model=M, rows=rows.inline([{"id": k} for k in "ab"]), prompt="say {id}")
        next = Job(model=M, rows=rows.outputs_of(first, eager=True), prompt="more {output}")
        last = Job(model=M, rows=rows.outputs_of(next, eager=True), prompt="less {output}")
    """)
    world.apply()


def judged(rule: str) -> Step:
    def step(world: SweepWorld) -> None:
        world.spec(f"""
            def check(value):
                if {rule}:
                    raise ValueError("no")
                return value
            j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": k}} for k in "ab"]),
                    prompt="say {{id}}", output_validators=[check])
        """)
        world.apply()

    return step


def cancelled(world: SweepWorld) -> None:
    """Stop what is under way."""
    with world.open() as project:
        project.cancel("m.j")


def swept_up(world: SweepWorld) -> None:
    """Delete what nothing needs any more."""
    with world.open() as project:
        project.state.gc()


def destroyed(world: SweepWorld) -> None:
    """Forget everything but the answers."""
    with world.open() as project:
        project.destroy()


def imported(world: SweepWorld) -> None:
    """Take over a batch that was made by hand."""
    world.job("a", "b", "c")
    if not world.remote():
        by_hand(world, line("a", "say a"), line("b", "say b"))
    with world.open() as project:
        project.import_batch("m.j", str(world.remote()[-1]["id"]))


def applied(world: SweepWorld) -> None:
    world.apply()


def gone_on(*numbers: str) -> Step:
    """Wait a while, collect, run tools, send the next turn, and leave."""

    def step(world: SweepWorld) -> None:
        world.clock.advance(60)
        _spec(world, "".join(numbers))
        world.apply(detach=True)

    return step


def _call_may_have_run(item: str, world: SweepWorld) -> bool:
    """A call of a `once` tool that was under way at a death fails its item: nobody knows."""
    found = world.items("m.j")[item.partition("[")[2].rstrip("]")]
    return found.outcome == "failed" and "may have run before" in str(found.reason)


SCENES = {
    scene.name: scene
    for scene in (
        Scene(name="lagging", steps=[plain], faults=[("list_lag", {"seconds": 30})]),
        Scene(name="edited", steps=[sent, edited]),
        Scene(name="tools", steps=[with_tools("56")], model=adding),
        Scene(
            name="responses",
            steps=[with_tools("6", provider="openai-responses")],
            model=adding_items,
            most=10,
        ),
        Scene(
            name="once",
            steps=[with_tools("5", once=True)],
            model=adding,
            within=("1 before commit BatchCollected #1", "1 after commit BatchSubmitted #2"),
            once=True,
            forgiven=_call_may_have_run,
        ),
        Scene(
            name="failing",
            steps=[failing],
            model=flaky,
            limits=[],
            faults=[
                ("early_expiry", {"nth": 1, "share": 0.5}),
                ("line_error", {"nth": 2, "status": 500}),
                ("lost_line", {"nth": 3}),
            ],
        ),
        Scene(
            name="returned",
            steps=[gone_on("5", "6"), gone_on("5", "6"), with_tools("5"), with_tools("56")],
            model=adding,
            most=40,
        ),
        Scene(name="resumed", steps=[bounded, resumed], model=adding, most=8),
        Scene(name="cancelled", steps=[sent, cancelled, applied], most=30),
        Scene(name="destroyed", steps=[chained, destroyed, chained], most=30),
        Scene(name="gc", steps=[plain, swept_up], most=20),
        Scene(name="imported", steps=[imported, applied], most=30),
        Scene(name="chain", steps=[chained]),
        Scene(
            name="flow",
            steps=[flowing],
            limits=[("max_requests", 1)],
            most=25,
            faults=[("long_validating", {"nth": 2, "seconds": 400})],
        ),
        Scene(name="judged", steps=[judged("False"), judged("value == 'SAY B'")]),
    )
}
