"""TFLite files, written and read without TensorFlow: openWakeWord heads and ESPHome's streaming models."""
