"""The main job: each stage one file, tied together in `train.py`."""
