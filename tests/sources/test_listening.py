from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gpudesk.sources.listening import ADDRESS_LIMIT, TABLE_LIMIT_BYTES, listening

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LOOPBACK = "0100007F" if sys.byteorder == "little" else "7F000001"


def line(address: str, inode: int, state: str = "0A") -> str:
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0\n"


def proc(folder: Path, inodes: list[int], tcp: str = "", tcp6: str = "") -> str:
    """Write what the kernel shows of process 7 and of all sockets."""
    descriptors = folder / "7" / "fd"
    descriptors.mkdir(parents=True)
    (folder / "net").mkdir()
    (descriptors / "0").symlink_to("/dev/null")
    for number, inode in enumerate(inodes, 1):
        (descriptors / str(number)).symlink_to(f"socket:[{inode}]")
    (folder / "net" / "tcp").write_text(HEAD + tcp)
    (folder / "net" / "tcp6").write_text(HEAD + tcp6)
    return str(folder)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_our_own_sockets_are_found(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert (address, port) in (listening(os.getpid()) or ())
    assert (address, port) not in (listening(os.getpid()) or ())


def test_a_connection_is_no_listener() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        found = listening(os.getpid()) or ()
        assert client.getsockname() not in found
        assert server.getsockname() in found


def test_a_process_that_listens_nowhere_or_is_gone_tells_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert listening(child.pid) is None
        child.communicate(b"\n")
    assert listening(child.pid) is None


@linux
def test_only_the_sockets_of_the_process_count(tmp_path: Path) -> None:
    table = line(f"{LOOPBACK}:2CAA", 11) + line("00000000:1F90", 12) + line(f"{LOOPBACK}:0050", 13, "01")
    assert listening(7, proc(tmp_path, [11, 13], table)) == (("127.0.0.1", 11434),)


@linux
def test_sockets_of_another_network_are_not_told(tmp_path: Path) -> None:
    assert listening(7, proc(tmp_path, [99], line(f"{LOOPBACK}:2CAA", 11))) is None


@linux
def test_nonsense_in_the_table_is_passed_over(tmp_path: Path) -> None:
    table = "\n   0: zz:2CAA 0 0A 0 0 0 0 0 11\n" + line("0100:2CAA", 11) + "x\n" + line(f"{LOOPBACK}:2CAA", 11)
    assert listening(7, proc(tmp_path, [11], table)) == (("127.0.0.1", 11434),)


@linux
def test_a_huge_table_is_read_in_part(tmp_path: Path) -> None:
    other = line(f"{LOOPBACK}:0050", 13, "01")
    table = line(f"{LOOPBACK}:2CAA", 11) + other * (TABLE_LIMIT_BYTES // len(other)) + line("00000000:1F90", 11)
    assert listening(7, proc(tmp_path, [11], table)) == (("127.0.0.1", 11434),)


@linux
def test_addresses_are_bounded(tmp_path: Path) -> None:
    table = "".join(line(f"{LOOPBACK}:{port:04X}", 11) for port in range(1000, 1100))
    assert len(listening(7, proc(tmp_path, [11], table)) or ()) == ADDRESS_LIMIT
