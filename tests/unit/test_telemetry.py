"""Nobody else's telemetry, also for who uses the library and its verbs alone. Asked of a child that is told nothing."""

import os
import subprocess
import sys
from pathlib import Path

import thumbrank_core
from thumbrank_dagster.instance import QUIET

ROOT = Path(__file__).resolve().parents[2]
KEPT = ("PATH", "PYTHONPATH", "THUMBRANK_AUDIT_LOG", "LD_LIBRARY_PATH")
"""What Python needs, and our watch on the network; nothing of CI's either, where MLflow's telemetry is off by itself."""


def said(code, home, **environment):
    bare = {name: os.environ[name] for name in KEPT if name in os.environ} | {"HOME": str(home)} | environment
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=bare, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_verb_s_mlflow_and_model_hub_send_no_telemetry(tmp_path):
    code = (
        "from thumbrank_core.registry import Registry; import mlflow; "
        "from mlflow.telemetry.utils import is_telemetry_disabled; "
        "from mlflow.telemetry.client import get_telemetry_client; "
        "from huggingface_hub.constants import HF_HUB_DISABLE_TELEMETRY; "
        "print(is_telemetry_disabled(), get_telemetry_client(), HF_HUB_DISABLE_TELEMETRY)"
    )
    assert said(code, tmp_path) == ["True", "None", "True"]


def test_whoever_says_something_else_outside_keeps_their_choice(tmp_path):
    code = "import os, thumbrank_core; print(os.environ['MLFLOW_DISABLE_TELEMETRY'], os.environ['DO_NOT_TRACK'])"
    assert said(code, tmp_path, MLFLOW_DISABLE_TELEMETRY="false") == ["false", "1"]


def test_a_dagster_process_is_told_the_same():
    assert thumbrank_core.NO_TELEMETRY.items() <= QUIET.items()
