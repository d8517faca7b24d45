"""One thread for torch: on tensors this small, threads that wait for each other take most of the time."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
