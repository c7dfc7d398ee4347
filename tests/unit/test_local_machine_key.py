"""The start-up key: made once, for its owner alone."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from worker.domain.errors import UserError
from worker.local_machine import STARTUP_KEY_FILE, load_startup_key


def test_the_start_up_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "data"
    key = load_startup_key(folder)
    assert len(key) >= 40
    assert load_startup_key(folder) == key
    assert [path.name for path in folder.iterdir()] == [STARTUP_KEY_FILE]
    assert stat.S_IMODE((folder / STARTUP_KEY_FILE).stat().st_mode) == 0o600


def test_processes_that_start_at_the_same_time_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(load_startup_key, [tmp_path] * 64))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == [STARTUP_KEY_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_could_read_is_replaced(tmp_path: Path, mode: int) -> None:
    key = load_startup_key(tmp_path)
    (tmp_path / STARTUP_KEY_FILE).chmod(mode)
    assert load_startup_key(tmp_path) != key


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe"])
def test_a_damaged_key_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STARTUP_KEY_FILE).write_bytes(content)
    (tmp_path / STARTUP_KEY_FILE).chmod(0o600)
    assert len(load_startup_key(tmp_path)) >= 40


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x" * 60)
    (tmp_path / STARTUP_KEY_FILE).symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="The start-up key cannot be kept"):
        load_startup_key(tmp_path)


def test_a_data_dir_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", Path("/proc/nowhere")):
        with pytest.raises(UserError, match=r"The start-up key cannot be kept in DATA_DIR .*ADMIN_PASSWORD") as caught:
            load_startup_key(folder)
        assert "\n" not in str(caught.value)
