"""The circuit breaker by itself, on a clock that is turned by hand."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from async_backfill import CircuitOpenError, CircuitPolicy, CircuitState
from async_backfill._loading.circuit_breaker import Circuit
from async_backfill.testing import ManualClock


def new_circuit(failures=3, open_for=10.0):
    clock = ManualClock()
    return Circuit(CircuitPolicy(failures=failures, open_for=open_for), clock), clock


def call(circuit, *, failed):
    circuit.record(probe=circuit.admit(), failed=failed)


def opened():
    circuit, clock = new_circuit()
    for _ in range(3):
        call(circuit, failed=True)
    return circuit, clock


def test_it_opens_after_so_many_failures_in_a_row():
    circuit, _ = new_circuit()
    for _ in range(2):
        call(circuit, failed=True)
    assert circuit.state is CircuitState.CLOSED
    call(circuit, failed=True)

    assert circuit.state is CircuitState.OPEN
    with pytest.raises(CircuitOpenError, match=r"failed 3 times in a row.*next try is in 10\.0 s"):
        circuit.admit()


def test_a_success_in_between_starts_the_count_again():
    circuit, _ = new_circuit()
    for failed in [True, True, False, True, True]:
        call(circuit, failed=failed)

    assert circuit.state is CircuitState.CLOSED


def test_a_call_that_was_given_up_counts_neither_way():
    circuit, _ = new_circuit()
    for failed in [True, None, True, None]:
        call(circuit, failed=failed)
    assert circuit.state is CircuitState.CLOSED
    call(circuit, failed=True)

    assert circuit.state is CircuitState.OPEN


def test_it_admits_one_probe_at_a_time():
    circuit, clock = opened()
    clock.advance(10)
    assert circuit.state is CircuitState.HALF_OPEN
    assert circuit.admit() is True
    for _ in range(3):
        with pytest.raises(CircuitOpenError, match="one call tries it now"):
            circuit.admit()


def test_a_probe_that_succeeds_closes_it():
    circuit, clock = opened()
    clock.advance(10)
    call(circuit, failed=False)

    assert circuit.state is CircuitState.CLOSED
    assert [circuit.admit() for _ in range(3)] == [False] * 3


def test_a_probe_that_fails_starts_the_wait_again():
    circuit, clock = opened()
    clock.advance(15)
    call(circuit, failed=True)
    clock.advance(9.5)
    assert circuit.state is CircuitState.OPEN
    clock.advance(0.5)

    assert circuit.admit() is True


def test_a_probe_that_was_given_up_lets_the_next_one_through():
    circuit, clock = opened()
    clock.advance(10)
    call(circuit, failed=None)

    assert circuit.state is CircuitState.HALF_OPEN
    assert circuit.admit() is True


@pytest.mark.parametrize("failed", [True, False, None])
def test_a_straggler_from_before_it_opened_changes_nothing(failed):
    circuit, clock = new_circuit()
    straggler = circuit.admit()
    for _ in range(3):
        call(circuit, failed=True)
    clock.advance(9)
    circuit.record(probe=straggler, failed=failed)
    assert circuit.state is CircuitState.OPEN
    clock.advance(1)

    assert circuit.admit() is True


def test_a_straggler_does_not_end_the_probe_of_another():
    circuit, clock = new_circuit()
    straggler = circuit.admit()
    for _ in range(3):
        call(circuit, failed=True)
    clock.advance(10)
    circuit.admit()
    circuit.record(probe=straggler, failed=False)

    with pytest.raises(CircuitOpenError):
        circuit.admit()


class AnyCourse(RuleBasedStateMachine):
    """Calls that begin, end and overlap as they like, while time goes by."""

    @initialize(failures=st.integers(1, 4))
    def make(self, failures):
        self.limit = failures
        self.circuit, self.clock = new_circuit(failures)
        self.running = []
        self.in_a_row = 0
        self.opened = None

    @rule()
    def begin(self):
        may = self.opened is None or (self.clock() >= self.opened + 10 and True not in self.running)
        if may:
            probe = self.circuit.admit()
            assert probe is (self.opened is not None)
            self.running.append(probe)
        else:
            with pytest.raises(CircuitOpenError):
                self.circuit.admit()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failed=st.sampled_from([True, True, False, None]))
    def end(self, data, failed):
        probe = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.circuit.record(probe=probe, failed=failed)
        if self.opened is not None and not probe:
            return
        if failed:
            self.in_a_row += 1
            if probe or self.in_a_row >= self.limit:
                self.opened = self.clock()
        elif failed is False:
            self.in_a_row, self.opened = 0, None

    @rule(duration=st.sampled_from([0.5, 5.0, 10.0]))
    def wait(self, duration):
        self.clock.advance(duration)

    @invariant()
    def its_state_is_the_one_that_follows(self):
        if self.opened is None:
            expected = CircuitState.CLOSED
        else:
            waited = self.clock() >= self.opened + 10
            expected = CircuitState.HALF_OPEN if waited else CircuitState.OPEN
        assert self.circuit.state is expected

    @invariant()
    def there_is_one_probe_at_the_most(self):
        assert self.running.count(True) <= 1


AnyCourse.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestAnyCourse = AnyCourse.TestCase
