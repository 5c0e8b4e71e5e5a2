"""The secret key of an installation that sets none."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from chatbot_site.env import VAR_DIR, make_var_dir


def local_secret_key() -> str:
    """A key made once, kept in `var/`, readable by its owner only.

    Two processes that start at once agree: the first to create the file wins.
    """
    path = VAR_DIR / "secret_key"
    make_var_dir()
    try:
        if not path.exists():
            _create_once(path, secrets.token_urlsafe(48))
        return path.read_text().strip()
    except OSError as error:
        sys.stderr.write(
            f"SECRET_KEY is not set and {path} cannot be used for one: {error.strerror}. "
            "Set SECRET_KEY, or mend that.\n"
        )
        sys.exit(2)


def _create_once(path: Path, content: str) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        draft.touch(mode=0o600)
        draft.write_text(content)
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
