"""What each asset asks of a Kubernetes cluster: cores, memory, a GPU, and the executor that gives it to their steps.

What belongs here: requests and limits, and why they are that much. The cluster's own names (image, secrets, volumes) are
deploy/k8s/values.yaml.

A run's pod takes its size from the run's tags, and one run has both small and large steps: collecting for hours must not hold a
GPU that only its last step uses. So in a cluster every step is a pod of its own (`k8s_executor`), sized by its asset; the run's
own pod only waits.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

TAG = "dagster-k8s/config"
GPU = "nvidia.com/gpu"
NODES = 29400
"""The port where node 0 of a training waits for the others (deploy/k8s/training-nodes.yaml)."""

_WAITING = {"cpu": "250m", "memory": "1Gi"}
_SERVICE = {"thumbrank/training-node": "0"}
"""The Service `thumbrank-training` finds node 0 by this label."""


def _pod(cpu: str, memory: str, *, gpus: int = 0, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A pod that gets what it asks for: no limit on cores, as an idle core is nobody's; a limit on memory, so that a step that
    grows ends itself and not its neighbours."""
    requests, limits = {"cpu": cpu, "memory": memory}, {"memory": memory}
    found: dict[str, Any] = {"container_config": {"resources": {"requests": requests, "limits": limits}}}
    if labels is not None:
        found["pod_template_spec_metadata"] = {"labels": dict(labels)}
    if gpus:
        # A GPU is asked for in both, and both must say the same.
        requests[GPU] = limits[GPU] = str(gpus)
        found["pod_spec_config"] = {
            # As NVIDIA's GPU operator labels machines; a cluster with other labels changes this line.
            "node_selector": {"nvidia.com/gpu.present": "true"},
            "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
        }
    return found


STEPS: Mapping[str, dict[str, Any]] = {
    # 115 MB whatever the size (benchmarks/results/collect-…): the rest is for Python and its libraries.
    "raw_videos": _pod("500m", "1Gi"),
    "thumbnail_images": _pod("1", "2Gi"),
    # The work is Postgres'; 192 MB at 2,000,000 videos (pairs-…).
    "channel_baselines": _pod("500m", "1Gi"),
    "training_pairs": _pod("500m", "1Gi"),
    # 4.6 GB with ViT-L/14 (embed-…).
    "embeddings": _pod("2", "8Gi", gpus=1),
    # 2.1 GB at 200,000 videos, 6.2 GB at 2,000,000 with memory-mapped files (train-…).
    "trained_model": _pod("4", "12Gi", gpus=1, labels=_SERVICE),
    # 1.9 GB at 40,000 unseen videos (evaluate-…).
    "evaluation_report": _pod("2", "6Gi"),
    "deployed_model": _pod("500m", "2Gi"),
    "owner_reach": _pod("250m", "1Gi"),
    "retention": _pod("250m", "1Gi"),
    "dagster_runs": _pod("250m", "1Gi"),
    "monthly_digest": _pod("250m", "1Gi"),
}
"""Asset -> what its step's pod asks for, as dagster-k8s reads it."""


def k8s_executor() -> dg.ExecutorDefinition:
    """One pod a step, each of its asset's size, one at a time: what steps share is the database. Needs thumbrank[k8s]."""
    from dagster_k8s import k8s_job_executor

    return k8s_job_executor.configured(
        {
            "max_concurrent": 1,
            # An asset that nobody gave a size is a small one.
            "step_k8s_config": {"container_config": {"resources": {"requests": _WAITING}}},
            "per_step_k8s_config": dict(STEPS),
        },
        name="k8s",
    )
