import base64

import pytest

from ojito.data.chats import image_of, read_messages, read_texts
from ojito.data.keys import BadRow
from ojito.records import Turn


def llava(*messages):
    return [{"from": who, "value": text} for who, text in messages]


ASKED = [("human", "<image>\nwhat?"), ("gpt", "a dog")]
TURN = Turn("<image>\nwhat?", ("a dog",), tagged=True)


@pytest.mark.parametrize("who", ["human", "user", "Human"])
@pytest.mark.parametrize("says", ["gpt", "assistant", "model"])
def test_roles_have_several_names(who, says):
    assert read_messages(llava((who, "what?"), (says, "a dog")), "conversations").turns == (
        Turn("what?", ("a dog",), tagged=True),
    )


@pytest.mark.parametrize(
    ("messages", "system"),
    [
        ([("system", "be short"), *ASKED], "be short"),
        ([("system", ""), *ASKED], ""),
        ([("gpt", "hello"), *ASKED], ""),
        ([("system", "be short"), ("gpt", "hello"), *ASKED], "be short"),
        ([*ASKED, ("human", "thanks")], ""),
    ],
)
def test_conversations_begin_and_end_as_they_like(messages, system):
    chat = read_messages(llava(*messages), "conversations")
    assert (chat.turns, chat.system) == ((TURN,), system)


def test_contents_may_be_lists_of_parts():
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "be short"}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a dog"}]},
        {"role": "user", "content": "sure?"},
        {"role": "assistant", "content": "yes"},
    ]
    chat = read_messages(messages, "messages", "x")
    assert chat.turns == (Turn("<image>\nwhat?", ("a dog",), "x", True), Turn("sure?", ("yes",), "x", True))
    assert chat.system == "be short"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "image": "a.jpg"},
        {"type": "image_url", "image_url": {"url": "a.jpg"}},
        {"type": "input_image", "image_url": "a.jpg"},
        {"type": "image", "url": "a.jpg"},
    ],
)
def test_parts_may_name_their_images(part):
    messages = [
        {"role": "user", "content": [part, {"type": "text", "text": "what?"}]},
        {"role": "assistant", "content": "x"},
    ]
    chat = read_messages(messages, "messages")
    assert (chat.images, chat.turns[0].prompt) == (("a.jpg",), "<image>\nwhat?")


@pytest.mark.parametrize("question", ["<image>", "<image>\n", "\n<image>"])
def test_image_alone_asks_for_its_caption(question):
    assert read_messages(llava(("human", question), ("gpt", "a dog")), "x").turns == (Turn("", ("a dog",), "caption"),)


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (llava(("human", "what?")), "ends with a question"),
        (llava(("gpt", "a dog")), "message 1 is from 'gpt', not human"),
        (llava(*ASKED, ("gpt", "more")), "message 3 is from 'gpt', not human"),
        (llava(("human", "a"), ("human", "b"), ("gpt", "c")), "message 2 is from 'human', not gpt"),
        (llava(*ASKED, ("system", "x")), "message 3 is from 'system', not human"),
        (llava(("human", "what?"), ("gpt", "")), "message 2 of x is empty"),
        (["what?"], "message 1 of x lacks from or value"),
        ([{"from": "human"}], "message 1 of x lacks from or value"),
        ([BadRow("has the key 'value' twice")], "has the key 'value' twice"),
        ([{"role": "user", "content": [{"type": "video"}]}], "message 1 of x has a part of type 'video'"),
        ([*llava(ASKED[0]), {"role": "assistant", "content": [{"type": "image"}]}], "message 2 answers with an image"),
    ],
)
def test_messages_that_cannot_be_read_are_named(messages, problem):
    with pytest.raises(BadRow) as error:
        read_messages(messages, "x")
    assert problem in str(error.value)


def test_the_cauldrons_pairs_have_their_source_as_kind():
    pairs = [{"user": "what?", "assistant": "a dog", "source": "vqav2"}, {"user": "so?", "assistant": "yes"}]
    assert read_texts(pairs, "").turns == (Turn("what?", ("a dog",), "vqav2", True), Turn("so?", ("yes",), "", True))
    assert {turn.kind for turn in read_texts(pairs, "own").turns} == {"own"}
    with pytest.raises(BadRow, match="text 1 of texts lacks user or assistant"):
        read_texts([{"user": "what?"}])


@pytest.mark.parametrize(
    ("value", "image"),
    [
        ("a.jpg", "a.jpg"),
        (b"x", b"x"),
        ({"bytes": None, "path": "a.jpg"}, "a.jpg"),
        ({"bytes": b"x", "path": "a.jpg"}, b"x"),
        ({"url": "a.jpg"}, "a.jpg"),
        ("data:image/png;base64," + base64.b64encode(b"x").decode(), b"x"),
    ],
)
def test_images_are_written_in_several_ways(value, image):
    assert image_of(value) == image


@pytest.mark.parametrize("value", [7, None, "", ["a.jpg"], {"height": 3}, "data:image/png;base64,?"])
def test_images_that_are_none_are_named(value):
    with pytest.raises(BadRow, match="image is"):
        image_of(value)
