"""A folder for one process at a time: refused at once, free when the holder is gone, and nothing left in it."""

import errno
import fcntl
import multiprocessing
import os
import signal
import stat
import time

import pytest

from helpers.processes import CLEAN, clean_process
from lavis_sam import locks
from lavis_sam.errors import SamConfigurationError
from lavis_sam.locks import locked

SECONDS = 60


def refused(folder):
    try:
        with locked(folder, "or name another."):
            return False
    except SamConfigurationError as error:
        message = str(error)
    assert message.startswith(f"{folder}: another process is working in this folder")
    assert message.endswith("or name another.")
    return True


def test_a_lock_is_one_at_a_time_and_leaves_nothing(tmp_path):
    for _ in range(2):
        with locked(tmp_path, "x"):
            assert refused(tmp_path)
        assert not refused(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_lock_holds_between_processes(tmp_path):
    with locked(tmp_path, "x"), multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(refused, (tmp_path,))


def test_a_lock_removes_a_new_folder_that_stays_empty_and_no_other(tmp_path):
    new, empty = tmp_path / "new", tmp_path / "empty"
    empty.mkdir()
    for folder in (new, empty):
        with locked(folder, "x"):
            assert folder.is_dir()
    assert not new.exists()
    assert empty.is_dir()
    with locked(new, "x"):
        (new / "file").touch()
    assert (new / "file").is_file()


def hold(folder, pipe):
    """Hold the lock, with a forked worker that lives on."""
    with locked(folder, "x"):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(SECONDS,))
        worker.start()
        pipe.send(worker.pid)
        worker.join()


def test_a_lock_ends_with_a_killed_process_even_if_its_workers_live_on(tmp_path):
    ours, theirs = CLEAN.Pipe()
    holder = clean_process(hold, tmp_path, theirs)
    holder.start()
    worker = ours.recv()
    try:
        assert refused(tmp_path)
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        os.kill(worker, 0)  # it is there
        assert not refused(tmp_path)
    finally:
        os.kill(worker, signal.SIGKILL)


@pytest.fixture
def flock(monkeypatch):
    """Make the system's lock refuse some kinds of files, as NFS and Lustre do."""

    def refuse(error, is_refused):
        real = fcntl.flock

        def other(descriptor, operation):
            if is_refused(os.fstat(descriptor).st_mode):
                raise OSError(error, os.strerror(error))
            real(descriptor, operation)

        monkeypatch.setattr(locks.fcntl, "flock", other)

    return refuse


def test_a_lock_on_nfs_is_on_a_file_in_the_folder(tmp_path, flock):
    flock(errno.EBADF, stat.S_ISDIR)
    with locked(tmp_path, "x"):
        assert refused(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [locks.LOCK_FILE]
    assert not refused(tmp_path)


def test_a_lock_where_there_are_none_is_a_warning(tmp_path, flock, caplog):
    flock(errno.ENOSYS, lambda mode: True)
    with locked(tmp_path, "x"):
        assert not refused(tmp_path)
    assert "see to it yourself that no other process works in this folder" in caplog.text


def test_a_lock_on_a_folder_that_was_removed_meanwhile_is_taken_again(tmp_path, monkeypatch):
    folder, real = tmp_path / "new", fcntl.flock

    def late(descriptor, operation):
        monkeypatch.undo()
        folder.rmdir()  # whoever had the lock has left nothing
        real(descriptor, operation)

    monkeypatch.setattr(locks.fcntl, "flock", late)
    with locked(folder, "x"):
        assert refused(folder)


def test_a_lock_on_something_else_than_a_folder_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    said = r"file: the folder cannot be made or opened \(.*exists\)\. Check the path, or name"
    with pytest.raises(SamConfigurationError, match=said):
        locks.locked(tmp_path / "file", "or name another.").__enter__()
