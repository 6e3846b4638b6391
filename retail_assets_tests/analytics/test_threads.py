import threading
from concurrent.futures import ThreadPoolExecutor

import sklearn.ensemble  # noqa: F401  # its library has threads
from threadpoolctl import ThreadpoolController

from retail_assets.analytics.threads import one_thread


def threads_used() -> dict[str, int]:
    return {library["user_api"]: library["num_threads"] for library in ThreadpoolController().info()}


def test_blocks_that_overlap_in_two_threads_are_all_held_to_one_thread():
    before = threads_used()
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with one_thread():
            first_is_in.set()
            assert second_is_in.wait(20)
        first_is_out.set()

    def second() -> dict[str, int]:
        assert first_is_in.wait(20)
        with one_thread():
            second_is_in.set()
            assert first_is_out.wait(20)
            return threads_used()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(second)
        assert other.result() == {"blas": 1, "openmp": 1}
        one.result()
    assert threads_used() == before
