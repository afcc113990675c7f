"""What `seqd bench classify` runs beside seqd: Keras, ONNX Runtime, and bare matrix products.

Starts the peers' programs and makes a side of each; knows neither the daemon nor the report's
layout. Called by `classify` only.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from seqd.bench.daemon import clean_environment
from seqd.bench.extras import left_out
from seqd.bench.peer import Peer
from seqd.bench.report import Report
from seqd.bench.rounds import Side
from seqd.bench.tutorial import Tutorial
from seqd.slots import Slot, cores

#: Batches of the peers. Keras on two cores of a Zen 4, padded to 500, reviews a second at 32, 64,
#: 256 and 512: 680, 990, 1,030, 1,030. ONNX Runtime on two busy cores, medians of six rounds at
#: 64, 256 and 512: 400, 540, 590.
KERAS_BATCH = 256
ONNX_BATCH = 512

#: Rows and seconds of the matrix products that bound an LSTM.
BOUND_ROWS, BOUND_S = 512, 0.5

KERAS = "Keras model.predict"
ONNX = "ONNX Runtime"
BOUND = "matrix products"


def peer_sides(
    stack: ExitStack,
    slots: Sequence[Slot],
    tutorial: Tutorial,
    folder: Path,
    reviews: Path,
    report: Report,
) -> dict[str, Side]:
    """Start the peers that can run here; of the others a note says why not."""
    sizes: dict[str, object] = {"reviews": str(reviews), **tutorial.sizes}
    wanted = {
        KERAS: ("keras_predict", {**sizes, "batch": KERAS_BATCH}, "cpu"),
        ONNX: ("onnx_padded", {**sizes, "batch": ONNX_BATCH, "threads": cores()}, "bench"),
    }
    sides: dict[str, Side] = {BOUND: _bound(stack, folder, len(slots), tutorial)}
    for name, (module, arguments, extra) in wanted.items():
        environment = clean_environment(slots)
        peer = stack.enter_context(Peer(f"seqd.bench.peers.{module}", folder, environment))
        try:
            peer.ask("prepare", **arguments)
        except ModuleNotFoundError as error:
            report.notes.append(left_out(name, str(error.name), extra))
        else:
            sides[name] = _timed(peer)
            report.setup[f"{name}'s batch"] = int(str(arguments["batch"]))
    units = tutorial.units
    report.setup[BOUND] = (
        f"({BOUND_ROWS} x {units}) times ({units} x {4 * units}), one thread a slot, {BOUND_S:g} s"
    )
    return sides


def _timed(peer: Peer) -> Side:
    return lambda: float(peer.ask("run")["seconds"])


def _bound(stack: ExitStack, folder: Path, processes: int, tutorial: Tutorial) -> Side:
    """Make a side that multiplies on as many cores as there are slots; gives FLOP a second."""
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment = clean_environment() | single
    module = "seqd.bench.peers.matrix_product"
    peers = [stack.enter_context(Peer(module, folder, environment)) for _ in range(processes)]

    def run() -> float:
        for peer in peers:
            peer.begin("run", rows=BOUND_ROWS, units=tutorial.units, seconds=BOUND_S)
        return sum(float(peer.answer()["flop_per_s"]) for peer in peers)

    return run
