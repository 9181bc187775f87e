"""batchspec: the declarative way to run LLM batch jobs."""

from typing import TYPE_CHECKING

from batchspec.lazy import lazy_names

if TYPE_CHECKING:
    from batchspec.errors import ModelRetry
    from batchspec.messages import Message
    from batchspec.project import Project
    from batchspec.spec import rows
    from batchspec.spec.context import RunContext
    from batchspec.spec.embedding import EmbeddingJob
    from batchspec.spec.hooks import Command, Hook, JobError, JobFinal
    from batchspec.spec.job import Job
    from batchspec.spec.output import NativeOutput, PromptedOutput, TextOutput, ToolOutput
    from batchspec.spec.parts import Document, Image
    from batchspec.spec.tool import Tool, tool
    from batchspec.spec.variants import matrix

__all__ = [
    "Command",
    "Document",
    "EmbeddingJob",
    "Hook",
    "Image",
    "Job",
    "JobError",
    "JobFinal",
    "Message",
    "ModelRetry",
    "NativeOutput",
    "Project",
    "PromptedOutput",
    "RunContext",
    "TextOutput",
    "Tool",
    "ToolOutput",
    "matrix",
    "rows",
    "tool",
]

# Late: pytest imports this package for everyone who has it installed, to find our plugin; and specs
# need neither the state nor a provider.
__getattr__ = lazy_names(
    __name__,
    {
        "Command": "batchspec.spec.hooks:Command",
        "Document": "batchspec.spec.parts:Document",
        "EmbeddingJob": "batchspec.spec.embedding:EmbeddingJob",
        "Hook": "batchspec.spec.hooks:Hook",
        "Image": "batchspec.spec.parts:Image",
        "Job": "batchspec.spec.job:Job",
        "JobError": "batchspec.spec.hooks:JobError",
        "JobFinal": "batchspec.spec.hooks:JobFinal",
        "Message": "batchspec.messages:Message",
        "ModelRetry": "batchspec.errors:ModelRetry",
        "NativeOutput": "batchspec.spec.output:NativeOutput",
        "Project": "batchspec.project:Project",
        "PromptedOutput": "batchspec.spec.output:PromptedOutput",
        "RunContext": "batchspec.spec.context:RunContext",
        "TextOutput": "batchspec.spec.output:TextOutput",
        "Tool": "batchspec.spec.tool:Tool",
        "ToolOutput": "batchspec.spec.output:ToolOutput",
        "matrix": "batchspec.spec.variants:matrix",
        "rows": "batchspec.spec.rows",
        "tool": "batchspec.spec.tool:tool",
    },
)
