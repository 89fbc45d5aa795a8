"""The published package's graph convexity, in an environment of its own; prints JSON."""

import json
import sys
import time

import numpy as np
from nnconvexity.graph import compute_graph_convexity

given = np.load(sys.argv[1])
np.random.seed(0)  # the package draws pairs from numpy's global generator
start = time.perf_counter()
micro, classes = compute_graph_convexity(given["X"], given["y"], 10, 5000, 1)
seconds = time.perf_counter() - start
scores = [float(classes[c]) / 100 for c in sorted(classes)]
print(json.dumps({"seconds": seconds, "micro": float(micro) / 100, "classes": scores}))
