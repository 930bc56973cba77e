"""Names and keys: whose they are can be read back, and no two sessions share a key."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmlab import names, posix

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
TOKENS = st.text(ALPHABET, min_size=4, max_size=4)
WORDS = st.text(min_size=1)


@given(WORDS, TOKENS)
def test_a_key_says_whose_it_is(word: str, token: str) -> None:
    key = names.key(word, token)
    assert names.parse_key(key) == token
    assert names.parse_key(key & 0xFFFFFFFF) == token, "as ipcs spells it"
    assert -(2**31) <= key < 2**31, "a C key_t is signed"
    assert key & 0xFFF, "never IPC_PRIVATE, and not by a hair"
    assert key == names.key(word, token), "in every process the same"


@given(WORDS, WORDS, TOKENS, TOKENS)
def test_no_key_is_of_two_sessions(one: str, other: str, first: str, second: str) -> None:
    assert (names.key(one, first) == names.key(other, second)) <= (first == second)


@given(st.integers(-(2**31), 2**31 - 1))
def test_any_key_is_of_one_session_or_of_none(key: int) -> None:
    token = names.parse_key(key)
    if token is None:
        number = (key & 0xFFFFFFFF) >> 12
        assert not key & 0xFFF or number < 125_000 or number >= 125_000 + len(ALPHABET) ** 4
    else:
        assert set(token) <= set(ALPHABET)
        assert names.key("x", token) & ~0xFFF == key & ~0xFFF


def test_the_outermost_tokens() -> None:
    first, last = names.key("x", "aaaa"), names.key("x", "9999")
    assert (first >> 12, (last & 0xFFFFFFFF) >> 12) == (125_000, 1_048_520)
    assert [names.parse_key(key) for key in (0, 1, 1234, 0x1234, 99_999_999, -1, -5, -4096)] == [None] * 8


def test_the_key_of_a_word_is_stable() -> None:
    text = "from shmlab import names; print(names.key('counter', 'kp3x'))"
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    said = subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=20, check=True
    )
    assert int(said.stdout) == names.key("counter", "kp3x")
    assert names.parse_key(names.key("counter")) == names.session()


def test_a_token_that_somebody_has_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(names.SESSION_VARIABLE, raising=False)
    letters = iter("kp3xkp3xm2wd")
    monkeypatch.setattr("secrets.choice", lambda alphabet: next(letters))
    with posix.create(names.prefix("kp3x", 1) + "theirs", 1):  # of another uid, by its name
        assert names.session.__wrapped__() == "m2wd"


@pytest.mark.parametrize(
    ("word", "token"), [("", "aaaa"), ("x", "oooo"), ("x", "abc"), ("x", "abcde"), ("x", "AAAA")]
)
def test_what_makes_no_key(word: str, token: str) -> None:
    with pytest.raises(ValueError, match=r"word|token"):
        names.key(word, token)
