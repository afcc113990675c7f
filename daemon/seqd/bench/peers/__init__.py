"""What a user would write instead of seqd, each a program of its own: `python -m
seqd.bench.peers.keras_predict`.

They import nothing of seqd but each other, and so measure no line of it by mistake; the only
place beside the plugins' network modules and the worker where Keras, ONNX Runtime and Celery
stand. `protocol` is how a bench talks to them.
"""
