"""Testing projects and jobs offline, with pytest: what the model says, and what came of it.

The fixtures `run_job` and `batch_project` come from the plugin, which pytest finds by itself.
"""

from typing import TYPE_CHECKING

from batchspec.lazy import lazy_names

if TYPE_CHECKING:
    from batchspec.results.turns import ToolRun, Turn
    from batchspec.simulator import Answer, Faults, Pace
    from batchspec.testing.answers import Request, ScriptError
    from batchspec.testing.clock import VirtualClock
    from batchspec.testing.run import Run, RunItem
    from batchspec.testing.scripts import call, fail, made_up, refuse, script
    from batchspec.testing.simulated import SimulatedProject

__all__ = [
    "Answer",
    "Faults",
    "Pace",
    "Request",
    "Run",
    "RunItem",
    "ScriptError",
    "SimulatedProject",
    "ToolRun",
    "Turn",
    "VirtualClock",
    "call",
    "fail",
    "made_up",
    "refuse",
    "script",
]

# Late: pytest imports this package for everyone who has batchspec installed.
__getattr__ = lazy_names(
    __name__,
    {
        "Answer": "batchspec.simulator:Answer",
        "Faults": "batchspec.simulator:Faults",
        "Pace": "batchspec.simulator:Pace",
        "Request": "batchspec.testing.answers:Request",
        "Run": "batchspec.testing.run:Run",
        "RunItem": "batchspec.testing.run:RunItem",
        "ScriptError": "batchspec.testing.answers:ScriptError",
        "SimulatedProject": "batchspec.testing.simulated:SimulatedProject",
        "ToolRun": "batchspec.results.turns:ToolRun",
        "Turn": "batchspec.results.turns:Turn",
        "VirtualClock": "batchspec.testing.clock:VirtualClock",
        "call": "batchspec.testing.scripts:call",
        "fail": "batchspec.testing.scripts:fail",
        "made_up": "batchspec.testing.scripts:made_up",
        "refuse": "batchspec.testing.scripts:refuse",
        "script": "batchspec.testing.scripts:script",
    },
)
