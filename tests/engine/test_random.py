"""Random numbers without hidden state: Philox 4×64 with ten rounds, written out here for comparison."""

from __future__ import annotations

import numpy as np
import pytest

from tuilab.blocks.arrays import Clock, Stream, host_generator, stream_key
from tuilab.engine.kernels.numpy import NumpyKernels

WORD = (1 << 64) - 1


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Return four words of 64 bits (Salmon et al., 2011)."""
    words, (k, m) = list(counter), key
    for _ in range(10):
        p, q = 0xD2E7470EE14C6C93 * words[0], 0xCA5A826395121157 * words[2]
        words = [(q >> 64) ^ words[1] ^ k, q & WORD, (p >> 64) ^ words[3] ^ m, p & WORD]
        k, m = (k + 0x9E3779B97F4A7C15) & WORD, (m + 0xBB67AE8584CAA73B) & WORD
    return words


def words(stream: Stream, count: int) -> list[int]:
    clock = stream.clock
    blocks = (philox((block, 0, clock.step, clock.epoch), stream.key) for block in range(1, -(-count // 4) + 1))
    return [word for block in blocks for word in block][:count]


def make_stream(seed: int = 5, purpose: str = "layers[2].dropout", epoch: int = 3, step: int = 17) -> Stream:
    clock = Clock()
    clock.epoch, clock.step = epoch, step
    return Stream(seed, purpose, clock)


def draw(stream: Stream, count: int = 11, dtype: str = "float64") -> np.ndarray:
    out = np.full(count, np.nan, dtype)
    NumpyKernels().uniform(stream, out)
    return out


def test_philox_as_published() -> None:
    """The known answer of Random123 for counter and key of zeros."""
    known = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox((0, 0, 0, 0), (0, 0)) == known


@pytest.mark.parametrize("seed", [0, 5, 2**63 - 1])
@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (3, 17), (1, 2**40)])
def test_doubles_are_the_upper_53_bits_of_each_word(seed: int, epoch: int, step: int) -> None:
    stream = make_stream(seed, epoch=epoch, step=step)
    assert draw(stream).tolist() == [(word >> 11) / 2**53 for word in words(stream, 11)]


def test_singles_are_the_upper_24_bits_of_each_half_the_lower_first() -> None:
    stream = make_stream()
    halves = [half for word in words(stream, 6) for half in (word & 0xFFFFFFFF, word >> 32)]
    assert draw(stream, dtype="float32").tolist() == [(half >> 8) / 2**24 for half in halves[:11]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_earlier_draws_leave_no_trace(dtype: str) -> None:
    ops, stream, out = NumpyKernels(), make_stream(), np.empty((3, 5), dtype)
    for count, other in ((1, "float32"), (3, "float64"), (7, "float32")):
        ops.uniform(make_stream(1, "noise", 9, 9), np.empty(count, other))
        ops.uniform(stream, out)
        assert np.array_equal(out.reshape(-1), draw(stream, 15, dtype))


def test_a_shorter_draw_is_the_beginning_of_a_longer_one() -> None:
    for dtype in ("float32", "float64"):
        assert np.array_equal(draw(make_stream(), 7, dtype), draw(make_stream(), 4001, dtype)[:7])


def test_everything_that_names_a_stream_matters() -> None:
    draws = {
        tuple(draw(stream))
        for stream in (
            make_stream(),
            make_stream(seed=6),
            make_stream(purpose="layers[3].dropout"),
            make_stream(purpose="layers[2].noise"),
            make_stream(epoch=4),
            make_stream(step=18),
            make_stream(epoch=17, step=3),
        )
    }
    assert len(draws) == 7
    assert len({number for numbers in draws for number in numbers}) == 77


def test_the_clock_is_read_at_the_draw() -> None:
    stream = make_stream()
    stream.clock.step += 1
    assert np.array_equal(draw(stream), draw(make_stream(step=18)))


def test_the_host_draws_from_the_same_numbers() -> None:
    generator = host_generator(5, "order", 3)
    expected = [philox((1, 0, 0, 3), stream_key(5, "order"))[place] >> 11 for place in range(4)]
    assert generator.random(4).tolist() == [word / 2**53 for word in expected]


def test_keys_do_not_change_from_version_to_version() -> None:
    """A run of today must give the same numbers tomorrow."""
    assert stream_key(7, "layers[0].kernel") == (7, 9352638347961387917)
