"""MLflow behind a login in MLFLOW_TRACKING_URI: the server is told it, and no error, traceback, alert or link repeats it."""

import base64
import json
import threading
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import cast

import dagster as dg
import pytest

from thumbrank_core.addresses import login_of, without_login
from thumbrank_core.automation.alerts import without_secrets
from thumbrank_core.commands.models import choose
from thumbrank_core.explain import explain
from thumbrank_core.registry import Registry
from thumbrank_core.settings import Settings, SettingsError
from thumbrank_core.training.tracking.mlflow import client_at
from thumbrank_dagster.defs.train.assets import _tags
from thumbrank_dagster.dev import Ports, _mlflow_url
from thumbrank_dagster.resources.alerts import AlertsResource, run_page

WRITTEN, MEANT = "s3cr%2Ft-w0rd", "s3cr/t-w0rd"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """MLflow asks once, and what is told it by the environment ends with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def mlflow():
    """A server that answers everything with `answer` and keeps what it was sent."""
    found = SimpleNamespace(
        answer=(404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"})), asked=[]
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found.asked.append(self.headers.get("Authorization"))
            status, body = found.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.at = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def nowhere(text):
    assert WRITTEN not in text and MEANT not in text, "the password is there"


def test_a_server_is_told_the_login(mlflow):
    assert Registry(f"http://team:{WRITTEN}@{mlflow.at}").get("champion") is None
    assert mlflow.asked == ["Basic " + base64.b64encode(f"team:{MEANT}".encode()).decode()]


def test_a_server_that_is_away_is_one_sentence_without_the_login(monkeypatch):
    address = f"http://team:{WRITTEN}@127.0.0.1:1/behind"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    settings = Settings.read()
    nowhere(repr(settings))
    with pytest.raises(Exception, match="API request to") as caught:
        choose(settings, None)
    nowhere("".join(traceback.format_exception(caught.value)))
    sentence = str(explain(caught.value))
    nowhere(sentence)
    assert sentence.startswith(
        "MLflow at http://127.0.0.1:1/behind gives no answer that serves: start it, or correct MLFLOW_T"
    )
    assert without_secrets(sentence, settings) == sentence, "an alert still says which server"
    assert without_secrets(f"no {address}, no {MEANT}", settings) == "no ***, no ***"


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_is_refused_is_one_sentence(mlflow, status):
    mlflow.answer = (status, "no")
    with pytest.raises(Exception, match=str(status)) as caught:
        Registry(f"http://team:{WRITTEN}@{mlflow.at}").get("champion")
    assert f"MLflow refuses us (HTTP {status}): correct user and password" in str(explain(caught.value))
    nowhere("".join(traceback.format_exception(caught.value)))


def test_what_else_mlflow_says_keeps_its_traceback(mlflow):
    mlflow.answer = (400, json.dumps({"error_code": "BAD_REQUEST", "message": "a bug of ours"}))
    with pytest.raises(Exception, match="a bug of ours") as caught:
        Registry(f"http://{mlflow.at}").get("champion")
    assert explain(caught.value) is None
    assert mlflow.asked == [None]


@pytest.mark.parametrize(
    "uri",
    [
        f"http://team:{MEANT}@127.0.0.1:1",
        "http://team:s3cr%74@127.0.0.1:port",
        "http://team:s3cr@t-w0rd@127.0.0.1:1/@x",
        "http://s3cr%74@127.0.0.1:1",
        "postgres://team:s3cr%74@127.0.0.1:1/mlflow",
        "postgresql+psycopg2+x://team:s3cr%74@127.0.0.1:1/mlflow",
    ],
)
def test_a_login_that_cannot_be_read_is_refused_before_mlflow_repeats_it(uri):
    with pytest.raises(SettingsError, match="write it as https://user:password@host:port") as caught:
        client_at(uri)
    assert "s3cr" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "uri", ["sqlite:///{}/a@b/mlflow.db", "postgresql://me:pw@host/mlflow", "file://{}/a@b", "{}/a@b"]
)
def test_what_is_no_server_is_handed_on_as_it_is(uri, tmp_path, monkeypatch):
    monkeypatch.setattr("mlflow.tracking.MlflowClient", lambda tracking_uri: tracking_uri)
    assert client_at(uri.format(tmp_path)) == uri.format(tmp_path)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ana:pw@ui.example:3000/base/?x=1#y", "https://ui.example:3000/base/"),
        ("https://ui.example/base", "https://ui.example/base"),
        ("ana:pw@ui.example", "ui.example"),
        ("https://ana:p/w?x@ui.example", "https://ui.example"),
    ],
)
def test_an_address_is_shown_without_its_login(address, shown):
    assert without_login(address) == shown


def test_a_login_is_read_as_it_is_meant():
    assert login_of("https://te%40m:p%2Fw@host:1/x") == ("te@m", "p/w")
    assert login_of("https://host") is login_of("https://token@host") is login_of("https://a:b@[host") is None


def test_a_run_is_linked_without_the_login_of_dagster_s_address(monkeypatch):
    monkeypatch.setenv("THUMBRANK_DAGSTER_URL", f"https://ana:{WRITTEN}@dagster.example/ui/")
    link = "https://dagster.example/ui/runs/0123"
    assert AlertsResource().run_link("0123") == link
    seen = SimpleNamespace(run=SimpleNamespace(run_id="0123"), asset_key=dg.AssetKey("trained_model"))
    context = cast("dg.AssetExecutionContext", seen)
    address = Settings.read().dagster_url
    assert _tags(context, address)["dagster_run_url"] == link
    assert "dagster_run_url" not in _tags(context, None)
    assert run_page(None, "0123") is None


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "THUMBRANK_MLFLOW_URL"])
def test_the_ui_s_address_is_told_without_a_login(monkeypatch, name):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example")
    monkeypatch.setenv(name, f"https://team:{WRITTEN}@mlflow.example/ui")
    assert _mlflow_url(Settings.read(), Ports(3000, 5000)) == "https://mlflow.example/ui"
