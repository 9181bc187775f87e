"""Every document: its blocks run and print what it says, its links lead somewhere."""

import re
from pathlib import Path

import pytest
from documents import DOCUMENTS, ROOT, generated, run
from generate import PARTS

LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT))
)


@each_document
def test_blocks_run_and_print_what_the_document_says(document: Path, tmp_path: Path) -> None:
    """`make docs` writes what they print now."""
    for _, commands in run(document, tmp_path):
        for told in commands:
            # Compared as texts, so that a difference is shown.
            expected = told.printed if told.agrees else told.expected
            assert told.printed == expected, f"{document.name}:{told.line}: {told.command}"


@each_document
def test_generated_parts_are_fresh(document: Path) -> None:
    """`make docs` writes them."""
    text = document.read_text(encoding="utf-8")
    assert generated(text, PARTS) == text


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for target, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), f"{document.name}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in _anchors(path), f"{document.name}: {target}#{anchor}"


def _anchors(document: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_linked_from_the_readme_or_from_another() -> None:
    linked = {
        (document.parent / target).resolve()
        for document in DOCUMENTS
        for target, _ in LINK.findall(document.read_text(encoding="utf-8"))
    }
    assert not {str(d.relative_to(ROOT)) for d in DOCUMENTS[1:]} - {
        str(p.relative_to(ROOT)) for p in linked if p.is_relative_to(ROOT)
    }
