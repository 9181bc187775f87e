"""Faults of files, drawn when a file is made: behaviours 9 to 11."""

from abc import abstractmethod
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from pydantic import Field

from batchspec.simulator.faults.rule import ModelFault, Occasion
from batchspec.simulator.jobs.records import FileRecord


class FileFault(ModelFault):
    """A fault that a file is made with."""

    purpose: str = "batch"
    """Only for files whose purpose matches: `batch` is uploaded, `batch_output` is a result."""

    def fits(self, occasion: Occasion) -> bool:
        return super().fits(occasion) and fnmatchcase(occasion.purpose or "", self.purpose)

    @abstractmethod
    def mark(self, file: FileRecord) -> FileRecord:
        """Return the file as it is with the fault."""


class FileNotVisible(FileFault):
    """A file just uploaded cannot be found for some seconds."""

    fault: Literal["file_not_visible"] = "file_not_visible"
    behaviours: ClassVar = (9, 13)
    seconds: float = Field(default=30.0, ge=0)
    refuses_create: bool = True
    """Whether a batch of it is refused, or accepted and then failed by validation."""

    def mark(self, file: FileRecord) -> FileRecord:
        return replace(
            file,
            hidden_until=file.created_at + self.seconds,
            hidden_from_create=self.refuses_create,
        )


class FileUnlisted(FileFault):
    """The list of files lags behind."""

    fault: Literal["file_unlisted"] = "file_unlisted"
    behaviours: ClassVar = (10,)
    seconds: float = Field(default=30.0, ge=0)

    def mark(self, file: FileRecord) -> FileRecord:
        return replace(file, listed_from=file.created_at + self.seconds)


class FileExpires(FileFault):
    """A file is gone before its time."""

    fault: Literal["file_expires"] = "file_expires"
    behaviours: ClassVar = (11,)
    purpose: str = "batch_output"
    seconds: float = Field(default=3_600.0, ge=0)

    def mark(self, file: FileRecord) -> FileRecord:
        return replace(file, expires_at=file.created_at + self.seconds)


FILES = (FileNotVisible, FileUnlisted, FileExpires)
