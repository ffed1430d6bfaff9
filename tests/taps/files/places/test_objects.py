"""What is peculiar to object stores: keys that are no paths, ETags, credentials, and what each refusal of a store becomes."""

from __future__ import annotations

import gzip
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import werkzeug.serving
from canaries import canary
from moto.s3.models import S3Backend
from taps.files.places import grounds
from taps.files.places.grounds import QUICK
from taps.files.places.test_places import listed, whole

from singerkit_shell.errors import (
    BadDataError,
    ConfigurationError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)
from singerkit_shell.secrets import redactor
from tap_files.places import objects
from tap_files.places.choosing import place_of
from tap_files.places.contract import FileChanged, Found
from tap_files.settings.storage import storage_problems

AWS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
)


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> grounds.Ground:
    for name in AWS:
        monkeypatch.delenv(name, raising=False)
    return grounds.on_s3(moto)


def asked(ground: grounds.Ground, method: str, query: str, **more: Any) -> requests.Response:
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request"}
    url = f"{ground.storage['s3']['endpoint']}/{ground.address.removeprefix('s3://')}{query}"
    answer = requests.request(method, url, headers=headers | more.pop("headers", {}), **more)
    answer.raise_for_status()
    return answer


def refusal(storage: dict[str, Any], address: str = "s3://bucket", prefix: str = "in/") -> SingerkitError:
    with pytest.raises(SingerkitError) as refused:
        list(place_of(address, QUICK | storage).files(prefix))
    return refused.value


def test_pages_of_a_listing_are_all_read(bucket: grounds.Ground, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "7")
    names = [f"in/{number:03}.csv" for number in range(30)]
    for name in names:
        bucket.put(name, b"id\n")
    assert asked(bucket, "GET", "?list-type=2").text.count("<Key>") == 7
    assert sorted(listed(bucket.place(), "in/")) == names
    assert sorted(listed(bucket.place(), "in/01")) == names[10:20]


def test_of_folders_that_no_pattern_asks_for_hardly_more_than_a_page_is_listed(
    bucket: grounds.Ground, monkeypatch: pytest.MonkeyPatch
):
    pages: list[str] = []
    log_request = werkzeug.serving.WSGIRequestHandler.log_request
    monkeypatch.setattr(
        werkzeug.serving.WSGIRequestHandler,
        "log_request",
        lambda handler, *more: pages.append(handler.path) if "list-type" in handler.path else log_request(handler, *more),
    )  # fmt: skip
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    monkeypatch.setattr(objects, "_LISTED", 3)
    wanted = ["in/1.csv", "in/a-1.csv", "in/a.csv", "in/a0", "in/b.csv", "in/bé.csv", "in/z.csv", "in/~.csv"]
    inner = [f"in/{folder}/{number:02}.csv" for folder in ("a", "b", "bé") for number in range(15)]
    for name in [*wanted, *inner, "in/a/é.csv", "in/a/~.csv"]:
        bucket.put(name, b"id\n")
    bucket.put("in/a/", b"")
    place = bucket.place()
    assert sorted(found.name for found in place.files("in/", deep=False)) == wanted
    assert len(pages) <= 6  # of 19 with all
    assert sorted(found.name for found in place.files("in/b", deep=False)) == ["in/b.csv", "in/bé.csv"]
    assert len(listed(place, "in/")) == len(wanted) + len(inner) + 2
    asked_from = S3Backend.list_objects_v2
    monkeypatch.setattr(
        S3Backend, "list_objects_v2", lambda self, **said: asked_from(self, **said | {"start_after": None})
    )
    pages.clear()
    assert sorted(found.name for found in place.files("in/", deep=False)) == wanted
    assert len(pages) <= 21  # a store that does not know how to begin there is asked once


def test_a_store_that_lists_keys_in_no_order_is_not_believed_to_have_told_of_all(bucket: grounds.Ground):
    place = bucket.place()
    with pytest.raises(BadDataError, match="in another order than that of their bytes"):
        place._last_in_order([{"path": "in/b", "size": 1}, {"path": "in/a", "size": 1}], "in/")  # type: ignore[attr-defined]


def test_placeholders_of_folders_are_no_files_and_empty_files_are(bucket: grounds.Ground):
    for name in ("in/", "in/sub/", "in/other/", "in/sub/a.csv", "in/nothing.csv", "in/_SUCCESS"):
        bucket.put(name, b"id\n" if name.endswith("a.csv") else b"")
    assert set(listed(bucket.place(), "in/")) == {"in/sub/a.csv", "in/nothing.csv", "in/_SUCCESS"}
    assert listed(bucket.place(), "in/other/a") == {}


@pytest.mark.parametrize("key", ["in//a.csv", "in/../a.csv", "in/a\x01.csv"])
def test_a_key_that_is_no_path_is_named_and_another_folder_is_read(bucket: grounds.Ground, key: str):
    bucket.put("out/a.csv", b"id\n")
    put_as_it_is(bucket, key)
    with pytest.raises(BadDataError, match=r"A name `in/.*cannot be asked for") as refused:
        list(bucket.place().files("in/"))
    assert refused.value.exit_code == 65
    assert set(listed(bucket.place(), "out/")) == {"out/a.csv"}


def put_as_it_is(ground: grounds.Ground, key: str) -> None:
    """Put an object whose key no client would leave as it is."""
    import http.client
    from urllib.parse import quote, urlsplit

    url = urlsplit(ground.storage["s3"]["endpoint"])
    connection = http.client.HTTPConnection(url.hostname, url.port)
    path = f"/{ground.address.removeprefix('s3://')}/{quote(key)}"
    connection.request(
        "PUT", path, b"id\n", {"Authorization": "AWS4-HMAC-SHA256 Credential=a/1/us-east-1/s3/aws4_request"}
    )
    assert connection.getresponse().status == 200
    connection.close()


def test_the_version_of_a_bucket_with_versions_is_the_newest(bucket: grounds.Ground):
    versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    asked(bucket, "PUT", "?versioning", data=versioning)
    bucket.put("in/a.csv", b"old")
    place = bucket.place()
    (old,) = place.files("in/")
    bucket.put("in/a.csv", b"new")
    (new,) = place.files("in/")
    assert new.version != old.version
    assert whole(place.open(new)) == b"new"
    with pytest.raises(FileChanged):
        place.open(old)


def test_an_upload_in_parts_is_read_by_its_own_kind_of_etag(bucket: grounds.Ground):
    upload = asked(bucket, "POST", "/in/big.bin?uploads").text.partition("<UploadId>")[2].partition("<")[0]
    parts = []
    for number, content in enumerate((b"a" * (5 << 20), b"b" * 10), 1):
        tag = asked(
            bucket, "PUT", f"/in/big.bin?partNumber={number}&uploadId={upload}", data=content
        ).headers["ETag"]
        parts.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
    asked(
        bucket,
        "POST",
        f"/in/big.bin?uploadId={upload}",
        data=f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>",
    )
    place = bucket.place()
    (found,) = place.files("in/")
    assert found.version.endswith("-2")
    assert whole(place.open(found, (5 << 20) - 1)) == b"a" + b"b" * 10


def test_what_was_stored_as_gzip_comes_as_it_was_stored(bucket: grounds.Ground):
    packed = gzip.compress(b"id\n1\n" * 100)
    asked(bucket, "PUT", "/in/a.csv", data=packed, headers={"Content-Encoding": "gzip"})
    place = bucket.place()
    (found,) = place.files("in/")
    assert found.size == len(packed)
    assert whole(place.open(found)) == packed


def test_a_server_that_ignores_the_condition_is_not_believed(
    bucket: grounds.Ground, monkeypatch: pytest.MonkeyPatch
):
    bucket.put("in/a.csv", b"old\n")
    place = bucket.place()
    (found,) = place.files("in/")
    bucket.put("in/a.csv", b"new\n")
    monkeypatch.setattr("tap_files.places.objects._condition", lambda _found: {})
    with pytest.raises(FileChanged):
        place.open(found)


def test_each_refusal_is_a_sentence_and_an_exit_code(
    moto: str, bucket: grounds.Ground, monkeypatch: pytest.MonkeyPatch
):
    keys = {"access_key_id": "k", "secret_access_key": "s"}
    absent = refusal({"s3": {"endpoint": moto, **keys}}, "s3://nobucket1")
    assert (type(absent), absent.exit_code) == (ConfigurationError, 78)
    assert "There is no s3://nobucket1" in str(absent)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        silent = refusal({"s3": {"endpoint": away, **keys}, "timeout": {"connect": 0.2, "read": 0.2}})
    refused = refusal({"s3": {"endpoint": away, **keys}})
    assert (type(refused), refused.exit_code, type(silent)) == (RetryableError, 69, RetryableError)
    assert "connection was refused" in str(refused)
    assert "did not answer in time" in str(silent)
    for endpoint, name in (("nothing", "s3://bucket"), (moto, "s3://b b/?"), (f"{moto}/?x=y", "s3://bucket")):
        assert refusal({"s3": {"endpoint": endpoint, **keys}}, name).exit_code == 78
    missing = refusal({"s3": {"endpoint": moto}})
    assert (type(missing), missing.exit_code) == (NotAuthorisedError, 77)
    assert "AWS_ACCESS_KEY_ID" in str(missing)
    for storage, address in (({"gcs": {}}, "gs://bucket"), ({"azure": {"account": "a"}}, "az://bucket")):
        monkeypatch.setenv("HOME", "/nonexistent")
        assert refusal(storage, address).exit_code == 77
    assert refusal({}, "az://bucket").exit_code == 78
    assert "None" not in f"{absent}{refused}{silent}"


def test_credentials_come_from_where_the_config_says(
    moto: str, bucket: grounds.Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
):
    bucket.put("in/a.csv", b"id\n")
    secret = canary("aws secret of the environment")
    place = {"endpoint": moto}

    def sees(**said: Any) -> bool:
        return set(listed(place_of(bucket.address, QUICK | {"s3": {**place, **said}}), "in/")) == {"in/a.csv"}

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    assert sees()
    assert redactor.mask(f"x {secret} y") == "x *** y"
    profiles = tmp_path / "credentials"
    profiles.write_text(
        f"[other]\naws_access_key_id = k\naws_secret_access_key = {canary('aws secret of a profile')}\n"
    )
    assert sees(profile="other", profiles_file=str(profiles))
    with pytest.raises(NotAuthorisedError, match="no profile `none`"):
        sees(profile="none", profiles_file=str(profiles))
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert sees(access_key_id="k", secret_access_key="s")


def test_credentials_that_are_not_whole_or_have_no_effect_are_named():
    problems = [
        *storage_problems({"s3": {"access_key_id": "k"}}),
        *storage_problems(
            {"s3": {"credentials": "anonymous", "access_key_id": "k", "secret_access_key": "s"}}
        ),
        *storage_problems({"azure": {"client_id": "c", "client_secret": "s"}}),
        *storage_problems({"gcs": {"access_token": "t", "service_account_file": "f"}}),
    ]
    assert [problem.split("`")[1] for problem in problems] == [
        "storage.s3.secret_access_key",
        "storage.s3.access_key_id",
        "storage.s3.secret_access_key",
        "storage.azure.tenant_id",
        "storage.gcs.access_token",
    ]
    assert not list(
        storage_problems(
            {
                "s3": {"access_key_id": "k", "secret_access_key": "s", "session_token": "t"},
                "gcs": {},
                "azure": {},
            }
        )
    )


def test_google_speaks_to_what_speaks_like_it(moto: str, bucket: grounds.Ground):
    """The XML interface of Google is that of S3 for what is asked here, so that moto can stand for it; Google itself cannot be had."""
    bucket.put("in/a b.csv", b"id\n1\n")
    place = place_of(
        bucket.address.replace("s3://", "gs://"),
        QUICK | {"gcs": {"endpoint": moto, "access_token": canary("gcs token")}},
    )
    (found,) = place.files("in/")
    assert whole(place.open(found, 3)) == b"1\n"
    bucket.put("in/a b.csv", b"id\n2\n")
    with pytest.raises(FileChanged):
        place.open(found)
    assert isinstance(place.look("in/a b.csv"), Found)


class Listener(http.server.BaseHTTPRequestHandler):
    """Lists one file, and keeps what it was asked."""

    asked: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        body = b"<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
        if "comp=list" in self.path:
            body = b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[int, list[tuple[str, dict[str, str]]]]]:
    kind = type("OfOneRun", (Listener,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  a client may go at any time
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    yield server.server_port, kind.asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_no_token_goes_to_another_host_by_a_redirect(listener: tuple[int, list[tuple[str, dict[str, str]]]]):
    """The client takes all headers but `Authorization` along, and the address with its signature as `Referer`."""
    port, asked = listener

    class Redirecting(Listener):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
    threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    keys = {"access_key_id": "k", "secret_access_key": "s", "session_token": canary("session token")}
    before = len(asked)
    for address, storage in (
        ("s3://bucket", {"s3": keys | {"endpoint": endpoint}}),
        ("az://bucket", {"azure": {"account": "a", "endpoint": endpoint, "sas_token": "sv=1&sig=abc"}}),
    ):
        refused = refusal(storage, address)
        assert (refused.exit_code, "is redirected to another host" in str(refused)) == (78, True)
    server.shutdown()
    server.server_close()
    assert asked[before:] == []


def test_what_settings_say_is_in_the_requests(
    listener: tuple[int, list[tuple[str, dict[str, str]]]], monkeypatch: pytest.MonkeyPatch
):
    port, asked = listener
    monkeypatch.setenv("AWS_SESSION_TOKEN", "that of another login")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")

    def request(address: str, **storage: Any) -> tuple[str, dict[str, str]]:
        list(place_of(address, QUICK | storage).files("a"))
        return asked[-1]

    keys = {"access_key_id": "k", "secret_access_key": "s", "endpoint": f"http://127.0.0.1:{port}"}
    path, headers = request("s3://bucket", s3=keys | {"requester_pays": True, "region": "eu-north-1"})
    assert path.startswith("/bucket?")
    assert headers["x-amz-request-payer"] == "requester"
    assert "/eu-north-1/s3/" in headers["authorization"]
    assert "x-amz-security-token" not in headers
    assert request("s3://bucket", s3=keys | {"session_token": "own"})[1]["x-amz-security-token"] == "own"
    assert "x-amz-request-payer" not in asked[-1][1]
    with pytest.raises(RetryableError, match=r"`a\.csv`"):
        place_of("s3://bucket", QUICK | {"s3": keys}).open(Found("a.csv", 9, 1, 1, "listed"), 2)
    assert (asked[-1][1]["if-match"], asked[-1][1]["range"]) == ('"listed"', "bytes=2-8")
    assert (
        "authorization"
        not in request("s3://bucket", s3={"credentials": "anonymous", "endpoint": keys["endpoint"]})[1]
    )
    path, headers = request("gs://bucket", gcs={"endpoint": keys["endpoint"], "access_token": "t"})
    assert (headers["authorization"], headers["accept-encoding"]) == ("Bearer t", "gzip")
    azure = {"account": "a", "endpoint": f"http://127.0.0.1:{port}"}
    path, headers = request("az://container", azure=azure | {"sas_token": "?sv=1&sig=abc"})
    assert "sig=abc" in path
    assert "authorization" not in headers
    assert request("az://container", azure=azure | {"account_key": "a2V5"})[1]["authorization"].startswith(
        "SharedKey a:"
    )
    assert "authorization" not in request("az://container", azure=azure | {"credentials": "anonymous"})[1]
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    path, headers = request(
        "s3://bucket", s3=keys | {"endpoint": "http://s3.example", "virtual_hosted": True}
    )
    assert path.startswith("http://bucket.s3.example/?")
