"""One of the two processes of rows X: started by torchrun, as `thumbrank train --workers 2` starts its own.

    torchrun --standalone --nproc-per-node 2 -m tests.integration.guide_rows_processes FOLDER

It trains an epoch of recipe `guide` and writes down what it is, into FOLDER/<rank>.json.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.unit.synthetic import planted
from thumbrank_core.launch import joined
from thumbrank_core.training.pipeline import TrainingPipeline, new_model
from thumbrank_core.training.recipe import load_recipe


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(2) as rank:
        data, _ = planted(n_channels=20, videos=6)
        recipe = load_recipe("guide", {"epochs": 1, "hidden_dim": 8})
        pipeline = TrainingPipeline(new_model(data, recipe), recipe=recipe, data=data)
        run = pipeline.begun()
        said = {
            "backend": dist.get_backend(),
            "world": dist.get_world_size(),
            "wrapped": isinstance(run.forward, DistributedDataParallel),
            "devices": run.forward.device_ids,
            "notes": list(run.notes),
            "pairs_a_step": len(run.steps.epoch(0).step(0).a),
        }
        trained = pipeline.train()
        said["weights"] = [float(p.detach().double().sum()) for p in trained.model.ranking.parameters()]
        (folder / f"{rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
