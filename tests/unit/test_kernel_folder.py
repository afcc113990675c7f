"""The folder of compiled kernels: code, so nobody but the worker's user may write there."""

import os

import pytest

from seqd.local.kernel_folder import VARIABLE, keep_kernels


@pytest.fixture(autouse=True)
def _not_said(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")


def test_kernels_are_kept_in_the_folder_of_data(tmp_path):
    why_not = keep_kernels(tmp_path)

    assert why_not == ""
    assert os.environ[VARIABLE] == str(tmp_path / "kernels")
    assert (tmp_path / "kernels").stat().st_mode & 0o777 == 0o700


def test_who_names_a_folder_has_them_there(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named"))

    assert keep_kernels(tmp_path / "data") == ""
    assert os.environ[VARIABLE] == str(tmp_path / "named")
    assert not (tmp_path / "data").exists()


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path):
    (tmp_path / "kernels").mkdir(mode=0o755)

    assert keep_kernels(tmp_path) == ""
    assert (tmp_path / "kernels").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(tmp_path, mode):
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(mode)

    why_not = keep_kernels(tmp_path)

    assert why_not == f"others may write to {folder} (mode {mode:04o}); remove it"
    assert os.environ[VARIABLE] == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path):
    folder = tmp_path / "kernels"
    folder.mkdir(mode=0o700)
    os.chown(folder, 10_001, 10_001)

    why_not = keep_kernels(tmp_path)

    assert why_not == f"{folder} belongs to user 10001, and this process is 0's"
    assert os.environ[VARIABLE] == ""


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "data").write_text("a file in its place")

    why_not = keep_kernels(tmp_path / "data")

    assert why_not == f"{tmp_path / 'data' / 'kernels'} cannot be written: Not a directory"
    assert os.environ[VARIABLE] == ""
