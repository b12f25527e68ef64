"""Every feature family against a plain loop that follows its definition."""

import numpy as np
import pytest

from app.attacks.fingerprinting import features, packet_statistics
from app.traces import Traces


@pytest.fixture(params=["site", "odd", "hollow"])
def traces(request, site, odd):
    hollow = Traces(np.array([0, 0, 3, 3]), np.array([1, -2, 3], np.int32), np.array([0.0, 0.5, 0.25]))
    return {"site": site.train, "odd": odd, "hollow": hollow}[request.param]


def captures(traces):
    return [traces.capture(index) for index in range(len(traces))]


def bursts_of(sizes):
    found, previous = [], None
    for size in sizes.tolist():
        if (size >= 0) == previous:
            found[-1] += size
        else:
            found.append(size)
        previous = size >= 0
    return found


def filled(values, columns):
    return (list(values) + [0] * columns)[:columns]


def bucketed(values, buckets):
    summed = [0.0] * buckets
    for index, value in enumerate(values):
        summed[index * buckets // len(values)] += value
    return summed


def moments(values):
    return [np.mean(values), np.std(values), min(values), max(values), np.median(values)] if len(values) else [0] * 5


class TestExactFeatures:
    def test_totals_count_bytes_and_packets_by_direction(self, traces):
        expected = [
            [-size[size < 0].sum(), size[size >= 0].sum(), (size < 0).sum(), (size >= 0).sum()]
            for size, _ in captures(traces)
        ]

        assert np.array_equal(features.totals(traces), np.array(expected, np.float32))

    def test_burst_sizes_sum_unbroken_runs(self, traces):
        expected = [filled(bursts_of(size), 40) for size, _ in captures(traces)]

        assert np.array_equal(features.burst_sizes(traces, 40), np.array(expected, np.float32))

    def test_sorted_bursts_begin_with_the_largest_incoming_one(self, traces):
        expected = [
            filled(sorted((-burst for burst in bursts_of(size) if burst < 0), reverse=True), 12)
            for size, _ in captures(traces)
        ]

        np.testing.assert_allclose(features.sorted_bursts(traces, 12), expected, rtol=1e-6, atol=1e-6)

    def test_packet_sizes_are_cut_or_filled_with_zeros(self, traces):
        expected = [filled(size.tolist(), 33) for size, _ in captures(traces)]

        assert np.array_equal(features.packet_sizes(traces, 33), np.array(expected, np.float32))

    def test_cumulative_incoming_stands_before_each_outgoing_packet(self, traces):
        expected = []
        for size, _ in captures(traces):
            before = [-size[:place][size[:place] < 0].sum() for place in np.flatnonzero(size >= 0)]
            expected.append((before + [-size[size < 0].sum()] * 20)[:20])

        assert np.array_equal(features.cumulative_incoming(traces, 20), np.array(expected, np.float32))

    def test_the_size_histogram_has_an_open_last_bin(self, traces):
        expected = np.zeros((len(traces), 20))
        for row, (size, _) in enumerate(captures(traces)):
            for packet in size.tolist():
                expected[row, min(abs(packet) // 100, 9) + (10 if packet < 0 else 0)] += 1

        assert np.array_equal(features.size_histogram(traces, 10, 100), expected.astype(np.float32))

    def test_traffic_aggregation_counts_every_packet_in_its_slot(self, traces):
        expected = np.zeros((len(traces), 2, 16))
        for row, (size, time) in enumerate(captures(traces)):
            for packet, moment in zip(size, time, strict=True):
                expected[row, int(packet < 0), int(min(max(moment * (16 / 2.0), 0), 15))] += 1

        assert np.array_equal(features.traffic_aggregation(traces, 16, 2.0), expected.astype(np.float32))


class TestCumul:
    def test_it_samples_the_curve_of_signed_bytes_at_equal_steps_of_all_bytes(self, traces):
        expected = []
        for size, _ in captures(traces):
            seen = np.concatenate([[0], np.cumsum(np.abs(size))])
            signed = np.concatenate([[0], np.cumsum(size)])
            expected.append(np.interp(np.arange(1, 11) / 10 * seen[-1], seen, signed))

        found = features.cumul(traces, 10)

        # A capture of one size-0 packet has no curve; ties of x make both answers right up to a packet of size 0.
        np.testing.assert_allclose(found[:, 4:], expected, rtol=1e-6, atol=1e-3)
        assert np.array_equal(found[:, :4], features.totals(traces))


class TestPacketStatistics:
    def test_counts_add_shares_to_the_totals(self, traces):
        expected = []
        for size, _ in captures(traces):
            received, sent = -size[size < 0].sum(), size[size >= 0].sum()
            packets = [(size < 0).sum(), (size >= 0).sum()]
            shares = [packets[0] / max(1, len(size)), received / max(1, received + sent)]
            expected.append([received, sent, *packets, len(size), received + sent, *shares])

        np.testing.assert_allclose(packet_statistics.counts(traces), expected, rtol=1e-6)

    def test_order_describes_the_positions_of_each_direction(self, traces):
        expected = []
        for size, _ in captures(traces):
            places = [np.flatnonzero(size >= 0), np.flatnonzero(size < 0)]
            expected.append([part(p) if len(p) else 0 for p in places for part in (np.mean, np.std)])

        np.testing.assert_allclose(packet_statistics.order(traces), expected, rtol=1e-5)

    def test_edges_count_the_first_and_the_last_thirty_packets(self, traces):
        expected = [
            [(part >= 0).sum(), (part < 0).sum(), (end >= 0).sum(), (end < 0).sum()]
            for part, end in ((size[:30], size[-30:]) for size, _ in captures(traces))
        ]

        assert np.array_equal(packet_statistics.edges(traces), np.array(expected, np.float32))

    def test_concentration_counts_outgoing_packets_in_chunks_of_twenty(self, traces):
        expected = []
        for size, _ in captures(traces):
            chunks = [int((size[start : start + 20] >= 0).sum()) for start in range(0, len(size), 20)]
            expected.append([*moments(chunks), *bucketed(chunks, 7)])

        np.testing.assert_allclose(packet_statistics.concentration(traces, 7), expected, rtol=1e-5, atol=1e-6)

    def test_rate_counts_packets_in_every_second(self, traces):
        expected = []
        for _, time in captures(traces):
            second = np.clip(time, 0, packet_statistics.LONGEST - 1).astype(int)
            rates = np.bincount(second, minlength=1)
            expected.append([*moments(rates), *bucketed(rates, 5)])

        np.testing.assert_allclose(packet_statistics.rate(traces, 5), expected, rtol=1e-5, atol=1e-6)

    def test_gaps_lie_between_packets_of_the_same_direction(self, traces):
        expected = []
        for size, time in captures(traces):
            row = []
            for chosen in (time, time[size >= 0], time[size < 0]):
                gap = np.diff(chosen)
                row += [gap.max(), gap.mean(), gap.std(), np.percentile(gap, 75)] if len(gap) else [0] * 4
            expected.append(row)

        np.testing.assert_allclose(packet_statistics.gaps(traces), expected, rtol=1e-5, atol=1e-7)

    def test_transmission_describes_when_packets_come(self, traces):
        expected = []
        for size, time in captures(traces):
            parts = (time, time[size >= 0], time[size < 0])
            expected.append(
                np.hstack([np.percentile(part, (25, 50, 75, 100)) if len(part) else [0] * 4 for part in parts])
            )

        np.testing.assert_allclose(packet_statistics.transmission(traces), expected, rtol=1e-5, atol=1e-7)

    def test_all_families_stand_side_by_side(self, traces):
        assert packet_statistics.packet_statistics(traces).shape == (len(traces), 140)
