"""Agents of Pydantic AI, where it is installed."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("pydantic_ai") else ["*"]
