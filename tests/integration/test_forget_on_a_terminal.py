"""`thumbrank forget channel` answered at its prompt."""

import os
import pty
import subprocess
import sys

import pytest

from thumbrank_core.youtube.reach.tokens import TokenStore

COMMAND = [sys.executable, "-c", "from thumbrank_core.cli import app; app()", "forget", "channel"]


@pytest.mark.parametrize(("answer", "gone"), [("y", True), ("n", False)])
def test_a_yes_at_the_prompt_deletes_the_owner_s_consent_as_the_option_does(house, house_url, answer, gone):
    channel = next(iter(house.made))
    tokens = TokenStore(house.settings.owners)
    tokens.folder.mkdir(mode=0o700, parents=True)
    tokens.path(channel).write_text("{}")
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        variables = os.environ | {"DATABASE_URL": house_url, "THUMBRANK_HOME": str(house.home)}
        done = subprocess.run([*COMMAND, channel], stdin=theirs, capture_output=True, text=True, env=variables)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert f"Would be removed: channel {channel}" in done.stdout
    assert (f"Removed: channel {channel}" in done.stdout) is gone
    assert (f"The consent of {channel} is deleted here" in done.stdout) is gone
    assert tokens.path(channel).exists() is not gone
    assert (house.value("select count(*)::int from thumbrank.channels where channel_id = %s", channel) == 0) is gone
