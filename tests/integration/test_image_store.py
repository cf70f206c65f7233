"""The picture store in a folder, in memory and on an S3 that runs on this machine."""

import io
import os
import re
import resource
import threading
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from thumbrank_core.settings import Settings
from thumbrank_core.store import blobs
from thumbrank_core.store.blobs import BlobError
from thumbrank_core.store.images import ImageStore, name_of
from thumbrank_core.store.picture import PictureError

SECRET = "sEcReT/wJalrXUtnFEMI+K7MDENG"


def jpeg(shade):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((320, 180)).point(lambda value: value * shade // 255).save(buffer, "JPEG")
    return buffer.getvalue()


def aws(monkeypatch, endpoint):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture(scope="module")
def s3_server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server, monkeypatch):
    import boto3

    aws(monkeypatch, s3_server)
    client = boto3.client("s3")
    client.create_bucket(Bucket="pictures", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client
    for found in client.list_objects_v2(Bucket="pictures").get("Contents", []):
        client.delete_object(Bucket="pictures", Key=found["Key"])
    client.delete_bucket(Bucket="pictures")


@pytest.fixture(params=["folder", "file", "memory", "s3"])
def store(request, tmp_path):
    if request.param == "s3":
        request.getfixturevalue("bucket")
    places = {
        "folder": tmp_path / "images",
        "file": f"file://{tmp_path}/images",
        "memory": f"memory://{tmp_path.name}/images",
        "s3": "s3://pictures/some/prefix",
    }
    return ImageStore(places[request.param])


def test_a_picture_is_kept_read_and_removed_wherever_the_store_is(store):
    first, second = store.put(jpeg(255)), store.put(jpeg(128))
    assert store.put(jpeg(255)) == first, "the same picture again changes nothing"
    assert store.read(first.sha256) == jpeg(255)
    assert store.exists(second.sha256)
    assert store.delete([first.sha256, second.sha256]) == 2
    assert not store.exists(first.sha256)
    with pytest.raises(PictureError) as caught:
        store.read(first.sha256)
    assert caught.value.reason == "file_missing"


def test_what_is_kept_is_listed_by_when_it_was_written(store):
    kept = {store.put(jpeg(shade)).sha256 for shade in (255, 128, 64)}
    later, earlier = datetime.now(UTC) + timedelta(minutes=1), datetime.now(UTC) - timedelta(minutes=1)
    assert set(store.known(later)) == kept
    assert list(store.known(earlier)) == []


def test_an_empty_store_lists_nothing_and_removes_nothing(store):
    assert list(store.known(datetime.now(UTC))) == []
    assert store.delete([]) == 0


def test_threads_that_keep_the_same_pictures_do_not_disturb_each_other(store, request):
    pictures = [jpeg(shade) for shade in range(10, 250, 40)]
    failed = []

    def keep():
        try:
            for data in pictures:
                store.read(store.put(data).sha256)
        except (PictureError, BlobError) as error:
            failed.append(error)

    threads = [threading.Thread(target=keep) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if "s3" in request.node.callspec.id:
        # The S3 of these tests fails once in a while when threads write one object at a time; what is whole stays whole.
        assert len(failed) <= 1
        keep()
        assert len(failed) <= 1
    else:
        assert failed == []
    assert len(list(store.known(datetime.now(UTC) + timedelta(minutes=1)))) == len(pictures)


def test_objects_are_named_by_content_below_the_prefix(bucket):
    picture = ImageStore("s3://pictures/some/prefix/").put(jpeg(255))
    keys = [found["Key"] for found in bucket.list_objects_v2(Bucket="pictures")["Contents"]]
    assert keys == [f"some/prefix/{name_of(picture.sha256)}"]


def test_a_changed_object_is_noticed_and_mended(bucket):
    store = ImageStore("s3://pictures")
    picture = store.put(jpeg(255))
    bucket.put_object(Bucket="pictures", Key=name_of(picture.sha256), Body=b"other")
    with pytest.raises(PictureError) as caught:
        store.read(picture.sha256)
    assert caught.value.reason == "file_changed"
    store.put(jpeg(255))
    assert store.read(picture.sha256) == jpeg(255)


def test_a_bucket_that_is_not_there_is_one_sentence(s3_server, monkeypatch):
    aws(monkeypatch, s3_server)
    with pytest.raises(BlobError, match="no such bucket") as caught:
        ImageStore("s3://nobody-made-this").put(jpeg(255))
    assert SECRET not in str(caught.value)


def test_missing_credentials_are_one_sentence(s3_server, monkeypatch, tmp_path):
    aws(monkeypatch, s3_server)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(BlobError, match="check AWS_ACCESS_KEY_ID"):
        ImageStore("s3://pictures").put(jpeg(255))


def test_an_s3_that_does_not_answer_is_one_sentence_and_no_missing_picture(monkeypatch):
    aws(monkeypatch, "http://127.0.0.1:9")
    store = ImageStore("s3://pictures")
    with pytest.raises(BlobError, match="AWS_ENDPOINT_URL") as caught:
        store.read(bytes(32))
    assert SECRET not in str(caught.value)
    with pytest.raises(BlobError, match="cannot be written"):
        store.put(jpeg(255))


def test_a_missing_extra_is_one_sentence(monkeypatch):
    import fsspec

    def refuse(*_args, **_options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", refuse)
    with pytest.raises(BlobError, match=re.escape("thumbrank[s3]")):
        ImageStore("s3://pictures")


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIA:{SECRET}@bucket/prefix",
        f"s3://bucket/prefix?secret={SECRET}",
        f"s3://bucket#{SECRET}",
        f"simplecache::s3://{SECRET}",
        f"nosuch://{SECRET}",
        f"s3:{SECRET}",
        "s3://",
        "file://relative/folder",
    ],
)
def test_a_url_with_credentials_or_without_sense_is_refused_and_not_repeated(url):
    with pytest.raises(BlobError, match="THUMBRANK_IMAGES") as caught:
        ImageStore(url)
    assert "sEcReT" not in str(caught.value)


def test_the_setting_names_the_store_and_never_shows_what_it_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Settings.read().images == str(tmp_path / ".thumbrank" / "images")
    monkeypatch.setenv("THUMBRANK_IMAGES", f"s3://a:{SECRET}@b")
    settings = Settings.read()
    assert settings.images == f"s3://a:{SECRET}@b"
    assert SECRET not in repr(settings)


def test_a_write_that_fails_half_way_is_one_sentence_and_leaves_nothing(tmp_path):
    store, limits = ImageStore(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(BlobError, match="THUMBRANK_IMAGES"):
            store.put(jpeg(255))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_place_that_cannot_be_one_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BlobError, match="THUMBRANK_IMAGES"):
        ImageStore(tmp_path / "file" / "images").put(jpeg(255))


def test_a_folder_may_have_any_name(tmp_path):
    for place in (tmp_path / "me@home #1", f"file://{tmp_path}/me@home #2"):
        assert ImageStore(place).put(jpeg(255)).width == 320
    assert len(list(tmp_path.iterdir())) == 2


def test_files_appear_whole_and_may_be_read_by_others(tmp_path):
    picture = ImageStore(tmp_path).put(jpeg(255))
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / name_of(picture.sha256)).stat().st_mode & 0o777 == 0o666 & ~mask
    assert list((tmp_path / blobs.PARTS).iterdir()) == []


def test_what_a_killed_process_left_half_written_is_removed_with_the_next_removal(tmp_path):
    store = ImageStore(tmp_path)
    store.put(jpeg(255))
    old, new = tmp_path / blobs.PARTS / "old", tmp_path / blobs.PARTS / "new"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert store.delete([bytes(32)]) == 0
    assert not old.exists()
    assert new.exists(), "it may still be under way"
