"""The demo's world over several runs: what one has listed, the next one can still download."""

import os
import socket

import httpx
import pytest

from tests.e2e.processes import new_home
from thumbrank_core.settings import Settings
from thumbrank_core.simulator.world import WorldSettings
from thumbrank_dagster.demo import stage

SMALL = WorldSettings(seed=3, channels_per_niche=1, videos_per_channel=2)


@pytest.fixture
def settings():
    before = dict(os.environ)  # `stage` points this process at its world
    with new_home() as home:
        yield Settings(THUMBRANK_HOME=home)
    os.environ.clear()
    os.environ.update(before)


def test_a_world_keeps_its_port_so_that_pictures_listed_before_can_be_had(settings):
    with stage(settings, SMALL) as first:
        endpoint = first.endpoint
        assert httpx.get(f"{endpoint}/vi/none/default.jpg").status_code in (200, 404)
    with stage(settings, SMALL) as again:
        assert again.endpoint == endpoint
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(endpoint.rsplit(":", 1)[1])))
        other.listen()
        with stage(settings, SMALL) as elsewhere:
            assert elsewhere.endpoint != endpoint
