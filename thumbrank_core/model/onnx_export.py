"""The model in ONNX, for those who score without Python: two inputs of raw vectors, three named outputs.

What belongs here: the graph, and the proof at every export that it says what the network says. The graph is put together
node by node: torch's own exporter takes seconds a model, needs a package more, and writes this machine's paths into the
file. A layer it does not know is refused, and a graph that differs from the network is never written.
"""

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.model.network import SUB_SCORE_WIDTH, Batch, ThumbnailRankingModel
from thumbrank_core.store.files import write_bytes

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

ONNX = "model.onnx"
OPSET, IR_VERSION = 20, 9
"""The first with Gelu, and the file format of its time: runtimes since onnxruntime 1.17 read it."""
TOLERANCE = 1e-4
"""The largest difference between torch and ONNX, of any output of any item."""
CHECKED_SIZES = (1, 7, 300)
_SEED = 20


class OnnxError(ThumbrankError):
    """A network that cannot be exported, or whose export says something else."""


def export_onnx(folder: Path, model: ThumbnailRankingModel, facts: Mapping[str, str]) -> str:
    """Write `model.onnx` into a bundle folder.

    Inputs: `image` (n, clip_dim) and `title` (n, text_dim), float32, of any length: normalisation is inside. Outputs: `score`
    (n,), `engagement` (n,) in 0..1, `sub_scores` (n, 6) in 0..1, ordered as the metadata's `sub_scores` says.

    Args:
        folder: of the bundle.
        model: with the weights that ship.
        facts: for the file's metadata: fingerprint, encoder ids, the weights' sha256.

    Returns:
        The file's sha256, for the bundle's card.

    Raises:
        OnnxError: the network has a layer that the graph has no node for, the graph differs from the network, or a score is
            not finite.
    """
    still = deepcopy(model).cpu().eval()
    content = build(still, facts).SerializeToString(deterministic=True)
    check_parity(still, content)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / ONNX, content, durable=True)
    return hashlib.sha256(content).hexdigest()


def check_parity(model: ThumbnailRankingModel, content: bytes) -> float:
    """Score drawn vectors of the network's own size with both; returns the largest difference.

    Raises:
        OnnxError: it is above TOLERANCE, a shape differs, or a score is not finite.
    """
    session = _Session(content)
    generator = np.random.default_rng(_SEED)
    worst = 0.0
    for n in CHECKED_SIZES:
        # Off centre and of unequal lengths, as what comes from an encoder without normalisation.
        image = generator.normal(0.3, generator.uniform(0.1, 20, (n, 1)), (n, model.shape.clip_dim)).astype(np.float32)
        title = generator.normal(-0.1, generator.uniform(0.1, 20, (n, 1)), (n, model.shape.text_dim)).astype(np.float32)
        for ours, theirs in zip(_by_torch(model, image, title), session(image, title), strict=True):
            if ours.shape != theirs.shape:
                raise OnnxError(f"The ONNX export gives {theirs.shape} where the model gives {ours.shape}: {_MEND}")
            if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
                raise OnnxError("The model's scores are not finite: train again from a checkpoint before they were.")
            worst = max(worst, float(np.abs(ours - theirs).max()))
    if worst > TOLERANCE:
        raise OnnxError(f"The ONNX export differs from the model by {worst:.2g} (at most {TOLERANCE:g}): {_MEND}")
    return worst


_MEND = "bring model/onnx_export.py up to model/network.py."


def _by_torch(
    model: ThumbnailRankingModel, image: npt.NDArray[np.float32], title: npt.NDArray[np.float32]
) -> list[npt.NDArray[np.float32]]:
    with torch.inference_mode():
        found = model(Batch(torch.from_numpy(image), torch.from_numpy(title)))
        outputs = (found.score, found.engagement_logit.sigmoid(), found.sub_score_logits.sigmoid())
    return [output.numpy() for output in outputs]


class _Session:
    """onnxruntime on the CPU, one thread: only the check needs it."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def __call__(self, image: npt.NDArray[np.float32], title: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        return [np.asarray(output) for output in self._session.run(None, {"image": image, "title": title})]


def build(model: ThumbnailRankingModel, facts: Mapping[str, str]) -> "ModelProto":
    """The graph of a network in evaluation mode, on the CPU."""
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    image, title = graph.unit_length("image"), graph.unit_length("title")
    both = graph.node("Concat", [image, title], axis=-1)
    centred = graph.node("Sub", [both, graph.constant(model.mean)])
    seen = graph.node("Div", [centred, graph.constant(model.std)])
    features = graph.layers(model.trunk, seen)
    score = graph.layers(model.ranking, features)
    if model.wide is not None:
        wide = graph.node("MatMul", [seen, graph.constant(model.wide.weight.T)])
        score = graph.node("Add", [score, wide])
    engagement = graph.layers(model.engagement, score if model.shape.read_out == "shared" else features)
    last = graph.constant(torch.tensor([-1]))
    graph.node("Squeeze", [score, last], to="score")
    graph.node("Sigmoid", [graph.node("Squeeze", [engagement, last])], to="engagement")
    graph.node("Sigmoid", [graph.sub_scores(model, features)], to="sub_scores")

    def declared(name: str, *shape: str | int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "thumbnail_ranking_model",
            [declared("image", "n", model.shape.clip_dim), declared("title", "n", model.shape.text_dim)],
            [declared("score", "n"), declared("engagement", "n"), declared("sub_scores", "n", len(SIGNALS))],
            graph.constants,
        ),
        producer_name="thumbrank",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(made, {**facts, "sub_scores": ",".join(SIGNALS)})
    checker.check_model(made)
    return made


class _Graph:
    """Nodes and constants while they are put together; every method returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def node(self, kind: str, inputs: list[str], to: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        name = to or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, tensor: torch.Tensor) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(tensor.detach().contiguous().numpy(), name))
        return name

    def unit_length(self, vectors: str) -> str:
        """As nn.functional.normalize, its lower bound of lengths included."""
        length = self.node("ReduceL2", [vectors, self.constant(torch.tensor([-1]))], keepdims=1)
        return self.node("Div", [vectors, self.node("Max", [length, self.constant(torch.tensor(1e-12))])])

    def sub_scores(self, model: ThumbnailRankingModel, features: str) -> str:
        """SubScoreHeads: (n, hidden_dim) -> (n, 6) logits."""
        heads = model.sub_scores
        hidden = self.node("Relu", [self.layer(heads.first, features)])
        apart = self.node("Reshape", [hidden, self.constant(torch.tensor([-1, len(SIGNALS), SUB_SCORE_WIDTH]))])
        weighted = self.node("Mul", [apart, self.constant(heads.weight)])
        total = self.node("ReduceSum", [weighted, self.constant(torch.tensor([-1]))], keepdims=0)
        return self.node("Add", [total, self.constant(heads.bias)])

    def layers(self, module: nn.Module, value: str) -> str:
        for layer in module if isinstance(module, nn.Sequential) else [module]:
            value = self.layer(layer, value)
        return value

    def layer(self, layer: nn.Module, value: str) -> str:
        match layer:
            case nn.Linear():
                return self.node("Gemm", [value, self.constant(layer.weight), self.constant(layer.bias)], transB=1)
            case nn.LayerNorm():
                inputs = [value, self.constant(layer.weight), self.constant(layer.bias)]
                return self.node("LayerNormalization", inputs, axis=-1, epsilon=layer.eps)
            case nn.BatchNorm1d(running_mean=torch.Tensor() as mean, running_var=torch.Tensor() as variance):
                inputs = [self.constant(each) for each in (layer.weight, layer.bias, mean, variance)]
                return self.node("BatchNormalization", [value, *inputs], epsilon=layer.eps)
            case nn.GELU(approximate="none"):
                return self.node("Gelu", [value])
            case nn.ReLU():
                return self.node("Relu", [value])
            case nn.Dropout():
                return value  # nothing is dropped when scoring
            case _:
                raise OnnxError(f"The ONNX graph has no node for {layer}: {_MEND}")
