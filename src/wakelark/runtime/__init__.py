"""Runs model files: numpy and ONNX Runtime, nothing heavier."""
