"""Settings: one place, secrets hidden, and .env.example telling the truth."""

import re
from pathlib import Path

import pytest

from thumbrank_core.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_env_example_lists_every_variable_and_no_other():
    listed = set(re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert listed == {field.alias for field in Settings.model_fields.values()}


def test_state_lives_in_the_working_folder_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere/else")  # not ours: only the names in .env.example are read
    monkeypatch.setenv("ENCODERS", "tiny")
    assert Settings.read().home == tmp_path / ".thumbrank"
    assert Settings.read().encoders == "production"


def test_secrets_are_not_shown(monkeypatch):
    monkeypatch.setenv("YOUTUBE_API_KEY", "AIza-secret")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pw-secret@h/d")
    shown = repr(Settings.read()) + str(Settings.read())
    assert "AIza-secret" not in shown
    assert "pw-secret" not in shown


def test_the_guide_s_supabase_variables_lead_to_one_sentence_that_never_shows_the_key(monkeypatch):
    monkeypatch.setenv("SUPABASE_URL", "https://abcdef.supabase.co")
    monkeypatch.setenv("SUPABASE_KEY", "service-role-secret")
    with pytest.raises(SettingsError) as caught:
        Settings.read().external_database_url()
    assert "abcdef" in str(caught.value)
    assert "DATABASE_URL" in str(caught.value)
    assert "service-role-secret" not in str(caught.value)


def test_a_database_url_goes_before_the_guide_s_variables(monkeypatch):
    monkeypatch.setenv("SUPABASE_URL", "https://abcdef.supabase.co")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@h/d")
    assert Settings.read().external_database_url() == "postgresql://u:p@h/d"


def test_a_malformed_setting_is_named(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "maybe")
    with pytest.raises(SettingsError, match="HF_HUB_OFFLINE"):
        Settings.read()


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "")
    assert Settings.read().external_database_url() is None
