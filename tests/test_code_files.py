"""Files of codes and of indexes: any change of their content is found, those without checksums still load."""

import zipfile

import h5py
import numpy as np
import pytest

from inference.code_file import read_codes, write_codes
from inference.code_set import MOST_BITS, CodeSet
from inference.index import Index, load_index
from inference.ranking import hamming, iterate_blocks, top_k
from tests.pipeline import message_of
from utils.errors import UserError

IDS = np.array([f"vidéo {number}" for number in range(60)], object)
CODES = CodeSet(np.random.default_rng(0).integers(0, 256, (60, 2), np.uint8), IDS, 16, "f" * 64, {"model": "S5VH"})


def same(found, codes=CODES):
    return (np.array_equal(found.bits, codes.bits) and found.ids.tolist() == codes.ids.tolist()
            and (found.num_bits, found.fingerprint, found.made_from) == (codes.num_bits, codes.fingerprint,
                                                                         codes.made_from))


def same_index(found):
    ids, distances = found.search(CODES.bits[:5], 9)
    expected = Index(CODES, "ivf", {"nlist": 3, "nprobe": 2}).search(CODES.bits[:5], 9)
    return (same(found.codes) and found.settings == {"nlist": 3, "nprobe": 2} and np.array_equal(ids, expected[0])
            and np.array_equal(distances, expected[1]))


def write(path):
    if path.suffix == ".index":
        Index(CODES, "ivf", {"nlist": 3, "nprobe": 2}).save(path)
    else:
        write_codes(path, CODES)
    return path


def test_any_flipped_bit_of_an_archive_is_found_or_harmless(tmp_path):
    path = write(tmp_path / "a.npz")
    content = path.read_bytes()
    num_found = 0
    for place in range(place_of_codes(content) % 3, len(content), 3):
        path.write_bytes(flipped(content, place, place % 8))
        try:
            found = read_codes(path)
        except UserError:
            num_found += 1
        else:
            assert same(found), place
    assert num_found > 100


CHANGES = {
    "a code": lambda file: file["codes"].__setitem__((7, 1), file["codes"][7, 1] ^ 4),
    "an id": lambda file: file["ids"].__setitem__(7, "other"),
    "two ids": lambda file: file["ids"].__setitem__(slice(6, 8), file["ids"][6:8][::-1]),
    "the length": lambda file: file.attrs.__setitem__("num_bits", 15),
    "the model": lambda file: file.attrs.__setitem__("fingerprint", "e" * 64),
    "its description": lambda file: file.attrs.__setitem__("made_from", "{}"),
}
INDEX_CHANGES = CHANGES | {
    "the kind": lambda file: (file.attrs.__setitem__("kind", "flat"), file.attrs.__setitem__("settings", "{}")),
    "a setting": lambda file: file.attrs.__setitem__("settings", '{"nlist": 3, "nprobe": 1}'),
    "what was learned": lambda file: file["state/centroids"].__setitem__((0, 0), file["state/centroids"][0, 0] ^ 1),
    "how much was learned": lambda file: file.attrs.__setitem__("num_learned", 61),
    "more that was learned": lambda file: file.__setitem__("state/other", 3),
}


@pytest.mark.parametrize(("name", "read", "change"), [
    *(("a.h5", read_codes, change) for change in CHANGES), *(("a.index", read_codes, change) for change in CHANGES),
    *(("a.index", load_index, change) for change in INDEX_CHANGES)])
def test_any_change_of_what_a_file_holds_is_told(tmp_path, name, read, change):
    path = write(tmp_path / name)
    with h5py.File(path, "r+") as file:
        INDEX_CHANGES[change](file)
    assert str(path) in message_of(lambda: read(path))


def flipped(content, place, bit):
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def place_of_codes(content):
    place = content.index(CODES.bits.tobytes())
    assert content.count(CODES.bits.tobytes()) == 1
    return place


@pytest.mark.parametrize("name", ["a.h5", "a.npz", "a.index"])
def test_a_code_that_changed_is_told(tmp_path, name):
    path = write(tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(flipped(content, place_of_codes(content) + 5, 2))
    assert "damaged" in message_of(lambda: (load_index if name == "a.index" else read_codes)(path))


@pytest.mark.parametrize("version", [1, 2])
def test_only_files_of_the_time_without_checksums_may_lack_one(tmp_path, version):
    for name in ("a.h5", "a.index"):
        with h5py.File(write(tmp_path / name), "r+") as file:
            for key in ("checksum", "index_checksum"):
                file.attrs.pop(key, None)
            file.attrs["format_version"] = version
    with zipfile.ZipFile(write(tmp_path / "whole.npz")) as whole, zipfile.ZipFile(tmp_path / "a.npz", "w") as old:
        for member in whole.namelist():
            if member != "checksum.npy" and (member != "format_version.npy" or version == 2):
                old.writestr(member, whole.read(member))
    if version == 1:
        assert same(read_codes(tmp_path / "a.h5"))
        assert same(read_codes(tmp_path / "a.npz"))
        assert same_index(load_index(tmp_path / "a.index"))
    else:
        for name, read in (("a.h5", read_codes), ("a.npz", read_codes), ("a.index", load_index)):
            assert "damaged" in message_of(lambda name=name, read=read: read(tmp_path / name))


def test_an_index_with_an_id_twice_is_refused(tmp_path):
    path = write(tmp_path / "a.index")
    with h5py.File(path, "r+") as file:  # as one of before that two wrote at once
        file["ids"][7] = IDS[3]
        for key in ("checksum", "index_checksum", "format_version"):
            del file.attrs[key]
    text = message_of(lambda: load_index(path))
    assert f"{path}: the id 'vidéo 3' occurs twice" in text


@pytest.mark.parametrize("num_bits", [MOST_BITS, MOST_BITS + 1])
def test_codes_whose_distances_would_not_fit_are_refused(tmp_path, num_bits):
    bits = np.zeros((2, -(-num_bits // 8)), np.uint8)
    bits[1] = 255
    bits[1, -1] &= 0xFF << -num_bits % 8 & 0xFF
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["codes"], file.attrs["num_bits"] = bits, num_bits
    if num_bits <= MOST_BITS:
        _, distances = Index(read_codes(tmp_path / "a.h5")).search(bits[:1], 2)
        assert distances.tolist() == [[0, num_bits]]
        assert top_k(bits[:1], bits, 2)[1].tolist() == [[0, num_bits]]
    else:
        assert "at most 65535" in message_of(lambda: read_codes(tmp_path / "a.h5"))


@pytest.mark.parametrize("zeros", [True, False])
def test_distances_of_longer_codes_are_refused(zeros):
    codes = np.ones((2, 32_768 if zeros else 65_536), np.int8)
    codes[1] = -1
    codes[0, 0] = not zeros
    with pytest.raises(ValueError, match="65535"):
        list(iterate_blocks(codes, codes, 2))
    with pytest.raises(ValueError, match="65535"):
        hamming(np.zeros((1, 8200), np.uint8), np.zeros((1, 8200), np.uint8))
