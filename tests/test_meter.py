"""What a stage costs."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from wakelark.pipeline.meter import Meter


def test_wall_time_is_not_processor_time() -> None:
    with Meter() as meter:
        time.sleep(0.3)
    assert meter.cost.wall_s > 0.29
    assert meter.cost.cpu_s < 0.2


def test_processor_time_of_children_counts() -> None:
    with Meter() as meter:
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.4: pass"], check=True)
    assert 0.35 < meter.cost.cpu_s < 2


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_of_children_counts() -> None:
    with Meter() as before:
        pass
    program = "import time\ndata = bytearray(150_000_000)\ndata[::4096] = bytes(len(data[::4096]))\ntime.sleep(1.5)"
    with Meter() as meter:
        subprocess.run([sys.executable, "-c", program], check=True)
    assert meter.cost.peak_mb > before.cost.peak_mb + 140


def test_an_error_is_measured_too() -> None:
    meter = Meter()
    with pytest.raises(KeyError), meter:
        raise KeyError
    assert meter.cost.wall_s >= 0
