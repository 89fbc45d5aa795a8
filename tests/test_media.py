"""Images and recordings: decoded rightly, read from wherever they are, bad ones named."""

import math
import os
import pickle
import shutil
import struct
import sys
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.core import Dataset, DatasetError, InputError, LabelError, read_dataset
from actlas.core.media import Media, kind_of
from actlas.core.tokens import encode

Image = pytest.importorskip("PIL.Image")
soundfile = pytest.importorskip("soundfile")
RATE = 8000


def pixels(seed=0, height=4, width=6):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def save_image(path, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed)).save(path, **options)
    return path


def save_wave(path, samples, channels=1):
    """Write 16-bit samples with the standard library, which shares no code with soundfile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, RATE, 0, "NONE", ""))
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return path


def media(path):
    return Media(str(path), kind_of(path.name))


@pytest.fixture
def pets(tmp_path):
    """Images in folders, with what is to be passed over."""
    root = tmp_path / "pets"
    for seed, name in enumerate(["dog/z.png", "cat/b.bmp", "cat/a.PNG", "dog/old/y.png"]):
        save_image(root / name, seed)
    save_image(root / ".hidden.png")
    save_image(root / ".cache" / "x.png")
    (root / "cat" / "notes.md").write_text("no image")
    return root


def classes(dataset, name="class"):
    return {dataset.texts[s]: value for s, _, _, value in dataset.label_set(name).items}


def test_folders_are_classes_and_files_stand_in_the_order_of_their_paths(pets):
    dataset = read_dataset(pets)
    names = ["cat/a.PNG", "cat/b.bmp", "dog/old/y.png", "dog/z.png"]
    assert list(dataset.texts) == names
    assert (dataset.name, dataset.modality, dataset.skipped) == ("pets", "image", 0)
    assert classes(dataset) == {n: n[:3] for n in names}
    assert [m.path for m in dataset.media] == [str(pets / n) for n in names]
    for found, seed in zip(dataset.media, [2, 1, 3, 0], strict=True):
        assert np.array_equal(np.asarray(found.load()), pixels(seed))
    assert dataset.notes == (f"passed over 1 file of other kinds in {pets}",)


def test_a_flat_folder_has_no_labels(tmp_path):
    save_wave(tmp_path / "a.wav", [1, 2])
    dataset = read_dataset(tmp_path)
    assert dataset.label_sets == {}
    assert dataset.modality == "audio"
    assert dataset.notes == ()
    with pytest.raises(LabelError, match="no label set 'class'; it has nothing"):
        read_dataset(tmp_path, labels=["class"])


def test_links_are_followed_but_not_in_circles(pets):
    outside = save_image(pets.parent / "elsewhere" / "o.png").parent
    (pets / "owl").symlink_to(outside)
    (pets / "dog" / "circle").symlink_to(pets)
    (outside / "around").symlink_to(pets / "cat")
    (pets / "cat" / "back").symlink_to(outside)
    assert list(read_dataset(pets).texts) == [
        "cat/a.PNG", "cat/b.bmp", "cat/back/o.png", "dog/old/y.png", "dog/z.png",
        "owl/around/a.PNG", "owl/around/b.bmp", "owl/o.png",
    ]  # fmt: skip


def test_a_name_that_is_not_utf_8_is_refused(pets):
    (pets / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"the path 'caf\\udce9\.png' holds half a surrogate"):
        read_dataset(pets)


def test_a_model_that_reads_texts_is_not_given_the_names_of_files(pets, tiny):
    with pytest.raises(InputError, match="pets holds image files and the model reads texts"):
        encode(tiny("bert"), read_dataset(pets), [0], max_length=8)


def test_kinds_are_not_mixed(pets):
    save_wave(pets / "dog" / "bark.wav", [1, 2])
    with pytest.raises(DatasetError, match=r"mixes images and recordings \(cat/a\.PNG, dog/bark"):
        read_dataset(pets)


def test_labels_are_read_off_names(tmp_path):
    for name in ("3_jackson_12.wav", "0_theo_x_1.wav"):
        save_wave(tmp_path / name, [1])
    dataset = read_dataset(tmp_path, name_labels="{digit}_{speaker}_{take}")
    assert classes(dataset, "digit") == {"3_jackson_12.wav": "3", "0_theo_x_1.wav": "0"}
    assert classes(dataset, "speaker")["3_jackson_12.wav"] == "jackson"
    assert classes(dataset, "take")["3_jackson_12.wav"] == "12"
    only = read_dataset(tmp_path, name_labels="{digit}_{speaker}_{take}", labels=["digit"])
    assert set(only.label_sets) == {"digit"}
    save_wave(tmp_path / "other.wav", [1])
    with pytest.raises(DatasetError, match=r"other\.wav does not fit --name-labels '\{digit\}_"):
        read_dataset(tmp_path, name_labels="{digit}_{speaker}_{take}")
    assert read_dataset(tmp_path, name_labels="{d}_{s}_{t}", skip_bad=True).skipped == 1


def test_a_pattern_with_a_slash_is_held_against_the_path(pets):
    dataset = read_dataset(pets, name_labels="{a}/{b}", skip_bad=True)
    assert classes(dataset, "b") == {"cat/a.PNG": "a", "cat/b.bmp": "b", "dog/z.png": "z"}
    names = classes(read_dataset(pets, name_labels="{x}"), "x")  # without one, against the name
    assert names["dog/old/y.png"] == "y"


@pytest.mark.parametrize("pattern", ["", "plain", "{a}_{a}", "{}"])
def test_a_pattern_without_names_is_refused(pets, pattern):
    with pytest.raises(DatasetError, match="names no label, or one twice"):
        read_dataset(pets, name_labels=pattern)


def test_name_labels_are_not_for_texts(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(DatasetError, match="holds texts; --name-labels is for images"):
        read_dataset(tmp_path / "a.txt", name_labels="{a}")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_may_name_files(pets, suffix):
    names, kinds = ["dog/z.png", "cat/b.bmp"], ["x", "y"]
    rows = list(zip(names, kinds, strict=True))
    path = pets / f"t.{suffix}"
    if suffix == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"file": names, "kind": kinds}), path)
    elif suffix == "jsonl":
        path.write_text("".join(f'{{"file": "{n}", "kind": "{k}"}}\n' for n, k in rows))
    else:
        sep = "," if suffix == "csv" else "\t"
        path.write_text("\n".join(sep.join(r) for r in [("file", "kind"), *rows]))
    dataset = read_dataset(path)
    assert list(dataset.texts) == names
    assert classes(dataset, "kind") == dict(zip(names, kinds, strict=True))
    assert set(dataset.label_sets) == {"kind"}
    assert np.array_equal(np.asarray(dataset.media[0].load()), pixels(0))
    assert dataset.digest() == read_dataset(path, media="file").digest()


def test_a_column_of_texts_goes_before_one_of_files(pets):
    path = pets / "t.csv"
    path.write_text("file,text\ndog/z.png,a dog\n")
    assert read_dataset(path).modality == "text"
    dataset = read_dataset(path, media="file")
    assert list(dataset.texts) == ["dog/z.png"]
    assert classes(dataset, "text") == {"dog/z.png": "a dog"}
    captioned = read_dataset(path, media="file", decoder_text="text")
    assert list(captioned.targets) == ["a dog"]
    assert captioned.digest() != dataset.digest()
    with pytest.raises(DatasetError, match="use --text COLUMN or --media COLUMN"):
        read_dataset(path, media="file", text="text")
    with pytest.raises(DatasetError, match="--target names a word of a text"):
        read_dataset(path, media="file", target="text")
    with pytest.raises(DatasetError, match="no column 'nope'; it has file, text; use --media"):
        read_dataset(path, media="nope")


def test_files_that_a_table_names_wrongly_are_refused_with_their_line(pets):
    path = pets / "t.csv"
    path.write_text("file\ndog/z.png\ndog/none.png\ncat/notes.md\n")
    with pytest.raises(DatasetError, match=r"t\.csv, line 3: .*none\.png cannot be read \(No such"):
        read_dataset(path)
    dataset = read_dataset(path, skip_bad=True)
    assert list(dataset.texts) == ["dog/z.png"]
    assert dataset.skipped == 2
    path.write_text("file\ndog/z.png\ncat/notes.md\n")
    with pytest.raises(DatasetError, match=r"line 3: .*notes\.md is no image or recording"):
        read_dataset(path)
    (pets / "folder.png").mkdir()
    path.write_text("file\nfolder.png\n")
    with pytest.raises(DatasetError, match=r"line 2: .*folder\.png cannot be read: Is a directory"):
        read_dataset(path)


def saved(tmp_path, column, feature, files, **columns):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rows = [f and {"bytes": f.read_bytes(), "path": f.name} for f in files]
    data = datasets.Dataset.from_dict({column: rows, **columns})
    data.cast_column(column, getattr(datasets, feature)()).save_to_disk(str(tmp_path / "hf"))
    return f"hf:{tmp_path / 'hf'}"


def test_images_of_a_hugging_face_data_set(pets, tmp_path):
    files = [pets / "dog" / "z.png", pets / "cat" / "b.bmp"]
    spec = saved(tmp_path, "picture", "Image", files, kind=["x", "y"])
    dataset = read_dataset(spec)
    assert (dataset.modality, list(dataset.texts)) == ("image", ["z.png", "b.bmp"])
    assert classes(dataset, "kind") == {"z.png": "x", "b.bmp": "y"}
    for seed, found in enumerate(dataset.media):
        assert np.array_equal(np.asarray(found.load()), pixels(seed))
    assert [m.digest() for m in dataset.media] == [media(f).digest() for f in files]
    twin = pickle.loads(pickle.dumps(dataset))
    assert twin.digest() == dataset.digest()


def test_recordings_of_a_hugging_face_data_set_need_no_codec_of_its_own(tmp_path):
    one, two = save_wave(tmp_path / "one.wav", [1, 2, 3]), tmp_path / "two.wav"
    two.write_bytes(b"junk")
    spec = saved(tmp_path, "audio", "Audio", [one, None, two], text=["eins", "zwei", "drei"])
    assert list(read_dataset(spec).texts) == ["eins", "zwei", "drei"]  # texts go first
    with pytest.raises(DatasetError, match="record 1: 'audio' is empty"):
        read_dataset(spec, media="audio")
    dataset = read_dataset(spec, media="audio", skip_bad=True)
    assert dataset.skipped == 2
    assert classes(dataset, "text") == {"one.wav": "eins"}
    samples, rate = dataset.media[0].load()
    assert rate == RATE
    assert samples.tolist() == [1 / 32768, 2 / 32768, 3 / 32768]


def test_a_recording_is_mono_in_float32(tmp_path):
    left, right = [100, -200, 32767], [300, 200, 32767]
    interleaved = [v for pair in zip(left, right, strict=True) for v in pair]
    samples, rate = media(save_wave(tmp_path / "a.wav", interleaved, 2)).load()
    assert (samples.dtype, samples.shape, rate) == (np.float32, (3,), RATE)
    expected = [(a + b) / 2 / 32768 for a, b in zip(left, right, strict=True)]
    assert samples.tolist() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("ending", "near"), [("flac", 1e-4), ("ogg", 0.1), ("mp3", 0.2)])
def test_compressed_recordings(tmp_path, ending, near):
    tone = np.sin(np.arange(RATE) * 2 * math.pi * 440 / RATE) * 0.5
    soundfile.write(tmp_path / f"a.{ending}", tone, RATE)
    samples, rate = media(tmp_path / f"a.{ending}").load()
    assert rate == RATE
    assert np.abs(samples[1000:4000] - tone[1000:4000]).max() < near


def test_an_image_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90° clockwise
    path = save_image(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(media(path).load()), np.rot90(pixels(), -1))


def test_grey_of_16_bits_is_scaled_not_clipped(tmp_path):
    grey = (np.arange(16, dtype=np.uint16) * 4096).reshape(4, 4)
    Image.fromarray(grey).save(tmp_path / "a.png")
    found = np.asarray(media(tmp_path / "a.png").load())
    assert np.array_equal(found, np.repeat((grey // 256).astype(np.uint8)[..., None], 3, 2))


def test_a_palette_with_transparency_and_the_first_frame(tmp_path):
    first, second = (Image.fromarray(pixels(s)).quantize(8) for s in (0, 1))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second], transparency=0)
    found = media(tmp_path / "a.gif").load()
    assert (found.mode, found.size) == ("RGB", (6, 4))
    assert np.abs(np.asarray(found).astype(int) - np.asarray(first.convert("RGB"))).mean() < 1
    first.save(tmp_path / "b.png", transparency=bytes([0, 128]))
    assert media(tmp_path / "b.png").load().mode == "RGB"


def test_pixels_without_a_range_are_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DatasetError, match=r"a\.tif: no readable image \(floating-point"):
        media(tmp_path / "a.tif").load()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD = {
    "html.png": "of no known format",
    "zero.png": "empty file",
    "zero.wav": "empty file",
    "none.wav": "no sound in it",
    "junk.flac": "",
}


@pytest.fixture
def bad(tmp_path):
    def make(name):
        path = tmp_path / name
        content = {"html.png": b"<html>", "junk.flac": b"fLaC but no more"}
        path.write_bytes(content.get(name, b""))
        if name == "none.wav":
            save_wave(path, [])
        return path

    return make


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_in_one_line_or_left_out(bad, name):
    path = bad(name)
    for read in (media(path).load, media(path).check, lambda: read_dataset(path.parent)):
        with pytest.raises(DatasetError) as caught:
            read()
        assert f"{path}: no readable" in str(caught.value)
        assert BAD[name] in str(caught.value)
        assert "--skip-bad" in str(caught.value)
        assert "\n" not in str(caught.value)
    good = path.with_name(f"good{path.suffix}")
    if path.suffix == ".png":
        save_image(good)
    else:
        soundfile.write(good, np.zeros(10), RATE)
    dataset = read_dataset(path.parent, skip_bad=True)
    assert list(dataset.texts) == [good.name]
    assert dataset.skipped == 1


def test_a_file_cut_short_is_found_when_it_is_decoded(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    cut(tmp_path / "a.jpg")
    save_image(tmp_path / "b.jpg")
    dataset = read_dataset(tmp_path)  # its header is well
    with pytest.raises(DatasetError, match=r"a\.jpg: no readable image .*truncated"):
        dataset.media[0].load()
    assert list(read_dataset(tmp_path, skip_bad=True).texts) == ["b.jpg"]


def test_a_recording_with_nan_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(DatasetError, match="NaN or infinity"):
        media(tmp_path / "a.wav").load()


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="has no readable image or recording in it"):
        read_dataset(tmp_path)
    (tmp_path / "a.md").write_text("x")
    with pytest.raises(DatasetError, match="has 1 other file and no readable image"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("option", ["text", "media", "target", "decoder_text"])
def test_a_folder_has_no_columns(pets, option):
    with pytest.raises(DatasetError, match=f"no columns; leave out --{option.replace('_', '-')}"):
        read_dataset(pets, **{option: "x"})


def test_a_link_to_nowhere_is_named(pets):
    (pets / "cat" / "gone.png").symlink_to(pets / "nowhere.png")
    with pytest.raises(DatasetError, match=r"gone\.png cannot be read \(No such file"):
        read_dataset(pets)


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("a.png", "PIL.Image", "vision"), ("a.wav", "soundfile", "audio")]
)
def test_a_missing_decoder_is_named_with_its_extra(tmp_path, monkeypatch, name, module, extra):
    save_image(tmp_path / name) if extra == "vision" else save_wave(tmp_path / name, [1])
    monkeypatch.setitem(sys.modules, module, None)
    for skip_bad in (False, True):  # no reason to leave every file out
        with pytest.raises(DatasetError, match=rf"pip install 'actlas\[{extra}\]'"):
            read_dataset(tmp_path, skip_bad=skip_bad)
    with pytest.raises(DatasetError, match=rf"pip install 'actlas\[{extra}\]'"):
        media(tmp_path / name).load()


def test_a_missing_decoder_is_named_for_hugging_face_data_sets_too(tmp_path, monkeypatch):
    spec = saved(tmp_path, "audio", "Audio", [save_wave(tmp_path / "a.wav", [1])])
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(DatasetError, match=r"pip install 'actlas\[audio\]'"):
        read_dataset(spec, skip_bad=True)


def test_the_same_files_elsewhere_are_the_same_data_set(pets, tmp_path):
    base = read_dataset(pets)
    copied = shutil.copytree(pets, tmp_path / "copy" / "other")
    assert read_dataset(copied).digest() == base.digest()
    (copied / "cat").rename(copied / "bird")  # names are shown, no more
    moved = read_dataset(copied)
    assert moved.digest() == base.digest()
    assert moved.label_set("class").digest() != base.label_set("class").digest()
    (copied / "bird" / "a.PNG").rename(copied / "bird" / "c.png")  # another order
    assert read_dataset(copied).digest() != base.digest()
    save_image(pets / "dog" / "z.png", 9)
    assert read_dataset(pets).digest() != base.digest()


def test_texts_are_not_media_of_the_same_name(pets):
    dataset = read_dataset(pets)
    digests = [m.digest() for m in dataset.media]
    assert Dataset("x", digests).digest() != dataset.digest()


def test_a_file_that_changes_while_it_is_used_is_noticed(pets):
    dataset = read_dataset(pets)
    found = dataset.media[1]
    os.utime(found.path, (1, 1))
    for use in (found.load, found.digest, dataset.digest):
        with pytest.raises(DatasetError, match=r"b\.bmp changed while it was in use"):
            use()


def test_a_limit_takes_the_first_files(pets):
    dataset = read_dataset(pets, limit=2)
    assert list(dataset.texts) == ["cat/a.PNG", "cat/b.bmp"]
    assert len(dataset.media) == 2
    assert dataset.modality == "image"
    assert classes(dataset) == {"cat/a.PNG": "cat", "cat/b.bmp": "cat"}


@given(contents=st.lists(st.binary(max_size=3), max_size=6), lengths=st.sets(st.integers(0, 6)))
@settings(deadline=None, max_examples=60)
def test_prefix_digests_of_media_are_the_digests_of_heads(contents, lengths):
    found = [Media(f"{i}.png", "image", data) for i, data in enumerate(contents)]
    dataset = Dataset("x", [m.path for m in found], modality="image", media=found)
    inside = {n for n in lengths if n <= len(contents)}
    assert dataset.prefix_digest(lengths) == {n: dataset.head(n).digest() for n in inside}
