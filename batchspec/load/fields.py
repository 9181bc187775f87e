"""Whether templates name fields that the rows have, known before all rows are read."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from batchspec.desired.expand import SourceRow
from batchspec.load.rows import read_rows
from batchspec.spec.job import Job
from batchspec.spec.prompt import Template, model_fields
from batchspec.spec.rows import MEMBER_FIELDS, DerivedSource, OutputsOf, known_fields


def template_problems(job: Job, root: Path, *, many: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (summary, detail) for every template slot without a field.

    Args:
        job: Whose templates.
        root: The project's folder.
        many: Whether its rows are answers of a job with variants or samples.
    """
    templates = {name: Template(given) for name, given in job.templates().items()}
    if not any(template.slots for template in templates.values()):
        return
    fields = row_fields(job, root)
    if fields is None:
        return
    if many and isinstance(job.rows, OutputsOf) and job.row_type is None:
        fields = (*fields, *MEMBER_FIELDS)
    for name, template in templates.items():
        for problem in template.problems(fields):
            yield "template field is not known", f"In `{name}`: {problem}"


def row_fields(job: Job, root: Path) -> tuple[str, ...] | None:
    """Return the fields a template may name: of `row_type`, of the source, or of the first row.

    None where they cannot be told: there is no row, or the first one cannot be read (which
    checking the rows tells).
    """
    if job.row_type is not None:
        free = job.row_type.model_config.get("extra") == "allow"
        return None if free else tuple(sorted(model_fields(job.row_type)))
    fixed = known_fields(job.rows)
    if fixed is not None or isinstance(job.rows, DerivedSource):
        return fixed
    first = next(read_rows(job.rows, root), None)
    return tuple(first.data) if isinstance(first, SourceRow) else None


def unfinished(row_type: type[BaseModel] | None) -> str | None:
    """Return why a row type cannot be asked, such as an annotation of what is nowhere."""
    try:
        _ = row_type and row_type.__pydantic_validator__.validate_python
    except PydanticUserError as error:
        return error.message
    return None
