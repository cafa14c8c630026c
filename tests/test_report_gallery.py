"""Pictures are kept under names that every system takes, and none is lost to another."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gallery import Folders, Gallery, safe_name
from tests.report_fixtures import NAUGHTY

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def test_picture_lies_in_a_folder_named_after_its_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(Path("runflow-out/paint/1-1.png")) == Gallery("runflow-out").save("paint", 1, 1, PNG)
    assert PNG == Path("runflow-out/paint/1-1.png").read_bytes()
    assert ["1-1.png"] == [path.name for path in Path("runflow-out/paint").iterdir()]


def test_folder_is_made_with_the_first_picture(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    gallery.save("paint", 1, 1, PNG)
    assert (tmp_path / "out").is_dir()


def test_a_later_run_replaces_its_pictures(tmp_path: Path) -> None:
    first, second = (Gallery(tmp_path).save("paint", 1, 1, data) for data in (PNG, PNG + b"new"))
    assert first == second
    assert PNG + b"new" == Path(second).read_bytes()


def test_a_folder_may_have_folders_none_of_which_leads_elsewhere(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    saved = [gallery.save(folder, 1, 1, PNG) for folder in ("paint/attempt-2", "../paint", "/paint", "paint/..")]
    below = ["paint/attempt-2/1-1.png", "flow/paint/1-1.png", "flow/paint-2/1-1.png", "paint/flow/1-1.png"]
    assert [str(tmp_path / path) for path in below] == saved


def test_cases_of_one_name_share_no_file(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    names = ["paint", "PAINT", "paint", "pa int", "pa:int", "pa-int"]
    paths = [Path(gallery.save(name, 1, 1, PNG + bytes([number]))) for number, name in enumerate(names)]
    assert ["paint", "PAINT-2", "paint-3", "pa-int", "pa-int-2", "pa-int-3"] == [path.parent.name for path in paths]
    assert [PNG + bytes([number]) for number in range(6)] == [path.read_bytes() for path in paths]


@pytest.mark.parametrize(
    ("data", "extension"),
    [
        (PNG, "png"),
        (b"\xff\xd8\xff\xe0JFIF", "jpg"),
        (b"GIF89a.", "gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "webp"),
        (b"BM\x00\x00", "bmp"),
        (b"<html><script>alert(1)</script>", "bin"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "bin"),
        (b"RIFF\x10\x00\x00\x00WAVE", "bin"),
        (b"", "bin"),
    ],
)
def test_extension_comes_from_the_bytes(data: bytes, extension: str, tmp_path: Path) -> None:
    assert f"1-1.{extension}" == Path(Gallery(tmp_path).save("paint", 1, 1, data)).name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("paint", "paint"),
        ("水彩の猫 animal=猫", "水彩の猫-animal-猫"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "flow"),
        ("", "flow"),
        (".hidden", "hidden"),
        ('a\\b:c*d?e"f<g>h|i', "a-b-c-d-e-f-g-h-i"),
        ("nul", "_nul"),
        ("COM1.tar", "_COM1.tar"),
        ("console", "console"),
        ("trailing. ", "trailing"),
        ("\x1b[31mred\x00", "31mred"),
        ("\u202egnp.exe", "gnp.exe"),
        ("e\u0301", "é"),
        ("x" * 500, "x" * 120),
        ("猫" * 500, "猫" * 40),
    ],
)
def test_names_are_kept_as_far_as_every_system_takes_them(name: str, safe: str) -> None:
    assert safe == safe_name(name)


@given(st.one_of(st.sampled_from(NAUGHTY), st.text(max_size=200)))
def test_any_name_stays_in_the_folder(name: str) -> None:
    safe = safe_name(name)
    assert 1 <= len(safe.encode()) <= 121
    assert not set(safe) & set('/\\:*?"<>|\x00\n')
    assert safe == safe.strip(". -")
    assert safe == safe_name(safe) or safe.startswith("_")


def test_picture_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        Gallery(tmp_path).save("paint", 1, 1, PNG)
    assert [] == list((tmp_path / "paint").iterdir())


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (["paint", "paint", "PAINT", "paint-2"], ["paint", "paint-2", "PAINT-3", "paint-2-2"]),
        (["paint-2", "paint", "paint"], ["paint-2", "paint", "paint-3"]),
        (["a b", "a/b", "a-b"], ["a-b", "a-b-2", "a-b-3"]),
        (["x" * 200, "x" * 200], ["x" * 120, "x" * 118 + "-2"]),
        (["猫" * 200, "猫" * 200], ["猫" * 40, "猫" * 39 + "-2"]),
    ],
)
def test_no_two_conversations_get_the_same_folder(wanted: list[str], named: list[str]) -> None:
    folders = Folders()
    names = [folders.name(each) for each in wanted]
    assert named == names == [safe_name(name) for name in names]
