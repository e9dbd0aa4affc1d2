"""The real servers start, answer, and tell strangers no: what every other test of them rests on."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from dts_fsm.errors import PermanentError
from dts_fsm.records import Descriptor
from dts_fsm.web import HttpClient
from tests.servers.nginx import Nginx
from tests.servers.s3 import S3Server
from tests.servers.sftp import SftpServer


def test_the_web_server_answers_plain_and_with_tls(nginx: Nginx) -> None:
    (nginx.folder / "hello").write_text("hello", encoding="utf-8")
    assert HttpClient(nginx.url).request("GET", "hello").body == b"hello"
    assert HttpClient(nginx.secure_url, ca_file=nginx.ca_file).request("GET", "hello").body == b"hello"
    with pytest.raises(PermanentError, match="does not prove who it is"):
        HttpClient(nginx.secure_url).request("GET", "hello")


def test_the_buckets_keep_what_is_put_and_refuse_what_is_damaged(s3_server: S3Server) -> None:
    client = s3_server.client()
    client.put_object(Bucket=s3_server.bucket, Key="hello", Body=b"hello", ContentMD5="XUFAKrxLKna5cZ2REBfFkg==")
    assert client.get_object(Bucket=s3_server.bucket, Key="hello")["Body"].read() == b"hello"
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=s3_server.bucket, Key="hello", Body=b"other", ContentMD5="XUFAKrxLKna5cZ2REBfFkg==")


def test_the_tree_is_there_for_who_has_the_key(sftp_server: SftpServer) -> None:
    root = sftp_server.folder()
    (root / "hello").write_text("hello", encoding="utf-8")
    endpoint = sftp_server.endpoint(root)
    assert endpoint.files_staged([Descriptor(id="1", path="hello", bytes=5)]) == {"1": True}
    endpoint.close()
