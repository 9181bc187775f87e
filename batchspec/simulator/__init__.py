"""An embedded server that speaks the provider's Files and Batches API."""

from batchspec.simulator.answers.functions import CallableModel
from batchspec.simulator.answers.loading import load_answers, load_model
from batchspec.simulator.answers.port import Answer, Model, Question, Replay, ToolCall
from batchspec.simulator.answers.recorded import RecordedModel
from batchspec.simulator.answers.recording import Recording
from batchspec.simulator.answers.routing import JobOf, RoutedModel
from batchspec.simulator.answers.schema_model import SchemaModel
from batchspec.simulator.app import create_app
from batchspec.simulator.clock import SimulatedClock
from batchspec.simulator.faults.catalogue import FaultError
from batchspec.simulator.faults.rules import Faults, Rule, load_faults
from batchspec.simulator.http.access import Access
from batchspec.simulator.server import serve, serving
from batchspec.simulator.transport import AppTransport
from batchspec.simulator.upstream.client import Upstream
from batchspec.simulator.upstream.port import Source
from batchspec.simulator.upstream.recorder import RecordingSource
from batchspec.simulator.wire import Clock, HTTPFailure, Pace

__all__ = [
    "Access",
    "Answer",
    "AppTransport",
    "CallableModel",
    "Clock",
    "FaultError",
    "Faults",
    "HTTPFailure",
    "JobOf",
    "Model",
    "Pace",
    "Question",
    "RecordedModel",
    "Recording",
    "RecordingSource",
    "Replay",
    "RoutedModel",
    "Rule",
    "SchemaModel",
    "SimulatedClock",
    "Source",
    "ToolCall",
    "Upstream",
    "create_app",
    "load_answers",
    "load_faults",
    "load_model",
    "serve",
    "serving",
]
