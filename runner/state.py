"""Where runflow keeps what outlives a run: permissions, the ledger, finished conversations, crash reports."""

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["owned", "state_folder"]


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's state folder for runflow, or the one that RUNFLOW_STATE_DIR names. It may not exist yet."""
    if named := environment.get("RUNFLOW_STATE_DIR"):
        return Path(named)
    from platformdirs import user_state_path

    return user_state_path("runflow", appauthor=False)


def owned(folder: Path) -> Path:
    """`folder`, made if need be so that nobody but its owner can look in. Raise OSError when it cannot be."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
