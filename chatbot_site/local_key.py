"""The secret key of an installation that sets none."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from chatbot_site.env import VAR_DIR


def local_secret_key() -> str:
    """A key made once, kept in `var/`, readable by its owner only.

    Two processes that start at once agree: the first to create the file wins.
    """
    path = VAR_DIR / "secret_key"
    try:
        VAR_DIR.mkdir(exist_ok=True)
        if not path.exists():
            _create_once(path, secrets.token_urlsafe(48))
        return path.read_text().strip()
    except OSError as error:
        sys.stderr.write(
            f"SECRET_KEY is not set and {path} cannot be used for one: {error.strerror}\n"
        )
        sys.exit(2)


def _create_once(path: Path, content: str) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(content)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
