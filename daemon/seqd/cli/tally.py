"""What a bulk job came to: counts, the first errors, and how often the labels were right.

Pure; fed result by result, in input order. Read by the commands at the end.
"""

from collections import Counter, deque

from seqd_schemas import Classification, ItemErrorCode, ItemFailure, ItemSuccess

#: Errors that are shown; all of them are in the errors file.
SHOWN_ERRORS = 3

#: Errors that the same text gets again, whenever it is sent.
_OF_THE_TEXT = (ItemErrorCode.INVALID_INPUT, ItemErrorCode.TOO_LONG, ItemErrorCode.DECODE_ERROR)


class Tally:
    """Counts results, and takes the true label of each out of `truth`, at its front.

    `truth` may still grow meanwhile, ahead of the results.
    """

    def __init__(self, truth: deque[str | None] | None = None) -> None:
        self.succeeded = 0
        self.errored = 0
        #: True once an item has an error that another try may mend: the text is not the reason.
        self.worth_a_retry = False
        self.first_errors: list[ItemFailure] = []
        self.predicted: Counter[str] = Counter()
        self.truncated = 0
        self._truth = truth if truth is not None else deque[str | None]()
        self._true_labels: Counter[str] = Counter()
        self._right = 0

    def add(self, result: ItemSuccess | ItemFailure) -> None:
        """Count the next result."""
        truth = self._truth.popleft() if self._truth else None
        if isinstance(result, ItemFailure):
            self.errored += 1
            self.worth_a_retry |= result.error.code not in _OF_THE_TEXT
            if len(self.first_errors) < SHOWN_ERRORS:
                self.first_errors.append(result)
            return
        self.succeeded += 1
        if isinstance(result.output, Classification):
            self._compare(truth, result.output)

    @property
    def labelled(self) -> int:
        """Classified items whose true label is known."""
        return self._true_labels.total()

    @property
    def accuracy(self) -> float | None:
        """Share of the labelled items that got their true label; None without any.

        None also when the two sets of labels have nothing in common: `labels_differ` then.
        """
        if not self.labelled or self.labels_differ:
            return None
        return self._right / self.labelled

    @property
    def labels_differ(self) -> bool:
        """True when the model names its classes otherwise than the input does."""
        return bool(self.labelled) and not set(self._true_labels) & set(self.predicted)

    @property
    def true_labels(self) -> list[str]:
        """The labels of the input, sorted."""
        return sorted(self._true_labels)

    def _compare(self, truth: str | None, output: Classification) -> None:
        self.predicted[output.label] += 1
        self.truncated += output.truncated
        if truth is not None:
            self._true_labels[truth] += 1
            self._right += truth == output.label
