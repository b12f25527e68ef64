"""Reads untrusted ONNX files into differentiable torch modules, by an interpreter with an allow-list of operators.

The list (`OPERATORS`) is the security boundary: parse, count, check, then run known functions of torch on bounded
memory. Nothing refers outside the file. onnxruntime is the oracle of the tests and takes no part.
"""

from app.onnx_models.limits import ModelLimits
from app.onnx_models.loading import load
from app.onnx_models.model import OnnxModel, Rows
from app.onnx_models.operators import OPERATORS

__all__ = ["OPERATORS", "ModelLimits", "OnnxModel", "Rows", "load"]
