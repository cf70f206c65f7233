"""One `Settings`, read once at the edge (command line, Dagster code location) and passed down.

What belongs here: every environment variable the project reads, with its default; `.env.example` lists the same names and
a test holds the two together. What does not: anything a data team edits (that is `config/`).
"""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from thumbrank_core.errors import ThumbrankError


class SettingsError(ThumbrankError):
    """A setting is missing or malformed."""


class Settings(BaseSettings):
    """What the environment (or `.env` in the working folder) says. Secrets are `SecretStr`: printing shows asterisks."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    home: Path = Field(
        default=Path(".thumbrank"),
        alias="THUMBRANK_HOME",
        description="All state: Postgres, pictures, MLflow, reports, models.",
    )
    image_store: SecretStr | None = Field(  # no secret, unless somebody writes one into it
        default=None,
        alias="THUMBRANK_IMAGES",
        description="The pictures: a folder, or s3://bucket/prefix. Unset: below THUMBRANK_HOME.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        alias="DATABASE_URL",
        description="Any Postgres >= 15. Unset: an embedded one below THUMBRANK_HOME.",
    )
    supabase_url: str | None = Field(
        default=None, alias="SUPABASE_URL", description="The guide's variable; names the project, never used for SQL."
    )
    supabase_key: SecretStr | None = Field(
        default=None, alias="SUPABASE_KEY", description="The guide's variable; a Data API key, never used for SQL."
    )
    youtube_api_key: SecretStr | None = Field(
        default=None, alias="YOUTUBE_API_KEY", description="One key of one Google Cloud project."
    )
    youtube_api_endpoint: str | None = Field(
        default=None, alias="YOUTUBE_API_ENDPOINT", description="Another endpoint than Google's: the simulator's."
    )
    oauth_client: Path | None = Field(
        default=None,
        alias="THUMBRANK_OAUTH_CLIENT",
        description="The JSON file of an OAuth client of type Desktop app, for `thumbrank reach`.",
    )
    profile: str = Field(
        default="default", alias="THUMBRANK_PROFILE", description="A profile of config/policy.yaml: default or guide."
    )
    encoders: str = Field(
        default="production", alias="THUMBRANK_ENCODERS", description="An encoder set of config/encoders.yaml."
    )
    offline: bool = Field(
        default=False, alias="HF_HUB_OFFLINE", description="1: models come from local folders and caches only."
    )
    mlflow_tracking_uri: SecretStr | None = Field(  # no secret, unless there is a login in it
        default=None, alias="MLFLOW_TRACKING_URI", description="Unset: SQLite below THUMBRANK_HOME."
    )
    dagster_pg_url: SecretStr | None = Field(
        default=None,
        alias="DAGSTER_PG_URL",
        description="Dagster's own database. Unset: one beside ours on the embedded Postgres, or SQLite.",
    )
    deployment: Literal["local", "server"] = Field(
        default="local",
        alias="THUMBRANK_DEPLOYMENT",
        description="server: schedules and sensors run by themselves. local: those that spend units wait to be switched on.",
    )
    run_launcher: Literal["process", "docker", "k8s"] = Field(
        default="process",
        alias="THUMBRANK_RUN_LAUNCHER",
        description="What a Dagster run gets: a process beside the code location, a container, or a Kubernetes job.",
    )
    alert_webhook: SecretStr | None = Field(
        default=None,
        alias="THUMBRANK_ALERT_WEBHOOK",
        description='Where failures and the monthly digest are posted as {"text": …}. Whoever knows it can post there: a secret.',
    )
    dagster_url: str | None = Field(
        default=None, alias="THUMBRANK_DAGSTER_URL", description="Address of the Dagster UI, for links to it."
    )
    mlflow_url: str | None = Field(
        default=None, alias="THUMBRANK_MLFLOW_URL", description="Address of the MLflow UI, for links to it."
    )
    admin_database_url: SecretStr | None = Field(
        default=None,
        alias="THUMBRANK_ADMIN_DATABASE_URL",
        description="A role that may create databases, for `thumbrank init` alone. Unset: the databases exist, or are embedded.",
    )
    mlflow_backend_url: SecretStr | None = Field(
        default=None,
        alias="MLFLOW_BACKEND_STORE_URI",
        description="MLflow's own database, for `mlflow server` and `thumbrank init`; runs get MLFLOW_TRACKING_URI instead.",
    )

    @classmethod
    def read(cls) -> Self:
        """Read the environment; a malformed value is one sentence that names its variable."""
        try:
            settings = cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = first["loc"][0] if first["loc"] else "a setting"
            raise SettingsError(
                f"{name} is not usable ({first['msg']}): mend it in the environment or in .env."
            ) from None
        return settings.model_copy(update={"home": settings.home.expanduser().resolve()})

    def external_database_url(self) -> str | None:
        """The URL of a Postgres that is not ours to start, or None for the embedded one.

        Raises:
            SettingsError: only the guide's SUPABASE_URL / SUPABASE_KEY are set; they cannot open an SQL connection.
        """
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        if self.supabase_url is not None or self.supabase_key is not None:
            project = (urlsplit(self.supabase_url or "").hostname or "your-project.supabase.co").split(".")[0]
            raise SettingsError(
                "SUPABASE_URL and SUPABASE_KEY do not open an SQL connection: copy the session pooler's connection string from "
                f"Supabase (project {project}, button Connect) and set it as DATABASE_URL."
            )
        return None

    @property
    def images(self) -> str:
        """The place of the content-addressed picture store: a folder or an fsspec URL."""
        return self.image_store.get_secret_value() if self.image_store else str(self.home / "images")

    @property
    def owners(self) -> Path:
        """The consents of channels' owners, one private file each; never in the database."""
        return self.home / "owners"

    @property
    def reports(self) -> Path:
        """The HTML reports, one folder a model version."""
        return self.home / "reports"

    @property
    def models(self) -> Path:
        """The exported bundles (safetensors + JSON)."""
        return self.home / "models"

    @property
    def runs(self) -> Path:
        """TensorBoard's event files, a folder each run."""
        return self.home / "runs"

    @property
    def checkpoints(self) -> Path:
        """Training checkpoints, a folder each run."""
        return self.home / "checkpoints"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps runs and the registry. It may hold a login: `training.tracking.mlflow.client_at` takes it, no log."""
        named = self.mlflow_tracking_uri
        return named.get_secret_value() if named else f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"
