"""Downloads from a real server on this machine that behaves as badly as servers do."""

import hashlib
import io
import re
import socket
import tarfile
import tempfile
import threading
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from helpers import downloads
from helpers.downloads import download, extract
from helpers.errors import HelpersError, HelpersWarning

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ABSOLUTE = f"{tempfile.gettempdir()}/written-by-an-evil-archive.txt"
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        kind = self.path.strip("/")
        if kind in ("404", "503"):
            self.send_error(int(kind))
            return
        start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and kind != "no-ranges" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        breaks = kind == "always-breaks" or (kind in ("breaks", "no-ranges") and len(self.server.asked) == 1)
        if kind == "stuck":
            self.wfile.write(CONTENT[start:100_000])
        else:
            self.wfile.write(CONTENT[start : start + 100_000] if breaks else CONTENT[start:])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.0)


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()
        thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("expected", [{"sha256": SHA256}, {"sha256": SHA256[:8]}, {"md5": MD5.upper()}, {}])
def test_a_file_arrives_once(server, tmp_path, expected):
    path = download(f"{server.url}/plain", tmp_path / "new" / "file.bin", **expected)
    assert path.read_bytes() == CONTENT
    download(f"{server.url}/plain", path, **expected)
    assert server.asked == [None]
    assert names(path.parent) == ["file.bin"]


@pytest.mark.fault
def test_a_connection_that_breaks_off_is_taken_up_again(server, tmp_path):
    path = download(f"{server.url}/breaks", tmp_path / "file.bin", sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


@pytest.mark.fault
def test_a_server_without_ranges_starts_over(server, tmp_path):
    path = download(f"{server.url}/no-ranges", tmp_path / "file.bin", sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


@pytest.mark.fault
def test_what_an_earlier_run_left_is_taken_up(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:300_000])
    download(f"{server.url}/plain", tmp_path / "file.bin", sha256=SHA256)
    assert server.asked == ["bytes=300000-"]
    assert names(tmp_path) == ["file.bin"]


def test_a_whole_part_is_only_put_in_place(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert download(f"{server.url}/404", tmp_path / "file.bin", md5=MD5).read_bytes() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("length", [1000, len(CONTENT), len(CONTENT) + 10])
@pytest.mark.fault
def test_a_part_of_another_file_is_given_up(server, tmp_path, length):
    (tmp_path / "file.bin.part").write_bytes(b"x" * length)
    path = download(f"{server.url}/plain", tmp_path / "file.bin", sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.asked[-1] is None


@pytest.mark.fault
def test_a_server_that_breaks_off_again_and_again_is_worn_down(server, tmp_path):
    path = download(f"{server.url}/always-breaks", tmp_path / "file.bin", sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert len(server.asked) == 6


@pytest.mark.fault
def test_a_server_that_gives_no_more_leaves_what_came(server, tmp_path):
    with pytest.raises(HelpersError, match=r"broke off.*by hand.*file\.bin.*file\.bin\.part"):
        download(f"{server.url}/stuck", tmp_path / "file.bin", sha256=SHA256)
    assert names(tmp_path) == ["file.bin.part"]
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:100_000]


@pytest.mark.fault
def test_a_busy_server_is_asked_again(server, tmp_path):
    with pytest.raises(HelpersError, match="503"):
        download(f"{server.url}/503", tmp_path / "file.bin")
    assert len(server.asked) == 5


@pytest.mark.fault
def test_a_wrong_hash_is_not_kept(server, tmp_path):
    with pytest.raises(HelpersError, match="SHA256 does not begin with 000000"):
        download(f"{server.url}/plain", tmp_path / "file.bin", sha256="000000")
    assert names(tmp_path) == []


@pytest.mark.fault
def test_a_wrong_file_in_place_is_reported_and_replaced(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"<html>proxy error</html>")
    with pytest.warns(HelpersWarning, match=r"file\.bin is not what was published"):
        path = download(f"{server.url}/plain", tmp_path / "file.bin", md5=MD5)
    assert path.read_bytes() == CONTENT


@pytest.mark.fault
def test_a_wrong_file_in_place_stays_when_there_is_nothing_better(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"mine")
    with pytest.warns(HelpersWarning), pytest.raises(HelpersError):
        download(f"{server.url}/404", tmp_path / "file.bin", md5=MD5)
    assert (tmp_path / "file.bin").read_bytes() == b"mine"


@pytest.mark.fault
def test_404_is_not_tried_again(server, tmp_path):
    with pytest.raises(HelpersError, match=r"404.*fetch it by hand, put it at .*file\.bin"):
        download(f"{server.url}/404", tmp_path / "file.bin")
    assert len(server.asked) == 1


@pytest.mark.fault
def test_without_a_network_the_error_says_what_to_do(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/weights.pth"
        with pytest.raises(HelpersError) as caught:
            download(url, tmp_path / "weights.pth")
    assert url in str(caught.value)
    assert f"put it at {tmp_path / 'weights.pth'}" in str(caught.value)


@pytest.mark.fault
def test_several_at_once_fetch_once(server, tmp_path):
    threads = [
        threading.Thread(target=download, args=(f"{server.url}/plain", tmp_path / "file.bin"), kwargs={"md5": MD5})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.fault
def test_a_place_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HelpersError, match="could not be written"):
        download(f"{server.url}/plain", tmp_path / "file" / "below.bin")


@pytest.mark.fault
def test_other_addresses_are_refused(tmp_path):
    with pytest.raises(HelpersError, match="no web address"):
        download("file:///etc/hostname", tmp_path / "file.bin")


def archive(path, members):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as opened:
            for name, content in members.items():
                opened.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as opened:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                opened.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["photos.zip", "photos.tgz"])
def test_archives_are_unpacked_whole(tmp_path, name):
    path = archive(tmp_path / name, {"jpg/a.jpg": b"a", "jpg/more/b.jpg": b"b"})
    folder = extract(path, tmp_path / "data" / "photos", "jpg")
    assert (folder / "more/b.jpg").read_bytes() == b"b"
    assert names(tmp_path / "data") == ["photos"]


@pytest.mark.parametrize("name", ["photos.zip", "photos.tgz"])
@pytest.mark.parametrize("evil", ["../evil.txt", ABSOLUTE, "jpg/../../evil.txt"])
@pytest.mark.fault
def test_archives_cannot_write_elsewhere(tmp_path, name, evil):
    path = archive(tmp_path / name, {"jpg/a.jpg": b"a", evil: b"evil"})
    (tmp_path / "data").mkdir()
    with suppress(HelpersError):  # tar archives lose the leading slash instead
        extract(path, tmp_path / "data" / "photos", "jpg")
    assert not any(place.exists() for place in (tmp_path / "evil.txt", tmp_path / "data/evil.txt", Path(ABSOLUTE)))
    assert set(names(tmp_path / "data")) <= {"photos"}


@pytest.mark.parametrize("name", ["photos.zip", "photos.tgz"])
@pytest.mark.fault
def test_damaged_archives_leave_nothing(tmp_path, name):
    path = archive(tmp_path / name, {f"jpg/{i}.jpg": CONTENT for i in range(3)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(HelpersError, match=f"{name} cannot be unpacked"):
        extract(path, tmp_path / "data" / "photos", "jpg")
    assert names(tmp_path / "data") == []


@pytest.mark.fault
def test_archives_without_the_folder(tmp_path):
    path = archive(tmp_path / "photos.zip", {"png/a.png": b"a"})
    with pytest.raises(HelpersError, match="holds no folder jpg"):
        extract(path, tmp_path / "photos", "jpg")


@pytest.mark.fault
def test_a_proxy_that_was_switched_off_is_forgotten(server, tmp_path, monkeypatch):
    with monkeypatch.context() as dead_proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            dead_proxy.setenv(name, "http://127.0.0.1:9")
        for name in ("no_proxy", "NO_PROXY"):
            dead_proxy.delenv(name, raising=False)
        with pytest.raises(HelpersError, match="could not be fetched"):
            download(f"{server.url}/file", tmp_path / "file", sha256=SHA256)
    assert download(f"{server.url}/file", tmp_path / "file", sha256=SHA256).read_bytes() == CONTENT
