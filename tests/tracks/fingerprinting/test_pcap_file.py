import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidUpload
from app.tracks.fingerprinting import defence_file, packets, pcap_file
from tests import pcaps
from tests.forged import SETTINGS

ROOT = Path(__file__).resolve().parents[3]
LINKS = {"Ethernet": 1, "loopback": 0, "cooked": 113, "cooked 2": 276, "raw IP": 101}


@pytest.fixture
def read(tmp_path):
    def read_bytes(content, client=None):
        path = tmp_path / "capture"
        path.write_bytes(content)
        return pcap_file.read_one(path, client)

    return read_bytes


def reason(function, *arguments):
    with pytest.raises(InvalidUpload) as caught:
        function(*arguments)
    (one,) = caught.value.reasons
    return one


def all_captures(cells=4, reps=3):
    """An accepted defence as (name, content) pairs."""
    return [
        (f"captures/cell_{cell}_rep_{rep}.pcap", pcaps.pcap(pcaps.conversation()))
        for cell in range(1, cells + 1)
        for rep in range(1, reps + 1)
    ]


def framed(*bare, start=0.0, step=0.01):
    return [(start + step * number, pcaps.framed(packet, 1)) for number, packet in enumerate(bare)]


class TestReadOne:
    @pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
    @pytest.mark.parametrize("build", [pcaps.pcap, pcaps.pcapng])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_it_reads_every_link_layer_format_and_byte_order(self, read, link, build, order):
        size, time = read(build(pcaps.conversation(link=link), link, order=order))
        assert size.tolist() == pcaps.SIZES
        np.testing.assert_allclose(time, np.arange(8) * 0.01, atol=1e-6)
        assert (size.dtype, time.dtype) == (np.int32, np.float64)

    def test_it_reads_ipv6(self, read):
        size, _ = read(pcaps.pcap(pcaps.conversation(client="fd00::2", server="2001:db8:1::100")))
        assert size.tolist() == pcaps.SIZES

    def test_addresses_that_end_in_zeros_stay_apart(self, read):
        size, _ = read(pcaps.pcap(pcaps.conversation(client="fd00:0:0:1::", server="2001:db8::")))
        assert size.tolist() == pcaps.SIZES

    @pytest.mark.parametrize("vlans", [1, 2])
    def test_it_looks_behind_vlan_tags(self, read, vlans):
        plain = pcaps.conversation(link=pcaps.RAW)
        tagged = [(time, pcaps.framed(packet, pcaps.ETHERNET, vlans)) for time, packet in plain]
        assert read(pcaps.pcap(tagged))[0].tolist() == pcaps.SIZES

    def test_it_reads_nanoseconds(self, read):
        times = [1 + nano / 1e9 for nano in (0, 1000, 250)]
        frames = pcaps.conversation()[3:6]
        _, time = read(pcaps.pcap([(at, frame) for at, (_, frame) in zip(times, frames, strict=True)], nano=True))
        np.testing.assert_allclose(time, [0, 1e-6, 2.5e-7], atol=1e-10)

    def test_captured_headers_are_enough(self, read):
        assert read(pcaps.pcap(pcaps.conversation(), snaplen=96))[0].tolist() == pcaps.SIZES

    def test_padding_of_short_frames_is_no_payload(self, read):
        padded = [(time, frame + b"\0" * 20) for time, frame in pcaps.conversation()]
        assert read(pcaps.pcap(padded))[0].tolist() == pcaps.SIZES

    def test_the_wire_length_helps_where_offloading_left_the_length_at_zero(self, read):
        large = pcaps.tcp(pcaps.CLIENT, pcaps.SERVER, 3000, offloaded=True)
        back = pcaps.tcp(pcaps.SERVER, pcaps.CLIENT, 10, source_port=443, target_port=50_000)
        assert read(pcaps.pcap(framed(large, back), snaplen=96))[0].tolist() == [3000, -10]

    def test_other_protocols_and_broken_packets_are_left_out(self, read):
        noise = [(1_700_000_000, b"\xff" * 60), (1_700_000_001, pcaps.framed(pcaps.udp("10.0.0.2", "8.8.8.8", 50), 1))]
        assert read(pcaps.pcap(noise + pcaps.conversation()))[0].tolist() == pcaps.SIZES

    def test_time_counts_from_the_earliest_packet_with_payload(self, read):
        frames = pcaps.conversation(start=50)
        frames[3], frames[4] = (50.04, frames[3][1]), (50.03, frames[4][1])
        _, time = read(pcaps.pcap(frames))
        assert time[1] == 0
        assert time[0] == pytest.approx(0.01)


class TestTheClient:
    def test_it_is_who_opened_the_connection(self, read):
        private = pcaps.conversation(client="10.0.0.9", server="10.0.0.1")
        assert read(pcaps.pcap(private))[0].tolist() == pcaps.SIZES
        public = pcaps.conversation(client="203.0.113.5", server="10.0.0.1")
        assert read(pcaps.pcap(public))[0].tolist() == pcaps.SIZES

    def test_without_a_handshake_it_has_the_private_address(self, read):
        assert read(pcaps.pcap(pcaps.conversation(server="9.9.9.9")[3:]))[0].tolist() == pcaps.SIZES

    def test_without_a_private_address_it_has_the_higher_port(self, read):
        found = read(pcaps.pcap(pcaps.conversation(client="8.8.4.4", server="9.9.9.9")[3:]))
        assert found[0].tolist() == pcaps.SIZES

    def test_it_takes_part_in_every_packet(self, read):
        first = pcaps.tcp("8.8.4.4", "9.9.9.9", 100, source_port=443)
        second = pcaps.tcp("1.1.1.1", "8.8.4.4", 200)
        assert read(pcaps.pcap(framed(first, second)))[0].tolist() == [100, -200]

    def test_packets_of_others_are_left_out(self, read):
        others = framed(pcaps.tcp("10.0.0.50", "10.0.0.60", 70), start=1_700_000_000.5)
        assert read(pcaps.pcap(pcaps.conversation() + others))[0].tolist() == pcaps.SIZES

    def test_it_can_be_told(self, read):
        content = pcaps.pcap(pcaps.conversation())
        found = read(content, packets.parse_address(pcaps.SERVER))
        assert found[0].tolist() == [-size for size in pcaps.SIZES]

    @pytest.mark.parametrize(
        ("client", "server"), [("8.8.4.4", "9.9.9.9"), ("127.0.0.1", "127.0.0.1")], ids=["equal ports", "one address"]
    )
    def test_it_is_refused_to_guess(self, read, client, server):
        there = pcaps.tcp(client, server, 100, source_port=443)
        back = pcaps.tcp(server, client, 100, source_port=443)
        found = reason(read, pcaps.pcap(framed(there, back)))
        assert "who the client is" in found.rule
        assert client in found.where
        assert "--client" in found.fix


class TestParseName:
    @pytest.mark.parametrize("name", ["cell_7_rep_12.pcap", "a/b/cell_7_rep_12.pcapng", "cell_007_rep_12.pcap"])
    def test_it_reads_cell_and_repetition(self, name):
        assert pcap_file.parse_name(name) == (7, 12)

    @pytest.mark.parametrize("name", ["7_12.pcap", "cell_7_rep_12.pcap.gz", "cell_-7_rep_1.pcap", "cell_٣_rep_1.pcap"])
    def test_it_refuses_other_names(self, name):
        assert pcap_file.parse_name(name) is None


class TestReadAll:
    def test_a_zip_of_captures_is_a_defence(self, tmp_path):
        path = pcaps.zipped(tmp_path / "upload.zip", reversed(all_captures()))
        found = defence_file.read(path, SETTINGS)
        assert found["cell"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
        assert found["rep"].tolist() == [1, 2, 3] * 4
        assert found["size"].tolist() == pcaps.SIZES * 12

    def test_every_fault_is_told_at_once_by_file(self, tmp_path):
        files = dict(all_captures())
        for rep in (1, 2):
            files[f"captures/cell_1_rep_{rep}.pcap"] = b"garbage"
        files["captures/cell_2_rep_1.pcap"] = pcaps.pcap(pcaps.conversation())[:-3]
        files["captures/cell_3_rep_1.pcap"] = pcaps.pcap(pcaps.conversation()[:6])
        files["captures/notes.pcap"] = b""
        path = pcaps.zipped(tmp_path / "upload.zip", files.items())
        with pytest.raises(InvalidUpload) as caught:
            defence_file.read(path, SETTINGS)
        texts = [str(one) for one in caught.value.reasons]
        assert '"captures/notes.pcap"' in texts[0]
        assert 'cell_1_rep_1.pcap": a file that begins with "garb"' in texts[1]
        assert 'cell_2_rep_1.pcap": the file is cut off' in texts[1]
        assert caught.value.reasons[1].count == 3
        assert "Every cell has between 3 and 5 repetitions. Found: cell 1 has 1, cell 2 has 2." in texts[2]
        assert "cell 3 rep 1: 3 packets" in texts[3]

    def test_the_sum_of_packets_is_bounded(self, tmp_path):
        path = tmp_path / "capture"
        path.write_bytes(pcaps.pcap(pcaps.conversation()))
        files = [(f"cell_1_rep_{rep}.pcap", path) for rep in range(5)]
        found, reasons = pcap_file.read_all(files, 39)
        assert found is None
        assert reasons[0].rule == "A defence has at most 39 packets."
        assert pcap_file.read_all(files, 40)[1] == []

    def test_the_packets_of_one_file_are_bounded(self, read, monkeypatch):
        monkeypatch.setattr(pcap_file, "MAX_PACKETS_PER_FILE", 10)
        assert "at most 10 packets" in reason(read, pcaps.pcap(pcaps.conversation())).rule

    @pytest.mark.parametrize("build", [pcaps.pcap, pcaps.pcapng])
    def test_damaged_captures_never_break_the_reader(self, read, build):
        content, rng = build(pcaps.conversation()), np.random.default_rng(1)
        reasons = []
        for _ in range(300):
            damaged = bytearray(content)
            for place in rng.integers(0, len(content), 4):
                damaged[place] = rng.integers(256)
            try:
                read(bytes(damaged[: rng.integers(1, len(content) + 1)]))
            except InvalidUpload as error:
                reasons += error.reasons
        assert len(reasons) > 200
        assert all(one.rule and one.fix for one in reasons)


class TestTheScripts:
    def run(self, script, *arguments):
        command = [sys.executable, ROOT / "attack_defence_test_scripts" / script, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "captures").mkdir()
        for name, content in all_captures():
            (tmp_path / name).write_bytes(content)
        return tmp_path / "captures"

    def test_captures_become_a_csv_that_the_check_accepts(self, folder, tmp_path):
        target = tmp_path / "my_defence.csv.zip"
        done = self.run("pcap_to_csv.py", folder, target, "--round-to-cells")
        assert done.returncode == 0, done.stderr
        found = defence_file.read(target, SETTINGS)
        assert found["size"][:4].tolist() == [512, -1024, 512, -1024]
        names = ("NB_CLASSES", "NB_TRACES_TO_CLASSIFY", "MEAN_NB_REP_PER_CLASS", "DEVIATION_NB_REP_PER_CLASS")
        settings = [f"--set={name}={getattr(SETTINGS, name)}" for name in names]
        checked = self.run("check_upload.py", target, *settings)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "is fine: cell 12, " in checked.stdout

    def test_the_check_prints_every_reason(self, folder, tmp_path):
        done = self.run("check_upload.py", pcaps.zipped(tmp_path / "upload.zip", all_captures(2, 26)))
        assert done.returncode == 1
        assert "1. The cells are exactly 1 to 100." in done.stdout
        assert "To do:" in done.stdout
