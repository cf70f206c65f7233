"""Which code trained: the commit of the clone, where there is one."""

import subprocess

from thumbrank_core.paths import project_root

PATIENCE_SECONDS = 5


def git_sha() -> str | None:
    """The commit that is checked out, 40 hex digits (64 in a SHA-256 repository); None where there is no clone, no git or
    no commit. An installed wheel inside somebody else's repository is not a clone of ours.
    """
    root = project_root()
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--verify", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, no commit yet, or a folder that git does not trust
        return None
    return answer.stdout.strip()
