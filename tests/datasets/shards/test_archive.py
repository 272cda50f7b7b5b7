"""Tar files of strangers: whole members are found, damaged ones passed over, dangerous ones refused."""

import tarfile

import pytest
import webdataset

from helpers.shards import offset_of, overwrite, tar_of
from lavis_sam.datasets.shards import archive
from lavis_sam.datasets.shards.archive import MAX_MEMBER_BYTES, Damage, Member
from lavis_sam.errors import SamDataError

FILES = [("a.json", b"{}"), ("a.1.jpg", b"x" * 600), ("b/c.json", b"y" * 512), ("b/c.1.png", b"")]


class Pipe:
    """A file that can only be read forwards, a little at a time, as a network gives it."""

    def __init__(self, file):
        self.file = file

    def read(self, size):
        return self.file.read(min(size, 700))


def read_members(path, *, as_pipe=False, **options):
    with open(path, "rb", buffering=0) as file:
        yield from archive.read_members(Pipe(file) if as_pipe else file, str(path), **options)


def found(path):
    data = path.read_bytes()
    members = list(read_members(path))
    assert members == list(read_members(path, as_pipe=True))
    wanted = list(read_members(path, as_pipe=True, wants=lambda name, size: True))
    assert [m for m in wanted if isinstance(m, Damage)] == [m for m in members if isinstance(m, Damage)]
    assert all(m.content == data[m.offset : m.offset + m.size] for m in wanted if isinstance(m, Member))
    return [
        (m.name, data[m.offset : m.offset + m.size]) if isinstance(m, Member) else (m.message, m.offset)
        for m in members
    ]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_in_every_format(tmp_path, kind):
    assert found(tar_of(tmp_path / "t.tar", FILES, format=kind)) == FILES


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("name", ["n" * 300 + ".json", "Größe/猫.json", "d/" * 60 + "x.1.jpg"])
def test_names_that_need_an_extended_header(tmp_path, kind, name):
    assert found(tar_of(tmp_path / "t.tar", [(name, b"1"), ("z.json", b"2")], format=kind)) == [
        (name, b"1"),
        ("z.json", b"2"),
    ]


def test_a_long_name_in_ustar_is_joined_with_its_prefix(tmp_path):
    name = "folder/" * 20 + "x.json"
    assert found(tar_of(tmp_path / "t.tar", [(name, b"1")], format=tarfile.USTAR_FORMAT)) == [(name, b"1")]


def test_folders_are_passed_over_in_silence(tmp_path):
    folder = tarfile.TarInfo("b/")
    folder.type = tarfile.DIRTYPE
    assert found(tar_of(tmp_path / "t.tar", [(folder, b""), *FILES])) == FILES


def test_the_writer_of_webdataset(tmp_path):
    """It gives every member a date of its own in a pax header."""
    with webdataset.TarWriter(str(tmp_path / "t.tar")) as writer:
        writer.write({"__key__": "a", "json": b"{}", "1.jpg": b"12"})
    assert sorted(found(tmp_path / "t.tar")) == [("a.1.jpg", b"12"), ("a.json", b"{}")]


def special(kind, name="x.json", target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (special(tarfile.SYMTYPE, target="/etc/passwd"), "a symbolic link"),
        (special(tarfile.LNKTYPE, target="a.json"), "a hard link"),
        (special(tarfile.CHRTYPE), "a device"),
        (special(tarfile.FIFOTYPE), "a named pipe"),
        (special(b"?"), "a member of type b'?'"),
        (special(tarfile.REGTYPE, "/etc/x.json"), "leaves the folder"),
        (special(tarfile.REGTYPE, "../x.json"), "leaves the folder"),
        (special(tarfile.REGTYPE, "a/../../x.json"), "leaves the folder"),
        (special(tarfile.DIRTYPE, "../x"), "leaves the folder"),
        (special(tarfile.REGTYPE, ""), "no proper name"),
    ],
    ids=lambda value: None if isinstance(value, tarfile.TarInfo) else value,
)
def test_dangerous_members_are_refused(tmp_path, header, complaint):
    path = tar_of(tmp_path / "t.tar", [*FILES, (header, b"")], format=tarfile.GNU_FORMAT)
    with pytest.raises(SamDataError, match=rf"t\.tar: member '.*' at byte \d+: found .*{complaint}"):
        list(read_members(path))


def test_a_name_that_is_no_utf_8_is_refused(tmp_path):
    info = tarfile.TarInfo("x.json")
    path = tmp_path / "t.tar"
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[0] = 0xFF
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * 32)
    path.write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(SamDataError, match="no proper name"):
        list(read_members(path))


@pytest.mark.parametrize("size", [MAX_MEMBER_BYTES + 1, 2**40])
def test_an_oversized_member_is_refused_before_it_is_read(tmp_path, size):
    info = tarfile.TarInfo("x.1.jpg")
    info.size = size
    (tmp_path / "t.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(SamDataError, match=f"found {size} bytes, wanted at most {MAX_MEMBER_BYTES}"):
        list(read_members(tmp_path / "t.tar"))


@pytest.mark.parametrize("keys", [{"GNU.sparse.major": "1"}, {"GNU.sparse.map": "0,1"}, {"GNU.sparse.size": "9"}])
def test_read_members_refuses_sparse_members_of_pax(tmp_path, keys):
    """What they hold is a map, and GNU tar's own name for them is not theirs."""
    info = tarfile.TarInfo("GNUSparseFile.0/x.1.jpg")
    info.pax_headers = keys
    path = tar_of(tmp_path / "t.tar", [*FILES, (info, b"1\n0\n1\n")], format=tarfile.PAX_FORMAT)
    with pytest.raises(SamDataError, match=r"found a sparse file, wanted plain files"):
        list(read_members(path))


@pytest.mark.parametrize("as_pipe", [False, True])
def test_read_members_asks_before_it_reads_a_whole_member(tmp_path, as_pipe):
    path = tar_of(tmp_path / "t.tar", FILES)
    asked = []

    def refuses(name, size, start):
        asked.append((name, size, start))
        return size == 600

    options = {"wants": lambda name, size: name != "b/c.1.png", "refuses": refuses}
    entries = list(read_members(path, as_pipe=as_pipe, **options))
    assert asked == [(name, len(content), content[:512]) for name, content in FILES[:3]]
    assert [entry.content for entry in entries if isinstance(entry, Member)] == [b"{}", b"y" * 512, None]
    damage = Damage(offset_of(path, "a.1.jpg") - 512, "'a.1.jpg' has 600 bytes and does not begin as its name promises")
    assert entries[1] == damage


def test_an_oversized_extended_header_is_refused(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 10**6
    (tmp_path / "t.tar").write_bytes(info.tobuf() + bytes(2 * 10**6))
    with pytest.raises(SamDataError, match="an extended header of 1000000 bytes"):
        list(read_members(tmp_path / "t.tar"))


def test_after_a_damaged_header_reading_goes_on(tmp_path):
    path = tar_of(tmp_path / "t.tar", FILES)
    place = offset_of(path, "a.1.jpg") - 512
    overwrite(path, place, b"\xff")
    assert found(path) == [FILES[0], ("a header's checksum is wrong", place), FILES[2], FILES[3]]


def test_a_hole_is_no_end(tmp_path):
    path = tar_of(tmp_path / "t.tar", FILES)
    place = offset_of(path, "b/c.json") - 512
    overwrite(path, place, bytes(1024))
    assert found(path) == [*FILES[:2], ("zeros where a header should be", place), FILES[3]]


@pytest.mark.parametrize("where", ["in a member", "in a header", "after a member"])
def test_a_file_that_was_cut_off(tmp_path, where):
    path = tar_of(tmp_path / "t.tar", FILES)
    end = {"in a member": 100, "in a header": -400, "after a member": -512}[where] + offset_of(path, "b/c.json")
    path.write_bytes(path.read_bytes()[:end])
    *whole, damage = read_members(path)
    assert [member.name for member in whole] == ["a.json", "a.1.jpg"]
    assert isinstance(damage, Damage)
    assert "cut off" in damage.message


@pytest.mark.parametrize("content", [b"", b"no tar at all", bytes(5), b"\x1f\x8b compressed" * 100])
def test_what_is_no_tar_has_no_members(tmp_path, content):
    (tmp_path / "t.tar").write_bytes(content)
    assert all(isinstance(entry, Damage) for entry in read_members(tmp_path / "t.tar"))


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_every_cut_before_the_end_mark_is_noticed(tmp_path, kind):
    path = tar_of(
        tmp_path / "t.tar", [("größe.json", b"{}"), ("größe.1.jpg", b"x" * 300), ("z.json", b"2")], format=kind
    )
    data = path.read_bytes()
    end = offset_of(path, "z.json") + 512
    for cut in range(end + 512):
        path.write_bytes(data[:cut])
        entries = list(read_members(path))
        assert isinstance(entries[-1], Damage), cut
        assert "cut off" in entries[-1].message, cut
    path.write_bytes(data[: end + 512])  # one block of zeros: nothing is lost
    assert [type(entry) for entry in read_members(path)] == [Member] * 3
