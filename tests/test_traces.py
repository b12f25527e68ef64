import numpy as np

from app.traces import Traces


def three():
    sizes = [np.array([10, -20]), np.array([30]), np.array([-1, -2, 3])]
    return Traces.from_captures(sizes, [np.arange(len(size)) / 10 for size in sizes])


class TestTraces:
    def test_knows_which_packets_belong_to_which_capture(self):
        traces = three()

        assert len(traces) == 3
        assert traces.length.tolist() == [2, 1, 3]
        assert traces.owner.tolist() == [0, 0, 1, 2, 2, 2]
        assert [part.tolist() for part in traces.capture(2)] == [[-1, -2, 3], [0.0, 0.1, 0.2]]

    def test_takes_captures_in_any_order_and_more_than_once(self):
        taken = three().take(np.array([2, 0, 2]))

        assert taken.size.tolist() == [-1, -2, 3, 10, -20, -1, -2, 3]
        assert taken.offset.tolist() == [0, 3, 5, 8]

    def test_takes_none(self):
        assert len(three().take(np.array([], np.int64))) == 0

    def test_survives_a_bundle(self):
        traces = three()

        again = Traces.from_bundle(traces.to_bundle("train_"), "train_")

        assert all(np.array_equal(a, b) for a, b in zip(vars(traces).values(), vars(again).values(), strict=True))

    def test_no_captures_make_empty_traces(self):
        assert len(Traces.from_captures([], [])) == 0
