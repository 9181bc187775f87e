"""What looks like a secret, blotted out of what people, files and models are told."""

import os
import re

from batchspec.errors import shortened, worded

_SECRETS = re.compile(
    r"\b(?:sk|key)-[\w-]{6,}|(?i:bearer)\s+\S+"
    # In a URL: before the last @, as people do not always write a special character with %.
    r"""|://[^/\s:@]*:[^\s'"]{0,500}@"""
    r"""|(?i:\b(?:password|passwd|pwd)=)[^\s'"&;]+"""
)
_SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return a text without anything that looks like a secret."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAMES.search(name):
            text = text.replace(value, "[redacted]")
    return _SECRETS.sub("[redacted]", text)


def raised(error: BaseException) -> str:
    """Return what users' code raised, in words that can be stored and shown.

    Secrets are blotted out before a long text is cut, so that none is cut in two.
    """
    return shortened(redacted(worded(error)))
