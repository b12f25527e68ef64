import threading

from app.services.memo import Memo


class TestMemo:
    def test_computes_once_while_fresh(self):
        memo, calls = Memo(), []

        values = [memo.get("key", 60, lambda: calls.append(1) or len(calls)) for _ in range(3)]

        assert values == [1, 1, 1]

    def test_computes_anew_when_old(self):
        memo, calls = Memo(), []

        values = [memo.get("key", 0, lambda: calls.append(1) or len(calls)) for _ in range(3)]

        assert values == [1, 2, 3]

    def test_one_caller_renews_while_the_others_get_the_last_value(self):
        memo, begun, go = Memo(), threading.Event(), threading.Event()
        memo.get("key", 0, lambda: "old")

        def slow():
            begun.set()
            assert go.wait(10)
            return "new"

        renewed = []
        thread = threading.Thread(target=lambda: renewed.append(memo.get("key", 0, slow)))
        thread.start()
        assert begun.wait(10)
        meanwhile = [memo.get("key", 0, lambda: "a second computation") for _ in range(5)]
        go.set()
        thread.join()

        assert meanwhile == ["old"] * 5
        assert renewed == ["new"]

    def test_a_failing_computation_leaves_the_lock_free(self):
        memo = Memo()
        for _ in range(2):
            try:
                memo.get("key", 60, lambda: 1 / 0)
            except ZeroDivisionError:
                continue

        assert memo.get("key", 60, lambda: "fine") == "fine"
