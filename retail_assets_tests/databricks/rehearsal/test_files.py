import base64

import pytest
from databricks.sdk.errors import (
    AlreadyExists,
    BadRequest,
    InvalidParameterValue,
    NotFound,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from databricks.sdk.service.files import DbfsAPI

from retail_assets_tests.databricks.rehearsal.client import User

MEGABYTE = 1024**2


def test_a_file_written_in_blocks_is_read_back_and_lies_in_the_directory(user: User) -> None:
    content = bytes(range(256)) * 10_000
    with user.client.dbfs.open("/staged/a b/file.bin", write=True, overwrite=True) as file:
        file.write(content)
    assert (user.workspace.dbfs / "staged" / "a b" / "file.bin").read_bytes() == content
    with user.client.dbfs.open("/staged/a b/file.bin", read=True) as file:
        assert file.read() == content
    status = user.client.dbfs.get_status("/staged/a b/file.bin")
    assert (status.path, status.file_size, status.is_dir) == ("/staged/a b/file.bin", len(content), False)
    listed = [(entry.path, entry.is_dir) for entry in DbfsAPI(user.client.api_client).list("/staged")]
    assert listed == [("/staged/a b", True)]


def test_a_file_that_is_not_there_does_not_exist_by_databricks_error_code(user: User) -> None:
    with pytest.raises(ResourceDoesNotExist) as error:
        user.client.dbfs.read("/nowhere", length=10)
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_dbfs_refuses_what_databricks_refuses(user: User) -> None:
    dbfs = user.client.dbfs
    handle = dbfs.create("/handles/file", overwrite=True).handle or 0
    with pytest.raises(BadRequest, match="exceeds the limit") as too_big:
        dbfs.add_block(handle, _base64(b"x" * (MEGABYTE + 1)))
    assert too_big.value.error_code == "MAX_BLOCK_SIZE_EXCEEDED"
    dbfs.add_block(handle, _base64(b"x" * MEGABYTE))
    DbfsAPI(user.client.api_client).close(handle)
    with pytest.raises(ResourceDoesNotExist, match="No open handle"):
        dbfs.add_block(handle, _base64(b"late"))
    with pytest.raises(ResourceAlreadyExists):
        dbfs.create("/handles/file")
    with pytest.raises(BadRequest) as too_long:
        dbfs.read("/handles/file", length=MEGABYTE + 1)
    assert too_long.value.error_code == "MAX_READ_SIZE_EXCEEDED"
    assert dbfs.read("/handles/file", offset=MEGABYTE - 1, length=10).bytes_read == 1
    with pytest.raises(InvalidParameterValue, match="absolute"):
        dbfs.create("relative/file")
    with pytest.raises(InvalidParameterValue, match="absolute"):
        dbfs.create("/../outside")
    with pytest.raises(BadRequest, match="non-empty") as not_empty:
        DbfsAPI(user.client.api_client).delete("/handles")
    assert not_empty.value.error_code == "IO_ERROR"
    DbfsAPI(user.client.api_client).delete("/handles", recursive=True)
    assert not (user.workspace.dbfs / "handles").exists()


def test_files_of_a_volume(user: User) -> None:
    files, directory = user.client.files, f"{user.workspace.volume}/run 1/step"
    files.create_directory(directory)
    user.upload(f"{directory}/code.zip", b"zipped")
    with pytest.raises(AlreadyExists):
        user.upload(f"{directory}/code.zip", b"again", overwrite=False)
    user.upload(f"{directory}/code.zip", b"zipped again", overwrite=True)
    contents = files.download(f"{directory}/code.zip").contents
    assert contents is not None
    assert contents.read() == b"zipped again"
    assert files.get_metadata(f"{directory}/code.zip").content_length == 12
    (entry,) = files.list_directory_contents(directory)
    assert (entry.path, entry.name, entry.file_size) == (f"{directory}/code.zip", "code.zip", 12)
    with pytest.raises(BadRequest, match="not empty"):
        files.delete_directory(directory)
    files.delete(f"{directory}/code.zip")
    files.delete_directory(directory)
    with pytest.raises(NotFound):
        files.get_directory_metadata(directory)
    with pytest.raises(NotFound):
        files.download(f"{directory}/code.zip")


def test_a_volume_that_is_not_there_takes_no_files(user: User) -> None:
    with pytest.raises(NotFound, match=r"Volume 'main\.retail\.other' does not exist"):
        user.upload("/Volumes/main/retail/other/file", b"")
    with pytest.raises(NotFound, match="directory"):
        user.upload(f"{user.workspace.volume}/no/such/directory/file", b"")
    with pytest.raises(InvalidParameterValue):
        user.upload("/Workspace/file", b"")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
