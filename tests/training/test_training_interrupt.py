import os
import signal
import threading

import pytest

from facemargin.training.interrupt import interruptible


@pytest.fixture(autouse=True)
def default_handler():
    """A process started in the background inherits an ignored SIGINT; these tests start from Python's own handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_the_flag_and_the_second_acts(number):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interruptible() as interruption:
        assert not interruption.requested
        send(number)
        assert interruption.requested
        send(number)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_each_run_starts_uninterrupted():
    with interruptible():
        send(signal.SIGINT)
    with interruptible() as interruption:
        assert not interruption.requested
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


def test_other_threads_leave_signals_alone():
    handlers = []

    def work():
        with interruptible() as interruption:
            handlers.append((signal.getsignal(signal.SIGINT), interruption.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [(signal.getsignal(signal.SIGINT), False)]
