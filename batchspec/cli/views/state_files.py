"""The state as a whole: written, put in, checked."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from rich.text import Text

from batchspec.cli.views.streams import out_stream, print_json, print_prose, stderr, stdout
from batchspec.cli.views.words import clean, counted
from batchspec.store.archive import Manifest, private_file

if TYPE_CHECKING:
    from batchspec.project.garbage import Garbage
    from batchspec.project.transfer import Pushed


def stdout_is_terminal() -> bool:
    """Tell whether a person would see what is written."""
    return out_stream().isatty()


@contextmanager
def bytes_out() -> Generator[BinaryIO]:
    """Return stdout for bytes."""
    stream = out_stream()
    stream.flush()
    yield stream.buffer
    stream.buffer.flush()


def pull_to(pull: Callable[[BinaryIO], Manifest], path: Path) -> Manifest:
    """Write a state to a file of its owner alone."""
    with private_file(path) as out:
        return pull(out)


def show_pulled(manifest: Manifest, path: Path) -> None:
    """Say on stderr what was written; scripts want nothing on stdout."""
    files = counted(len(manifest.segments), "file")
    told = f"Wrote serial {manifest.serial} with {files} of bodies to {clean(str(path))}."
    print_prose(stderr(), [Text(told)])


def show_pushed(done: "Pushed") -> None:
    """Say what the state is now, and where the one before is."""
    if not done.changed:
        print_prose(stdout(), [Text("The state is that very copy already; nothing to do.")])
        return
    lines = [Text(f"The state is replaced; lineage …{done.lineage[-8:]}, serial {done.serial}.")]
    if done.backup:
        kept = f"The one before is kept in {clean(str(done.backup))}; "
        lines.append(Text(f"{kept}`state push FILE --force` puts it back."))
    print_prose(stdout(), lines)


def show_pushed_json(done: "Pushed") -> None:
    """Print what came of a push as one JSON document."""
    print_json(
        {
            "changed": done.changed,
            "lineage": done.lineage,
            "serial": done.serial,
            "backup": str(done.backup) if done.backup else None,
        }
    )


def show_verified(problems: Sequence[str]) -> None:
    """Say that the state is sound, or what is broken."""
    if not problems:
        print_prose(stdout(), [Text("The state is sound.", "green")])
        return
    found = counted(len(problems), "thing")
    head = Text(f"The state is broken: {found} that must be true, and is not.", "bold red")
    hint = "Put back a copy of it (`batchspec state push FILE --force`), and report this as a bug."
    print_prose(stdout(), [head, *(Text(f"- {clean(problem)}") for problem in problems)])
    print_prose(stderr(), [Text(hint)])


def show_verified_json(problems: Sequence[str]) -> None:
    """Print what is broken as one JSON document."""
    print_json({"sound": not problems, "problems": list(problems)})


def show_garbage(done: "Garbage") -> None:
    """Say what was deleted, or would be."""
    verb = "Would delete" if done.dry_run else "Deleted"
    lines: list[Text] = []
    if done.inputs:
        size = f"about {done.input_bytes:,} bytes"
        lines.append(Text(f"{verb} {counted(done.inputs, 'input file')} at providers, {size}."))
    if done.results:
        what = counted(done.results, "batch", "batches")
        lines.append(Text(f"{verb} the result files of {what} at providers; they are kept here."))
    if done.segments:
        what = f"{counted(done.segments, 'file')} of bodies, {done.segment_bytes:,} bytes"
        lines.append(Text(f"{verb} {what}."))
    if done.answers:
        what = f"{counted(done.answers, 'answer')} of pure tools, {done.answer_bytes:,} bytes"
        lines.append(Text(f"{verb} {what}; no call asked for them lately."))
    print_prose(stdout(), lines or [Text("There is nothing to delete.")])
    for sentence in done.left:
        print_prose(stderr(), [Text.assemble(("Warning: ", "yellow"), clean(sentence))])


def show_garbage_json(done: "Garbage") -> None:
    """Print what was deleted, or would be, as one JSON document."""
    print_json(
        {
            "dry_run": done.dry_run,
            "input_files": done.inputs,
            "input_bytes": done.input_bytes,
            "batches_with_results": done.results,
            "body_files": done.segments,
            "body_bytes": done.segment_bytes,
            "tool_answers": done.answers,
            "tool_answer_bytes": done.answer_bytes,
            "left": done.left,
        }
    )
