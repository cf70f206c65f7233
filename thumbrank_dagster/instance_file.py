"""The text of dagster.yaml: every key that differs from Dagster's own choice, and every number with its reason.

What belongs here: the text. Who writes it, and into which folder, is instance.py; the limit of each pool is not in a file of
Dagster's but in its database (setup.py).

Names of variables stand in it, values never: what they hold is read when a process starts.
"""

from typing import Literal

Launcher = Literal["process", "docker", "k8s"]

RUN_VARIABLES = (
    "DAGSTER_PG_URL",
    "DATABASE_URL",
    "HF_HUB_OFFLINE",
    "MLFLOW_TRACKING_URI",
    "THUMBRANK_ALERT_WEBHOOK",
    "THUMBRANK_DAGSTER_URL",
    "THUMBRANK_ENCODERS",
    "THUMBRANK_IMAGES",
    "THUMBRANK_MLFLOW_URL",
    "THUMBRANK_OAUTH_CLIENT",
    "THUMBRANK_PROFILE",
    "THUMBRANK_RUN_IMAGE",
    "THUMBRANK_RUN_NETWORK",
    "YOUTUBE_API_ENDPOINT",
    "YOUTUBE_API_KEY",
)
"""What a run in a container of its own is given, by name; the rest is in its image. Dagster refuses to launch where one of them is
not set at all, so docker-compose.yml sets each; empty counts as unset for us. Every variable that this file names is among them:
a run reads the file too, and one that asks the instance for its launcher (`daily_inventory`) needs the launcher's."""

STATE_VOLUME = "thumbrank-state"
STATE_FOLDER = "/state"

HEAD = """\
# Written by `thumbrank init` and `thumbrank dev`: a change belongs into thumbrank_dagster/instance_file.py, not here.

# On by default.
telemetry:
  enabled: false
nux:
  enabled: false  # a dialog in front of the first visit

# What the library logs while a run works is part of that run's log.
python_logs:
  managed_python_loggers: [thumbrank]
  python_log_level: INFO
"""

STORAGE = """
# A database of its own on the same server: its tables collide with MLflow's. The URL names psycopg2, as dagster-postgres
# writes its events with nothing else.
storage:
  postgres:
    postgres_url: {env: DAGSTER_PG_URL}
"""

QUEUE = """
# Without max_concurrent_runs, which here would contradict `concurrency` below.
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config:
    # One query a look. Dagster's five seconds are two and a half a run on average, a third of what launching one costs.
    dequeue_interval_seconds: 1

concurrency:
  runs:
    # One run that waits for YouTube and one that computes. Each is a process of its own that may hold torch and a model
    # (0.5 to 3 GB), and computing ones use every core already: a third would only slow the second.
    max_concurrent_runs: 2
  pools:
    # A pool that nobody gave a limit must not be without one. youtube_api: 1, as one process keeps the ledger of a day's
    # units; gpu: 1, as a card holds one model at a time. `thumbrank init` writes both into the database.
    default_limit: 1
    # A slot is held by the step that needs it, not by its whole run: labelling one niche goes on while another collects.
    granularity: op
    # How many runs may start although their first step has to wait for a slot: none, or six niches of which one may collect
    # would take both places of max_concurrent_runs and keep a training out.
    op_granularity_run_buffer: 0
"""

RELIABILITY = """
run_monitoring:
  enabled: true
  # From launched to started. A process takes 5 s; five minutes are for a container whose image is pulled first (2 GB at 10 MB/s
  # take 200 s).
  start_timeout_seconds: 300
  # From asked to stopped. A training writes its checkpoint before it goes; after three minutes it hangs.
  cancel_timeout_seconds: 180
  # Two days. The longest honest run is the first embedding of 100,000 pictures by ViT-L/14 on two cores without a GPU, at 0.76 a
  # second 37 hours. What is still there after that is dead, and holds a slot of its pool.
  max_runtime_seconds: 172800
  # A crashed run is tried again as a new run (below), which continues from what is stored: resuming would do the same in a second
  # way, and Dagster refuses it for runs that are processes.
  max_resume_run_attempts: 0
  # One query a poll, and only while runs are unfinished. Half a minute is how long a crash stays unnoticed.
  poll_interval_seconds: 30
  # A slot that is still held a minute after its run ended belonged to a killed one; two polls, so that a run that is just
  # ending is not robbed. Without it one `kill -9` keeps a pool of one slot shut for ever.
  free_slots_after_run_end_seconds: 60

# Only when the worker went away under a run (killed, out of memory, machine restarted). What a step itself reports (no units
# left, a check that does not pass) is not mended by doing it again; passing faults are retried inside the steps.
run_retries:
  enabled: true
  # Two: one for a restarted machine, one for bad luck. A run that killed its worker three times will do so again.
  max_retries: 2
  retry_on_asset_or_op_failure: false

retention:
  # A monthly schedule has twelve ticks a year: 400 days keep the same month of last year to compare with.
  schedule:
    purge_after_days: 400
  # A sensor ticks every minute or oftener, nearly always for nothing: those are worth a week, the others a quarter.
  sensor:
    purge_after_days: {skipped: 7, success: 90, failure: 90, started: 90}
  auto_materialize:
    purge_after_days: {skipped: 7, success: 90, failure: 90, started: 90}

# Threads, or one sensor that waits for a webhook holds up all that follow it. Four: a dozen schedules and sensors, of which few
# are due at the same moment, and each waits for the one code location.
schedules:
  use_threads: true
  num_workers: 4
sensors:
  use_threads: true
  num_workers: 4

code_servers:
  # Our code location loads in 3 s; a cold disk and two busy cores make it ten times that, and two minutes are four times more.
  local_startup_timeout: 120
"""

QUIET_LOGS = """
# The command line shows progress itself: capturing its output would swallow it.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""

PROCESS = """
# A run is a process beside the code location (THUMBRANK_RUN_LAUNCHER=process).
run_launcher:
  module: dagster._core.launcher
  class: DefaultRunLauncher
"""

DOCKER = f"""
# A run is a container (THUMBRANK_RUN_LAUNCHER=docker), so that one that runs out of memory takes nothing else with it and is
# noticed. Image and network are docker-compose.yml's.
run_launcher:
  module: dagster_docker
  class: DockerRunLauncher
  config:
    image: {{env: THUMBRANK_RUN_IMAGE}}
    network: {{env: THUMBRANK_RUN_NETWORK}}
    env_vars: [{", ".join(RUN_VARIABLES)}]
    container_kwargs:
      volumes: ["{STATE_VOLUME}:{STATE_FOLDER}"]
      # From asked to killed, for a run that is terminated: as cancel_timeout_seconds below. Without it Docker waits 10 s, in
      # which a training does not write its checkpoint. Docker's client adds its own minute of patience to it.
      stop_timeout: 180
      # What a run said is in its compute log on that volume; a stopped container a run would only fill the disk.
      auto_remove: true
      init: true
      read_only: true
      tmpfs: {{/tmp: ""}}
      cap_drop: [ALL]
      security_opt: ["no-new-privileges:true"]
"""

K8S = f"""
# A run is a Kubernetes job (THUMBRANK_RUN_LAUNCHER=k8s). Its variables come from the Secret `thumbrank`, dagster.yaml from the
# ConfigMap `thumbrank-instance`, the state from the claim `{STATE_VOLUME}` (ReadWriteMany where jobs run on several nodes).
run_launcher:
  module: dagster_k8s
  class: K8sRunLauncher
  config:
    job_image: {{env: THUMBRANK_RUN_IMAGE}}
    job_namespace: {{env: THUMBRANK_RUN_NAMESPACE}}
    service_account_name: thumbrank
    instance_config_map: thumbrank-instance
    dagster_home: {STATE_FOLDER}/dagster
    env_secrets: [thumbrank]
    env_vars: [THUMBRANK_RUN_IMAGE, THUMBRANK_RUN_NAMESPACE]  # a run reads this file too
    volumes:
      - name: state
        persistentVolumeClaim: {{claimName: {STATE_VOLUME}}}
    volume_mounts:
      - name: state
        mountPath: {STATE_FOLDER}
    run_k8s_config:
      container_config:
        security_context: {{allow_privilege_escalation: false, capabilities: {{drop: [ALL]}}}}
      pod_spec_config:
        security_context: {{run_as_non_root: true, run_as_user: 10001, run_as_group: 10001, fs_group: 10001}}
"""

LAUNCHERS: dict[Launcher, str] = {"process": PROCESS, "docker": DOCKER, "k8s": K8S}


def text(*, postgres: bool, launcher: Launcher) -> str:
    """dagster.yaml, for the daemon, the webserver and the code location."""
    return HEAD + (STORAGE if postgres else "") + LAUNCHERS[launcher] + QUEUE + RELIABILITY


def command_line_text(*, postgres: bool) -> str:
    """command-line.yaml: the same instance for runs inside a command's own process."""
    return text(postgres=postgres, launcher="process") + QUIET_LOGS
