"""Models inside another engine: no Redis and no worker, a function from batches to batches.

    from seqd.batch import Predictor

    predictor = Predictor("imdb_lstm@3")
    labelled = predictor(table)  # the table, with a label, a score … and an error a row

`schemas/engines.md` is the guide: Ray Data, Dask, Spark, and when to use which.
"""

from seqd.batch.predictor import Predictor

__all__ = ["Predictor"]
