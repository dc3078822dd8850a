"""Request ids, page sizes and page tokens."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras.api.v1 import intent_service_pb2 as pb
from walras.core.errors import InvalidInput, Reason
from walras.rpc.requests import (
    check_digest,
    make_token,
    page_size,
    read_number_token,
    read_token,
    request_key,
)


def token_refused(token: str) -> bool:
    with pytest.raises(InvalidInput) as caught:
        read_token(token)
    return caught.value.reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize("request_id", ["a", "!", "~" * 64, "123e4567-e89b-12d3-a456-426614174000"])
def test_request_ids(request_id: str) -> None:
    key = request_key(pb.SubmitIntentRequest(request_id=request_id, envelope=b"e"))
    assert (key.method, key.request_id) == ("SubmitIntentRequest", request_id)
    assert len(key.digest) == 32


@pytest.mark.parametrize("request_id", ["", "a b", "a\n", "\x7f", "é", "a" * 65, "\u200b"])
def test_bad_request_ids(request_id: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        request_key(pb.SubmitIntentRequest(request_id=request_id))
    assert caught.value.reason is Reason.REQUEST_ID_INVALID


def test_the_digest_is_of_the_content() -> None:
    one = pb.SubmitIntentRequest(request_id="a", envelope=b"1")
    assert request_key(one) == request_key(pb.SubmitIntentRequest(request_id="a", envelope=b"1"))
    other = pb.SubmitIntentRequest(request_id="a", envelope=b"2")
    assert request_key(one).digest != request_key(other).digest
    cancel = pb.CancelIntentRequest(request_id="a", envelope=b"1")
    assert request_key(one).method != request_key(cancel).method


def test_page_sizes() -> None:
    asked = {0: 100, 1: 1, 100: 100, 1_000: 1_000, 1_001: 1_000, (1 << 32) - 1: 1_000}
    assert {size: page_size(size) for size in asked} == asked


@given(st.text())
def test_tokens_come_back(key: str) -> None:
    assert read_token(make_token(key)) == key


@given(st.integers(0, 10**18 - 1))
def test_number_tokens_come_back(number: int) -> None:
    assert read_number_token(make_token(number), -1) == number


@given(st.text(max_size=20))
def test_a_token_has_one_form(token: str) -> None:
    try:
        key = read_token(token)
    except InvalidInput:
        assert token_refused(token)
    else:
        assert make_token(key) == token


@pytest.mark.parametrize(
    "token", ["!", "!!!!", "MQ", "MQ===", "MR==", " MQ==", "MQ==\n", "_w==", "é"]
)
def test_bad_tokens(token: str) -> None:
    assert token_refused(token)


def test_first_page() -> None:
    assert read_token("") == ""
    assert read_number_token("", 42) == 42


@pytest.mark.parametrize("text", ["-1", "1.0", "x", " 1", "٣", "9" * 19, "1e3"])
def test_bad_number_tokens(text: str) -> None:
    token = base64.urlsafe_b64encode(text.encode()).decode()
    with pytest.raises(InvalidInput) as caught:
        read_number_token(token, 0)
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


def test_digests() -> None:
    assert check_digest(bytes(32), "digest") == bytes(32)
    for wrong in (b"", bytes(31), bytes(33)):
        with pytest.raises(InvalidInput) as caught:
            check_digest(wrong, "digest")
        assert caught.value.reason is Reason.FIELD_INVALID
        assert caught.value.fields["field"] == "digest"
