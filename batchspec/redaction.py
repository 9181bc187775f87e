"""What looks like a secret, blotted out of what people, files and models are told."""

import os
import re

from batchspec.errors import shortened, worded

_SECRETS = re.compile(
    r"\b(?:sk|key)-[\w-]{6,}|(?i:bearer)\s+\S+"  # the former if `_is_key`
    # In a URL: before the last @, as people do not always write a special character with %.
    r"""|://[^/\s:@]*:[^\s'"]{0,500}@"""
    r"""|(?i:\b(?:password|passwd|pwd)=)[^\s'"&;]+"""
)
_KEYS = ("sk-proj-", "sk-live-", "sk-test-", "sk-ant-", "sk-or-", "sk-svcacct-", "sk-admin-")
_SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return a text without anything that looks like a secret."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAMES.search(name):
            text = text.replace(value, "[redacted]")
    return _SECRETS.sub(_blotted, text)


def _blotted(found: re.Match[str]) -> str:
    text = found[0]
    plain = text.startswith(("sk-", "key-")) and not _is_key(text)
    return text if plain else "[redacted]"


def _is_key(text: str) -> bool:
    """Tell a key from hyphenated words, such as key-points: it has a part that is no word."""
    parts = [part for part in text.split("-")[1:] if len(part) >= 6]
    return text.startswith(_KEYS) or any(
        any(one.isdigit() for one in part) or part[1:] != part[1:].lower() or len(part) >= 24
        for part in parts
    )


def raised(error: BaseException) -> str:
    """Return what users' code raised, in words that can be stored and shown.

    Secrets are blotted out before a long text is cut, so that none is cut in two.
    """
    return shortened(redacted(worded(error)))
