"""Agents of Pydantic AI as jobs: `Job.from_agent`.

Nothing here is imported before a spec asks for it, and `pydantic_ai` is not needed otherwise.

What an agent would send is not worked out a second time: the agent is run with a client that keeps
its first request and answers nothing (`probe`). So prompts, tools, schemas and settings are what
Pydantic AI itself makes of them, its capabilities and toolsets included. What happens after the
first request (tools, validators) calls the agent's own functions with a `RunContext` of Pydantic AI
that is made here (`context`).

Private names of Pydantic AI are used where there is no public one; each use says so. They were seen
in 2.60 to 2.68, and a test looks at every parameter of its constructors.
"""
