"""The blocks of shell in README.md and docs/ run as they are written, in the order of the page, on the state of a small demo.

A block that begins with ```sh runs; one with more behind it (`sh notest`, and names that another test asks for) does not, as it
needs a key, an engine, an owner or what a reader brings: tests/unit/test_documented_commands.py holds it against the program.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command_lines import ROOT, Block, blocks, commands, pages
from tests.e2e.processes import environment, left_behind, new_home, run
from tests.integration.shipping import draw
from thumbrank_core.settings import Settings
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.simulator.world import WorldSettings
from thumbrank_dagster.demo import world_home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORLD = WorldSettings(channels_per_niche=16, videos_per_channel=14)
BESIDE = ("sql", "config", "deploy", "docs", "Makefile", ".env.example", "README.md", "docker-compose.yml")
"""What a reader has in the folder that the commands are typed in; links, and nothing may be written there."""
RUN = [(page, found) for page in pages() if (found := [block for block in blocks(page) if block.kind == ""])]


@dataclass(frozen=True)
class House:
    """The folder in which the commands are typed, and what they find set."""

    folder: Path
    variables: dict[str, str]

    def type(self, block: Block, timeout: float) -> "subprocess.CompletedProcess[str]":
        """Run a block in a shell that ends at the first command that fails; nobody is there to answer questions."""
        child = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", block.text],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            out, _ = child.communicate(timeout=timeout)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(child.args, child.returncode, out)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with new_home() as home:
        done = run(home, "demo", "--channels", WORLD.channels_per_niche, "--videos", WORLD.videos_per_channel)
        assert done.returncode == 0, done.stderr[-3000:]
        folder = home / "house"
        folder.mkdir(mode=0o711)
        # The paths in the registry are those of the demo's folder, so that a link and not a copy is what a reader has.
        (folder / ".thumbrank").symlink_to(world_home(Settings(THUMBRANK_HOME=home), WORLD))
        for name in BESIDE:
            (folder / name).symlink_to(ROOT / name)
        for number, name in enumerate(("a.jpg", "b.jpg", "c.jpg"), start=1):
            draw(folder / name, number)
        port = int((folder / ".thumbrank" / "simulator.port").read_text())
        with SimulatorServer(WORLD, port=port) as simulator:
            variables = environment(home) | {
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "THUMBRANK_ENCODERS": "tiny",
                "YOUTUBE_API_KEY": "simulator",
                "YOUTUBE_API_ENDPOINT": simulator.endpoint,
                "HF_HUB_OFFLINE": "1",
                "COLUMNS": "120",
            }
            del variables["THUMBRANK_HOME"]  # the pages speak of .thumbrank/
            ready = House(folder, variables)
            # So small a world earns no deployment, and what is written for a service is the champion.
            crowned = ready.type(Block("", 0, "", "thumbrank promote --force --why 'the pages export a champion'"), 60)
            assert crowned.returncode == 0, crowned.stdout
            yield ready
        assert left_behind(home) == []


@pytest.mark.parametrize(("page", "found"), RUN, ids=[page.relative_to(ROOT).as_posix() for page, _ in RUN])
def test_the_commands_of_a_page_run_as_they_are_written(house, page, found):
    failed: list[str] = []
    for block in found:
        if all(words[0] == "make" for words in commands(block.text)):
            continue  # this test is one of its targets, and another one is test_full_demo.py
        done = house.type(block, timeout=180)
        if done.returncode != 0:
            failed.append(f"{block} (exit status {done.returncode}):\n{block.text}\n{done.stdout[-1500:]}")
    assert not failed, "\n\n".join(failed)
