"""Small archives in the form of CIFAR-10, for tests."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
COUNT = 4
"""Images in each batch."""


def batches() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return name → images (n, 3072), colour by colour, and labels (n,), 0, 1, …, 9, 0, 1, …"""
    generator = np.random.default_rng(0)
    return {
        name: (
            generator.integers(0, 256, (COUNT, 3072), dtype=np.uint8),
            (np.arange(COUNT) + index * COUNT).astype(np.uint8) % 10,
        )
        for index, name in enumerate(BATCHES)
    }


def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], images], axis=1).tobytes()


def pickled(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Write a batch with the opcodes of the published files, which Python 2 wrote."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02K\x00\x85q\x03U\x01btq\x04Rq\x05(K\x01"
        + (b"M" + struct.pack("<H", len(images)) + b"M\x00\x0c\x86q\x06")
        + b"cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87q\x08Rq\x09"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + (b"\x89T" + struct.pack("<I", images.size) + images.tobytes() + b"tb")
    )
    numbers = b"(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"(" + text(b"a.png") * len(labels) + b"e"
    entries = [
        text(b"batch_label") + text(b"a batch"),
        text(b"labels") + b"]q\x0a" + numbers,
        text(b"data") + array,
        text(b"filenames") + b"]q\x0b" + names,
    ]
    return b"\x80\x02}q\x00(" + b"".join(entries) + b"u."


def pickled_by_python_3(images: np.ndarray, labels: np.ndarray, protocol: int) -> bytes:
    return pickle.dumps({b"data": images, b"labels": labels.tolist()}, protocol)


def tar(members: dict[str, bytes], **settings: int) -> bytes:
    """Return a tar file as GNU's tar writes it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        folder = tarfile.TarInfo("cifar-10-batches")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            member = tarfile.TarInfo(f"cifar-10-batches/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def binary_members() -> dict[str, bytes]:
    return {"batches.meta.txt": b"airplane\n", **{f"{name}.bin": binary(*part) for name, part in batches().items()}}


def python_members() -> dict[str, bytes]:
    meta = b"\x80\x02cos\nsystem\n."  # never read
    return {"batches.meta": meta, **{name: pickled(*part) for name, part in batches().items()}}


def write_archive(folder: Path, kind: str = "binary", members: dict[str, bytes] | None = None) -> Path:
    """Write an archive under its published name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"cifar-10-{kind}.tar.gz"
    whole = binary_members() if kind == "binary" else python_members()
    path.write_bytes(gzip.compress(tar(whole if members is None else members), mtime=0))
    return path
