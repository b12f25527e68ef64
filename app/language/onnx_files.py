"""Writes a trained language model as an ONNX file, for whoever runs it elsewhere or hands it in."""

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from app.language.network import WordLSTM

OPSET, IR_VERSION = 17, 8
GATES = (0, 3, 1, 2)
"""ONNX wants input, output, forget and cell gate; torch has input, forget, cell, output."""
TOKENS, SCORES = "tokens", "logits"


def write(network: WordLSTM, tokens: int = TensorProto.INT64) -> bytes:
    """The network as an ONNX file: token ids (N, T) to logits (N, T, words), N and T left open.

    `tokens` is the type of the ids: INT64, or FLOAT for whoever takes records of floating point only.
    """
    weights = {name: weight.detach().cpu().numpy() for name, weight in network.state_dict().items()}
    hidden = weights["lstm.weight_hh_l0"].shape[1]
    constants = {
        "embedding": weights["embedding.weight"],
        "lstm_w": _gates(weights["lstm.weight_ih_l0"])[None],
        "lstm_r": _gates(weights["lstm.weight_hh_l0"])[None],
        "lstm_b": np.concatenate([_gates(weights[f"lstm.bias_{side}_l0"]) for side in ("ih", "hh")])[None],
        "output_w": np.ascontiguousarray(weights["output.weight"].T),
        "output_b": weights["output.bias"],
        "directions": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        _nodes(hidden, tokens),
        "word_lstm",
        [helper.make_tensor_value_info(TOKENS, tokens, ["N", "T"])],
        [helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["N", "T", len(weights["output.bias"])])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return bytes(model.SerializeToString(deterministic=True))


def _gates(weight: np.ndarray) -> np.ndarray:
    """Rows of four gates in ONNX's order."""
    return np.concatenate([np.split(weight, 4)[gate] for gate in GATES])


def _nodes(hidden: int, tokens: int) -> list[NodeProto]:
    ids = TOKENS if tokens == TensorProto.INT64 else "ids"
    cast = [helper.make_node("Cast", [TOKENS], [ids], to=TensorProto.INT64)] if ids != TOKENS else []
    # The sequence comes first in what every runtime knows; batches first are an option that some lack.
    return [
        *cast,
        helper.make_node("Gather", ["embedding", ids], ["embedded"], axis=0),
        helper.make_node("Transpose", ["embedded"], ["sequence"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["sequence", "lstm_w", "lstm_r", "lstm_b"], ["both"], hidden_size=hidden),
        helper.make_node("Squeeze", ["both", "directions"], ["states"]),
        helper.make_node("Transpose", ["states"], ["ordered"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["ordered", "output_w"], ["products"]),
        helper.make_node("Add", ["products", "output_b"], [SCORES]),
    ]
